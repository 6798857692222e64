//! Appends frames to a log and rolls its segments.
//!
//! The order of things, which is all there is to crash safety here:
//! 1. a segment's header and whole checkpoint, before any frame of it;
//! 2. in an archive its predecessor is synced before that, and it and its directory entry are synced after that ([`Durability::EachSegment`]);
//! 3. the table is told of a frame only once its append returned. What failed is repeated at the same offset with the same bytes.

use crate::fence::{Pass, Relieved};
use crate::formats::body::Seal;
use crate::formats::checkpoint;
use crate::formats::codec::{CodecError, Decompressor};
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::segment::{self, LogRole, SegmentHeader};
use crate::formats::table::{ApplyError, Stream, Table};
use crate::ids::{OwnerId, SegmentId, StreamId};
use crate::limits::{CHECKPOINT_MAX, FRAME_BODY_MAX};
use crate::os::clock;
use crate::os::disk::{self, AppendFile, DiskError};
use crate::seglog::batch::FrameBatch;
use crate::seglog::recovery::Standing;
use crate::seglog::rewrite::{LostRange, rewrite};
use hog_ring::mutant;
use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Why an append was not done.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The disk refused. Nothing was accepted; the same batch may be appended again.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A frame does not follow what the log holds: our mistake, or a peer's that was not judged before.
    #[error("a frame does not fit the log: {0}")]
    Unfit(#[from] ApplyError),
    /// A body does not decompress.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The log has all that it may hold, and said so. Nothing was accepted; the same batch may be appended once there is room.
    #[error("the log is full: {0}")]
    Full(&'static str),
    /// Somebody else appends to this log now. Nothing was accepted, nor ever will be.
    #[error(transparent)]
    Relieved(#[from] Relieved),
}

impl AppendError {
    /// Whether the disk has no room; room may be made.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_full())
    }
}

/// When segments are synced by the writer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Each segment when it is begun, its predecessor before that: an archive.
    EachSegment,
    /// By somebody else, now and then: a spool.
    Elsewhere,
}

/// A segment file that is or was written by this process, and how far it is known to be on disk.
#[derive(Debug)]
pub struct OpenSegment {
    /// The file.
    pub file: AppendFile,
    /// Its number.
    pub number: u64,
    /// Where its checkpoint ends.
    pub checkpoint_end: u64,
    durable: AtomicU64,
    accepted: AtomicU64,
}

impl OpenSegment {
    /// Below this offset all appends have returned.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire) // pairs with the Release in SegmentLog::write
    }

    /// Below this offset the file is known to be on disk.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire) // pairs with the fetch_max in sync
    }

    /// Syncs what was accepted before the call.
    ///
    /// # Errors
    /// When the disk refuses: final for this segment.
    pub fn sync(&self) -> Result<u64, DiskError> {
        self.sync_as(&Pass::default())
    }

    /// The same, for a worker that may be relieved meanwhile. What its sync says then is not believed: by then the segment counts as failed.
    ///
    /// # Errors
    /// When the disk refuses, final for this segment, or the worker was relieved.
    pub fn sync_as(&self, pass: &Pass) -> Result<u64, DiskError> {
        let accepted = self.accepted();
        if self.durable() < accepted {
            let covered = Cell::new(accepted);
            let is_synced = || {
                // What came while it waited for its turn, it brings to the disk as well: whoever comes next need not.
                covered.set(self.accepted());
                self.durable() >= accepted
            };
            let note = || {
                pass.act(|| self.durable.fetch_max(covered.get(), Ordering::AcqRel))
                    .map(drop)
                    .map_err(|relieved| disk::at("sync", self.file.path())(io::Error::other(relieved)))
            };
            self.file.sync_unless(is_synced, note)?;
        }
        Ok(accepted)
    }
}

/// What a log is made for.
#[derive(Clone, Debug)]
pub struct LogIdentity {
    /// Spool or archive.
    pub role: LogRole,
    /// The group.
    pub group: String,
    /// The sender or receiver.
    pub owner: OwnerId,
    /// Its run.
    pub epoch: u64,
}

