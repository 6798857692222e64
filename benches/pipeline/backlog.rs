//! Backlog: a sender that is started again with a spool that nobody took for a while. How long until its first frame is in the receiver's
//! archive, and how much memory it takes to get there and through the next seconds.
//!
//! The spool is filled through a ring by a sender whose receiver is gone, up to the size that is asked for; then that sender is killed, all
//! is synced, and the kernel is asked to put the segments out of its page cache, as after a reboot. The receiver begins with an empty archive
//! each time. What a restart ships before it is killed is filled up again for the next one.

use super::archive::ArchiveWatch;
use super::growth::Series;
use super::roles::Role;
use super::scene::{GROUP, Scene};
use super::table::{Sample, median};
use super::{Outcome, Run};
use hog_ring::{RingReader, Statement, Writer, statement};
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);

/// What the issue asks for.
const LARGEST_BYTES: u64 = 10 << 30;
/// On a disk with less than this left the largest backlog would be in the way of others.
const FREE_BYTES_MIN: u64 = 24 << 30;
/// Sizes of the plot; the last one has the same condition as the row.
const SIZES: [u64; 5] = [64 << 20, 256 << 20, 1 << 30, 4 << 30, LARGEST_BYTES];
const RING_BYTES: u64 = 64 << 20;
/// How often the archive is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// How long the sender goes on shipping, for what it takes of memory.
const SHIPPING: Duration = Duration::from_secs(2);
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A spool that is filled and restarted.
pub(crate) struct Backlog {
    scene: Scene,
    address: String,
}

/// What a restart took.
struct Restart {
    first_frame: Duration,
    peak_mib: f64,
}

/// The row: a restart with the largest backlog, in ms. `backlog` is kept for the next round.
pub(crate) fn measure(run: &Run, backlog: &mut Option<Backlog>) -> Outcome<Sample> {
    let backlog = match backlog {
        Some(backlog) => backlog,
        None => backlog.insert(Backlog::new()?),
    };
    if !backlog.has_room(run)? {
        return Err(format!("10 GiB take a disk with {} GiB left, or --large", FREE_BYTES_MIN >> 30).into());
    }
    backlog.fill(LARGEST_BYTES)?;
    let held = backlog.spooled()?;
    let restart = backlog.restart()?;
    Ok(Sample {
        hog: restart.first_frame.as_secs_f64() * 1e3,
        limit: None,
        besides: vec![
            ("peak_rss_mib", restart.peak_mib),
            ("backlog_gib", held as f64 / f64::from(1 << 30)),
        ],
    })
}

/// The plot: both figures over the size of the backlog.
pub(crate) fn growth(run: &Run) -> Outcome<Vec<Series>> {
    let series = |name: &str| Series {
        name: name.to_owned(),
        points: Vec::new(),
    };
    let (mut times, mut peaks) = (
        series("ms to the first frame in the archive"),
        series("MiB of memory at most"),
    );
    let backlog = Backlog::new()?;
    for bytes in SIZES {
        if bytes == LARGEST_BYTES && !backlog.has_room(run)? {
            break;
        }
        let mut restarts = Vec::new();
        for _ in 0..3 {
            backlog.fill(bytes)?;
            restarts.push(backlog.restart()?);
        }
        let mib = bytes as f64 / f64::from(1 << 20);
        let first = restarts.iter().map(|one| one.first_frame.as_secs_f64() * 1e3);
        times.points.push((mib, median(first)));
        let peak = restarts.iter().map(|one| one.peak_mib).fold(0.0, f64::max);
        peaks.points.push((mib, peak));
    }
    Ok(vec![times, peaks])
}

impl Backlog {
    fn new() -> Outcome<Self> {
        let scene = Scene::set()?;
        // The address has to be the same from run to run: a backlog goes to the destination that it was spooled for.
        let (receiver, address) = Role::receiver(&scene)?;
        drop(receiver);
        Ok(Self { scene, address })
    }

    fn has_room(&self, run: &Run) -> Outcome<bool> {
        let disk = rustix::fs::statvfs(self.scene.path(""))?;
        Ok(run.large || disk.f_bavail * disk.f_frsize >= FREE_BYTES_MIN)
    }

    /// Fills the spool up to `bytes`.
    fn fill(&self, bytes: u64) -> Outcome<()> {
        let missing = bytes.saturating_sub(self.spooled()?);
        if missing == 0 {
            return Ok(());
        }
        let group = self.scene.options().ring_size(RING_BYTES).open()?;
        let mut writer = group.writer()?;
        let reader = RingReader::open(&group.directory().join(format!("{}.ring", writer.ring_uuid())))?;
        let mut sender = Role::sender(&self.scene, &self.address)?;
        log(&mut writer, missing)?;
        let gives_up = Instant::now() + PATIENCE;
        while reader.head() < writer.tail() {
            if sender.is_done()? || Instant::now() > gives_up {
                return Err("the sender came to a halt".into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Bytes in the sender's segments.
    fn spooled(&self) -> Outcome<u64> {
        let mut bytes = 0;
        for path in self.segments()? {
            bytes += std::fs::metadata(path)?.len();
        }
        Ok(bytes)
    }

    fn segments(&self) -> Outcome<Vec<PathBuf>> {
        let directory = self.scene.path("spool").join(GROUP);
        let mut segments = Vec::new();
        if directory.exists() {
            for entry in std::fs::read_dir(directory)? {
                segments.push(entry?.path());
            }
        }
        segments.retain(|path| path.extension() == Some("hog".as_ref()));
        Ok(segments)
    }

    fn restart(&self) -> Outcome<Restart> {
        let archive = self.scene.path("archive");
        if archive.exists() {
            std::fs::remove_dir_all(&archive)?;
        }
        self.scene.settle()?;
        for path in self.segments()? {
            rustix::fs::fadvise(File::open(path)?, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        let _receiver = Role::receiver_at(&self.scene, &self.address)?.0;
        let mut watch = ArchiveWatch::new(archive);
        let began = Instant::now();
        let mut sender = Role::sender(&self.scene, &self.address)?;
        while watch.look()? == 0 {
            if sender.is_done()? || began.elapsed() > PATIENCE {
                return Err("the sender came to a halt".into());
            }
            std::thread::sleep(LOOK);
        }
        let first_frame = began.elapsed();
        while began.elapsed() < first_frame + SHIPPING && !sender.is_done()? {
            sender.look();
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Restart {
            first_frame,
            peak_mib: sender.peak_kib as f64 / 1024.0,
        })
    }
}

/// Logs `bytes` bytes of records, no two the same.
fn log(writer: &mut Writer, bytes: u64) -> Outcome<()> {
    let mut chance = fastrand::Rng::with_seed(bytes);
    let to = writer.tail() + bytes;
    let mut number: u64 = 0;
    while writer.tail() < to {
        let text = format!("request {:016x} {:016x} served", chance.u64(..), chance.u64(..));
        writer.log(&LINE, (text.as_str(), number))?;
        number += 1;
    }
    Ok(())
}
