//! Sessions, faults, connections.

use hogstat::{Error, FaultKind, NewSession, Role, SessionKind};

use crate::{Store, begin, texts, uuid};

#[test]
fn session_is_not_closed_until_it_says_so_and_the_first_time_counts() {
    let store = Store::new();
    let mut stat = store.open();
    let (killed, clean) = (begin(&mut stat, 10), begin(&mut stat, 20));
    stat.close_session(clean, 30).unwrap();
    stat.close_session(clean, 40).unwrap();
    let overview = stat.overview().unwrap();
    assert_eq!(overview.sessions_not_closed, 1);
    let ended: Vec<_> = overview
        .sessions
        .iter()
        .map(|session| (session.id, session.ended))
        .collect();
    assert_eq!(ended, [(clean, Some(30)), (killed, None)]);
}

#[test]
fn session_keeps_its_command_line_word_for_word() {
    let store = Store::new();
    let mut stat = store.open();
    let argv = texts(&["hog", "", "a b", "\"quoted\"", "grün\n", "nul\0"]);
    let new = NewSession {
        role: Role::Engine,
        argv: &argv,
        boot: uuid(2),
        pid: u32::MAX,
        process_start: 5,
        kind: SessionKind::Recovery,
        now: 1,
        synced_by: "io_uring",
    };
    stat.begin_session(&new).unwrap();
    let session = stat.overview().unwrap().sessions.remove(0);
    assert_eq!(session.synced_by.as_deref(), Some("io_uring"));
    assert_eq!((session.argv, session.pid), (argv, u32::MAX));
    assert_eq!((session.role, session.kind), (Role::Engine, SessionKind::Recovery));
}

#[test]
fn session_of_another_database_is_unknown_here() {
    let (here, there) = (Store::new(), Store::new());
    let session = begin(&mut there.open(), 1);
    assert!(matches!(
        here.open().close_session(session, 2),
        Err(Error::Unknown { .. })
    ));
    assert!(matches!(
        here.open().record_fault(session, FaultKind::Fault, "x", "y", 2),
        Err(Error::Unknown { .. })
    ));
}

#[test]
fn number_above_what_a_column_holds_is_refused_not_wrapped() {
    let store = Store::new();
    let mut stat = store.open();
    let noted = stat.note_acknowledged(uuid(1), "a:1", &[(uuid(2), 8), (uuid(3), u64::MAX)], 1);
    assert!(matches!(noted, Err(Error::Unstorable { .. })), "{noted:?}");
    assert!(
        stat.acknowledged(uuid(1), "a:1").unwrap().is_empty(),
        "nor was the other one stored"
    );
}

#[test]
fn endless_fault_text_is_cut_between_characters() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    let what = format!("x{}", "é".repeat(4096));
    stat.record_fault(session, FaultKind::Fault, "ring", &what, 2).unwrap();
    let fault = stat.overview().unwrap().faults.remove(0);
    assert_eq!((fault.object.as_str(), fault.what.len()), ("ring", 4095));
    assert!(what.starts_with(&fault.what));
}

#[test]
fn oldest_faults_and_connections_make_room_for_the_latest() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    stat.record_fault(session, FaultKind::Fault, "ring", "the oldest", 1)
        .unwrap();
    stat.record_connection(session, "10.0.0.1", 1, "web", uuid(1), 1)
        .unwrap();
    store
        .shell()
        .execute_batch(
            "INSERT INTO faults SELECT 10000, session, time, object, 'the latest but one', kind, last, count FROM faults;
             INSERT INTO receive_connections SELECT 10000, session, time, remote, 2, group_name, sender
                                               FROM receive_connections;",
        )
        .unwrap();
    stat.record_fault(session, FaultKind::Fault, "ring", "the latest", 2)
        .unwrap();
    stat.record_connection(session, "10.0.0.1", 3, "web", uuid(1), 2)
        .unwrap();
    let overview = stat.overview().unwrap();
    let faults: Vec<_> = overview.faults.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(faults, ["the latest", "the latest but one"]);
    let ports: Vec<_> = overview.connections.iter().map(|connection| connection.port).collect();
    assert_eq!(ports, [3, 2]);
}

#[test]
fn fault_that_comes_again_is_counted_and_has_its_first_and_last_time() {
    let store = Store::new();
    let mut stat = store.open();
    let first = begin(&mut stat, 1);
    for now in [5, 7, 6] {
        stat.record_fault(first, FaultKind::Peer, "peers", "nonsense", now)
            .unwrap();
    }
    stat.record_fault(first, FaultKind::Fault, "peers", "nonsense", 8)
        .unwrap();
    let second = begin(&mut stat, 9);
    stat.record_fault(second, FaultKind::Peer, "peers", "nonsense", 10)
        .unwrap();
    let faults = stat.faults_since(0).unwrap();
    let shown: Vec<_> = faults
        .iter()
        .map(|fault| (fault.session, fault.kind, fault.count, fault.time, fault.last))
        .collect();
    assert_eq!(
        shown,
        [
            (first, FaultKind::Peer, 3, 5, 7),
            (first, FaultKind::Fault, 1, 8, 8),
            (second, FaultKind::Peer, 1, 10, 10)
        ]
    );
    assert_eq!(stat.faults_since(8).unwrap(), faults[1..]);
}

#[test]
fn session_that_lost_something_or_does_without_a_worker_is_degraded_and_the_next_is_not() {
    let store = Store::new();
    let mut stat = store.open();
    for kind in [FaultKind::Loss, FaultKind::GivenUp] {
        let session = begin(&mut stat, 1);
        stat.record_fault(session, FaultKind::Panic, "drain web", "on purpose", 2)
            .unwrap();
        assert!(!stat.overview().unwrap().is_degraded);
        stat.record_fault(session, kind, "drain web", "words", 3).unwrap();
        assert!(stat.overview().unwrap().is_degraded, "{kind}");
    }
    begin(&mut stat, 4);
    assert!(!stat.overview().unwrap().is_degraded);
}
