//! Archive: the receiver's log of one group.
//!
//! Whatever is appended here is acknowledged only after a sync that began later; [`Archive::take_pending`] gives what such a sync covers, and
//! [`Archive::synced`] is told when it is done. When a sync fails the archive goes back to what it knows to be on disk, in a new segment.

mod classic;
mod local;
mod pattern;

pub use local::{Reopened, Reopener};
pub use pattern::ArchivePattern;

use crate::fence::Pass;
use crate::formats::body::Attach;
use crate::formats::checkpoint;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::segment::LogRole;
use crate::formats::table::{Applied, ApplyError, Sender, Stream, StreamState, Table};
use crate::formats::wire::{Held, Hello};
use crate::ids::{OwnerId, StreamId};
use crate::limits::{CHECKPOINT_LARGE, segment_bytes};
use crate::os::disk::{self, DiskError};
use crate::seglog::batch::FrameBatch;
use crate::seglog::quarantine::{self, Missing};
use crate::seglog::reader::SegmentError;
use crate::seglog::writer::{AppendError, Durability, LogIdentity, OpenSegment, SegmentLog};
use crate::seglog::{recovery, rewrite};
use hog_ring::mutant;
use local::LocalRings;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// Why an archive cannot be opened.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A segment could not be read.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

/// What a sync that begins now will cover.
pub struct Pending {
    /// The segment to sync; none while none could be begun. Then all that was appended is in segments that were finished, and synced.
    pub segment: Option<Arc<OpenSegment>>,
    /// Acknowledgements by connection.
    pub acks: HashMap<u64, HashMap<StreamId, u64>>,
    /// How many promises it keeps, from the first on.
    promises: u64,
}

impl Pending {
    /// Syncs it, which takes as long as the disk does.
    ///
    /// # Errors
    /// When the disk refuses: final for this segment.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.sync_as(&Pass::default())
    }

    /// The same, for a worker that may be relieved meanwhile.
    ///
    /// # Errors
    /// When the disk refuses, final for this segment, or the worker was relieved.
    pub fn sync_as(&self, pass: &Pass) -> Result<(), DiskError> {
        if mutant::on("ack-before-sync") {
            return Ok(());
        }
        self.segment
            .as_ref()
            .map_or(Ok(()), |segment| segment.sync_as(pass).map(|_| ()))
    }
}

/// The archive of a group.
pub struct Archive {
    log: SegmentLog,
    pattern: ArchivePattern,
    date: String,
    /// What is to be acknowledged, by connection, once it is synced.
    pending: HashMap<u64, HashMap<StreamId, u64>>,
    /// Promises so far, and how many of them, from the first on, a sync has covered.
    promises: u64,
    covered: u64,
    /// Where each stream ended at the last successful sync, if it has grown since the start.
    durable: HashMap<StreamId, (u64, StreamState)>,
    /// The same at the start.
    at_start: HashMap<StreamId, (u64, StreamState)>,
    /// The rings on this host, if they are drained into this archive.
    local: Option<LocalRings>,
}

