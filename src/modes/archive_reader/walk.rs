//! Goes through segments, frame by frame.

use crate::formats::codec::{CodecError, Decompressor};
use crate::formats::table::Table;
use crate::modes::archive_reader::ahead::{Ahead, Apart};
use crate::modes::archive_reader::fault::Touched;
use crate::modes::archive_reader::head::Segment;
use crate::modes::archive_reader::progress::Progress;
use crate::modes::archive_reader::resent::Agenda;
use crate::modes::archive_reader::segments::SegmentPath;
use crate::modes::archive_reader::streams::{Streams, Wanted};
use crate::modes::archive_reader::{Fault, ReadError, Visitor};
use crate::modes::stop::Stop;
use crate::seglog::reader::{Ending, FoundFrame, Head, Next, SegmentError, SegmentReader};
use std::io;
use std::path::Path;

/// How much of the segments is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What gives records.
    Records,
    /// Every body, also of positions that are known already.
    Everything,
}

/// How long reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// Up to the end of what was there, one group after the other.
    ToTheEnd,
    /// As long as anything is appended, to whichever group.
    Endless,
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

/// A segment that is being read.
pub(super) struct OpenSegment {
    reader: SegmentReader,
    segment: Segment,
}

/// A walk through segments in their order.
pub(super) struct Reading<'v, V> {
    decompressor: Decompressor,
    /// Frames of the segment that is read, in front of where the reader stands.
    ahead: Ahead,
    /// The stored body of the frame that is looked at.
    body: Vec<u8>,
    streams: Streams<'v, V>,
    summary: Summary,
    /// Asks to leave the rest unread.
    stop: Stop,
}

impl<'v, V: Visitor> Reading<'v, V> {
    /// Will go on where an earlier reading had come to.
    pub(super) fn new(depth: Depth, span: Span, progress: Progress, visitor: &'v mut V) -> Result<Self, ReadError> {
        let streams = Streams::new(depth, span, progress, visitor);
        let decompressor = Decompressor::new().map_err(ReadError::Decompressor)?;
        Ok(Self {
            decompressor,
            ahead: Ahead::default(),
            body: Vec::new(),
            streams,
            summary: Summary::default(),
            stop: Stop::default(),
        })
    }

    /// Leaves the rest unread when it is time to end.
    pub(super) fn stop_with(&mut self, stop: &Stop) {
        self.stop = stop.clone();
    }

