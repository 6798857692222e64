//! Drain: what the sender takes to bring a full ring into its spool, against writing as many bytes from memory to a file of the same file
//! system, 1 MiB at a time, as the spool is written.
//!
//! The sender's destination is not there, so that it does nothing but drain. It has drained the ring once before, as in all of a ring's life but the first
//! moments, and stands still while it is filled again. The time begins with the first bytes that are seen to be taken then, and these do not count.
//!
//! The limit's bytes are those of the ring, and lie in memory that nobody has touched since they were put there: neither finds them in a cache.

use super::bare;
use super::growth::Series;
use super::roles::Role;
use super::scene::Scene;
use super::table::{BARE, Sample};
use super::{Outcome, Run};
use hog_ring::{RingReader, Statement, Writer, statement};
use std::fs::File;
use std::io::IoSlice;
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);

/// Capacity of the ring, and how much is logged to it.
const RING_BYTES: u64 = 256 << 20;
const FILLED_BYTES: u64 = RING_BYTES - (1 << 20);
/// How often the ring is looked at.
const LOOK: Duration = Duration::from_micros(100);
/// The longest that the sender may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// As much is written at once, by both.
const WRITE_BYTES: usize = 1 << 20;

/// In MB/s.
pub(crate) fn measure() -> Outcome<Sample> {
    let drained =
        Drained::of("a line of a log, about as long as lines of logs are: request served, from 10.0.17.4, in 1703 us")?;
    let writing = drained.write()?;
    let copying = drained.copy_and_write()?;
    Ok(Sample {
        hog: drained.rate,
        limit: Some(writing),
        besides: vec![(BARE, copying)],
    })
}

/// How fast records are drained, over their size.
pub(crate) fn over_record_size(_run: &Run) -> Outcome<Vec<Series>> {
    const SIZES: [usize; 7] = [32, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10];
    let text = "t".repeat(SIZES[SIZES.len() - 1]);
    let points = SIZES.into_iter().map(|size| {
        let drained = Drained::of(&text[..size - 16])?; // its length and the number take the other 16
        Ok((size as f64, drained.rate))
    });
    Ok(vec![Series {
        name: "all in one ring".to_owned(),
        points: points.collect::<Outcome<_>>()?,
    }])
}

/// A ring that was drained, and is as it was: nobody has logged to it since.
struct Drained {
    reader: RingReader,
    /// Where what was drained begins.
    from: u64,
    /// The same bytes.
    memory: Vec<u8>,
    /// In MB/s.
    rate: f64,
    scene: Scene,
}

impl Drained {
    /// Of records with that text and a number.
    fn of(text: &str) -> Outcome<Self> {
        let scene = Scene::set()?;
        let group = scene.options().ring_size(RING_BYTES).timestamps(false).open()?;
        let mut writer = group.writer()?;
        let mut number = 0;
        let mut fill = |writer: &mut Writer| -> Outcome<()> {
            let full = writer.tail() + FILLED_BYTES;
            while writer.tail() < full {
                writer.log(&LINE, (text, number))?;
                number += 1;
            }
            Ok(())
        };
        fill(&mut writer)?;
        let reader = RingReader::open(&scene.ring()?)?;
        let mut sender = Role::sender(&scene, "127.0.0.1:9")?;
        wait_past(&mut sender, &reader, writer.tail() - 1)?;
        sender.pause(true)?;
        let from = reader.head();
        fill(&mut writer)?;
        let mut memory = vec![0; usize::try_from(writer.tail() - from)?];
        reader.copy(from, &mut memory)?;
        scene.settle()?;
        sender.pause(false)?;
        let (first, began) = wait_past(&mut sender, &reader, from)?;
        let (last, ended) = wait_past(&mut sender, &reader, writer.tail() - 1)?;
        Ok(Self {
            reader,
            from,
            memory,
            rate: rate(last - first, ended - began),
            scene,
        })
    }

    /// How fast the same bytes are written to a file, in MB/s.
    fn write(&self) -> Outcome<f64> {
        self.scene.settle()?;
        let file = File::create(self.scene.path("written"))?;
        let began = Instant::now();
        let mut offset = 0;
        while offset < self.memory.len() {
            let piece = &self.memory[offset..self.memory.len().min(offset + WRITE_BYTES)];
            offset += rustix::io::pwritev(&file, &[IoSlice::new(piece)], offset as u64)?;
        }
        Ok(rate(offset as u64, began.elapsed()))
    }

    /// The same from the ring, whose bytes a producer may change: so they are copied before they are written.
    fn copy_and_write(&self) -> Outcome<f64> {
        self.scene.settle()?;
        let file = File::create(self.scene.path("copied"))?;
        let mut room = vec![0; WRITE_BYTES];
        let began = Instant::now();
        let mut offset = 0;
        while offset < self.memory.len() {
            let piece = &mut room[..WRITE_BYTES.min(self.memory.len() - offset)];
            self.reader.copy(self.from + offset as u64, piece)?;
            bare::write(&file, piece, offset as u64)?;
            offset += piece.len();
        }
        Ok(rate(offset as u64, began.elapsed()))
    }
}

/// In MB/s.
fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

/// Waits until the ring is drained beyond `position`; says how far it was when that was seen.
fn wait_past(sender: &mut Role, reader: &RingReader, position: u64) -> Outcome<(u64, Instant)> {
    let gives_up = Instant::now() + PATIENCE;
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
}
