//! Drainers killed at each point: what one has appended to its log, and what is still in the ring, are the stream together; and a ring is
//! gone only with all of it in the log.

use crate::processes::{World, kill_at_each_point, run_as};
use crate::scene::{NUMBER, Scene, logged, numbers, sequence};
use hog_ring::{Liveness, RingReader};
use std::cell::RefCell;

/// What a drainer keeps on its disk: the records it took, and up to which position.
#[derive(Default)]
struct Log {
    numbers: Vec<u64>,
    end: u64,
}

/// Takes what is there, as a drainer does that died and came again: append, then advance; and the end of a ring whose producer is gone.
fn drain_into(log: &RefCell<Log>, scene: &Scene) {
    for path in scene.rings() {
        let mut reader = RingReader::open(&path).unwrap();
        take(log, &reader);
        if matches!(reader.liveness(), Liveness::Dead | Liveness::Closed) {
            let _ = reader.retire(reader.owner());
        }
        if reader.liveness() == Liveness::Retired {
            take(log, &reader);
            reader.publish_synced(log.borrow().end);
            reader.unlink().unwrap();
        }
    }
}

fn take(log: &RefCell<Log>, reader: &RingReader) {
    reader.advance(log.borrow().end);
    let start = reader.head();
    let tail = reader.tail(start).unwrap();
    let mut bytes = vec![0; usize::try_from(tail - start).unwrap()];
    reader.copy(start, &mut bytes).unwrap();
    {
        let mut log = log.borrow_mut();
        assert_eq!(log.end, start, "a hole, or twice the same");
        log.numbers.extend(numbers(&logged(&bytes)));
        log.end = tail;
    }
    reader.advance(tail);
}

#[test]
fn a_drainer_killed_at_any_point_leaves_every_record_once() {
    let kills = kill_at_each_point(|kill| {
        let _world = World::begin(kill);
        let scene = Scene::new();
        run_as(1, None, || {
            let mut writer = scene.group().writer().unwrap();
            (0..5).for_each(|number| writer.log(&NUMBER, (number,)).unwrap());
        });
        let log = RefCell::new(Log::default());
        let killed = run_as(2, Some(kill), || drain_into(&log, &scene)).is_none();
        run_as(3, None, || drain_into(&log, &scene)).unwrap();
        assert_eq!(scene.rings(), Vec::<std::path::PathBuf>::new());
        let numbers = &log.borrow().numbers;
        assert_eq!(numbers.len(), 5);
        sequence(numbers);
        killed
    });
    assert!(kills > 10, "{kills}");
}

#[test]
fn a_drainer_and_a_producer_killed_in_turn_lose_nothing_that_was_committed() {
    for kill in 0..60 {
        let _world = World::begin(kill);
        let scene = Scene::new();
        let log = RefCell::new(Log::default());
        let returned = RefCell::new(0);
        run_as(1, Some(kill), || {
            let mut writer = scene.group().writer().unwrap();
            for number in 0..9 {
                writer.log(&NUMBER, (number,)).unwrap();
                *returned.borrow_mut() += 1;
            }
        });
        for pid in 2..100 {
            if run_as(pid, Some(kill % 7 + u64::from(pid)), || drain_into(&log, &scene)).is_some() {
                break;
            }
        }
        let log = log.borrow();
        sequence(&log.numbers);
        let found = log.numbers.len();
        assert!(found == *returned.borrow() || found == *returned.borrow() + 1);
        assert!(scene.rings().is_empty());
    }
}
