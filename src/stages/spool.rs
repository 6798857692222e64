//! Spool: the sender's log of one group, and the account of who still needs which of its segments.
//!
//! [`Spool`] belongs to the drainer, the one that appends. [`SpoolIndex`] is shared with the shippers: which segments there are, how far each is
//! whole, which streams lie in it, what every destination has acknowledged. A segment is deleted when every destination that it is owed to has
//! acknowledged all of it, and a later segment's checkpoint is known to be on disk, so that the deletion is safe after a crash.
//!
//! Who is owed a segment: the destinations of the session that wrote it. And a destination named now is owed what older segments hold of streams that had
//! not ended when this session began, for a stream is never cut.

use crate::formats::frame::Kind;
use crate::formats::lock_record::SpoolIdentity;
use crate::formats::segment::LogRole;
use crate::formats::table::{StreamState, Table};
use crate::ids::StreamId;
use crate::os::disk::{self, DiskError};
use crate::os::lock::{DirectoryLock, LockError};
use crate::seglog::batch::FrameBatch;
use crate::seglog::reader::{Head, SegmentError, SegmentReader};
use crate::seglog::recovery::{self, Event, SegmentFile};
use crate::seglog::writer::{AppendError, Durability, LogIdentity, OpenSegment, SegmentLog};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tracing::warn;

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

/// A segment of the spool, as its readers need to know it.
#[derive(Clone, Debug)]
struct SegmentEntry {
    path: PathBuf,
    /// The session's run that wrote it.
    epoch: u64,
    /// While this process may append to it or has still to sync it.
    open: Option<Arc<OpenSegment>>,
    /// First and last position of each stream in it.
    streams: HashMap<StreamId, (u64, u64)>,
    /// Time of draining of its first frame, nanoseconds since 1970; 0 if it has none.
    oldest: u64,
    /// Its checkpoint is known to be on disk, so that older segments are not needed to explain the spool.
    explains: bool,
    /// A sync of it failed.
    failed: bool,
}

impl SegmentEntry {
    fn new(path: PathBuf, epoch: u64, open: Option<Arc<OpenSegment>>) -> Self {
        Self {
            path,
            epoch,
            open,
            streams: HashMap::new(),
            oldest: 0,
            explains: false,
            failed: false,
        }
    }
}

/// What the shippers share with the drainer.
pub struct SpoolIndex {
    state: Mutex<IndexState>,
    /// Bytes appended since the start: only to wake shippers by.
    appended: AtomicU64,
}

#[derive(Default)]
struct IndexState {
    segments: BTreeMap<u64, SegmentEntry>,
    /// Destinations by the run that drained for them.
    owed_to: HashMap<u64, Vec<String>>,
    /// The run of this session.
    epoch: u64,
    /// Streams that had not ended when this session began.
    continuing: HashSet<StreamId>,
    /// In how many segments a stream lies.
    lies_in: HashMap<StreamId, usize>,
    /// Rings that are there.
    rings: HashSet<StreamId>,
    /// The shm directory has been looked through since the start.
    rings_known: bool,
    /// Acknowledged positions by destination and stream.
    acked: HashMap<String, HashMap<StreamId, u64>>,
    /// Counts deletions, so that shippers notice.
    deletions: u64,
    /// The segment that could not be deleted, and was reported.
    undeletable: Option<u64>,
    watches: Vec<Arc<Watch>>,
}

/// What a destination has not acknowledged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unacknowledged {
    /// Bytes of positions.
    pub bytes: u64,
    /// When the oldest segment with some of them was begun to be filled, nanoseconds since 1970.
    pub oldest: Option<u64>,
}

/// A shipper that sleeps until enough was appended.
pub struct Watch {
    wake_at: AtomicU64,
    bell: Sender<()>,
}

impl Watch {
    /// Rings once the spool has grown to `total` bytes appended.
    pub fn arm(&self, total: u64) {
        self.wake_at.store(total, Ordering::SeqCst); // against the swap in SpoolIndex::wake
    }
}

