//! Producers that wait for room: the wait is in vain, or others make room meanwhile.

use crate::processes::{World, run_as};
use crate::scene::{Scene, TEXT, drain, logged};
use hog_ring::{Error, simulation};
use std::cell::RefCell;
use std::rc::Rc;

#[test]
fn a_full_ring_is_an_error_at_once_and_takes_the_record_after_a_drain() {
    let _world = World::begin(0);
    let scene = Scene::new();
    let text = "x".repeat(9_000);
    run_as(1, None, || {
        let mut writer = scene.group().writer().unwrap();
        let mut committed = 0;
        let full = loop {
            match writer.log(&TEXT, (&text,)) {
                Ok(()) => committed += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, Error::Stopped), "{full}");
        assert_eq!(committed, 7);
        let (reader, mut position) = (scene.reader(), 0);
        assert_eq!(logged(&drain(&reader, &mut position)).len(), committed);
        writer.log(&TEXT, (&text,)).unwrap();
        assert_eq!(logged(&drain(&reader, &mut position)).len(), 1);
    })
    .unwrap();
}

#[test]
fn a_record_longer_than_the_ring_passes_while_others_make_room() {
    let _world = World::begin(0);
    let scene = Scene::new();
    let mut writer = run_as(1, None, || scene.group().writer().unwrap()).unwrap();
    let reader = run_as(2, None, || scene.reader()).unwrap();
    let taken = Rc::new(RefCell::new((0, Vec::new())));
    let drained = Rc::clone(&taken);
    simulation::on_wait(Some(Box::new(move || {
        let (position, bytes) = &mut *drained.borrow_mut();
        bytes.extend(run_as(2, None, || drain(&reader, position)).unwrap());
        true
    })));
    let text = "x".repeat(200_000);
    run_as(1, None, || {
        writer.log(&TEXT, (&text,)).unwrap();
        assert_eq!(simulation::pid(), Some(1), "the present process is set again");
    })
    .unwrap();
    let reader = run_as(3, None, || scene.reader()).unwrap();
    let (position, bytes) = &mut *taken.borrow_mut();
    bytes.extend(drain(&reader, position));
    let records = logged(bytes);
    assert_eq!(records.len(), 1);
    assert!(records[0].payload.ends_with(text.as_bytes()));
}

#[test]
fn a_producer_killed_while_it_waits_does_not_return() {
    let _world = World::begin(0);
    let scene = Scene::new();
    let mut writer = run_as(1, None, || scene.group().writer().unwrap()).unwrap();
    simulation::on_wait(Some(Box::new(|| {
        simulation::kill_process(1);
        true
    })));
    let text = "x".repeat(9_000);
    let outcome = run_as(1, None, || {
        loop {
            writer.log(&TEXT, (&text,)).unwrap();
        }
    });
    assert_eq!(outcome, None::<()>);
}
