//! Ending in order: SIGTERM and SIGINT set a flag that every loop looks at.

use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The wish to end. Clones are the same wish.
#[derive(Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    changed: Arc<(Mutex<()>, Condvar)>,
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
        Ok(stop)
    }

    /// Whether it is time to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed) // a flag alone: no data hangs on it
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
