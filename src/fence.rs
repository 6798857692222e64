//! Generations of a worker: who of those that were given the same work may still do it.
//!
//! A worker that does not move is followed by another of the next generation. It cannot be ended, since a thread in a system call hears nothing; it may
//! wake up at any time, between any two instructions, with all that it knew. So whatever it does that others see goes through [`Pass::act`]: the look at
//! the generation and the act are one critical section, and [`Fence::relieve`] enters the same one. After `relieve` returned, no act of an
//! earlier generation is under way, and none begins.
//!
//! Acts are stores in memory, and calls that do not wait: a worker that stalls within one could not be relieved. A write to a file is no act. It may end
//! at any time, and harms nobody as long as what makes it count (the accepted length of a segment, say) is one.

use hog_ring::mutant;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use thiserror::Error;

/// Another one does this work now.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("another worker took this one's place, because it did not move")]
pub struct Relieved;

/// What stands between a worker and its predecessors.
#[derive(Debug, Default)]
pub struct Fence {
    /// Changed only with the gate held; read without it where a late answer does no harm.
    generation: AtomicU64,
    gate: Mutex<()>,
}

impl Fence {
    /// What the present generation acts with.
    #[must_use]
    pub fn pass(self: &Arc<Self>) -> Pass {
        Pass {
            generation: self.generation.load(Ordering::Acquire),
            fence: Arc::clone(self),
        }
    }

    /// Ends the present generation, and gives the next one its pass. `None` while an act is under way: it is to be tried again, since whoever relieves
    /// others waits for nobody.
    #[must_use]
    pub fn relieve(self: &Arc<Self>) -> Option<Pass> {
        let _gate = match self.gate.try_lock() {
            Ok(gate) => gate,
            Err(TryLockError::Poisoned(gate)) => gate.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        Some(Pass {
            generation,
            fence: Arc::clone(self),
        })
    }
}

/// What a worker acts with. Clones are of the same generation.
#[derive(Clone, Debug)]
pub struct Pass {
    fence: Arc<Fence>,
    generation: u64,
}

impl Default for Pass {
    /// Of a worker that nobody ever relieves.
    fn default() -> Self {
        Arc::<Fence>::default().pass()
    }
}

impl Pass {
    /// Which it is: what two of them may make at once is to have two names.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether somebody was relieved before its holder came, and may hang still.
    #[must_use]
    pub fn has_predecessor(&self) -> bool {
        self.generation > 0
    }

    /// Whether its holder is still the one that does this work. A moment later it may not be: whatever others see needs [`Pass::act`].
    #[must_use]
    pub fn is_current(&self) -> bool {
        // Acquire pairs with the AcqRel of relieve.
        self.fence.generation.load(Ordering::Acquire) == self.generation || mutant::on("stalled-worker-writes-on")
    }

    /// Does `act`, unless its holder was relieved. `act` waits for nothing, and does not come here again with a pass of the same fence.
    ///
    /// # Errors
    /// When it was relieved; nothing was done then.
    pub fn act<T>(&self, act: impl FnOnce() -> T) -> Result<T, Relieved> {
        let _gate = self.fence.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_current() { Ok(act()) } else { Err(Relieved) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_relieved_acts_no_more_and_the_next_one_does() {
        let fence = Arc::<Fence>::default();
        let first = fence.pass();
        assert_eq!(first.act(|| 1), Ok(1));
        let second = fence.relieve().unwrap();
        assert!(!first.is_current() && second.is_current());
        assert_eq!((first.clone().act(|| 1), second.act(|| 2)), (Err(Relieved), Ok(2)));
        assert_eq!(fence.pass().act(|| 3), Ok(3));
    }

    #[test]
    fn no_act_of_the_relieved_is_under_way_once_it_is_relieved() {
        for _ in 0..200 {
            let fence = Arc::<Fence>::default();
            let (pass, place) = (fence.pass(), AtomicU64::new(0));
            std::thread::scope(|threads| {
                threads.spawn(|| while pass.act(|| place.store(1, Ordering::Relaxed)).is_ok() {});
                let next = loop {
                    if let Some(next) = fence.relieve() {
                        break next;
                    }
                };
                next.act(|| place.store(2, Ordering::Relaxed)).unwrap();
            });
            assert_eq!(place.into_inner(), 2);
        }
    }
}
