//! Writes anew what a segment holds whose sync failed: for a log whose records nobody else can send again.
//!
//! After a failed sync the kernel may say of the next one that all is well, and yet have dropped what it could not write. So that file is never synced
//! again. What the disk was known to hold of it stays where it is. Everything behind that is read back, which works as long as the page
//! cache has it, and goes into a new segment: frame by frame as far as their checksums hold, and a GAP for each stream's rest. The new segment
//! gets its name only when it is whole and on disk, so that a crash at any instant leaves either the failed segment in charge or the new one.
//!
//! What both segments hold is the same positions; every reader passes over those that it has.

use crate::fence::Pass;
use crate::formats::body::{Attach, End, Gap, GapReason, Seal};
use crate::formats::codec::Decompressor;
use crate::formats::frame::{self, END_SPAN, FrameHeader, Kind};
use crate::formats::segment::{self, SegmentHeader};
use crate::formats::table::{Stream, StreamState, Table};
use crate::ids::{SegmentId, StreamId};
use crate::limits::APPEND_MAX;
use crate::os::clock;
use crate::os::disk::{self, AppendFile, DiskError, at};
use crate::seglog::batch::FrameBatch;
use crate::seglog::reader::{FoundFrame, Head, Next, SegmentReader};
use crate::seglog::writer::{LogIdentity, OpenSegment, new_header, put_checkpoint};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;

/// Positions that could not be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The stream.
    pub stream: StreamId,
    /// The first of them.
    pub from: u64,
    /// Behind the last of them.
    pub to: u64,
}

impl fmt::Display for LostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, from, to } = self;
        write!(f, "positions {from} to {to} of stream {stream}")
    }
}

/// How the name of a new segment begins and ends until it is whole.
const UNFINISHED: (&str, &str) = ("rewritten-", ".new");

/// That name, which no two workers use, one of which may hang.
fn unfinished_name(number: u64, pass: &Pass) -> String {
    let (begin, end) = UNFINISHED;
    format!("{begin}{number}-{}{end}", pass.generation())
}

/// Removes what was left in `directory` by whoever was killed in [`rewrite`], or hangs there: that one finds no file to put in place.
///
/// # Errors
/// When the disk refuses.
pub fn remove_unfinished(directory: &Path) -> Result<(), DiskError> {
    let (begin, end) = UNFINISHED;
    for path in disk::entries(directory)? {
        let name = path.file_name().and_then(OsStr::to_str);
        if name.is_some_and(|name| name.starts_with(begin) && name.ends_with(end)) {
            disk::unlink(&path)?;
        }
    }
    Ok(())
}

/// Writes what `failed` holds beyond what is known to be on disk into segment `number` of `directory`, synced. `table` is what the log holds, all of
/// `failed` included. Says what could not be read back, and is marked by GAPs.
///
/// # Errors
/// When the disk refuses, or does not even give back what it was known to hold, or the holder of `pass` was relieved. Nothing has changed then, and it
/// may be called again, with another number.
pub fn rewrite(
    failed: &OpenSegment,
    identity: &LogIdentity,
    number: u64,
    table: &Table,
    directory: &Path,
    pass: &Pass,
) -> Result<Vec<LostRange>, DiskError> {
    disk::make_directory(directory)?;
    let mut source = Source::open(failed)?;
    source.pass_durable(failed.durable())?;
    let unfinished = directory.join(unfinished_name(number, pass));
    disk::unlink(&unfinished)?; // of an attempt that failed
    let header = new_header(identity, number);
    let mut copy = NewSegment::begin(&unfinished, &header, &source.table, GapReason::SpoolDamaged)?;
    while let Some(found) = source.next_frame()? {
        if !source.copy(&found, &mut copy)? {
            break;
        }
    }
    let lost = copy.close_streams(&source.table, table)?;
    copy.finish()?;
    pass.act(|| ())
        .map_err(|relieved| at("put in place", &unfinished)(io::Error::other(relieved)))?;
    disk::rename_to_new(&unfinished, &directory.join(segment::file_name(number)))?;
    Ok(lost)
}

