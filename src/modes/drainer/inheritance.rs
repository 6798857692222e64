//! What a drainer must know of earlier sessions: rings that it leaves untouched, rings that were given up, and what other spools of the group
//! hold of its streams.
//!
//! A ring is left only while its producer does not live. When an heir takes it over, its stream goes on whole, from where it was left.

use super::Drainer;
use super::log::GroupLog;
use crate::formats::body::GapReason;
use crate::formats::table::{Stream, StreamState};
use crate::ids::StreamId;
use hog_ring::reader::Liveness;
use std::collections::{HashMap, HashSet};

/// What earlier sessions left.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Rings that stay untouched until their producers live.
    pub left: HashSet<StreamId>,
    /// Rings that a person gave up.
    pub abandoned: HashSet<StreamId>,
    /// What other spools of the group, which are shipped as well, hold of a stream: of each the one that holds most.
    pub elsewhere: HashMap<StreamId, Stream>,
}

impl Inheritance {
    /// Up to where another spool holds `stream`, and whether it ended there.
    pub(super) fn held(&self, stream: StreamId) -> Option<(u64, StreamState)> {
        self.elsewhere.get(&stream).map(|held| (held.end, held.state))
    }
}

impl<L: GroupLog> Drainer<L> {
    /// Puts a GAP in place of all that a ring holds that was given up, unless it has found an heir. It is ended and deleted like any other then.
    pub(super) fn give_up(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        let owner = ring.reader.owner();
        match ring.reader.liveness() {
            Liveness::Living => return,
            Liveness::Retired => {}
            Liveness::Dead | Liveness::Closed => {
                if !ring.reader.retire(owner) {
                    return; // an heir was faster
                }
            }
        }
        let (from, tail) = (ring.drained, ring.tail_hint());
        if tail > from {
            let words = format!("positions {from} to {tail} were given up by hog recover --abandon");
            self.lose(stream, from, tail, GapReason::Abandoned, &words);
        }
    }
}
