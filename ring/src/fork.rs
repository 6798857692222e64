//! What a forked child must not do with its parent's rings: write to them, close them, or keep their locks.
//!
//! A fork bumps a generation in the child. Every handle to a ring remembers the generation it was made in and compares it,
//! one relaxed load, before it touches anything. The mappings themselves do not exist in the child (MADV_DONTFORK). The
//! inherited descriptors do, and with them the parent's locks, which would outlive it; so the fork handler closes them,
//! from a table of fixed size, since in the child of a process with threads nothing may allocate or lock.
//!
//! Only `fork` runs such handlers. `posix_spawn` and `vfork` need none: every descriptor is close-on-exec, and until then
//! such a child shares nothing but time. A fork between the opening of a ring and its entry in the table leaves that lock
//! to the child until it ends; this can delay a later adoption, and loses nothing.

use crate::limits::WRITERS_MAX;
use crate::sys;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

const NONE: i32 = -1;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static INHERITED: [AtomicI32; WRITERS_MAX] = [const { AtomicI32::new(NONE) }; WRITERS_MAX];
/// Places in the table that were ever used.
static INHERITED_USED: AtomicUsize = AtomicUsize::new(0);

/// How many forks lie between the first process of this program and this one.
#[inline]
pub(crate) fn generation() -> u64 {
    // Relaxed: it changes only in a child that has a single thread, before that thread goes on.
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_forked_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for place in INHERITED.iter().take(INHERITED_USED.load(Ordering::Relaxed)) {
        let descriptor = place.swap(NONE, Ordering::Relaxed);
        if descriptor != NONE {
            sys::close_in_child(descriptor);
        }
    }
}

/// Installs the fork handler, once for the program.
fn watch() -> io::Result<()> {
    static WATCHED: OnceLock<Result<(), i32>> = OnceLock::new();
    let outcome = WATCHED.get_or_init(|| {
        sys::call_in_forked_child(in_forked_child).map_err(|error| error.raw_os_error().unwrap_or(libc::ENOMEM))
    });
    outcome.map_err(io::Error::from_raw_os_error)
}

/// A ring file that a writer holds open, and locked, for as long as it owns the ring. In a forked child it is closed
/// already, and dropping it does nothing.
#[derive(Debug)]
pub(crate) struct HeldFile {
    /// Empty only while dropping.
    file: Option<File>,
    place: usize,
    generation: u64,
}

impl HeldFile {
    /// Enters `file` in the table. `Ok(None)`: it is full.
    pub(crate) fn new(file: File) -> io::Result<Option<HeldFile>> {
        watch()?;
        let descriptor = file.as_raw_fd();
        for (place, entry) in INHERITED.iter().enumerate() {
            if entry
                .compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                INHERITED_USED.fetch_max(place + 1, Ordering::Relaxed);
                return Ok(Some(HeldFile {
                    file: Some(file),
                    place,
                    generation: generation(),
                }));
            }
        }
        Ok(None)
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.generation != generation() {
            // The fork handler closed it; by now the number may be another file's.
            let _ = file.into_raw_fd();
            return;
        }
        // Explicitly, since a child forked at a bad moment may still share the open file description. The number leaves
        // the table before it can become another file's.
        let _ = sys::unlock(&file);
        INHERITED[self.place].store(NONE, Ordering::Relaxed);
        drop(file);
    }
}
