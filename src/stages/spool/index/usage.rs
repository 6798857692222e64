//! How full a spool is, and the segments that go in order to make room.

use super::{IndexState, SegmentEntry, SpoolIndex};
use crate::ids::StreamId;
use crate::os::disk;
use crate::seglog::recovery::SegmentFile;
use crate::stages::spool::SpoolError;
use crate::stages::spool::room::Usage;
use std::collections::HashMap;
use std::path::Path;

/// A segment whose records are to be dropped.
#[derive(Debug)]
pub(in crate::stages::spool) struct Victim {
    /// What lies in front of it and was dropped before, of the same run, if there is such a thing.
    pub(in crate::stages::spool) before: Option<SegmentFile>,
    /// The segment.
    pub(in crate::stages::spool) segment: SegmentFile,
    /// It was finished, and nobody has looked at its frames yet: whatever is not sound in it is damage.
    pub(in crate::stages::spool) is_unread: bool,
    /// First and last position of each stream in both.
    pub(in crate::stages::spool) lies: HashMap<StreamId, (u64, u64)>,
    /// From where on somebody who is owed them lacks streams of these.
    pub(in crate::stages::spool) lacked: HashMap<StreamId, u64>,
    /// Who lacks it.
    pub(in crate::stages::spool) lacking: Vec<String>,
}

impl SpoolIndex {
    /// How full the spool is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.lock();
        let newest = state.segments.values().next_back().map_or(0, SegmentEntry::len);
        let leaving = state
            .leaving
            .iter()
            .filter(|(_, held)| held.strong_count() > 0)
            .map(|(bytes, _)| bytes)
            .sum();
        Usage {
            used: state.closed_bytes + newest + leaving,
            leaving,
            retained: state.delivered_bytes,
        }
    }

    /// Bytes of segments that are here though everybody has them: they are retained.
    #[must_use]
    pub fn delivered_bytes(&self) -> u64 {
        self.lock().note_delivered();
        self.usage().retained
    }

    /// Whether there are segments besides the newest.
    pub(in crate::stages::spool) fn has_others(&self) -> bool {
        self.lock().segments.len() > 1
    }

    /// Whether [`SpoolIndex::release_oldest`] would do anything.
    pub(in crate::stages::spool) fn can_release(&self) -> bool {
        let mut state = self.lock();
        state.note_delivered();
        state.segments.first_key_value().is_some_and(|(number, _)| {
            *number < state.delivered_below && state.undeletable != Some(*number) && state.is_explained_without(*number)
        })
    }

    /// Deletes the oldest segment, which was delivered, however long it was to be retained.
    pub(in crate::stages::spool) fn release_oldest(&self) {
        self.lock().delete_oldest();
    }

    /// The oldest segment with records that may be dropped: never the newest, which is appended to, nor one of which something is to be left
    /// untouched.
    pub(in crate::stages::spool) fn victim(&self) -> Option<Victim> {
        let state = self.lock();
        let newest = state.segments.keys().next_back().copied()?;
        let (number, segment) = state
            .segments
            .range(..newest)
            .find(|(_, segment)| segment.has_records && !state.is_left(segment))?;
        let before = state.segments.range(..number).next_back();
        let before = before.filter(|(_, before)| {
            before.epoch == segment.epoch && !before.streams.is_empty() && !state.is_left(before)
        });
        let file = |number: u64, segment: &SegmentEntry| SegmentFile {
            number,
            path: segment.path.clone(),
        };
        let mut victim = Victim {
            before: before.map(|(number, before)| file(*number, before)),
            segment: file(*number, segment),
            is_unread: segment.is_unread,
            lies: HashMap::new(),
            lacked: HashMap::new(),
            lacking: Vec::new(),
        };
        for segment in before.iter().map(|(_, before)| *before).chain([segment]) {
            state.add_lacked(segment, &mut victim);
        }
        Some(victim)
    }

    /// Puts the file `remnant` in the place of a segment, unless that was delivered and deleted meanwhile. Says whether it did.
    ///
    /// # Errors
    /// When the file cannot be renamed or read.
    pub(in crate::stages::spool) fn replace(&self, segment: &SegmentFile, remnant: &Path) -> Result<bool, SpoolError> {
        let mut state = self.lock();
        if !state.segments.contains_key(&segment.number) {
            return Ok(false);
        }
        disk::rename(remnant, &segment.path)?;
        state.note_deletion(segment.number);
        state.enter_again(segment)?;
        Ok(true)
    }

    /// Deletes what was in front of a segment whose remnant now says both.
    pub(in crate::stages::spool) fn remove_merged(&self, segment: &SegmentFile) -> Result<(), SpoolError> {
        let mut state = self.lock();
        disk::unlink(&segment.path)?;
        state.note_deletion(segment.number);
        state.remove_segment(segment.number);
        Ok(())
    }
}

impl IndexState {
    /// Adds what lies in `segment`, and what destinations that are owed it lack of that.
    fn add_lacked(&self, segment: &SegmentEntry, victim: &mut Victim) {
        for (stream, (start, end)) in &segment.streams {
            let range = victim.lies.entry(*stream).or_insert((*start, *end));
            *range = (range.0.min(*start), range.1.max(*end));
        }
        for destination in self.owed_destinations(segment) {
            let acked = self.acked.get(destination);
            for (stream, (start, end)) in &segment.streams {
                let has = acked.and_then(|acked| acked.get(stream)).copied();
                let has = has.unwrap_or(0).max(*start);
                if has >= *end || !self.is_owed(destination, segment, *stream) {
                    continue;
                }
                let from = victim.lacked.entry(*stream).or_insert(has);
                *from = (*from).min(has);
                if !victim.lacking.contains(destination) {
                    victim.lacking.push(destination.clone());
                }
            }
        }
    }
}
