//! What the frames of a log give: who writes which stream, and what carries it on.
//!
//! A checkpoint is held against what the frames before it gave. A stream that stands further on in it lacks frames. One
//! that stands further back is a contradiction only if the segment before was finished in order; otherwise its writer
//! may have gone back to what it knew to be on disk, and brings the same positions again.
//!
//! Segments may be deleted while they are read. Where that happened the next checkpoint is taken as it is: what it has
//! more of a stream than was read is [`Visitor::deleted`], and no hole.

use crate::formats::body::{Attach, End, Gap, GapReason};
use crate::formats::checkpoint;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::pieces::BodyError;
use crate::formats::segment::SegmentHeader;
use crate::formats::table::{self, StreamState, Table};
use crate::ids::{OwnerId, StreamId};
use crate::modes::archive_reader::head::{Log, Segment};
use crate::modes::archive_reader::progress::Progress;
use crate::modes::archive_reader::resent::{Agenda, Taker};
use crate::modes::archive_reader::stream::Stream;
use crate::modes::archive_reader::walk::Span;
use crate::modes::archive_reader::{Depth, Fault, FrameFault, StreamInfo, Visitor};
use crate::seglog::reader::FoundFrame;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// What the frames carry on.
pub(super) struct Streams<'v, V> {
    pub(super) visitor: &'v mut V,
    depth: Depth,
    span: Span,
    /// The group that is read, and what is known of it.
    group: Arc<str>,
    here: GroupStreams,
    /// Groups that are gone on with later.
    others: HashMap<Arc<str>, GroupStreams>,
    /// How many streams were met, in all groups.
    met: usize,
    /// What is read after this; nothing while a log is followed.
    pub(super) agenda: Agenda,
    /// How far an earlier reading had come.
    begun_at: Progress,
    /// How far that one and this one have come.
    pub(super) progress: Progress,
}

/// What is known of one group.
#[derive(Default)]
struct GroupStreams {
    known: HashMap<StreamId, Stream>,
    /// The log of the segment before.
    log: Option<Log>,
    /// Segments were deleted before they were read, and no whole checkpoint has come since.
    lost_sight: bool,
}

impl<'v, V: Visitor> Streams<'v, V> {
    pub(super) fn new(depth: Depth, span: Span, progress: Progress, visitor: &'v mut V) -> Self {
        Self {
            visitor,
            depth,
            span,
            group: "".into(),
            here: GroupStreams::default(),
            others: HashMap::new(),
            met: 0,
            agenda: Agenda::default(),
            begun_at: progress.clone(),
            progress,
        }
    }

    /// Turns to `group`. Of the one before nothing is kept if all of it was read.
    fn enter(&mut self, group: &str) {
        if *self.group == *group {
            return;
        }
        let next = self.others.remove(group).unwrap_or_default();
        let left = std::mem::replace(&mut self.here, next);
        let name = std::mem::replace(&mut self.group, group.into());
        if self.span == Span::Endless {
            self.others.insert(name, left);
        }
    }

    /// Segments of `group` were deleted before they were read.
    pub(super) fn lose_sight(&mut self, group: &str) {
        self.enter(group);
        self.here.log = None;
        self.here.lost_sight = true;
    }

    /// Whether `table` knows more of a stream than was read of it.
    pub(super) fn lacks(&self, table: &Table) -> bool {
        let end_of = |id| self.here.known.get(id).map_or(0, |stream: &Stream| stream.end);
        table.streams.iter().any(|(id, said)| end_of(id) < said.end)
    }

    /// Begins a segment.
    pub(super) fn begin(&mut self, path: PathBuf, header: &SegmentHeader) -> Segment {
        self.enter(&header.group);
        self.progress
            .begin(&header.group, header.role, header.owner, header.number);
        Segment::new(path, self.group.clone(), header, self.here.log)
    }

    /// Goes on with a segment that was begun.
    pub(super) fn resume(&mut self, segment: &Segment) {
        self.enter(&segment.group);
    }

    /// Ends a segment; says whether it held anything. One whose checkpoint never became whole does not, and the one
    /// before it counts.
    pub(super) fn finish(&mut self, segment: Segment, sealed: bool) -> bool {
        self.resume(&segment);
        let log = segment.into_log(sealed);
        self.here.log = log.or(self.here.log);
        log.is_some()
    }

