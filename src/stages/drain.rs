//! Drain: which ring is to be taken from next. Decisions only, no IO.
//!
//! A group's spool is one total order, and rings are ordered by creation. A ring has one *life* for each owner it had: it is created once and
//! may be adopted, and each life is as old as its creation or adoption. The rule that keeps run N of a program wholly before
//! run N+1: before the first frame of a life goes to the spool, the directory is looked through once more, and every older life that is
//! over (its owner dead or gone, or the ring adopted since) is drained to its end. Lives that go on bear no order to each other.
//!
//! [`Drain`] holds what is known of the rings, [`Drain::plan`] says what to do, and the caller tells what it saw and did.

use crate::ids::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// What a look saw of the life that a ring is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeSeen {
    /// It goes on.
    GoesOn,
    /// Its owner is dead or gone.
    Over,
    /// It is over, and the ring was adopted since: behind its end there may be a later life.
    Followed,
}

/// What is known of one ring.
#[derive(Clone, Debug)]
struct Ring {
    /// Age of the life at `drained`: CLOCK_BOOTTIME, nanoseconds.
    born: u64,
    /// Position up to which the spool has it.
    drained: u64,
    /// The tail as it was last seen.
    tail: u64,
    /// A frame of this life is in the spool's order already.
    begun: bool,
    /// This life is over.
    over: bool,
    /// The tail that was read first after that was known, or after the ring was seen to be adopted: all that this life can have.
    last: Option<u64>,
    /// It had data when the last look was asked for.
    waiting: bool,
    /// The directory was looked through after its data was seen.
    looked: bool,
}

impl Ring {
    fn has_data(&self) -> bool {
        self.tail > self.drained
    }

    /// Whether there is something to take of a life that is over. What appears behind its end, in a ring that nobody adopted, is somebody else's who
    /// breaks the rules; it goes before nobody. In one that was adopted a later life may be there, perhaps older than all that wait: who takes on sees it.
    fn is_over(&self) -> bool {
        self.over && self.last.is_none_or(|last| self.drained < last)
    }

    fn may_begin(&self) -> bool {
        self.begun || self.looked
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Look through the directory, and at the owners of the rings born before `before`; then say [`Drain::looked`].
    Look {
        /// The youngest life that wants to begin.
        before: u64,
    },
    /// Take from these rings, in this order, up to the end of the life each is in. From those that [`Drain::is_over`] take all before
    /// going on; when there is no room for that, stop and plan anew.
    Take(Vec<StreamId>),
    /// No ring has anything.
    Idle,
}

/// The rings of a group.
#[derive(Debug, Default)]
pub struct Drain {
    rings: BTreeMap<StreamId, Ring>,
    /// When lives were born, and whose they are: oldest first.
    order: BTreeSet<(u64, StreamId)>,
    /// Which living ring goes first, so that a busy one does not starve the others.
    turn: usize,
}

impl Drain {
    /// A ring was found whose stream is in the spool up to `drained`, in a life that began at `born`.
    pub fn found(&mut self, stream: StreamId, born: u64, drained: u64) {
        let ring = Ring {
            born,
            drained,
            tail: drained,
            begun: false,
            over: false,
            last: None,
            waiting: false,
            looked: false,
        };
        self.gone(stream);
        self.rings.insert(stream, ring);
        self.order.insert((born, stream));
    }

    /// The ring is no longer there.
    pub fn gone(&mut self, stream: StreamId) {
        if let Some(ring) = self.rings.remove(&stream) {
            self.order.remove(&(ring.born, stream));
        }
    }

    /// The ring's tail was seen at `tail`.
    pub fn saw_tail(&mut self, stream: StreamId, tail: u64) {
        if let Some(ring) = self.rings.get_mut(&stream) {
            ring.tail = ring.tail.max(tail);
            if ring.over && ring.last.is_none() {
                ring.last = Some(tail);
            }
        }
    }

    /// What was seen of the ring's present life. Its tail is read, and told, after that.
    pub fn saw_life(&mut self, stream: StreamId, life: LifeSeen) {
        if let Some(ring) = self.rings.get_mut(&stream) {
            ring.over = life != LifeSeen::GoesOn;
            ring.last = ring.last.filter(|_| life == LifeSeen::Over);
        }
    }

