//! Owners: who of the rings' owners died or left, so that their rings are ended, or kept for an heir.
//!
//! Whether a process lives costs a question to the kernel, so owners have their turns ([`pace`]): a share of them each time, and one question for all rings of a
//! process among these. An owner
//! word that is another one than at the last look costs no more than to read it. All words are read when a change was announced, and as long as
//! something seen in them waits to be dealt with; so what ends in order, and an heir, is seen at once. Until all is in the log that was there at
//! the start, every owner is looked at each time.
//!
//! A ring is ended only when all of it was taken that is there after its owner was seen to be gone.

use super::log::GroupLog;
use super::rings::RingSet;
use super::{Drainer, Turn};
use crate::ids::StreamId;
use crate::limits::APPEND_MAX;
use crate::os::clock;
use crate::stages::pace::{self, OWNERS_EVERY};
use hog_ring::owner::{FoundLiving, OwnerWord};
use hog_ring::reader::Liveness;
use hogstat::RegionState;
use std::collections::BTreeSet;
use std::time::Instant;

/// Whose turn it is.
pub(super) struct Turns {
    /// When owners were looked at last, if they were.
    looked: Option<Instant>,
    /// Whose turn was the last.
    last: StreamId,
    /// Changes that were announced when words were read last.
    changes: u64,
    /// There may be a ring whose owner word is not the one that was dealt with, although no change is announced.
    is_unsettled: bool,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            looked: None,
            last: StreamId::default(),
            changes: 0,
            is_unsettled: true,
        }
    }

    /// A ring came to the others.
    pub(super) fn unsettle(&mut self) {
        self.is_unsettled = true;
    }

    /// Whether something is to be done about an owner that the next look will find: `changes` were announced by now.
    pub(super) fn are_due_soon(&self, changes: u64) -> bool {
        self.is_unsettled || self.changes != changes
    }

    /// Whose owners are to be looked at now.
    fn choose(&mut self, rings: &RingSet, changes: u64, all: bool) -> BTreeSet<StreamId> {
        let share = match self.looked.replace(clock::moment()) {
            Some(looked) if !all => pace::owners_share(rings.count(), clock::since(looked)),
            _ => rings.count(),
        };
        let mut chosen = BTreeSet::new();
        for stream in rings.streams_after(self.last).take(share) {
            self.last = stream;
            chosen.insert(stream);
        }
        let is_announced = std::mem::replace(&mut self.changes, changes) != changes;
        if std::mem::take(&mut self.is_unsettled) || is_announced {
            let unsettled = rings
                .iter()
                .filter(|(_, ring)| ring.settled != Some(ring.reader.owner()));
            chosen.extend(unsettled.map(|(stream, _)| stream));
        }
        chosen
    }
}

impl<L: GroupLog> Drainer<L> {
    /// Looks at owners of rings that are drained: those that nobody will write to any more are ended, or kept for an heir.
    pub(super) fn look_at_owners(&mut self) -> Result<(), String> {
        if self
            .turns
            .looked
            .is_some_and(|looked| clock::since(looked) < OWNERS_EVERY)
        {
            return Ok(());
        }
        // Counted before the words are read: what is announced later is seen at the next look.
        let changes = self.doorbell.changes();
        let chosen = self.turns.choose(&self.rings, changes, self.first_tails.is_some());
        let mut found = FoundLiving::default();
        for stream in chosen {
            self.look_at_owner(stream, &mut found);
            if self.batch.len() > APPEND_MAX / 2 && matches!(self.append()?, Turn::Stuck) {
                self.turns.unsettle();
                return Ok(());
            }
        }
        self.append()?;
        Ok(())
    }

    fn look_at_owner(&mut self, stream: StreamId, found: &mut FoundLiving) {
        if self.rings.get(stream).is_some_and(|ring| ring.ended) {
            self.unlink(stream);
            return;
        }
        let settled = self.settle(stream, found);
        if let Some(ring) = self.rings.get_mut(stream).filter(|ring| !ring.ending) {
            ring.settled = settled;
            if settled.is_none() {
                self.turns.unsettle();
            }
        }
    }

    /// Does what there is to be done about the owner of a ring, and says which one that was. `None`: not all could be done, and the next look
    /// goes on.
    fn settle(&mut self, stream: StreamId, found: &mut FoundLiving) -> Option<OwnerWord> {
        let is_drained = self.drain.is_drained(stream);
        let ring = self.rings.get_mut(stream).filter(|ring| !ring.ending)?;
        let owner = ring.reader.owner();
        if !is_drained {
            return ring.settled.filter(|settled| *settled == owner); // looked at again in its turn, if it is known
        }
        let liveness = ring.reader.liveness_unless_found(found);
        if matches!(liveness, Liveness::Living) {
            if ring.kept.take().is_some() {
                self.recorder.region_state(stream.0, RegionState::Adopted, ring.drained);
            }
            ring.seen_living = true;
            return Some(owner);
        }
        // Whatever the dead one published before it died is visible now; the drained position may be older.
        if ring.reader.tail(ring.drained).is_ok_and(|tail| tail > ring.drained) {
            return None;
        }
        if !matches!(liveness, Liveness::Retired) {
            if ring.reader.is_adoptable() {
                if ring.kept != Some(owner) {
                    ring.kept = Some(owner);
                    self.recorder.region_state(stream.0, RegionState::Kept, ring.drained);
                }
                return Some(owner);
            }
            if !ring.reader.retire(owner) {
                return None; // it lives: an heir was faster
            }
            // Between the look at the tail and the retirement an owner that was thought dead cannot have written, but a closing one may.
            if ring.reader.tail(ring.drained).is_ok_and(|tail| tail > ring.drained) {
                return None; // drained by the next pass, ended after that
            }
        }
        self.attach_if_new(stream);
        self.push_end(stream);
        None
    }
}
