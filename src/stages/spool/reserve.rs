//! The reserve: disk that a spool holds, in a file of its own, for the moment when there is no more.
//!
//! It is a file of zeros that means nothing to anybody. When the disk is full it is deleted, and what then has to be written finds its room: the rest of a
//! torn append, the head of a new segment, the word about a segment that is dropped. It is made again as soon as the disk has room for it; until then
//! the spool takes no records. It is as long as the longest of these together: [`RESERVE_BYTES`] and the last checkpoint.

use crate::limits::RESERVE_BYTES;
use crate::os::disk::{self, DiskError};
use std::path::{Path, PathBuf};

/// Its name in the directory of the spool. A store has one as well, for starts.
pub const RESERVE: &str = "reserve";

/// The reserve of one spool.
#[derive(Clone, Debug)]
pub struct Reserve {
    path: PathBuf,
    /// Bytes that the disk is known to hold for it.
    held: u64,
}

impl Reserve {
    /// The reserve of the spool in `directory`: one that an earlier run left counts once it was looked at by [`Reserve::ensure`].
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self {
            path: directory.join(RESERVE),
            held: 0,
        }
    }

    /// How long the reserve of a spool is whose segments begin with heads of `head` bytes.
    #[must_use]
    pub fn bytes_for(head: u64) -> u64 {
        RESERVE_BYTES + head
    }

    /// Whether the disk holds `bytes` for it: makes it, or makes it longer, if need be. A disk without room for that says no, and keeps what there was.
    ///
    /// # Errors
    /// When the disk refuses for another reason.
    pub fn ensure(&mut self, bytes: u64) -> Result<bool, DiskError> {
        if self.held >= bytes {
            return Ok(true);
        }
        match disk::allocate(&self.path, bytes) {
            Ok(()) => {
                self.held = bytes;
                Ok(true)
            }
            Err(error) if error.is_full() => {
                if self.held == 0 {
                    self.release()?; // half of it would only stand in the way of others
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the disk is known to hold it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held > 0
    }

    /// Deletes it, for its room to be used. Says whether there was anything to delete.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn release(&mut self) -> Result<bool, DiskError> {
        self.held = 0;
        disk::unlink(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_disk_holds_the_whole_reserve_and_gets_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::of(dir.path());
        assert!(reserve.ensure(1 << 20).unwrap());
        let made = dir.path().join(RESERVE).metadata().unwrap();
        assert!(made.len() == 1 << 20 && made.blocks() * 512 >= 1 << 20, "{made:?}");
        assert!(reserve.ensure(2 << 20).unwrap(), "it grows with the checkpoint");
        assert_eq!(dir.path().join(RESERVE).metadata().unwrap().len(), 2 << 20);
        assert!(reserve.release().unwrap() && !dir.path().join(RESERVE).exists());
        assert!(!reserve.release().unwrap());
    }
}
