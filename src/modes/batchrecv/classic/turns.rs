//! How many segments of original senders are inflated at once: each may take as much memory as the longest transaction.
//!
//! Who has a turn has the memory for it, and gives it on to the next one, so that all of it together is bounded, whoever comes.

use crate::limits::CLASSIC_AT_ONCE;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often who waits looks whether it is to go on waiting.
const LOOK: Duration = Duration::from_millis(100);

/// Memory for one transaction.
#[derive(Default)]
pub(super) struct Memory {
    /// As it was sent.
    pub(super) transaction: Vec<u8>,
    /// As it is stored.
    pub(super) records: Vec<u8>,
}

/// The memory of those who have no turn just now.
pub(crate) struct Turns {
    free: Mutex<Vec<Memory>>,
    changed: Condvar,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            free: Mutex::new((0..CLASSIC_AT_ONCE).map(|_| Memory::default()).collect()),
            changed: Condvar::new(),
        }
    }
}

impl Turns {
    /// Waits for a turn, which ends when what is returned is dropped. `None`: `is_over`, which is asked now and then.
    pub(super) fn wait(&self, is_over: &dyn Fn() -> bool) -> Option<Turn<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(memory) = free.pop() {
                return Some(Turn { turns: self, memory });
            }
            if is_over() {
                return None;
            }
            (free, _) = self
                .changed
                .wait_timeout(free, LOOK)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A turn.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    memory: Memory,
}

impl Deref for Turn<'_> {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut free = self.turns.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(memory);
        self.turns.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_have_a_turn_and_memory_is_given_on() {
        let turns = Turns::default();
        let mut taken: Vec<_> = (0..CLASSIC_AT_ONCE).map(|_| turns.wait(&|| true).unwrap()).collect();
        assert!(turns.wait(&|| true).is_none());
        for turn in &mut taken {
            turn.records.reserve(1000);
        }
        drop(taken.pop());
        let next = turns.wait(&|| true).unwrap();
        assert!(next.records.capacity() >= 1000);
        drop(taken);
        std::thread::scope(|threads| {
            let last: Vec<_> = (1..CLASSIC_AT_ONCE).map(|_| turns.wait(&|| true).unwrap()).collect();
            let waiting = threads.spawn(|| turns.wait(&|| false).is_some());
            drop((next, last));
            assert!(waiting.join().unwrap());
        });
    }
}