    /// What [`Plan::Look`] asked for was done.
    pub fn looked(&mut self, before: u64) {
        for ring in self.rings.values_mut().filter(|ring| ring.born <= before) {
            // An older life that is over may go as well: this look has found all that is older still.
            ring.looked |= ring.waiting || ring.over;
        }
    }

    /// Records up to `end` of the ring are on their way to the spool.
    pub fn took(&mut self, stream: StreamId, end: u64) {
        if let Some(ring) = self.rings.get_mut(&stream) {
            ring.drained = end;
            ring.tail = ring.tail.max(end);
            ring.begun = true;
        }
    }

    /// A new life of the ring begins at the position that was drained: it was adopted at `born`.
    pub fn adopted(&mut self, stream: StreamId, born: u64) {
        if let Some(ring) = self.rings.get_mut(&stream) {
            self.order.remove(&(ring.born, stream));
            self.order.insert((born, stream));
            *ring = Ring {
                born,
                begun: false,
                over: false,
                last: None,
                waiting: false,
                looked: false,
                ..*ring
            };
        }
    }

    /// Whether the next frame of this ring is the first of its life.
    #[must_use]
    pub fn is_first(&self, stream: StreamId) -> bool {
        self.rings.get(&stream).is_some_and(|ring| !ring.begun)
    }

    /// Whether the ring's present life is known to be over, and not all of it is taken.
    #[must_use]
    pub fn is_over(&self, stream: StreamId) -> bool {
        self.rings.get(&stream).is_some_and(Ring::is_over)
    }

    /// Whether nothing of the ring is left to take, as far as its tail was seen.
    #[must_use]
    pub fn is_drained(&self, stream: StreamId) -> bool {
        self.rings.get(&stream).is_none_or(|ring| !ring.has_data())
    }

    /// The streams whose lives were born before `before`, oldest first.
    #[must_use]
    pub fn older_than(&self, before: u64) -> Vec<StreamId> {
        self.order
            .iter()
            .take_while(|(born, _)| *born <= before)
            .map(|(_, stream)| *stream)
            .collect()
    }

