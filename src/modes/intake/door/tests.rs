//! Clients that say nothing, nonsense, or too much, and sockets that are somebody else's.

use super::super::names::Claimed;
use super::*;
use hog_ring::v2::WaitPolicy;
use std::io::Write;

fn door(path: &Path) -> Door {
    Door::new(path.to_owned(), &Handed::default(), &Recorder::to_nowhere()).unwrap()
}

/// Looks until `count` registrations came.
fn registrations(door: &mut Door, count: usize) -> Vec<(Registration, Peer)> {
    let mut found = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while found.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} registrations came",
            found.len()
        );
        door.look(Duration::from_millis(5), &mut found).unwrap();
    }
    found
}

fn record(tid: u64) -> Vec<u8> {
    let pid = u64::from(std::process::id());
    [&[0][..], &pid.to_le_bytes(), &tid.to_le_bytes()].concat()
}

const VERSION: [u8; 4] = [0, 0, 2, 0];

#[test]
fn silent_clients_and_those_that_say_nonsense_keep_no_producer_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut door = door(&path);
    door.look(Duration::ZERO, &mut Vec::new()).unwrap();
    let mut silent = Vec::new();
    for number in 0..3 * STRANGERS_MAX {
        let mut client = UnixStream::connect(&path).unwrap();
        match number % 3 {
            0 => client.write_all(b"GET / HTTP/1.0").unwrap(),
            1 => client.write_all(&VERSION[..3]).unwrap(),
            _ => {}
        }
        silent.push(client);
        door.look(Duration::ZERO, &mut Vec::new()).unwrap();
    }
    let mut producer = UnixStream::connect(&path).unwrap();
    producer.write_all(&[&VERSION[..], &record(7)].concat()).unwrap();
    let found = registrations(&mut door, 1);
    let pid = std::process::id();
    let expected = Registration {
        claimed: Claimed { pid, tid: 7 },
        policy: WaitPolicy::Futex,
        is_again: false,
    };
    assert_eq!(found[0].0, expected);
    assert_eq!(found[0].1.pid, pid);
    assert!(
        door.clients.len() <= STRANGERS_MAX + 1,
        "{} are let in",
        door.clients.len()
    );
    // It stays, and is heard again, while others come and go.
    for _ in 0..STRANGERS_MAX {
        silent.push(UnixStream::connect(&path).unwrap());
        door.look(Duration::ZERO, &mut Vec::new()).unwrap();
    }
    producer.write_all(&record(8)).unwrap();
    assert_eq!(registrations(&mut door, 1)[0].0.claimed.tid, 8);
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_and_a_file_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    drop(bind(&path).unwrap());
    assert!(path.exists(), "as a killed process leaves it");
    let living = bind(&path).unwrap();
    assert!(matches!(bind(&path), Err(BindError::Taken)));
    drop(living);
    let file = directory.path().join("f");
    std::fs::write(&file, "mine").unwrap();
    assert!(matches!(bind(&file), Err(BindError::NoSocket)));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let long = directory.path().join("l".repeat(PATH_MAX));
    assert!(matches!(bind(&long), Err(BindError::Long { .. })));
    assert!(matches!(
        bind(&directory.path().join("missing/s")),
        Err(BindError::Io(_))
    ));
}

#[test]
fn a_socket_that_cannot_be_had_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let others = bind(&path).unwrap();
    let mut door = door(&path);
    door.look(Duration::ZERO, &mut Vec::new()).unwrap();
    assert!(door.listener.is_none() && door.was_told);
    drop(others);
    door.bind_due = Instant::now();
    door.look(Duration::ZERO, &mut Vec::new()).unwrap();
    let mut producer = UnixStream::connect(&path).unwrap();
    producer.write_all(&[&VERSION[..], &record(1)].concat()).unwrap();
    registrations(&mut door, 1);
    door.close();
    assert!(!path.exists());
}
