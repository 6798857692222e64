//! What others can make us say again and again is said once, then counted, and the count said now and then: a peer that connects a thousand times a second must
//! fill neither the log nor the database. Decides only; time is an argument.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long things of a kind are only counted, after one was said.
const EVERY: Duration = Duration::from_secs(60);

/// Remembers what was said of each kind. Kinds are few, and ours.
#[derive(Debug, Default)]
pub struct Rarely {
    kinds: Mutex<HashMap<&'static str, Said>>,
}

#[derive(Debug)]
struct Said {
    /// Since when they are counted.
    at: Instant,
    said: u64,
    unsaid: u64,
}

impl Rarely {
    /// Something of `kind` came at `now`. Whether it is to be said, of which `most` are in a minute.
    pub fn is_to_be_said(&self, kind: &'static str, most: u64, now: Instant) -> bool {
        let mut kinds = self.lock();
        let said = kinds.entry(kind).or_insert(Said {
            at: now,
            said: 0,
            unsaid: 0,
        });
        let is_to_be = said.said < most;
        *(if is_to_be { &mut said.said } else { &mut said.unsaid }) += 1;
        is_to_be
    }

    /// The kinds of which it is time to say how often they came since. Those that did not come are said again when they do.
    pub fn due(&self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut due = Vec::new();
        self.lock().retain(|kind, said| {
            if now.saturating_duration_since(said.at) < EVERY {
                return true;
            }
            if said.unsaid == 0 {
                return false;
            }
            due.push((*kind, std::mem::take(&mut said.unsaid)));
            said.at = now;
            true
        });
        due
    }

    /// The same at the end, whether it is time or not.
    pub fn rest(&self) -> Vec<(&'static str, u64)> {
        let mut kinds = self.lock();
        let all = kinds.drain().map(|(kind, said)| (kind, said.unsaid));
        all.filter(|(_, unsaid)| *unsaid > 0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Said>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_is_said_and_the_others_are_counted() {
        let (rarely, now) = (Rarely::default(), Instant::now());
        assert!(rarely.is_to_be_said("a", 1, now) && rarely.is_to_be_said("b", 1, now));
        for _ in 0..5 {
            assert!(!rarely.is_to_be_said("a", 1, now));
        }
        assert!(rarely.due(now + EVERY / 2).is_empty());
        assert_eq!(rarely.due(now + EVERY), [("a", 5)]);
        assert!(!rarely.is_to_be_said("a", 1, now + EVERY), "it goes on");
        assert!(rarely.is_to_be_said("b", 1, now + EVERY), "it had stopped");
        assert_eq!(rarely.rest(), [("a", 1)]);
        assert!(rarely.rest().is_empty());
        let said = (0..5).filter(|_| rarely.is_to_be_said("c", 3, now)).count();
        assert_eq!((said, rarely.rest()), (3, vec![("c", 2)]));
    }
}
