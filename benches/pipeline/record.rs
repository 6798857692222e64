//! One record: what a log call takes, against copying as many bytes to where another thread copies them out.
//!
//! A record here has a payload of 64 bytes, and a header: 72 bytes in the ring, 80 with its time. Each is published by a store of its own. A lazy drainer, a thread,
//! looks each 50 us and copies out what there is, as hog's does; records come in bursts with pauses, at a rate that it
//! sustains. What counts is the median of the bursts. The limit is the same without a ring: words are stored, and a tail after each record's.
//! Both times depend on how far from each other the two threads' processors are, so their ratio says more than either. What a call takes where nobody else
//! touches the ring's memory is told besides, and how both grow with the size of the record.

use super::growth::Series;
use super::scene::Scene;
use super::table::{Sample, median};
use super::{Outcome, Run};
use hog_ring::{RingReader, Statement, Writer, statement};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static SERVED: Statement<(&str, u64, f64)> = statement!("served", "$path gave $status in $ms ms", path, status, ms);
static TEXT: Statement<(&str,)> = statement!("text", "$text", text);

/// With its length, 48 bytes of payload; the other two fields have 8 each.
const PATH: &str = "/a/path/that/is/forty/bytes/long/in.html";
const PAYLOAD_BYTES: u64 = 64;
/// Of records.
const BURST: u64 = 500;
const BURSTS: usize = 1500;
const PAUSE: Duration = Duration::from_micros(100);
/// How often the drainer looks.
const LOOK: Duration = Duration::from_micros(50);
/// Words of the memory that takes the ring's part for the limit.
const WORDS: u64 = (1 << 20) / 8;

/// Where a record's time comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamp {
    None,
    /// Of the kernel, each time.
    Kernel,
    /// Of the processor's counter, where there is one that runs evenly.
    Counter,
}

/// What a log call takes, in ns.
pub(crate) fn measure(stamp: Stamp) -> Outcome<Sample> {
    let scene = Scene::set()?;
    let mut writer = writer(&scene, stamp, 1 << 20)?;
    let reader = RingReader::open(&scene.ring()?)?;
    let log = |writer: &mut Writer, number| writer.log(&SERVED, (PATH, black_box(number), 0.7));
    log(&mut writer, 0)?; // with it goes its statement's definition
    let before = writer.tail();
    log(&mut writer, 0)?;
    let record_bytes = writer.tail() - before;
    if record_bytes != PAYLOAD_BYTES + if stamp == Stamp::None { 8 } else { 16 } {
        return Err(format!("a record has {record_bytes} bytes").into());
    }
    let alone = alone(&mut writer, &reader, record_bytes, log)?;
    let ending = AtomicBool::new(false);
    let drained = thread::scope(|scope| {
        scope.spawn(|| drain(&reader, &ending));
        let logged = bursts(|number| Ok(log(&mut writer, number)?));
        ending.store(true, Ordering::Release);
        logged
    })?;
    if reader.head() != writer.tail() {
        return Err("the drainer did not get all that was logged".into());
    }
    Ok(Sample {
        hog: drained,
        limit: Some(copying(record_bytes / 8)?),
        besides: vec![("alone_ns", alone)],
    })
}

fn writer(scene: &Scene, stamp: Stamp, ring_bytes: u64) -> Outcome<Writer> {
    let options = scene.options().ring_size(ring_bytes);
    let options = match stamp {
        Stamp::None => options.timestamps(false),
        Stamp::Kernel => options.kernel_clock(true),
        Stamp::Counter => options,
    };
    Ok(options.open()?.writer()?)
}

/// What one of the calls takes, in ns, by the median of the bursts.
fn bursts(mut call: impl FnMut(u64) -> Outcome<()>) -> Outcome<f64> {
    let mut times = Vec::with_capacity(BURSTS);
    for _ in 0..BURSTS {
        let began = Instant::now();
        for number in 0..BURST {
            call(number)?;
        }
        let ended = Instant::now();
        times.push((ended - began).as_nanos() as f64 / BURST as f64);
        while ended.elapsed() < PAUSE {
            std::hint::spin_loop();
        }
    }
    Ok(median(times.into_iter()))
}

