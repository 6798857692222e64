//! One stream on its way to an original receiver: its records, as frames of the spool go by, become segments of whole
//! transactions.
//!
//! What may be read again after a kill decides where a segment ends: it is never cut within a transaction of which it has records, nor behind the
//! first fragment of a record that is not whole. Everything before the cut is in the segment, or was passed over for good; what is
//! behind it can be had from the spool by reading on from there. So the bytes of a segment follow from its range and the spool alone, and
//! a range that was sent before is made again, byte by byte the same.
//!
//! Fragments, GAP and ABORT mean what they mean to readers of an archive. A record that the original cannot take is left out: whose type it
//! does not know, whose statement nobody defined, or whose payload is not a value of its type, behind which the original would read on out of step.

use super::announce::Announced;
use crate::formats::frame::FrameHeader;
use crate::formats::value;
use crate::ids::StreamId;
use crate::limits::{BATCH_BYTES_MAX, FRAME_BODY_MAX};
use crate::modes::archive_reader::fragments::Run;
use bytes::BufMut;
use hog_ring::limits::{DEFINITION_MAX, RUN_MAX};
use hog_ring::record::{Header, Kind, Walk};
use hog_ring::statement::Definition;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// No range that was sent is longer: a batch, the frame that completed it, and a run of fragments. What a note claims beyond that is not believed.
const RANGE_MAX: u64 = 4 * (BATCH_BYTES_MAX + FRAME_BODY_MAX as u64 + RUN_MAX as u64);

/// What is sent at once: a range of a stream, as transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The stream.
    pub(super) stream: StreamId,
    /// Where its range begins.
    pub(super) start: u64,
    /// Where its range ends.
    pub(super) end: u64,
    /// `u64 n · n bytes` of each transaction. Nothing is to be sent if it is empty.
    pub(super) raw: Vec<u8>,
    /// The init of a connection that can take it.
    pub(super) init: Arc<[u8]>,
    /// The stream ends here.
    pub(super) is_last: bool,
}

/// Why records are not sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Omission {
    /// Their statement cannot be had by an original.
    Refused {
        /// The statement's id.
        id: u32,
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
    /// Nothing defines their statement.
    Undefined {
        /// The statement's id.
        id: u32,
    },
    /// They are not values of their statement's type.
    NoValue {
        /// The statement's id.
        id: u32,
    },
    /// What stands there is no record, or none that may stand there.
    Unreadable,
}

impl Omission {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Refused { id, name, why } => {
                format!("an original receiver cannot take records of statement {id}, {name:?}: {why}")
            }
            Self::Undefined { id } => format!("nothing defines statement {id}, so its records cannot be sent"),
            Self::NoValue { id } => format!("records of statement {id} are not values of its type, and are not sent"),
            Self::Unreadable => "damaged records are not sent".to_owned(),
        }
    }
}

/// One stream.
pub(super) struct Lane {
    stream: StreamId,
    /// A segment with so many bytes is finished.
    batch_bytes: usize,
    /// Everything below was read.
    taken: u64,
    /// Everything below is in the segment, or nothing is to be sent of it.
    cut: u64,
    /// Where the segment begins.
    start: u64,
    /// Where the segment is to end, because it was sent before.
    until: Option<u64>,
    announced: Announced,
    /// Statements that an original cannot take: their names, and why.
    refused: HashMap<u32, (String, String)>,
    /// The init, until something is defined.
    init: Option<Arc<[u8]>>,
    run: Run,
    /// The transaction that is being put together.
    transaction: Vec<u8>,
    raw: Vec<u8>,
    /// Finished segments.
    sealed: Vec<Segment>,
    has_ended: bool,
    /// Positions are missing, and definitions with them, perhaps.
    is_interrupted: bool,
    /// What was left out since it was last asked for, and how many records each time.
    omitted: BTreeMap<Omission, u64>,
}

