//! The debt of a spool: who is owed which of its segments, what was acknowledged, and the deletion of what nobody needs any more.

use super::{IndexState, SegmentEntry, SpoolIndex};
use crate::formats::frame::END_SPAN;
use crate::ids::StreamId;
use crate::os::{clock, disk};
use std::collections::{HashMap, HashSet};
use tracing::warn;

/// What a destination has not acknowledged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unacknowledged {
    /// Bytes of positions.
    pub bytes: u64,
    /// When the oldest segment with some of them was begun to be filled, nanoseconds since 1970.
    pub oldest: Option<u64>,
}

impl SpoolIndex {
    /// All destinations that are owed anything: those of this session and of the sessions whose segments are still here.
    #[must_use]
    pub fn destinations(&self) -> Vec<String> {
        let state = self.lock();
        let mut all: Vec<String> = Vec::new();
        let epochs = std::iter::once(state.epoch).chain(state.segments.values().map(|segment| segment.epoch));
        for epoch in epochs {
            for destination in state.owed_to.get(&epoch).into_iter().flatten() {
                if !all.contains(destination) {
                    all.push(destination.clone());
                }
            }
        }
        all
    }

    /// Whether `destination` is owed what segment `number` holds of `stream`.
    #[must_use]
    pub fn is_owed(&self, destination: &str, number: u64, stream: StreamId) -> bool {
        let state = self.lock();
        state
            .segments
            .get(&number)
            .is_some_and(|segment| state.is_owed(destination, segment, stream))
    }

    /// Whether `destination` is owed anything of segment `number` beyond what `has` says it has.
    #[must_use]
    pub fn needs_segment(&self, destination: &str, number: u64, has: impl Fn(StreamId) -> u64) -> bool {
        let state = self.lock();
        state.segments.get(&number).is_some_and(|segment| {
            segment
                .streams
                .iter()
                .any(|(stream, (_, end))| state.is_owed(destination, segment, *stream) && has(*stream) < *end)
        })
    }

    /// Notes what `destination` has on its disk. [`SpoolIndex::delete_delivered`] then deletes what nobody needs any more.
    pub fn acknowledge(&self, destination: &str, acked: &[(StreamId, u64)]) {
        let mut state = self.lock();
        let known = state.acked.entry(destination.to_owned()).or_default();
        for (stream, position) in acked {
            let place = known.entry(*stream).or_default();
            *place = (*place).max(*position);
        }
    }

    /// Remembers what earlier sessions noted of the acknowledgements of `destination`, which may be less than it gave. Nothing counts as delivered
    /// for that: it tells a destination that lost its archive from a new one.
    pub fn remember_acknowledged(&self, destination: &str, acked: HashMap<uuid::Uuid, u64>) {
        let acked = acked
            .into_iter()
            .map(|(stream, position)| (StreamId(stream), position))
            .collect();
        self.lock().once_acked.insert(destination.to_owned(), acked);
    }

    /// Whether `destination` ever acknowledged anything of `stream`, in this session or, as far as that was noted, before it.
    #[must_use]
    pub fn has_acknowledged(&self, destination: &str, stream: StreamId) -> bool {
        let state = self.lock();
        [&state.acked, &state.once_acked]
            .into_iter()
            .filter_map(|acked| acked.get(destination)?.get(&stream))
            .any(|position| *position > 0)
    }

    /// `destination` has `stream` only up to `position`, whatever it acknowledged, now or in an earlier session: what is beyond is owed again. Says
    /// what it had acknowledged, if that was more.
    pub fn retract(&self, destination: &str, stream: StreamId, position: u64) -> Option<u64> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let before = [&mut state.acked, &mut state.once_acked]
            .into_iter()
            .filter_map(|acked| acked.get_mut(destination)?.get_mut(&stream))
            .map(|acked| std::mem::replace(acked, position.min(*acked)))
            .max()?;
        if before <= position {
            return None;
        }
        // What counted as delivered is counted anew.
        (state.delivered_below, state.delivered_bytes) = (0, 0);
        Some(before)
    }

    /// Deletes the segments that nobody needs any more.
    pub fn delete_delivered(&self) {
        self.lock().delete_delivered(clock::now_ns());
    }

    /// What `destination` acknowledged, by stream.
    #[must_use]
    pub fn acknowledged_by(&self, destination: &str) -> Vec<(StreamId, u64)> {
        let state = self.lock();
        state
            .acked
            .get(destination)
            .into_iter()
            .flatten()
            .map(|(stream, position)| (*stream, *position))
            .collect()
    }

    /// Takes in what is recorded of a destination's acknowledgements, for reports.
    pub fn know_acknowledged(&self, destination: &str, acked: HashMap<uuid::Uuid, u64>) {
        let acked = acked
            .into_iter()
            .map(|(stream, position)| (StreamId(stream), position))
            .collect();
        self.lock().acked.insert(destination.to_owned(), acked);
    }

    /// Which of `streams` have no frame here or in another spool of the group, and no ring: the receiver may forget them. None before the rings are known, and none
    /// whose segments a loss of power could bring back: what the receiver has forgotten it would store again.
    #[must_use]
    pub fn forgettable(&self, streams: impl Iterator<Item = StreamId>) -> Vec<StreamId> {
        let absent: Vec<StreamId> = {
            let state = self.lock();
            if !state.rings_known {
                return Vec::new();
            }
            let may_return = |stream: &StreamId| state.is_present(*stream) || state.deletions.may_return(*stream);
            streams.filter(|stream| !may_return(stream)).collect()
        };
        let is_nowhere = |stream: &StreamId| !self.may_lie_elsewhere(*stream);
        absent.into_iter().filter(is_nowhere).collect()
    }

    /// Whether every destination of this session has acknowledged the streams up to `goal`, and everybody all that older sessions left.
    #[must_use]
    pub fn is_delivered_up_to(&self, goal: &HashMap<StreamId, u64>) -> bool {
        let state = self.lock();
        state
            .segments
            .values()
            .all(|segment| state.is_delivered_up_to(segment, Some(goal)))
    }

    /// Bytes of positions that are still to be acknowledged, by destination, and the time of draining of the oldest of them.
    #[must_use]
    pub fn unacknowledged(&self) -> HashMap<String, Unacknowledged> {
        let state = self.lock();
        let mut all: HashMap<String, Unacknowledged> = HashMap::new();
        for segment in state.segments.values() {
            for destination in state.owed_destinations(segment) {
                let mut bytes = 0;
                for (stream, (start, end)) in &segment.streams {
                    if state.is_owed(destination, segment, *stream) {
                        let acked = state
                            .acked
                            .get(destination)
                            .and_then(|acked| acked.get(stream))
                            .copied();
                        let lacks = end.saturating_sub(acked.unwrap_or(0).max(*start));
                        // Of a segment that was dropped there is but the word that it was.
                        bytes += if segment.has_records {
                            lacks
                        } else {
                            lacks.min(END_SPAN)
                        };
                    }
                }
                let entry = all.entry(destination.clone()).or_default();
                entry.bytes += bytes;
                if bytes > 0 && entry.oldest.is_none() {
                    entry.oldest = Some(segment.oldest);
                }
            }
        }
        all
    }

    /// The runs whose segments are here.
    #[must_use]
    pub fn epochs(&self) -> HashSet<u64> {
        self.lock().segments.values().map(|segment| segment.epoch).collect()
    }

    /// Names whom the segments of `epoch` are owed to.
    pub fn set_owed(&self, epoch: u64, destinations: Vec<String>) {
        self.lock().owed_to.insert(epoch, destinations);
    }
}

