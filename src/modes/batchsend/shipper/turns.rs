//! Whose turn it is: threads work side by side at what must leave in its order.
//!
//! Work is numbered from 0 without gaps, and each number is taken by one thread, lower ones first. So whoever waits for its turn waits for threads that have
//! theirs or wait themselves, and never for work that nobody took. A turn that is dropped, by an error or a panic, is the end for all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Debug)]
enum Next {
    Number(u64),
    /// Somebody failed: what comes behind it must not leave.
    Over,
}

impl Default for Next {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// Somebody before failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over;

/// The right to be the one whose work leaves, once all before it has left.
#[must_use]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
    has_come: bool,
    has_passed: bool,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Next> {
        // Every change is one store.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of work `number`, which nobody else takes.
    pub(super) fn of(&self, number: u64) -> Turn<'_> {
        Turn {
            turns: self,
            number,
            has_come: false,
            has_passed: false,
        }
    }

    /// How much has left; `None` once that is over.
    pub(super) fn passed(&self) -> Option<u64> {
        match *self.lock() {
            Next::Number(number) => Some(number),
            Next::Over => None,
        }
    }
}

impl Turn<'_> {
    /// Whether it has come. Nobody is waited for.
    pub(super) fn has_come(&mut self) -> bool {
        self.has_come = self.has_come || self.turns.passed() == Some(self.number);
        self.has_come
    }

    /// Waits until it has come.
    ///
    /// # Errors
    /// When somebody before failed.
    pub(super) fn wait(&mut self) -> Result<(), Over> {
        if self.has_come {
            return Ok(());
        }
        let is_before = |next: &mut Next| matches!(next, Next::Number(number) if *number < self.number);
        let next = self.turns.changed.wait_while(self.turns.lock(), is_before);
        match *next.unwrap_or_else(PoisonError::into_inner) {
            Next::Number(_) => {
                self.has_come = true;
                Ok(())
            }
            Next::Over => Err(Over),
        }
    }

    /// All of its work has left: it is the next one's turn.
    ///
    /// # Errors
    /// When somebody before failed.
    pub(super) fn pass(mut self) -> Result<(), Over> {
        self.wait()?;
        self.has_passed = true;
        self.set(Next::Number(self.number + 1));
        Ok(())
    }

    fn set(&self, next: Next) {
        *self.turns.lock() = next;
        self.turns.changed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.has_passed {
            self.set(Next::Over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::bounded;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread::scope;

    #[test]
    fn what_is_done_side_by_side_leaves_in_its_order() {
        let (turns, left) = (Turns::default(), Mutex::new(Vec::new()));
        let (brings, brought) = bounded::<u64>(0);
        scope(|threads| {
            for _ in 0..4 {
                let brought = brought.clone();
                threads.spawn(|| {
                    for number in brought {
                        let mut turn = turns.of(number);
                        turn.wait().unwrap();
                        assert!(turn.has_come());
                        left.lock().unwrap().push(number);
                        turn.pass().unwrap();
                    }
                });
            }
            drop(brought);
            (0..1000).for_each(|number| brings.send(number).unwrap());
            drop(brings);
        });
        assert_eq!(left.into_inner().unwrap(), Vec::from_iter(0..1000));
        assert_eq!(turns.passed(), Some(1000));
    }

    #[test]
    fn a_turn_that_has_not_come_keeps_nobody_waiting_who_only_asks() {
        let turns = Turns::default();
        let (mut first, mut second) = (turns.of(0), turns.of(1));
        assert_eq!((first.has_come(), second.has_come()), (true, false));
        first.pass().unwrap();
        assert!(second.has_come());
        second.pass().unwrap();
    }

    #[test]
    fn one_who_fails_ends_it_for_all_who_wait_behind() {
        let turns = Turns::default();
        let failing = turns.of(0);
        scope(|threads| {
            let waits = threads.spawn(|| turns.of(1).wait());
            let passes = threads.spawn(|| turns.of(2).pass());
            let panics = catch_unwind(AssertUnwindSafe(|| {
                let _failing = failing;
                panic!("on purpose");
            }));
            assert!(panics.is_err());
            assert_eq!((waits.join().unwrap(), passes.join().unwrap()), (Err(Over), Err(Over)));
        });
        assert_eq!(turns.passed(), None);
    }
}
