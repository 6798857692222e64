//! Puts runs of fragments together again.
//!
//! A run counts only with its last fragment, and what interrupts it voids it. A stream has one run at a time, of at most
//! [`RUN_MAX`] bytes. Reading may begin in the middle of a run, or behind a gap in one: then the fragments up to the next
//! fragment 0 are passed over, and nothing is wrong.

use crate::modes::archive_reader::RecordFault;
use hog_ring::limits::RUN_MAX;

/// Memory that is kept for the next run once one is whole.
const KEPT_BYTES: usize = 1 << 20;

/// The run of one stream.
#[derive(Debug)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    /// Position of fragment 0.
    first: u64,
    /// Number of the next fragment; `None` when no run is open.
    next: Option<u32>,
    /// Fragments before the next may be missing with good reason, or it has been said already.
    excused: bool,
}

/// The bytes of a whole run.
pub(crate) struct WholeRun {
    /// Position of fragment 0.
    pub(crate) first: u64,
    /// Records with their headers.
    pub(crate) bytes: Vec<u8>,
}

impl Run {
    /// No run. What came before is known only if `from_start`.
    pub(crate) fn new(from_start: bool) -> Self {
        Self {
            bytes: Vec::new(),
            first: 0,
            next: None,
            excused: !from_start,
        }
    }

    /// Voids the open run: what may follow is fragment 0. Says whether there was one.
    pub(crate) fn void(&mut self) -> bool {
        self.excused = false;
        self.next.take().is_some()
    }

    /// Voids the open run, because positions are passed over that may have held fragments.
    pub(crate) fn skip(&mut self) {
        self.next = None;
        self.excused = true;
    }

    /// Position of fragment 0 of the open run; `None` if none is open.
    pub(crate) fn open_from(&self) -> Option<u64> {
        self.next.map(|_| self.first)
    }

    /// Adds a fragment. The run's bytes come back when they are whole, to be given to [`Run::reuse`] after use.
    pub(crate) fn add(
        &mut self,
        position: u64,
        number: u32,
        last: bool,
        piece: &[u8],
    ) -> Result<Option<WholeRun>, RecordFault> {
        if number == 0 {
            self.bytes.clear();
            self.first = position;
            self.excused = false;
        } else if self.next != Some(number) {
            let excused = self.excused;
            self.skip();
            return if excused {
                Ok(None)
            } else {
                Err(RecordFault::OutOfTurn { found: number })
            };
        }
        let following = number
            .checked_add(1)
            .filter(|_| self.bytes.len() + piece.len() <= RUN_MAX);
        let Some(following) = following else {
            self.skip();
            return Err(RecordFault::LongRun);
        };
        self.bytes.extend_from_slice(piece);
        self.next = (!last).then_some(following);
        Ok(last.then(|| WholeRun {
            first: self.first,
            bytes: std::mem::take(&mut self.bytes),
        }))
    }

    /// Takes back the memory of a run.
    pub(crate) fn reuse(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() <= KEPT_BYTES {
            self.bytes = bytes;
        }
    }
}
