//! The account that drainer and shippers share: which segments there are, how far each is whole, which streams lie in it. Who still needs it is
//! in [`debt`].

mod companions;
mod debt;
mod deletions;
mod failed;
mod left;
mod unread;
mod usage;

pub use debt::Unacknowledged;
pub use failed::Rewritten;
pub use left::OwedRange;
pub(super) use unread::fetch;
pub(super) use usage::Victim;

use self::companions::Companions;
use self::deletions::Deletions;
use self::unread::Opened;
use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::table::{Stream, StreamState, Table};
use crate::ids::StreamId;
use crate::os::disk::{self, DiskError};
use crate::seglog::batch::FrameBatch;
use crate::seglog::quarantine::QUARANTINED;
use crate::seglog::reader::{Ending, FoundFrame, Head, Next};
use crate::seglog::recovery::{self, SegmentFile};
use crate::seglog::writer::OpenSegment;
use crate::stages::spool::SpoolError;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

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
    /// The same of its last one.
    newest: u64,
    /// Bytes of its file, once nobody writes to it any more.
    bytes: u64,
    /// It holds records: it is not what is left of a segment that was dropped, or of one that was begun and not used.
    has_records: bool,
    /// Its checkpoint is known to be on disk, so that older segments are not needed to explain the spool.
    explains: bool,
    /// A sync of it failed.
    failed: bool,
    /// What lies in it is what the checkpoints around it say: nobody has looked at its frames yet.
    is_unread: bool,
    /// Whoever reads it holds a copy; true tells them that it is gone, and to let go of its file.
    gone: Arc<AtomicBool>,
}

impl SegmentEntry {
    fn new(path: PathBuf, epoch: u64, open: Option<Arc<OpenSegment>>) -> Self {
        Self {
            path,
            epoch,
            open,
            streams: HashMap::new(),
            oldest: 0,
            newest: 0,
            bytes: 0,
            has_records: false,
            explains: false,
            failed: false,
            is_unread: false,
            gone: Arc::default(),
        }
    }

    fn len(&self) -> u64 {
        self.open.as_ref().map_or(self.bytes, |open| open.accepted())
    }
}

/// What the shippers share with the drainer.
pub struct SpoolIndex {
    state: Mutex<IndexState>,
    /// Bytes appended since the start: only to wake shippers by.
    appended: AtomicU64,
    /// Bytes that were appended when nobody logged any more.
    rested: AtomicU64,
    /// The other spools of the group.
    companions: Mutex<Companions>,
}

#[derive(Default)]
struct IndexState {
    segments: BTreeMap<u64, SegmentEntry>,
    /// Destinations by the run that drained for them.
    owed_to: HashMap<u64, Vec<String>>,
    /// The run of this session.
    epoch: u64,
    /// Nobody appends to it.
    is_closed: bool,
    /// Streams that had not ended when this session began.
    continuing: HashSet<StreamId>,
    /// Streams of which earlier runs' frames are not touched.
    left: HashSet<StreamId>,
    /// Counts streams that were left and are taken up.
    rewinds: u64,
    /// In how many segments a stream lies.
    lies_in: HashMap<StreamId, usize>,
    /// Rings that are there.
    rings: HashSet<StreamId>,
    /// The shm directory has been looked through since the start.
    rings_known: bool,
    /// Acknowledged positions by destination and stream.
    acked: HashMap<String, HashMap<StreamId, u64>>,
    /// What earlier sessions noted of that. It says what a destination once had, and never that anything is delivered.
    once_acked: HashMap<String, HashMap<StreamId, u64>>,
    /// Nothing is deleted until the segments were read again.
    holds_deletions: bool,
    /// Deletions that a loss of power could take back.
    deletions: Deletions,
    /// How long a delivered segment stays after its last frame, nanoseconds.
    retain: u64,
    /// All segments below this number were delivered.
    delivered_below: u64,
    /// Bytes of those.
    delivered_bytes: u64,
    /// Bytes of all segments but the newest.
    closed_bytes: u64,
    /// Files that are deleted and that a shipper still had open: their bytes, and the sign that it let go.
    leaving: Vec<(u64, Weak<AtomicBool>)>,
    /// The segment that could not be deleted, and was reported.
    undeletable: Option<u64>,
    watches: Vec<Arc<Watch>>,
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
    /// To be held as long as its file is open. True: it was deleted, and its room is wanted.
    pub gone: Arc<AtomicBool>,
}