    pub(super) fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.streams.fault(fault)
    }

    pub(super) fn summary(&self) -> Summary {
        self.summary
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.streams.progress
    }

    pub(super) fn visitor(&mut self) -> &mut V {
        self.streams.visitor
    }

    /// Segments of `group` were deleted before they were read.
    pub(super) fn lose_sight(&mut self, group: &str) {
        self.streams.lose_sight(group);
    }

    /// Begins with a segment. There is nothing to begin with if it cannot be read, which is told, or is not there any
    /// more.
    pub(super) fn open(&mut self, file: &SegmentPath) -> Result<Option<OpenSegment>, ReadError> {
        if file.behind_deleted {
            self.lose_sight(&file.header.group);
        }
        let reader = match SegmentReader::open(&file.path) {
            Ok(reader) => reader,
            Err(SegmentError::Disk(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                self.lose_sight(&file.header.group);
                return Ok(None);
            }
            Err(error) => {
                self.fault(&Fault::Segment(error))?;
                return Ok(None);
            }
        };
        if let Some(error) = reader.header_damage() {
            self.fault(&Fault::Header {
                path: file.path.clone(),
                error: error.clone(),
            })?;
        }
        let segment = self.streams.begin(file.path.clone(), reader.header());
        Ok(Some(OpenSegment { reader, segment }))
    }

    /// Reads on in a segment, as far as it reaches now: what a living writer appends meanwhile is not looked at, so no
    /// append is ever seen in part and taken for damage. Says how it ends, unless it cannot be read up to there.
    pub(super) fn advance(&mut self, open: &mut OpenSegment) -> Result<Option<Ending>, ReadError> {
        let OpenSegment { reader, segment } = open;
        self.streams.resume(segment);
        if let Err(error) = reader.look_again() {
            segment.lost_frames();
            self.fault(&Fault::Segment(error))?;
            return Ok(None);
        }
        self.frames(reader, segment)
    }

    /// Reads all of `segments`, which are in order.
    pub(super) fn read_all(&mut self, segments: &[SegmentPath]) -> Result<(), ReadError> {
        self.streams.agenda = Agenda::of(segments);
        for (place, file) in segments.iter().enumerate() {
            self.streams.agenda.set_begun(place + 1);
            if let Some(open) = self.open(file)? {
                self.read_to_its_end(open)?;
            }
        }
        Ok(())
    }

    fn read_to_its_end(&mut self, mut open: OpenSegment) -> Result<(), ReadError> {
        let mut ending = self.advance(&mut open)?;
        if ending == Some(Ending::Torn)
            && let Some(next) = self.streams.agenda.next_of(open.reader.header())
            && head_of(next).is_some_and(|table| self.streams.lacks(&table))
        {
            // The next segment was begun on more than that: it is no torn end but damage, and more may follow.
            open.reader.know_durable();
            ending = self.advance(&mut open)?;
        }
        if ending == Some(Ending::Torn)
            && let Some(from) = open.reader.spoilt_from()
        {
            self.visitor().spoilt(open.reader.path(), from)?;
        }
        self.close(open, ending);
        Ok(())
    }

    /// Ends a segment that was read up to `ending`.
    pub(super) fn close(&mut self, open: OpenSegment, ending: Option<Ending>) {
        if self.streams.finish(open.segment, ending == Some(Ending::Sealed)) {
            self.summary.segments += 1;
        }
    }

    /// Takes the frames up to the end, which is told unless the file could not be read up to there.
    fn frames(&mut self, reader: &mut SegmentReader, segment: &mut Segment) -> Result<Option<Ending>, ReadError> {
        loop {
            if self.stop.is_set() {
                self.ahead.forget();
                return Ok(None);
            }
            let mut next = reader.next_frame();
            // Frames are taken in their order, whichever way they go; and what is not wanted now will not be wanted then.
            if let Ok(Next::Frame(found)) = next
                && self.streams.wants(&found.header) == Wanted::Body
                && self.ahead.is_worth(&found.header)
            {
                let mut body = self.ahead.memory();
                if let Ok(true) = reader.read_body(&found, &mut body) {
                    self.ahead.put(found, body);
                    if self.ahead.is_full() {
                        self.take_next(segment)?;
                    }
                    continue;
                }
            }
            while self.take_next(segment)? {}
            if let Ok(Next::Frame(found)) = next {
                match self.streams.wants(&found.header) {
                    Wanted::Body => {}
                    wanted => {
                        self.take_without_body(segment, &found, wanted)?;
                        continue;
                    }
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
                Ok(Next::Damaged {
                    from,
                    to,
                    error,
                    touched,
                }) => {
                    segment.lost_frames();
                    self.fault(&Fault::Damaged {
                        path: reader.path().to_owned(),
                        from,
                        to,
                        error,
                        touched: Touched::of(touched.as_ref()),
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

    /// Takes the first of the frames that are taken apart ahead, if there is one.
    fn take_next(&mut self, segment: &mut Segment) -> io::Result<bool> {
        let Some(Apart { found, raw }) = self.ahead.next() else {
            return Ok(false);
        };
        let wanted = self.streams.wants(&found.header);
        if wanted != Wanted::Body {
            // Those before it have brought it already.
            self.take_without_body(segment, &found, wanted)?;
            return Ok(true);
        }
        self.count(&found);
        segment.offset = found.offset;
        match raw {
            Ok(raw) => {
                self.streams.take(segment, &found.header, Some(&raw))?;
                self.ahead.reuse(raw);
            }
            Err(error) => self.not_apart(segment, error)?,
        }
        Ok(true)
    }

    fn not_apart(&mut self, segment: &mut Segment, error: CodecError) -> io::Result<()> {
        segment.lost_frames();
        self.streams.frame_fault(segment, error.into())
    }

    fn take_without_body(&mut self, segment: &mut Segment, found: &FoundFrame, wanted: Wanted) -> io::Result<()> {
        self.count(found);
        if wanted == Wanted::Positions {
            segment.offset = found.offset;
            self.streams.take(segment, &found.header, None)?;
        }
        Ok(())
    }

    fn count(&mut self, found: &FoundFrame) {
        self.summary.frames += 1;
        self.summary.bytes += found.header.frame_len();
        self.visitor().frame_read(found.header.frame_len());
    }

    /// Takes the frame whose checked body is in `body`.
    fn frame(&mut self, segment: &mut Segment, found: &FoundFrame) -> io::Result<()> {
        segment.offset = found.offset;
        match self.decompressor.raw(&found.header, &self.body) {
            Ok(raw) => self.streams.take(segment, &found.header, Some(raw)),
            Err(error) => self.not_apart(segment, error),
        }
    }
}

/// The table at the head of a segment, if it is whole.
fn head_of(path: &Path) -> Option<Table> {
    let mut reader = SegmentReader::open(path).ok()?;
    match reader.checkpoint().ok()? {
        Head::Whole(table) => Some(table),
        _ => None,
    }
}
