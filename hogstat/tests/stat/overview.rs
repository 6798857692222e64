//! What an overview shows and what it leaves out.

use hogstat::SenderStatus;

use crate::{Store, begin, spool, uuid};

#[test]
fn overview_has_the_latest_sessions_and_older_ones_that_were_not_closed() {
    let store = Store::new();
    let mut stat = store.open();
    let sessions: Vec<_> = (0..30).map(|now| begin(&mut stat, now)).collect();
    for &session in sessions.iter().filter(|&&session| session != sessions[3]) {
        stat.close_session(session, 99).unwrap();
    }
    let shown: Vec<_> = stat
        .overview()
        .unwrap()
        .sessions
        .iter()
        .map(|session| session.id)
        .collect();
    let expected: Vec<_> = sessions[10..].iter().rev().chain([&sessions[3]]).copied().collect();
    assert_eq!(shown, expected);
}

#[test]
fn overview_has_the_latest_twenty_faults_newest_first() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    for n in 0..25 {
        stat.record_fault(session, hogstat::FaultKind::Fault, "ring", &n.to_string(), n)
            .unwrap();
    }
    let shown: Vec<_> = stat.overview().unwrap().faults.iter().map(|fault| fault.time).collect();
    assert_eq!(shown, (5..25).rev().collect::<Vec<_>>());
}

#[test]
fn overview_has_of_each_group_the_spool_opened_last_with_what_was_acknowledged() {
    let store = Store::new();
    let mut stat = store.open();
    let (earlier, later) = (begin(&mut stat, 1), begin(&mut stat, 2));
    spool(&mut stat, earlier, uuid(50), 1, &["old:1"], 1);
    spool(&mut stat, later, uuid(50), 2, &["b:2", "a:1"], 2);
    stat.note_acknowledged(uuid(50), "a:1", &[(uuid(60), 64)], 3).unwrap();

    let spools = stat.overview().unwrap().spools;
    assert_eq!(spools.len(), 1);
    assert_eq!(
        (spools[0].session, spools[0].epoch, spools[0].directory.as_str()),
        (later, 2, "/spool/web")
    );
    let [b, a] = spools[0].destinations.as_slice() else {
        panic!("two destinations, not {spools:?}")
    };
    assert_eq!((b.address.as_str(), a.address.as_str()), ("b:2", "a:1"));
    assert_eq!((b.status, b.acknowledged.len()), (Some((SenderStatus::Started, 2)), 0));
    let acknowledged = a.acknowledged[0];
    assert_eq!(
        (acknowledged.stream, acknowledged.position, acknowledged.time),
        (uuid(60), 64, 3)
    );
}