    /// What of a frame is to be looked at.
    pub(super) fn wants(&self, header: &FrameHeader) -> Wanted {
        if self.depth == Depth::Everything || !header.kind.takes_positions() {
            return Wanted::Body;
        }
        let stream = self.here.known.get(&header.stream);
        if stream.is_some_and(|stream| header.end <= stream.end) {
            Wanted::Nothing
        } else if header.kind == Kind::Data && !self.visitor.wants(header.stream) {
            Wanted::Positions
        } else {
            Wanted::Body
        }
    }

    /// Takes a frame of `segment` with its decompressed body; of DATA whose records nobody wants, without.
    pub(super) fn take(&mut self, segment: &mut Segment, header: &FrameHeader, body: Option<&[u8]>) -> io::Result<()> {
        let raw = body.unwrap_or_default();
        if header.kind == Kind::Checkpoint && !header.has(frame::UPDATE) {
            return match segment.add_to_head(header, raw) {
                Ok(None) => Ok(()),
                Ok(Some(table)) => self.take_checkpoint(segment, &table),
                Err(reason) => {
                    segment.lost_frames();
                    self.frame_fault(segment, reason)
                }
            };
        }
        if segment.lacks_head() {
            segment.lost_frames();
            return self.frame_fault(segment, FrameFault::Misplaced(header.kind));
        }
        match header.kind {
            Kind::Attach => self.attach(segment, header, raw),
            Kind::Data | Kind::Gap | Kind::End => self.carry_on(segment, header, body),
            Kind::Checkpoint => self.update(segment, raw),
            _ => self.frame_fault(segment, FrameFault::Misplaced(header.kind)),
        }
    }

    /// Compares the checkpoint at a segment's head with what is known, and takes from it what is not.
    fn take_checkpoint(&mut self, segment: &Segment, table: &Table) -> io::Result<()> {
        for (id, said) in in_order(table) {
            if let Some(stream) = self.here.known.get(&id) {
                let finished = segment.before.is_some_and(|log| log.sealed) && stream.carried_by == segment.owner;
                if self.depth == Depth::Everything && finished && said.end < stream.end {
                    self.visitor.fault(&Fault::Contradiction {
                        path: segment.path.to_owned(),
                        group: self.group.clone(),
                        stream: id,
                        said: said.end,
                        found: stream.end,
                    })?;
                }
            } else if segment.before.is_some_and(|log| log.explained) && said.first < said.end {
                // Everything since an earlier checkpoint of this log was read, and yet this stream never came.
                self.hole(id, said.first, said.end)?;
            }
            self.adopt(id, said, segment.owner)?;
            self.note_return(id, said.end);
        }
        self.here.lost_sight = false;
        let lacks_a_beginning = |id| self.here.known.get(id).is_some_and(Stream::has_open_run);
        if !table.streams.keys().any(lacks_a_beginning) {
            let Segment {
                role, owner, number, ..
            } = *segment;
            self.progress.pass(&self.group, role, owner, number, table);
        }
        if self.span == Span::Endless {
            // What its own log has put out of its mind does not come again.
            self.here.known.retain(|id, stream| {
                let is_over = stream.state != StreamState::Open && stream.carried_by == segment.owner;
                !is_over || table.streams.contains_key(id)
            });
        }
        self.settled()
    }

    fn update(&mut self, segment: &Segment, raw: &[u8]) -> io::Result<()> {
        let mut table = Table::default();
        if let Err(error) = checkpoint::amend(&mut table, raw) {
            return self.frame_fault(segment, error.into());
        }
        for (id, said) in in_order(&table) {
            self.adopt(id, said, segment.owner)?;
            self.note_return(id, said.end);
        }
        Ok(())
    }

    /// A log that says less of a stream than was read went back: to where the stream breaks, or to what was on disk when a sync failed. Until it carries the
    /// stream further than that again, what its checkpoints say contradicts nothing.
    fn note_return(&mut self, id: StreamId, said: u64) {
        if let Some(stream) = self.here.known.get_mut(&id).filter(|stream| stream.end > said) {
            stream.carried_by = OwnerId::NIL;
        }
    }

