//! The other spools of a group. A stream that lies in one of them, or may, is not over for a receiver, whatever this one has.

use super::{IndexState, SpoolIndex};
use crate::ids::StreamId;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError, Weak};

/// Other spools of the group.
#[derive(Default)]
pub(super) struct Companions {
    known: Vec<Weak<SpoolIndex>>,
    /// There is one that could not be looked at.
    some_unknown: bool,
}

impl SpoolIndex {
    /// Makes the spools of a group known to each other. `some_unknown`: there are more, and nobody can say what they hold.
    pub fn join(indexes: &[Arc<Self>], some_unknown: bool) {
        for index in indexes {
            let others = indexes.iter().filter(|other| !Arc::ptr_eq(index, other));
            *index.companions.lock().unwrap_or_else(PoisonError::into_inner) = Companions {
                known: others.map(Arc::downgrade).collect(),
                some_unknown,
            };
        }
    }

    /// The other spools that are here. No lock is held when this returns: they look at each other.
    pub(super) fn others(&self) -> Vec<Arc<Self>> {
        let companions = self.companions.lock().unwrap_or_else(PoisonError::into_inner);
        companions.known.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether the stream may lie in another spool.
    pub(super) fn may_lie_elsewhere(&self, stream: StreamId) -> bool {
        self.companions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .some_unknown
            || self.others().iter().any(|other| other.is_present(stream))
    }

    /// The rings that are there, all of them, for this spool and the others.
    pub fn set_rings(&self, rings: &HashSet<StreamId>) {
        for index in self.others() {
            index.lock().set_rings(rings.clone());
        }
        self.lock().set_rings(rings.clone());
    }

    /// Nobody appends to this spool any more: its last segment is not kept for the next one.
    pub(in crate::stages::spool) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Whether `destination` has acknowledged all that it is owed of the runs up to `up_to`.
    #[must_use]
    pub fn has_delivered(&self, destination: &str, up_to: u64) -> bool {
        let state = self.lock();
        let acked = state.acked.get(destination);
        let segments = state.segments.values().filter(|segment| segment.epoch <= up_to);
        let has = |stream: &StreamId, end: u64| {
            acked
                .and_then(|acked| acked.get(stream))
                .is_some_and(|acked| *acked >= end)
        };
        segments
            .flat_map(|segment| {
                segment
                    .streams
                    .iter()
                    .map(move |(stream, (_, end))| (segment, stream, *end))
            })
            .all(|(segment, stream, end)| !state.is_owed(destination, segment, *stream) || has(stream, end))
    }

    /// Whether there is no segment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().segments.is_empty()
    }

    /// Whether everybody has acknowledged all of it that is not left.
    #[must_use]
    pub fn is_all_delivered(&self) -> bool {
        let everybody = self.destinations();
        everybody
            .iter()
            .all(|destination| self.has_delivered(destination, u64::MAX))
    }
}

impl IndexState {
    fn set_rings(&mut self, rings: HashSet<StreamId>) {
        self.rings = rings;
        self.rings_known = true;
    }
}
