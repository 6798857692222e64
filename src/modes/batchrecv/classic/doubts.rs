//! Which segments their senders may send again although they are stored.
//!
//! An original sender sends a segment again until it has read the answer. When its connection ends, and its kernel has not acknowledged that answer, it
//! may never have had it. If the next connection of that group from that address begins with the very same segment, that is the same one, and
//! only the answer is given again. Under any other condition what comes is stored: of two wrongs, a doubled segment beats a lost one.
//!
//! This is kept in memory: a receiver that was killed stores what is sent again.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// SHA-256 of a segment as it was sent.
pub(crate) type Digest = [u8; 32];

/// So many are remembered; the oldest is forgotten for one more.
const DOUBTS_MAX: usize = 4096;
/// An original sender tries again every ten seconds. After this, equal bytes are rather something new that looks the same.
const DOUBT_LASTS: Duration = Duration::from_secs(600);

/// The last segments of connections that ended while the answer was under way.
#[derive(Default)]
pub(crate) struct Doubts(Mutex<VecDeque<Doubt>>);

struct Doubt {
    group: String,
    peer: IpAddr,
    segment: Digest,
    since: Instant,
}

impl Doubts {
    /// A connection of `group` from `peer` ended, whose last accepted segment is `segment`, and the answer to it was not acknowledged.
    pub(crate) fn note(&self, group: &str, peer: IpAddr, segment: Digest, now: Instant) {
        let mut doubts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if doubts.len() >= DOUBTS_MAX {
            doubts.pop_front();
        }
        doubts.push_back(Doubt {
            group: group.to_owned(),
            peer,
            segment,
            since: now,
        });
    }

    /// Whether `segment`, the first of a connection of `group` from `peer`, is one of those. It is one once.
    pub(crate) fn resolve(&self, group: &str, peer: IpAddr, segment: &Digest, now: Instant) -> bool {
        let mut doubts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doubts.retain(|doubt| now.saturating_duration_since(doubt.since) < DOUBT_LASTS);
        let place = doubts
            .iter()
            .position(|doubt| doubt.group == group && doubt.peer == peer && doubt.segment == *segment);
        place.and_then(|place| doubts.remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_the_same_only_of_the_same_group_and_peer_and_only_once() {
        let (doubts, now) = (Doubts::default(), Instant::now());
        let (peer, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        doubts.note("web", peer, [7; 32], now);
        assert!(!doubts.resolve("web", other, &[7; 32], now));
        assert!(!doubts.resolve("db", peer, &[7; 32], now));
        assert!(!doubts.resolve("web", peer, &[8; 32], now));
        assert!(doubts.resolve("web", peer, &[7; 32], now));
        assert!(!doubts.resolve("web", peer, &[7; 32], now));
    }

    #[test]
    fn doubts_are_few_and_do_not_last() {
        let (doubts, now) = (Doubts::default(), Instant::now());
        let peer = IpAddr::from([10, 0, 0, 1]);
        doubts.note("web", peer, [0; 32], now);
        assert!(!doubts.resolve("web", peer, &[0; 32], now + DOUBT_LASTS));
        for number in 0..=DOUBTS_MAX {
            doubts.note(&number.to_string(), peer, [1; 32], now);
        }
        assert!(!doubts.resolve("0", peer, &[1; 32], now));
        assert!(doubts.resolve("1", peer, &[1; 32], now));
    }
}
