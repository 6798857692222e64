//! Memory: what frames are taken in with, lent to connections frame by frame, so that 500 senders cost little more of it than a few.
//!
//! A short frame takes its room from the heap. For a long one, room is lent as soon as its header is there, and given back when it is stored; there are
//! [`ROOMS_MAX`]. Decompressors are lent while a body is judged, which waits for nobody. Who gets what was given back last finds it in the processor's
//! caches.
//!
//! A peer that sends half a frame, and then nothing, or a group whose disk hangs keeps its room. Others must not wait for that, so whoever has waited for
//! [`WAIT_MAX`] gets room all the same, which is freed when it comes back: what bounds memory then is the number of connections.

use crate::formats::codec::Decompressor;
use crate::limits::{DECOMPRESSORS_MAX, ROOMS_MAX, SHORT_BODY_MAX};
use crate::seglog::batch::FrameBatch;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long one waits for what others use.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What the connections of a receiver share.
pub struct Memory {
    rooms: Pool<FrameBatch>,
    decompressors: Pool<Decompressor>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            rooms: Pool::new(ROOMS_MAX, WAIT_MAX),
            decompressors: Pool::new(DECOMPRESSORS_MAX, WAIT_MAX),
        }
    }
}

impl Memory {
    /// Has `work` done with an empty batch for a frame whose body is so long.
    ///
    /// # Errors
    /// As `work`.
    pub fn with_room<R, E: From<io::Error>>(
        &self,
        body_len: usize,
        work: impl FnOnce(&mut FrameBatch) -> Result<R, E>,
    ) -> Result<R, E> {
        if body_len <= SHORT_BODY_MAX {
            return work(&mut FrameBatch::default());
        }
        let make = || Ok(FrameBatch::default());
        self.rooms.with(make, |batch| {
            batch.clear();
            work(batch)
        })
    }

    /// Has `work` done, which waits for nobody, with a decompressor.
    ///
    /// # Errors
    /// As `work`, and when there is no memory for one.
    pub fn with_decompressor<R, E: From<io::Error>>(
        &self,
        work: impl FnOnce(&mut Decompressor) -> Result<R, E>,
    ) -> Result<R, E> {
        self.decompressors.with(Decompressor::new, work)
    }
}

/// Things of one kind.
struct Pool<T> {
    state: Mutex<PoolState<T>>,
    came_back: Condvar,
    most: usize,
    wait_max: Duration,
}

struct PoolState<T> {
    /// Those that are not lent, the one that came back last at the end.
    free: Vec<T>,
    lent: usize,
}

impl<T> Pool<T> {
    fn new(most: usize, wait_max: Duration) -> Self {
        let (free, lent) = (Vec::new(), 0);
        Self {
            state: Mutex::new(PoolState { free, lent }),
            came_back: Condvar::new(),
            most,
            wait_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState<T>> {
        // Every change is complete before the guard goes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R, E: From<io::Error>>(
        &self,
        make: impl FnOnce() -> io::Result<T>,
        work: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        let all_are_lent = |state: &mut PoolState<T>| state.free.is_empty() && state.lent >= self.most;
        let waited = self
            .came_back
            .wait_timeout_while(self.lock(), self.wait_max, all_are_lent);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let found = state.free.pop();
        state.lent += 1;
        drop(state);
        // What a panic was met with does not come back; its place does.
        let _place = Place { pool: self };
        let mut thing = match found {
            Some(found) => found,
            None => make()?,
        };
        let done = work(&mut thing);
        let mut state = self.lock();
        if state.lent <= self.most {
            state.free.push(thing);
        }
        done
    }
}

/// A thing is lent.
struct Place<'a, T> {
    pool: &'a Pool<T>,
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.pool.lock().lent -= 1;
        self.pool.came_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_are_made_than_there_are_to_be_and_all_who_want_one_get_one() {
        let (pool, made) = (Pool::new(2, Duration::from_secs(60)), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..100 {
                        let make = || Ok(made.fetch_add(1, Ordering::SeqCst));
                        let work = |_: &mut usize| {
                            std::thread::yield_now();
                            Ok::<_, io::Error>(())
                        };
                        pool.with(make, work).unwrap();
                    }
                });
            }
        });
        let state = pool.lock();
        assert!(made.into_inner() <= 2 && state.free.len() <= 2 && state.lent == 0);
    }

    #[test]
    fn who_has_waited_enough_gets_one_that_is_not_kept() {
        let (pool, made) = (Pool::new(1, Duration::from_millis(1)), AtomicUsize::new(0));
        let make = || Ok(made.fetch_add(1, Ordering::SeqCst));
        let both = pool.with(make, |first| {
            let first = *first;
            pool.with(make, |second| Ok::<_, io::Error>((first, *second)))
        });
        assert_eq!(both.unwrap(), (0, 1));
        let state = pool.lock();
        assert_eq!((&state.free[..], state.lent), (&[0][..], 0));
    }

    #[test]
    fn the_place_of_one_that_a_panic_was_met_with_is_free_again() {
        let pool = Pool::new(1, Duration::from_secs(60));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.with(|| Ok(1), |_| -> io::Result<()> { panic!("within") })
        }));
        assert!(panicked.is_err());
        assert_eq!(pool.with(|| Ok(2), |thing| Ok::<_, io::Error>(*thing)).unwrap(), 2);
    }
}