/// A log that this process appends to.
pub struct SegmentLog {
    identity: LogIdentity,
    durability: Durability,
    segment_bytes: u64,
    directory: PathBuf,
    next_number: u64,
    table: Table,
    active: Option<Active>,
    decompressor: Decompressor,
    /// With which whoever appends here lets it count.
    pass: Pass,
}

struct Active {
    segment: Arc<OpenSegment>,
    id: SegmentId,
    frames: u64,
}

impl SegmentLog {
    /// A log that stands where `standing` says and continues with a new segment in `directory`.
    #[must_use]
    pub fn new(
        identity: LogIdentity,
        durability: Durability,
        segment_bytes: u64,
        directory: PathBuf,
        standing: Standing,
        decompressor: Decompressor,
    ) -> Self {
        let Standing { table, next_number, .. } = standing;
        Self {
            identity,
            durability,
            segment_bytes,
            directory,
            next_number,
            table,
            active: None,
            decompressor,
            pass: Pass::default(),
        }
    }

    /// From now on nothing that is appended counts once the holder of `pass` was relieved.
    pub fn guard(&mut self, pass: &Pass) {
        self.pass = pass.clone();
    }

    /// The sum of all that was appended.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The same, for what changes without a frame (a stream forgotten, a sender seen).
    pub fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// The segment that is appended to.
    #[must_use]
    pub fn active(&self) -> Option<&Arc<OpenSegment>> {
        self.active.as_ref().map(|active| &active.segment)
    }

    /// The run and owner it writes as.
    #[must_use]
    pub fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    /// The number of the next segment.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Leaves out the number of the next segment: somebody else may have taken it.
    pub fn skip_number(&mut self) {
        self.next_number += 1;
    }

