//! A shipper's place in the spool: walks its frames in order, segment by segment, and knows the streams' definitions at each of them.

use crate::exit::chain;
use crate::formats::codec::Decompressor;
use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::formats::table::{ApplyError, Table};
use crate::ids::StreamId;
use crate::modes::recorder::Recorder;
use crate::seglog::reader::{Ending, FoundFrame, Head, Next, SegmentError, SegmentReader};
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
    /// Hears of damage.
    recorder: Recorder,
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
    pub fn at_start(
        index: Arc<SpoolIndex>,
        destination: &str,
        up_to: u64,
        recorder: Recorder,
    ) -> Result<Self, SegmentError> {
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
            recorder,
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
            let (next, limit) = (reader.next_frame()?, reader.limit());
            match next {
                Next::Frame(found) => {
                    let frame = SpoolFrame { found };
                    let stream = found.header.stream;
                    if found.header.kind.takes_positions() && self.index.is_owed(&self.destination, self.number, stream)
                    {
                        return Ok(Some(frame));
                    }
                    self.passed(&frame)?;
                }
                Next::Damaged { .. } if self.is_replaced() => {}
                Next::Damaged { from, to, error, .. } => {
                    let words = format!("damaged from byte {from} to byte {to}: {error}");
                    self.set_aside(&words);
                }
                Next::End(ending) => {
                    // Is that the end of the segment, or only of what was whole when we looked?
                    match self
                        .index
                        .segment_from(self.number)
                        .filter(|segment| segment.number == self.number)
                    {
                        Some(segment) if segment.limit > limit => self.set_limit(segment.limit),
                        Some(segment) if segment.is_active => return Ok(None),
                        // Its last frame is SEAL, or it would have been looked at when the spool was opened.
                        _ if ending != Ending::Sealed && self.is_replaced() => {}
                        _ => {
                            self.number += 1;
                            (self.reader, self.gone) = (None, None);
                        }
                    }
                }
            }
        }
    }

    fn set_limit(&mut self, limit: u64) {
        if let Some(reader) = &mut self.reader {
            reader.set_limit(limit);
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
            Head::Damaged(words) => self.set_aside(&format!("damaged: {words}")),
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
            self.set_aside_for(frame, "its body is not what was sealed");
            return Ok(false);
        }
        if plain {
            return Ok(true);
        }
        match self.decompressor.raw(&frame.found.header, &self.body) {
            Ok(raw) => {
                out.extend_from_slice(raw);
                return Ok(true);
            }
            Err(error) => self.set_aside_for(frame, &error.to_string()),
        }
        Ok(false)
    }

    fn set_aside_for(&self, frame: &SpoolFrame, words: &str) {
        let FrameHeader { stream, start, end, .. } = frame.found.header;
        let at = frame.found.offset;
        self.set_aside(&format!(
            "damaged: the frame at byte {at}, with positions {start} to {end} of stream {stream}: {words}"
        ));
    }

    /// The segment that is read is damaged: it is kept under a second name, and that is reported, once for all who ship it and all runs. What is
    /// sound of it goes on being shipped.
    fn set_aside(&self, words: &str) {
        let path = match self.index.set_aside(self.number) {
            Ok(None) => return,
            Ok(Some(path)) => path,
            Err(error) => {
                warn!(
                    "segment {} is {words}; it cannot be set aside: {}",
                    self.number,
                    chain(&error)
                );
                return;
            }
        };
        let words = format!("segment {} is {words}; it is kept as {}", self.number, path.display());
        warn!("{words}");
        self.recorder.loss(&path.display().to_string(), &words);
    }

    /// Nobody had looked at the frames of the segment that is read, and it turns out to be damaged: another takes its place, as it would have at the
    /// start, and is read from its beginning. That is reported, once for all who ship it and all runs. False: this cannot be done, or was done.
    fn is_replaced(&mut self) -> bool {
        match self.index.replace_unread(self.number) {
            Ok(Some(words)) => {
                warn!("{words}");
                let path = self.reader.as_ref().map(|reader| reader.path().display().to_string());
                self.recorder.loss(&path.unwrap_or_default(), &words);
            }
            Ok(None) => {}
            Err(error) => warn!(
                "segment {} is damaged, and cannot be set aside: {}",
                self.number,
                chain(&error)
            ),
        }
        self.let_go()
    }

    /// The segment that it stands in, or comes to next.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
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
        let mut applied = self.table.apply(header, &raw);
        if let Err(ApplyError::Position { .. }) = applied
            && let Some(stream) = self.table.streams.get_mut(&header.stream)
        {
            // What is missing in front of it was damaged, and a GAP was sent for it.
            stream.end = header.start;
            applied = self.table.apply(header, &raw);
        }
        if let Err(error) = applied {
            warn!(
                "segment {}: the frame at byte {} does not fit: {error}",
                self.number, frame.found.offset
            );
        }
        Ok(())
    }
}
