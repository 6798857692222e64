//! Drain: what the sender takes to bring a full ring into its spool, against writing as many bytes from memory to a file of the same file
//! system, 1 MiB at a time, as the spool is written.
//!
//! The ring is filled before the sender starts, and its destination is not there, so that it does nothing but drain. The time begins
//! with the first bytes that are seen to be taken, and these do not count.

use super::Outcome;
use super::roles::Role;
use super::scene::{GROUP, Scene};
use super::table::Sample;
use hog_ring::{GroupOptions, RingReader, Statement, statement};
use std::fs::File;
use std::io::IoSlice;
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);

/// Capacity of the ring, and how much is logged to it.
const RING_BYTES: u64 = 256 << 20;
const FILLED_BYTES: u64 = 224 << 20;
/// How often the ring is looked at.
const LOOK: Duration = Duration::from_micros(100);
/// The longest that the sender may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// As much is written at once, by both.
const WRITE_BYTES: usize = 1 << 20;

/// In MB/s.
pub(crate) fn measure() -> Outcome<Sample> {
    let scene = Scene::set()?;
    let group = GroupOptions::new(GROUP)
        .shm_dir(scene.shm_dir())
        .ring_size(RING_BYTES)
        .timestamps(false)
        .open()?;
    let mut writer = group.writer()?;
    let text = "a line of a log, about as long as lines of logs are: request served, from 10.0.17.4, in 1703 us";
    let mut number = 0;
    while writer.tail() < FILLED_BYTES {
        writer.log(&LINE, (text, number))?;
        number += 1;
    }
    let reader = RingReader::open(&scene.ring()?)?;
    scene.settle()?;
    let (bytes, draining) = drain(&scene, &reader, writer.tail())?;
    scene.settle()?;
    let writing = write(&scene, bytes)?;
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    Ok(Sample {
        hog: rate(draining),
        limit: Some(rate(writing)),
        besides: Vec::new(),
    })
}

/// How many bytes were seen to be drained, and in which time.
fn drain(scene: &Scene, reader: &RingReader, tail: u64) -> Outcome<(u64, Duration)> {
    let mut sender = Role::sender(scene, "127.0.0.1:9")?;
    let gives_up = Instant::now() + PATIENCE;
    let mut wait_past = |position: u64| -> Outcome<(u64, Instant)> {
        loop {
            let head = reader.head();
            if head > position {
                return Ok((head, Instant::now()));
            }
            if sender.is_done()? || Instant::now() > gives_up {
                return Err("the sender came to a halt".into());
            }
            std::thread::sleep(LOOK);
        }
    };
    let (first, began) = wait_past(0)?;
    let (last, ended) = wait_past(tail - 1)?;
    Ok((last - first, ended - began))
}

/// Writes `bytes` bytes that lie in memory.
fn write(scene: &Scene, bytes: u64) -> Outcome<Duration> {
    let memory = vec![0x55_u8; WRITE_BYTES];
    let file = File::create(scene.path("written"))?;
    let began = Instant::now();
    let mut offset = 0;
    while offset < bytes {
        let piece = usize::try_from(bytes - offset)?.min(WRITE_BYTES);
        offset += rustix::io::pwritev(&file, &[IoSlice::new(&memory[..piece])], offset)? as u64;
    }
    Ok(began.elapsed())
}
