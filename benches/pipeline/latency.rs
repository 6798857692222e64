//! Latency: how long single log calls take while a sender drains the ring to its spool.
//!
//! One thread logs a stamped record about each microsecond for a second, and looks at the clock before and after each call; what that takes is
//! part of what is told. The sender is a process of its own, and its destination is not there. What the scheduler takes away from the
//! thread is part of it, too: two threads that want as many processors as there are make the longest calls.

use super::Outcome;
use super::roles::Role;
use super::scene::Scene;
use super::table::Sample;
use hog_ring::{RingReader, Statement, statement};
use std::time::{Duration, Instant};

static SERVED: Statement<(&str, u64, f64)> = statement!("served", "$path gave $status in $ms ms", path, status, ms);

const PATH: &str = "/a/path/that/is/forty/bytes/long/in.html";
const CALLS: usize = 1_000_000;
/// From the beginning of one call to that of the next.
const PACE: Duration = Duration::from_micros(1);
/// The longest that the sender may take for what is left.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one call in a thousand takes longer than, in us.
pub(crate) fn measure() -> Outcome<Sample> {
    let scene = Scene::set()?;
    let group = scene.options().open()?;
    let mut writer = group.writer()?;
    let reader = RingReader::open(&scene.ring()?)?;
    let sender = Role::sender(&scene, "127.0.0.1:9")?;
    writer.log(&SERVED, (PATH, 0, 0.7))?;
    wait_until_drained(&reader, writer.tail())?; // it has begun
    let mut times = Vec::with_capacity(CALLS);
    for number in 0..CALLS as u64 {
        let began = Instant::now();
        writer.log(&SERVED, (PATH, number, 0.7))?;
        let ended = Instant::now();
        times.push(ended - began);
        while began.elapsed() < PACE {
            std::hint::spin_loop();
        }
    }
    wait_until_drained(&reader, writer.tail())?;
    drop(sender);
    times.sort_unstable();
    // What one call in so many takes longer than.
    let past = |one_in: usize| times[times.len() - times.len() / one_in - 1].as_nanos() as f64;
    Ok(Sample {
        hog: past(1000) / 1e3,
        limit: None,
        besides: vec![
            ("p50_ns", past(2)),
            ("p99_ns", past(100)),
            ("p99_99_us", past(10_000) / 1e3),
            ("longest_us", past(usize::MAX) / 1e3),
        ],
    })
}

fn wait_until_drained(reader: &RingReader, tail: u64) -> Outcome<()> {
    let gives_up = Instant::now() + PATIENCE;
    while reader.head() < tail {
        if Instant::now() > gives_up {
            return Err("the sender did not drain what was logged".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
