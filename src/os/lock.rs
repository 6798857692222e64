//! One of each: the `flock` on a file `lock` inside a directory, with the holder's pid in it.
//!
//! The kernel drops the lock with its holder, so a lock that is held is held by somebody who lives. A spool's lock file also
//! keeps the sender's identity, which is raised in place at each start.

use crate::formats::lock_record::{self, LOCK_FILE_LEN, PID_LEN, SpoolIdentity};
use crate::ids::OwnerId;
use crate::os::disk::{self, DiskError, NoteFile, ReadFile, at};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    file: NoteFile,
}

/// Why a lock was not had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{} is in use by process {holder}: stop that one first, or name another directory", directory.display())]
    Held {
        /// The directory.
        directory: PathBuf,
        /// The holder's pid, as it wrote it.
        holder: String,
    },
    /// The lock file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A holder that was killed a moment ago may not be gone yet.
const GRACE: Duration = Duration::from_millis(500);

impl DirectoryLock {
    /// Takes the lock of `directory`, which must exist.
    ///
    /// # Errors
    /// When somebody else has it, or the file cannot be made.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        Self::take_at(directory, &directory.join("lock"))
    }

    /// Takes the lock of a file, which need not exist: a lock file beside it, hidden.
    ///
    /// # Errors
    /// When somebody else has it, or the lock file cannot be made.
    pub fn take_of_file(file: &Path) -> Result<Self, LockError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Self::take_at(file, &file.with_file_name(format!(".{name}.lock")))
    }

    /// Takes the lock of `directory`, which the file `path` is.
    fn take_at(directory: &Path, path: &Path) -> Result<Self, LockError> {
        let file = NoteFile::open(path)?;
        let deadline = Instant::now() + GRACE;
        // Of a simulated disk all holders are in the hands of whoever simulates.
        while let Some(descriptor) = file.descriptor() {
            match flock(descriptor, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(LockError::Held {
                        directory: directory.to_owned(),
                        holder: holder_in(path),
                    });
                }
                Err(error) => return Err(at("lock", path)(error.into()).into()),
            }
        }
        let words = format!("{:<width$}\n", std::process::id(), width = PID_LEN - 1);
        file.write_at(words.as_bytes(), 0)?;
        Ok(Self { file })
    }

    /// The pid of the process that holds the lock of `directory`, if one does.
    #[must_use]
    pub fn holder_of(directory: &Path) -> Option<String> {
        let path = directory.join("lock");
        let file = File::open(&path).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(holder_in(&path)),
            _ => None,
        }
    }

    /// As [`holder_of`](Self::holder_of), but of a holder that was killed a moment ago its end is waited for.
    #[must_use]
    pub fn holder_for_long(directory: &Path) -> Option<String> {
        let deadline = Instant::now() + GRACE;
        loop {
            let holder = Self::holder_of(directory)?;
            if Instant::now() >= deadline {
                return Some(holder);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Raises the spool's epoch in place, at least above `seen`, and syncs it. A spool without an identity gets one: `known`
    /// (from its segments), or a new one.
    ///
    /// # Errors
    /// When the lock file cannot be read, written or synced: the spool must not be shipped then.
    pub fn raise_epoch(&self, known: Option<SpoolIdentity>) -> Result<SpoolIdentity, DiskError> {
        self.replace_identity(known, |sender| sender)
    }

    /// Gives the spool another uuid, and a run above all before, and syncs that: from now on it is another sender.
    ///
    /// # Errors
    /// As [`Self::raise_epoch`].
    pub fn renew_identity(&self, known: Option<SpoolIdentity>) -> Result<SpoolIdentity, DiskError> {
        self.replace_identity(known, |_| OwnerId::random())
    }

    fn replace_identity(
        &self,
        known: Option<SpoolIdentity>,
        rename: impl FnOnce(OwnerId) -> OwnerId,
    ) -> Result<SpoolIdentity, DiskError> {
        let mut bytes = [0; LOCK_FILE_LEN];
        let filled = self.file.read_at(&mut bytes, 0)?;
        let (stored, at_copy) = SpoolIdentity::newest(&bytes);
        let sender = stored
            .or(known)
            .map_or_else(OwnerId::random, |identity| identity.sender);
        let epoch = [stored, known]
            .iter()
            .flatten()
            .map(|identity| identity.epoch)
            .max()
            .unwrap_or(0)
            + 1;
        let raised = SpoolIdentity {
            sender: rename(sender),
            epoch,
        };
        if filled < bytes.len() {
            self.file.allocate(LOCK_FILE_LEN as u64)?;
        }
        self.file.write_at(&raised.encode(), at_copy as u64)?;
        self.file.sync()?;
        Ok(raised)
    }
}

impl DirectoryLock {
    /// The descriptor that holds the lock; that of a simulated disk is held by none.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }

    /// Notes in a spool's lock file, which has its length, what the spool may take. For reports: it is not synced.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn note_bound(&self, max: u64) -> Result<(), DiskError> {
        self.file
            .write_at(&lock_record::encode_bound(max), lock_record::BOUND_AT as u64)
    }
}

fn holder_in(path: &Path) -> String {
    let mut words = [0; PID_LEN];
    let read = ReadFile::open(path).and_then(|file| file.read_at(&mut words, 0));
    let read = read.unwrap_or(0);
    let words = String::from_utf8_lossy(&words[..read]).trim().to_owned();
    if words.is_empty() { "unknown".to_owned() } else { words }
}

/// The identity in the lock file of a spool that nobody needs to hold, for reports.
#[must_use]
pub fn spool_identity(directory: &Path) -> Option<SpoolIdentity> {
    SpoolIdentity::newest(notes_in(directory)?.first_chunk()?).0
}

/// What the spool in `directory` may take, as its last holder had it, for reports.
#[must_use]
pub fn spool_bound(directory: &Path) -> Option<u64> {
    lock_record::decode_bound(notes_in(directory)?.first_chunk()?)
}

fn notes_in(directory: &Path) -> Option<Vec<u8>> {
    disk::read_whole(&directory.join("lock"), LOCK_FILE_LEN).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_learns_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(dir.path()).unwrap();
        let pid = std::process::id().to_string();
        match DirectoryLock::take(dir.path()) {
            Err(LockError::Held { holder, .. }) => assert_eq!(holder, pid),
            other => panic!("{other:?}"),
        }
        assert_eq!(DirectoryLock::holder_of(dir.path()), Some(pid));
        drop(first);
        assert_eq!(DirectoryLock::holder_of(dir.path()), None);
        DirectoryLock::take(dir.path()).unwrap();
    }

    #[test]
    fn each_start_raises_the_epoch_and_keeps_the_uuid() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(dir.path()).unwrap().raise_epoch(None).unwrap();
        let second = DirectoryLock::take(dir.path()).unwrap().raise_epoch(None).unwrap();
        assert_eq!((second.sender, second.epoch), (first.sender, first.epoch + 1));
        assert_eq!(spool_identity(dir.path()), Some(second));
        let known = SpoolIdentity { epoch: 9, ..first };
        assert_eq!(
            DirectoryLock::take(dir.path())
                .unwrap()
                .raise_epoch(Some(known))
                .unwrap()
                .epoch,
            10
        );
    }

    #[test]
    fn a_renewed_identity_is_another_sender_with_a_later_run_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(dir.path()).unwrap();
        let (first, new) = (lock.raise_epoch(None).unwrap(), lock.renew_identity(None).unwrap());
        assert!(new.sender != first.sender && new.epoch > first.epoch);
        let next = lock.raise_epoch(Some(first)).unwrap();
        assert_eq!((next.sender, next.epoch), (new.sender, new.epoch + 1));
    }

    #[test]
    fn a_lost_lock_file_takes_its_identity_from_the_segments() {
        let dir = tempfile::tempdir().unwrap();
        let known = SpoolIdentity {
            sender: OwnerId::random(),
            epoch: 4,
        };
        let raised = DirectoryLock::take(dir.path())
            .unwrap()
            .raise_epoch(Some(known))
            .unwrap();
        assert_eq!(raised, SpoolIdentity { epoch: 5, ..known });
    }
}
