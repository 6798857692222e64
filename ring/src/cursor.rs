//! A producer's place in its ring: the private write position, room, and publication.
//!
//! `tail <= position <= limit`. Below `tail` everything is published and never touched again. From `tail` to `position` lie
//! whole records that nobody can see yet; rolling back means forgetting them. Up to `limit`, the last head that was seen
//! plus the capacity, bytes may be written without asking the reader again.
//!
//! The order in which position P is published is what makes a kill between any two instructions a clean cut: the
//! records, the copy of the resume state, then `tail = P`. Statement ids and drop totals are stored before that too.

use crate::doorbell::Doorbell;
use crate::error::Error;
use crate::layout::{CONDEMNED, DROPPED_BYTES, DROPPED_RECORDS, HEAD, SPACE, STATEMENT_HIGHEST, SYNCED, TAIL, WAITING};
use crate::limits::{DOORBELL_STRIDE_SHIFT, WAIT_MS};
use crate::order::{self, ORDERS};
use crate::shm::RingMemory;
use crate::simulation::{self, Wait, point};
use crate::{mutant, state, sys};
use crossbeam::utils::Backoff;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};
use std::time::Duration;

/// What a publication carries, which decides about the resume state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Records of the application, or the last fragment of them: the state that was set last becomes valid with them.
    Records,
    /// Anything else: the former state is repeated.
    Housekeeping,
}

