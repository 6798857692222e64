//! One stream, as its frames go by: how far it is read, what its statements mean, the run of fragments that is open.

use crate::formats::body::{End, Gap};
use crate::formats::frame::FrameHeader;
use crate::formats::table::StreamState;
use crate::ids::OwnerId;
use crate::modes::archive_reader::fragments::{Run, WholeRun};
use crate::modes::archive_reader::statements::Statements;
use crate::modes::archive_reader::{Fault, Record, RecordFault, StreamInfo, Visitor};
use hog_ring::record::{self, BadRecord, Header, Kind, Walk};
use std::io;
use std::sync::Arc;

/// A stream and where reading it stands.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) info: StreamInfo,
    /// Everything below was given to the visitor, or is missing and was said to be.
    pub(super) end: u64,
    /// What is below was given by an earlier reading, and is not given again.
    given: u64,
    pub(super) state: StreamState,
    /// The owner of the log that carried it to `end`.
    pub(super) carried_by: OwnerId,
    /// It was attached again after its end: the next frame may begin anywhere.
    pub(super) may_jump: bool,
    pub(super) statements: Statements,
    run: Run,
    /// Position of the first record of the transaction that is open, if there was one in it yet.
    transaction: Option<u64>,
    /// When the frame that is taken was drained, nanoseconds since 1970, or 0.
    drained: u64,
}

impl Stream {
    /// A stream of which reading begins at `info.first`, and of which an earlier reading gave all below `given`.
    pub(super) fn new(info: StreamInfo, given: u64, carried_by: OwnerId) -> Self {
        Self {
            end: info.first,
            given,
            state: StreamState::Open,
            carried_by,
            may_jump: false,
            statements: Statements::default(),
            run: Run::new(info.first == 0),
            transaction: None,
            drained: 0,
            info,
        }
    }

    /// Learns the producer's name, if it was not told before.
    pub(super) fn name(&mut self, producer: &Arc<str>) {
        if self.info.producer.is_empty() {
            self.info.producer = producer.clone();
        }
    }

    /// Below it all was given: the end, or the beginning of the run that is open.
    pub(super) fn settled(&self) -> u64 {
        self.run.open_from().unwrap_or(self.end)
    }

    /// Whether a run is open, of which the rest is still to come.
    pub(super) fn has_open_run(&self) -> bool {
        self.run.open_from().is_some()
    }

    /// Goes on at `position`; what is before it is not there.
    pub(super) fn jump(&mut self, position: u64) {
        self.end = position;
        self.may_jump = false;
        self.run.skip();
    }

    /// Takes the records in `raw`, the body of a frame with `frame` as its header, from the stream's end on.
    pub(super) fn data<V: Visitor>(&mut self, frame: &FrameHeader, raw: &[u8], visitor: &mut V) -> io::Result<()> {
        let (from, start) = (self.end, frame.start);
        self.drained = frame.time;
        self.transaction = None;
        let mut position = start;
        let mut more = false;
        for item in Walk::new(raw) {
            let (offset, header, payload) = match item {
                Ok(item) => item,
                Err(bad) => {
                    self.run.skip();
                    self.fault(position, bad.into(), visitor)?;
                    more = false;
                    break;
                }
            };
            if more && !matches!(header.kind, Kind::Record | Kind::Stmt) {
                self.fault(
                    position,
                    BadRecord::WithinTransaction { kind: header.kind }.into(),
                    visitor,
                )?;
            }
            more = header.more;
            if start + offset as u64 >= from {
                self.record(position, &header, payload, visitor)?;
            }
            position += header.padded_len() as u64;
        }
        if more {
            self.fault(position, BadRecord::Unfinished.into(), visitor)?;
        }
        self.end = start + raw.len() as u64;
        Ok(())
    }

    /// Takes a GAP up to `end`.
    pub(super) fn gap<V: Visitor>(&mut self, end: u64, gap: &Gap, visitor: &mut V) -> io::Result<()> {
        let missing = self.end..end;
        self.jump(end);
        if missing.end <= self.given {
            return Ok(());
        }
        visitor.gap(&self.info, missing, gap)
    }

