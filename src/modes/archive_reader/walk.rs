//! Goes through segments, frame by frame.

use crate::formats::codec::Decompressor;
use crate::modes::archive_reader::segments::SegmentPath;
use crate::modes::archive_reader::streams::{Segment, Streams};
use crate::modes::archive_reader::{Fault, ReadError, Visitor};
use crate::seglog::reader::{Ending, FoundFrame, Next, SegmentError, SegmentReader};
use std::io;

/// How much of the segments is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What gives records.
    Records,
    /// Every body, also of positions that are known already.
    Everything,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Segments whose checkpoint was whole, or damaged with frames behind it.
    pub segments: u64,
    /// Their sound frames.
    pub frames: u64,
    /// Bytes of those frames as stored, headers included.
    pub bytes: u64,
}

/// A walk through segments in their order.
pub(super) struct Reading<'v, V> {
    decompressor: Decompressor,
    /// The stored body of the frame that is looked at.
    body: Vec<u8>,
    streams: Streams<'v, V>,
    summary: Summary,
}

impl<'v, V: Visitor> Reading<'v, V> {
    pub(super) fn new(depth: Depth, visitor: &'v mut V) -> Result<Self, ReadError> {
        let streams = Streams::new(depth, visitor);
        let decompressor = Decompressor::new().map_err(ReadError::Decompressor)?;
        Ok(Self {
            decompressor,
            body: Vec::new(),
            streams,
            summary: Summary::default(),
        })
    }

    pub(super) fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.streams.fault(fault)
    }

    pub(super) fn summary(&self) -> Summary {
        self.summary
    }

    /// Reads one segment, as long as it is now: what a living writer appends meanwhile is not looked at, so no append
    /// is ever seen in part and taken for damage.
    pub(super) fn segment(&mut self, file: &SegmentPath) -> Result<(), ReadError> {
        let opened = SegmentReader::open(&file.path).and_then(|mut reader| {
            let metadata = std::fs::metadata(&file.path).map_err(crate::os::disk::at("look at", &file.path))?;
            reader.set_limit(metadata.len());
            Ok(reader)
        });
        let mut reader = match opened {
            Ok(reader) => reader,
            // Segments may be deleted at any time; what lacks then shows in the next checkpoint.
            Err(SegmentError::Disk(error)) if error.source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Ok(self.fault(&Fault::Segment(error))?),
        };
        let mut segment = self.streams.begin(&file.path, reader.header());
        let ending = self.frames(&mut reader, &mut segment)?;
        if self.streams.finish(segment, ending == Some(Ending::Sealed)) {
            self.summary.segments += 1;
        }
        Ok(())
    }

    /// Takes the frames up to the end, which is told unless the file could not be read up to there.
    fn frames(&mut self, reader: &mut SegmentReader, segment: &mut Segment<'_>) -> Result<Option<Ending>, ReadError> {
        loop {
            let mut next = reader.next_frame();
            if let Ok(Next::Frame(found)) = next {
                if !self.streams.wants(&found.header) {
                    self.count(&found);
                    continue;
                }
                self.body.clear();
                next = match reader.read_body(&found, &mut self.body) {
                    Ok(true) => {
                        self.count(&found);
                        self.frame(segment, &found)?;
                        continue;
                    }
                    Ok(false) => reader.reject(&found),
                    Err(error) => Err(error),
                };
            }
            match next {
                Ok(Next::Frame(_)) => {} // not what rejecting a frame gives
                Ok(Next::Damaged { from, to, error }) => {
                    segment.lost_frames();
                    self.fault(&Fault::Damaged {
                        path: reader.path().to_owned(),
                        from,
                        to,
                        error,
                    })?;
                }
                Ok(Next::End(ending)) => return Ok(Some(ending)),
                Err(error) => {
                    segment.lost_frames();
                    self.fault(&Fault::Segment(error))?;
                    return Ok(None);
                }
            }
        }
    }

    fn count(&mut self, found: &FoundFrame) {
        self.summary.frames += 1;
        self.summary.bytes += found.header.frame_len();
    }

    /// Takes the frame whose checked body is in `body`.
    fn frame(&mut self, segment: &mut Segment<'_>, found: &FoundFrame) -> io::Result<()> {
        segment.offset = found.offset;
        match self.decompressor.raw(&found.header, &self.body) {
            Ok(raw) => self.streams.take(segment, &found.header, raw),
            Err(error) => {
                segment.lost_frames();
                self.streams.frame_fault(segment, error.into())
            }
        }
    }
}