/// A segment for a shipper to read.
#[derive(Clone, Debug)]
pub struct SegmentAt {
    /// Its number.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// Its run.
    pub epoch: u64,
    /// Bytes of it that are whole; `u64::MAX` for one that nobody writes any more.
    pub limit: u64,
    /// Whether more will be appended.
    pub is_active: bool,
}

impl SpoolIndex {
    fn lock(&self) -> MutexGuard<'_, IndexState> {
        // Every change of the state is complete before the guard goes, so a panic elsewhere leaves it sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes appended since the start.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::SeqCst) // against Watch::arm: either the shipper sees the bytes or the drainer the watch
    }

    /// A bell for one shipper.
    pub fn watch(&self) -> (Arc<Watch>, Receiver<()>) {
        let (bell, hears) = bounded(1);
        let watch = Arc::new(Watch {
            wake_at: AtomicU64::new(u64::MAX),
            bell,
        });
        self.lock().watches.push(Arc::clone(&watch));
        (watch, hears)
    }

    fn wake(&self, watches: &[Arc<Watch>], appended: u64) {
        for watch in watches {
            if watch.wake_at.load(Ordering::SeqCst) <= appended {
                watch.wake_at.store(u64::MAX, Ordering::SeqCst);
                let _ = watch.bell.try_send(()); // full: it rings already
            }
        }
    }

    /// All destinations that are owed anything: those of this session and of the sessions whose segments are still here.
    #[must_use]
    pub fn destinations(&self) -> Vec<String> {
        let state = self.lock();
        let mut all: Vec<String> = Vec::new();
        let epochs = std::iter::once(state.epoch).chain(state.segments.values().map(|segment| segment.epoch));
        for epoch in epochs {
            for destination in state.owed_to.get(&epoch).into_iter().flatten() {
                if !all.contains(destination) {
                    all.push(destination.clone());
                }
            }
        }
        all
    }

    /// The first segment at or behind `number`.
    #[must_use]
    pub fn segment_from(&self, number: u64) -> Option<SegmentAt> {
        let state = self.lock();
        let newest = state.segments.keys().next_back().copied();
        state.segments.range(number..).next().map(|(number, entry)| SegmentAt {
            number: *number,
            path: entry.path.clone(),
            epoch: entry.epoch,
            limit: entry.open.as_ref().map_or(u64::MAX, |open| open.accepted()),
            is_active: Some(*number) == newest,
        })
    }

    /// Whether `destination` is owed what segment `number` holds of `stream`.
    #[must_use]
    pub fn is_owed(&self, destination: &str, number: u64, stream: StreamId) -> bool {
        let state = self.lock();
        state
            .segments
            .get(&number)
            .is_some_and(|segment| state.is_owed(destination, segment, stream))
    }

    /// Whether `destination` is owed anything of segment `number` beyond what `has` says it has.
    #[must_use]
    pub fn needs_segment(&self, destination: &str, number: u64, has: impl Fn(StreamId) -> u64) -> bool {
        let state = self.lock();
        state.segments.get(&number).is_some_and(|segment| {
            segment
                .streams
                .iter()
                .any(|(stream, (_, end))| state.is_owed(destination, segment, *stream) && has(*stream) < *end)
        })
    }

    /// Notes what `destination` has on its disk, and deletes the segments that nobody needs any more.
    pub fn acknowledge(&self, destination: &str, acked: &[(StreamId, u64)]) {
        let mut state = self.lock();
        let known = state.acked.entry(destination.to_owned()).or_default();
        for (stream, position) in acked {
            let place = known.entry(*stream).or_default();
            *place = (*place).max(*position);
        }
        state.delete_delivered();
    }

    /// Deletes the segments that nobody needs any more.
    pub fn delete_delivered(&self) {
        self.lock().delete_delivered();
    }

    /// What `destination` acknowledged, by stream.
    #[must_use]
    pub fn acknowledged_by(&self, destination: &str) -> Vec<(StreamId, u64)> {
        let state = self.lock();
        state
            .acked
            .get(destination)
            .into_iter()
            .flatten()
            .map(|(stream, position)| (*stream, *position))
            .collect()
    }

    /// Whether all that is in the spool was acknowledged by all that it is owed to.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        let state = self.lock();
        state.segments.values().all(|segment| state.is_delivered(segment))
    }

    /// Counts deletions of segments.
    #[must_use]
    pub fn deletions(&self) -> u64 {
        self.lock().deletions
    }

    /// Which of `streams` have no frame here and no ring: the receiver may forget them. None before the rings are known.
    #[must_use]
    pub fn forgettable(&self, streams: impl Iterator<Item = StreamId>) -> Vec<StreamId> {
        let state = self.lock();
        if state.rings_known {
            streams.filter(|stream| !state.is_present(*stream)).collect()
        } else {
            Vec::new()
        }
    }

    /// Whether the shm directory has been looked through.
    #[must_use]
    pub fn knows_rings(&self) -> bool {
        self.lock().rings_known
    }

    /// The rings that are there, all of them.
    pub fn set_rings(&self, rings: HashSet<StreamId>) {
        let mut state = self.lock();
        state.rings = rings;
        state.rings_known = true;
    }

    /// Where the streams of segment `number` end in it, without those that also lie in a segment whose sync failed.
    #[must_use]
    pub fn ends_of(&self, number: u64) -> HashMap<StreamId, u64> {
        let state = self.lock();
        let is_doubtful = |stream: &StreamId| {
            state
                .segments
                .values()
                .any(|segment| segment.failed && segment.streams.contains_key(stream))
        };
        let segment = state.segments.get(&number);
        let ends = segment.into_iter().flat_map(|segment| &segment.streams);
        ends.filter(|(stream, _)| !is_doubtful(stream))
            .map(|(stream, (_, end))| (*stream, *end))
            .collect()
    }

    /// Whether every destination of this session has acknowledged the streams up to `goal`, and everybody all that older sessions left.
    #[must_use]
    pub fn is_delivered_up_to(&self, goal: &HashMap<StreamId, u64>) -> bool {
        let state = self.lock();
        state
            .segments
            .values()
            .all(|segment| state.is_delivered_up_to(segment, Some(goal)))
    }

    /// Bytes of positions that are still to be acknowledged, by destination, and the time of draining of the oldest of them.
    #[must_use]
    pub fn unacknowledged(&self) -> HashMap<String, Unacknowledged> {
        let state = self.lock();
        let mut all: HashMap<String, Unacknowledged> = HashMap::new();
        for segment in state.segments.values() {
            for destination in state.owed_destinations(segment) {
                let mut bytes = 0;
                for (stream, (start, end)) in &segment.streams {
                    if state.is_owed(destination, segment, *stream) {
                        let acked = state
                            .acked
                            .get(destination)
                            .and_then(|acked| acked.get(stream))
                            .copied();
                        bytes += end.saturating_sub(acked.unwrap_or(0).max(*start));
                    }
                }
                let entry = all.entry(destination.clone()).or_default();
                entry.bytes += bytes;
                if bytes > 0 && entry.oldest.is_none() {
                    entry.oldest = Some(segment.oldest);
                }
            }
        }
        all
    }

    /// An index of a spool that somebody else holds or nobody, for reports.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn look_at(directory: &Path, epoch: u64, owed_to: HashMap<u64, Vec<String>>) -> Result<Self, SpoolError> {
        let mut state = IndexState {
            epoch,
            owed_to,
            ..IndexState::default()
        };
        for segment in recovery::segments_in(directory)? {
            state.index_segment(&segment)?;
        }
        Ok(Self {
            state: Mutex::new(state),
            appended: AtomicU64::new(0),
        })
    }

    /// Takes in what is recorded of a destination's acknowledgements, for reports.
    pub fn know_acknowledged(&self, destination: &str, acked: HashMap<uuid::Uuid, u64>) {
        let acked = acked
            .into_iter()
            .map(|(stream, position)| (StreamId(stream), position))
            .collect();
        self.lock().acked.insert(destination.to_owned(), acked);
    }

    /// The runs whose segments are here.
    #[must_use]
    pub fn epochs(&self) -> HashSet<u64> {
        self.lock().segments.values().map(|segment| segment.epoch).collect()
    }

    /// Names whom the segments of `epoch` are owed to.
    pub fn set_owed(&self, epoch: u64, destinations: Vec<String>) {
        self.lock().owed_to.insert(epoch, destinations);
    }

    /// Where each stream ends in the segments that are here.
    #[must_use]
    pub fn ends(&self) -> HashMap<StreamId, u64> {
        let state = self.lock();
        let mut ends = HashMap::new();
        for (stream, (_, end)) in state.segments.values().flat_map(|segment| &segment.streams) {
            let place = ends.entry(*stream).or_insert(*end);
            *place = (*place).max(*end);
        }
        ends
    }

    /// The segments that are to be synced, oldest first.
    #[must_use]
    pub fn unsynced(&self) -> Vec<Arc<OpenSegment>> {
        let state = self.lock();
        state
            .segments
            .values()
            .filter(|segment| !segment.failed)
            .filter_map(|segment| segment.open.clone())
            .collect()
    }

    /// A sync of segment `number` succeeded: if it is finished and all of it was synced, that is the end of it.
    pub fn synced(&self, number: u64) {
        let mut state = self.lock();
        let newest = state.segments.keys().next_back().copied();
        if let Some(segment) = state.segments.get_mut(&number) {
            segment.explains |= segment
                .open
                .as_ref()
                .is_some_and(|open| open.durable() >= open.checkpoint_end);
            if newest != Some(number)
                && segment
                    .open
                    .as_ref()
                    .is_some_and(|open| open.durable() >= open.accepted())
            {
                segment.open = None;
            }
        }
    }

    /// A sync of segment `number` failed: it is never synced again, and nothing that lies in it is ever said to be on disk.
    pub fn sync_failed(&self, number: u64) {
        if let Some(segment) = self.lock().segments.get_mut(&number) {
            segment.failed = true;
        }
    }
}

