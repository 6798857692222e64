//! What earlier runs left in a spool: how much of it is whose, and which of it is not to be touched in this session.
//!
//! A stream that is *left* is neither shipped nor counted as owed as far as earlier runs spooled it, and its segments are not deleted. When its
//! producer turns out to live it is taken up again, from its first frame: shippers go back to the beginning of the spool then.

use super::{IndexState, SegmentEntry, SpoolIndex};
use crate::ids::StreamId;
use std::collections::HashSet;

/// What an earlier run spooled of a stream and a destination has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedRange {
    /// The run.
    pub epoch: u64,
    /// `HOST:PORT`.
    pub destination: String,
    /// The stream.
    pub stream: StreamId,
    /// From this position.
    pub from: u64,
    /// Up to this one.
    pub to: u64,
}

impl SpoolIndex {
    /// What earlier runs than this session's left, by run, for everybody to whom it is owed. `acked` says up to where a destination has a stream.
    #[must_use]
    pub fn backlog(&self, acked: &dyn Fn(&str, StreamId) -> u64) -> Vec<OwedRange> {
        let state = self.lock();
        let mut backlog = Vec::new();
        for segment in state.segments.values().filter(|segment| segment.epoch != state.epoch) {
            for destination in state.owed_destinations(segment) {
                for (stream, (start, end)) in &segment.streams {
                    let from = acked(destination, *stream).max(*start);
                    if from < *end && state.is_owed(destination, segment, *stream) {
                        backlog.push(OwedRange {
                            epoch: segment.epoch,
                            destination: destination.clone(),
                            stream: *stream,
                            from,
                            to: *end,
                        });
                    }
                }
            }
        }
        backlog
    }

    /// Leaves what earlier runs spooled of `streams` untouched.
    pub fn leave(&self, streams: &HashSet<StreamId>) {
        self.lock().left.clone_from(streams);
    }

    /// What was left of `stream` is shipped after all, before anything that is appended after this call.
    pub fn take_up(&self, stream: StreamId) {
        // The others first: who sees that this one has it sees that they have it too.
        for index in self.others() {
            index.lock().take_up(stream);
        }
        self.lock().take_up(stream);
    }

    /// Counts streams that were taken up: whoever walks the spool begins again at its start when this has grown.
    #[must_use]
    pub fn rewinds(&self) -> u64 {
        self.lock().rewinds
    }

    /// Whether `destination` has `stream` up to `position` on its disk, or all there was of it and no ring that could say more.
    #[must_use]
    pub fn has_reached(&self, destination: &str, stream: StreamId, position: u64) -> bool {
        let state = self.lock();
        let acked = state.acked.get(destination).and_then(|acked| acked.get(&stream));
        let is_gone = state.rings_known && !state.is_present(stream);
        let has_it = acked.is_some_and(|acked| *acked >= position);
        drop(state);
        has_it || (is_gone && !self.may_lie_elsewhere(stream))
    }
}

impl IndexState {
    fn take_up(&mut self, stream: StreamId) {
        if self.left.remove(&stream) {
            self.rewinds += 1;
        }
    }

    /// Whether anything of `segment` is left untouched.
    pub(super) fn is_left(&self, segment: &SegmentEntry) -> bool {
        segment.epoch != self.epoch && segment.streams.keys().any(|stream| self.left.contains(stream))
    }
}
