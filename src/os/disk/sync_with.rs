//! What syncs files: chosen once for the whole process, before anything is synced, and kept in words for whoever asks.

use super::uring;
use std::io;
use std::sync::{Mutex, PoisonError};

/// What syncs files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncWith {
    /// The thread that wants it.
    Thread,
    /// The kernel's threads, through io_uring.
    IoUring,
}

/// What has been chosen, in words.
static SYNCED_BY: Mutex<Option<String>> = Mutex::new(None);

/// Has this process sync files so from now on. Where that is refused, threads do it.
///
/// # Errors
/// Why the kernel refuses io_uring.
pub fn sync_with(with: SyncWith) -> io::Result<()> {
    let done = match with {
        SyncWith::Thread => Ok(()),
        SyncWith::IoUring => uring::RINGS.turn_on(uring::new_ring),
    };
    let words = match (&done, with) {
        (Err(error), _) => format!("threads, as the kernel refuses io_uring: {error}"),
        (Ok(()), SyncWith::Thread) => "threads".to_owned(),
        (Ok(()), SyncWith::IoUring) => "io_uring".to_owned(),
    };
    *SYNCED_BY.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    done
}

/// What syncs files, in words.
#[must_use]
pub fn synced_by() -> String {
    let chosen = SYNCED_BY.lock().unwrap_or_else(PoisonError::into_inner);
    chosen.clone().unwrap_or_else(|| "threads".to_owned())
}
