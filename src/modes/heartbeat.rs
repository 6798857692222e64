//! When a service manager may be told that all is well: only once every worker on the data path has moved since it was told last.
//!
//! A worker moves by raising a count of its own, in each turn of its loop and each time that it looks whether what it waits for has come. So
//! a worker that waits for room on a disk is well, and one that hangs in a call is not, nor is one that died and is not there again.
//! Deciding is done here, without clock or socket; `service.rs` tells.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Says how often a worker has moved.
pub type Moves = Box<dyn Fn() -> u64 + Send>;

/// The workers whose moves count. Clones are the same workers.
#[derive(Clone, Default)]
pub struct Hearts {
    watched: Arc<Mutex<Vec<(String, Moves)>>>,
}

impl Hearts {
    /// From now on the worker called `name` has to move too.
    pub fn watch(&self, name: &str, moves: impl Fn() -> u64 + Send + 'static) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push((name.to_owned(), Box::new(moves)));
    }

    /// How often each worker has moved so far, in the order in which they came.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.iter().map(|(_, moves)| moves()).collect()
    }

    /// What the worker at `place` is called.
    #[must_use]
    pub fn name(&self, place: usize) -> String {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.get(place).map_or_else(String::new, |(name, _)| name.clone())
    }
}

/// What to do about a watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Tell it that all is well.
    Feed,
    /// Not yet: these workers, by their places, have not moved since it was told last.
    Wait(Vec<usize>),
}

/// Decides when to tell a watchdog that all is well.
#[derive(Debug, Default)]
pub struct Watchdog {
    /// The counts when it was told last.
    told: Vec<u64>,
}

impl Watchdog {
    /// Judges the counts as they are now. Workers are only ever added, at the end.
    pub fn judge(&mut self, counts: &[u64]) -> Verdict {
        let still: Vec<_> = (0..counts.len())
            .filter(|&place| self.told.get(place) == Some(&counts[place]))
            .collect();
        // Where nobody is watched nobody can be said to be well.
        if still.is_empty() && !counts.is_empty() {
            counts.clone_into(&mut self.told);
            Verdict::Feed
        } else {
            Verdict::Wait(still)
        }
    }
}

/// How often to judge, when the watchdog bites after `period` without a word: often enough for one missed look, or two.
#[must_use]
pub fn look_every(period: Duration) -> Duration {
    (period / 4).clamp(Duration::from_millis(10), Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_watchdog_is_fed_only_once_every_worker_has_moved() {
        let mut watchdog = Watchdog::default();
        assert_eq!(watchdog.judge(&[0, 0]), Verdict::Feed);
        assert_eq!(watchdog.judge(&[0, 0]), Verdict::Wait(vec![0, 1]));
        assert_eq!(watchdog.judge(&[5, 0]), Verdict::Wait(vec![1]));
        assert_eq!(watchdog.judge(&[9, 0]), Verdict::Wait(vec![1]));
        assert_eq!(watchdog.judge(&[9, 1]), Verdict::Feed);
        assert_eq!(watchdog.judge(&[9, 2]), Verdict::Wait(vec![0]));
        assert_eq!(watchdog.judge(&[10, 2]), Verdict::Feed);
    }

    #[test]
    fn a_worker_that_comes_later_has_to_move_from_then_on() {
        let mut watchdog = Watchdog::default();
        assert_eq!(watchdog.judge(&[]), Verdict::Wait(vec![]));
        assert_eq!(watchdog.judge(&[0]), Verdict::Feed);
        assert_eq!(watchdog.judge(&[0]), Verdict::Wait(vec![0]));
        assert_eq!(watchdog.judge(&[1, 0]), Verdict::Feed);
        assert_eq!(watchdog.judge(&[2, 0]), Verdict::Wait(vec![1]));
    }

    #[test]
    fn workers_are_asked_each_time_and_known_by_name() {
        let (hearts, moves) = (Hearts::default(), Arc::new(AtomicU64::new(3)));
        let same = Arc::clone(&moves);
        hearts.watch("drain web", move || same.load(Ordering::Relaxed));
        assert_eq!(hearts.counts(), [3]);
        moves.store(7, Ordering::Relaxed);
        assert_eq!(
            (hearts.clone().counts(), hearts.name(0)),
            (vec![7], "drain web".to_owned())
        );
    }

    #[test]
    fn a_watchdog_is_looked_after_several_times_in_its_period() {
        for period in [1, 100, 1000, 120_000, 3_600_000].map(Duration::from_millis) {
            assert!(look_every(period) <= (period / 4).max(Duration::from_millis(10)));
        }
    }
}