impl Lane {
    /// The stream, from `start` on, where `definitions` hold, in segments of about `batch_bytes`. What was on its way ended at `until`.
    pub(super) fn new<'d>(
        stream: StreamId,
        batch_bytes: usize,
        start: u64,
        until: Option<u64>,
        definitions: impl Iterator<Item = (u32, &'d [u8])>,
    ) -> Self {
        let mut lane = Self {
            stream,
            batch_bytes: batch_bytes.max(1),
            taken: start,
            cut: start,
            start,
            until: until.filter(|until| until.saturating_sub(start) <= RANGE_MAX),
            announced: Announced::default(),
            refused: HashMap::new(),
            init: None,
            run: Run::new(false),
            transaction: Vec::new(),
            raw: Vec::new(),
            sealed: Vec::new(),
            has_ended: false,
            is_interrupted: false,
            omitted: BTreeMap::new(),
        };
        lane.learn(definitions);
        lane
    }

    /// Everything below was read.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes that wait to be sent.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is anything to be sent or answered for.
    fn is_waiting(&self) -> bool {
        self.cut > self.start
    }

    /// Whether it waits for the rest of what was on its way before.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.until.is_some()
    }

    /// What is finished.
    pub(super) fn take_sealed(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.sealed)
    }

    /// What was left out since this was asked for last.
    pub(super) fn take_omitted(&mut self) -> BTreeMap<Omission, u64> {
        std::mem::take(&mut self.omitted)
    }

    /// Whether positions are missing before what comes next.
    pub(super) fn was_interrupted(&self) -> bool {
        self.is_interrupted
    }

    /// Learns what the spool knows of statements where the next frame begins.
    pub(super) fn learn<'d>(&mut self, definitions: impl Iterator<Item = (u32, &'d [u8])>) {
        self.is_interrupted = false;
        for (id, encoded) in definitions {
            self.define(id, encoded);
        }
    }

    /// Takes the records of a frame from where reading stands.
    pub(super) fn data(&mut self, frame: &FrameHeader, raw: &[u8]) {
        let from = self.taken;
        self.transaction.clear();
        for item in Walk::new(raw) {
            let Ok((offset, header, payload)) = item else {
                self.run.skip();
                self.omit(Omission::Unreadable, 1);
                break;
            };
            let position = frame.start + offset as u64;
            match header.kind {
                // Definitions hold from the frame's beginning on, wherever reading begins in it.
                Kind::Stmt if position < from => self.define(header.statement, payload),
                Kind::Abort if position < from => self.forget_below(header.statement),
                _ if position < from => {}
                _ => {
                    self.stop_at(position);
                    self.record(position, &header, payload);
                    if self.raw.len() >= self.batch_bytes && self.transaction.is_empty() {
                        self.cut_here(position + header.padded_len() as u64);
                        self.seal(false);
                    }
                }
            }
        }
        if !self.transaction.is_empty() {
            self.omit(Omission::Unreadable, 1); // DATA ends with a transaction, or is damaged
            self.transaction.clear();
        }
        self.pass(frame.start + raw.len() as u64);
    }

    /// Positions up to `end` are missing.
    pub(super) fn skip(&mut self, end: u64) {
        self.run.skip();
        self.is_interrupted = true;
        self.pass(end);
    }

    /// END, which stands up to `end`.
    pub(super) fn finish(&mut self, end: u64) {
        self.run.void();
        self.pass(end);
        self.has_ended = true;
    }

    /// Has what waits be a segment. What was on its way before is not cut short unless nothing more of it can be had (`whatever`).
    pub(super) fn seal(&mut self, whatever: bool) {
        if !self.is_waiting() || (self.until.is_some() && !whatever) {
            return;
        }
        self.until = None;
        let init = self.init();
        self.sealed.push(Segment {
            stream: self.stream,
            start: self.start,
            end: self.cut,
            raw: std::mem::take(&mut self.raw),
            init,
            is_last: self.has_ended,
        });
        self.start = self.cut;
    }

    fn init(&mut self) -> Arc<[u8]> {
        if let Some(init) = &self.init {
            return Arc::clone(init);
        }
        // What may be announced is bounded as it is added, so there is always an init.
        let init: Arc<[u8]> = self.announced.init().unwrap_or_default().into();
        self.init = Some(Arc::clone(&init));
        init
    }

    /// All below `end` was read.
    fn pass(&mut self, end: u64) {
        self.taken = self.taken.max(end);
        self.cut = self.run.open_from().unwrap_or(end).max(self.cut);
        self.stop_at(self.cut);
    }

    /// Seals what was on its way before, if it ended at `position`.
    fn stop_at(&mut self, position: u64) {
        if self.until.is_some_and(|until| until <= position) {
            self.cut_here(position);
            self.seal(true);
        }
    }

    /// Whatever is before `position` is whole, except for fragments.
    fn cut_here(&mut self, position: u64) {
        self.cut = self.run.open_from().unwrap_or(position).max(self.cut);
    }

    fn record(&mut self, position: u64, header: &Header, payload: &[u8]) {
        match header.kind {
            Kind::Record => {
                self.run.void();
                let mut transaction = std::mem::take(&mut self.transaction);
                self.add(&mut transaction, header.statement, payload);
                self.transaction = transaction;
                self.end_unless(header.more);
            }
            Kind::Stmt => {
                self.run.void();
                self.define(header.statement, payload);
                self.end_unless(header.more);
            }
            Kind::Gap => {
                self.run.void();
            }
            Kind::Abort => {
                self.run.void();
                if self.announced.has_below(header.statement) {
                    // What is before was logged with statements that may not be announced beside their heirs.
                    self.cut_here(position);
                    self.seal(true);
                }
                self.forget_below(header.statement);
            }
            Kind::Fragment => self.fragment(position, header, payload),
        }
    }

    fn fragment(&mut self, position: u64, header: &Header, payload: &[u8]) {
        match self.run.add(position, header.statement, header.last, payload) {
            Ok(None) => {}
            Ok(Some(whole)) => {
                let mut transaction = Vec::new();
                for item in Walk::new(&whole.bytes) {
                    match item {
                        Ok((_, header, payload)) if header.kind == Kind::Record => {
                            self.add(&mut transaction, header.statement, payload);
                        }
                        Ok((_, header, payload)) if header.kind == Kind::Stmt => self.define(header.statement, payload),
                        _ => {
                            self.omit(Omission::Unreadable, 1);
                            break;
                        }
                    }
                }
                self.run.reuse(whole.bytes);
                self.transaction = transaction;
                self.end_unless(false);
            }
            Err(_) => self.omit(Omission::Unreadable, 1),
        }
    }

    /// Adds a record to a transaction, if the original can take it.
    fn add(&mut self, transaction: &mut Vec<u8>, id: u32, payload: &[u8]) {
        let omission = match self.announced.get(id) {
            Some(definition) if value::is_value(&definition.payload_type, payload) => {
                transaction.put_u32_le(id);
                transaction.extend_from_slice(payload);
                return;
            }
            Some(_) => Omission::NoValue { id },
            None => match self.refused.get(&id) {
                Some((name, why)) => Omission::Refused {
                    id,
                    name: name.clone(),
                    why: why.clone(),
                },
                None => Omission::Undefined { id },
            },
        };
        self.omit(omission, 1);
    }

    fn end_unless(&mut self, more: bool) {
        if more || self.transaction.is_empty() {
            return;
        }
        self.raw.put_u64_le(self.transaction.len() as u64);
        self.raw.append(&mut self.transaction);
    }

    fn define(&mut self, id: u32, encoded: &[u8]) {
        let sound = encoded.len() <= DEFINITION_MAX;
        let Some(definition) = Definition::decode(encoded).ok().filter(|found| sound && found.id == id) else {
            return; // its records are those of a statement that nobody defined
        };
        if self.announced.get(id) == Some(&definition) {
            return;
        }
        self.init = None;
        self.refused.remove(&id);
        if let Err(why) = self.announced.add(&definition) {
            self.refused.insert(id, (definition.name, why));
        }
    }

    fn forget_below(&mut self, floor: u32) {
        if self.announced.has_below(floor) {
            self.announced.forget_below(floor);
            self.init = None;
        }
        self.refused.retain(|id, _| *id >= floor);
    }

    fn omit(&mut self, omission: Omission, records: u64) {
        *self.omitted.entry(omission).or_default() += records;
    }
}

#[cfg(test)]
mod tests;
