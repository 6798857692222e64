//! Engine: the rate at which a file of lines is logged, from the start of `hog engine` until it has ended, into a ring of the size that it has by itself.
//!
//! All but that ring's capacity has to be drained before it can end, so the drain decides as well: it is a sender that brings all of it into its
//! spool, whose destination is not there. Besides, the same beside a reader that gives the room back unread. The limit is one thread that
//! reads the file in pieces and finds its newlines. The file is in the page cache for all of them. What is in the spool is compared with it.

use super::roles::Role;
use super::scene::Scene;
use super::shipment::check_that_it_arrived;
use super::table::Sample;
use super::{Outcome, Run};
use hog_ring::RingReader;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, copy};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file has as many bytes at least: an input with fewer is repeated.
const FILE_BYTES: u64 = 512_000_000;
/// Read at once by the limit.
const PIECE_BYTES: usize = 1 << 20;
/// How often it is looked whether the engine has ended.
const LOOK: Duration = Duration::from_millis(1);
/// How often the room is given back that nobody reads: a ring takes many times as long to fill.
const GIVE_BACK: Duration = Duration::from_micros(20);
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file that is long enough, kept from round to round.
pub(crate) struct Long {
    path: PathBuf,
    /// Where it is, if it was made.
    _scene: Option<Scene>,
}

/// In MB/s.
pub(crate) fn measure(run: &Run, long: &mut Option<Long>) -> Outcome<Sample> {
    let path = &match long {
        Some(long) => long,
        None => long.insert(Long::of(&run.input)?),
    }
    .path;
    let megabytes = std::fs::metadata(path)?.len() as f64 / 1e6;
    let rate = |time: Duration| megabytes / time.as_secs_f64();
    let reading = read(path)?; // first: so the file is in the page cache for all
    let (drained, ring_bytes) = beside_sender(path)?;
    let unread = beside_nobody(path)?;
    Ok(Sample {
        hog: rate(drained),
        limit: Some(rate(reading)),
        besides: vec![
            ("unread_mb_per_second", rate(unread)),
            ("drained_mb_per_second", ring_bytes as f64 / 1e6 / drained.as_secs_f64()),
        ],
    })
}

impl Long {
    fn of(input: &Path) -> Outcome<Self> {
        let bytes = std::fs::metadata(input)?.len();
        if bytes == 0 {
            return Err("the input is empty".into());
        }
        if bytes >= FILE_BYTES {
            return Ok(Self {
                path: input.to_owned(),
                _scene: None,
            });
        }
        let scene = Scene::set()?;
        let path = scene.path("long.log");
        let mut file = File::create(&path)?;
        for _ in 0..FILE_BYTES.div_ceil(bytes) {
            copy(&mut File::open(input)?, &mut file)?;
        }
        file.sync_all()?;
        Ok(Self {
            path,
            _scene: Some(scene),
        })
    }
}

/// The engine's time beside a sender, and the bytes of the ring that it logged.
fn beside_sender(path: &Path) -> Outcome<(Duration, u64)> {
    let scene = Scene::set()?;
    let mut sender = Role::sender(&scene, "127.0.0.1:9")?;
    sender.wait_until_it_serves(&scene)?;
    scene.settle()?;
    let began = Instant::now();
    let mut engine = Role::engine(&scene, path)?;
    while !engine.is_done()? {
        go_on(&mut sender, began)?;
        std::thread::sleep(LOOK);
    }
    let took = began.elapsed();
    let ring = RingReader::open(&scene.ring()?)?;
    while ring.head() < tail(&ring)? {
        go_on(&mut sender, began)?;
        std::thread::sleep(LOOK);
    }
    drop(sender);
    check_that_it_arrived(&scene, "spool", path)?;
    Ok((took, ring.head()))
}

fn go_on(sender: &mut Role, began: Instant) -> Outcome<()> {
    if sender.is_done()? || began.elapsed() > PATIENCE {
        return Err("the sender came to a halt".into());
    }
    Ok(())
}

/// The engine's time beside a reader that only gives room back.
fn beside_nobody(path: &Path) -> Outcome<Duration> {
    let scene = Scene::set()?;
    let began = Instant::now();
    let mut engine = Role::engine(&scene, path)?;
    let mut ring = None;
    while !engine.is_done()? {
        match &ring {
            Some(ring) => RingReader::advance(ring, tail(ring)?),
            // It is not there at once, nor whole.
            None => ring = scene.ring().ok().and_then(|path| RingReader::open(&path).ok()),
        }
        if began.elapsed() > PATIENCE {
            return Err("the engine came to a halt".into());
        }
        std::thread::sleep(GIVE_BACK);
    }
    let took = began.elapsed();
    let logged = tail(&RingReader::open(&scene.ring()?)?)?;
    if logged < std::fs::metadata(path)?.len() {
        return Err(format!("the engine logged {logged} bytes of records, less than the file has").into());
    }
    Ok(took)
}

fn tail(ring: &RingReader) -> Outcome<u64> {
    Ok(ring.tail(ring.head()).map_err(|fault| format!("{fault:?}"))?)
}

/// Time to read the file in pieces and find its newlines, when it was read once before.
fn read(path: &Path) -> Outcome<Duration> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut took = Duration::ZERO;
    for _ in 0..2 {
        let mut file = File::open(path)?;
        let began = Instant::now();
        let mut newlines = 0_u64;
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            for newline in memchr::memchr_iter(b'\n', &piece[..read]) {
                black_box(newline);
                newlines += 1;
            }
        }
        black_box(newlines);
        took = began.elapsed();
    }
    Ok(took)
}
