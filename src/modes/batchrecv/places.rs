//! Places: how many may be connected, and who gives way to whom.
//!
//! Whoever connects is nobody until it said who it is. There are a few places for nobodies, apart from those for senders, and the oldest of them gives way
//! when one more comes, once it has had a moment to speak: so those who connect and say nothing, however many, keep no sender out, which says HELLO at once. An original sender says
//! nothing either while nothing is logged, for days if need be; when all places of senders are taken, one of those gives way.

use crate::limits::{CONNECTIONS_MAX, HANDSHAKES_MAX};
use crate::modes::stop::Stop;
use crate::os::net::Line;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one that gave way may take to be gone, before another is let in all the same, or refused.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// So long whoever connects has for HELLO before it may have to give way: when a receiver comes back, hundreds of senders come at once, and have to be given
/// the time to speak.
const SPEAKS_WITHIN: Duration = Duration::from_millis(50);

/// Who is connected.
#[derive(Default)]
pub(super) struct Places {
    /// Those that have not said HELLO, oldest first.
    nobodies: Mutex<VecDeque<Nobody>>,
    /// As many threads there are of them, those that gave way and are not gone yet among them.
    present: AtomicUsize,
    /// Those that have.
    seats: AtomicUsize,
    /// Of these, original senders that have nothing to send just now, the one that has been silent for the longest first; each with what asks it to end.
    idle: Mutex<VecDeque<(u64, Arc<AtomicBool>)>>,
}

/// Somebody who has not said HELLO.
struct Nobody {
    token: u64,
    stream: TcpStream,
    since: Instant,
}

impl Places {
    /// Lets a nobody in; the oldest gives way if need be, and if it has had its time, which is waited for. `displaced` is told.
    pub(super) fn enter(self: &Arc<Self>, token: u64, stream: TcpStream, stop: &Stop, displaced: impl Fn()) -> Place {
        while !self.has_room(&displaced) && !stop.is_set() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let since = Instant::now();
        self.lock().push_back(Nobody { token, stream, since });
        // Connections must not come faster than the threads of those that gave way end.
        let mut waited = Duration::ZERO;
        while self.present.load(Ordering::SeqCst) >= 2 * HANDSHAKES_MAX && waited < GONE_WITHIN && !stop.is_set() {
            std::thread::sleep(Duration::from_millis(1));
            waited += Duration::from_millis(1);
        }
        self.present.fetch_add(1, Ordering::SeqCst);
        Place {
            places: Arc::clone(self),
            token,
        }
    }

    /// Whether one more may come in, perhaps because the oldest gave way.
    fn has_room(&self, displaced: &impl Fn()) -> bool {
        let mut nobodies = self.lock();
        let is_full = nobodies.len() >= HANDSHAKES_MAX;
        let had_time = nobodies
            .front()
            .is_some_and(|oldest| oldest.since.elapsed() >= SPEAKS_WITHIN);
        if is_full
            && had_time
            && let Some(oldest) = nobodies.pop_front()
        {
            oldest.stream.hang_up();
            displaced();
            return true;
        }
        !is_full
    }

    /// A place for a sender, if there is one, or an original sender that is silent gives its own, which `displaced` is told.
    pub(super) fn take_seat(self: &Arc<Self>, token: u64, stop: &Stop, displaced: impl Fn()) -> Option<Seat> {
        if let Some(seat) = self.take_free_seat(token) {
            return Some(seat);
        }
        let (_, over) = self.lock_idle().pop_front()?;
        over.store(true, Ordering::Relaxed); // a flag alone: no data hangs on it
        displaced();
        let mut waited = Duration::ZERO;
        while waited < GONE_WITHIN && !stop.is_set() {
            if let Some(seat) = self.take_free_seat(token) {
                return Some(seat);
            }
            std::thread::sleep(Duration::from_millis(1));
            waited += Duration::from_millis(1);
        }
        None
    }

    fn take_free_seat(self: &Arc<Self>, token: u64) -> Option<Seat> {
        let seat = Seat {
            places: Arc::clone(self),
            token,
        };
        // One too many gives its seat back when it is dropped.
        (self.seats.fetch_add(1, Ordering::SeqCst) < CONNECTIONS_MAX).then_some(seat)
    }

    fn lock_idle(&self) -> MutexGuard<'_, VecDeque<(u64, Arc<AtomicBool>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Nobody>> {
        self.nobodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a nobody.
pub(super) struct Place {
    places: Arc<Places>,
    token: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().retain(|nobody| nobody.token != self.token);
        self.places.present.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The place of a sender.
pub(super) struct Seat {
    places: Arc<Places>,
    token: u64,
}

impl Seat {
    /// Its owner has nothing to send while what is returned lives: until then it may have to give its place up, which `over` tells it.
    pub(super) fn idle(&self, over: &Arc<AtomicBool>) -> Idle {
        self.places.lock_idle().push_back((self.token, Arc::clone(over)));
        Idle {
            places: Arc::clone(&self.places),
            token: self.token,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.seats.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The idleness of a sender.
pub(super) struct Idle {
    places: Arc<Places>,
    token: u64,
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.places.lock_idle().retain(|(token, _)| *token != self.token);
    }
}
