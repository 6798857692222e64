//! The beginning of a transaction that is longer than its queue, in a file on the same tmpfs.
//!
//! A head, which says how many pages there are and of which transaction, then pages as they were in the queue. The head is one write within one page of memory, so a
//! kill leaves the old one or the new one; a page is written before the head counts it. The file outlives this process and not the host, like queue and ring.

use super::layout::PAGE;
use super::resolve::StashHead;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the pages begin.
const PAGES: u64 = 64;
const MAGIC: [u8; 8] = *b"HOGSTASH";
/// Magic, base, pages and the CRC of these.
const HEAD: usize = 24;

/// The most pages of a transaction that are taken in: the longest that a ring of ours takes, 16 MiB.
pub const PAGES_MAX: u32 = 4096;

const _: () = assert!(PAGES_MAX as usize * PAGE <= crate::limits::RUN_MAX);

/// An open stash.
#[derive(Debug)]
pub struct Stash {
    file: File,
}

impl Stash {
    /// Opens the stash at `path`, and makes it if it is not there.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(path: &Path) -> io::Result<Stash> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into();
        Ok(Stash { file })
    }

    /// What is in it. A file that is empty or damaged says that there is nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head(&self) -> io::Result<StashHead> {
        let mut head = [0; HEAD];
        match self.file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(StashHead::default()),
            read => read?,
        }
        Ok(decode(&head).unwrap_or_default())
    }

    /// Says what is in it. With nothing in it its memory is given back.
    ///
    /// # Errors
    /// What the kernel says; ENOSPC when shared memory is full.
    pub fn set_head(&self, head: StashHead) -> io::Result<()> {
        self.file.write_all_at(&encode(head), 0)?;
        if head.pages == 0 {
            self.file.set_len(PAGES)?;
        }
        Ok(())
    }

    /// Writes a page, which the head counts later.
    ///
    /// # Errors
    /// As of [`Self::set_head`].
    pub fn write_page(&self, number: u32, page: &[u8; PAGE]) -> io::Result<()> {
        self.file.write_all_at(page, place(number))
    }

    /// Reads a page that the head counts.
    ///
    /// # Errors
    /// It cannot be read, or somebody cut the file short.
    pub fn read_page(&self, number: u32) -> io::Result<[u8; PAGE]> {
        let mut page = [0; PAGE];
        self.file.read_exact_at(&mut page, place(number))?;
        Ok(page)
    }
}

fn place(number: u32) -> u64 {
    PAGES + u64::from(number) * PAGE as u64
}

fn encode(head: StashHead) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&head.base.to_le_bytes());
    bytes[16..20].copy_from_slice(&head.pages.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; HEAD]) -> Option<StashHead> {
    let (body, crc) = bytes.split_at(20);
    if body[..8] != MAGIC || crc32c::crc32c(body).to_le_bytes() != crc {
        return None;
    }
    let head = StashHead {
        base: u64::from_le_bytes(*body[8..].first_chunk()?),
        pages: u32::from_le_bytes(*body[16..].first_chunk()?),
    };
    (head.pages <= PAGES_MAX).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stashed_is_there_and_a_damaged_head_says_that_nothing_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stash");
        let stash = Stash::open(&path).unwrap();
        assert_eq!(stash.head().unwrap(), StashHead::default());
        for number in 0..3_u8 {
            stash.write_page(u32::from(number), &[number; PAGE]).unwrap();
        }
        let head = StashHead { base: 77, pages: 3 };
        stash.set_head(head).unwrap();
        let again = Stash::open(&path).unwrap();
        assert_eq!(again.head().unwrap(), head);
        assert_eq!(again.read_page(2).unwrap(), [2; PAGE]);
        assert!(again.read_page(3).is_err());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[9] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(again.head().unwrap(), StashHead::default());
        stash.set_head(StashHead::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), PAGES);
    }
}
