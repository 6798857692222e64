//! What a later segment has of positions that are missing here.
//!
//! Where an archive's last segment was damaged, its receiver went back to where each stream broke, and what senders had sent again since lies in a
//! later segment: behind frames of the same stream that were sound all along. It is read in the place where it belongs, so that each stream comes in
//! its order. A log is looked through until the head of a segment says that the stream had got beyond what is missing, so one look into the next
//! segment mostly ends it.

use crate::formats::body::{Gap, GapReason};
use crate::formats::codec::Decompressor;
use crate::formats::frame::Kind;
use crate::formats::segment::{LogRole, SegmentHeader};
use crate::ids::{OwnerId, StreamId};
use crate::modes::archive_reader::segments::SegmentPath;
use crate::seglog::reader::{FoundFrame, Head, Next, SegmentError, SegmentReader};
use std::io;
use std::path::{Path, PathBuf};

/// The segments that are read, in their order, and how far that has come.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    segments: Vec<Later>,
    /// How many of them were begun.
    begun: usize,
}

#[derive(Debug)]
struct Later {
    path: PathBuf,
    group: String,
    log: (OwnerId, LogRole),
}

impl Agenda {
    /// Nothing was begun yet.
    pub(super) fn of(segments: &[SegmentPath]) -> Self {
        let later = |segment: &SegmentPath| Later {
            path: segment.path.clone(),
            group: segment.header.group.clone(),
            log: (segment.header.owner, segment.header.role),
        };
        Self {
            segments: segments.iter().map(later).collect(),
            begun: 0,
        }
    }

    /// The first `begun` segments were begun.
    pub(super) fn set_begun(&mut self, begun: usize) {
        self.begun = begun;
    }

    /// The segment of the same log as one with `header` that comes next.
    pub(super) fn next_of(&self, header: &SegmentHeader) -> Option<&Path> {
        let log = (header.owner, header.role);
        let is_next = |later: &&Later| later.log == log && later.group == header.group;
        let next = self.segments[self.begun..].iter().find(is_next)?;
        Some(&next.path)
    }

    /// What is to come of `group`.
    fn rest<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Later> {
        self.segments[self.begun..]
            .iter()
            .take_while(move |later| later.group == group)
    }

    /// Gives `taker` what the segments to come of `group` have of `stream`, from its end up to `to`. What cannot be read of them is told in its turn.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn look_for(&self, group: &str, stream: StreamId, to: u64, taker: &mut dyn Taker) -> io::Result<()> {
        let mut over = Vec::new();
        for Later { path, log, .. } in self.rest(group) {
            if taker.end() >= to {
                break;
            }
            if over.contains(log) {
                continue;
            }
            match Search::begin(path, stream, to) {
                Ok(Some(search)) => search.run(taker)?,
                Ok(None) => over.push(*log),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Whoever takes what is found.
pub(super) trait Taker {
    /// Up to where the stream is read.
    fn end(&self) -> u64;

    /// Takes a frame with its raw body, of the stream, that reaches beyond its end and begins at or before it.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn take(&mut self, found: &FoundFrame, raw: &[u8]) -> io::Result<()>;
}

struct Search {
    reader: SegmentReader,
    decompressor: Decompressor,
    stream: StreamId,
    to: u64,
}

impl Search {
    /// Nothing if the log had all of it before this segment, or does not know the stream any more.
    fn begin(path: &Path, stream: StreamId, to: u64) -> Result<Option<Self>, SegmentError> {
        let mut reader = SegmentReader::open(path)?;
        reader.look_again()?;
        if let Head::Whole(table) = reader.checkpoint()?
            && table.streams.get(&stream).is_none_or(|stream| stream.end >= to)
        {
            return Ok(None);
        }
        let decompressor = Decompressor::new().map_err(crate::os::disk::at("decompress", path))?;
        Ok(Some(Self {
            reader,
            decompressor,
            stream,
            to,
        }))
    }

    fn run(mut self, taker: &mut dyn Taker) -> io::Result<()> {
        let mut body = Vec::new();
        while taker.end() < self.to {
            let found = match self.reader.next_frame() {
                Ok(Next::Frame(found)) => found,
                Ok(Next::Damaged { .. }) => continue,
                Ok(Next::End(_)) | Err(_) => break,
            };
            let header = &found.header;
            let is_wanted = match header.kind {
                Kind::Attach => header.stream == self.stream,
                kind => kind.takes_positions() && header.stream == self.stream && header.end > taker.end(),
            };
            if !is_wanted {
                continue;
            }
            if header.start > taker.end() {
                break; // it went on without what is missing
            }
            body.clear();
            match self.reader.read_body(&found, &mut body) {
                Ok(true) => {}
                Ok(false) => match self.reader.reject(&found) {
                    Ok(Next::Damaged { .. }) => continue,
                    _ => break,
                },
                Err(_) => break,
            }
            let Ok(raw) = self.decompressor.raw(header, &body) else {
                continue;
            };
            let is_placeholder =
                header.kind == Kind::Gap && Gap::decode(raw).is_ok_and(|gap| gap.reason == GapReason::ArchiveDamaged);
            if !is_placeholder {
                taker.take(&found, raw)?;
            }
        }
        Ok(())
    }
}