/// The failed segment, read from its beginning.
struct Source {
    reader: SegmentReader,
    decompressor: Decompressor,
    /// The sum of all that was read.
    table: Table,
    /// A frame behind what is durable, read already.
    ahead: Option<FoundFrame>,
}

impl Source {
    fn open(failed: &OpenSegment) -> Result<Self, DiskError> {
        let path = failed.file.path();
        let unreadable = |words: String| at("read back", path)(io::Error::other(words));
        let mut reader = SegmentReader::open(path).map_err(|error| unreadable(error.to_string()))?;
        reader.set_limit(failed.accepted());
        let table = match reader.checkpoint() {
            Ok(Head::Whole(table)) => table,
            Ok(Head::Unfinished) => return Err(unreadable("its checkpoint is not whole".to_owned())),
            Ok(Head::Damaged(words)) => return Err(unreadable(words)),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        Ok(Self {
            reader,
            decompressor: Decompressor::new().map_err(at("decompress", path))?,
            table,
            ahead: None,
        })
    }

    /// Adds the frames below `durable` to the table. A bad one among them ends all reading: what follows it is not known to fit.
    fn pass_durable(&mut self, durable: u64) -> Result<(), DiskError> {
        let mut body = Vec::new();
        while let Some(found) = self.next_frame()? {
            if found.offset >= durable {
                self.ahead = Some(found);
                break;
            }
            body.clear();
            if !self.take(&found, &mut body)? {
                self.reader.set_limit(found.offset);
                break;
            }
        }
        Ok(())
    }

    /// The next frame with a sound header, or `None` where that is no longer so.
    fn next_frame(&mut self) -> Result<Option<FoundFrame>, DiskError> {
        if let Some(found) = self.ahead.take() {
            return Ok(Some(found));
        }
        match self.reader.next_frame() {
            Ok(Next::Frame(found)) => Ok(Some(found)),
            Ok(Next::Damaged { from, .. }) => {
                self.reader.set_limit(from);
                Ok(None)
            }
            Ok(Next::End(_)) => Ok(None),
            Err(error) => Err(at("read back", self.reader.path())(io::Error::other(error.to_string()))),
        }
    }

    /// Appends the body of `found` to `out` and adds the frame to the table; false when it is not sound, or does not fit.
    fn take(&mut self, found: &FoundFrame, out: &mut Vec<u8>) -> Result<bool, DiskError> {
        let from = out.len();
        let sound = self
            .reader
            .read_body(found, out)
            .map_err(|error| at("read back", self.reader.path())(io::Error::other(error.to_string())))?;
        if !sound {
            return Ok(false);
        }
        let fits = self
            .decompressor
            .raw(&found.header, &out[from..])
            .is_ok_and(|raw| self.table.apply(&found.header, raw).is_ok());
        Ok(fits)
    }

    /// Copies `found`; false when it is not sound.
    fn copy(&mut self, found: &FoundFrame, copy: &mut NewSegment) -> Result<bool, DiskError> {
        copy.make_room(found.header.frame_len())?;
        let place = copy.batch.begin();
        if self.take(found, copy.batch.body_mut())? {
            copy.batch.finish(place, found.header);
            Ok(true)
        } else {
            copy.batch.cancel(place);
            Ok(false)
        }
    }
}

/// The new segment.
pub(super) struct NewSegment {
    file: AppendFile,
    id: SegmentId,
    offset: u64,
    frames: u64,
    pub(super) batch: FrameBatch,
    /// What its GAPs give as their reason.
    reason: GapReason,
}

impl NewSegment {
    /// Begins it with a header and a checkpoint of `table`. What is missing in it is so because of `reason`.
    pub(super) fn begin(
        path: &Path,
        header: &SegmentHeader,
        table: &Table,
        reason: GapReason,
    ) -> Result<Self, DiskError> {
        let mut bytes = header.encode().to_vec();
        let frames = put_checkpoint(table, header.segment, &mut bytes);
        let file = AppendFile::create(path)?;
        file.write_at(&bytes, 0)?;
        Ok(Self {
            file,
            id: header.segment,
            offset: bytes.len() as u64,
            frames,
            batch: FrameBatch::default(),
            reason,
        })
    }