impl SpoolIndex {
    fn lock(&self) -> MutexGuard<'_, IndexState> {
        // Every change of the state is complete before the guard goes, so a panic elsewhere leaves it sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody is at it, who may stall there: a simulation, which is one thread, cannot wait for that.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state.try_lock().is_err()
    }

    /// Bytes appended since the start.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::SeqCst) // against Watch::arm: either the shipper sees the bytes or the drainer the watch
    }

    /// Whether nothing follows what was appended when [`SpoolIndex::appended`] was `seen`, before somebody logs again.
    #[must_use]
    pub fn is_at_rest(&self, seen: u64) -> bool {
        self.rested.load(Ordering::SeqCst) >= seen // against Watch::arm, as the bytes appended
    }

    /// Nobody logs any more: wakes the shippers that wait for more to send what they have with.
    pub(super) fn rest(&self) {
        let state = self.lock();
        self.rested.store(self.appended(), Ordering::SeqCst);
        self.wake(&state.watches, u64::MAX);
    }

    /// A bell for one shipper.
    pub fn watch(&self) -> (Arc<Watch>, Receiver<()>) {
        let (bell, hears) = bounded(1);
        let watch = Arc::new(Watch {
            wake_at: AtomicU64::new(u64::MAX),
            bell,
        });
        let mut state = self.lock();
        state.watches.retain(|watch| Arc::strong_count(watch) > 1); // of shippers that failed
        state.watches.push(Arc::clone(&watch));
        drop(state);
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
            gone: Arc::clone(&entry.gone),
        })
    }

    /// Whether the shm directory has been looked through.
    #[must_use]
    pub fn knows_rings(&self) -> bool {
        self.lock().rings_known
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

    /// The index of the spool in `directory`, which somebody else holds or nobody, for reports.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn look_at(directory: &Path, epoch: u64) -> Result<Self, SpoolError> {
        let (index, _) = Self::of_segments(&recovery::segments_in(directory)?, epoch, HashMap::new())?;
        Ok(index)
    }

    /// The index of `segments`, in the run `epoch`, and the numbers of those that are damaged, as far as what is read of them tells ([`unread`]).
    /// `owed_to` names the destinations of each run.
    pub(super) fn of_segments(
        segments: &[SegmentFile],
        epoch: u64,
        owed_to: HashMap<u64, Vec<String>>,
    ) -> Result<(Self, BTreeSet<u64>), SpoolError> {
        let mut state = IndexState {
            epoch,
            owed_to,
            ..IndexState::default()
        };
        let mut damaged = BTreeSet::new();
        let mut before = HashMap::new();
        let mut last: Option<(u64, Found)> = None;
        let mut opened = segments.first().map_or(Ok(None), Opened::new)?;
        for (place, segment) in segments.iter().enumerate() {
            let next = segments.get(place + 1).map_or(Ok(None), Opened::new)?;
            let found = match &mut opened {
                Some(opened) => state.index_segment(segment, opened, next.as_ref(), &mut before)?,
                None => Found::default(),
            };
            opened = next;
            if found.is_damaged {
                damaged.insert(segment.number);
            }
            if let Some((number, last)) = last
                && found.is_one_before_short
                && !last.is_finished
            {
                damaged.insert(number);
            }
            last = Some((segment.number, found));
        }
        state.count_closed();
        let index = Self {
            state: Mutex::new(state),
            appended: AtomicU64::new(0),
            rested: AtomicU64::new(0),
            companions: Mutex::default(),
        };
        Ok((index, damaged))
    }

    /// The streams of `table` that have not ended go on in this session.
    pub(super) fn set_continuing(&self, table: &Table) {
        self.lock().continuing = open_streams(table);
    }

    /// The drainer has begun `segment`.
    pub(super) fn enter_segment(&self, segment: &Arc<OpenSegment>, epoch: u64) {
        let entry = SegmentEntry::new(segment.file.path().to_owned(), epoch, Some(Arc::clone(segment)));
        let mut state = self.lock();
        state.segments.insert(segment.number, entry);
        state.count_closed();
    }

    /// Keeps delivered segments for `retain` after their last frame.
    pub(super) fn set_retain(&self, retain: Duration) {
        self.lock().retain = u64::try_from(retain.as_nanos()).unwrap_or(u64::MAX);
    }

    /// The drainer has appended `batch` to segment `number`: wakes the shippers that wait for so much.
    pub(super) fn enter_frames(&self, number: u64, batch: &FrameBatch) {
        let mut state = self.lock();
        for frame in batch
            .frames()
            .iter()
            .filter(|frame| frame.header.kind.takes_positions())
        {
            let header = &frame.header;
            state.add_range(number, header);
        }
        let appended = self.appended.fetch_add(batch.len() as u64, Ordering::SeqCst) + batch.len() as u64;
        self.wake(&state.watches, appended);
    }

    /// Deletes nothing until the segments were read again: what a drainer that hangs writes late may be all that there is of it.
    pub(super) fn hold_deletions(&self) {
        self.lock().holds_deletions = true;
    }

    /// Reads the segments of this session from the disk again: what counts is there, not what was accepted. That may be more than was known, from a
    /// drainer that hung and woke up: shippers that are past it go back.
    pub(super) fn read_open_again(&self, segments: &[SegmentFile]) -> Result<(), SpoolError> {
        let mut state = self.lock();
        // What was acknowledged of streams that lie in these alone is not to go with them for an instant: nobody would say it again.
        let acknowledged = (state.acked.clone(), state.once_acked.clone());
        let read = segments.iter().try_for_each(|segment| state.read_again(segment));
        (state.acked, state.once_acked) = acknowledged;
        state.count_closed();
        read?;
        (state.delivered_below, state.delivered_bytes) = (0, 0);
        state.rewinds += 1;
        state.holds_deletions = false;
        Ok(())
    }

    /// Whether the stream has a ring, or frames here.
    #[must_use]
    pub fn is_present(&self, stream: StreamId) -> bool {
        self.lock().is_present(stream)
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
                segment.bytes = segment.len();
                segment.open = None;
            }
        }
    }

    /// Sets segment `number` aside, which whoever reads it found damaged: it gets a second name, which stays when the segment is deleted. Until then its
    /// sound frames are read where they are. `None`: it was set aside before, or is not there any more.
    ///
    /// # Errors
    /// When the disk refuses; it may be called again.
    pub fn set_aside(&self, number: u64) -> Result<Option<PathBuf>, DiskError> {
        // Under the lock: nobody deletes it, or puts another in its place, meanwhile.
        let state = self.lock();
        let Some(segment) = state.segments.get(&number) else {
            return Ok(None);
        };
        disk::keep_as(&segment.path, QUARANTINED)
    }
}

