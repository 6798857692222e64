//! A producer of version 2, for tests and measurements: what the original's programs do to their queues, done by safe code of ours.
//!
//! It keeps to the original's steps where another process can see them: a page is written, then published by an exchange of `wi`, then the wait state is
//! cleared; a page of an unreliable queue is tentative until the next slot was seen to be free. Not for programs that log.

use super::layout::{Footer, HEADER, PAGE, PAGE_PAYLOAD, PageKind, QueueLayout, RI, WI, WSTATE};
use super::queue::WaitPolicy;
use crate::shm::QueueMapping;
use crate::sys;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The wait states.
const READER_WAITS: u32 = 1;
const WRITER_WAITS: u32 = 2;

/// A queue that this process writes.
#[derive(Debug)]
pub struct Producer {
    layout: QueueLayout,
    mapping: QueueMapping,
    policy: WaitPolicy,
    reliable: bool,
    /// The slot that is written.
    slot: u32,
    /// Bytes in it.
    filled: usize,
    /// An unreliable one has no slot.
    is_dropping: bool,
}

impl Producer {
    /// Makes a queue at `path`, in the place of whatever has that name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn create(
        path: &Path,
        metadata: &[u8],
        slots: u32,
        policy: WaitPolicy,
        reliable: bool,
    ) -> io::Result<Producer> {
        let _ = std::fs::remove_file(path); // as the original does
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let layout = QueueLayout::of(metadata.len(), slots);
        file.set_len(layout.len as u64)?;
        let mapping = QueueMapping::new(&file, layout.len)?;
        let mut header = [0; HEADER];
        for (place, word) in header
            .chunks_mut(8)
            .zip([0, PAGE as u64, u64::from(slots), metadata.len() as u64])
        {
            place.copy_from_slice(&word.to_le_bytes());
        }
        mapping.write(0, &header);
        mapping.write(HEADER, metadata);
        mapping.word32(0).swap(1, Ordering::SeqCst);
        Ok(Producer {
            layout,
            mapping,
            policy,
            reliable,
            slot: 0,
            filled: 0,
            is_dropping: false,
        })
    }

    /// Writes a part of the open transaction. `false`: it was dropped.
    pub fn write(&mut self, mut bytes: &[u8]) -> bool {
        if self.is_dropping {
            return false;
        }
        while bytes.len() >= PAGE_PAYLOAD - self.filled {
            let (now, later) = bytes.split_at(PAGE_PAYLOAD - self.filled);
            self.fill(now);
            bytes = later;
            if !self.step() {
                return false;
            }
        }
        self.fill(bytes);
        true
    }

    /// The bytes left in the page.
    #[must_use]
    pub fn room(&self) -> usize {
        PAGE_PAYLOAD - self.filled
    }

    /// Ends the transaction.
    pub fn commit(&mut self) {
        self.end(PageKind::Commit);
    }

    /// Ends it as if it had never been.
    pub fn rollback(&mut self) {
        self.end(PageKind::Rollback);
    }

    /// Publishes a tentative page and leaves it so, as a producer that is killed in that instant.
    pub fn leave_tentative(&mut self) {
        self.mark(self.slot, PageKind::Tentative);
        self.publish();
    }

    /// Decides what became of a page that was left tentative.
    pub fn decide(&mut self, kind: PageKind) {
        let slots = self.layout.slots;
        let before = (self.slot + slots - 1) % slots;
        let word = self.mapping.word32(self.layout.slot(before) + PAGE_PAYLOAD);
        let len = (word.load(Ordering::Relaxed) & 0xffff) as usize;
        word.store(Footer { kind, len }.encode(), Ordering::SeqCst);
    }

    fn end(&mut self, kind: PageKind) {
        if self.is_dropping {
            self.is_dropping = !self.has_room();
            return;
        }
        self.mark(self.slot, kind);
        self.publish();
        if self.reliable {
            self.wait_for_room();
        } else {
            self.is_dropping = !self.has_room();
        }
    }

    fn fill(&mut self, bytes: &[u8]) {
        // Word by word at any offset: the words around are written anew as they were.
        let start = self.layout.slot(self.slot) + self.filled;
        let lead = start % 8;
        let mut whole = vec![0; lead];
        self.mapping.copy(start - lead, &mut whole);
        whole.extend_from_slice(bytes);
        self.mapping.write(start - lead, &whole);
        self.filled += bytes.len();
    }

    /// Goes on in another page. `false`: there is none.
    fn step(&mut self) -> bool {
        if self.reliable {
            self.mark(self.slot, PageKind::Continued);
            self.publish();
            self.wait_for_room();
            return true;
        }
        self.leave_tentative();
        let kind = if self.has_room() {
            PageKind::Continued
        } else {
            PageKind::Rollback
        };
        self.decide(kind);
        self.is_dropping = kind == PageKind::Rollback;
        !self.is_dropping
    }

    fn mark(&self, slot: u32, kind: PageKind) {
        let footer = Footer { kind, len: self.filled };
        let word = self.mapping.word32(self.layout.slot(slot) + PAGE_PAYLOAD);
        word.store(footer.encode(), Ordering::Relaxed);
    }

    fn publish(&mut self) {
        self.slot = (self.slot + 1) % self.layout.slots;
        self.filled = 0;
        self.control(WI).swap(self.slot, Ordering::SeqCst);
        let wstate = self.control(WSTATE);
        if wstate.swap(0, Ordering::SeqCst) == READER_WAITS && self.policy == WaitPolicy::Futex {
            sys::futex_wake(wstate);
        }
    }

    fn has_room(&self) -> bool {
        self.control(RI).load(Ordering::SeqCst) != (self.slot + 1) % self.layout.slots
    }

    fn wait_for_room(&self) {
        let wstate = self.control(WSTATE);
        while !self.has_room() {
            if self.policy == WaitPolicy::Spin {
                std::thread::yield_now();
                continue;
            }
            match wstate.swap(WRITER_WAITS, Ordering::SeqCst) {
                READER_WAITS => {
                    wstate.swap(0, Ordering::SeqCst);
                    sys::futex_wake(wstate);
                }
                _ if !self.has_room() => sys::futex_wait(wstate, WRITER_WAITS, Duration::from_millis(10)),
                _ => {}
            }
        }
    }

    fn control(&self, word: usize) -> &AtomicU32 {
        self.mapping.word32(self.layout.control + word)
    }
}
