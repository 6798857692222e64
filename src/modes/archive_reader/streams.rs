//! What the frames of a log give: who writes which stream, and what carries it on.
//!
//! A checkpoint is held against what the frames before it gave. A stream that stands further on in it lacks frames. One
//! that stands further back is a contradiction only if the segment before was finished in order; otherwise its writer
//! may have gone back to what it knew to be on disk, and brings the same positions again.

use crate::formats::body::{Attach, End, Gap};
use crate::formats::checkpoint;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::pieces::BodyError;
use crate::formats::segment::{LogRole, SegmentHeader};
use crate::formats::table::{self, StreamState, Table};
use crate::ids::{OwnerId, StreamId};
use crate::limits::CHECKPOINT_MAX;
use crate::modes::archive_reader::stream::Stream;
use crate::modes::archive_reader::{Depth, Fault, FrameFault, StreamInfo, Visitor};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the frames carry on.
pub(super) struct Streams<'v, V> {
    visitor: &'v mut V,
    depth: Depth,
    group: Arc<str>,
    /// The streams of `group`.
    known: HashMap<StreamId, Stream>,
    /// How many streams were met, in all groups.
    met: usize,
    /// The log of the segment before, if it was of the same group.
    log: Option<Log>,
}

/// A log of which segments were read.
#[derive(Clone, Copy)]
struct Log {
    owner: OwnerId,
    role: LogRole,
    /// A whole checkpoint of it was read: from there on no stream of it is unknown.
    explained: bool,
    /// Its last segment was finished in order.
    sealed: bool,
}

/// The segment that is read.
pub(super) struct Segment<'a> {
    path: &'a Path,
    /// Where the frame stands that is taken.
    pub(super) offset: u64,
    owner: OwnerId,
    role: LogRole,
    head: Head,
    /// Some of its frames are lost, so that those behind them may not fit.
    damaged: bool,
    /// What was read of the same log before.
    before: Option<Log>,
}

/// The checkpoint that a segment begins with.
enum Head {
    /// Its bytes so far.
    Partial(Vec<u8>),
    /// It was whole, and counts.
    Whole,
    /// It was whole once and is damaged.
    Lost,
}

impl Segment<'_> {
    /// Frames are lost: what follows may not fit.
    pub(super) fn lost_frames(&mut self) {
        self.damaged = true;
        if matches!(self.head, Head::Partial(_)) {
            self.head = Head::Lost;
        }
    }

    /// Adds a frame of the checkpoint at the head. The table comes back when it is whole.
    fn add_to_head(&mut self, header: &FrameHeader, raw: &[u8]) -> Result<Option<Table>, FrameFault> {
        match &mut self.head {
            Head::Partial(items) => {
                if items.len() + raw.len() > CHECKPOINT_MAX {
                    return Err(FrameFault::LongCheckpoint);
                }
                items.extend_from_slice(raw);
                if !header.has(frame::LAST) {
                    return Ok(None);
                }
                let table = checkpoint::decode(items)?;
                self.head = Head::Whole;
                Ok(Some(table))
            }
            // What is left of a damaged checkpoint says nothing.
            Head::Lost => Ok(None),
            Head::Whole => Err(FrameFault::Misplaced(header.kind)),
        }
    }
}

impl<'v, V: Visitor> Streams<'v, V> {
    pub(super) fn new(depth: Depth, visitor: &'v mut V) -> Self {
        Self {
            visitor,
            depth,
            group: "".into(),
            known: HashMap::new(),
            met: 0,
            log: None,
        }
    }

