//! Room in a file that is given out from its free end, and the bytes that go there.
//!
//! What is behind the free end does not count, so what is given out and never committed is given out again. Bytes that follow one another are
//! gathered for one write; gaps between them are zeros.

use super::geometry::{PAGE_BYTES, PAGES_MAX, Write, in_memory};
use super::stored::align_up;
use thiserror::Error;

/// Bytes between two values that are rather written than left out.
const GAP_MAX: u64 = 4096;

/// A file cannot hold what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a file of more than {} bytes would be needed", PAGES_MAX * PAGE_BYTES)]
pub struct FileFull;

/// The free end of a file, and what was put there.
#[derive(Clone, Debug)]
pub struct Heap {
    end: u64,
    writes: Vec<Write>,
}

/// Where to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    end: u64,
    writes: usize,
    last: usize,
}

impl Heap {
    /// A heap whose file is free from `end` on.
    #[must_use]
    pub fn new(end: u64) -> Self {
        Self {
            end,
            writes: Vec::new(),
        }
    }

    /// The file is free from here on.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that are to be written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.iter().map(|write| write.bytes.len()).sum()
    }

    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Gives out room, of which nothing is written.
    ///
    /// # Errors
    /// [`FileFull`].
    pub fn reserve(&mut self, length: u64, align: u64) -> Result<u64, FileFull> {
        let at = align_up(self.end, align);
        let end = at.checked_add(length).filter(|end| *end <= PAGES_MAX * PAGE_BYTES);
        self.end = end.ok_or(FileFull)?;
        Ok(at)
    }

    /// Gives out room filled with zeros; [`Self::put`] writes there as long as nothing else is given out by [`Self::reserve`].
    ///
    /// # Errors
    /// [`FileFull`].
    pub fn zeros(&mut self, length: u64, align: u64) -> Result<u64, FileFull> {
        let at = self.reserve(length, align)?;
        match self.writes.last_mut() {
            Some(last) if at - (last.at + last.bytes.len() as u64) < GAP_MAX => {
                last.bytes.resize(in_memory(at + length - last.at), 0);
            }
            _ => self.writes.push(Write {
                at,
                bytes: vec![0; in_memory(length)],
            }),
        }
        Ok(at)
    }

    /// Writes into what [`Self::zeros`] gave out last, or shortly before.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        if let Some(last) = self.writes.last_mut() {
            let from = in_memory(at - last.at);
            last.bytes[from..][..bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Room with `bytes` in it.
    ///
    /// # Errors
    /// [`FileFull`].
    pub fn push(&mut self, bytes: &[u8], align: u64) -> Result<u64, FileFull> {
        let at = self.zeros(bytes.len() as u64, align)?;
        self.put(at, bytes);
        Ok(at)
    }

    /// Room for an array: its count, and `length` bytes for its elements, which stand where they are aligned. Gives the place of the count.
    ///
    /// # Errors
    /// [`FileFull`].
    pub fn array(&mut self, count: u64, length: u64, align: u64) -> Result<u64, FileFull> {
        if align > 8 {
            // Elements follow the count at once, so the count stands 8 bytes before where they are aligned.
            self.end = align_up(self.end + 8, align) - 8;
        }
        let at = self.zeros(8 + length, 8)?;
        self.put(at, &count.to_le_bytes());
        Ok(at)
    }

    /// Text as an array.
    ///
    /// # Errors
    /// [`FileFull`].
    pub fn text(&mut self, text: &[u8]) -> Result<u64, FileFull> {
        let at = self.array(text.len() as u64, text.len() as u64, 1)?;
        self.put(at + 8, text);
        Ok(at)
    }

    /// Where to go back to, if what is put there from now on is not wanted.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            end: self.end,
            writes: self.writes.len(),
            last: self.writes.last().map_or(0, |last| last.bytes.len()),
        }
    }

    /// Goes back to where it was.
    pub fn go_back(&mut self, mark: Mark) {
        self.end = mark.end;
        self.writes.truncate(mark.writes);
        if let Some(last) = self.writes.last_mut() {
            last.bytes.truncate(mark.last);
        }
    }

    /// What is to be written, in any order.
    #[must_use]
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_follow_one_another_are_one_write_with_zeros_between_them() {
        let mut heap = Heap::new(4100);
        assert_eq!(heap.push(b"abc", 8), Ok(4104));
        assert_eq!(heap.text(b"hello"), Ok(4112));
        let batch = heap.reserve(1 << 20, 16).unwrap();
        assert_eq!(batch % 16, 0);
        let behind = heap.push(&[9; 4], 4).unwrap();
        assert_eq!(behind, batch + (1 << 20));
        let writes = heap.into_writes();
        assert_eq!(writes.len(), 2);
        assert_eq!(writes[0].at, 4104);
        assert_eq!(writes[0].bytes, b"abc\0\0\0\0\0\x05\0\0\0\0\0\0\0hello");
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut heap = Heap::new(64);
        heap.push(b"kept", 1).unwrap();
        let before = heap.clone();
        let mark = heap.mark();
        heap.text(b"gone").unwrap();
        heap.reserve(1 << 20, 8).unwrap();
        heap.text(b"gone too").unwrap();
        heap.go_back(mark);
        assert_eq!((heap.end, heap.writes), (before.end, before.writes));
        assert_eq!(Heap::new(0).reserve(u64::MAX - 64, 8), Err(FileFull));
    }

    #[test]
    fn elements_of_an_array_are_aligned_and_follow_their_count() {
        let mut heap = Heap::new(0);
        heap.push(b"x", 1).unwrap();
        let at = heap.array(2, 32, 16).unwrap();
        assert_eq!((at + 8) % 16, 0);
        assert_eq!(heap.array(0, 0, 8).unwrap() % 8, 0);
    }
}
