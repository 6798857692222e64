//! Placing records above the tail, and publishing what was placed.
//!
//! What is pending is either private in the ring or, once it is too long to stand there in one piece, in the writer's
//! run; never in both. Definitions, ABORT and GAP are not part of it: they are published at once, in front of what is
//! pending in the ring.

use super::{Debts, Writer};
use crate::cursor::Carries;
use crate::error::Error;
use crate::layout::{LAST, PLAIN_HEADER, TIME};
use crate::limits::{DEFINITIONS_MAX, RECORD_MAX, RUN_MAX, fragment_max};
use crate::mutant;
use crate::payload::{Output, Payload};
use crate::record::{self, ADOPTION_PAYLOAD, GAP_PAYLOAD, Kind, first_word, header_len, padded};
use crate::simulation::point;
use crate::statement::{CallSite, DefinitionError};

/// A run's buffer larger than this is given back after use, in bytes.
const RUN_KEPT: usize = 1 << 20;

/// Where a record was put; nothing is published yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// In the ring, above the tail.
    Ring,
    /// In the run that is to go as fragments.
    Run,
    /// Nowhere: there is no room in an unreliable ring. Not counted yet.
    Dropped,
}

impl Debts {
    #[inline]
    pub(super) fn any(self) -> bool {
        self.abort || self.gap
    }
}

impl Writer {
    /// Bytes of records placed and not published.
    #[inline]
    pub(crate) fn pending_len(&self) -> usize {
        if self.run.is_empty() {
            self.cursor.private_len()
        } else {
            self.run.len()
        }
    }

    /// Whether a record of this payload can be placed in the ring beside those pending.
    #[inline]
    pub(crate) fn fits<P: Payload + ?Sized>(&self, time: Option<u64>, payload: &P) -> bool {
        let payload = payload.encoded_len();
        let header = header_len(time.is_some());
        // The first comparison keeps the sum from overflowing.
        payload <= self.bound
            && self.cursor.private_len() + padded(header + payload) <= self.bound
            && self.run.is_empty()
    }

    /// Puts a record behind those pending, in the ring or, if they become too long together, in the run.
    #[inline]
    pub(crate) fn place<P: Payload + ?Sized>(
        &mut self,
        time: Option<u64>,
        statement: &impl CallSite,
        payload: &P,
    ) -> Result<Placed, Error> {
        if self.fits(time, payload) {
            self.place_in_ring(time, statement, payload)
        } else {
            self.place_in_run(time, statement, payload)
        }
    }

    /// Puts a record behind those pending in the ring, where it was found to fit.
    #[inline]
    pub(crate) fn place_in_ring<P: Payload + ?Sized>(
        &mut self,
        time: Option<u64>,
        statement: &impl CallSite,
        payload: &P,
    ) -> Result<Placed, Error> {
        let len = header_len(time.is_some()) + payload.encoded_len();
        let padded_len = padded(len);
        if self.debts.any() && !self.pay(padded_len)? {
            return Ok(Placed::Dropped);
        }
        let Some(id) = self.id_of(statement)? else {
            return Ok(Placed::Dropped);
        };
        if !self.cursor.room(padded_len)? {
            return Ok(Placed::Dropped);
        }
        if mutant::on("publish-before-write") {
            self.cursor.publish_ahead(padded_len);
        }
        write_record(self.cursor.next(padded_len), len, time, id, payload)?;
        self.cursor.keep(padded_len);
        Ok(Placed::Ring)
    }

    #[cold]
    pub(crate) fn place_in_run<P: Payload + ?Sized>(
        &mut self,
        time: Option<u64>,
        statement: &impl CallSite,
        payload: &P,
    ) -> Result<Placed, Error> {
        let payload_len = payload.encoded_len();
        if payload_len > RECORD_MAX {
            return Err(Error::TooLong {
                len: payload_len,
                max: RECORD_MAX,
            });
        }
        let len = header_len(time.is_some()) + payload_len;
        let begin = self.pending_len();
        let end = begin + padded(len);
        if end > RUN_MAX {
            return Err(Error::TooLong { len: end, max: RUN_MAX });
        }
        if self.debts.any() && !self.pay(0)? {
            return Ok(Placed::Dropped);
        }
        let Some(id) = self.id_of(statement)? else {
            return Ok(Placed::Dropped);
        };
        // If `encode` fails or panics, a single record's run is left behind; the next call then finds it and clears it.
        self.open = true;
        if self.run.is_empty() {
            self.run.extend_from_slice(self.cursor.private());
            self.cursor.rollback();
        }
        self.run.resize(end, 0);
        let written = write_record(&mut self.run[begin..], len, time, id, payload);
        if written.is_err() {
            self.run.truncate(begin);
        }
        written.map(|()| Placed::Run)
    }

