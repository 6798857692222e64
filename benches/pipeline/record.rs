//! One record: what a log call takes, against copying as many bytes as its record has, and against asking for the time once more where
//! records are stamped.
//!
//! Records go into a ring of the default size, which is emptied outside the time measured. The copies go into memory of the same size:
//! both find their bytes in the processor's cache, or do not, alike.

use super::Outcome;
use super::scene::{GROUP, Scene};
use super::table::Sample;
use hog_ring::{GroupOptions, RingReader, Statement, statement};
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

static SERVED: Statement<(&str, u32, f64)> = statement!("served", "$path gave $status in $ms ms", path, status, ms);

/// How often the ring is filled in one round.
const FILLS: u32 = 64;
/// How much of the ring one fill takes: the rest is for what is not counted here.
const PART: u64 = 8;

/// What a log call takes, in ns.
pub(crate) fn measure(stamped: bool) -> Outcome<Sample> {
    let scene = Scene::set()?;
    let group = GroupOptions::new(GROUP)
        .shm_dir(scene.shm_dir())
        .timestamps(stamped)
        .open()?;
    let mut writer = group.writer()?;
    let reader = RingReader::open(&scene.ring()?)?;
    writer.log(&SERVED, ("/index.html", 200, 0.7))?; // with it goes its statement's definition
    let before = writer.tail();
    writer.log(&SERVED, ("/index.html", 200, 0.7))?;
    let record_bytes = writer.tail() - before;
    let records = u32::try_from(writer.capacity() / PART * (PART - 1) / record_bytes)?;

    let mut memory = vec![0_u8; usize::try_from(writer.capacity())?];
    let source = vec![7_u8; usize::try_from(record_bytes)?];
    let (mut logging, mut copying, mut asking) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for fill in 0..=FILLS {
        reader.advance(writer.tail());
        let began = Instant::now();
        for number in 0..records {
            writer.log(&SERVED, ("/index.html", black_box(number), 0.7))?;
        }
        let logged = began.elapsed();
        let began = Instant::now();
        for piece in memory.chunks_exact_mut(source.len()).take(records as usize) {
            piece.copy_from_slice(black_box(&source));
            black_box(piece);
        }
        let copied = began.elapsed();
        let began = Instant::now();
        for _ in 0..records {
            black_box(SystemTime::now());
        }
        let asked = began.elapsed();
        if fill > 0 {
            // The first touches memory that is not there yet.
            logging += logged;
            copying += copied;
            asking += asked;
        }
    }
    let each = |time: Duration| time.as_nanos() as f64 / f64::from(records) / f64::from(FILLS);
    let asking = if stamped { each(asking) } else { 0.0 };
    Ok(Sample {
        hog: each(logging),
        limit: Some(each(copying) + asking),
        besides: vec![("record_bytes", record_bytes as f64)],
    })
}
