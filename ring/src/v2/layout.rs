//! Where things stand in a queue of version 2, and whether a file can be one.
//!
//! The header was written by another program, perhaps one that means harm: every number in it is held against the others and against the length of
//! the file before it is used, by pure functions of bytes. Offsets that come out of a [`QueueLayout`] are within the file as it was measured.

use thiserror::Error;

/// Bytes of a page slot: what the original takes from the system's page size, which is this on the machines that it runs on.
pub const PAGE: usize = 4096;
/// Bytes of a page that carry records; the rest is its footer.
pub const PAGE_PAYLOAD: usize = PAGE - 4;
/// Bytes of the header, in front of the metadata.
pub const HEADER: usize = 32;
/// The longest metadata that is read, in bytes: the definitions that one ring of ours takes are fewer.
pub const METADATA_MAX: usize = 1 << 20;
/// The most slots that a queue may have: 256 MiB of pages.
pub const SLOTS_MAX: u32 = 1 << 16;

/// Offsets within the control block.
pub(crate) const WSTATE: usize = 0;
pub(crate) const RI: usize = 4;
pub(crate) const WI: usize = 8;
/// Bytes of the control block; the slots follow it, so they are not aligned to pages.
pub(crate) const CONTROL: usize = 16;

/// Where the parts of one queue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLayout {
    /// Bytes of metadata, behind the header.
    pub metadata: usize,
    /// Slots; one of them is always empty.
    pub slots: u32,
    /// Where the control block begins.
    pub control: usize,
    /// Bytes of the file that belong to the queue.
    pub len: usize,
}

/// Why a file is no queue of version 2.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadQueue {
    /// Its producer has not finished making it, or it is something else.
    #[error("it is not ready: its first word is {found}, not 1")]
    NotReady {
        /// The word.
        found: u32,
    },
    /// Its pages have another size.
    #[error("pages of {found} bytes; only {PAGE} are known")]
    PageSize {
        /// The size.
        found: u64,
    },
    /// It has too few or too many slots.
    #[error("{found} slots; from 2 to {SLOTS_MAX} are allowed")]
    Slots {
        /// How many.
        found: u64,
    },
    /// Its metadata are too long.
    #[error("{found} bytes of metadata; at most {METADATA_MAX} are read")]
    Metadata {
        /// How many.
        found: u64,
    },
    /// The file is shorter than its header says.
    #[error("a file of {found} bytes, where its header asks for {expected}")]
    Short {
        /// What the header asks for.
        expected: u64,
        /// The file's length.
        found: u64,
    },
    /// An index names no slot.
    #[error("index {found} in a queue of {slots} slots")]
    Index {
        /// The index.
        found: u32,
        /// How many slots there are.
        slots: u32,
    },
}

impl QueueLayout {
    /// Bytes of the file of a queue with `metadata` bytes of metadata and `slots` slots.
    #[must_use]
    pub fn of(metadata: usize, slots: u32) -> QueueLayout {
        let control = (HEADER + metadata).next_multiple_of(PAGE);
        let len = control + (CONTROL + PAGE * slots as usize).next_multiple_of(PAGE);
        QueueLayout {
            metadata,
            slots,
            control,
            len,
        }
    }

    /// Judges a header that stands at the beginning of a file of `file_len` bytes.
    ///
    /// # Errors
    /// [`BadQueue`] says what cannot be.
    pub fn judge(header: &[u8; HEADER], file_len: u64) -> Result<QueueLayout, BadQueue> {
        let [ready, pages, slots, metadata] = words(header);
        // The second half of the first word is padding that nobody writes.
        let found = u32::try_from(ready & u64::from(u32::MAX)).unwrap_or(0);
        if found != 1 {
            return Err(BadQueue::NotReady { found });
        }
        if pages != PAGE as u64 {
            return Err(BadQueue::PageSize { found: pages });
        }
        let found = slots;
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        if !(2..=SLOTS_MAX).contains(&slots) {
            return Err(BadQueue::Slots { found });
        }
        let found = metadata;
        let metadata = usize::try_from(metadata).unwrap_or(usize::MAX);
        if metadata > METADATA_MAX {
            return Err(BadQueue::Metadata { found });
        }
        let layout = QueueLayout::of(metadata, slots);
        if (layout.len as u64) > file_len {
            return Err(BadQueue::Short {
                expected: layout.len as u64,
                found: file_len,
            });
        }
        Ok(layout)
    }