    /// Says of the pending record at `offset` that another of its transaction follows.
    pub(crate) fn mark_more(&mut self, offset: usize) {
        let pending = if self.run.is_empty() {
            self.cursor.private()
        } else {
            &mut self.run[..]
        };
        point();
        // MORE is a bit of the header's first word, whose highest byte is the fourth.
        pending[offset + 3] |= record::MORE_IN_BYTE_3;
    }

    /// Publishes what is pending, together with `state` if there is one. `false`: it went nowhere, for lack of room in an
    /// unreliable ring, and is not counted yet.
    pub(crate) fn publish_pending(&mut self, state: Option<&[u8]>) -> Result<bool, Error> {
        if self.is_forked() {
            return Err(Error::ForkedTransaction);
        }
        self.cursor.check_condemned()?;
        if !self.run.is_empty() {
            return self.publish_run(state);
        }
        if let Some(state) = state {
            self.cursor.state().set(state);
        }
        if self.cursor.private_len() > 0 {
            self.cursor.publish(Carries::Records);
        }
        Ok(true)
    }

    /// Publishes the run as fragments. The state goes with the last, since nothing counts before it.
    pub(super) fn publish_run(&mut self, state: Option<&[u8]>) -> Result<bool, Error> {
        let mut run = std::mem::take(&mut self.run);
        let published = self.publish_fragments(&run, state);
        if run.capacity() <= RUN_KEPT {
            run.clear();
            self.run = run;
        }
        published
    }

    fn publish_fragments(&mut self, run: &[u8], state: Option<&[u8]>) -> Result<bool, Error> {
        let piece_max = fragment_max(self.identity.capacity) - PLAIN_HEADER;
        let count = run.len().div_ceil(piece_max);
        let needed = run.len() + count * PLAIN_HEADER;
        // An unreliable ring takes a run whole or not at all; so one longer than the ring is never taken.
        if self.cursor.is_unreliable() && self.cursor.room_now()? < needed as u64 {
            return Ok(false);
        }
        for (number, piece) in (0_u32..).zip(run.chunks(piece_max)) {
            let len = PLAIN_HEADER + piece.len();
            if let Err(error) = self.cursor.room(len) {
                // The fragments before this one are published: something must void them before another record.
                self.debts.abort = number > 0;
                return Err(error);
            }
            let is_last = number as usize + 1 == count;
            let flags = if is_last { LAST } else { 0 };
            let place = self.cursor.next(len);
            place[..PLAIN_HEADER].copy_from_slice(&plain_header(Kind::Fragment, len, flags, number));
            point();
            place[PLAIN_HEADER..].copy_from_slice(piece);
            self.cursor.keep(len);
            if let Some(state) = state.filter(|_| is_last) {
                self.cursor.state().set(state);
            }
            self.cursor.publish(if is_last {
                Carries::Records
            } else {
                Carries::Housekeeping
            });
        }
        Ok(true)
    }

    /// Counts what went nowhere; the next record that finds room comes after a GAP.
    pub(crate) fn count_drops(&mut self, records: u64, bytes: u64) {
        self.cursor.add_drops(records, bytes);
        self.debts.gap = true;
    }

    /// Writes what is owed, if there is room for it and for `upcoming` bytes more. In the middle of a transaction or batch
    /// it waits for the end: ABORT cannot be owed there, and a GAP's totals do not depend on its place.
    #[cold]
    pub(super) fn pay(&mut self, upcoming: usize) -> Result<bool, Error> {
        if self.pending_len() > 0 {
            return Ok(true);
        }
        if self.debts.abort {
            let adopted = if self.debts.adopted {
                self.recovered.as_ref().map(|recovered| recovered.adopted)
            } else {
                None
            };
            let len = PLAIN_HEADER + if adopted.is_some() { ADOPTION_PAYLOAD } else { 0 };
            if !self.cursor.room(len)? {
                return Ok(false);
            }
            let mut abort = plain_header(Kind::Abort, len, 0, self.lowest_id).to_vec();
            abort.extend(adopted.into_iter().flat_map(u64::to_le_bytes));
            self.cursor.publish_before(&abort);
            self.debts.abort = false;
            self.debts.adopted = false;
        }
        if self.debts.gap {
            let len = PLAIN_HEADER + GAP_PAYLOAD;
            if !self.cursor.room(len + upcoming)? {
                return Ok(false);
            }
            let (records, bytes) = self.cursor.drops();
            let mut gap = plain_header(Kind::Gap, len, 0, 0).to_vec();
            gap.extend_from_slice(&records.to_le_bytes());
            gap.extend_from_slice(&bytes.to_le_bytes());
            self.cursor.publish_before(&gap);
            self.debts.gap = false;
        }
        Ok(true)
    }

