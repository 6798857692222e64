//! A shipper's place in the spool: walks its frames in order, segment by segment, and knows the streams' definitions at each of them.

use crate::formats::codec::Decompressor;
use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::formats::table::Table;
use crate::ids::StreamId;
use crate::seglog::reader::{FoundFrame, Head, Next, SegmentError, SegmentReader};
use crate::stages::spool::SpoolIndex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::warn;

/// Where a shipper is.
pub struct Cursor {
    index: Arc<SpoolIndex>,
    destination: String,
    /// Segments of later runs than this one are not read.
    up_to: u64,
    /// Number of the segment that is being read, or to be read next.
    number: u64,
    reader: Option<SegmentReader>,
    /// Held as long as the segment is open; true once its room is wanted.
    gone: Option<Arc<AtomicBool>>,
    /// What the spool held in front of the next frame.
    table: Table,
    decompressor: Decompressor,
    body: Vec<u8>,
}

/// A frame that the destination is owed.
#[derive(Clone, Copy, Debug)]
pub struct SpoolFrame {
    /// The frame.
    pub found: FoundFrame,
}

impl SpoolFrame {
    /// Its header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.found.header
    }
}

impl Cursor {
    /// At the spool's first segment, to go no further than the runs up to `up_to`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn at_start(index: Arc<SpoolIndex>, destination: &str, up_to: u64) -> Result<Self, SegmentError> {
        let decompressor =
            Decompressor::new().map_err(crate::os::disk::at("decompress", std::path::Path::new("the spool")))?;
        let destination = destination.to_owned();
        Ok(Self {
            index,
            destination,
            up_to,
            number: 0,
            reader: None,
            gone: None,
            table: Table::default(),
            decompressor,
            body: Vec::new(),
        })
    }

    /// What the spool knew of the streams in front of the frame that came last.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Lets go of a segment that was deleted, or whose records were dropped: its room is wanted. Says whether it did; what was read of it and
    /// not sent must be forgotten then, and what is left of it is read instead.
    pub fn let_go(&mut self) -> bool {
        // Acquire pairs with the Release of whoever deleted it.
        let is_gone = self.gone.as_ref().is_some_and(|gone| gone.load(Ordering::Acquire));
        if is_gone {
            (self.reader, self.gone) = (None, None);
        }
        is_gone
    }

    /// The next frame that the destination is owed, or `None` while there is none. Segments of which it has everything (`has` says up to where it
    /// has a stream) are passed over unread. After each frame [`Cursor::passed`] must be called.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn next_frame(&mut self, has: &dyn Fn(StreamId) -> u64) -> Result<Option<SpoolFrame>, SegmentError> {
        loop {
            let Some(reader) = &mut self.reader else {
                match self.open_next(has)? {
                    true => continue,
                    false => return Ok(None),
                }
            };
            match reader.next_frame()? {
                Next::Frame(found) => {
                    let frame = SpoolFrame { found };
                    let stream = found.header.stream;
                    if found.header.kind.takes_positions() && self.index.is_owed(&self.destination, self.number, stream)
                    {
                        return Ok(Some(frame));
                    }
                    self.passed(&frame)?;
                }
                Next::Damaged { from, to, error } => {
                    warn!(
                        "{} is damaged from byte {from} to byte {to}: {error}",
                        reader.path().display()
                    );
                }
                Next::End(_) => {
                    // Is that the end of the segment, or only of what was whole when we looked?
                    match self
                        .index
                        .segment_from(self.number)
                        .filter(|segment| segment.number == self.number)
                    {
                        Some(segment) if segment.limit > reader.limit() => reader.set_limit(segment.limit),
                        Some(segment) if segment.is_active => return Ok(None),
                        _ => {
                            self.number += 1;
                            (self.reader, self.gone) = (None, None);
                        }
                    }
                }
            }
        }
    }

    /// Opens the next segment that the destination needs; false when there is none yet.
    fn open_next(&mut self, has: &dyn Fn(StreamId) -> u64) -> Result<bool, SegmentError> {
        while let Some(segment) = self.index.segment_from(self.number) {
            if segment.epoch > self.up_to {
                return Ok(false);
            }
            self.number = segment.number;
            let wanted = segment.is_active || self.index.needs_segment(&self.destination, self.number, has);
            if wanted && self.open(&segment.path, segment.limit)? {
                self.gone = Some(segment.gone);
                return Ok(true);
            }
            if segment.is_active {
                return Ok(false);
            }
            self.number += 1;
        }
        Ok(false)
    }

    /// Opens a segment and reads its checkpoint; false when it is gone or holds nothing.
    fn open(&mut self, path: &std::path::Path, limit: u64) -> Result<bool, SegmentError> {
        let mut reader = match SegmentReader::open(path) {
            Ok(reader) => reader,
            Err(SegmentError::Disk(error)) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(SegmentError::Disk(error)) => return Err(error.into()),
            Err(error) => {
                warn!("passed over: {error}");
                return Ok(false);
            }
        };
        reader.set_limit(limit);
        match reader.checkpoint()? {
            Head::Whole(table) => self.table = table,
            Head::Unfinished => return Ok(false),
            // The frames behind it go on where the segment before it ended; the table is then that one's, as far as it was read.
            Head::Damaged(words) => warn!("{}: {words}", path.display()),
        }
        self.reader = Some(reader);
        Ok(true)
    }

    /// Appends the raw body of `frame` to `out`; false if it is damaged, which was reported.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn raw(&mut self, frame: &SpoolFrame, out: &mut Vec<u8>) -> Result<bool, SegmentError> {
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        let plain = frame.found.header.codec == Codec::None;
        self.body.clear();
        if !reader.read_body(&frame.found, if plain { &mut *out } else { &mut self.body })? {
            warn!(
                "{}: the frame at byte {} is damaged",
                reader.path().display(),
                frame.found.offset
            );
            return Ok(false);
        }
        if plain {
            return Ok(true);
        }
        match self.decompressor.raw(&frame.found.header, &self.body) {
            Ok(raw) => {
                out.extend_from_slice(raw);
                Ok(true)
            }
            Err(error) => {
                warn!(
                    "{}: the frame at byte {} is damaged: {error}",
                    reader.path().display(),
                    frame.found.offset
                );
                Ok(false)
            }
        }
    }

    /// Goes behind `frame`: what it defines holds from now on.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn passed(&mut self, frame: &SpoolFrame) -> Result<(), SegmentError> {
        let header = &frame.found.header;
        let wants_body = match header.kind {
            Kind::Data => header.has(frame::STATEMENTS),
            Kind::Attach | Kind::Gap | Kind::End => true,
            _ => return Ok(()),
        };
        let mut raw = Vec::new();
        if wants_body && !self.raw(frame, &mut raw)? {
            return Ok(());
        }
        if let Err(error) = self.table.apply(header, &raw) {
            warn!(
                "segment {}: the frame at byte {} does not fit: {error}",
                self.number, frame.found.offset
            );
        }
        Ok(())
    }
}
