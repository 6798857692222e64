//! `.log` files beside an archive that is in use: `--format hobbes` of `hog local` and `hog batchrecv`.
//!
//! They are derived. A worker follows the archive of its group, as `hog export --format hobbes --follow` does, and holds up nobody: who drains or receives
//! never waits for it. What it gives to readers is in the archive, on the disk; so a loss of power takes nothing back that was read.
//!
//! The files lie beside the directory of a date: with the original's pattern `./$GROUP/$DATE/data` they are `./G/2026.11.22/data-0.log`, `data-1.log` and so on, as the
//! original calls them. Each run begins the next one, unless it is to go on with the last. On a new date files of that date are begun.
//! Which file is the newest says how far the archive was exported ([`places`]), so a kill costs and doubles nothing.

mod places;

use crate::exit::chain;
use crate::fence::Pass;
use crate::formats::body::{End, Gap};
use crate::formats::fregion::fresh::Order;
use crate::ids::StreamId;
use crate::modes::archive_reader::{Fault, Follower, Progress, Record, StreamInfo, Visitor};
use crate::modes::export::Series;
use crate::modes::export::hobbes::{self, HobbesExporter, HobbesWriter};
use crate::modes::selection::Selection;
use crate::modes::stop::Stop;
use crate::modes::supervise::{Job, Post};
use crate::os::clock;
use crate::stages::archive::ArchivePattern;
use clap::ValueEnum;
use std::error::Error;
use std::io::{self, Stderr};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::warn;

/// How often it is looked for what was appended.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked whether what was appended is on the disk.
const SYNC_LOOK: Duration = Duration::from_millis(10);
/// How often files are synced. What a loss of power takes of them is written again from the archive.
const SYNC_EACH: Duration = Duration::from_secs(2);

/// So long it is waited for room on a full disk.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// What a role stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StoreFormat {
    /// The archive
    #[default]
    Archive,
    /// The archive, and beside it .log files as the original's recorder writes them
    Hobbes,
}

/// What the command line says of `.log` files, if there are to be any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HobbesFiles {
    /// How they say in which order records came.
    pub series: Series,
    /// Go on with the last file, instead of beginning one with each run.
    pub goes_on: bool,
}

/// What an archive knows of itself and the disk.
pub trait Durability: Send + Sync + 'static {
    /// How much was appended so far, in whatever measure.
    fn appended(&self) -> u64;

    /// How much of it is on the disk.
    fn synced(&self) -> u64;

    /// Has the disk hold what was appended, if nobody else sees to that at once.
    fn sync(&self, pass: &Pass);
}

/// How far a worker has come.
#[derive(Debug, Default)]
pub struct FilesReport {
    /// So much of what was appended is in the files.
    exported: AtomicU64,
}

impl FilesReport {
    /// So much of what was appended is in the files, in the measure of [`Durability::appended`].
    #[must_use]
    pub fn exported(&self) -> u64 {
        // Pairs with the Release of the worker, which committed before.
        self.exported.load(Ordering::Acquire)
    }
}

/// The worker that writes the files of `group`, whose archive lies under `pattern`.
pub fn job<D: Durability>(
    files: HobbesFiles,
    pattern: &ArchivePattern,
    group: &str,
    durability: Arc<D>,
    report: &Arc<FilesReport>,
    stop: &Stop,
) -> Job {
    let worker = Worker {
        files,
        pattern: pattern.clone(),
        group: group.to_owned(),
        durability,
        report: Arc::clone(report),
        has_begun: AtomicBool::new(false),
    };
    Job::new(&format!("files {group}"), stop, move |post| worker.run(post))
}

/// Whatever a worker fails of.
type AnyError = Box<dyn Error>;

/// Whether an error comes of a disk that is full.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    causes.any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    })
}

struct Worker<D> {
    files: HobbesFiles,
    pattern: ArchivePattern,
    group: String,
    durability: Arc<D>,
    report: Arc<FilesReport>,
    /// This process has begun its file, and goes on with it after a failure.
    has_begun: AtomicBool,
}

impl<D: Durability> Worker<D> {
    fn run(&self, post: &Post) -> Result<(), String> {
        let mut waits_for_room = false;
        while !post.stop.is_set() {
            match self.run_to_midnight(post) {
                Ok(()) => waits_for_room = false,
                // There may be room again, and all that is missing is in the archive.
                Err(error) if is_full(&*error) => {
                    if !std::mem::replace(&mut waits_for_room, true) {
                        warn!(
                            ".log files of group {}: {}; waiting for room",
                            self.group,
                            chain(&*error)
                        );
                    }
                    post.stop.wait(FULL_PAUSE);
                }
                Err(error) => return Err(chain(&*error)),
            }
        }
        Ok(())
    }

