//! Transactions: all or nothing.

use crate::scene::{NUMBER, Scene, TEXT, drain, kinds, logged, numbers, records};
use hog_ring::{Kind, Statement, statement};

static OTHER: Statement<(u64,)> = statement!("other", "$0");

#[test]
fn transaction_appears_with_its_commit_and_all_but_the_last_carry_more() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let mut position = 0;
    writer.log(&NUMBER, (0,)).unwrap();
    drain(&reader, &mut position);

    let mut transaction = writer.transaction();
    for number in 1..4 {
        transaction.log(&NUMBER, (number,)).unwrap();
    }
    assert_eq!(reader.tail(position).unwrap(), position);
    transaction.commit().unwrap();
    let found = logged(&drain(&reader, &mut position));
    assert_eq!(numbers(&found), [1, 2, 3]);
    assert_eq!(
        found.iter().map(|record| record.more).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[test]
fn rolled_back_transaction_leaves_nothing_but_definitions() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let mut transaction = writer.transaction();
    transaction.log(&NUMBER, (1,)).unwrap();
    transaction.log(&TEXT, ("gone",)).unwrap();
    transaction.rollback();
    drop(writer.transaction());
    let mut transaction = writer.transaction();
    transaction.log(&TEXT, ("stays",)).unwrap();
    transaction.commit().unwrap();
    let bytes = drain(&reader, &mut 0);
    assert_eq!(kinds(&bytes), [Kind::Stmt, Kind::Stmt, Kind::Record]);
    assert!(logged(&bytes)[0].payload.ends_with(b"stays"));
}

#[test]
fn definition_slips_in_before_the_pending_records() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let mut transaction = writer.transaction();
    transaction.log(&NUMBER, (1,)).unwrap();
    transaction.log(&OTHER, (2,)).unwrap();
    transaction.log(&NUMBER, (3,)).unwrap();
    transaction.commit().unwrap();
    let bytes = drain(&reader, &mut 0);
    let found = records(&bytes);
    assert_eq!(
        kinds(&bytes),
        [Kind::Stmt, Kind::Stmt, Kind::Record, Kind::Record, Kind::Record]
    );
    assert_eq!(numbers(&found[2..]), [1, 2, 3]);
    assert_eq!(
        found.iter().map(|record| record.more).collect::<Vec<_>>(),
        [false, false, true, true, false]
    );
    assert_eq!(found[3].statement, 2);
}

#[test]
fn leaked_transaction_is_forgotten() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let mut transaction = writer.transaction();
    transaction.log(&NUMBER, (1,)).unwrap();
    std::mem::forget(transaction);
    writer.log(&NUMBER, (2,)).unwrap();
    assert_eq!(numbers(&logged(&drain(&scene.reader(), &mut 0))), [2]);
}

#[test]
fn state_of_a_rolled_back_transaction_does_not_hold() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", hog_ring::Resume::Auto).unwrap();
    writer.set_state(b"first").unwrap();
    writer.log(&NUMBER, (0,)).unwrap();
    let mut transaction = writer.transaction();
    transaction.log(&NUMBER, (1,)).unwrap();
    transaction.set_state(b"second").unwrap();
    transaction.rollback();
    writer.log(&NUMBER, (2,)).unwrap();
    drop(writer);
    let heir = scene.group().named_writer("n", hog_ring::Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"first");
}