impl IndexState {
    fn is_owed(&self, destination: &str, segment: &SegmentEntry, stream: StreamId) -> bool {
        let names = |epoch| {
            self.owed_to
                .get(&epoch)
                .is_some_and(|owed: &Vec<String>| owed.iter().any(|one| one == destination))
        };
        names(segment.epoch) || (self.continuing.contains(&stream) && names(self.epoch))
    }

    fn is_present(&self, stream: StreamId) -> bool {
        self.rings.contains(&stream) || self.lies_in.contains_key(&stream)
    }

    /// Those that may be owed something of `segment`.
    fn owed_destinations(&self, segment: &SegmentEntry) -> HashSet<&String> {
        let now = self.owed_to.get(&self.epoch).into_iter().flatten();
        let then = self.owed_to.get(&segment.epoch).into_iter().flatten();
        now.chain(then).collect()
    }

    fn is_delivered_up_to(&self, segment: &SegmentEntry, goal: Option<&HashMap<StreamId, u64>>) -> bool {
        self.owed_destinations(segment).into_iter().all(|destination| {
            let acked = self.acked.get(destination);
            segment.streams.iter().all(|(stream, (_, end))| {
                let wanted = goal.map_or(*end, |goal| goal.get(stream).map_or(0, |goal| *goal.min(end)));
                wanted == 0
                    || !self.is_owed(destination, segment, *stream)
                    || acked
                        .and_then(|acked| acked.get(stream))
                        .is_some_and(|position| *position >= wanted)
            })
        })
    }

