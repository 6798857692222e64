//! The reading side of a ring: what a drainer opens, copies from, and advances.
//!
//! Nothing in a ring is trusted. Its identity is read by `pread` and judged before anything is mapped; positions are
//! checked each time they are loaded; bytes are copied out and judged as a copy (`record.rs`); a file that shrinks under
//! its mapping is noticed, not died of. What is wrong with one ring is said of that ring alone.
//!
//! A ring has one reader at a time; the drainer's lock on the group's directory sees to that. `head` only grows, even if
//! two readers should meet.

use crate::claim::read_state;
use crate::header::{BadIdentity, Identity, identify};
use crate::layout::{ADOPTED, CONDEMNED, DROPPED_BYTES, DROPPED_RECORDS, HEAD, SPACE, SYNCED, TAIL, WAITING};
use crate::limits::POSITION_END;
use crate::order::{self, ORDERS};
use crate::owner::{self, FoundLiving, OwnerWord, Watch};
use crate::shm::Mapping;
use crate::simulation::point;
use crate::sys;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

pub use crate::owner::Liveness;

/// Why a file could not be opened as a ring.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The kernel refused.
    #[error("open the ring {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It is something else, or its header is damaged.
    #[error("{} is not a ring", path.display())]
    NotARing {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: BadIdentity,
    },
    /// It is a ring of another boot: its memory is lost, and what lies there is no longer what was logged.
    #[error("ring {} was made in another boot ({})", path.display(), identity.boot)]
    OtherBoot {
        /// The file.
        path: PathBuf,
        /// What the ring says of itself.
        identity: Box<Identity>,
    },
}

/// What is wrong with a ring that was open already.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RingFault {
    /// Its tail is not where a tail can be.
    #[error("tail {tail} does not follow position {position} within the ring")]
    Wild {
        /// The position found.
        tail: u64,
        /// The position asked for.
        position: u64,
    },
    /// Its head is where no head can be.
    #[error("head {head} is not a position up to which the ring can have been drained")]
    WildHead {
        /// The position found.
        head: u64,
    },
    /// Its tail moved back.
    #[error("tail {tail} is below {seen}, where it was before")]
    Backwards {
        /// The position found.
        tail: u64,
        /// What it was before.
        seen: u64,
    },
    /// The file is shorter than it was.
    #[error("the ring's file shrank")]
    Shrunk,
}

/// Why a reader gives a ring up; the number stands in the ring, where its producer finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condemnation {
    /// Its header or its positions make no sense.
    Header,
    /// Its file shrank.
    Shrunk,
}

impl Condemnation {
    const fn code(self) -> u32 {
        match self {
            Condemnation::Header => 1,
            Condemnation::Shrunk => 2,
        }
    }
}

/// A ring, open for reading.
#[derive(Debug)]
pub struct RingReader {
    path: PathBuf,
    file: File,
    identity: Identity,
    mapping: Mapping,
    watch: Watch,
    /// The highest tail that was believed.
    seen: AtomicU64,
}