impl Archive {
    /// Recovers the archive of `group` under `pattern` and begins a new segment in the directory of `date`. Says what was damaged.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(pattern: &ArchivePattern, group: &str, date: &str) -> Result<(Self, Vec<String>), ArchiveError> {
        let (mut archive, damages) = Self::recover(pattern, group, date, Missing::MayComeAgain)?;
        archive.begin()?;
        Ok((archive, damages))
    }

    /// Recovers the archive, as [`Archive::open`] does, and begins nothing: [`Archive::begin`] comes next. What is damaged of what recovery reads is
    /// set aside; `missing` says whether streams go on where they break, or behind a GAP.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn recover(
        pattern: &ArchivePattern,
        group: &str,
        date: &str,
        missing: Missing,
    ) -> Result<(Self, Vec<String>), ArchiveError> {
        let segments = pattern.segments(group)?;
        let last = segments.last().and_then(|last| last.path.parent());
        last.map_or(Ok(()), rewrite::remove_unfinished)?;
        let mut standing = recovery::recover(&segments)?;
        let mut damages = std::mem::take(&mut standing.damages);
        if !standing.damaged.is_empty() {
            let is_damaged = |place: &usize| standing.damaged.contains(&segments[*place].number);
            let places = (0..segments.len()).filter(is_damaged);
            damages = places
                .map(|place| quarantine::in_words(&segments, place, missing))
                .collect();
            standing = recovery::recover(&segments)?;
            damages.append(&mut standing.damages);
        }
        let last = standing.last.as_ref();
        let identity = LogIdentity {
            role: LogRole::Archive,
            group: group.to_owned(),
            owner: last.map_or_else(OwnerId::random, |last| last.owner),
            epoch: last.map_or(1, |last| last.epoch + 1),
        };
        let at_start = positions(&standing.table);
        let directory = pattern.directory(group, date);
        let decompressor = crate::formats::codec::Decompressor::new().map_err(disk::at("prepare", &directory))?;
        let log = SegmentLog::new(
            identity,
            Durability::EachSegment,
            segment_bytes(),
            directory,
            standing,
            decompressor,
        );
        let archive = Self {
            log,
            pattern: pattern.clone(),
            date: date.to_owned(),
            pending: HashMap::new(),
            promises: 0,
            covered: 0,
            durable: HashMap::new(),
            at_start,
            local: None,
        };
        Ok((archive, damages))
    }

    /// Begins a new segment.
    ///
    /// # Errors
    /// When the disk refuses; the first append then tries again.
    pub fn begin(&mut self) -> Result<(), DiskError> {
        self.prepare(self.log.directory())?;
        self.log.begin_segment()
    }

    /// Has the disk know `directory`, before there is a segment in it: whoever appends to one, and syncs it, may not ask again.
    fn prepare(&self, directory: &Path) -> Result<(), DiskError> {
        disk::make_directory(directory)?;
        disk::sync_up_from(directory, &self.pattern.base())
    }

    /// What the archive holds.
    #[must_use]
    pub fn table(&self) -> &Table {
        self.log.table()
    }

    /// Whether a frame that takes positions carries its stream on.
    ///
    /// # Errors
    /// When it does not follow.
    pub fn judge(&self, header: &FrameHeader) -> Result<Applied, ApplyError> {
        self.log.table().judge(header)
    }

    /// Stores who `hello` comes from, to be synced by the caller, and says what the archive has of that sender's streams.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn welcome(&mut self, hello: &Hello, now: u64) -> Result<Vec<Held>, AppendError> {
        self.enter_sender(hello, now)?;
        let mine = self
            .log
            .table()
            .streams
            .iter()
            .filter(|(_, stream)| stream.sender == hello.sender && stream.state != StreamState::Forgotten)
            .filter(|_| !mutant::on("receiver-without-dedup"));
        Ok(mine
            .map(|(id, stream)| Held {
                stream: *id,
                position: stream.end,
                state: stream.state,
            })
            .collect())
    }

    fn enter_sender(&mut self, hello: &Hello, now: u64) -> Result<(), AppendError> {
        // Senders are remembered for ever, and anybody may call himself one.
        if !self.log.table().senders.contains_key(&hello.sender) && self.is_large() {
            return Err(AppendError::Full("it remembers as many streams and senders as it can"));
        }
        let sender = Sender {
            epoch: hello.epoch,
            start_id: hello.start_id,
            last_seen: now,
            refused: false,
        };
        let body = checkpoint::encode_sender(hello.sender, &sender);
        let mut batch = FrameBatch::default();
        batch.push(
            FrameHeader::plain(Kind::Checkpoint, &body).with_flags(frame::UPDATE),
            &body,
        );
        self.append(&mut batch)
    }

    /// Stores ATTACH and says up to where the archive has the stream.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn attach(&mut self, header: &FrameHeader, attach: &Attach) -> Result<u64, AppendError> {
        let known = self.log.table().streams.get(&header.stream);
        let news = known.is_none_or(|stream| {
            stream.sender != attach.sender
                || stream.state == StreamState::Forgotten
                || attach
                    .definitions
                    .iter()
                    .any(|(id, definition)| stream.definitions.get(id) != Some(definition))
        });
        if known.is_none() && self.is_large() {
            return Err(AppendError::Unfit(ApplyError::TooMany(header.stream)));
        }
        if news {
            let body = attach.encode();
            let mut batch = FrameBatch::default();
            batch.push(
                FrameHeader::plain(Kind::Attach, &body).of_stream(header.stream, header.start, header.end),
                &body,
            );
            self.append(&mut batch)?;
        }
        if mutant::on("receiver-without-dedup") {
            return Ok(header.start);
        }
        Ok(self
            .log
            .table()
            .streams
            .get(&header.stream)
            .map_or(header.start, |stream| stream.end))
    }

    /// Whether the last checkpoint was so long that nothing may be added to the next.
    fn is_large(&self) -> bool {
        let active = self.log.active();
        active.is_some_and(|active| active.checkpoint_end > CHECKPOINT_LARGE)
    }

    /// Appends frames that were judged to carry their streams on.
    ///
    /// # Errors
    /// When the disk refuses; nothing was accepted then.
    pub fn append(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError> {
        if self.log.is_due(batch.len()) {
            let directory = self.log.directory().to_owned();
            self.roll_into(&directory)?;
        }
        self.log.append(batch)?;
        if mutant::on("ended-stream-forgotten") {
            let streams = &mut self.log.table_mut().streams;
            streams.retain(|_, stream| stream.state != StreamState::Ended);
        }
        Ok(())
    }

    /// Promises connection `token` an acknowledgement of what the archive has of `stream`, once it is synced.
    pub fn promise(&mut self, token: u64, stream: StreamId) {
        if let Some(held) = self.log.table().streams.get(&stream) {
            self.pending.entry(token).or_default().insert(stream, held.end);
            self.promises += 1;
        }
    }

    /// How many promises were made, one for each append at least, and how many of them, from the first on, the disk has what they are for.
    #[must_use]
    pub fn promises(&self) -> (u64, u64) {
        (self.promises, self.covered)
    }

    /// Whether anything waits for a sync.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The segment that is appended to.
    #[must_use]
    pub fn active(&self) -> Option<&Arc<OpenSegment>> {
        self.log.active()
    }

    /// Whether a sync failed, so that [`Archive::fall_back`] is the only way on.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.log.active().is_some_and(|active| active.file.has_failed())
    }

    /// What a sync that begins now covers: all that was appended before.
    pub fn take_pending(&mut self) -> Pending {
        Pending {
            segment: self.log.active().map(Arc::clone),
            acks: std::mem::take(&mut self.pending),
            promises: self.promises,
        }
    }

    /// A sync of what was pending succeeded.
    pub fn synced(&mut self, pending: &Pending) {
        self.covered = self.covered.max(pending.promises);
        for (stream, position) in pending.acks.values().flatten() {
            let state = match self.log.table().streams.get(stream) {
                Some(held) if held.end == *position => held.state,
                _ => StreamState::Open,
            };
            let durable = self.durable.entry(*stream).or_insert((0, StreamState::Open));
            if *position >= durable.0 {
                *durable = (*position, state);
            }
        }
    }

    /// A sync failed: goes back to what is known to be on disk, in a new segment. All connections are to be dropped.
    ///
    /// # Errors
    /// When no new segment can be begun.
    pub fn fall_back(&mut self) -> Result<(), DiskError> {
        self.pending.clear();
        self.covered = self.promises; // what is left is on disk
        let streams = self.log.table_mut().streams.iter_mut();
        for (id, stream) in streams.filter(|(_, stream)| stream.state != StreamState::Forgotten) {
            let (end, state) = self
                .durable
                .get(id)
                .or_else(|| self.at_start.get(id))
                .copied()
                .unwrap_or((stream.first, StreamState::Open));
            (stream.end, stream.state) = (end, state);
        }
        self.log.abandon_segment()
    }

    /// The sender has nothing left of `streams`: the next checkpoint leaves them out. Of those without END, says up to where they are held.
    ///
    /// No GAP and no END are stored for those. Their positions would be made up, and a ring that was only out of sight, or another
    /// spool that holds the range, could then never be gone on with: its records would not begin where the made-up END ends.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&mut self, sender: OwnerId, streams: &[StreamId]) -> Result<Vec<(StreamId, u64)>, AppendError> {
        let mut batch = FrameBatch::default();
        let mut unfinished = Vec::new();
        for id in streams {
            let Some(stream) = self
                .log
                .table()
                .streams
                .get(id)
                .filter(|stream| stream.sender == sender)
            else {
                continue;
            };
            if stream.state == StreamState::Open {
                unfinished.push((*id, stream.end));
            }
            let mut forgotten = stream.clone();
            forgotten.state = StreamState::Forgotten;
            let body = checkpoint::encode_stream(*id, &forgotten);
            batch.push(
                FrameHeader::plain(Kind::Checkpoint, &body).with_flags(frame::UPDATE),
                &body,
            );
        }
        if !batch.is_empty() {
            self.append(&mut batch)?;
        }
        Ok(unfinished)
    }

    /// Begins the directory of `date` if it is a new one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn turn_to(&mut self, date: &str) -> Result<(), AppendError> {
        if self.date != date {
            let directory = self.pattern.directory(&self.log.identity().group, date);
            if directory != self.log.directory() {
                self.prepare(&directory)?;
                self.roll_into(&directory)?;
            }
            date.clone_into(&mut self.date);
        }
        Ok(())
    }

    /// Finishes the active segment, synced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&mut self) -> Result<(), AppendError> {
        // SEAL says that all before it is on disk: otherwise an archive that goes back, because this sync fails, would contradict a finished segment.
        if let Some(active) = self.log.active()
            && !mutant::on("checkpoint-before-sync")
        {
            active.sync()?;
            self.durable = positions(self.log.table());
        }
        self.log.finish()
    }

    fn roll_into(&mut self, directory: &Path) -> Result<(), AppendError> {
        // Sealed first: until that is on disk, nothing of the table may go.
        self.finish()?;
        let (owner, local) = (self.log.identity().owner, self.local.take());
        let classic = classic::sender_of(owner);
        let is_over = |id: &StreamId, stream: &Stream| {
            stream.state == StreamState::Forgotten
                || classic::is_done(classic, stream)
                || local.as_ref().is_some_and(|local| local.are_done(owner, id, stream))
        };
        self.log.table_mut().streams.retain(|id, stream| !is_over(id, stream));
        self.local = local;
        self.log.roll_into(directory)
    }
}

fn positions(table: &Table) -> HashMap<StreamId, (u64, StreamState)> {
    table
        .streams
        .iter()
        .map(|(id, stream)| (*id, (stream.end, stream.state)))
        .collect()
}
