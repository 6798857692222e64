//! A queue of version 2, open for reading: bounded, judged, and survived when its file shrinks.
//!
//! Nothing here waits. Indices are judged each time they are loaded; pages are copied out and their footers judged; the reader's index moves by
//! atomic exchange, and whoever waits for room is woken as its wait state says, by a futex that is not private, since it is of another
//! process. A producer that spins is not woken: it looks itself.

use super::layout::{BadQueue, Footer, HEADER, PAGE, PAGE_PAYLOAD, QueueLayout, RI, WI, WSTATE};
use crate::shm::QueueMapping;
use crate::sys;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use thiserror::Error;

/// The wait state of a producer that sleeps until it is woken.
const WRITER_WAITS: u32 = 2;

/// How a producer waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitPolicy {
    /// In the kernel: it has to be woken.
    Futex,
    /// It looks again and again.
    Spin,
}

/// Why a file could not be opened as a queue.
#[derive(Debug, Error)]
pub enum OpenQueueError {
    /// The kernel refused.
    #[error("open the queue {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a queue of version 2", path.display())]
    NotAQueue {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadQueue,
    },
    /// It is a directory, a socket or the like.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
}

/// What is wrong with a queue that was open already.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum QueueFault {
    /// An index names no slot.
    #[error(transparent)]
    Index(#[from] BadQueue),
    /// A page's footer is none.
    #[error("the page in slot {slot} ends in {found:#010x}, which is no footer")]
    Footer {
        /// The slot.
        slot: u32,
        /// The word found.
        found: u32,
    },
    /// The file is shorter than it was.
    #[error("the queue's file shrank")]
    Shrunk,
}

/// A queue, open for reading.
#[derive(Debug)]
pub struct Queue {
    layout: QueueLayout,
    file: File,
    mapping: QueueMapping,
}

impl Queue {
    /// Opens a file, judges its header and maps it.
    ///
    /// # Errors
    /// See [`OpenQueueError`]. A name that is not there is `Io` with `NotFound`.
    pub fn open(path: &Path) -> Result<Queue, OpenQueueError> {
        let refused = |source| OpenQueueError::Io {
            path: path.to_owned(),
            source,
        };
        // NONBLOCK: whoever put a FIFO there does not make us wait.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file: File = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| refused(error.into()))?
            .into();
        let metadata = file.metadata().map_err(refused)?;
        if !metadata.is_file() {
            return Err(OpenQueueError::NotAFile { path: path.to_owned() });
        }
        let not_a_queue = |source| OpenQueueError::NotAQueue {
            path: path.to_owned(),
            source,
        };
        let mut header = [0; HEADER];
        match file.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let (expected, found) = (HEADER as u64, metadata.len());
                return Err(not_a_queue(BadQueue::Short { expected, found }));
            }
            read => read.map_err(refused)?,
        }
        let layout = QueueLayout::judge(&header, metadata.len()).map_err(not_a_queue)?;
        let mapping = QueueMapping::new(&file, layout.len).map_err(refused)?;
        Ok(Queue { layout, file, mapping })
    }

    /// Where its parts are.
    #[must_use]
    pub fn layout(&self) -> &QueueLayout {
        &self.layout
    }

    /// Device and inode of the file.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn inode(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// The user who owns the file.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn user(&self) -> io::Result<u32> {
        self.file.metadata().map(|metadata| metadata.uid())
    }

    /// Whether anybody but this has the queue open or mapped. Where the kernel does not say: no.
    #[must_use]
    pub fn is_open_elsewhere(&self) -> bool {
        sys::is_open_elsewhere(&self.file).unwrap_or(false)
    }

    /// Whether the kernel says that nobody but this has the queue open or mapped.
    #[must_use]
    pub fn is_nobody_elses(&self) -> bool {
        sys::is_open_elsewhere(&self.file).is_ok_and(|is_elsewhere| !is_elsewhere)
    }

    /// The file, to make a link of.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A copy of the metadata.
    ///
    /// # Errors
    /// [`QueueFault::Shrunk`].
    pub fn metadata(&self) -> Result<Vec<u8>, QueueFault> {
        let mut metadata = vec![0; self.layout.metadata];
        self.mapping.copy(HEADER, &mut metadata);
        self.unless_shrunk(metadata)
    }

    /// Up to where the queue was read, and up to where it is published. Pages between the two may be copied.
    ///
    /// # Errors
    /// One of them names no slot, or the file shrank.
    pub fn indices(&self) -> Result<(u32, u32), QueueFault> {
        Ok((self.index(RI)?, self.index(WI)?))
    }

    fn index(&self, word: usize) -> Result<u32, QueueFault> {
        // Acquire: pairs with the producer's exchange, before which it wrote the pages.
        let found = self.control(word).load(Ordering::Acquire);
        self.unless_shrunk(())?;
        let slots = self.layout.slots;
        if found < slots {
            Ok(found)
        } else {
            Err(BadQueue::Index { found, slots }.into())
        }
    }

    /// The producer's and the reader's wait state: 0 nobody waits, 1 the reader, 2 the writer.
    #[must_use]
    pub fn wait_state(&self) -> u32 {
        self.control(WSTATE).load(Ordering::Acquire)
    }

    /// What stands at the end of the page in `slot`, which is less than the number of slots.
    ///
    /// # Errors
    /// It is no footer, or the file shrank.
    pub fn footer(&self, slot: u32) -> Result<Footer, QueueFault> {
        // Acquire: a producer changes the footer of a page that it has published.
        let word = self.mapping.word32(self.layout.slot(slot) + PAGE_PAYLOAD);
        let found = word.load(Ordering::Acquire);
        self.unless_shrunk(())?;
        Footer::judge(found).ok_or(QueueFault::Footer { slot, found })
    }

    /// Appends the first `len` bytes of the page in `slot` to `out`. They are the producer's only if the page is published.
    ///
    /// # Errors
    /// [`QueueFault::Shrunk`], and `out` is as it was.
    pub fn copy(&self, slot: u32, len: usize, out: &mut Vec<u8>) -> Result<(), QueueFault> {
        let before = out.len();
        self.mapping.copy_onto(self.layout.slot(slot), len.min(PAGE), out);
        let copied = self.unless_shrunk(());
        if copied.is_err() {
            out.truncate(before);
        }
        copied
    }

    /// Gives the pages below `ri` back to the producer.
    ///
    /// # Errors
    /// [`QueueFault::Shrunk`].
    pub fn release(&self, ri: u32) -> Result<(), QueueFault> {
        assert!(ri < self.layout.slots, "only slots are given back");
        // A full barrier, as the producer expects: what was copied was copied before.
        self.control(RI).swap(ri, Ordering::SeqCst);
        self.unless_shrunk(())
    }

    /// Clears the wait state, and wakes a producer that waits in the kernel.
    pub fn wake(&self, policy: WaitPolicy) {
        let wstate = self.control(WSTATE);
        if wstate.swap(0, Ordering::SeqCst) == WRITER_WAITS && policy == WaitPolicy::Futex {
            sys::futex_wake(wstate);
        }
    }

    fn control(&self, word: usize) -> &std::sync::atomic::AtomicU32 {
        self.mapping.word32(self.layout.control + word)
    }

    fn unless_shrunk<T>(&self, value: T) -> Result<T, QueueFault> {
        if self.mapping.is_shrunk() {
            Err(QueueFault::Shrunk)
        } else {
            Ok(value)
        }
    }
}
