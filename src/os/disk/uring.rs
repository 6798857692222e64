//! fdatasync through io_uring, where the command line asks for it and the kernel lets us. Nothing else goes this way: no buffer is ever lent to the kernel.
//!
//! A sync takes a ring, submits one entry, and sleeps until its completion is there, as it would sleep in the call: who hangs there hangs as before, and is
//! relieved as before. What the kernel says of the sync is what the call would have said. An entry that the kernel did not take was not done,
//! and the caller makes the call instead; where that cannot be told, the sync counts as failed, since a second one might not hear of what went wrong.
#![allow(unsafe_code)]

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries of a ring: it has one sync at a time.
const ENTRIES: u32 = 2;

/// The rings of this process.
pub(super) static RINGS: Rings = Rings::off();

/// Rings that wait for a sync; as many are made as there are syncs at once. `None`: syncs do not go this way.
pub(super) struct Rings {
    spare: Mutex<Option<Vec<IoUring>>>,
}

/// What became of an entry.
enum Outcome {
    /// The kernel says how it ended: 0, or an errno below it.
    Done(i32),
    /// The kernel did not take it.
    NotTaken(io::Error),
    /// The kernel took it, and cannot be asked how it ended.
    Unknown(io::Error),
}

/// A ring, if the kernel has one for us.
pub(super) fn new_ring() -> io::Result<IoUring> {
    IoUring::new(ENTRIES)
}

impl Rings {
    pub(super) const fn off() -> Self {
        Self {
            spare: Mutex::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<IoUring>>> {
        // Every change is complete before the guard goes.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on syncs go this way, if a ring that `make` makes does something.
    ///
    /// # Errors
    /// When the kernel has no rings for us (`ENOSYS`, or `EPERM` by a sysctl or a filter), or does nothing through them.
    pub(super) fn turn_on(&self, make: impl FnOnce() -> io::Result<IoUring>) -> io::Result<()> {
        let mut ring = make()?;
        match run(&mut ring, &opcode::Nop::new().build()) {
            Outcome::Done(0) => *self.lock() = Some(vec![ring]),
            Outcome::Done(error) => return Err(io::Error::from_raw_os_error(-error)),
            Outcome::NotTaken(error) | Outcome::Unknown(error) => return Err(error),
        }
        Ok(())
    }

    /// Syncs the data of `file`. `None`: it was not done, and the caller has to do it.
    pub(super) fn sync_data(&self, file: &File) -> Option<io::Result<()>> {
        let spare = self.lock().as_mut()?.pop();
        let mut ring = spare.map_or_else(new_ring, Ok).ok()?;
        let descriptor = types::Fd(file.as_raw_fd());
        let entry = opcode::Fsync::new(descriptor)
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        match run(&mut ring, &entry) {
            Outcome::Done(result) => {
                if let Some(spare) = self.lock().as_mut() {
                    spare.push(ring);
                }
                Some(match result {
                    0.. => Ok(()),
                    error => Err(io::Error::from_raw_os_error(-error)),
                })
            }
            Outcome::NotTaken(_) => None,
            Outcome::Unknown(error) => Some(Err(error)),
        }
    }
}

/// Has the kernel do `entry`, which names no memory, and waits until it is done. But for [`Outcome::Done`] the ring is of no use any more.
fn run(ring: &mut IoUring, entry: &Entry) -> Outcome {
    // SAFETY: an entry must stay sound until it is completed. These are a no-op, and a sync of a descriptor that its owner keeps open while this waits; should
    // this not wait to the end, the kernel has a reference of its own to the file. Neither has a pointer.
    if unsafe { ring.submission().push(entry) }.is_err() {
        return Outcome::NotTaken(io::ErrorKind::StorageFull.into());
    }
    loop {
        if let Some(done) = ring.completion().next() {
            return Outcome::Done(done.result());
        }
        match ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if ring.submission().is_empty() => return Outcome::Unknown(error),
            Err(error) => return Outcome::NotTaken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    /// Rings, where the kernel of this machine has any.
    fn rings() -> Option<Rings> {
        let rings = Rings::off();
        match rings.turn_on(new_ring) {
            Ok(()) => Some(rings),
            Err(error) => {
                eprintln!("skipped: the kernel has no io_uring for us: {error}");
                None
            }
        }
    }

    #[test]
    fn files_are_synced_through_rings_by_many_at_once_and_rings_are_used_again() {
        let Some(rings) = rings() else { return };
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let mut file = tempfile::tempfile().unwrap();
                    for _ in 0..10 {
                        file.write_all(b"a record").unwrap();
                        rings.sync_data(&file).unwrap().unwrap();
                    }
                });
            }
        });
        let spare = rings.lock().as_ref().map_or(0, Vec::len);
        assert!((1..=4).contains(&spare), "{spare} rings are left");
    }

    #[test]
    fn what_cannot_be_synced_fails_as_the_call_does() {
        let Some(rings) = rings() else { return };
        let (socket, _other) = UnixStream::pair().unwrap();
        let socket = File::from(std::os::fd::OwnedFd::from(socket));
        let (through, by_call) = (rings.sync_data(&socket).unwrap(), socket.sync_data());
        assert_eq!(through.unwrap_err().raw_os_error(), by_call.unwrap_err().raw_os_error());
    }

    #[test]
    fn where_the_kernel_refuses_rings_nothing_is_done_and_the_caller_is_told() {
        for errno in [rustix::io::Errno::PERM, rustix::io::Errno::NOSYS] {
            let rings = Rings::off();
            let refused = rings.turn_on(|| Err(errno.into()));
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(errno.raw_os_error()));
            assert!(rings.sync_data(&tempfile::tempfile().unwrap()).is_none());
        }
    }
}