    /// Publishes the state that was set last, by an ABORT: where no fragments are open it voids nothing. See [`Writer::commit_state`].
    pub(super) fn publish_state(&mut self) -> Result<bool, Error> {
        if self.debts.any() && !self.pay(PLAIN_HEADER)? {
            return Ok(false);
        }
        if !self.cursor.room(PLAIN_HEADER)? {
            return Ok(false);
        }
        let abort = plain_header(Kind::Abort, PLAIN_HEADER, 0, self.lowest_id);
        point();
        self.cursor.next(PLAIN_HEADER).copy_from_slice(&abort);
        self.cursor.keep(PLAIN_HEADER);
        self.cursor.publish(Carries::Records);
        Ok(true)
    }

    /// The statement's id in this ring. `None`: it has none yet, and there is no room to define it.
    #[inline]
    fn id_of(&mut self, statement: &impl CallSite) -> Result<Option<u32>, Error> {
        let number = statement.index();
        match self.ids.get(number) {
            Some(&id) if id != 0 => Ok(Some(id)),
            _ => self.define(number, &|id| statement.definition(id)),
        }
    }

    /// Publishes a statement's definition at once, in front of whatever is pending: it stays when that is rolled back.
    #[cold]
    fn define(
        &mut self,
        number: usize,
        definition: &dyn Fn(u32) -> Result<Vec<u8>, DefinitionError>,
    ) -> Result<Option<u32>, Error> {
        let id = self.next_id;
        if id == u32::MAX {
            return Err(Error::NoStatementIds);
        }
        let definition = definition(id)?;
        let len = PLAIN_HEADER + definition.len();
        if self.defined_bytes + definition.len() + 4 > DEFINITIONS_MAX {
            return Err(Error::NoStatementIds);
        }
        if padded(len) > self.bound {
            return Err(Error::TooLong {
                len: definition.len(),
                max: self.bound - PLAIN_HEADER,
            });
        }
        if !self.cursor.room(padded(len))? {
            return Ok(None);
        }
        let mut record = plain_header(Kind::Stmt, len, 0, id).to_vec();
        record.extend_from_slice(&definition);
        record.resize(padded(len), 0);
        // Before the tail that publishes it: no heir may give this id to another statement.
        self.cursor.set_statement_highest(id);
        self.cursor.publish_before(&record);
        self.next_id = id + 1;
        self.defined_bytes += definition.len() + 4;
        if self.ids.len() <= number {
            self.ids.resize(number + 1, 0);
        }
        self.ids[number] = id;
        Ok(Some(id))
    }
}

/// A record's header without a time.
#[inline]
fn plain_header(kind: Kind, len: usize, flags: u32, statement: u32) -> [u8; PLAIN_HEADER] {
    (u64::from(statement) << 32 | u64::from(first_word(kind, len, flags))).to_le_bytes()
}

/// Fills `out`, as long as the record with its padding, with a record of `len` bytes.
#[inline]
fn write_record<P: Payload + ?Sized>(
    out: &mut [u8],
    len: usize,
    time: Option<u64>,
    id: u32,
    payload: &P,
) -> Result<(), Error> {
    let header = header_len(time.is_some());
    // The padding, first: what is not padding in the last eight bytes is overwritten.
    point();
    if let Some(last) = out.last_chunk_mut::<8>() {
        *last = [0; 8];
    }
    point();
    let flags = if time.is_some() { TIME } else { 0 };
    out[..PLAIN_HEADER].copy_from_slice(&plain_header(Kind::Record, len, flags, id));
    if let Some(time) = time {
        point();
        out[PLAIN_HEADER..header].copy_from_slice(&time.to_le_bytes());
    }
    point();
    let mut place = Output::new(&mut out[header..len]);
    payload.encode(&mut place);
    point();
    let (written, announced) = (place.written(), len - header);
    if written == announced {
        Ok(())
    } else {
        Err(Error::WrongLength { announced, written })
    }
}
