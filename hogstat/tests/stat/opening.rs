//! Opening, versions, damage, and several connections at once.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use hogstat::{Error, Stat, set_aside};

use crate::{Store, begin, ring, spool, uuid};

#[test]
fn empty_directory_gets_a_database_of_the_latest_version() {
    let store = Store::new();
    let stat = store.open();
    assert!(stat.overview().unwrap().sessions.is_empty());
    let version: i64 = store
        .shell()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 7);
}

#[test]
fn empty_file_is_a_fresh_database() {
    let store = Store::new();
    fs::write(store.path(), b"").unwrap();
    begin(&mut store.open(), 1);
}

#[test]
fn database_of_the_first_version_is_brought_up_to_date_and_keeps_its_rows() {
    let store = Store::new();
    let old = store.shell();
    old.execute_batch(include_str!("../../src/migrations/0001_tables.sql"))
        .unwrap();
    old.execute_batch(
        "PRAGMA application_id = 0x486f6753; PRAGMA user_version = 1;
         INSERT INTO sessions VALUES (5, 'local', 'normal', '[\"hog\"]', '00000000-0000-0000-0000-000000000001',
                                      1, 2, 3, NULL);
         INSERT INTO regions VALUES (7, '00000000-0000-0000-0000-000000000060', 'web', 'nginx', '/x.ring',
                                     '00000000-0000-0000-0000-000000000001', 2, 65536, 5, 3, 'kept', 64, 4);
         INSERT INTO reader_registrations VALUES (5, 7, 3);
         INSERT INTO recoveries VALUES (1, 5, 7, 'a:1', 5, 9);",
    )
    .unwrap();
    drop(old);
    assert!(matches!(
        Stat::open_read_only(&store.path()),
        Err(Error::Older { found: 1, known: 7, .. })
    ));
    let overview = store.open().overview().unwrap();
    assert_eq!(overview.sessions[0].started, 3);
    assert_eq!(
        (overview.regions[0].ring, overview.regions[0].position),
        (crate::uuid(0x60), 64)
    );
    assert_eq!(overview.recoveries[0].ended, Some(9));
    let orphans: i64 = store
        .shell()
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(orphans, 0);
    let modes: i64 = store
        .shell()
        .query_row("SELECT count(*) FROM ProcessEnvironment", [], |row| row.get(0))
        .unwrap();
    assert_eq!(modes, 1);
}