    /// Goes on with a stream from where a checkpoint says it stands, if that is not behind where it is read already.
    fn adopt(&mut self, id: StreamId, said: &table::Stream, owner: OwnerId) -> io::Result<()> {
        let stream = self.meet(id, said.end, owner)?;
        stream.name(&said.producer);
        if stream.end > said.end {
            return Ok(());
        }
        let from = stream.end;
        let is_missing = from < said.end && !stream.may_jump;
        if from < said.end {
            stream.jump(said.end);
        }
        stream.carried_by = owner;
        // That its sender has nothing left of a stream does not take back that it ended.
        if !(said.state == StreamState::Forgotten && stream.state == StreamState::Ended) {
            stream.state = said.state;
        }
        stream.statements.replace(&said.definitions);
        self.reached(id);
        if is_missing {
            self.missing(id, from, said.end)
        } else {
            Ok(())
        }
    }

    fn attach(&mut self, segment: &Segment, header: &FrameHeader, raw: &[u8]) -> io::Result<()> {
        let attach = match Attach::decode(raw) {
            Ok(attach) => attach,
            Err(error) => return self.frame_fault(segment, error.into()),
        };
        let stream = self.meet(header.stream, header.start, segment.owner)?;
        stream.name(&attach.producer.into());
        if stream.state != StreamState::Open && header.start >= stream.end {
            // It was forgotten and is back.
            stream.state = StreamState::Open;
            stream.may_jump = true;
        }
        let is_whole = stream.statements.add(&attach.definitions);
        self.reached(header.stream);
        if is_whole {
            Ok(())
        } else {
            self.frame_fault(segment, FrameFault::Definitions(header.stream))
        }
    }

    /// Takes DATA, GAP or END.
    fn carry_on(&mut self, segment: &Segment, header: &FrameHeader, raw: Option<&[u8]>) -> io::Result<()> {
        let id = header.stream;
        if !self.here.known.contains_key(&id) && !segment.damaged && !self.here.lost_sight {
            self.frame_fault(segment, FrameFault::Unattached(id))?;
        }
        let stream = self.meet(id, header.start, segment.owner)?;
        if header.end <= stream.end {
            return Ok(());
        }
        if header.start > stream.end && !stream.may_jump {
            self.look_later(id, header.start)?;
        } else if is_placeholder(header, raw) {
            self.look_later(id, header.end)?;
        }
        let stream = self.meet(id, header.start, segment.owner)?;
        if header.end <= stream.end {
            return Ok(());
        }
        let (end, state) = (stream.end, stream.state);
        if header.start > end {
            let is_missing = !stream.may_jump;
            stream.jump(header.start);
            if is_missing {
                self.missing(id, end, header.start)?;
            }
        }
        if state == StreamState::Ended {
            self.frame_fault(segment, FrameFault::AfterEnd(id))?;
        }
        if let Some(stream) = self.here.known.get_mut(&id) {
            stream.may_jump = false;
            stream.carried_by = segment.owner;
            if let Err(error) = carry_on(stream, header, raw, self.visitor)? {
                stream.jump(header.end);
                self.frame_fault(segment, error.into())?;
            }
        }
        self.reached(id);
        self.settled()
    }

    /// Reads what later segments have of a stream, up to position `to`, from which on this segment goes on.
    fn look_later(&mut self, id: StreamId, to: u64) -> io::Result<()> {
        if let Some(stream) = self.here.known.get_mut(&id) {
            let visitor = &mut *self.visitor;
            let mut resent = Resent { stream, visitor, to };
            self.agenda.look_for(&self.group, id, to, &mut resent)?;
        }
        self.reached(id);
        Ok(())
    }

