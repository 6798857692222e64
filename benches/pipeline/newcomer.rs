//! Newcomer: how long a new producer waits for its first record to be in the spool while the sender ships a backlog of a GB, against the same
//! beside no backlog.
//!
//! The backlog is spooled first, for a receiver that is not there; then sender and receiver start, and one producer after the other makes a ring
//! and logs. The time begins before the ring is made. There must be some backlog left at the end, or the run fails.

use super::Outcome;
use super::roles::Role;
use super::scene::{GROUP, Scene};
use super::table::{Sample, median};
use hog_ring::{Group, RingReader, Statement, statement};
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);

const BACKLOG_BYTES: u64 = 1_000_000_000;
/// Producers, one after the other.
const NEWCOMERS: u64 = 20;
/// Between two of them, at most: so that they do not come in step with the drainer.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How often a ring is looked at.
const LOOK: Duration = Duration::from_micros(50);
/// The longest that a sender may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a newcomer waits, in ms.
pub(crate) fn measure() -> Outcome<Sample> {
    let scene = Scene::set()?;
    let group = scene.options().ring_size(64 << 20).open()?;
    let (mut receiver, address) = Role::receiver(&scene)?;
    let mut sender = Role::sender(&scene, &address)?;
    serve(&group, &mut sender)?; // it has begun
    let beside_nothing = serve_all(&group, &mut sender)?;
    drop(receiver);
    make_backlog(&group, &mut sender)?;
    drop(sender);
    scene.settle()?;
    receiver = Role::receiver_at(&scene, &address)?.0;
    let began = Instant::now();
    sender = Role::sender(&scene, &address)?;
    serve(&group, &mut sender)?;
    let start = began.elapsed();
    let beside_backlog = serve_all(&group, &mut sender)?;
    let left = spooled(&scene)?;
    drop((sender, receiver));
    if left < BACKLOG_BYTES / 10 {
        return Err(format!("only {left} bytes of the backlog are left: too few for this machine").into());
    }
    let longest = beside_backlog.iter().copied().fold(0.0, f64::max);
    Ok(Sample {
        hog: median(beside_backlog.into_iter()),
        limit: Some(median(beside_nothing.into_iter())),
        besides: vec![
            ("longest_ms", longest),
            ("first_after_start_ms", start.as_secs_f64() * 1e3),
            ("backlog_left_mb", left as f64 / 1e6),
        ],
    })
}

/// Serves newcomers; what each waited, in ms.
fn serve_all(group: &Group, sender: &mut Role) -> Outcome<Vec<f64>> {
    let mut waits = Vec::new();
    for _ in 0..NEWCOMERS {
        std::thread::sleep(PAUSE_MAX.mul_f64(fastrand::f64()));
        waits.push(serve(group, sender)?.as_secs_f64() * 1e3);
    }
    Ok(waits)
}

/// A producer comes, logs once, and goes when that is in the spool; what that took.
fn serve(group: &Group, sender: &mut Role) -> Outcome<Duration> {
    let began = Instant::now();
    let mut writer = group.writer()?;
    writer.log(&LINE, ("the first and only one", 1))?;
    let ring = group.directory().join(format!("{}.ring", writer.ring_uuid()));
    let reader = RingReader::open(&ring)?;
    wait_for(&reader, writer.tail(), sender)?;
    Ok(began.elapsed())
}

/// Waits until the sender has taken all below `position`.
fn wait_for(reader: &RingReader, position: u64, sender: &mut Role) -> Outcome<()> {
    let gives_up = Instant::now() + PATIENCE;
    while reader.head() < position {
        if sender.is_done()? || Instant::now() > gives_up {
            return Err("the sender came to a halt".into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn make_backlog(group: &Group, sender: &mut Role) -> Outcome<()> {
    let mut writer = group.writer()?;
    let reader = RingReader::open(&group.directory().join(format!("{}.ring", writer.ring_uuid())))?;
    let mut number: u64 = 0;
    while writer.tail() < BACKLOG_BYTES {
        // No two the same, or the shipper would be through with them in no time.
        let text = format!("request {:016x} {:016x} served", fastrand::u64(..), fastrand::u64(..));
        writer.log(&LINE, (text.as_str(), number))?;
        number += 1;
    }
    wait_for(&reader, writer.tail(), sender)
}

/// Bytes in the sender's spool, its reserve not counted.
fn spooled(scene: &Scene) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(scene.path("spool").join(GROUP))? {
        let path = entry?.path();
        if path.extension() == Some("hog".as_ref()) {
            bytes += std::fs::metadata(path).map_or(0, |file| file.len()); // it may have been delivered since
        }
    }
    Ok(bytes)
}