    /// What to do next.
    pub fn plan(&mut self) -> Plan {
        if !self.rings.values().any(Ring::has_data) {
            return Plan::Idle;
        }
        let eager = self
            .rings
            .values_mut()
            .filter(|ring| ring.has_data() && !ring.may_begin());
        if let Some(before) = eager
            .map(|ring| {
                ring.waiting = true;
                ring.born
            })
            .max()
        {
            return Plan::Look { before };
        }
        let with_data = |over: bool| {
            let rings = &self.rings;
            self.order
                .iter()
                .map(|(_, stream)| *stream)
                .filter(move |stream| rings[stream].has_data() && rings[stream].is_over() == over)
        };
        let mut list: Vec<_> = with_data(true).collect();
        let mut living: Vec<_> = with_data(false).collect();
        if !living.is_empty() {
            let count = living.len();
            living.rotate_left(self.turn % count);
            self.turn = self.turn.wrapping_add(1);
        }
        list.append(&mut living);
        if list.is_empty() { Plan::Idle } else { Plan::Take(list) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(drain: &mut Drain, born: u64, tail: u64) -> StreamId {
        let stream = StreamId::random();
        drain.found(stream, born, 0);
        drain.saw_tail(stream, tail);
        stream
    }

    #[test]
    fn a_life_begins_only_after_a_look() {
        let mut drain = Drain::default();
        let stream = ring(&mut drain, 5, 8);
        assert_eq!(drain.plan(), Plan::Look { before: 5 });
        assert_eq!(drain.plan(), Plan::Look { before: 5 }, "until it was done");
        drain.looked(5);
        assert_eq!(drain.plan(), Plan::Take(vec![stream]));
        drain.took(stream, 8);
        assert_eq!(drain.plan(), Plan::Idle);
        drain.saw_tail(stream, 16);
        assert_eq!(drain.plan(), Plan::Take(vec![stream]), "it has begun");
    }

    #[test]
    fn older_lives_that_are_over_go_first_in_order() {
        let mut drain = Drain::default();
        let young = ring(&mut drain, 9, 8);
        assert_eq!(drain.plan(), Plan::Look { before: 9 });
        let old = ring(&mut drain, 3, 8);
        let older = ring(&mut drain, 2, 8);
        for stream in [old, older] {
            drain.saw_life(stream, LifeSeen::Over);
        }
        drain.looked(9);
        assert_eq!(drain.plan(), Plan::Take(vec![older, old, young]));
    }

    #[test]
    fn a_life_whose_data_came_after_the_look_waits_for_another() {
        let mut drain = Drain::default();
        let first = ring(&mut drain, 5, 8);
        assert_eq!(drain.plan(), Plan::Look { before: 5 });
        let second = ring(&mut drain, 4, 8);
        drain.looked(5);
        assert_eq!(drain.plan(), Plan::Look { before: 4 });
        drain.looked(4);
        let Plan::Take(list) = drain.plan() else { panic!() };
        assert!(list.contains(&first) && list.contains(&second));
    }

    #[test]
    fn what_appears_behind_the_end_of_a_life_that_is_over_goes_before_nobody() {
        let mut drain = Drain::default();
        let ghost = ring(&mut drain, 1, 8);
        let other = ring(&mut drain, 2, 8);
        drain.plan();
        drain.saw_life(ghost, LifeSeen::Over);
        drain.saw_tail(ghost, 16);
        drain.looked(2);
        assert_eq!(drain.plan(), Plan::Take(vec![ghost, other]));
        drain.took(ghost, 8);
        assert!(drain.is_over(ghost), "there is more of it");
        drain.took(ghost, 16);
        let mut firsts = std::collections::HashSet::new();
        for tail in 3..6 {
            // Its owner is said to be dead, and yet somebody writes.
            drain.saw_life(ghost, LifeSeen::Over);
            drain.saw_tail(ghost, tail * 8);
            assert!(!drain.is_over(ghost));
            let Plan::Take(list) = drain.plan() else { panic!() };
            assert_eq!(list.len(), 2);
            firsts.insert(list[0]);
        }
        assert_eq!(firsts.len(), 2, "they take turns");
    }

    #[test]
    fn a_ring_that_was_adopted_behind_the_end_of_a_life_is_taken_from_before_a_younger_one_begins() {
        let mut drain = Drain::default();
        let adopted = ring(&mut drain, 1, 8);
        drain.plan();
        drain.saw_life(adopted, LifeSeen::Over);
        drain.saw_tail(adopted, 8);
        drain.looked(1);
        drain.took(adopted, 8);
        // Its heir has come, logged and gone, and then the younger one began.
        drain.saw_tail(adopted, 16);
        let young = ring(&mut drain, 9, 8);
        assert_eq!(drain.plan(), Plan::Look { before: 9 });
        drain.saw_life(adopted, LifeSeen::Followed);
        drain.saw_tail(adopted, 16);
        drain.looked(9);
        for _ in 0..2 {
            assert_eq!(drain.plan(), Plan::Take(vec![adopted, young]));
            assert!(
                drain.is_over(adopted),
                "whoever takes from it finds the life of its heir"
            );
        }
    }

    #[test]
    fn a_living_older_ring_holds_nobody_up() {
        let mut drain = Drain::default();
        drain.found(StreamId::random(), 1, 0);
        let young = ring(&mut drain, 9, 8);
        drain.plan();
        drain.looked(9);
        assert_eq!(drain.plan(), Plan::Take(vec![young]));
    }

    #[test]
    fn an_adoption_is_a_new_life_at_its_own_age() {
        let mut drain = Drain::default();
        let adopted = ring(&mut drain, 1, 8);
        drain.plan();
        drain.looked(1);
        drain.took(adopted, 8);
        drain.adopted(adopted, 9);
        drain.saw_tail(adopted, 16);
        assert_eq!(drain.plan(), Plan::Look { before: 9 });
        let between = ring(&mut drain, 5, 8);
        drain.saw_life(between, LifeSeen::Over);
        drain.looked(9);
        assert_eq!(drain.plan(), Plan::Take(vec![between, adopted]));
        assert!(drain.is_first(adopted));
    }

    #[test]
    fn busy_rings_take_turns() {
        let mut drain = Drain::default();
        for born in 1..=3 {
            ring(&mut drain, born, 800);
        }
        drain.plan();
        drain.looked(3);
        let first = |drain: &mut Drain| match drain.plan() {
            Plan::Take(list) => list[0],
            other => panic!("{other:?}"),
        };
        let firsts: std::collections::HashSet<_> = (0..3).map(|_| first(&mut drain)).collect();
        assert_eq!(firsts.len(), 3);
    }
}
