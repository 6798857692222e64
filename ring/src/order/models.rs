//! Models of the three meetings, in which loom tries every order of steps and every value that a load may see.
//!
//! Each runs with the orderings in use, and must hold; and once with each of them weakened, and must not. `HOG_LOOM_RECORDS` says how many
//! records pass, 2 unless it is set: each more multiplies what there is to try. A sleep here has no timeout: one that is not ended
//! is a deadlock, which the checker reports.

use super::{ORDERS, Orders, Word, announce, give, given, is_announced, publish, published, wake};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::sync::{Arc, Condvar, Mutex};
use std::sync::atomic::Ordering;

word!(AtomicU32, u32, loom::sync::atomic::fence);
word!(AtomicU64, u64, loom::sync::atomic::fence);

/// What the kernel does about a futex: it looks at the word and goes to sleep in one step, as seen by those who wake.
#[derive(Default)]
struct Futex {
    sleepers: Mutex<()>,
    woken: Condvar,
}

impl Futex {
    fn wait(&self, word: &AtomicU32, before: u32) {
        let guard = self.sleepers.lock().unwrap();
        if word.load(Ordering::SeqCst) == before {
            drop(self.woken.wait(guard).unwrap());
        }
    }

    fn wake(&self) {
        let _guard = self.sleepers.lock().unwrap();
        self.woken.notify_all();
    }
}

/// A ring of one record.
struct Ring {
    head: AtomicU64,
    tail: AtomicU64,
    /// Whose accesses are checked: two that no ordering keeps apart are a fault.
    record: UnsafeCell<()>,
    value: AtomicU64,
    waiting: AtomicU32,
    space: AtomicU32,
    sleeping: AtomicU32,
    bell: AtomicU32,
    futex: Futex,
}

impl Ring {
    fn new() -> Arc<Ring> {
        Arc::new(Ring {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            record: UnsafeCell::new(()),
            value: AtomicU64::new(u64::MAX),
            waiting: AtomicU32::new(0),
            space: AtomicU32::new(0),
            sleeping: AtomicU32::new(0),
            bell: AtomicU32::new(0),
            futex: Futex::default(),
        })
    }

    fn write(&self, position: u64, orders: Orders) {
        self.record.with_mut(|_| self.value.store(position, Ordering::Relaxed));
        publish(&self.tail, position + 1, orders);
    }

    fn read(&self, position: u64, orders: Orders) {
        self.record
            .with(|_| assert_eq!(self.value.load(Ordering::Relaxed), position));
        give(&self.head, position + 1, orders);
    }

    /// Whether there is room for the record at `position`.
    fn has_room(&self, position: u64, orders: Orders) -> bool {
        given(&self.head, orders) == position
    }

    fn has_record(&self, position: u64, orders: Orders) -> bool {
        published(&self.tail, orders) > position
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Two records can be gone through whole; of more, what a few interruptions of each thread can bring about.
    builder.preemption_bound = (records() > 2).then_some(2);
    builder.max_branches = 100_000;
    builder.check(model);
}

/// How many records pass through the ring in a model.
fn records() -> u64 {
    std::env::var("HOG_LOOM_RECORDS").map_or(2, |records| records.parse().unwrap())
}

type Model = fn(Orders);

/// One thread writes, another reads, and both look until there is something to do.
fn publish_and_consume(orders: Orders) {
    check(move || {
        let ring = Ring::new();
        let reader = Arc::clone(&ring);
        let reader = loom::thread::spawn(move || {
            for position in 0..records() {
                while !reader.has_record(position, orders) {
                    loom::thread::yield_now();
                }
                reader.read(position, orders);
            }
        });
        for position in 0..records() {
            while !ring.has_room(position, orders) {
                loom::thread::yield_now();
            }
            ring.write(position, orders);
        }
        reader.join().unwrap();
    });
}

/// The ring is full: its producer sleeps until the reader gives room.
fn wait_for_room(orders: Orders) {
    check(move || {
        let ring = Ring::new();
        ring.write(0, orders);
        let reader = Arc::clone(&ring);
        let reader = loom::thread::spawn(move || {
            for position in 0..records() {
                while !reader.has_record(position, orders) {
                    loom::thread::yield_now();
                }
                reader.read(position, orders);
                if is_announced(&reader.waiting, orders) && wake(&reader.waiting, &reader.space) {
                    reader.futex.wake();
                }
            }
        });
        for position in 1..records() {
            while !ring.has_room(position, orders) {
                let before = announce(&ring.waiting, &ring.space, orders);
                if !ring.has_room(position, orders) {
                    ring.futex.wait(&ring.space, before);
                }
                ring.waiting.store(0, Ordering::Relaxed);
            }
            ring.write(position, orders);
        }
        reader.join().unwrap();
    });
}

/// Nothing is there: the drainer sleeps until a producer that publishes rings.
fn sleep_until_the_bell(orders: Orders) {
    check(move || {
        let ring = Ring::new();
        let producer = Arc::clone(&ring);
        let producer = loom::thread::spawn(move || {
            producer.write(0, orders);
            if is_announced(&producer.sleeping, orders) && wake(&producer.sleeping, &producer.bell) {
                producer.futex.wake();
            }
        });
        while !ring.has_record(0, orders) {
            let before = announce(&ring.sleeping, &ring.bell, orders);
            if !ring.has_record(0, orders) {
                ring.futex.wait(&ring.bell, before);
            }
            ring.sleeping.store(0, Ordering::Relaxed);
        }
        ring.read(0, orders);
        producer.join().unwrap();
    });
}

#[test]
fn what_is_published_is_whole_and_what_is_given_back_is_free() {
    publish_and_consume(ORDERS);
}

#[test]
fn a_producer_that_waits_for_room_is_woken_when_there_is_some() {
    wait_for_room(ORDERS);
}

#[test]
fn a_drainer_that_lies_down_is_woken_by_whoever_rings_surely() {
    sleep_until_the_bell(ORDERS);
}

#[test]
fn each_weakened_ordering_is_noticed_by_a_model() {
    let relaxed = Ordering::Relaxed;
    let weakened: [(&str, Model, Orders); 8] = [
        (
            "publish",
            publish_and_consume,
            Orders {
                publish: relaxed,
                ..ORDERS
            },
        ),
        (
            "published",
            publish_and_consume,
            Orders {
                published: relaxed,
                ..ORDERS
            },
        ),
        (
            "give",
            publish_and_consume,
            Orders {
                give: relaxed,
                ..ORDERS
            },
        ),
        (
            "given",
            publish_and_consume,
            Orders {
                given: relaxed,
                ..ORDERS
            },
        ),
        (
            "sleeper's fence, room",
            wait_for_room,
            Orders {
                sleeper: Ordering::AcqRel,
                ..ORDERS
            },
        ),
        (
            "waker's fence, room",
            wait_for_room,
            Orders {
                waker: Ordering::AcqRel,
                ..ORDERS
            },
        ),
        (
            "sleeper's fence, bell",
            sleep_until_the_bell,
            Orders {
                sleeper: Ordering::AcqRel,
                ..ORDERS
            },
        ),
        (
            "waker's fence, bell",
            sleep_until_the_bell,
            Orders {
                waker: Ordering::AcqRel,
                ..ORDERS
            },
        ),
    ];
    for (name, model, orders) in weakened {
        let outcome = std::panic::catch_unwind(|| model(orders));
        assert!(outcome.is_err(), "{name}: no model notices");
    }
}