    fn is_delivered(&self, segment: &SegmentEntry) -> bool {
        self.is_delivered_up_to(segment, None)
    }

    /// Deletes from the oldest on. A segment that cannot be deleted stays, is reported once, and holds up those behind it, but not the shipping.
    fn delete_delivered(&mut self) {
        while let Some((number, segment)) = self.segments.first_key_value() {
            let number = *number;
            let explained = self.segments.range(number + 1..).any(|(_, later)| later.explains);
            if !explained || !self.is_delivered(segment) {
                return;
            }
            if let Err(error) = disk::unlink(&segment.path) {
                if self.undeletable != Some(number) {
                    warn!("{}", crate::exit::chain(&error));
                    self.undeletable = Some(number);
                }
                return;
            }
            self.remove_segment(number);
            self.deletions += 1;
        }
    }

    fn remove_segment(&mut self, number: u64) {
        if let Some(segment) = self.segments.remove(&number) {
            for stream in segment.streams.keys() {
                self.lies_in_one_less(*stream);
            }
        }
    }

    fn lies_in_one_less(&mut self, stream: StreamId) {
        if let Some(count) = self.lies_in.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                self.lies_in.remove(&stream);
                if !self.is_present(stream) {
                    self.acked.values_mut().for_each(|acked| {
                        acked.remove(&stream);
                    });
                }
            }
        }
    }

    fn add_range(&mut self, number: u64, stream: StreamId, start: u64, end: u64, time: u64) {
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        if segment.oldest == 0 {
            segment.oldest = time;
        }
        let range = segment.streams.entry(stream).or_insert_with(|| {
            *self.lies_in.entry(stream).or_default() += 1;
            (start, end)
        });
        range.1 = range.1.max(end);
    }
}