#[test]
fn newer_database_is_refused_and_not_a_byte_of_it_changes() {
    let store = Store::new();
    begin(&mut store.open(), 1);
    store.shell().pragma_update(None, "user_version", 77).unwrap();
    let before = fs::read(store.path()).unwrap();
    for refused in [Stat::open(&store.path()), Stat::open_read_only(&store.path())] {
        assert!(
            matches!(
                refused,
                Err(Error::Newer {
                    found: 77,
                    known: 7,
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    assert_eq!(fs::read(store.path()).unwrap(), before);
}

#[test]
fn newer_version_that_stands_only_in_the_log_of_a_killed_hog_is_refused_and_stays_there() {
    let (store, killed) = (Store::new(), Store::new());
    let stat = store.open();
    let later = store.shell();
    later.pragma_update(None, "user_version", 77).unwrap();
    // A kill leaves the files as they are now, with the last commit in the log.
    for suffix in ["", "-wal"] {
        let name = format!("hogstat.db{suffix}");
        fs::copy(store.directory.path().join(&name), killed.directory.path().join(&name)).unwrap();
    }
    drop((stat, later));
    let log = killed.directory.path().join("hogstat.db-wal");
    let before = (fs::read(killed.path()).unwrap(), fs::read(&log).unwrap());
    assert!(matches!(
        Stat::open(&killed.path()),
        Err(Error::Newer { found: 77, .. })
    ));
    assert_eq!((fs::read(killed.path()).unwrap(), fs::read(&log).unwrap()), before);
}

#[test]
fn garbage_is_corrupt_and_set_aside_and_a_fresh_database_takes_its_place() {
    let store = Store::new();
    let garbage = b"this was never a database ".repeat(1000);
    for n in 1..=2 {
        fs::write(store.path(), &garbage).unwrap();
        let log = store.directory.path().join("hogstat.db-wal");
        fs::write(&log, b"its log").unwrap();
        assert!(matches!(Stat::open(&store.path()), Err(Error::Corrupt { .. })));
        assert!(matches!(
            Stat::open_read_only(&store.path()),
            Err(Error::Corrupt { .. })
        ));

        let aside = set_aside(&store.path()).unwrap();
        assert_eq!(aside, store.directory.path().join(format!("hogstat.db.corrupt-{n}")));
        assert_eq!(fs::read(&aside).unwrap(), garbage);
        assert!(!store.path().exists() && !log.exists());

        let mut fresh = store.open();
        assert!(fresh.overview().unwrap().sessions.is_empty());
        begin(&mut fresh, 1);
    }
}

#[test]
fn database_of_another_program_is_corrupt_and_not_written() {
    let store = Store::new();
    store.shell().execute_batch("CREATE TABLE cookies (name TEXT)").unwrap();
    let before = fs::read(store.path()).unwrap();
    assert!(matches!(Stat::open(&store.path()), Err(Error::Corrupt { .. })));
    assert_eq!(fs::read(store.path()).unwrap(), before);
}

#[test]
fn page_overwritten_inside_a_sound_looking_file_is_found_at_open() {
    let store = Store::new();
    begin(&mut store.open(), 1);
    let mut file = fs::OpenOptions::new().write(true).open(store.path()).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&[0xa5; 4096]).unwrap();
    assert!(matches!(Stat::open(&store.path()), Err(Error::Corrupt { .. })));
}

#[test]
fn truncated_file_is_corrupt() {
    let store = Store::new();
    begin(&mut store.open(), 1);
    fs::OpenOptions::new()
        .write(true)
        .open(store.path())
        .unwrap()
        .set_len(3 * 4096)
        .unwrap();
    assert!(matches!(Stat::open(&store.path()), Err(Error::Corrupt { .. })));
}

#[test]
fn row_that_this_crate_cannot_have_written_is_corruption() {
    let store = Store::new();
    let mut stat = store.open();
    begin(&mut stat, 1);
    store
        .shell()
        .execute("UPDATE sessions SET process_start = -1", [])
        .unwrap();
    assert!(matches!(stat.overview(), Err(Error::Corrupt { .. })));
}

#[test]
fn set_aside_of_nothing_is_not_found() {
    let store = Store::new();
    assert_eq!(
        set_aside(&store.path()).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
    assert!(store.files().is_empty());
}

#[test]
fn reading_needs_a_database_and_never_makes_one() {
    let store = Store::new();
    assert!(matches!(
        Stat::open_read_only(&store.path()),
        Err(Error::Missing { .. })
    ));
    assert!(store.files().is_empty());
}

#[test]
fn directory_that_does_not_exist_is_an_io_error_that_says_so() {
    let store = Store::new();
    let refused = Stat::open(&store.directory.path().join("gone/hogstat.db"));
    assert!(
        matches!(&refused, Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound),
        "{refused:?}"
    );
}

#[test]
fn reader_alone_cannot_write() {
    let store = Store::new();
    let session = begin(&mut store.open(), 1);
    let mut reader = Stat::open_read_only(&store.path()).unwrap();
    assert!(matches!(reader.close_session(session, 2), Err(Error::Sqlite { .. })));
    assert_eq!(reader.overview().unwrap().sessions[0].ended, None);
}

#[test]
fn reopened_database_has_all_that_was_recorded() {
    let store = Store::new();
    let mut stat = store.open();
    let session = begin(&mut stat, 1);
    spool(&mut stat, session, uuid(50), 3, &["a:1", "b:2"], 2);
    stat.register_region(session, &ring(60, 7), 3).unwrap();
    stat.note_acknowledged(uuid(50), "b:2", &[(uuid(60), 128)], 4).unwrap();
    stat.record_fault(session, hogstat::FaultKind::Fault, "a:1", "connection reset", 5)
        .unwrap();
    stat.record_connection(session, "10.0.0.1", 999, "web", uuid(50), 6)
        .unwrap();
    let before = stat.overview().unwrap();
    drop(stat);
    assert_eq!(store.files(), ["hogstat.db"], "a clean close leaves no log behind");
    assert_eq!(store.open().overview().unwrap(), before);
    assert_eq!(Stat::open_read_only(&store.path()).unwrap().overview().unwrap(), before);
}

#[test]
fn reader_sees_each_commit_while_the_writer_stays_open() {
    let store = Store::new();
    let mut writer = store.open();
    let reader = Stat::open_read_only(&store.path()).unwrap();
    for n in 1..=3 {
        begin(&mut writer, n);
        assert_eq!(reader.overview().unwrap().sessions.len(), usize::try_from(n).unwrap());
    }
}

#[test]
fn two_writers_in_two_threads_take_turns() {
    let store = Store::new();
    store.open();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut stat = store.open();
            scope.spawn(move || {
                for now in 0..20 {
                    begin(&mut stat, now);
                }
            });
        }
    });
    assert_eq!(store.open().overview().unwrap().sessions_not_closed, 40);
}
