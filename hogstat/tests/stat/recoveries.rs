//! Recoveries: each pair once, over however many sessions; destinations that are given up.

use hogstat::{Error, NewRecovery, RecoveryOutcome, SessionId, Stat};

use crate::{Store, begin, ring, spool, texts, uuid};

const LEFT: NewRecovery<'static> = NewRecovery {
    ring: uuid::Uuid::from_u128(60),
    address: "a:1",
    from: 8,
    to: 64,
};

/// Two sessions that drained ring 60, and a third.
fn three_sessions(stat: &mut Stat) -> [SessionId; 3] {
    let sessions = [1, 2, 3].map(|now| begin(stat, now));
    for session in &sessions[..2] {
        stat.register_region(*session, &ring(60, 1), 4).unwrap();
    }
    sessions
}

fn begun(stat: &Stat) -> Vec<(String, u64, u64)> {
    let begun = stat.unfinished_recoveries("web").unwrap();
    begun
        .into_iter()
        .map(|recovery| (recovery.address, recovery.from, recovery.to))
        .collect()
}

#[test]
fn what_a_session_left_of_a_region_is_recovered_once_to_each_destination() {
    let store = Store::new();
    let mut stat = store.open();
    let [_, _, third] = three_sessions(&mut stat);
    assert!(stat.begin_recovery(third, &LEFT, 5).unwrap());
    assert!(!stat.begin_recovery(third, &NewRecovery { to: 96, ..LEFT }, 6).unwrap());
    assert!(
        stat.begin_recovery(third, &NewRecovery { address: "b:2", ..LEFT }, 7)
            .unwrap()
    );
    let delivered = RecoveryOutcome::Delivered;
    assert_eq!(stat.end_recovery(third, uuid(60), "a:1", 64, delivered, 8).unwrap(), 1);
    assert_eq!(stat.end_recovery(third, uuid(60), "a:1", 64, delivered, 9).unwrap(), 0);
    assert!(!stat.begin_recovery(third, &LEFT, 10).unwrap(), "it is over");
    assert_eq!(begun(&stat), [("b:2".to_owned(), 8, 64)]);
}

#[test]
fn a_recovery_that_was_cut_off_is_ended_by_the_session_that_delivers_it() {
    let store = Store::new();
    let mut stat = store.open();
    let [_, second, third] = three_sessions(&mut stat);
    assert!(stat.begin_recovery(second, &LEFT, 5).unwrap());
    // The third session finds what the second left, which is another pair.
    let more = NewRecovery {
        from: 64,
        to: 80,
        ..LEFT
    };
    assert!(stat.begin_recovery(third, &more, 6).unwrap());
    let (delivered, ring) = (RecoveryOutcome::Delivered, LEFT.ring);
    assert_eq!(stat.end_recovery(third, ring, "a:1", 72, delivered, 7).unwrap(), 1);
    assert_eq!(begun(&stat), [("a:1".to_owned(), 64, 80)]);
    assert_eq!(stat.end_recovery(third, ring, "a:1", 80, delivered, 8).unwrap(), 1);
    let recorded = stat.overview().unwrap().recoveries;
    let [later, earlier] = recorded.as_slice() else {
        panic!("{recorded:?}")
    };
    assert_eq!((earlier.session, earlier.ended, earlier.began), (third, Some(7), 5));
    assert_eq!((later.original_session, earlier.to, later.to), (second, 64, 80));
}

