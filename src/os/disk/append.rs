//! A file that is appended to, and what its syncs mean: one at a time, one for all who wait for it, and the first that fails is the last.

use super::kernel::{Handle, Mode};
use super::{DiskError, at};
use hog_ring::mutant;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

/// Room for an append of so many bytes is asked for before it, where that makes it cheaper. For shorter ones the call costs more than it saves.
const PROMISE_FROM: usize = 256 << 10;

/// A file that hog writes from its beginning to its end, once.
#[derive(Debug)]
pub struct AppendFile {
    file: Handle,
    path: PathBuf,
    failed: AtomicBool,
    gains_by_promises: bool,
    /// The kernel tells of a failed writeback once for each open file: of two syncs at once, one would hear nothing of it.
    syncing: Mutex<()>,
}

impl AppendFile {
    /// Creates `path`, which must not exist.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        let file = Handle::open(path, Mode::New).map_err(at("create", path))?;
        Ok(Self {
            gains_by_promises: file.gains_by_promises(),
            file,
            path: path.to_owned(),
            failed: AtomicBool::new(false),
            syncing: Mutex::new(()),
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of `bytes` at `offset`. When this fails, some of them may be in the file.
    ///
    /// # Errors
    /// When the kernel refuses, or a sync of this file failed before.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.refuse_after_failure("append to")?;
        self.promise(offset, bytes.len());
        self.file
            .write_all_at(bytes, offset)
            .map_err(at("append to", &self.path))
    }

    fn promise(&self, offset: u64, len: usize) {
        if self.gains_by_promises && len >= PROMISE_FROM {
            let _ = self.file.promise(offset, len as u64); // where there is no room, the write says so
        }
    }

    /// Syncs the file's data. The first failure is final.
    ///
    /// # Errors
    /// When the kernel refuses, or refused before.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.sync_unless(|| false, || Ok(()))
    }

    /// The same, for one of many who want it at once: each waits until the one before is through, and asks `is_synced` then whether that one has done it for all.
    /// `note` is for whoever did, to say so before the next one asks.
    ///
    /// # Errors
    /// As [`Self::sync`], and as `note`.
    pub fn sync_unless(
        &self,
        is_synced: impl FnOnce() -> bool,
        note: impl FnOnce() -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse_after_failure("sync")?;
        if is_synced() {
            return Ok(());
        }
        let mut synced = self.file.sync_data();
        if synced.is_err() && mutant::on("retried-fsync") {
            synced = self.file.sync_data();
        }
        synced.map_err(|error| {
            self.failed.store(true, Ordering::Release); // pairs with the Acquire in refuse_after_failure
            at("sync", &self.path)(error)
        })?;
        // It was given up while this one hung.
        self.refuse_after_failure("sync")?;
        note()
    }

    /// Gives the file up, as after a sync that failed, if a sync of it is under way: that one hangs. Says whether it did.
    pub fn give_up_hanging_sync(&self) -> bool {
        let hangs = matches!(self.syncing.try_lock(), Err(TryLockError::WouldBlock));
        if hangs {
            self.failed.store(true, Ordering::Release); // as in sync
        }
        hangs
    }

    /// Whether a sync of this file failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire) // pairs with the Release in sync
    }

    /// Refuses everything from now on, as after a sync that failed: something else says that the disk may lack what was written.
    pub fn give_up(&self) {
        self.failed.store(true, Ordering::Release); // pairs with the Acquire in refuse_after_failure
    }

    fn refuse_after_failure(&self, verb: &'static str) -> Result<(), DiskError> {
        if self.has_failed() {
            return Err(at(verb, &self.path)(io::Error::other(
                "a sync of this file failed before, or hung",
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        AppendFile::create(&path).unwrap().write_at(b"x", 0).unwrap();
        assert!(AppendFile::create(&path).is_err());
    }

    #[test]
    fn room_that_is_promised_for_a_long_append_changes_nothing_of_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = AppendFile::create(&path).unwrap();
        let (short, long) = (vec![1; 100], vec![2; 2 * PROMISE_FROM + 7]);
        file.write_at(&short, 0).unwrap();
        file.write_at(&long, 100).unwrap();
        file.promise(100 + long.len() as u64, 2 * PROMISE_FROM);
        assert_eq!(fs::read(&path).unwrap(), [short, long].concat());
    }

    #[test]
    fn the_first_failed_sync_closes_the_door() {
        let dir = tempfile::tempdir().unwrap();
        let file = AppendFile::create(&dir.path().join("a")).unwrap();
        file.give_up();
        assert!(file.sync().is_err() && file.write_at(b"x", 0).is_err());
    }

    #[test]
    fn of_many_who_wait_for_a_sync_one_does_it_for_all_and_none_after_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let file = AppendFile::create(&dir.path().join("a")).unwrap();
        let (durable, syncs) = (AtomicBool::new(false), std::sync::atomic::AtomicU32::new(0));
        let sync = || {
            file.sync_unless(
                || durable.load(Ordering::SeqCst),
                || {
                    durable.store(true, Ordering::SeqCst);
                    syncs.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                },
            )
        };
        std::thread::scope(|threads| {
            let waiting: Vec<_> = (0..8).map(|_| threads.spawn(sync)).collect();
            waiting.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
        file.give_up();
        assert!(sync().is_err(), "what was on disk before is no news of what came since");
    }
}
