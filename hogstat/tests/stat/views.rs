//! The views under the original's names, asked as a person in the sqlite3 shell would.

use hogstat::{NewRecovery, NewSession, RecoveryOutcome, RegionState, Role, SenderStatus, SessionKind};

use crate::{Store, begin, ring, spool, texts, uuid};

/// Every row as one line, its columns named and separated by spaces.
fn rows(store: &Store, view: &str) -> Vec<String> {
    let shell = store.shell();
    let mut query = shell.prepare(&format!("SELECT * FROM {view}")).unwrap();
    let names: Vec<_> = query.column_names().map(str::to_owned).collect();
    let line = |row: &rusqlite::Row<'_>| {
        let cells = names.iter().enumerate().map(|(column, name)| {
            use rusqlite::types::ValueRef;
            match row.get_ref(column).unwrap() {
                ValueRef::Integer(n) => format!("{name}={n}"),
                ValueRef::Text(text) => format!("{name}={}", str::from_utf8(text).unwrap()),
                other => panic!("{view}.{name} is {other:?}"),
            }
        });
        Ok(cells.collect::<Vec<_>>().join(" "))
    };
    query.query_map([], line).unwrap().map(Result::unwrap).collect()
}

/// A store in which session 2 recovers what session 1 left of ring 0x60 for `a:1`.
fn recovered_store() -> Store {
    let store = Store::new();
    let mut stat = store.open();
    let first = begin(&mut stat, 1_000_000);
    spool(&mut stat, first, uuid(0x50), 1, &["b:2", "a:1"], 2_000_000);
    stat.register_region(first, &ring(0x60, 7), 3_000_000).unwrap();
    stat.sender_state(first, "web", "a:1", SenderStatus::Suspended, 4_000_000)
        .unwrap();

    let argv = texts(&["hog", "send"]);
    let (role, kind) = (Role::Batchsend, SessionKind::Recovery);
    let again = NewSession {
        role,
        argv: &argv,
        boot: uuid(1),
        pid: 1,
        process_start: 1,
        kind,
        now: 5_000_000,
        synced_by: "threads",
    };
    let second = stat.begin_session(&again).unwrap();
    stat.register_region(second, &ring(0x60, 7), 6_000_000).unwrap();
    stat.region_state(second, uuid(0x60), RegionState::Ended, 64, 7_000_000)
        .unwrap();
    stat.register_region(second, &ring(0x61, 8), 7_000_000).unwrap();
    stat.region_state(second, uuid(0x61), RegionState::Lost, 64, 8_000_000)
        .unwrap();
    let left = NewRecovery {
        ring: uuid(0x60),
        address: "a:1",
        from: 16,
        to: 64,
    };
    stat.begin_recovery(second, &left, 8_500_000).unwrap();
    stat.begin_recovery(second, &NewRecovery { address: "b:2", ..left }, 8_500_000)
        .unwrap();
    stat.end_recovery(second, uuid(0x60), "a:1", 64, RecoveryOutcome::Delivered, 9_000_000)
        .unwrap();
    stat.sender_state(second, "web", "a:1", SenderStatus::Closed, 10_000_000)
        .unwrap();
    stat.record_connection(second, "10.0.0.1", 999, "web", uuid(0x50), 11_000_000)
        .unwrap();
    store
}

const SENDER: &str = "00000000-0000-0000-0000-000000000050";
const RING: &str = "00000000-0000-0000-0000-000000000060";
const LOST: &str = "00000000-0000-0000-0000-000000000061";

#[test]
fn process_environment_has_each_session_with_its_command_line() {
    assert_eq!(
        rows(&recovered_store(), "ProcessEnvironment"),
        [
            r#"startTime=1000 sessionHash=1 runMode=batchsend argv=["hog","batchsend","-g","web"] sessionType=Normal"#,
            r#"startTime=5000 sessionHash=2 runMode=batchsend argv=["hog","send"] sessionType=Recovery"#,
        ]
    );
}

#[test]
fn reader_registration_has_each_ring_that_a_session_drained() {
    let rest = "shmname=/dev/shm/hog/web/nginx.ring groupName=web";
    assert_eq!(
        rows(&recovered_store(), "ReaderRegistration"),
        [
            format!("datetime=3000 sessionHash=1 writerId=nginx readerId={RING} {rest}"),
            format!("datetime=6000 sessionHash=2 writerId=nginx readerId={RING} {rest}"),
            format!("datetime=7000 sessionHash=2 writerId=nginx readerId={LOST} {rest}"),
        ]
    );
}

#[test]
fn sender_registration_has_each_spool_with_its_destinations_as_named() {
    assert_eq!(
        rows(&recovered_store(), "SenderRegistration"),
        [
            format!(
                "datetime=2000 sessionHash=1 senderId={SENDER} directory=/spool/web senderqueue=[\"b:2\",\"a:1\"] groupName=web"
            ),
            format!(
                "datetime=10000 sessionHash=2 senderId={SENDER} directory=/spool/web senderqueue=[\"a:1\"] groupName=web"
            ),
        ]
    );
}

#[test]
fn reader_state_tells_started_closed_and_lost() {
    assert_eq!(
        rows(&recovered_store(), "ReaderState"),
        [
            format!("datetime=3000 sessionHash=1 id={RING} status=Started"),
            format!("datetime=6000 sessionHash=2 id={RING} status=Started"),
            format!("datetime=7000 sessionHash=2 id={RING} status=Closed"),
            format!("datetime=7000 sessionHash=2 id={LOST} status=Started"),
            format!("datetime=8000 sessionHash=2 id={LOST} status=Lost"),
        ]
    );
}

#[test]
fn sender_state_tells_started_suspended_and_closed_of_each_destination() {
    assert_eq!(
        rows(&recovered_store(), "SenderState"),
        [
            format!("datetime=2000 sessionHash=1 id={SENDER} status=Started destination=b:2"),
            format!("datetime=2000 sessionHash=1 id={SENDER} status=Started destination=a:1"),
            format!("datetime=4000 sessionHash=1 id={SENDER} status=Suspended destination=a:1"),
            format!("datetime=10000 sessionHash=2 id={SENDER} status=Closed destination=a:1"),
        ]
    );
}

#[test]
fn session_recovered_names_the_session_that_left_the_region_and_what_came_of_it() {
    assert_eq!(
        rows(&recovered_store(), "SessionRecovered"),
        [format!(
            "datetime=9000 sessionHash=2 senderId={SENDER} readerId={RING} originalSessionTime=1000 destination=a:1 \
             outcome=delivered bytes=48"
        )]
    );
}

#[test]
fn recv_connection_has_each_accepted_connection() {
    assert_eq!(
        rows(&recovered_store(), "RecvConnection"),
        [format!(
            "datetime=11000 remoteHost=10.0.0.1 remotePort=999 sessionHash=2 groupName=web senderId={SENDER}"
        )]
    );
}