impl IndexState {
    pub(super) fn is_owed(&self, destination: &str, segment: &SegmentEntry, stream: StreamId) -> bool {
        if segment.epoch != self.epoch && self.left.contains(&stream) {
            return false;
        }
        let names = |epoch| {
            self.owed_to
                .get(&epoch)
                .is_some_and(|owed: &Vec<String>| owed.iter().any(|one| one == destination))
        };
        names(segment.epoch) || (self.continuing.contains(&stream) && names(self.epoch))
    }

    /// Those that may be owed something of `segment`.
    pub(super) fn owed_destinations(&self, segment: &SegmentEntry) -> HashSet<&String> {
        let now = self.owed_to.get(&self.epoch).into_iter().flatten();
        let then = self.owed_to.get(&segment.epoch).into_iter().flatten();
        now.chain(then).collect()
    }

    fn is_delivered_up_to(&self, segment: &SegmentEntry, goal: Option<&HashMap<StreamId, u64>>) -> bool {
        self.owed_destinations(segment).into_iter().all(|destination| {
            let acked = self.acked.get(destination);
            segment.streams.iter().all(|(stream, (_, end))| {
                let wanted = goal.map_or(*end, |goal| goal.get(stream).map_or(0, |goal| *goal.min(end)));
                wanted == 0
                    || !self.is_owed(destination, segment, *stream)
                    || acked
                        .and_then(|acked| acked.get(stream))
                        .is_some_and(|position| *position >= wanted)
            })
        })
    }

    pub(super) fn is_delivered(&self, segment: &SegmentEntry) -> bool {
        !self.is_left(segment) && self.is_delivered_up_to(segment, None)
    }

    /// Deletes from the oldest on what is delivered and not retained any more. A segment that cannot be deleted stays, is reported once, and holds up
    /// those behind it, but not the shipping.
    pub(super) fn delete_delivered(&mut self, now: u64) {
        self.note_delivered();
        while let Some((_, segment)) = self.segments.first_key_value()
            && segment.newest.saturating_add(self.retain) <= now
            && self.delete_oldest()
        {}
    }

    /// Deletes the oldest segment if it was delivered and a later one explains the spool without it. Says whether it did.
    pub(super) fn delete_oldest(&mut self) -> bool {
        let Some((number, segment)) = self.segments.first_key_value() else {
            return false;
        };
        let number = *number;
        if self.holds_deletions || number >= self.delivered_below || !self.is_explained_without(number) {
            return false;
        }
        if let Err(error) = disk::unlink(&segment.path) {
            if self.undeletable != Some(number) {
                warn!("{}", crate::exit::chain(&error));
                self.undeletable = Some(number);
            }
            return false;
        }
        self.note_deletion(number);
        self.remove_segment(number);
        true
    }

    pub(super) fn is_explained_without(&self, number: u64) -> bool {
        if self.is_closed && self.segments.keys().all(|number| *number < self.delivered_below) {
            return true; // there is nothing left to be explained
        }
        // From the newest on: it is one of the last that is not synced yet.
        self.segments.range(number + 1..).rev().any(|(_, later)| later.explains)
    }

    /// Looks how far segments were delivered. What was delivered stays so, unless a receiver turns out to have lost it.
    pub(super) fn note_delivered(&mut self) {
        let newest = self.segments.keys().next_back().copied();
        while let Some((number, segment)) = self.segments.range(self.delivered_below..).next()
            && (self.is_closed || Some(*number) != newest)
            && self.is_delivered(segment)
        {
            (self.delivered_below, self.delivered_bytes) = (number + 1, self.delivered_bytes + segment.len());
        }
    }
}
