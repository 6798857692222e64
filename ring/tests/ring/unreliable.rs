//! Unreliable groups: what finds no room is counted, and the stream says so.

use crate::scene::{NUMBER, SMALLEST, Scene, TEXT, drain, kinds, logged, numbers, records};
use hog_ring::Kind;
use hog_ring::record::gap_totals;

#[test]
fn what_is_missing_is_what_the_gap_says() {
    let scene = Scene::new();
    let mut writer = scene.options().unreliable().open().unwrap().writer().unwrap();
    let reader = scene.reader();
    assert!(reader.identity().unreliable);
    let (mut position, mut bytes) = (0, Vec::new());
    let count = 20_000;
    for number in 0..count {
        writer.log(&NUMBER, (number,)).unwrap();
        if number % 7_000 == 6_999 {
            bytes.extend(drain(&reader, &mut position));
        }
    }
    let (dropped, dropped_bytes) = writer.drops();
    assert!(dropped > 0);
    bytes.extend(drain(&reader, &mut position));
    writer.log(&NUMBER, (count,)).unwrap();
    bytes.extend(drain(&reader, &mut position));

    let found = numbers(&logged(&bytes));
    assert!(found.is_sorted() && found.last() == Some(&count));
    assert_eq!(found.len() as u64 + dropped, count + 1);
    assert_eq!(dropped_bytes, dropped * 16);
    let last_gap = records(&bytes)
        .into_iter()
        .rfind(|record| record.kind == Kind::Gap)
        .unwrap();
    assert_eq!(gap_totals(&last_gap.payload), Some((dropped, dropped_bytes)));
    assert_eq!(reader.drops(), (dropped, dropped_bytes));
}

#[test]
fn totals_hold_before_any_later_success() {
    let scene = Scene::new();
    let mut writer = scene.options().unreliable().open().unwrap().writer().unwrap();
    for number in 0..10_000 {
        writer.log(&NUMBER, (number,)).unwrap();
    }
    drop(writer);
    let reader = scene.reader();
    let found = logged(&drain(&reader, &mut 0));
    assert_eq!(reader.drops().0 + found.len() as u64, 10_000);
}

#[test]
fn transaction_is_dropped_whole() {
    let scene = Scene::new();
    let mut writer = scene.options().unreliable().open().unwrap().writer().unwrap();
    let reader = scene.reader();
    let filler = "x".repeat(15_000);
    for _ in 0..4 {
        writer.log(&TEXT, (&filler,)).unwrap();
    }
    assert_eq!(writer.drops().0, 0);
    let mut transaction = writer.transaction();
    transaction.log(&NUMBER, (1,)).unwrap();
    for _ in 0..3 {
        transaction.log(&TEXT, (&filler[..2000],)).unwrap();
    }
    transaction.log(&NUMBER, (2,)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(writer.drops().0, 5);
    let mut position = 0;
    assert_eq!(logged(&drain(&reader, &mut position)).len(), 4);
    writer.log(&NUMBER, (3,)).unwrap();
    assert_eq!(kinds(&drain(&reader, &mut position)), [Kind::Gap, Kind::Record]);
}

#[test]
fn run_is_taken_whole_or_not_at_all() {
    let scene = Scene::new();
    let mut writer = scene.options().unreliable().open().unwrap().writer().unwrap();
    let long = "x".repeat(40_000);
    writer.log(&TEXT, (&long,)).unwrap();
    writer.log(&TEXT, (&long,)).unwrap();
    writer
        .log(&TEXT, (&"x".repeat(usize::try_from(SMALLEST).unwrap()),))
        .unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let bytes = drain(&scene.reader(), &mut 0);
    assert_eq!(logged(&bytes).len(), 2);
    assert_eq!(writer.drops().0, 2);
}
