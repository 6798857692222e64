//! Many rings of one group: what a sender takes to look after a thousand in which nothing happens, and how fast it drains many that are full,
//! against one that holds as much as they together.
//!
//! All rings are of this process, which lives, and their sender's destination is not there. As in `drain`, full rings are filled while the sender stands
//! still, and have been drained once before.

use super::growth::Series;
use super::roles::Role;
use super::scene::{GROUP, Scene};
use super::table::Sample;
use super::{Outcome, Run};
use hog_ring::{Group, RingReader, Statement, Writer, group_dir, ring_files, statement};
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);
const TEXT: &str = "a line of a log, about as long as lines of logs are: request served, from 10.0.17.4, in 1703 us";

/// What all rings are filled with together.
const FILLED_BYTES: u64 = 96 << 20;
/// Left free in each ring, so that no producer waits.
const SPARE_BYTES: u64 = 4096;
/// Capacity of a ring in which nothing happens.
const IDLE_RING_BYTES: u64 = 64 << 10;
const IDLE_RINGS: u32 = 1000;
/// For so long an idle sender is looked at.
const IDLE: Duration = Duration::from_secs(3);
/// How often the rings are looked at.
const LOOK: Duration = Duration::from_micros(100);
/// The longest that the sender may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What share of a processor a sender takes whose rings are idle, in percent.
pub(crate) fn idle() -> Outcome<Sample> {
    Ok(Sample {
        hog: idle_share(IDLE_RINGS)?,
        limit: None,
        besides: Vec::new(),
    })
}

/// How fast 100 rings are drained, against one, in MB/s. One is measured before and after: whoever comes first is given memory that nobody used for long, which may take a kernel several
/// times as long as what was freed a moment ago.
pub(crate) fn active() -> Outcome<Sample> {
    let (before, hog, after) = (drained(1)?, drained(100)?, drained(1)?);
    Ok(Sample {
        hog,
        limit: Some(f64::midpoint(before, after)),
        besides: vec![("one_before_mb_per_second", before), ("one_after_mb_per_second", after)],
    })
}

/// How fast rings are drained, by how many there are.
pub(crate) fn drained_by_rings(_: &Run) -> Outcome<Vec<Series>> {
    let points = [1, 10, 100, 1000]
        .into_iter()
        .map(|rings| Ok((f64::from(rings), drained(rings)?)));
    Ok(vec![Series {
        name: "all of them full".to_owned(),
        points: points.collect::<Outcome<_>>()?,
    }])
}

/// What an idle sender takes, by how many rings there are.
pub(crate) fn idle_by_rings(_: &Run) -> Outcome<Vec<Series>> {
    let points = [1, 10, 100, 1000]
        .into_iter()
        .map(|rings| Ok((f64::from(rings), idle_share(rings)?)));
    Ok(vec![Series {
        name: "none of them used".to_owned(),
        points: points.collect::<Outcome<_>>()?,
    }])
}

fn idle_share(rings: u32) -> Outcome<f64> {
    let crowd = Crowd::of(rings, IDLE_RING_BYTES)?;
    let mut sender = crowd.sender()?;
    // Looks at the directory and at owners, and whatever else comes at the beginning, are over by then.
    std::thread::sleep(Duration::from_millis(500));
    let (before, began) = (sender.processor_time(), Instant::now());
    std::thread::sleep(IDLE);
    let took = sender.processor_time() - before;
    sender.is_done()?;
    Ok(took / began.elapsed().as_secs_f64() * 100.0)
}

fn drained(rings: u32) -> Outcome<f64> {
    let capacity = (FILLED_BYTES / u64::from(rings) + SPARE_BYTES).next_power_of_two();
    let mut crowd = Crowd::of(rings, capacity)?;
    let each = FILLED_BYTES / u64::from(rings);
    let mut sender = crowd.sender()?;
    // Twice, since one filling may leave a part of a ring untouched.
    for _ in 0..2 {
        crowd.fill(each)?;
        crowd.wait_drained(&mut sender)?;
    }
    sender.pause(true)?;
    crowd.fill(each)?;
    crowd.scene.settle()?;
    let before = crowd.taken();
    sender.pause(false)?;
    let began = loop {
        if crowd.taken() > before {
            break Instant::now();
        }
        std::thread::sleep(LOOK);
    };
    let first = crowd.taken();
    crowd.wait_drained(&mut sender)?;
    Ok((crowd.taken() - first) as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Rings, and who fills and looks at them.
struct Crowd {
    writers: Vec<Writer>,
    readers: Vec<RingReader>,
    _group: Group,
    scene: Scene,
}

impl Crowd {
    /// So many rings of `capacity` bytes, with a record in each.
    fn of(rings: u32, capacity: u64) -> Outcome<Self> {
        let scene = Scene::set()?;
        let group = scene.options().ring_size(capacity).timestamps(false).open()?;
        let mut writers = (0..rings).map(|_| group.writer()).collect::<Result<Vec<_>, _>>()?;
        for writer in &mut writers {
            writer.log(&LINE, (TEXT, 0))?;
        }
        let files = ring_files(&group_dir(scene.shm_dir(), GROUP))?;
        let readers = files
            .iter()
            .map(|file| RingReader::open(file))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            writers,
            readers,
            _group: group,
            scene,
        })
    }

    /// A sender that has taken all there is.
    fn sender(&self) -> Outcome<Role> {
        let mut sender = Role::sender(&self.scene, "127.0.0.1:9")?;
        self.wait_drained(&mut sender)?;
        Ok(sender)
    }

    /// Logs `bytes` to each ring.
    fn fill(&mut self, bytes: u64) -> Outcome<()> {
        for writer in &mut self.writers {
            let full = writer.tail() + bytes - SPARE_BYTES.min(bytes / 2);
            let mut number = 0;
            while writer.tail() < full {
                writer.log(&LINE, (TEXT, number))?;
                number += 1;
            }
        }
        Ok(())
    }

    /// How much was taken of all rings.
    fn taken(&self) -> u64 {
        self.readers.iter().map(RingReader::head).sum()
    }

    fn wait_drained(&self, sender: &mut Role) -> Outcome<()> {
        let logged: u64 = self.writers.iter().map(Writer::tail).sum();
        let gives_up = Instant::now() + PATIENCE;
        while self.taken() < logged {
            if sender.is_done()? || Instant::now() > gives_up {
                return Err("the sender came to a halt".into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}