/// The spool of a group, held by the one process that appends to it.
pub struct Spool {
    log: SegmentLog,
    index: Arc<SpoolIndex>,
    identity: SpoolIdentity,
    segment_bytes: u64,
    // The lock goes last.
    lock: Arc<DirectoryLock>,
}

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
        segment_bytes: u64,
        owed_to: HashMap<u64, Vec<String>>,
    ) -> Result<Opened, SpoolError> {
        let segments = recovery::segments_in(directory)?;
        let mut standing = recovery::recover(&segments)?;
        let damages = std::mem::take(&mut standing.damages);
        let mut state = IndexState {
            epoch: identity.epoch,
            owed_to,
            ..IndexState::default()
        };
        for segment in segments {
            state.index_segment(&segment)?;
        }
        state.continuing = open_streams(&standing.table);
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
            segment_bytes,
            directory.to_owned(),
            standing,
            decompressor,
        );
        let index = Arc::new(SpoolIndex {
            state: Mutex::new(state),
            appended: AtomicU64::new(0),
        });
        let mut spool = Self {
            log,
            index,
            identity,
            segment_bytes,
            lock,
        };
        spool.begin_segment_if_there_is_room()?;
        Ok(Opened { spool, damages })
    }

    /// Opens the spool once more within a process whose drainer failed: what it holds is read from the disk again, the index goes on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reopen(&self) -> Result<Self, SpoolError> {
        let directory = self.log.directory().to_owned();
        let segments = recovery::segments_in(&directory)?;
        let standing = recovery::recover(&segments)?;
        // What counts of the segments that this process wrote is what is on the disk, not what was accepted.
        let mut state = self.index.lock();
        for segment in &segments {
            let known = state.segments.get(&segment.number);
            let failed = known.is_some_and(|known| known.failed);
            if known.is_none_or(|known| known.open.is_some()) {
                state.remove_segment(segment.number);
                state.index_segment(segment)?;
                if let Some(again) = state.segments.get_mut(&segment.number) {
                    again.failed = failed;
                }
            }
        }
        drop(state);
        let decompressor = crate::formats::codec::Decompressor::new().map_err(disk::at("prepare", &directory))?;
        let log = SegmentLog::new(
            self.log.identity().clone(),
            Durability::Elsewhere,
            self.segment_bytes,
            directory,
            standing,
            decompressor,
        );
        let (index, lock) = (Arc::clone(&self.index), Arc::clone(&self.lock));
        let mut spool = Self {
            log,
            index,
            identity: self.identity,
            segment_bytes: self.segment_bytes,
            lock,
        };
        spool.begin_segment_if_there_is_room()?;
        Ok(spool)
    }

    /// The runs that wrote the segments in `directory`, oldest first: the last is the spool's identity, should its lock file be lost.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn runs_in(directory: &Path) -> Result<Vec<SpoolIdentity>, SpoolError> {
        let segments = recovery::segments_in(directory)?;
        let headers = segments
            .iter()
            .filter_map(|segment| SegmentReader::open(&segment.path).ok());
        let mut runs: Vec<_> = headers
            .map(|reader| SpoolIdentity {
                sender: reader.header().owner,
                epoch: reader.header().epoch,
            })
            .collect();
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
    /// When the disk refuses: the same batch may be appended again.
    pub fn append(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError> {
        if self.log.active().is_none() {
            self.begin_segment()?;
        }
        if self.log.is_due(batch.len()) {
            self.roll()?;
        }
        self.log.append(batch)?;
        let Some(number) = self.log.active().map(|active| active.number) else {
            return Ok(());
        };
        let mut state = self.index.lock();
        for frame in batch
            .frames()
            .iter()
            .filter(|frame| frame.header.kind.takes_positions())
        {
            let header = &frame.header;
            state.add_range(number, header.stream, header.start, header.end, header.time);
        }
        let appended = self.index.appended.fetch_add(batch.len() as u64, Ordering::SeqCst) + batch.len() as u64;
        self.index.wake(&state.watches, appended);
        Ok(())
    }

    /// Finishes the active segment.
    ///
    /// # Errors
    /// When the disk refuses; the segment then ends without SEAL.
    pub fn finish(&mut self) -> Result<(), AppendError> {
        self.log.finish()
    }

    /// After a sync failed: nothing more goes into the segment that failed.
    ///
    /// # Errors
    /// When a new one cannot be begun.
    pub fn abandon_failed_segment(&mut self) -> Result<(), DiskError> {
        if self.log.active().is_some_and(|active| active.file.has_failed()) {
            self.log.abandon_segment()?;
            self.enter_active();
        }
        Ok(())
    }

    /// Bytes at which a segment is finished.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// The lock that this spool is held by.
    #[must_use]
    pub fn lock(&self) -> &Arc<DirectoryLock> {
        &self.lock
    }

    /// A full disk is no reason not to start: shipping what is there makes room, and the first append begins the segment.
    fn begin_segment_if_there_is_room(&mut self) -> Result<(), AppendError> {
        match self.begin_segment() {
            Err(AppendError::Disk(error)) if error.is_full() => {
                warn!("{}: waiting for room", crate::exit::chain(&error));
                Ok(())
            }
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
        let state = self.index.lock();
        if state.rings_known {
            self.log
                .table_mut()
                .streams
                .retain(|id, stream| stream.state == StreamState::Open || state.is_present(*id));
        }
        drop(state);
        let directory = self.log.directory().to_owned();
        self.log.roll_into(&directory)?;
        self.enter_active();
        Ok(())
    }

    fn enter_active(&self) {
        let Some(active) = self.log.active() else { return };
        let path = active.file.path().to_owned();
        let entry = SegmentEntry::new(path, self.identity.epoch, Some(Arc::clone(active)));
        self.index.lock().segments.insert(active.number, entry);
    }
}

/// The streams of `table` that have not ended.
fn open_streams(table: &Table) -> HashSet<StreamId> {
    table
        .streams
        .iter()
        .filter(|(_, stream)| stream.state == StreamState::Open)
        .map(|(id, _)| *id)
        .collect()
}

impl IndexState {
    /// Enters a segment of an earlier session by its frames' headers.
    fn index_segment(&mut self, segment: &SegmentFile) -> Result<(), SpoolError> {
        let mut reader = match SegmentReader::open(&segment.path) {
            Ok(reader) => reader,
            // Delivered and deleted since it was listed, when somebody else's spool is looked at.
            Err(SegmentError::Disk(error)) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(SegmentError::Disk(error)) => return Err(error.into()),
            Err(_) => return Ok(()), // recovery has reported it; it stays where it is
        };
        let mut entry = SegmentEntry::new(segment.path.clone(), reader.header().epoch, None);
        // Recovery has synced the last of these; a later one that explains is all that a deletion asks for.
        let head = reader.checkpoint()?;
        entry.explains = matches!(head, Head::Whole(_));
        if entry.epoch == self.epoch
            && !self.segments.values().any(|earlier| earlier.epoch == self.epoch)
            && let Head::Whole(table) = &head
        {
            self.continuing = open_streams(table);
        }
        self.segments.insert(segment.number, entry);
        recovery::for_each_frame(&mut reader, &mut |_, event| {
            if let Event::Frame(found) = event
                && matches!(found.header.kind, Kind::Data | Kind::Gap | Kind::End)
            {
                let header = found.header;
                self.add_range(segment.number, header.stream, header.start, header.end, header.time);
            }
            Ok(true)
        })?;
        Ok(())
    }
}