    /// Follows the archive until it is time to end, or for the files of another date.
    fn run_to_midnight(&self, post: &Post) -> Result<(), AnyError> {
        let today = clock::local_date();
        let date = places::date_of_files(&self.pattern, &self.group, &today)?;
        let writer = self.writer(&date)?;
        let from = writer.progress().clone();
        let selection = Selection {
            groups: vec![self.group.clone()],
            ..Selection::default()
        };
        let mut gated = Gated {
            exporter: HobbesExporter::new(writer, selection, io::stderr()),
            durability: &*self.durability,
            post,
        };
        let paths = [self.pattern.above_dates(&self.group)];
        let mut follower = Follower::from(&paths, from, &mut gated, &post.stop)?;
        let mut synced = Instant::now();
        loop {
            // What is appended by now is read in this round, and what is read was appended by its end.
            let read = self.durability.appended();
            follower.round()?;
            let gated = follower.visitor();
            if post.stop.is_set() || !gated.wait_synced(false) {
                return Ok(gated.exporter.writer.sync()?);
            }
            gated.exporter.commit()?;
            self.report.exported.store(read, Ordering::Release);
            let is_over = post.stop.wait(LOOK);
            let is_tomorrow = clock::local_date() > today;
            if is_over || is_tomorrow || synced.elapsed() >= SYNC_EACH {
                gated.exporter.writer.sync()?;
                synced = Instant::now();
            }
            if is_over || is_tomorrow {
                return Ok(());
            }
        }
    }

    /// The writer for the files of that date, which goes on where the newest of all files ends.
    fn writer(&self, date: &str) -> Result<HobbesWriter, AnyError> {
        let order = match self.files.series {
            Series::Transactions => Order::Transactions,
            Series::Log => Order::Log,
        };
        let stem = |date: &str| self.pattern.directory(&self.group, date);
        let open = |date: &str| hobbes::open_numbered(&stem(date), order);
        let mut writer = open(date)?;
        let is_first = !self.has_begun.swap(true, Ordering::Relaxed);
        if writer.goes_on() {
            if is_first && !self.files.goes_on {
                writer.begin_anew();
            }
            return Ok(writer);
        }
        // Of a date there may be files of the original alone, which do not know: whoever goes back and forth between the two has them.
        let before = places::dates_of_files(&self.pattern, &self.group)?;
        for earlier in before.iter().rev().filter(|earlier| *earlier != date) {
            let earlier = open(earlier)?;
            if earlier.goes_on() {
                writer.begin_at(earlier.progress().clone());
                break;
            }
        }
        Ok(writer)
    }
}

/// Takes what is read to an exporter, and lets nothing be committed that the disk does not have.
struct Gated<'w, D> {
    exporter: HobbesExporter<Stderr>,
    durability: &'w D,
    post: &'w Post,
}

impl<D: Durability> Gated<'_, D> {
    /// Waits until all that was read so far is on the disk; false if it is time to end before. The archive is synced now and then anyway: in haste it is done here.
    fn wait_synced(&self, in_haste: bool) -> bool {
        let read = self.durability.appended();
        if in_haste && self.durability.synced() < read {
            self.durability.sync(&self.post.pass);
        }
        while self.durability.synced() < read {
            if self.post.stop.wait(SYNC_LOOK) {
                return false;
            }
        }
        true
    }
}

impl<D: Durability> Visitor for Gated<'_, D> {
    fn wants(&self, stream: StreamId) -> bool {
        self.exporter.wants(stream)
    }

    #[inline]
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        self.exporter.record(stream, record)
    }

    fn settled(&mut self, progress: &Progress) -> io::Result<()> {
        if self.exporter.writer.is_full() && !self.wait_synced(true) {
            return Ok(()); // it is time to end: the next run reads it again
        }
        self.exporter.settled(progress)
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.exporter.undefined(stream, position, statement)
    }

    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
        self.exporter.gap(stream, missing, gap)
    }

    fn deleted(&mut self, stream: &StreamInfo, missing: Range<u64>) -> io::Result<()> {
        self.exporter.deleted(stream, missing)
    }

    fn ended(&mut self, stream: &StreamInfo, end: &End) -> io::Result<()> {
        self.exporter.ended(stream, end)
    }

    fn spoilt(&mut self, path: &Path, from: u64) -> io::Result<()> {
        self.exporter.spoilt(path, from)
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.exporter.fault(fault)
    }
}

#[cfg(test)]
mod tests;