    /// The directory of the next segment.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the active segment holds anything behind its checkpoint.
    #[must_use]
    pub fn has_frames(&self) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.segment.accepted() > active.segment.checkpoint_end)
    }

    /// Whether the active segment is long enough to be finished before `more` bytes are appended.
    #[must_use]
    pub fn is_due(&self, more: usize) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let used = active.segment.accepted() - active.segment.checkpoint_end;
            used > 0 && used + more as u64 > self.segment_bytes
        })
    }

    /// Appends `batch`, whose frames all carry the log on, to the active segment, and adds them to the table.
    ///
    /// # Errors
    /// When a frame does not fit or the disk refuses. Nothing was accepted then, the table is as it was, and the batch may be
    /// appended again.
    pub fn append(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError> {
        if self.active.is_none() {
            self.begin_segment()?;
        }
        let mut before = Vec::with_capacity(batch.frames().len());
        let appended = self.add_to_table(batch, &mut before).and_then(|()| self.write(batch));
        if appended.is_ok() {
            self.amend_table(batch)?;
        }
        if appended.is_err() {
            for (stream, known) in before.into_iter().rev() {
                match known {
                    Some(known) => self.table.streams.insert(stream, known),
                    None => self.table.streams.remove(&stream),
                };
            }
        }
        appended
    }

    /// Adds the frames of `batch` to the table; `before` is how their streams were.
    fn add_to_table(
        &mut self,
        batch: &FrameBatch,
        before: &mut Vec<(StreamId, Option<Stream>)>,
    ) -> Result<(), AppendError> {
        for frame in batch
            .frames()
            .iter()
            .filter(|frame| frame.header.kind != Kind::Checkpoint)
        {
            let header = &frame.header;
            before.push((header.stream, self.table.streams.get(&header.stream).cloned()));
            let raw = if header.kind == Kind::Data && !header.has(frame::STATEMENTS) {
                &[]
            } else {
                self.decompressor.raw(header, batch.body_of(frame))?
            };
            self.table.apply(header, raw)?;
        }
        Ok(())
    }

    /// Takes in the amendments of `batch`, which are written: unlike the rest they cannot be taken back.
    fn amend_table(&mut self, batch: &FrameBatch) -> Result<(), AppendError> {
        for frame in batch
            .frames()
            .iter()
            .filter(|frame| frame.header.kind == Kind::Checkpoint)
        {
            self.table.apply(
                &frame.header,
                self.decompressor.raw(&frame.header, batch.body_of(frame))?,
            )?;
        }
        Ok(())
    }

    /// Finishes the active segment with SEAL and begins the next one in `directory`.
    ///
    /// # Errors
    /// When the disk refuses. The log stands as before, and this may be called again.
    pub fn roll_into(&mut self, directory: &Path) -> Result<(), AppendError> {
        self.seal()?;
        directory.clone_into(&mut self.directory);
        self.active = None;
        self.begin_segment()?;
        Ok(())
    }

    /// Leaves the active segment as it is, because it failed, and goes on in a new one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn abandon_segment(&mut self) -> Result<(), DiskError> {
        self.active = None;
        self.begin_segment()
    }

    /// After a sync of the active segment failed: writes what the disk may lack of it into a new segment, which is on disk when this returns, and
    /// leaves the failed one as it is. The next append begins another. Says what could not be read back.
    ///
    /// # Errors
    /// When the disk refuses. The log stands as before, and this may be called again.
    pub fn rewrite_failed(&mut self) -> Result<Vec<LostRange>, DiskError> {
        let Some(active) = &self.active else {
            return Ok(Vec::new());
        };
        let number = self.next_number;
        self.next_number += 1;
        let lost = rewrite(
            &active.segment,
            &self.identity,
            number,
            &self.table,
            &self.directory,
            &self.pass,
        )?;
        self.active = None;
        Ok(lost)
    }

    /// Finishes the active segment with SEAL; further appends begin a new one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&mut self) -> Result<(), AppendError> {
        self.seal()?;
        self.active = None;
        Ok(())
    }

    fn seal(&mut self) -> Result<(), AppendError> {
        let Some(active) = &self.active else { return Ok(()) };
        let body = Seal {
            frames: active.frames,
            offset: active.segment.accepted(),
        }
        .encode();
        let mut batch = FrameBatch::default();
        batch.push(FrameHeader::plain(Kind::Seal, &body), &body);
        self.write(&mut batch)?;
        if let (Durability::EachSegment, Some(active)) = (self.durability, &self.active)
            && !mutant::on("checkpoint-before-sync")
        {
            active.segment.sync()?;
        }
        Ok(())
    }

    /// Begins the active segment: its header and checkpoint, with the durability of the log.
    ///
    /// # Errors
    /// When the disk refuses. What was made of the segment is removed again where possible; otherwise it lies there
    /// without a whole checkpoint and counts for nothing.
    pub fn begin_segment(&mut self) -> Result<(), DiskError> {
        disk::make_directory(&self.directory)?;
        self.refuse_if_relieved()?;
        let number = self.next_number;
        let path = self.directory.join(segment::file_name(number));
        // A number is used once, whatever becomes of its file.
        self.next_number += 1;
        let file = AppendFile::create(&path)?;
        let active = self.write_head(file, number).inspect_err(|_| {
            let _ = disk::unlink(&path); // it was made just now, and holds nothing
        })?;
        // One that is begun late has a number below all of the successor's, who skips the one that may be under way: it explains nothing to anybody.
        self.refuse_if_relieved().inspect_err(|_| {
            let _ = disk::unlink(&path); // as above
        })?;
        self.active = Some(active);
        Ok(())
    }

    fn refuse_if_relieved(&self) -> Result<(), DiskError> {
        self.pass
            .act(|| ())
            .map_err(|relieved| disk::at("begin a segment in", &self.directory)(io::Error::other(relieved)))
    }

    fn write_head(&self, file: AppendFile, number: u64) -> Result<Active, DiskError> {
        let (id, mut bytes) = encode_header(&self.identity, number);
        let frames = put_checkpoint(&self.table, id, &mut bytes);
        if bytes.len() > CHECKPOINT_MAX {
            let words = format!(
                "its checkpoint would be {} bytes long, and {CHECKPOINT_MAX} is the most",
                bytes.len()
            );
            return Err(disk::at("begin", file.path())(io::Error::other(words)));
        }
        file.write_at(&bytes, 0)?;
        let len = bytes.len() as u64;
        let segment = Arc::new(OpenSegment {
            file,
            number,
            checkpoint_end: len,
            durable: AtomicU64::new(0),
            accepted: AtomicU64::new(len),
        });
        if self.durability == Durability::EachSegment {
            segment.sync()?;
            disk::sync_directory(&self.directory)?;
        }
        Ok(Active { segment, id, frames })
    }

    /// Writes `batch`, and lets it count, unless its writer was relieved before the write: what one who was relieved has made up follows from rings and a log
    /// that are past it. One that is relieved while the write hangs has made it up in its own time, so it says what its successor says of the same positions:
    /// whoever reads it, before or after the successor's, reads them once and in the same order.
    fn write(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        self.pass.act(|| ())?;
        let offset = active.segment.accepted();
        let bytes = batch.sealed_for(active.id, offset, active.segment.durable());
        let end = offset + bytes.len() as u64;
        if let Err(error) = active.segment.file.write_at(bytes, offset) {
            if mutant::on("append-after-torn-frame") {
                active.segment.accepted.store(end, Ordering::Release);
            }
            return Err(error.into());
        }
        let accepted = &active.segment.accepted;
        self.pass.act(|| accepted.store(end, Ordering::Release))?; // pairs with the Acquire in OpenSegment::accepted
        active.frames += batch.frames().len() as u64;
        Ok(())
    }
}

