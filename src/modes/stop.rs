//! Ending in order: SIGTERM and SIGINT set a flag that every loop looks at.

use crate::fence::Pass;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The wish to end. Clones are the same wish.
#[derive(Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    changed: Arc<(Mutex<()>, Condvar)>,
    /// Raised by each look at the flag, if somebody wants to know that its owner still looks.
    looks: Option<Arc<AtomicU64>>,
    /// A worker is to end also when it was relieved.
    pass: Option<Pass>,
}

/// How often a waiter looks whether a signal came: the signal handler itself may only set the flag.
const LOOK: Duration = Duration::from_millis(100);

impl Stop {
    /// A wish that SIGTERM and SIGINT express. A second signal ends the process at once: everything is crash-safe.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop.flag))?;
            signal_hook::flag::register(signal, Arc::clone(&stop.flag))?;
        }
        // A limit on the size of files is to fail the write, as a full disk does, and not to end the process.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        Ok(stop)
    }

    /// The same wish, for a worker each of whose looks at it raises `looks`: its heartbeat. What other threads are given must be another clone.
    #[must_use]
    pub fn counting(&self, looks: &Arc<AtomicU64>) -> Self {
        Self {
            looks: Some(Arc::clone(looks)),
            ..self.clone()
        }
    }

    /// The same wish, for a worker that is to end also when it was relieved.
    #[must_use]
    pub fn until_relieved(&self, pass: &Pass) -> Self {
        Self {
            pass: Some(pass.clone()),
            ..self.clone()
        }
    }

    /// The same wish, for threads that a worker starts: their looks are not its moves.
    #[must_use]
    pub fn of_others(&self) -> Self {
        Self {
            looks: None,
            ..self.clone()
        }
    }

    /// Whether it is time to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        if let Some(looks) = &self.looks {
            looks.fetch_add(1, Ordering::Relaxed);
        }
        // A flag alone: no data hangs on it.
        self.flag.load(Ordering::Relaxed) || self.pass.as_ref().is_some_and(|pass| !pass.is_current())
    }

    /// Asks everybody to end.
    pub fn set(&self) {
        self.flag.store(true, Ordering::Relaxed);
        let _held = self.changed.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.1.notify_all();
    }

    /// The flag itself, for those who know nothing but flags.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// What looks at this wish raise, if somebody counts them: to be raised by calls that wait within a library and look at the flag themselves.
    #[must_use]
    pub fn looks(&self) -> Option<Arc<AtomicU64>> {
        self.looks.clone()
    }

    /// Waits for `time`, or less when it is time to end. Says whether it is.
    pub fn wait(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.is_set() || left.is_zero() {
                return self.is_set();
            }
            let held = self.changed.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.is_set() {
                drop(self.changed.1.wait_timeout(held, left.min(LOOK)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;

    #[test]
    fn each_look_of_a_worker_that_is_counted_counts_and_is_of_the_same_wish() {
        let (stop, looks) = (Stop::default(), Arc::<AtomicU64>::default());
        let counted = stop.counting(&looks);
        assert!(!counted.is_set() && !counted.clone().is_set() && !stop.is_set());
        assert_eq!(looks.load(Ordering::Relaxed), 2);
        stop.set();
        assert!(counted.wait(Duration::from_secs(60)));
        assert!(looks.load(Ordering::Relaxed) > 2);
    }

    #[test]
    fn a_worker_that_was_relieved_is_to_end_and_nobody_else_is() {
        let (stop, fence, looks) = (Stop::default(), Arc::<Fence>::default(), Arc::<AtomicU64>::default());
        let mine = stop.counting(&looks).until_relieved(&fence.pass());
        let of_my_thread = mine.of_others();
        assert!(!mine.is_set() && !of_my_thread.is_set());
        assert_eq!(looks.load(Ordering::Relaxed), 1, "another thread's look is not mine");
        let next = fence.relieve().unwrap();
        assert!(mine.is_set() && of_my_thread.is_set());
        assert!(!stop.is_set() && !stop.until_relieved(&next).is_set());
    }
}
