//! The producer's handle: what an application logs through.
//!
//! [`Writer::log`] encodes a record in place, in the ring, and publishes it by one store; when it returns, the record
//! survives this process. Everything else is off that path and marked cold: statements that the ring does not know yet are
//! defined in front of the record; a record too long to stand in one piece is assembled aside and goes as fragments;
//! debts ([`Debts`]) are paid before the next record.
//!
//! After a fork the child's writer is a stranger to the parent's ring. An unnamed one makes itself a new ring at its next
//! call; a named one fails, since two processes cannot both go on with one state.

use crate::claim::{Claim, Recovered};
use crate::clock::Clock;
use crate::cursor::{Carries, Cursor};
use crate::error::Error;
use crate::fork::{self, HeldFile};
use crate::group::Group;
use crate::header::Identity;
use crate::layout::PLAIN_HEADER;
use crate::limits::{STATE_MAX, unfragmented_max};
use crate::owner::OwnerWord;
use crate::payload::{Fields, Payload};
use crate::record::{ADOPTION_PAYLOAD, GAP_PAYLOAD, header_len};
use crate::simulation::{Process, point};
use crate::statement::{CallSite, RuntimeStatement, Statement};
use crate::transaction::{Batch, Transaction};
use std::cell::Cell;
use std::marker::PhantomData;
use uuid::Uuid;

mod place;

pub(crate) use place::Placed;

/// Writes one ring. Each thread has its own.
///
/// In an unreliable group a record for which there is no room is dropped: the call returns `Ok`, the loss is counted in
/// [`Writer::drops`], and the next record that finds room is preceded by a GAP with the totals.
#[derive(Debug)]
pub struct Writer {
    /// Dropped before the file: the mapping ends before the lock does.
    cursor: Cursor,
    /// Kept for its lock.
    _file: HeldFile,
    group: Group,
    identity: Identity,
    owner: OwnerWord,
    recovered: Option<Recovered>,
    /// The fork generation in which all of the above means something.
    generation: u64,
    /// The simulated process to which it means something, where processes are simulated.
    process: Process,
    /// The id of each statement in this ring, by the statement's number in this process; 0 while it has none.
    ids: Vec<u32>,
    next_id: u32,
    /// The lowest id that this process may have given out: what an ABORT declares.
    lowest_id: u32,
    /// What the definitions in this ring take together, since the last adoption.
    defined_bytes: usize,
    debts: Debts,
    /// Whether something may be pending: a transaction or batch is open or was leaked, or a long record failed halfway.
    open: bool,
    /// What may stand unfragmented, in bytes.
    bound: usize,
    /// The bytes of a transaction or record that is to go as fragments. While it is not empty, nothing is private in the
    /// ring.
    run: Vec<u8>,
    /// A writer is one thread's at a time.
    not_sync: PhantomData<Cell<()>>,
    /// If records are stamped.
    clock: Option<Clock>,
}

/// What must be written before the next record.
#[derive(Clone, Copy, Debug, Default)]
struct Debts {
    /// ABORT: an heir's first record, or the end of fragments that were given up.
    abort: bool,
    /// That ABORT is an heir's first record, and says when it took the ring over.
    adopted: bool,
    /// GAP: something was dropped.
    gap: bool,
}

impl Writer {
    pub(crate) fn new(group: Group, claim: Claim) -> Writer {
        let Claim {
            mut cursor,
            file,
            identity,
            owner,
            recovered,
        } = claim;
        let next_id = cursor.statement_highest().saturating_add(1);
        let debts = Debts {
            abort: recovered.is_some(),
            adopted: recovered.is_some(),
            gap: cursor.drops() != (0, 0),
        };
        // What can be paid at once is: a ring that is full when its heir comes shall not keep the heir from starting.
        let room = cursor.room_now().unwrap_or(0);
        let bound = unfragmented_max(identity.capacity);
        let clock = group.clock();
        let mut writer = Writer {
            cursor,
            _file: file,
            group,
            identity,
            owner,
            recovered,
            generation: fork::generation(),
            process: Process::present(),
            ids: Vec::new(),
            next_id,
            lowest_id: next_id,
            defined_bytes: 0,
            debts,
            open: false,
            bound,
            run: Vec::new(),
            not_sync: PhantomData,
            clock,
        };
        if debts.any() && room >= (2 * PLAIN_HEADER + ADOPTION_PAYLOAD + GAP_PAYLOAD) as u64 {
            // It found room just now, so it neither waits nor fails; if it did, the next record would pay.
            let _ = writer.pay(0);
        }
        writer
    }