    /// The stream, of which reading begins at `first` if it was not known.
    fn meet(&mut self, id: StreamId, first: u64, owner: OwnerId) -> io::Result<&mut Stream> {
        match self.here.known.entry(id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let given = self.progress.of(id);
                let info = StreamInfo {
                    number: self.met,
                    group: self.group.clone(),
                    id,
                    producer: "".into(),
                    first,
                };
                self.met += 1;
                self.visitor.met(&info)?;
                if let Some(begun_at) = self.begun_at.take(id)
                    && begun_at < first
                {
                    self.visitor.deleted(&info, begun_at..first)?;
                }
                Ok(entry.insert(Stream::new(info, given, owner)))
            }
        }
    }

    fn reached(&mut self, id: StreamId) {
        if let Some(stream) = self.here.known.get(&id) {
            self.progress.settle(id, stream.settled());
            self.visitor
                .reached(&stream.info, stream.end, stream.state == StreamState::Ended);
        }
    }

    /// Tells how far reading has come, where that can be gone on from.
    fn settled(&mut self) -> io::Result<()> {
        self.visitor.settled(&self.progress)
    }

    pub(super) fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.visitor.fault(fault)
    }

    /// Tells what is wrong with the frame that is taken.
    #[cold]
    pub(super) fn frame_fault(&mut self, segment: &Segment, reason: FrameFault) -> io::Result<()> {
        self.visitor.fault(&Fault::Frame {
            path: segment.path.to_owned(),
            offset: segment.offset,
            reason,
        })
    }

    /// `from..to` of a stream that was read up to `from` did not come.
    fn missing(&mut self, id: StreamId, from: u64, to: u64) -> io::Result<()> {
        match self.here.known.get(&id) {
            Some(stream) if self.here.lost_sight => self.visitor.deleted(&stream.info, from..to),
            _ => self.hole(id, from, to),
        }
    }

    fn hole(&mut self, stream: StreamId, from: u64, to: u64) -> io::Result<()> {
        self.visitor.fault(&Fault::Hole {
            group: self.group.clone(),
            stream,
            from,
            to,
        })
    }
}

/// A stream that takes what was sent again, up to position `to`.
struct Resent<'s, V> {
    stream: &'s mut Stream,
    visitor: &'s mut V,
    to: u64,
}

impl<V: Visitor> Taker for Resent<'_, V> {
    fn end(&self) -> u64 {
        self.stream.end
    }

    fn take(&mut self, found: &FoundFrame, raw: &[u8]) -> io::Result<()> {
        let mut header = found.header;
        if header.kind == Kind::Attach {
            if let Ok(attach) = Attach::decode(raw) {
                self.stream.statements.add(&attach.definitions); // too many of them are told in their own place
            }
            return Ok(());
        }
        if header.kind == Kind::Gap {
            header.end = header.end.min(self.to);
        }
        let wanted = header.kind != Kind::Data || self.visitor.wants(header.stream);
        if carry_on(self.stream, &header, wanted.then_some(raw), self.visitor)?.is_err() {
            self.stream.jump(header.end);
        }
        Ok(())
    }
}

/// Whether a frame says no more than that the archive was damaged there.
fn is_placeholder(header: &FrameHeader, raw: Option<&[u8]>) -> bool {
    let gap = raw
        .filter(|_| header.kind == Kind::Gap)
        .and_then(|raw| Gap::decode(raw).ok());
    gap.is_some_and(|gap| gap.reason == GapReason::ArchiveDamaged)
}

/// What of a frame is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its header was enough.
    Nothing,
    /// How far it carries its stream on.
    Positions,
    /// All of it.
    Body,
}

/// Gives the stream what the frame has of it.
fn carry_on<V: Visitor>(
    stream: &mut Stream,
    header: &FrameHeader,
    body: Option<&[u8]>,
    visitor: &mut V,
) -> io::Result<Result<(), BodyError>> {
    let Some(raw) = body else {
        stream.jump(header.end);
        return Ok(Ok(()));
    };
    match header.kind {
        Kind::Data => stream.data(header, raw, visitor).map(Ok),
        Kind::Gap => match Gap::decode(raw) {
            Ok(gap) => stream.gap(header.end, &gap, visitor).map(Ok),
            Err(error) => Ok(Err(error)),
        },
        _ => match End::decode(raw) {
            Ok(end) => stream.finish(header.end, &end, visitor).map(Ok),
            Err(error) => Ok(Err(error)),
        },
    }
}

/// The streams of a table, oldest first.
fn in_order(table: &Table) -> Vec<(StreamId, &table::Stream)> {
    let mut streams: Vec<_> = table.streams.iter().map(|(id, stream)| (*id, stream)).collect();
    streams.sort_by_key(|(id, stream)| (stream.created, *id));
    streams
}