    /// Begins a segment.
    pub(super) fn begin<'a>(&mut self, path: &'a Path, header: &SegmentHeader) -> Segment<'a> {
        let SegmentHeader { group, owner, role, .. } = header;
        if *self.group != **group {
            self.group = group.as_str().into();
            self.known.clear();
            self.log = None;
        }
        let before = self.log.filter(|log| log.owner == *owner && log.role == *role);
        let head = Head::Partial(Vec::new());
        Segment {
            path,
            offset: 0,
            owner: *owner,
            role: *role,
            head,
            damaged: false,
            before,
        }
    }

    /// Ends a segment; says whether it held anything. One whose checkpoint never became whole does not, and the one
    /// before it counts.
    pub(super) fn finish(&mut self, segment: Segment<'_>, sealed: bool) -> bool {
        let Segment {
            owner,
            role,
            head,
            before,
            ..
        } = segment;
        if matches!(head, Head::Partial(_)) {
            return false;
        }
        let explained = matches!(head, Head::Whole) || before.is_some_and(|log| log.explained);
        self.log = Some(Log {
            owner,
            role,
            explained,
            sealed,
        });
        true
    }

    /// Whether the body of a frame is to be read.
    pub(super) fn wants(&self, header: &FrameHeader) -> bool {
        self.depth == Depth::Everything
            || !header.kind.takes_positions()
            || self
                .known
                .get(&header.stream)
                .is_none_or(|stream| stream.end < header.end)
    }

    /// Takes a frame of `segment` with its decompressed body.
    pub(super) fn take(&mut self, segment: &mut Segment<'_>, header: &FrameHeader, raw: &[u8]) -> io::Result<()> {
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
        if matches!(segment.head, Head::Partial(_)) {
            segment.lost_frames();
            return self.frame_fault(segment, FrameFault::Misplaced(header.kind));
        }
        match header.kind {
            Kind::Attach => self.attach(segment, header, raw),
            Kind::Data | Kind::Gap | Kind::End => self.carry_on(segment, header, raw),
            Kind::Checkpoint => self.update(segment, raw),
            _ => self.frame_fault(segment, FrameFault::Misplaced(header.kind)),
        }
    }

    /// Compares the checkpoint at a segment's head with what is known, and takes from it what is not.
    fn take_checkpoint(&mut self, segment: &Segment<'_>, table: &Table) -> io::Result<()> {
        for (id, said) in in_order(table) {
            if let Some(stream) = self.known.get(&id) {
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
        }
        Ok(())
    }

    fn update(&mut self, segment: &Segment<'_>, raw: &[u8]) -> io::Result<()> {
        let mut table = Table::default();
        if let Err(error) = checkpoint::amend(&mut table, raw) {
            return self.frame_fault(segment, error.into());
        }
        in_order(&table)
            .into_iter()
            .try_for_each(|(id, said)| self.adopt(id, said, segment.owner))
    }

    /// Goes on with a stream from where a checkpoint says it stands, if that is not behind where it is read already.
    fn adopt(&mut self, id: StreamId, said: &table::Stream, owner: OwnerId) -> io::Result<()> {
        let stream = self.meet(id, said.end, owner)?;
        stream.name(&said.producer);
        if stream.end > said.end {
            return Ok(());
        }
        let from = stream.end;
        let is_hole = from < said.end && !stream.may_jump;
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
        if is_hole { self.hole(id, from, said.end) } else { Ok(()) }
    }

    fn attach(&mut self, segment: &Segment<'_>, header: &FrameHeader, raw: &[u8]) -> io::Result<()> {
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
    fn carry_on(&mut self, segment: &Segment<'_>, header: &FrameHeader, raw: &[u8]) -> io::Result<()> {
        let id = header.stream;
        if !self.known.contains_key(&id) && !segment.damaged {
            self.frame_fault(segment, FrameFault::Unattached(id))?;
        }
        let stream = self.meet(id, header.start, segment.owner)?;
        if header.end <= stream.end {
            return Ok(());
        }
        let (end, state) = (stream.end, stream.state);
        if header.start > end {
            let is_hole = !stream.may_jump;
            stream.jump(header.start);
            if is_hole {
                self.hole(id, end, header.start)?;
            }
        }
        if state == StreamState::Ended {
            self.frame_fault(segment, FrameFault::AfterEnd(id))?;
        }
        if let Some(stream) = self.known.get_mut(&id) {
            stream.may_jump = false;
            stream.carried_by = segment.owner;
            if let Err(error) = carry_on(stream, header, raw, self.visitor)? {
                stream.jump(header.end);
                self.frame_fault(segment, error.into())?;
            }
        }
        self.reached(id);
        Ok(())
    }

    /// The stream, of which reading begins at `first` if it was not known.
    fn meet(&mut self, id: StreamId, first: u64, owner: OwnerId) -> io::Result<&mut Stream> {
        match self.known.entry(id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let info = StreamInfo {
                    number: self.met,
                    group: self.group.clone(),
                    id,
                    producer: "".into(),
                    first,
                };
                self.met += 1;
                self.visitor.met(&info)?;
                Ok(entry.insert(Stream::new(info, owner)))
            }
        }
    }

    fn reached(&mut self, id: StreamId) {
        if let Some(stream) = self.known.get(&id) {
            self.visitor
                .reached(&stream.info, stream.end, stream.state == StreamState::Ended);
        }
    }

    pub(super) fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.visitor.fault(fault)
    }

    /// Tells what is wrong with the frame that is taken.
    #[cold]
    pub(super) fn frame_fault(&mut self, segment: &Segment<'_>, reason: FrameFault) -> io::Result<()> {
        self.visitor.fault(&Fault::Frame {
            path: segment.path.to_owned(),
            offset: segment.offset,
            reason,
        })
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

/// Gives the stream what the frame has of it.
fn carry_on<V: Visitor>(
    stream: &mut Stream,
    header: &FrameHeader,
    raw: &[u8],
    visitor: &mut V,
) -> io::Result<Result<(), BodyError>> {
    match header.kind {
        Kind::Data => stream.data(header.start, raw, visitor).map(Ok),
        Kind::Gap => match Gap::decode(raw) {
            Ok(gap) => stream.gap(header.end, &gap, visitor).map(Ok),
            Err(error) => Ok(Err(error)),
        },
        _ => Ok(End::decode(raw).map(|end| stream.finish(header.end, &end, visitor))),
    }
}

/// The streams of a table, oldest first.
fn in_order(table: &Table) -> Vec<(StreamId, &table::Stream)> {
    let mut streams: Vec<_> = table.streams.iter().map(|(id, stream)| (*id, stream)).collect();
    streams.sort_by_key(|(id, stream)| (stream.created, *id));
    streams
}