    /// Logs one record, stamped with the time if the group wants that. When it returns, the record is committed.
    ///
    /// # Errors
    /// The record is too long, the ring is given up or in other hands, or waiting for room was stopped. Nothing of the
    /// record is committed then.
    #[inline]
    #[allow(clippy::needless_pass_by_value)] // A tuple of what is logged, made for this call.
    pub fn log<F: Fields>(&mut self, statement: &Statement<F>, fields: F) -> Result<(), Error> {
        // Not through log_at: to pass the tuple on would copy it, and reading it so soon after it was written stalls the processor.
        let time = self.time();
        self.log_any(time, statement, &fields)
    }

    /// As [`Self::log`], with a time of the caller's (ns since 1970) or none.
    ///
    /// # Errors
    /// As [`Self::log`].
    #[inline]
    #[allow(clippy::needless_pass_by_value)] // A tuple of what is logged, made for this call.
    pub fn log_at<F: Fields>(&mut self, time: Option<u64>, statement: &Statement<F>, fields: F) -> Result<(), Error> {
        self.log_any(time, statement, &fields)
    }

    /// As [`Self::log_at`], for a statement made at run time. The payload must be a value of the statement's type: nobody
    /// checks that here, and readers take a record whose payload is not for damage.
    ///
    /// # Errors
    /// As [`Self::log`].
    #[inline]
    pub fn log_payload_at<P: Payload + ?Sized>(
        &mut self,
        time: Option<u64>,
        statement: &RuntimeStatement,
        payload: &P,
    ) -> Result<(), Error> {
        self.log_any(time, statement, payload)
    }

    /// As [`Self::log_payload_at`], stamped with the time if the group wants that.
    ///
    /// # Errors
    /// As [`Self::log`].
    #[inline]
    pub fn log_payload<P: Payload + ?Sized>(&mut self, statement: &RuntimeStatement, payload: &P) -> Result<(), Error> {
        let time = self.time();
        self.log_any(time, statement, payload)
    }

    #[inline]
    fn log_any<P: Payload + ?Sized>(
        &mut self,
        time: Option<u64>,
        statement: &impl CallSite,
        payload: &P,
    ) -> Result<(), Error> {
        self.ready()?;
        match self.place(time, statement, payload)? {
            Placed::Ring => {
                self.cursor.publish(Carries::Records);
                Ok(())
            }
            placed => self.log_otherwise(placed, header_len(time.is_some()) + payload.encoded_len()),
        }
    }

    #[cold]
    fn log_otherwise(&mut self, placed: Placed, len: usize) -> Result<(), Error> {
        if placed == Placed::Dropped || !self.publish_run(None)? {
            self.count_drops(1, len as u64);
        }
        self.open = false;
        Ok(())
    }

