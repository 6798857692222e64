//! What becomes of records when hogstat.db does not: deleted, cut short, overwritten, locked by another program, on a full disk, or of a later hog.
//!
//! Killing a sender between any two of its writes to it is in `syscalls`.

use crate::roles::Receiver;
use crate::scene::{Scene, wait_until};
use crate::small_disk::SmallDisk;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A shipment whose sender was killed with all of its first half in the spool, and nothing of it acknowledged.
struct Backlog {
    scene: Scene,
    receiver: Receiver,
    lines: [Vec<u8>; 2],
}

impl Backlog {
    fn left_in(scene: Scene) -> Self {
        let lines = [scene.lines(1 << 20), scene.lines(1 << 20)];
        let mut receiver = scene.receiver("recv");
        receiver.kill();
        let mut sender = scene.sender(&[&receiver.address]);
        // Of a program that has ended: so it is known from the database alone whom it is owed to.
        scene.pipe(&scene.file("first.log", &lines[0])).succeed();
        wait_until("all is in the spool", || scene.rings().is_empty());
        sender.kill();
        Self { scene, receiver, lines }
    }

    fn database(&self, suffix: &str) -> PathBuf {
        self.scene.store().join(format!("hogstat.db{suffix}"))
    }

    /// That the next sender ships all of it, and what comes then.
    fn assert_recovered(self) {
        self.assert_recovered_if(|| ());
    }

    /// The same, and that `also` holds then.
    fn assert_recovered_if(mut self, also: impl FnOnce()) {
        let scene = &self.scene;
        self.receiver.start(scene);
        let _sender = scene.sender(&[&self.receiver.address]);
        scene.log(&[&scene.file("second.log", &self.lines[1])]);
        scene.wait_acked();
        scene.assert_arrived(&self.receiver, &self.lines.concat());
        also();
    }
}

#[test]
fn a_database_that_was_deleted_costs_no_record() {
    let backlog = Backlog::left_in(Scene::new());
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(backlog.database(suffix));
    }
    backlog.assert_recovered();
}

#[test]
fn a_database_that_was_overwritten_with_garbage_costs_no_record_and_is_set_aside() {
    let backlog = Backlog::left_in(Scene::new());
    // With its log, SQLite would write the pages anew that were overwritten.
    std::fs::remove_file(backlog.database("-wal")).unwrap();
    let garbage = b"no database at all ".repeat(1000);
    std::fs::write(backlog.database(""), &garbage).unwrap();
    let aside = backlog.database(".corrupt-1");
    backlog.assert_recovered_if(|| assert_eq!(std::fs::read(&aside).unwrap(), garbage));
}

#[test]
fn a_database_that_was_cut_short_anywhere_costs_no_record() {
    for (suffix, parts) in [
        ("", 0),
        ("", 1),
        ("", 5),
        ("-wal", 0),
        ("-wal", 3),
        ("-wal", 7),
        ("-shm", 0),
    ] {
        let backlog = Backlog::left_in(Scene::new());
        let path = backlog.database(suffix);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        println!("{suffix:?} cut to {parts} eighths of {length} bytes"); // shown if it fails
        file.set_len(length * parts / 8).unwrap();
        backlog.assert_recovered();
    }
}

/// What another program does that keeps a database for itself.
fn lock(backlog: &Backlog) -> Connection {
    let other = Connection::open(backlog.database("")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    other
}

#[test]
fn a_database_that_another_program_locks_holds_up_no_running_sender() {
    let mut backlog = Backlog::left_in(Scene::new());
    let Backlog { scene, receiver, lines } = &mut backlog;
    let mut sender = scene.sender(&[&receiver.address]);
    wait_until("the sender runs", || sender.words().contains("not reachable"));
    let other = Connection::open(scene.store().join("hogstat.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    receiver.start(scene);
    scene.log(&[&scene.file("second.log", &lines[1])]);
    wait_until("all has arrived", || {
        scene.raw(&receiver.archive).len() == lines.concat().len()
    });
    // It ends in order though it cannot write it down.
    sender.terminate();
    sender.succeed();
    drop(other);
    let _sender = scene.sender(&[&receiver.address]);
    scene.wait_acked();
    scene.assert_arrived(receiver, &lines.concat());
}

#[test]
fn a_sender_whose_database_is_locked_when_it_starts_begins_once_it_is_free() {
    let backlog = Backlog::left_in(Scene::new());
    let other = lock(&backlog);
    let mut sender = backlog.scene.sender(&[&backlog.receiver.address]);
    wait_until("it says what it waits for", || {
        assert!(sender.is_running(), "{}", sender.words());
        sender.words().contains("hogstat.db")
    });
    // Whoever does not want to wait can end it.
    sender.terminate();
    sender.succeed();
    let mut sender = backlog.scene.sender(&[&backlog.receiver.address]);
    wait_until("it says what it waits for", || sender.words().contains("hogstat.db"));
    drop(other);
    wait_until("it begins", || sender.words().contains("not reachable"));
    sender.kill();
    backlog.assert_recovered();
}

#[test]
fn a_database_on_a_full_disk_holds_up_no_sender_that_runs_and_none_that_starts() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.store(), 8) else {
        return;
    };
    let mut backlog = Backlog::left_in(scene);
    let filling = disk.fill_but(0);
    let Backlog { scene, receiver, lines } = &mut backlog;
    receiver.start(scene);
    let mut arrived = lines[0].clone();
    for life in 0..5 {
        let mut sender = scene.sender(&[&receiver.address]);
        let more = scene.lines(100_000);
        scene.log(&[&scene.file(&format!("life-{life}.log"), &more)]);
        arrived.extend(more);
        wait_until("all has arrived", || {
            assert!(sender.is_running(), "{}", sender.words());
            scene.raw(&receiver.archive).len() == arrived.len()
        });
        sender.kill();
    }
    filling.remove();
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("second.log", &lines[1])]);
    scene.wait_acked();
    arrived.extend_from_slice(&lines[1]);
    scene.assert_arrived(receiver, &arrived);
}

/// All files that lie in the store and are not empty, but for the lock, and the index that SQLite keeps for readers.
fn store(scene: &Scene) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(scene.store())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| {
            !["lock", "hogstat.db-shm"]
                .map(|name| path.ends_with(name))
                .contains(&true)
                && path.is_file()
        })
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect()
}

#[test]
fn a_database_of_a_later_hog_is_refused_and_not_touched() {
    let backlog = Backlog::left_in(Scene::new());
    let other = Connection::open(backlog.database("")).unwrap();
    let version: u32 = other
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    other.pragma_update(None, "user_version", 1000).unwrap();
    // Checkpoints the log and removes it, as whoever closes last does.
    drop(other);
    let before = store(&backlog.scene);
    let refused = backlog.scene.sender(&[&backlog.receiver.address]).finish();
    refused.assert_refused(4, &["hogstat.db", "1000"]);
    assert!(store(&backlog.scene) == before, "the store has changed");
    // The hog that wrote it goes on with it.
    let other = Connection::open(backlog.database("")).unwrap();
    other.pragma_update(None, "user_version", version).unwrap();
    drop(other);
    backlog.assert_recovered();
}