impl RingReader {
    /// Opens a ring file, judges its header and maps it.
    ///
    /// # Errors
    /// See [`OpenError`]. A file that vanished meanwhile is `Io` with `NotFound`.
    pub fn open(path: &Path) -> Result<RingReader, OpenError> {
        let refused = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        let not_a_ring = |what| OpenError::NotARing {
            path: path.to_owned(),
            what,
        };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file: File = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| refused(error.into()))?
            .into();
        let identity = identify(&file).map_err(refused)?.map_err(not_a_ring)?;
        if identity.boot != owner::boot_id().map_err(refused)? {
            return Err(OpenError::OtherBoot {
                path: path.to_owned(),
                identity: Box::new(identity),
            });
        }
        let mapping = Mapping::of_reader(&file, identity.capacity).map_err(refused)?;
        Ok(RingReader {
            path: path.to_owned(),
            file,
            identity,
            mapping,
            watch: Watch::default(),
            seen: AtomicU64::new(0),
        })
    }

    /// What the ring says of itself.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the ring was last known to lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells where the ring lies now, if it was renamed.
    pub fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// When the ring was last taken over: CLOCK_BOOTTIME, ns; 0 if never.
    #[must_use]
    pub fn adopted(&self) -> u64 {
        // Acquire: callers order rings by it after they saw an owner.
        self.mapping.word64(ADOPTED).load(Ordering::Acquire)
    }

    /// Up to where the ring was drained, as it stands in the ring. Not checked: see [`Self::sound_head`].
    #[must_use]
    pub fn head(&self) -> u64 {
        self.mapping.word64(HEAD).load(Ordering::Acquire)
    }

    /// As [`Self::head`], for whoever goes on there.
    ///
    /// # Errors
    /// It is no multiple of 8, not within the capacity below a tail, or beyond [`POSITION_END`]; or the file shrank.
    pub fn sound_head(&self) -> Result<u64, RingFault> {
        let head = self.head();
        match self.tail(head) {
            Ok(_) if head.is_multiple_of(8) && head < POSITION_END => Ok(head),
            Err(fault @ (RingFault::Shrunk | RingFault::Backwards { .. })) => Err(fault),
            _ => Err(RingFault::WildHead { head }),
        }
    }

    /// What is published. Everything from `position`, up to which the caller has drained, to the tail may be copied.
    ///
    /// # Errors
    /// The tail is below `position`, more than the capacity above it, no multiple of 8, beyond [`POSITION_END`], or below one that this reader saw
    /// before; or the file shrank.
    pub fn tail(&self, position: u64) -> Result<u64, RingFault> {
        let tail = order::published(self.mapping.word64(TAIL), ORDERS);
        if self.mapping.is_shrunk() {
            return Err(RingFault::Shrunk);
        }
        let ahead = tail
            .checked_sub(position)
            .filter(|&ahead| ahead <= self.identity.capacity);
        if ahead.is_none() || !tail.is_multiple_of(8) || tail >= POSITION_END {
            return Err(RingFault::Wild { tail, position });
        }
        // Relaxed: the memory of one reader, which orders nothing else. An honest tail only grows.
        let seen = self.seen.fetch_max(tail, Ordering::Relaxed);
        if tail < seen {
            return Err(RingFault::Backwards { tail, seen });
        }
        Ok(tail)
    }

    /// Copies the bytes from position `start` out. They are the records there only if they lie between the position
    /// last advanced to and a tail loaded since.
    ///
    /// # Errors
    /// `start` is no multiple of 8, or more than the capacity is asked for (`Wild`); or the file shrank, and `out` is
    /// partly zeros.
    pub fn copy(&self, start: u64, out: &mut [u8]) -> Result<(), RingFault> {
        let copied = self.mapping.copy_data(start, out);
        self.judge_copy(copied, start, out.len())
    }

    /// As [`Self::copy`], for `len` bytes, a multiple of 8, which are put behind those that are in `out`. The caller is going to ask for the `more` bytes
    /// behind them next, which are below the tail as well: memory is asked for them before, so that it answers while the caller judges these.
    ///
    /// # Errors
    /// As of [`Self::copy`].
    pub fn copy_onto(&self, start: u64, len: usize, more: usize, out: &mut Vec<u8>) -> Result<(), RingFault> {
        let copied = self.mapping.copy_data_onto(start, len, more, out);
        self.judge_copy(copied, start, len)
    }

    fn judge_copy(&self, copied: bool, start: u64, len: usize) -> Result<(), RingFault> {
        if !copied {
            return Err(RingFault::Wild {
                tail: start.saturating_add(len as u64),
                position: start,
            });
        }
        if self.mapping.is_shrunk() {
            Err(RingFault::Shrunk)
        } else {
            Ok(())
        }
    }

    /// Gives the room below `to` back to the producer and wakes it if it waits. Never goes backwards.
    pub fn advance(&self, to: u64) {
        point();
        order::give(self.mapping.word64(HEAD), to, ORDERS);
        point();
        // Either the producer that waits for room sees the head, or this sees that it waits.
        if order::is_announced(self.mapping.word32(WAITING), ORDERS) {
            self.wake_producer();
        }
    }

    #[cold]
    fn wake_producer(&self) {
        let space = self.mapping.word32(SPACE);
        if order::wake(self.mapping.word32(WAITING), space) {
            sys::futex_wake(space);
        }
    }

    /// Tells the producer that what was drained below `to` is on disk. Never goes backwards.
    pub fn publish_synced(&self, to: u64) {
        point();
        self.mapping.word64(SYNCED).fetch_max(to, Ordering::Release);
        point();
    }

    /// Up to where the producer was told that what was drained is on disk.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.mapping.word64(SYNCED).load(Ordering::Acquire) // pairs with the Release in publish_synced
    }

    /// Who owns the ring.
    #[must_use]
    pub fn owner(&self) -> OwnerWord {
        OwnerWord::load(&self.mapping)
    }

    /// What became of the ring's owner. Keeps a pidfd between calls, so that this is one `poll` while it lives.
    pub fn liveness(&mut self) -> Liveness {
        self.watch.judge(&self.mapping, &self.file)
    }

    /// As [`Self::liveness`], but an owner that is among `found` is taken for living, unasked. Good for one walk over many rings: who dies after it was
    /// found is seen to be dead by the next walk, which begins with none.
    pub fn liveness_unless_found(&mut self, found: &mut FoundLiving) -> Liveness {
        self.watch.judge_unless_found(&self.mapping, &self.file, found)
    }

    /// Whether a later run may take the ring over: it is named, and has a sound state at or below its tail.
    #[must_use]
    pub fn is_adoptable(&self) -> bool {
        // Acquire: as in `tail`; the copy of the state for this tail was written before it.
        let tail = self.mapping.word64(TAIL).load(Ordering::Acquire);
        self.identity.named && read_state(&self.mapping, tail).is_some()
    }

    /// The resume state at the tail, if there is a sound one.
    #[must_use]
    pub fn state(&self) -> Option<Vec<u8>> {
        // Acquire: as in `tail`; the copy of the state for this tail was written before it.
        let tail = self.mapping.word64(TAIL).load(Ordering::Acquire);
        read_state(&self.mapping, tail).map(|choice| choice.state)
    }

    /// Decides that the ring gets no more records, if its owner is still `seen`, which the caller found dead or CLOSED. The
    /// tail loaded after this is the last.
    #[must_use]
    pub fn retire(&self, seen: OwnerWord) -> bool {
        point();
        let swapped = OwnerWord::swap(&self.mapping, seen, OwnerWord::RETIRED);
        point();
        swapped
    }

    /// Gives the ring up. Its producer's calls fail from now on. The first reason stays.
    pub fn condemn(&self, reason: Condemnation) {
        point();
        let word = self.mapping.word32(CONDEMNED);
        // Relaxed: nothing is read by it. A failed exchange means that a reason is there.
        let _ = word.compare_exchange(0, reason.code(), Ordering::Relaxed, Ordering::Relaxed);
        point();
        // A producer that waits for room would find out at its next timeout; rather tell it.
        let space = self.mapping.word32(SPACE);
        space.fetch_add(1, Ordering::Release);
        sys::futex_wake(space);
    }

    /// Whether a reader gave the ring up.
    #[must_use]
    pub fn is_condemned(&self) -> bool {
        self.mapping.word32(CONDEMNED).load(Ordering::Relaxed) != 0
    }

    /// Cumulative totals of what the producer dropped: records and bytes. Final once the ring is retired.
    #[must_use]
    pub fn drops(&self) -> (u64, u64) {
        let total = |offset| self.mapping.word64(offset).load(Ordering::Relaxed);
        (total(DROPPED_RECORDS), total(DROPPED_BYTES))
    }

    /// Removes the ring's file, wherever in its directory it lies: under the path last known, or, if a new ring has
    /// that name now, under its own uuid. Done already is done.
    ///
    /// # Errors
    /// The kernel refused; or `WouldBlock`: someone has the ring's lock, and it may be tried again.
    pub fn unlink(&self) -> io::Result<()> {
        // Under the lock, so that no heir renames the file between the look and the removal.
        if !sys::try_lock(&self.file)? {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the ring is locked"));
        }
        point();
        let removed = self.unlink_locked();
        point();
        let _ = sys::unlock(&self.file);
        removed
    }

    fn unlink_locked(&self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let under_uuid = self.path.with_file_name(format!("{}.ring", self.identity.uuid));
        for path in [&self.path, &under_uuid] {
            match fs::symlink_metadata(path) {
                Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => return fs::remove_file(path),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