    /// Where slot `slot` begins.
    pub(crate) fn slot(&self, slot: u32) -> usize {
        assert!(slot < self.slots, "an index was not judged");
        self.control + CONTROL + PAGE * slot as usize
    }
}

fn words(header: &[u8; HEADER]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(header.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// What a page is to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageKind {
    /// Not decided yet: its producer looks for another page first.
    Tentative,
    /// Another page of the transaction follows.
    Continued,
    /// The transaction ends here, and counts.
    Commit,
    /// The transaction ends here, and never was.
    Rollback,
}

/// The last four bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Footer {
    /// What the page is to its transaction.
    pub kind: PageKind,
    /// How many bytes of it are the transaction's, at most [`PAGE_PAYLOAD`].
    pub len: usize,
}

impl Footer {
    /// Judges a footer. `None`: no producer writes that.
    #[must_use]
    pub fn judge(word: u32) -> Option<Footer> {
        let kind = match word >> 24 {
            0 => PageKind::Tentative,
            1 => PageKind::Continued,
            2 => PageKind::Commit,
            3 => PageKind::Rollback,
            _ => return None,
        };
        let len = (word & 0x00ff_ffff) as usize;
        (len <= PAGE_PAYLOAD).then_some(Footer { kind, len })
    }

    /// As it stands in a page.
    #[must_use]
    pub fn encode(self) -> u32 {
        let kind = match self.kind {
            PageKind::Tentative => 0,
            PageKind::Continued => 1,
            PageKind::Commit => 2,
            PageKind::Rollback => 3,
        };
        debug_assert!(self.len <= PAGE_PAYLOAD);
        kind << 24 | u32::try_from(self.len).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ready: u64, page: u64, slots: u64, metadata: u64) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        for (place, word) in header.chunks_mut(8).zip([ready, page, slots, metadata]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        header
    }

    #[test]
    fn queue_of_eleven_slots_is_as_long_as_the_original_makes_it() {
        let layout = QueueLayout::judge(&header(1, 4096, 11, 300), 53_248).unwrap();
        assert_eq!((layout.control, layout.len), (4096, 53_248));
        assert_eq!(layout.slot(0), 4096 + 16);
        assert_eq!(QueueLayout::of(4096 - 32, 2).control, 4096);
        assert_eq!(QueueLayout::of(4096 - 31, 2).control, 8192);
    }

    #[test]
    fn numbers_that_no_queue_has_are_refused() {
        let judge = |words: [u64; 4], len| QueueLayout::judge(&header(words[0], words[1], words[2], words[3]), len);
        let long = u64::MAX;
        assert_eq!(judge([0, 4096, 11, 0], long), Err(BadQueue::NotReady { found: 0 }));
        assert_eq!(judge([2, 4096, 11, 0], long), Err(BadQueue::NotReady { found: 2 }));
        for page in [0, 4095, 8192, u64::MAX] {
            assert_eq!(judge([1, page, 11, 0], long), Err(BadQueue::PageSize { found: page }));
        }
        for slots in [0, 1, u64::from(SLOTS_MAX) + 1, 1 << 32, u64::MAX] {
            assert_eq!(judge([1, 4096, slots, 0], long), Err(BadQueue::Slots { found: slots }));
        }
        for metadata in [METADATA_MAX as u64 + 1, u64::MAX] {
            assert_eq!(
                judge([1, 4096, 11, metadata], long),
                Err(BadQueue::Metadata { found: metadata })
            );
        }
        let short = BadQueue::Short {
            expected: 53_248,
            found: 53_247,
        };
        assert_eq!(judge([1, 4096, 11, 300], 53_247), Err(short));
        assert!(
            judge([1 | 7 << 32, 4096, 2, 0], 4096 + 12_288).is_ok(),
            "padding is not looked at"
        );
    }

    #[test]
    fn footers_are_what_the_original_writes_and_nothing_else() {
        for (word, kind, len) in [
            (0x0100_0ffc, PageKind::Continued, 4092),
            (0x0200_0724, PageKind::Commit, 0x724),
            (0x0200_0000, PageKind::Commit, 0),
            (0x0300_0720, PageKind::Rollback, 0x720),
            (0x0000_0ffc, PageKind::Tentative, 4092),
        ] {
            let footer = Footer::judge(word).unwrap();
            assert_eq!(footer, Footer { kind, len });
            assert_eq!(footer.encode(), word);
        }
        for word in [0x0400_0000, 0xff00_0001, 0x0100_0ffd, 0x02ff_ffff] {
            assert_eq!(Footer::judge(word), None);
        }
    }
}