    pub(super) fn make_room(&mut self, more: u64) -> Result<(), DiskError> {
        if self.batch.len() as u64 + more > APPEND_MAX as u64 {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.flush_known_durable(0)
    }

    fn flush_known_durable(&mut self, durable: u64) -> Result<(), DiskError> {
        let bytes = self.batch.sealed_for(self.id, self.offset, durable);
        self.file.write_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        self.frames += self.batch.frames().len() as u64;
        self.batch.clear();
        Ok(())
    }

    /// Brings every stream from where it was read back to, in `read`, to where the log has it, in `held`. Oldest first, as they were drained.
    pub(super) fn close_streams(&mut self, read: &Table, held: &Table) -> Result<Vec<LostRange>, DiskError> {
        let mut short: Vec<_> = held
            .streams
            .iter()
            .map(|(id, stream)| (*id, read.streams.get(id), stream))
            .filter(|(_, read, stream)| read.is_none_or(|read| read.end < stream.end))
            .collect();
        short.sort_by_key(|(id, _, stream)| (stream.created, *id));
        let mut lost = Vec::new();
        for (id, read, stream) in short {
            let from = read.map_or(stream.first, |read| read.end);
            if read.is_none() {
                self.push(Kind::Attach, (id, from, from), &attach_of(stream).encode())?;
            }
            let has_ended = stream.state == StreamState::Ended;
            let to = stream.end - if has_ended { END_SPAN } else { 0 };
            if to > from {
                lost.push(self.push_gap(id, from, to)?);
            }
            if has_ended {
                let end = End {
                    records: stream.dropped_records,
                    bytes: stream.dropped_bytes,
                };
                self.push(Kind::End, (id, to, stream.end), &end.encode())?;
            }
        }
        Ok(lost)
    }

    /// Marks `from..to` as missing.
    pub(super) fn push_gap(&mut self, stream: StreamId, from: u64, to: u64) -> Result<LostRange, DiskError> {
        let gap = Gap::because(self.reason);
        self.push(Kind::Gap, (stream, from, to), &gap.encode())?;
        Ok(LostRange { stream, from, to })
    }

    pub(super) fn push(
        &mut self,
        kind: Kind,
        (stream, from, to): (StreamId, u64, u64),
        body: &[u8],
    ) -> Result<(), DiskError> {
        self.make_room((frame::HEADER_LEN + body.len()) as u64)?;
        let mut header = FrameHeader::plain(kind, body).of_stream(stream, from, to);
        header.time = clock::now_ns();
        self.batch.push(header, body);
        Ok(())
    }

    /// Seals and syncs it. Before that is done it has no name, so its SEAL may say that the disk holds all before it.
    pub(super) fn finish(mut self) -> Result<(), DiskError> {
        self.flush()?;
        let seal = Seal {
            frames: self.frames,
            offset: self.offset,
        };
        let body = seal.encode();
        self.batch.push(FrameHeader::plain(Kind::Seal, &body), &body);
        self.flush_known_durable(self.offset)?;
        self.file.sync()
    }
}

pub(super) fn attach_of(stream: &Stream) -> Attach {
    Attach {
        producer: stream.producer.to_string(),
        created: stream.created,
        boot: stream.boot,
        sender: stream.sender,
        definitions: stream.definitions.as_ref().clone(),
    }
}

#[cfg(test)]
mod tests;