#[test]
fn recoveries_to_a_destination_that_is_given_up_are_abandoned_and_it_is_owed_nothing() {
    let store = Store::new();
    let mut stat = store.open();
    let [first, second, third] = three_sessions(&mut stat);
    spool(&mut stat, first, uuid(50), 1, &["a:1", "b:2"], 1);
    spool(&mut stat, second, uuid(50), 2, &["a:1"], 2);
    stat.note_acknowledged(uuid(50), "a:1", &[(uuid(60), 8)], 3).unwrap();
    stat.begin_recovery(third, &LEFT, 5).unwrap();
    assert_eq!(stat.abandon_destination("db", "a:1", 6).unwrap(), 0, "of another group");
    assert_eq!(stat.abandon_destination("web", "a:1", 6).unwrap(), 2);
    assert_eq!(stat.abandon_recoveries_to(third, "web", "a:1", 6).unwrap(), 1);
    assert_eq!(stat.abandon_destination("web", "a:1", 7).unwrap(), 0);
    assert_eq!(begun(&stat), []);
    assert_eq!(stat.destinations_of(uuid(50), 1).unwrap(), Some(texts(&["b:2"])));
    assert_eq!(stat.destinations_of(uuid(50), 2).unwrap(), Some(vec![]));
    spool(&mut stat, third, uuid(50), 3, &["a:1"], 8);
    assert_eq!(
        stat.destinations_of(uuid(50), 3).unwrap(),
        Some(texts(&["a:1"])),
        "named again"
    );
    assert_eq!(stat.forget_destination("web", "a:1").unwrap(), 1);
    assert!(stat.acknowledged(uuid(50), "a:1").unwrap().is_empty());
}

#[test]
fn runs_of_all_spools_of_a_group_come_in_the_order_of_their_sessions() {
    let store = Store::new();
    let mut stat = store.open();
    let [first, second, third] = three_sessions(&mut stat);
    spool(&mut stat, first, uuid(50), 1, &["a:1"], 1);
    spool(&mut stat, second, uuid(51), 1, &["a:1"], 2);
    spool(&mut stat, third, uuid(50), 2, &["a:1"], 3);
    let runs: Vec<_> = stat
        .spool_runs("web")
        .unwrap()
        .into_iter()
        .map(|run| (run.session, run.sender, run.epoch))
        .collect();
    assert_eq!(
        runs,
        [(first, uuid(50), 1), (second, uuid(51), 1), (third, uuid(50), 2)]
    );
    assert_eq!(stat.groups().unwrap(), texts(&["web"]));
    stat.spool_emptied(uuid(51), 9).unwrap();
    let runs = stat.spool_runs("web").unwrap().into_iter();
    let emptied: Vec<_> = runs.filter(|run| run.emptied).map(|run| run.sender).collect();
    assert_eq!(emptied, [uuid(51)]);
}

#[test]
fn runs_of_one_spool_that_follow_one_another_are_told_as_the_last_of_them_and_each_has_its_session() {
    let store = Store::new();
    let mut stat = store.open();
    let [first, second, third] = three_sessions(&mut stat);
    assert!(!stat.knows_spools_of("web").unwrap());
    spool(&mut stat, first, uuid(51), 1, &["a:1"], 1);
    spool(&mut stat, second, uuid(50), 1, &["a:1"], 2);
    spool(&mut stat, third, uuid(50), 2, &["a:1"], 3);
    let runs = stat.spool_runs("web").unwrap().into_iter();
    let runs: Vec<_> = runs.map(|run| (run.session, run.sender, run.epoch)).collect();
    assert_eq!(runs, [(first, uuid(51), 1), (third, uuid(50), 2)]);
    assert!(stat.knows_spools_of("web").unwrap() && !stat.knows_spools_of("db").unwrap());
    let directory = stat.spool_runs("web").unwrap()[1].directory.clone();
    let session_of = |sender, directory, epoch| stat.session_of_run(uuid(sender), directory, epoch).unwrap();
    assert_eq!(session_of(50, &directory, 1), Some(second));
    assert_eq!(session_of(50, &directory, 3), None);
    assert_eq!(
        session_of(99, &directory, 2),
        Some(third),
        "by its directory, under another identity"
    );
}

#[test]
fn a_recovery_of_a_ring_that_was_never_registered_is_refused() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    let refused = stat.begin_recovery(session, &LEFT, 2);
    assert!(matches!(refused, Err(Error::Unknown { .. })), "{refused:?}");
}
