//! What is to be done next with a queue: one act after the other, each of which a kill may follow.
//!
//! A [`Course`] has neither memory nor files. It names an [`Act`], whoever has the queue does it, whole, and says so; or does not, and is given the same
//! act again. Their order is what keeps the promise: log, then give back; stash, then count, then give back. `ring/tests/v2.rs` goes
//! through every order in which acts, a producer's steps and kills can follow one another.

use super::layout::PageKind;
use super::resolve::{Progress, Resolved, StashHead, slot_of};
use crate::mutant;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Nothing, before the producer publishes or decides something.
    Rest,
    /// Look at the footer of the page in this slot, and say what it is: [`Course::judged`]. Unless it is tentative, its bytes are the next of the open transaction.
    Judge {
        /// Less than the number of slots.
        slot: u32,
    },
    /// Log the open transaction, together with this state.
    Log(Progress),
    /// Publish this state; what was open is forgotten.
    Forget(Progress),
    /// Set the reader's index.
    Release {
        /// To this slot.
        ri: u32,
    },
    /// Clear the wait state, and wake a producer that waits for room.
    Wake,
    /// Write the page in `slot` to the stash, as its page `number`.
    StashPage {
        /// From 0.
        number: u32,
        /// Where it is.
        slot: u32,
    },
    /// Say in the stash what is in it.
    StashHead(StashHead),
}

/// The reading of one queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Course {
    inode: (u64, u64),
    slots: u32,
    /// Pages of transactions that are over.
    done: u64,
    /// Pages of the open one that are in the stash, and given back.
    stashed: u32,
    /// Pages of it that are still in the queue.
    open: u32,
    /// Acts in the order of which the last is the next.
    due: Vec<Act>,
}

impl Course {
    /// Goes on where was [resolved](super::resolve()) to.
    #[must_use]
    pub fn begin(inode: (u64, u64), slots: u32, resolved: &Resolved) -> Course {
        let mut course = Course {
            inode,
            slots,
            done: resolved.done,
            stashed: resolved.stashed,
            open: 0,
            due: Vec::new(),
        };
        let mut acts = Vec::new();
        if resolved.is_news {
            // From the first instant on the ring has a state: the stash is of no use without.
            acts.push(Act::Forget(course.progress(resolved.last)));
        }
        if resolved.is_stash_stale {
            acts.push(Act::StashHead(StashHead::default()));
        }
        acts.extend([course.release(), Act::Wake]);
        course.is_due(acts);
        course
    }

    /// What is to be done next, when `wi` was loaded just now. `is_dead`: it was known before that load that the producer writes no more.
    pub fn next(&mut self, wi: u32, is_dead: bool) -> Act {
        if let Some(&act) = self.due.last() {
            return act;
        }
        let slot = slot_of(self.given_back() + u64::from(self.open), self.slots);
        if slot != wi {
            return Act::Judge { slot };
        }
        if is_dead && self.has_open() {
            self.finish(false, 0);
            return self.due.last().copied().unwrap_or(Act::Rest);
        }
        Act::Rest
    }

    /// The act that [`Self::next`] named is done.
    pub fn did(&mut self) {
        self.due.pop();
    }

    /// The page that [`Self::next`] named is this. `false`: it is to be looked at again later.
    #[must_use]
    pub fn judged(&mut self, kind: PageKind, is_dead: bool) -> bool {
        match kind {
            PageKind::Tentative if !is_dead => return false,
            PageKind::Tentative | PageKind::Rollback => self.finish(false, 1),
            PageKind::Commit => self.finish(true, 1),
            PageKind::Continued => {
                self.open += 1;
                if self.open >= self.open_max() {
                    self.stash_one();
                }
            }
        }
        true
    }

    /// Whether nothing is to be done before another page is looked at.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    /// Whether pages of a transaction were read that is not over.
    #[must_use]
    pub fn has_open(&self) -> bool {
        self.stashed + self.open > 0
    }

    /// Pages of the open transaction.
    #[must_use]
    pub fn pages_open(&self) -> u32 {
        self.stashed + self.open
    }

    /// So many pages of an open transaction are left in the queue, half of it: a producer that goes on does not find it full.
    fn open_max(&self) -> u32 {
        (self.slots - 1).div_ceil(2)
    }

    fn given_back(&self) -> u64 {
        self.done + u64::from(self.stashed)
    }

    fn progress(&self, last: u32) -> Progress {
        Progress {
            inode: self.inode,
            slots: self.slots,
            done: self.done,
            last,
        }
    }

    fn release(&self) -> Act {
        Act::Release {
            ri: slot_of(self.given_back(), self.slots),
        }
    }

    fn is_due(&mut self, mut acts: Vec<Act>) {
        acts.reverse();
        self.due = acts;
    }

    /// The open transaction is over, with `more` pages.
    fn finish(&mut self, counts: bool, more: u32) {
        let last = self.open + more;
        let has_stash = self.stashed > 0;
        self.done = self.given_back() + u64::from(last);
        self.stashed = 0;
        self.open = 0;
        let progress = self.progress(last);
        let end = if counts {
            Act::Log(progress)
        } else {
            Act::Forget(progress)
        };
        let mut acts = vec![end, self.release(), Act::Wake];
        if mutant::on("v2-advance-before-log") {
            acts.swap(0, 1);
        }
        if has_stash {
            // Not needed, only memory that is given back.
            acts.push(Act::StashHead(StashHead::default()));
        }
        self.is_due(acts);
    }

    /// The oldest page that is still in the queue goes into the stash.
    fn stash_one(&mut self) {
        let number = self.stashed;
        let slot = slot_of(self.given_back(), self.slots);
        self.stashed += 1;
        self.open -= 1;
        let head = StashHead {
            base: self.done,
            pages: self.stashed,
        };
        let mut acts = vec![
            Act::StashPage { number, slot },
            Act::StashHead(head),
            self.release(),
            Act::Wake,
        ];
        if mutant::on("v2-releases-before-stash") {
            acts.rotate_left(2);
        }
        self.is_due(acts);
    }
}