    /// Takes END, which stands up to `position`.
    pub(super) fn finish<V: Visitor>(&mut self, position: u64, end: &End, visitor: &mut V) -> io::Result<()> {
        self.run.void();
        self.end = position;
        self.state = StreamState::Ended;
        if position <= self.given {
            return Ok(());
        }
        visitor.ended(&self.info, end)
    }

    #[inline]
    fn record<V: Visitor>(
        &mut self,
        position: u64,
        header: &Header,
        payload: &[u8],
        visitor: &mut V,
    ) -> io::Result<()> {
        match header.kind {
            Kind::Fragment => return self.fragment(position, header, payload, visitor),
            Kind::Record | Kind::Stmt => {
                if self.run.void() {
                    self.fault(position, RecordFault::WithinRun(header.kind), visitor)?;
                }
                self.log(position, header, payload, visitor)?;
            }
            Kind::Gap => {
                self.run.void();
                if position >= self.given
                    && let Some((records, bytes)) = record::gap_totals(payload)
                {
                    visitor.dropped(&self.info, records, bytes)?;
                }
            }
            Kind::Abort => {
                self.run.void();
                self.statements.forget_below(header.statement);
            }
        }
        Ok(())
    }

    /// Takes a record or a definition, whether or not it came in fragments.
    #[inline]
    fn log<V: Visitor>(&mut self, position: u64, header: &Header, payload: &[u8], visitor: &mut V) -> io::Result<()> {
        let id = header.statement;
        let earlier = self.transaction;
        if !header.more {
            self.transaction = None;
        }
        if header.kind == Kind::Record {
            let transaction = earlier.or(header.more.then_some(position));
            if header.more {
                self.transaction = transaction;
            }
            if position < self.given {
                return Ok(());
            }
            return match self.statements.get(id) {
                Some(definition) => visitor.record(
                    &self.info,
                    &Record {
                        position,
                        transaction,
                        time: header.time,
                        drained: self.drained,
                        definition,
                        payload,
                    },
                ),
                None => visitor.undefined(&self.info, position, id),
            };
        }
        match self.statements.define(id, payload) {
            Ok(()) => Ok(()),
            Err(reason) => self.fault(position, reason, visitor),
        }
    }

    fn fragment<V: Visitor>(
        &mut self,
        position: u64,
        header: &Header,
        payload: &[u8],
        visitor: &mut V,
    ) -> io::Result<()> {
        match self.run.add(position, header.statement, header.last, payload) {
            Ok(None) => Ok(()),
            Ok(Some(whole)) => {
                let taken = self.whole_run(&whole, visitor);
                self.run.reuse(whole.bytes);
                taken
            }
            Err(reason) => self.fault(position, reason, visitor),
        }
    }

    /// Takes the records of a run. Their positions are counted from the run's first on: they stay within the run,
    /// because its fragments have headers besides.
    fn whole_run<V: Visitor>(&mut self, whole: &WholeRun, visitor: &mut V) -> io::Result<()> {
        let mut more = false;
        self.transaction = None;
        for item in Walk::new(&whole.bytes) {
            let (offset, header, payload) = match item {
                Ok(item) => item,
                Err(bad) => return self.fault(whole.first, bad.into(), visitor),
            };
            let position = whole.first + offset as u64;
            if !matches!(header.kind, Kind::Record | Kind::Stmt) {
                return self.fault(position, RecordFault::Fragmented(header.kind), visitor);
            }
            more = header.more;
            self.log(position, &header, payload, visitor)?;
        }
        if more {
            return self.fault(whole.first, BadRecord::Unfinished.into(), visitor);
        }
        Ok(())
    }

    #[cold]
    fn fault<V: Visitor>(&self, position: u64, reason: RecordFault, visitor: &mut V) -> io::Result<()> {
        let StreamInfo { group, id, .. } = &self.info;
        visitor.fault(&Fault::Record {
            group: group.clone(),
            stream: *id,
            position,
            reason,
        })
    }
}
