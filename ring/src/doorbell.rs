//! The doorbell: how producers wake a group's sleeping drainer.
//!
//! One small file for each group, shared by all its producers and its drainer. Hints only: whoever misses a ring polls a
//! little later, so a lost or damaged doorbell costs time and no records.
//!
//! The drainer says that it is about to sleep, fences, looks at every ring once more, and only then sleeps. A producer that
//! publishes, fences and then looks at `sleeping` cannot be missed; most publications skip the fence and risk one poll.

use crate::error::{Error, io_error};
use crate::group::{UNBORN, rename_new};
use crate::layout::{DOORBELL_CHANGES, DOORBELL_FUTEX, DOORBELL_LEN, DOORBELL_SLEEPING};
use crate::order::{self, ORDERS};
use crate::share::ShmGroup;
use crate::shm::Mapping;
use crate::simulation::{self, new_uuid, point};
use crate::sys;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A group's doorbell, for a producer or for the drainer. One thread may sleep on it at a time.
#[derive(Debug)]
pub struct Doorbell {
    mapping: Mapping,
    /// The futex word as it was before `sleeping` was set.
    before: AtomicU32,
}

impl Doorbell {
    /// Opens the doorbell of a group's directory; makes it if this is the first to come.
    ///
    /// # Errors
    /// The file cannot be opened, sized or mapped.
    pub fn open(group_dir: &Path) -> Result<Doorbell, Error> {
        Self::open_as(group_dir, None)
    }

    /// As [`Self::open`], and shares it.
    pub(crate) fn open_as(group_dir: &Path, group: Option<ShmGroup>) -> Result<Doorbell, Error> {
        let path = group_dir.join("doorbell");
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = loop {
            match rustix::fs::open(&path, flags, Mode::empty()) {
                Ok(file) => break file,
                Err(Errno::NOENT) => make(&path, group)?,
                Err(error) => return Err(io_error("open the doorbell", &path)(error)),
            }
        };
        if let Some(group) = group {
            group.share_file(&file, &path)?;
        }
        // It never shrinks, and what is there stays.
        point();
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, DOORBELL_LEN as u64)
            .map_err(io_error("size the doorbell", &path))?;
        Ok(Doorbell {
            mapping: Mapping::of_doorbell(&file).map_err(io_error("map the doorbell", &path))?,
            before: AtomicU32::new(0),
        })
    }

    fn sleeping(&self) -> &AtomicU32 {
        self.mapping.word32(DOORBELL_SLEEPING)
    }

    fn futex(&self) -> &AtomicU32 {
        self.mapping.word32(DOORBELL_FUTEX)
    }

    /// Producer: wakes the drainer if it is seen sleeping. One relaxed load, which may miss a drainer that is just lying
    /// down.
    #[inline]
    pub fn ring_if_sleeping(&self) {
        if self.mapping.word32(DOORBELL_SLEEPING).load(Ordering::Relaxed) != 0 {
            self.ring();
        }
    }

    /// Producer: as [`Self::ring_if_sleeping`], but misses nobody.
    #[cold]
    pub fn ring_surely(&self) {
        // Either this sees `sleeping`, or the drainer that lies down sees what was published.
        if order::is_announced(self.sleeping(), ORDERS) {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        if order::wake(self.sleeping(), self.futex()) {
            sys::futex_wake(self.futex());
        }
    }

    /// Producer: says that a ring was created, adopted or closed.
    pub fn announce_change(&self) {
        // Release: pairs with the Acquire in `changes`.
        self.mapping.word64(DOORBELL_CHANGES).fetch_add(1, Ordering::Release);
        point();
        self.ring_surely();
    }

    /// How many changes were announced. A drainer that sees the same number need not scan the directory, but does
    /// so now and then, since this is a hint.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.mapping.word64(DOORBELL_CHANGES).load(Ordering::Acquire)
    }

    /// Drainer: from now on producers ring. It must look at every ring once more before it sleeps.
    pub fn prepare_sleep(&self) {
        let before = order::announce(self.sleeping(), self.futex(), ORDERS);
        self.before.store(before, Ordering::Relaxed);
    }

    /// Drainer: sleeps until someone rings, at most for `timeout`. Only after [`Self::prepare_sleep`].
    pub fn sleep(&self, timeout: Duration) {
        if !simulation::is_on() {
            sys::futex_wait(self.futex(), self.before.load(Ordering::Relaxed), timeout);
        }
        self.cancel_sleep();
    }

    /// Drainer: found something to do after all.
    pub fn cancel_sleep(&self) {
        self.sleeping().store(0, Ordering::Relaxed);
    }

    /// Ends the drainer's sleep, or the next one it has prepared, whatever it waits for.
    pub fn wake(&self) {
        // Release: pairs with the Acquire in prepare_sleep.
        self.futex().fetch_add(1, Ordering::Release);
        sys::futex_wake(self.futex());
    }
}

/// Makes a doorbell at `path`, unless another process is faster. It is shared before it has its name: nobody who may use it
/// finds it closed.
fn make(path: &Path, group: Option<ShmGroup>) -> Result<(), Error> {
    let temporary = path.with_file_name(format!(".doorbell-{}.{UNBORN}", new_uuid()));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(&temporary, flags, Mode::RUSR | Mode::WUSR).map_err(io_error("make", &temporary))?;
    point();
    let named = group
        .map_or(Ok(()), |group| group.share_file(&file, &temporary))
        .and_then(|()| rename_new(&temporary, path));
    if !matches!(named, Ok(true)) {
        let _ = rustix::fs::unlink(&temporary); // otherwise an empty file stays until someone looks
    }
    named.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn directory() -> tempfile::TempDir {
        tempfile::Builder::new()
            .prefix("hog-test-")
            .tempdir_in("/dev/shm")
            .unwrap()
    }

    #[test]
    fn ring_after_prepare_ends_the_sleep_at_once() {
        let directory = directory();
        let drainer = Doorbell::open(directory.path()).unwrap();
        let producer = Doorbell::open(directory.path()).unwrap();
        drainer.prepare_sleep();
        producer.ring_if_sleeping();
        let start = Instant::now();
        drainer.sleep(Duration::from_secs(20));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn changes_are_counted_across_openings() {
        let directory = directory();
        let first = Doorbell::open(directory.path()).unwrap();
        first.announce_change();
        let second = Doorbell::open(directory.path()).unwrap();
        second.announce_change();
        assert_eq!((first.changes(), second.changes()), (2, 2));
    }
}
