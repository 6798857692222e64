//! Memory: what frames are taken in with, lent to connections frame by frame, so that 500 senders cost little more of it than a few.
//!
//! A short frame takes its room from the heap. For a long one, room is lent as soon as its header is there, and given back when it is stored; there are
//! [`ROOMS_MAX`]. Decompressors are lent while a body is judged, which waits for nobody. Who gets what was given back last finds it in the processor's
//! caches.
//!
//! A peer that is slow, or sends half a frame and then nothing, or a group whose disk hangs keeps its room. Others must not wait for that frame by frame, so what
//! has been lent for [`COUNTS_FOR`] does not count any more, and nobody waits for longer than that; what is more than there are to be is freed when it comes back.
//! What bounds memory then is the number of connections.

use crate::formats::codec::Decompressor;
use crate::limits::{DECOMPRESSORS_MAX, ROOMS_MAX, SHORT_BODY_MAX};
use crate::seglog::batch::FrameBatch;
use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long what is lent counts among what others wait for, and how long one waits for it.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// What the connections of a receiver share.
pub struct Memory {
    rooms: Pool<FrameBatch>,
    decompressors: Pool<Decompressor>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            rooms: Pool::new(ROOMS_MAX, COUNTS_FOR),
            decompressors: Pool::new(DECOMPRESSORS_MAX, COUNTS_FOR),
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
    counts_for: Duration,
}

struct PoolState<T> {
    /// Those that are not lent, the one that came back last at the end.
    free: Vec<T>,
    lent: Lent,
}

/// Since when each is lent that is, the oldest first.
#[derive(Default)]
struct Lent {
    since: VecDeque<(u64, Instant)>,
    next: u64,
}

impl Lent {
    fn enter(&mut self, now: Instant) -> u64 {
        self.next += 1;
        self.since.push_back((self.next, now));
        self.next
    }

    fn leave(&mut self, number: u64) {
        self.since.retain(|(lent, _)| *lent != number);
    }

    /// How many were lent within `counts_for`.
    fn counted(&self, now: Instant, counts_for: Duration) -> usize {
        let is_old = |(_, since): &(u64, Instant)| now.saturating_duration_since(*since) >= counts_for;
        self.since.len() - self.since.partition_point(is_old)
    }

    /// How long to wait before one more may be lent beside `most`, unless one comes back; `None`: at once.
    fn wait(&self, now: Instant, most: usize, counts_for: Duration) -> Option<Duration> {
        let counted = self.counted(now, counts_for);
        // Of those that count, the oldest that has to count no more.
        let (_, since) = self
            .since
            .get(self.since.len() - counted + counted.checked_sub(most)?)?;
        Some((*since + counts_for).saturating_duration_since(now))
    }
}

impl<T> Pool<T> {
    fn new(most: usize, counts_for: Duration) -> Self {
        let (free, lent) = (Vec::new(), Lent::default());
        Self {
            state: Mutex::new(PoolState { free, lent }),
            came_back: Condvar::new(),
            most,
            counts_for,
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
        let (found, number) = self.lend();
        // What a panic was met with does not come back; its place does.
        let _place = Place { pool: self, number };
        let mut thing = match found {
            Some(found) => found,
            None => make()?,
        };
        let done = work(&mut thing);
        let mut state = self.lock();
        state.lent.leave(number); // it is among the free ones, or freed
        if state.free.len() + state.lent.counted(Instant::now(), self.counts_for) < self.most {
            state.free.push(thing);
        }
        done
    }

    /// Waits until one is free or may be made. What is free, and what this is called among those that are lent.
    fn lend(&self) -> (Option<T>, u64) {
        let give_up_at = Instant::now() + self.counts_for;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let wait = match state.free.is_empty() {
                true => state.lent.wait(now, self.most, self.counts_for),
                false => None,
            };
            let Some(wait) = wait.filter(|_| now < give_up_at) else {
                let found = state.free.pop();
                return (found, state.lent.enter(now));
            };
            let waited = self.came_back.wait_timeout(state, wait.min(give_up_at - now));
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thing is lent.
struct Place<'a, T> {
    pool: &'a Pool<T>,
    number: u64,
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.pool.lock().lent.leave(self.number);
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
        assert!(made.into_inner() <= 2 && state.free.len() <= 2 && state.lent.since.is_empty());
    }

    #[test]
    fn who_has_waited_enough_gets_one_and_no_more_are_kept_than_there_are_to_be() {
        let (pool, made) = (Pool::new(1, Duration::from_millis(1)), AtomicUsize::new(0));
        let make = || Ok(made.fetch_add(1, Ordering::SeqCst));
        let both = pool.with(make, |first| {
            let first = *first;
            pool.with(make, |second| Ok::<_, io::Error>((first, *second)))
        });
        assert_eq!(both.unwrap(), (0, 1));
        let state = pool.lock();
        assert_eq!((state.free.len(), state.lent.since.len()), (1, 0));
    }

    #[test]
    fn what_is_lent_for_long_counts_no_more_and_holds_up_nobody() {
        let (most, counts_for) = (2, Duration::from_secs(10));
        let (start, mut lent) = (Instant::now(), Lent::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let wait = |lent: &Lent, seconds| lent.wait(at(seconds), most, counts_for).map(|wait| wait.as_secs());
        let first = lent.enter(at(0));
        assert_eq!(wait(&lent, 0), None);
        lent.enter(at(4));
        assert_eq!(
            (wait(&lent, 4), wait(&lent, 9), wait(&lent, 10)),
            (Some(6), Some(1), None)
        );
        lent.enter(at(11));
        assert_eq!((wait(&lent, 11), wait(&lent, 14)), (Some(3), None));
        lent.enter(at(11));
        assert_eq!(
            (wait(&lent, 14), wait(&lent, 20), wait(&lent, 21)),
            (Some(7), Some(1), None)
        );
        lent.leave(first);
        assert_eq!(
            (lent.counted(at(12), counts_for), lent.counted(at(40), counts_for)),
            (3, 0)
        );
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