/// What a producer does when its ring is full.
#[derive(Clone, Debug)]
pub(crate) struct WhenFull {
    /// Whether it drops and counts, instead of waiting.
    pub(crate) unreliable: bool,
    /// Raised by someone who wants the waiting to end.
    pub(crate) stop: Option<Arc<AtomicBool>>,
    /// Raised by each look for room while it waits.
    pub(crate) waits: Option<Arc<AtomicU64>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cursor {
    memory: RingMemory,
    doorbell: Arc<Doorbell>,
    path: PathBuf,
    when_full: WhenFull,
    /// `None` until a state is set: then publications write no copies.
    state: Option<state::Memory>,
    position: u64,
    tail: u64,
    /// The greatest head seen.
    head: u64,
    limit: u64,
}

impl Cursor {
    /// Goes on at the published tail of a ring that the caller owns, whose tail and head were found sound.
    pub(crate) fn new(
        memory: RingMemory,
        doorbell: Arc<Doorbell>,
        path: PathBuf,
        when_full: WhenFull,
        state: Option<state::Memory>,
    ) -> Cursor {
        let tail = memory.word64(TAIL).load(Ordering::Acquire);
        let head = memory.word64(HEAD).load(Ordering::Acquire);
        let limit = head + memory.capacity();
        Cursor {
            memory,
            doorbell,
            path,
            when_full,
            state,
            position: tail,
            tail,
            head,
            limit,
        }
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    pub(crate) fn synced(&self) -> u64 {
        // Acquire: pairs with the reader's Release; nothing else is read by it, but positions should not run backwards.
        self.memory.word64(SYNCED).load(Ordering::Acquire)
    }

    pub(crate) fn memory(&self) -> &RingMemory {
        &self.memory
    }

    pub(crate) fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    pub(crate) fn state(&mut self) -> &mut state::Memory {
        self.state.get_or_insert_default()
    }

    pub(crate) fn is_unreliable(&self) -> bool {
        self.when_full.unreliable
    }

    /// Bytes written and not published.
    #[inline]
    pub(crate) fn private_len(&self) -> usize {
        crate::limits::index(self.position - self.tail)
    }

    /// The bytes written and not published.
    pub(crate) fn private(&mut self) -> &mut [u8] {
        let (tail, len) = (self.tail, self.private_len());
        self.memory.span(tail, len)
    }

    /// Forgets what is written and not published.
    pub(crate) fn rollback(&mut self) {
        self.position = self.tail;
    }

    #[inline]
    pub(crate) fn is_condemned(&self) -> bool {
        // Relaxed: a mark to be seen sooner or later; nothing is read by it.
        self.memory.word32(CONDEMNED).load(Ordering::Relaxed) != 0
    }

    /// The error for a ring that the reader gave up; `Ok` if it did not.
    pub(crate) fn check_condemned(&self) -> Result<(), Error> {
        match self.memory.word32(CONDEMNED).load(Ordering::Relaxed) {
            0 => Ok(()),
            reason => Err(Error::Condemned {
                path: self.path.clone(),
                reason,
            }),
        }
    }

    /// Makes sure that `bytes` more can be written. A reliable producer waits for that; for an unreliable one `false` says
    /// that there is no room now.
    #[inline]
    pub(crate) fn room(&mut self, bytes: usize) -> Result<bool, Error> {
        if self.position + bytes as u64 <= self.limit {
            Ok(true)
        } else {
            self.make_room(bytes as u64)
        }
    }

    #[cold]
    fn make_room(&mut self, bytes: u64) -> Result<bool, Error> {
        if self.see_room(bytes)? {
            return Ok(true);
        }
        self.doorbell.ring_surely();
        if self.when_full.unreliable {
            return Ok(false);
        }
        self.wait_for_room(bytes)?;
        Ok(true)
    }

    /// Looks at the reader's position again.
    fn see_room(&mut self, bytes: u64) -> Result<bool, Error> {
        let head = order::given(self.memory.word64(HEAD), ORDERS);
        if head < self.head || head > self.tail {
            return Err(Error::WildHead {
                path: self.path.clone(),
                head,
                least: self.head,
                tail: self.tail,
            });
        }
        self.head = head;
        self.limit = head + self.memory.capacity();
        Ok(self.position + bytes <= self.limit)
    }

    fn wait_for_room(&mut self, bytes: u64) -> Result<(), Error> {
        let backoff = Backoff::new();
        while !backoff.is_completed() && !simulation::is_on() {
            backoff.snooze();
            if self.see_room(bytes)? {
                return Ok(());
            }
        }
        loop {
            if let Some(waits) = &self.when_full.waits {
                waits.fetch_add(1, Ordering::Relaxed);
            }
            if self
                .when_full
                .stop
                .as_ref()
                .is_some_and(|stop| stop.load(Ordering::Relaxed))
            {
                return Err(Error::Stopped);
            }
            self.check_condemned()?;
            // Either this sees the new head now, or the reader sees the announcement.
            let seen = order::announce(self.memory.word32(WAITING), self.memory.word32(SPACE), ORDERS);
            let mut found = self.see_room(bytes);
            if let Ok(false) = found {
                self.doorbell.ring_surely();
                found = match simulation::wait() {
                    Wait::InKernel => {
                        sys::futex_wait(self.memory.word32(SPACE), seen, Duration::from_millis(WAIT_MS));
                        self.see_room(bytes)
                    }
                    Wait::Over => self.see_room(bytes),
                    Wait::InVain => Err(Error::Stopped),
                };
            }
            point();
            self.memory.word32(WAITING).store(0, Ordering::Relaxed);
            if found? {
                return Ok(());
            }
        }
    }

    /// How many bytes could be written now, as far as is known.
    pub(crate) fn room_now(&mut self) -> Result<u64, Error> {
        self.see_room(0)?;
        Ok(self.limit - self.position)
    }

    /// The next `len` bytes to be written, for which [`Self::room`] was found.
    #[inline]
    pub(crate) fn next(&mut self, len: usize) -> &mut [u8] {
        debug_assert!(self.position + len as u64 <= self.limit);
        self.memory.span(self.position, len)
    }

    /// Keeps the next `len` bytes, which the caller has filled with whole records.
    #[inline]
    pub(crate) fn keep(&mut self, len: usize) {
        debug_assert!(len.is_multiple_of(8) && self.position + len as u64 <= self.limit);
        self.position += len as u64;
    }

    /// Publishes everything written, and wakes a drainer that is seen sleeping.
    #[inline]
    pub(crate) fn publish(&mut self, carries: Carries) {
        self.store_tail(self.position, carries);
    }

    /// What [`Self::publish`] must never do: publishes `len` bytes that are still to be written.
    #[cold]
    pub(crate) fn publish_ahead(&mut self, len: usize) {
        self.position += len as u64;
        self.store_tail(self.position, Carries::Records);
        self.position -= len as u64;
    }

    /// Publishes `record` alone, in front of whatever is written and not published, which moves up. Room for it was found.
    pub(crate) fn publish_before(&mut self, record: &[u8]) {
        debug_assert!(record.len().is_multiple_of(8));
        let (tail, private) = (self.tail, self.private_len());
        let span = self.memory.span(tail, private + record.len());
        span.copy_within(..private, record.len());
        point();
        span[..record.len()].copy_from_slice(record);
        self.position += record.len() as u64;
        self.store_tail(tail + record.len() as u64, Carries::Housekeeping);
    }

    #[inline]
    fn store_tail(&mut self, tail: u64, carries: Carries) {
        debug_assert!(self.tail <= tail && tail <= self.position);
        if self.state.is_some() && !mutant::on("state-after-commit") {
            self.write_state(tail, carries);
        }
        let former = self.tail;
        self.tail = tail;
        point();
        // This store is the commit.
        order::publish(self.memory.word64(TAIL), tail, ORDERS);
        if self.state.is_some() && mutant::on("state-after-commit") {
            self.write_state(tail, carries);
        }
        point();
        if (former ^ tail) >> DOORBELL_STRIDE_SHIFT == 0 {
            self.doorbell.ring_if_sleeping();
        } else {
            self.doorbell.ring_surely();
        }
    }

    fn write_state(&mut self, tail: u64, carries: Carries) {
        let Some(state) = &mut self.state else { return };
        if carries == Carries::Records {
            state.advance();
        }
        // The compiler may not move these writes above the former store of `tail`: killed in between, both copies would be
        // above it. The processor's own order does not matter, since a kill leaves what was executed.
        compiler_fence(Ordering::SeqCst);
        if let Some((offset, copy)) = state.copy_for(tail) {
            point();
            if simulation::is_on() {
                // In two parts, so that a kill finds it torn.
                let (first, rest) = copy.split_at(copy.len() / 2);
                self.memory.write_header(offset, first);
                point();
                self.memory.write_header(offset + first.len(), rest);
            } else {
                self.memory.write_header(offset, copy);
            }
        }
    }

    /// The highest statement id in use, by this producer or those before it.
    pub(crate) fn statement_highest(&self) -> u32 {
        self.memory.word32(STATEMENT_HIGHEST).load(Ordering::Relaxed)
    }

    /// Claims ids up to `highest`, before the definition that uses it is published.
    pub(crate) fn set_statement_highest(&self, highest: u32) {
        point();
        // Relaxed: the Release store of `tail` follows, and an heir reads it only after this process is dead.
        self.memory.word32(STATEMENT_HIGHEST).store(highest, Ordering::Relaxed);
    }

    /// Cumulative totals of what was dropped: records and bytes.
    pub(crate) fn drops(&self) -> (u64, u64) {
        let total = |offset| self.memory.word64(offset).load(Ordering::Relaxed);
        (total(DROPPED_RECORDS), total(DROPPED_BYTES))
    }

    /// Counts what was dropped. At once, so that the totals hold whenever this process ends.
    pub(crate) fn add_drops(&self, records: u64, bytes: u64) {
        let (records_before, bytes_before) = self.drops();
        point();
        // Stores instead of additions: this thread alone writes them.
        self.memory
            .word64(DROPPED_RECORDS)
            .store(records_before.wrapping_add(records), Ordering::Relaxed);
        point();
        self.memory
            .word64(DROPPED_BYTES)
            .store(bytes_before.wrapping_add(bytes), Ordering::Relaxed);
        point();
    }
}
