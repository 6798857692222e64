//! Many threads at once: producers that log, open and close rings as fast as they can, and one drainer that sleeps whenever there is nothing.

use crate::scene::{NUMBER, PATIENCE, Scene, drain, logged, numbers, sequence, wait_until};
use hog_ring::{Doorbell, Liveness, RingReader};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PRODUCERS: u64 = 4;
const RINGS: u64 = 5;
const RECORDS: u64 = 6_000;

/// A ring that is being drained, and the numbers that were in it.
struct Drained {
    reader: RingReader,
    position: u64,
    numbers: Vec<u64>,
}

#[test]
fn producers_and_a_drainer_that_meet_at_any_moment_lose_and_double_nothing() {
    let scene = Scene::new();
    let group = scene.group();
    let logged_in_all = AtomicU64::new(0);
    let taken = std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                for _ in 0..RINGS {
                    let mut writer = group.writer().unwrap();
                    for number in 0..RECORDS {
                        // Longer than their rings together: most wait for room now and then.
                        writer.log(&NUMBER, (number,)).unwrap();
                    }
                    logged_in_all.fetch_add(RECORDS, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| take_all(&scene)).join().unwrap()
    });
    assert_eq!(taken, PRODUCERS * RINGS * RECORDS);
    assert_eq!(logged_in_all.into_inner(), taken);
    assert!(scene.rings().is_empty());
}

/// Drains all rings to their ends and says how many records there were.
fn take_all(scene: &Scene) -> u64 {
    let bell = Doorbell::open(&scene.directory()).unwrap();
    let mut rings: HashMap<PathBuf, Drained> = HashMap::new();
    let (mut taken, mut ended) = (0, 0);
    let deadline = Instant::now() + 2 * PATIENCE;
    while ended < PRODUCERS * RINGS {
        assert!(Instant::now() < deadline, "{taken} records of {ended} rings");
        bell.prepare_sleep();
        for path in scene.rings() {
            rings.entry(path.clone()).or_insert_with(|| Drained {
                reader: RingReader::open(&path).unwrap(),
                position: 0,
                numbers: Vec::new(),
            });
        }
        let mut is_idle = true;
        rings.retain(|_, ring| {
            let is_over = ring.reader.liveness() == Liveness::Closed;
            let new = numbers(&logged(&drain(&ring.reader, &mut ring.position)));
            is_idle &= new.is_empty();
            taken += new.len() as u64;
            ring.numbers.extend(new);
            if !is_over {
                return true;
            }
            assert_eq!(ring.numbers.len() as u64, RECORDS);
            sequence(&ring.numbers);
            assert!(ring.reader.retire(ring.reader.owner()));
            // Its producer lets go of the lock a moment after it has closed the ring.
            wait_until("the ring can be removed", || ring.reader.unlink().is_ok());
            ended += 1;
            false
        });
        if is_idle {
            bell.sleep(Duration::from_millis(20));
        } else {
            bell.cancel_sleep();
        }
    }
    taken
}