/// The header of a new segment, and the uuid that salts its frames.
#[must_use]
pub fn encode_header(identity: &LogIdentity, number: u64) -> (SegmentId, Vec<u8>) {
    let header = new_header(identity, number);
    (header.segment, header.encode().to_vec())
}

/// The header of a new segment, begun now.
#[must_use]
pub fn new_header(identity: &LogIdentity, number: u64) -> SegmentHeader {
    SegmentHeader {
        role: identity.role,
        segment: SegmentId::random(),
        owner: identity.owner,
        epoch: identity.epoch,
        number,
        created: clock::now_ns(),
        group: identity.group.clone(),
    }
}

/// Appends the table as CHECKPOINT frames to `bytes`; says how many.
pub fn put_checkpoint(table: &Table, salt: SegmentId, bytes: &mut Vec<u8>) -> u64 {
    let items = checkpoint::encode(table);
    let mut pieces: Vec<&[u8]> = items.chunks(FRAME_BODY_MAX).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    for (number, piece) in pieces.iter().enumerate() {
        let flags = if number == last { frame::LAST } else { 0 };
        bytes.extend_from_slice(&FrameHeader::plain(Kind::Checkpoint, piece).with_flags(flags).seal(salt));
        bytes.extend_from_slice(piece);
    }
    pieces.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;

    #[test]
    fn a_sync_covers_what_was_accepted_before_it_and_never_more() {
        let directory = tempfile::tempdir().unwrap();
        let segment = OpenSegment {
            file: AppendFile::create(&directory.path().join("segment")).unwrap(),
            number: 1,
            checkpoint_end: 0,
            durable: AtomicU64::new(0),
            accepted: AtomicU64::new(10),
        };
        assert_eq!((segment.sync().unwrap(), segment.durable()), (10, 10));
        segment.accepted.store(20, Ordering::Release);
        assert_eq!(segment.durable(), 10);
        let fence = Arc::<Fence>::default();
        let relieved = fence.pass();
        fence.relieve().unwrap();
        assert!(segment.sync_as(&relieved).is_err());
        assert_eq!(segment.durable(), 10, "who was relieved says nothing of the disk");
        assert_eq!((segment.sync().unwrap(), segment.durable()), (20, 20));
    }
}