impl IndexState {
    /// Reads a segment again, if it is one of this session, or was not known.
    fn read_again(&mut self, segment: &SegmentFile) -> Result<(), SpoolError> {
        let known = self.segments.get(&segment.number);
        if known.is_some_and(|known| known.epoch != self.epoch) {
            return Ok(());
        }
        let failed = known.is_some_and(|known| known.failed);
        self.enter_again(segment)?;
        if let Some(again) = self.segments.get_mut(&segment.number) {
            again.failed = failed;
        }
        Ok(())
    }

    /// Puts what the file of a segment says in the place of what was known. The new entry comes before the old one goes: a stream that lies nowhere for a moment would
    /// be forgotten, and its acknowledgements with it. When the file cannot be read, all is as it was.
    fn enter_again(&mut self, segment: &SegmentFile) -> Result<(), SpoolError> {
        let old = self.segments.remove(&segment.number);
        let indexed = Opened::new(segment).and_then(|opened| match opened {
            Some(mut opened) => self
                .index_segment(segment, &mut opened, None, &mut HashMap::new())
                .map(drop),
            None => Ok(()),
        });
        if indexed.is_ok() {
            old.iter().for_each(|old| self.let_go_of(old));
        } else {
            let half_read = self.segments.remove(&segment.number);
            self.segments.extend(old.map(|old| (segment.number, old)));
            half_read.iter().for_each(|half| self.let_go_of(half));
        }
        self.count_closed();
        indexed
    }

    fn is_present(&self, stream: StreamId) -> bool {
        self.rings.contains(&stream) || self.lies_in.contains_key(&stream)
    }

    fn remove_segment(&mut self, number: u64) {
        if let Some(segment) = self.segments.remove(&number) {
            self.let_go_of(&segment);
        }
        self.count_closed();
    }

    /// A segment is not there any more: its room is free once those who read it have closed it.
    fn let_go_of(&mut self, segment: &SegmentEntry) {
        for stream in segment.streams.keys() {
            self.lies_in_one_less(*stream);
        }
        segment.gone.store(true, Ordering::Release); // pairs with the Acquire of the cursor that lets go
        self.leaving.retain(|(_, held)| held.strong_count() > 0);
        // One count is the entry's own, which goes now.
        if Arc::strong_count(&segment.gone) > 1 {
            self.leaving.push((segment.len(), Arc::downgrade(&segment.gone)));
        }
    }

