//! What a role asks before it makes anything: whether it could run at all.
//!
//! Directories that somebody else works in, that cannot be written, or rings that would not be on tmpfs: each is found while nothing is made
//! yet, so that a role that is refused leaves nothing behind. The locks are taken later; who comes in between is met then.

use crate::exit::{ExitStatus, Failure, chain};
use crate::modes::store::lock_failure;
use crate::os::disk;
use crate::os::lock::{DirectoryLock, LockError};
use hog_ring::TmpfsError;
use std::path::{Path, PathBuf};

/// Finds what stands against a role that works in `directories`, of which some may have to be made first.
///
/// # Errors
/// Another process has one of them (3), or one cannot be written or made (1).
pub fn directories<'a>(directories: impl IntoIterator<Item = &'a Path> + Clone) -> Result<(), Failure> {
    for directory in directories.clone() {
        if let Some(holder) = DirectoryLock::holder_for_long(directory) {
            let directory = directory.to_owned();
            return Err(lock_failure(&LockError::Held { directory, holder }));
        }
    }
    for directory in directories {
        disk::can_write(directory).map_err(|error| Failure::of(&error))?;
    }
    Ok(())
}

/// Finds what stands against rings in `shm_dir` that this process is to drain for `groups`.
///
/// # Errors
/// It is not on tmpfs (6), or another process drains one of the groups (3).
pub fn rings(shm_dir: &Path, groups: &[String]) -> Result<(), Failure> {
    hog_ring::require_tmpfs(shm_dir).map_err(|error| {
        let status = match error {
            TmpfsError::NotTmpfs { .. } => ExitStatus::Unsafe,
            TmpfsError::Io { .. } => ExitStatus::Failed,
        };
        Failure::new(status, chain(&error))
    })?;
    // Whether a directory of rings can be written, the drainer judges: it waits for one that is closed to it.
    let rings: Vec<PathBuf> = groups.iter().map(|group| hog_ring::group_dir(shm_dir, group)).collect();
    for directory in rings {
        if let Some(holder) = DirectoryLock::holder_for_long(&directory) {
            return Err(lock_failure(&LockError::Held { directory, holder }));
        }
    }
    Ok(())
}