/// Takes all that comes until it is to end, and what there is then.
fn drain(reader: &RingReader, ending: &AtomicBool) {
    let mut copy = vec![0; usize::try_from(reader.identity().capacity).unwrap_or(0)];
    let mut position = reader.head();
    loop {
        let is_last = ending.load(Ordering::Acquire);
        let Ok(tail) = reader.tail(position) else { return };
        let Some(out) = copy.get_mut(..usize::try_from(tail - position).unwrap_or(usize::MAX)) else {
            return;
        };
        if reader.copy(position, out).is_err() {
            return; // it is seen by what was not drained
        }
        black_box(&copy);
        reader.advance(tail);
        position = tail;
        if is_last {
            return;
        }
        thread::sleep(LOOK);
    }
}

/// What storing a record's words takes, and a tail, where another thread copies them out; in ns.
fn copying(words: u64) -> Outcome<f64> {
    let memory: Vec<AtomicU64> = (0..WORDS).map(AtomicU64::new).collect();
    let (tail, ending) = (AtomicU64::new(0), AtomicBool::new(false));
    let at = |position: u64| &memory[usize::try_from(position % WORDS).unwrap_or(0)];
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut position = 0;
            while !ending.load(Ordering::Relaxed) {
                let end = tail.load(Ordering::Acquire);
                let copy: Vec<u64> = (position..end)
                    .map(|position| at(position).load(Ordering::Relaxed))
                    .collect();
                black_box(copy);
                position = end;
                thread::sleep(LOOK);
            }
        });
        let mut position = 0;
        let time = bursts(|number| {
            for word in 0..words {
                at(position + word).store(number, Ordering::Relaxed);
            }
            position += words;
            tail.store(position, Ordering::Release);
            Ok(())
        });
        ending.store(true, Ordering::Relaxed);
        time
    })
}

/// What a call takes where nobody else looks at the ring, in ns: it is filled, and given back unread outside of the time measured.
fn alone<E: Into<Box<dyn std::error::Error>>>(
    writer: &mut Writer,
    reader: &RingReader,
    record_bytes: u64,
    mut log: impl FnMut(&mut Writer, u64) -> Result<(), E>,
) -> Outcome<f64> {
    let records = writer.capacity() / 8 * 7 / record_bytes;
    let mut times = Vec::new();
    for fill in 0..32 {
        reader.advance(writer.tail());
        let began = Instant::now();
        for number in 0..records {
            log(writer, number).map_err(Into::into)?;
        }
        if fill > 0 {
            // The first touches memory that is not there yet.
            times.push(began.elapsed().as_nanos() as f64 / records as f64);
        }
    }
    Ok(median(times.into_iter()))
}

/// What a call takes over the bytes of its payload, in ns, without a time and with one, and what copying as much within memory takes.
pub(crate) fn over_record_size(_run: &Run) -> Outcome<Vec<Series>> {
    const RING_BYTES: u64 = 8 << 20;
    const SIZES: [usize; 7] = [16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10];
    let named = |name: &str| Series {
        name: name.to_owned(),
        points: Vec::new(),
    };
    let mut all = [named("log, without time"), named("log, with time"), named("memcpy")];
    let text = "t".repeat(SIZES[SIZES.len() - 1]);
    for size in SIZES {
        let text = &text[..size - 8]; // its length takes the other 8
        for (series, stamp) in all.iter_mut().zip([Stamp::None, Stamp::Counter]) {
            let scene = Scene::set()?;
            let mut writer = writer(&scene, stamp, RING_BYTES)?;
            let reader = RingReader::open(&scene.ring()?)?;
            writer.log(&TEXT, (text,))?;
            let time = alone(&mut writer, &reader, size as u64 + 24, |writer, _| {
                writer.log(&TEXT, (black_box(text),))
            })?;
            series.points.push((size as f64, time));
        }
        let source = vec![7_u8; size];
        let mut memory = vec![0_u8; usize::try_from(RING_BYTES)?];
        let mut times = Vec::new();
        for _ in 0..32 {
            let began = Instant::now();
            for piece in memory.chunks_exact_mut(size) {
                piece.copy_from_slice(black_box(&source));
            }
            black_box(&memory);
            times.push(began.elapsed().as_nanos() as f64 / (memory.len() / size) as f64);
        }
        all[2].points.push((size as f64, median(times.into_iter())));
    }
    Ok(all.into())
}