    fn count_closed(&mut self) {
        let newest = self.segments.keys().next_back().copied();
        let closed = self.segments.iter().filter(|(number, _)| Some(**number) != newest);
        self.closed_bytes = closed.map(|(_, segment)| segment.len()).sum();
        let delivered = self.segments.range(..self.delivered_below);
        self.delivered_bytes = delivered.map(|(_, segment)| segment.len()).sum();
    }

    fn lies_in_one_less(&mut self, stream: StreamId) {
        if let Some(count) = self.lies_in.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                self.lies_in.remove(&stream);
                if !self.is_present(stream) {
                    for acked in self.acked.values_mut().chain(self.once_acked.values_mut()) {
                        acked.remove(&stream);
                    }
                }
            }
        }
    }

    fn add_range(&mut self, number: u64, header: &FrameHeader) {
        let FrameHeader {
            stream,
            start,
            end,
            time,
            ..
        } = *header;
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        if segment.oldest == 0 {
            segment.oldest = time;
        }
        segment.newest = segment.newest.max(time);
        segment.has_records |= header.kind == Kind::Data;
        let range = segment.streams.entry(stream).or_insert_with(|| {
            *self.lies_in.entry(stream).or_default() += 1;
            (start, end)
        });
        range.1 = range.1.max(end);
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
    /// Enters a segment of an earlier session: by its frames' headers, or, if `next` is the segment behind it and tells what lies in this one, up to its first
    /// records. `before` is where the streams ended in the one before it, and is where they end in this one afterwards. Says what that shows to be damaged.
    fn index_segment(
        &mut self,
        segment: &SegmentFile,
        opened: &mut Opened,
        next: Option<&Opened>,
        before: &mut HashMap<StreamId, u64>,
    ) -> Result<Found, SpoolError> {
        let mut found = Found::default();
        let mut told = next.map_or(Ok(None), |next| opened.told_by(next))?;
        let Opened {
            reader, head, bytes, ..
        } = opened;
        let mut entry = SegmentEntry::new(segment.path.clone(), reader.header().epoch, None);
        entry.bytes = *bytes;
        found.is_damaged = reader.header_damage().is_some();
        // Recovery has synced the last of these; a later one that explains is all that a deletion asks for.
        entry.explains = matches!(head, Head::Whole(_));
        found.is_damaged |= matches!(head, Head::Damaged(_));
        if let Head::Whole(table) = head {
            if entry.epoch == self.epoch && !self.segments.values().any(|earlier| earlier.epoch == self.epoch) {
                self.continuing = open_streams(table);
            }
            let is_short = |(id, stream): (&StreamId, &Stream)| before.get(id).is_none_or(|end| *end < stream.end);
            found.is_one_before_short = table.streams.iter().any(is_short);
            *before = unread::ends_of(table);
        }
        self.segments.insert(segment.number, entry);
        let ending = loop {
            match reader.next_frame()? {
                Next::Frame(FoundFrame { header, .. }) if header.kind.takes_positions() => {
                    self.add_range(segment.number, &header);
                    let end = before.entry(header.stream).or_default();
                    *end = header.end.max(*end);
                    if unread::is_enough(&header)
                        && let Some(mut told) = told.take_if(|told| told.knows(&header))
                    {
                        *before = std::mem::take(&mut told.ends);
                        self.enter_told(segment.number, told);
                        break Ending::Sealed;
                    }
                }
                Next::Frame(_) => {}
                Next::Damaged { .. } => (found.is_damaged, told) = (true, None),
                Next::End(ending) => break ending,
            }
        };
        found.is_finished = ending == Ending::Sealed;
        Ok(found)
    }

    /// The segments, by number.
    fn files(&self) -> Vec<SegmentFile> {
        let file = |(number, segment): (&u64, &SegmentEntry)| SegmentFile {
            number: *number,
            path: segment.path.clone(),
        };
        self.segments.iter().map(file).collect()
    }
}

/// What a segment shows when it is entered.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// It is damaged in front of what was known to be on disk, or in its head.
    is_damaged: bool,
    /// It was begun on more than the one before it has.
    is_one_before_short: bool,
    /// It ends with SEAL.
    is_finished: bool,
}