    /// Begins a transaction: records that appear together or not at all.
    pub fn transaction(&mut self) -> Transaction<'_> {
        self.roll_back();
        self.open = true;
        Transaction::new(self)
    }

    /// Begins a batch: independent records published by one store, which costs less than one by one.
    pub fn batch(&mut self) -> Batch<'_> {
        self.roll_back();
        self.open = true;
        Batch::new(self)
    }

    /// Wakes the drainer. Records are committed without it; they reach the drainer at its next poll.
    pub fn commit(&mut self) {
        if !self.is_forked() {
            self.cursor.doorbell().ring_surely();
        }
    }

    /// Puts in the resume state that becomes valid with the next record, and stays until it is changed. At most 1024
    /// bytes. It makes a named ring one that the next run takes over.
    ///
    /// # Errors
    /// It is too long; after a fork, as [`Self::log`].
    pub fn set_state(&mut self, state: &[u8]) -> Result<(), Error> {
        check_state(state)?;
        self.ready()?;
        self.cursor.state().set(state);
        Ok(())
    }

    /// Publishes a resume state without a record of the application's, for a place that moved although nothing was logged. Whatever is
    /// owed to the stream (the GAP of what was dropped, too) goes before it. `false`: there is no room for that in an unreliable
    /// ring, and the state goes with the next record.
    ///
    /// # Errors
    /// As [`Self::set_state`] and [`Self::log`].
    pub fn commit_state(&mut self, state: &[u8]) -> Result<bool, Error> {
        self.set_state(state)?;
        self.publish_state()
    }

    /// How many bytes of records, headers and padding included, can be logged now without waiting for the reader or, if the ring is
    /// unreliable, without dropping.
    ///
    /// # Errors
    /// As [`Self::log`].
    pub fn room(&mut self) -> Result<u64, Error> {
        self.ready()?;
        self.cursor.room_now()
    }

    /// What the run before this one left, if this writer took its ring over.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.recovered.as_ref()
    }

    /// The position below which what was logged is known to be on the drainer's disk. 0 in a forked child.
    #[must_use]
    pub fn synced(&self) -> u64 {
        if self.is_forked() { 0 } else { self.cursor.synced() }
    }

    /// The end of what is published.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.cursor.tail()
    }

    /// The name of this ring's stream.
    #[must_use]
    pub fn ring_uuid(&self) -> Uuid {
        self.identity.uuid
    }

    /// What the ring says of itself.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes of data in the ring.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.identity.capacity
    }

    /// Whether the ring was taken over and has another size than the group asks for.
    #[must_use]
    pub fn adopted_size_differs(&self) -> bool {
        self.identity.capacity != self.group.options().ring_size
    }

    /// Cumulative totals of what was dropped in this ring, by earlier runs too: records and bytes. Zeros in a forked child.
    #[must_use]
    pub fn drops(&self) -> (u64, u64) {
        if self.is_forked() { (0, 0) } else { self.cursor.drops() }
    }

    /// Closes the ring: the owner becomes CLOSED. Dropping the writer does the same.
    pub fn close(self) {}

    /// Gives the ring up for good: nobody resumes it, and the drainer deletes it once it has taken what is in it.
    pub fn retire(self) {
        if !self.is_forked() {
            // If the swap fails somebody else retired it. The drop that follows finds another owner, and changes nothing.
            let _ = OwnerWord::swap(self.cursor.memory(), self.owner, OwnerWord::RETIRED);
            point();
        }
    }

    /// The time for a record that is logged now.
    #[inline]
    pub(crate) fn time(&mut self) -> Option<u64> {
        self.clock.as_mut().map(Clock::now)
    }

    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Makes sure that this process may write the ring, and that nothing is half done in it.
    #[inline]
    pub(crate) fn ready(&mut self) -> Result<(), Error> {
        if self.is_forked() || self.open || self.cursor.is_condemned() {
            self.make_ready()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn make_ready(&mut self) -> Result<(), Error> {
        if self.is_forked() {
            if self.identity.named {
                return Err(Error::ForkedNamed {
                    name: self.identity.name.clone(),
                });
            }
            // The former handles know by their generation that they must not touch anything when they are dropped.
            *self = self.group.clone().writer()?;
        }
        self.roll_back();
        self.cursor.check_condemned()
    }

    /// Makes sure that an open transaction or batch may go on. `begun`: it has records already.
    #[inline]
    pub(crate) fn ready_within(&mut self, begun: bool) -> Result<(), Error> {
        if self.is_forked() || self.cursor.is_condemned() {
            self.make_ready_within(begun)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn make_ready_within(&mut self, begun: bool) -> Result<(), Error> {
        if self.is_forked() {
            if begun {
                return Err(Error::ForkedTransaction);
            }
            self.make_ready()?;
            self.open = true;
        }
        self.cursor.check_condemned()
    }

    /// Forgets everything that is not published. Touches only memory of this process.
    pub(crate) fn roll_back(&mut self) {
        self.forget_pending();
        self.open = false;
    }

    /// As [`Self::roll_back`], for a batch that goes on.
    pub(crate) fn forget_pending(&mut self) {
        self.cursor.rollback();
        self.run.clear();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_forked() {
            return; // The ring is the parent's.
        }
        if self.process.is_killed() {
            return; // The dead close nothing.
        }
        point();
        // If the swap fails the ring was retired under us, and stays so.
        let _ = OwnerWord::swap(self.cursor.memory(), self.owner, OwnerWord::CLOSED);
        point();
        self.cursor.doorbell().announce_change();
    }
}

pub(crate) fn check_state(state: &[u8]) -> Result<(), Error> {
    if state.len() > STATE_MAX {
        Err(Error::StateTooLong { len: state.len() })
    } else {
        Ok(())
    }
}
