//! Ending in order: SIGTERM and SIGINT set a flag that every loop looks at.
//!
//! A signal's handler may do no more than that. So a thread hears of the signal too, and wakes all who wait: none of them looks up again and again for it. They
//! look up as often as [`MOVE_EVERY`] says for their supervisor, who takes for hanging who does not.

use crate::fence::Pass;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// The wish to end. Clones are the same wish.
#[derive(Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    alarm: Arc<Alarm>,
    /// Raised by each look at the flag, if somebody wants to know that its owner still looks.
    looks: Option<Arc<AtomicU64>>,
    /// A worker is to end also when it was relieved.
    pass: Option<Pass>,
}

/// Whom the wish wakes.
#[derive(Default)]
struct Alarm {
    wakes: Mutex<Wakes>,
    /// For those who wait for nothing else.
    changed: Condvar,
}

#[derive(Default)]
struct Wakes {
    by_number: BTreeMap<u64, Arc<dyn Fn() + Send + Sync>>,
    next: u64,
}

impl Alarm {
    fn wakes(&self) -> MutexGuard<'_, Wakes> {
        // Every change is complete before the guard goes.
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it is there, somebody is woken once it is time to end ([`Stop::on_set`]).
#[must_use = "nobody is woken once it is dropped"]
pub struct Waking {
    alarm: Arc<Alarm>,
    number: u64,
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.alarm.wakes().by_number.remove(&self.number);
    }
}

/// As often at least a worker that waits looks whether it is to end, and so shows that it does not hang.
pub const MOVE_EVERY: Duration = Duration::from_millis(100);

const _: () = assert!(MOVE_EVERY.as_secs() == 0); // calls that wait are given its nanoseconds

impl Stop {
    /// A wish that SIGTERM and SIGINT express. A second signal ends the process at once: everything is crash-safe.
    ///
    /// # Errors
    /// When the handlers cannot be installed, or the thread that wakes those who wait cannot be started.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop.flag))?;
            signal_hook::flag::register(signal, Arc::clone(&stop.flag))?;
        }
        // Behind the flag: whoever is woken finds it set.
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let told = stop.clone();
        Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                told.set();
            }
        })?;
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
        let wakes: Vec<_> = {
            let held = self.alarm.wakes();
            self.alarm.changed.notify_all();
            held.by_number.values().cloned().collect()
        };
        for wake in wakes {
            wake();
        }
    }

    /// From now on, and as long as the answer is held, `wake` is called once it is time to end, at once if it is already. That may be more than once, by any thread;
    /// it must wait for nothing. Who was relieved is not woken.
    pub fn on_set(&self, wake: impl Fn() + Send + Sync + 'static) -> Waking {
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        let number = {
            let mut wakes = self.alarm.wakes();
            wakes.next += 1;
            let number = wakes.next;
            wakes.by_number.insert(number, Arc::clone(&wake));
            number
        };
        // Behind its entry: whoever sets the flag later finds that.
        if self.flag.load(Ordering::Relaxed) {
            wake();
        }
        Waking {
            alarm: Arc::clone(&self.alarm),
            number,
        }
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
            let held = self.alarm.wakes();
            if !self.flag.load(Ordering::Relaxed) {
                drop(self.alarm.changed.wait_timeout(held, left.min(MOVE_EVERY)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;
    use crate::modes::bell::Bell;

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

    #[test]
    fn the_wish_wakes_whoever_waits_for_something_else_before_it_or_after_and_no_longer_than_that() {
        let stop = Stop::default();
        let times = || {
            let woken = Arc::<AtomicU64>::default();
            let told = Arc::clone(&woken);
            let waking = stop.clone().on_set(move || {
                told.fetch_add(1, Ordering::Relaxed);
            });
            (woken, waking)
        };
        let [(before, _held), (gone, waking)] = [times(), times()];
        drop(waking);
        assert_eq!(before.load(Ordering::Relaxed), 0);
        stop.set();
        let (after, _held) = times();
        let counts = [before, gone, after].map(|woken| woken.load(Ordering::Relaxed));
        assert_eq!(counts, [1, 0, 1]);
    }

    #[test]
    fn a_signal_wakes_who_waits_for_something_else() {
        let (stop, bell) = (Stop::on_signals().unwrap(), Bell::default());
        let rope = bell.clone();
        let _waking = stop.on_set(move || rope.ring());
        assert!(bell.rung().is_empty());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(bell.rung().recv_timeout(Duration::from_secs(60)).is_ok());
        assert!(stop.is_set());
    }
}
