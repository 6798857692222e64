//! A state that is published without a record, room that is asked for, and a ring that its own writer gives up.

use crate::scene::{NUMBER, SMALLEST, Scene, TEXT, drain, kinds, logged, numbers};
use hog_ring::{Kind, Resume};

#[test]
fn a_state_alone_holds_for_the_next_run_and_logs_nothing() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    assert!(writer.commit_state(b"before any record").unwrap());
    let reader = scene.reader();
    assert_eq!(reader.state().as_deref(), Some(&b"before any record"[..]));
    writer.log(&NUMBER, (1,)).unwrap();
    assert!(writer.commit_state(b"behind it").unwrap());
    writer.close();
    let mut heir = scene.group().named_writer("n", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"behind it");
    heir.log(&NUMBER, (2,)).unwrap();
    let bytes = drain(&reader, &mut 0);
    assert_eq!(numbers(&logged(&bytes)), [1, 2]);
    assert_eq!(kinds(&bytes)[..4], [Kind::Abort, Kind::Stmt, Kind::Record, Kind::Abort]);
}

#[test]
fn a_state_alone_marks_what_was_dropped_once_there_is_room() {
    let scene = Scene::new();
    let group = scene.options().unreliable().open().unwrap();
    let mut writer = group.named_writer("n", Resume::Auto).unwrap();
    let reader = scene.reader();
    while writer.drops().0 == 0 {
        writer.log(&NUMBER, (1,)).unwrap();
    }
    // As long as the ring is full there is no room for it, and nothing is waited for.
    assert!(!writer.commit_state(b"behind the drop").unwrap());
    assert_eq!(reader.state(), None);
    let mut position = 0;
    drain(&reader, &mut position);
    assert!(writer.commit_state(b"behind the drop").unwrap());
    assert_eq!(reader.state().as_deref(), Some(&b"behind the drop"[..]));
    assert_eq!(kinds(&drain(&reader, &mut position)), [Kind::Gap, Kind::Abort]);
}

#[test]
fn room_is_what_can_be_logged_without_waiting() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    assert_eq!(writer.room().unwrap(), SMALLEST);
    let text = "x".repeat(1000);
    while writer.room().unwrap() >= 4096 {
        let before = writer.tail();
        writer.log(&TEXT, (&text,)).unwrap(); // it would wait for ever if there were none
        assert!(writer.room().unwrap() <= SMALLEST - before);
    }
    drain(&reader, &mut 0);
    assert_eq!(writer.room().unwrap(), SMALLEST);
}

#[test]
fn a_ring_that_its_writer_retires_is_resumed_by_nobody() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    writer.commit_state(b"state").unwrap();
    let uuid = writer.ring_uuid();
    writer.retire();
    let heir = scene.group().named_writer("n", Resume::Auto).unwrap();
    assert!(heir.recovered().is_none() && heir.ring_uuid() != uuid);
    assert_eq!(scene.rings().len(), 2, "the old one is there to be drained");
}
