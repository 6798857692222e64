//! Records and transactions that are longer than may stand unfragmented.

use crate::scene::{NUMBER, SMALLEST, Scene, TEXT, drain, kinds, logged, numbers, wait_until};
use hog_ring::limits::{RECORD_MAX, unfragmented_max};
use hog_ring::{Error, Kind, Resume};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn five_mebibytes_pass_through_the_smallest_ring() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let text: String = (0..5 << 20)
        .map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap()))
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let logging = std::thread::spawn({
        let (text, done) = (text.clone(), done.clone());
        move || {
            writer.log(&NUMBER, (1,)).unwrap();
            writer.log(&TEXT, (&text,)).unwrap();
            writer.log(&NUMBER, (2,)).unwrap();
            done.store(true, Ordering::Release);
        }
    });
    let (mut position, mut bytes) = (0, Vec::new());
    wait_until("everything is logged", || {
        bytes.extend(drain(&reader, &mut position));
        done.load(Ordering::Acquire)
    });
    logging.join().unwrap();
    bytes.extend(drain(&reader, &mut position));
    let found = logged(&bytes);
    assert_eq!(found.len(), 3);
    assert!(found[1].payload[8..] == *text.as_bytes());
}

#[test]
fn record_at_the_bound_stands_whole_and_one_above_does_not() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let bound = unfragmented_max(SMALLEST);
    let text = "x".repeat(bound - 16 + 1);
    writer.log(&TEXT, (&text[1..],)).unwrap();
    writer.log(&TEXT, (&text,)).unwrap();
    let bytes = drain(&reader, &mut 0);
    assert_eq!(
        kinds(&bytes),
        [Kind::Stmt, Kind::Record, Kind::Fragment, Kind::Fragment]
    );
    assert_eq!(
        logged(&bytes).iter().map(|seen| seen.payload.len()).collect::<Vec<_>>(),
        [bound - 8, bound - 7]
    );
}

#[test]
fn long_transaction_keeps_its_records_and_their_marks() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let mut transaction = writer.transaction();
    for number in 0..2000 {
        transaction.log(&NUMBER, (number,)).unwrap();
    }
    // New to the ring while a run is open: defined before the fragments.
    transaction.log(&TEXT, ("last",)).unwrap();
    transaction.commit().unwrap();
    let bytes = drain(&reader, &mut 0);
    assert_eq!(kinds(&bytes)[..3], [Kind::Stmt, Kind::Stmt, Kind::Fragment]);
    let mut found = logged(&bytes);
    assert!(!found.pop().unwrap().more);
    assert!(found.iter().all(|seen| seen.more));
    assert_eq!(numbers(&found), (0..2000).collect::<Vec<_>>());
}

#[test]
fn long_transaction_can_be_rolled_back() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let mut transaction = writer.transaction();
    transaction.log(&TEXT, (&"x".repeat(100_000),)).unwrap();
    transaction.rollback();
    writer.log(&NUMBER, (1,)).unwrap();
    assert_eq!(numbers(&logged(&drain(&scene.reader(), &mut 0))), [1]);
}

#[test]
fn batch_takes_a_long_record_alone() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let long = "x".repeat(20_000);
    let mut batch = writer.batch();
    assert!(batch.log(&NUMBER, (1,)).unwrap());
    assert!(!batch.log(&TEXT, (&long,)).unwrap());
    batch.commit().unwrap();
    assert!(batch.log(&TEXT, (&long,)).unwrap());
    assert!(!batch.log(&NUMBER, (2,)).unwrap());
    batch.commit().unwrap();
    assert_eq!(logged(&drain(&scene.reader(), &mut 0)).len(), 2);
}

#[test]
fn run_that_was_given_up_is_voided_before_the_next_record() {
    let scene = Scene::new();
    let stop = Arc::new(AtomicBool::new(true));
    let mut writer = scene
        .options()
        .stop_flag(stop)
        .open()
        .unwrap()
        .named_writer("n", Resume::Auto)
        .unwrap();
    let reader = scene.reader();
    writer.set_state(b"before").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    writer.set_state(b"with the long one").unwrap();
    assert!(matches!(
        writer.log(&TEXT, (&"x".repeat(100_000),)),
        Err(Error::Stopped)
    ));
    let mut position = 0;
    let mut bytes = drain(&reader, &mut position);
    assert_eq!(kinds(&bytes).last(), Some(&Kind::Fragment));

    writer.log(&NUMBER, (2,)).unwrap();
    bytes.extend(drain(&reader, &mut position));
    let last_two = kinds(&bytes).split_off(kinds(&bytes).len() - 2);
    assert_eq!(last_two, [Kind::Abort, Kind::Record]);
    assert_eq!(numbers(&logged(&bytes)), [1, 2]);
}

#[test]
fn state_holds_only_with_the_last_fragment() {
    let scene = Scene::new();
    let stop = Arc::new(AtomicBool::new(true));
    let mut writer = scene
        .options()
        .stop_flag(stop)
        .open()
        .unwrap()
        .named_writer("n", Resume::Auto)
        .unwrap();
    writer.set_state(b"before").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let mut transaction = writer.transaction();
    transaction.log(&TEXT, (&"x".repeat(100_000),)).unwrap();
    transaction.set_state(b"after").unwrap();
    assert!(matches!(transaction.commit(), Err(Error::Stopped)));
    drop(writer);
    let heir = scene.group().named_writer("n", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"before");
}

#[test]
fn state_does_not_hold_with_a_record_that_was_given_up() {
    let scene = Scene::new();
    let stop = Arc::new(AtomicBool::new(true));
    let mut writer = scene
        .options()
        .stop_flag(stop)
        .open()
        .unwrap()
        .named_writer("n", Resume::Auto)
        .unwrap();
    writer.set_state(b"before").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    writer.set_state(b"after").unwrap();
    assert!(matches!(
        writer.log(&TEXT, (&"x".repeat(100_000),)),
        Err(Error::Stopped)
    ));
    drop(writer);
    let heir = scene.group().named_writer("n", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"before");
}

#[test]
fn longest_record_is_taken_and_a_longer_one_refused() {
    let scene = Scene::new();
    let mut writer = scene.options().ring_size(32 << 20).open().unwrap().writer().unwrap();
    let mut text = "x".repeat(RECORD_MAX - 8);
    writer.log(&TEXT, (&text,)).unwrap();
    text.push('x');
    assert!(matches!(
        writer.log(&TEXT, (&text,)),
        Err(Error::TooLong { max: RECORD_MAX, .. })
    ));
    assert_eq!(logged(&drain(&scene.reader(), &mut 0))[0].payload.len(), RECORD_MAX);
}
