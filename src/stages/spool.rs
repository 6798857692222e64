//! Spool: the sender's log of one group, and the account of who still needs which of its segments.
//!
//! [`Spool`] belongs to the drainer, the one that appends. [`SpoolIndex`] is shared with the shippers: which segments there are, how far each is
//! whole, which streams lie in it, what every destination has acknowledged. A segment is deleted when every destination that it is owed to has
//! acknowledged all of it, and a later segment's checkpoint is known to be on disk, so that the deletion is safe after a crash.
//!
//! Who is owed a segment: the destinations of the session that wrote it. And a destination named now is owed what older segments hold of streams that had
//! not ended when this session began, for a stream is never cut.

mod found;
mod full;
mod index;
pub mod older;
mod remnant;
pub mod reserve;
pub mod room;

pub use full::Notice;
pub use index::{OwedRange, Rewritten, SegmentAt, SpoolIndex, Unacknowledged, Watch};

use crate::fence::Pass;
use crate::formats::lock_record::SpoolIdentity;
use crate::formats::segment::LogRole;
use crate::formats::table::{StreamState, Table};
use crate::os::clock;
use crate::os::disk::{self, DiskError};
use crate::os::lock::{DirectoryLock, LockError};
use crate::seglog::batch::FrameBatch;
use crate::seglog::reader::{SegmentError, SegmentReader};
use crate::seglog::recovery;
use crate::seglog::writer::{AppendError, Durability, LogIdentity, SegmentLog};
use found::Found;
use full::Fullness;
use reserve::Reserve;
use room::Bounds;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a spool cannot be opened.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Somebody else has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A segment could not be read.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The first segment could not be begun.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// The spool of a group, held by the one process that appends to it.
pub struct Spool {
    log: SegmentLog,
    index: Arc<SpoolIndex>,
    identity: SpoolIdentity,
    bounds: Bounds,
    fullness: Fullness,
    /// With which its drainer lets what it does count.
    pass: Pass,
    /// After a failed sync: when another segment may next be begun.
    another_due: Instant,
    // The lock goes last.
    lock: Arc<DirectoryLock>,
}

/// Opens a spool once more, for a drainer whose predecessor failed or hangs with the spool that it had.
pub struct Reopener {
    log: LogIdentity,
    directory: PathBuf,
    index: Arc<SpoolIndex>,
    identity: SpoolIdentity,
    bounds: Bounds,
    lock: Arc<DirectoryLock>,
}
/// How often it is tried to leave a segment whose sync failed: the disk is in trouble already.
const ANOTHER_EVERY: Duration = Duration::from_millis(200);

/// The file that says that a receiver refused the spool for good.
pub const REFUSED: &str = "refused";

/// The most bytes that it has: a receiver's words, which a frame carried.
const REFUSED_MAX: usize = crate::limits::FRAME_BODY_MAX + 4096;

/// What was found when a spool was opened.
pub struct Opened {
    /// The spool.
    pub spool: Spool,
    /// Damage, in words.
    pub damages: Vec<String>,
}

impl Spool {
    /// Takes the spool in `directory`, recovers it, raises its epoch and begins a new segment. `owed_to` names the destinations of a run; this
    /// session's are `destinations`.
    ///
    /// # Errors
    /// When somebody else has it, or the disk refuses.
    pub fn open(
        lock: Arc<DirectoryLock>,
        directory: &Path,
        group: &str,
        identity: SpoolIdentity,
        bounds: Bounds,
        owed_to: HashMap<u64, Vec<String>>,
    ) -> Result<Opened, SpoolError> {
        let Found {
            standing,
            index,
            damages,
        } = found::find(directory, identity.epoch, owed_to)?;
        index.set_continuing(&standing.table);
        index.set_retain(bounds.retain);
        let log = LogIdentity {
            role: LogRole::Spool,
            group: group.to_owned(),
            owner: identity.sender,
            epoch: identity.epoch,
        };
        let decompressor = crate::formats::codec::Decompressor::new().map_err(disk::at("prepare", directory))?;
        let log = SegmentLog::new(
            log,
            Durability::Elsewhere,
            bounds.segment_bytes(),
            directory.to_owned(),
            standing,
            decompressor,
        );
        let index = Arc::new(index);
        let mut spool = Self {
            log,
            index,
            identity,
            bounds,
            fullness: Fullness::new(Reserve::of(directory)),
            pass: Pass::default(),
            another_due: clock::moment(),
            lock,
        };
        spool.begin_segment_if_there_is_room()?;
        Ok(Opened { spool, damages })
    }

    /// What opens this spool once more within this process.
    #[must_use]
    pub fn reopener(&self) -> Reopener {
        Reopener {
            log: self.log.identity().clone(),
            directory: self.log.directory().to_owned(),
            index: Arc::clone(&self.index),
            identity: self.identity,
            bounds: self.bounds,
            lock: Arc::clone(&self.lock),
        }
    }

    /// From now on nothing that is done to this spool counts once the holder of `pass` was relieved.
    pub fn guard(&mut self, pass: &Pass) {
        self.pass = pass.clone();
        self.log.guard(pass);
    }

    /// Why a receiver refused the spool in `directory` for good, if one did: somebody else ships with its identity.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn refusal_in(directory: &Path) -> Result<Option<String>, DiskError> {
        let words = disk::read_whole(&directory.join(REFUSED), REFUSED_MAX)?;
        Ok(words.map(|words| String::from_utf8_lossy(&words).into_owned()))
    }

    /// Notes that a receiver refused the spool in `directory` for good. A run that began after that would have a newer number, and be
    /// taken for the one that is right.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note_refusal(directory: &Path, words: &str) -> Result<(), DiskError> {
        disk::write_whole(&directory.join(REFUSED), words.as_bytes())
    }

    /// The runs that wrote the segments in `directory`, oldest first: the last is the spool's identity, should its lock file be lost.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn runs_in(directory: &Path) -> Result<Vec<SpoolIdentity>, SpoolError> {
        let mut runs = Vec::new();
        let segments = recovery::segments_in(directory)?;
        index::fetch(&segments); // who asks for the runs opens the spool next
        for segment in segments {
            match SegmentReader::open(&segment.path) {
                Ok(reader) => runs.push(SpoolIdentity {
                    sender: reader.header().owner,
                    epoch: reader.header().epoch,
                }),
                // What cannot be read may be all that there is of a run: who does not know of it does not know to whom it is owed.
                Err(SegmentError::Disk(error)) if error.source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                Err(_) => {}
            }
        }
        runs.dedup();
        Ok(runs)
    }

    /// The shared index.
    #[must_use]
    pub fn index(&self) -> &Arc<SpoolIndex> {
        &self.index
    }

    /// Uuid and run.
    #[must_use]
    pub fn identity(&self) -> SpoolIdentity {
        self.identity
    }

    /// What the spool holds of every stream.
    #[must_use]
    pub fn table(&self) -> &Table {
        self.log.table()
    }

    /// Appends the frames of `batch` with one write, into a new segment if the present one is long enough, and tells the shippers.
    ///
    /// # Errors
    /// [`AppendError::Full`] when the spool has no room, which it says itself ([`Spool::notices`]), or when the disk refuses: the same batch may
    /// be appended again.
    pub fn append(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError> {
        if self.log.active().is_none() {
            self.with_reserve(Self::begin_segment)?;
        }
        self.make_room(batch.len())?;
        if self.log.is_due(batch.len()) {
            self.with_reserve(Self::roll)?;
        }
        self.with_reserve(|spool| spool.log.append(batch))?;
        let Some(number) = self.log.active().map(|active| active.number) else {
            return Ok(());
        };
        // A successor finds what was accepted in the segment itself.
        self.pass.act(|| self.index.enter_frames(number, batch))?;
        if !self.fullness.reserve.is_held() {
            // It took the reserve: what is left of that is for a new segment, before others take it. Should it fail, the next append meets the same.
            let _ = self.make_room(0);
        }
        Ok(())
    }

    /// Nobody logs any more: shippers need not wait for more to send what they have with.
    pub fn rest(&mut self) {
        let _ = self.pass.act(|| self.index.rest()); // of a relieved one its successor says it
    }

    /// What the operator should know since this was last asked.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.fullness.notices)
    }

    /// Finishes the active segment.
    ///
    /// # Errors
    /// When the disk refuses; the segment then ends without SEAL.
    pub fn finish(&mut self) -> Result<(), AppendError> {
        self.log.finish()
    }

    /// After a sync failed: nothing more goes into the segment that failed. What lies in it is written anew by [`SpoolIndex::rewrite_failed`], once
    /// there is another one.
    ///
    /// # Errors
    /// When a new one cannot be begun.
    pub fn abandon_failed_segment(&mut self) -> Result<(), DiskError> {
        let has_failed = match self.log.active() {
            Some(active) => active.file.has_failed(),
            None => self.index.newest_has_failed(), // another could not be begun
        };
        if !has_failed || clock::moment() < self.another_due {
            return Ok(());
        }
        self.another_due = clock::moment() + ANOTHER_EVERY;
        match self.with_reserve(|spool| Ok(spool.log.abandon_segment()?)) {
            Ok(()) => self.enter_active(),
            Err(AppendError::Disk(error)) => return Err(error),
            Err(_) => {} // no room: the next append tries again
        }
        Ok(())
    }

    /// A full disk is no reason not to start: shipping what is there makes room, and the first append begins the segment.
    fn begin_segment_if_there_is_room(&mut self) -> Result<(), AppendError> {
        match self.with_reserve(Self::begin_segment) {
            Err(AppendError::Full(_)) => Ok(()),
            other => other,
        }
    }

    fn begin_segment(&mut self) -> Result<(), AppendError> {
        self.log.begin_segment()?;
        self.enter_active();
        Ok(())
    }

    fn roll(&mut self) -> Result<(), AppendError> {
        // Streams that are over, in no segment and no ring: every receiver hears FORGET from now on, so the checkpoint need not know them.
        if self.index.knows_rings() {
            let index = &self.index;
            let streams = &mut self.log.table_mut().streams;
            streams.retain(|id, stream| stream.state == StreamState::Open || index.is_present(*id));
        }
        let directory = self.log.directory().to_owned();
        self.log.roll_into(&directory)?;
        self.enter_active();
        Ok(())
    }

    fn enter_active(&self) {
        let Some(active) = self.log.active() else { return };
        // Of one who was relieved meanwhile nobody learns of the segment, and nothing comes into it.
        let _ = self.pass.act(|| self.index.enter_segment(active, self.identity.epoch));
    }
}

impl Reopener {
    /// Opens the spool for the holder of `pass`: what it holds is read from the disk again, the index goes on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reopen(&self, pass: &Pass) -> Result<Spool, SpoolError> {
        let directory = &self.directory;
        self.index.hold_deletions();
        let segments = recovery::segments_in(directory)?;
        let standing = recovery::recover(&segments)?;
        self.index.read_open_again(&segments)?;
        let decompressor = crate::formats::codec::Decompressor::new().map_err(disk::at("prepare", directory))?;
        let mut log = SegmentLog::new(
            self.log.clone(),
            Durability::Elsewhere,
            self.bounds.segment_bytes(),
            directory.clone(),
            standing,
            decompressor,
        );
        log.skip_number(); // a predecessor that hangs may have begun that one
        let mut spool = Spool {
            log,
            index: Arc::clone(&self.index),
            identity: self.identity,
            bounds: self.bounds,
            fullness: Fullness::new(Reserve::of(directory)),
            pass: Pass::default(),
            another_due: clock::moment(),
            lock: Arc::clone(&self.lock),
        };
        spool.guard(pass);
        spool.begin_segment_if_there_is_room()?;
        Ok(spool)
    }
}
