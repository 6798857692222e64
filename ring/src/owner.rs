//! Who owns a ring, and whether that process still lives.
//!
//! A ring's owner is one word: CLOSED, *retired*, or a process by pid and start time, so that a pid given out again is not
//! taken for the old process. The word changes only by compare-and-swap; therefore an heir and a drainer that both found
//! the owner dead cannot both have the ring.
//!
//! Within one pid namespace death is judged by a pidfd, checked against the start time after it was opened. A pid of
//! another namespace means nothing here; of such an owner only the lock tells, which the kernel takes from the dead.
//! Doubt counts as life: a ring served late is a delay, a living one taken over is damage.

use crate::shm::Mapping;
#[cfg(feature = "simulation")]
use crate::simulation;
use crate::{layout, sys};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use uuid::Uuid;

const PID_BITS: u32 = 22;

/// The owner word of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerWord(pub(crate) u64);

impl OwnerWord {
    /// Nobody: the producer closed the ring.
    pub const CLOSED: OwnerWord = OwnerWord(0);
    /// Nobody, for good: the drainer or an heir decided that this ring gets no more records.
    pub const RETIRED: OwnerWord = OwnerWord(u64::MAX);

    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn of_this_process() -> io::Result<OwnerWord> {
        #[cfg(feature = "simulation")]
        if let Some(owner) = simulation::owner() {
            return Ok(owner);
        }
        let pid = std::process::id();
        Ok(OwnerWord::of(pid, process_start_time(pid)?))
    }

    pub(crate) fn of(pid: u32, start_time: u64) -> OwnerWord {
        OwnerWord(start_time << PID_BITS | u64::from(pid))
    }

    /// The owner's pid in its own pid namespace, if there is an owner.
    #[must_use]
    pub fn pid(self) -> Option<u32> {
        let pid = u32::try_from(self.0 & ((1 << PID_BITS) - 1)).unwrap_or(0);
        (self != OwnerWord::CLOSED && self != OwnerWord::RETIRED).then_some(pid)
    }

    fn start_time(self) -> u64 {
        self.0 >> PID_BITS
    }

    pub(crate) fn load(ring: &Mapping) -> OwnerWord {
        // Acquire: pairs with the AcqRel swap that stored the word; whoever sees a new owner sees its namespace.
        OwnerWord(ring.word64(layout::OWNER).load(Ordering::Acquire))
    }

    /// Swaps the owner from `seen` to `new`. `false`: it is no longer `seen`.
    pub(crate) fn swap(ring: &Mapping, seen: OwnerWord, new: OwnerWord) -> bool {
        let word = ring.word64(layout::OWNER);
        word.compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// What became of a ring's producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It lives, or nothing proves that it does not.
    Living,
    /// It ended without closing the ring.
    Dead,
    /// It closed the ring.
    Closed,
    /// The ring was retired.
    Retired,
}

/// A process that is known by its pid and start time, not by its pid alone.
#[derive(Debug)]
pub struct ProcessWatch {
    /// `None`: it has ended.
    pidfd: Option<OwnedFd>,
}

impl ProcessWatch {
    /// Watches the process that has or had this pid of this pid namespace, and [began](process_start_time) then.
    ///
    /// # Errors
    /// It cannot be found out whether it lives.
    pub fn of(pid: u32, start_time: u64) -> io::Result<ProcessWatch> {
        let pidfd = open_process(pid, start_time)?;
        Ok(ProcessWatch { pidfd })
    }

    /// Watches whatever process has this pid now: for one whose start time cannot be found out, since `/proc` hides it.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_pid(pid: u32) -> io::Result<ProcessWatch> {
        let pidfd = open_pidfd(pid)?;
        Ok(ProcessWatch { pidfd })
    }

    /// Whether it has ended. Doubt counts as life.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.pidfd.as_ref().is_none_or(is_over)
    }
}

/// Whether the process of a pidfd has ended.
fn is_over(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    // Readable: the last thread of the process has ended, whether or not anyone has reaped it.
    matches!(rustix::event::poll(&mut polled, Some(&Timespec::default())), Ok(1..))
}

/// Processes that were found living a moment ago, for who asks after the owners of many rings: most programs have several, and one answer will do for all of them.
#[derive(Debug, Default)]
pub struct FoundLiving {
    /// By owner word and pid namespace.
    processes: HashSet<(OwnerWord, u64)>,
}

/// Watches the owner of one ring; keeps its pidfd between calls.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    watched: Option<Watched>,
}

/// An owner whose process was found, by its word and the pid namespace of it.
#[derive(Debug)]
struct Watched {
    owner: OwnerWord,
    namespace: u64,
    pidfd: OwnedFd,
}

impl Watch {
    /// Judges the present owner of `ring`, whose file is `file`.
    pub(crate) fn judge(&mut self, ring: &Mapping, file: impl AsFd) -> Liveness {
        let owner = OwnerWord::load(ring);
        let Some(pid) = owner.pid() else {
            self.watched = None;
            return if owner == OwnerWord::CLOSED {
                Liveness::Closed
            } else {
                Liveness::Retired
            };
        };
        // Relaxed: ordered by the acquire load of the owner. An heir stores it under the ring's lock, before its swap;
        // read between the two it belongs to a ring whose lock is held, and that counts as life.
        let namespace = ring.word64(layout::OWNER_NAMESPACE).load(Ordering::Relaxed);
        #[cfg(feature = "simulation")]
        if let Some(dead) = simulation::has_ended(pid, namespace) {
            return if dead { Liveness::Dead } else { Liveness::Living };
        }
        if let Some(watched) = &self.watched
            && (watched.owner, watched.namespace) == (owner, namespace)
        {
            // The descriptor is of that process wherever it is: nothing else is to be asked.
            let dead = is_over(&watched.pidfd);
            return if dead { Liveness::Dead } else { Liveness::Living };
        }
        self.watched = None;
        let dead = match pid_namespace() {
            Ok(ours) if ours == namespace => self.has_ended(owner, pid, namespace),
            Ok(_) => !sys::is_locked_elsewhere(file).unwrap_or(true),
            Err(_) => false,
        };
        if dead { Liveness::Dead } else { Liveness::Living }
    }

    /// The same, but who is among `found` and watched already is not asked after again; who is found living by its pidfd comes to them. What a lock tells is of its
    /// ring alone. Who is not watched yet is: its pid, once another process has it, would say nothing of its end where start times cannot be read.
    pub(crate) fn judge_unless_found(&mut self, ring: &Mapping, file: impl AsFd, found: &mut FoundLiving) -> Liveness {
        // In the order of `judge`.
        let owner = OwnerWord::load(ring);
        let process = (owner, ring.word64(layout::OWNER_NAMESPACE).load(Ordering::Relaxed));
        let is_watched = self
            .watched
            .as_ref()
            .is_some_and(|watched| (watched.owner, watched.namespace) == process);
        if is_watched && found.processes.contains(&process) {
            return Liveness::Living;
        }
        let liveness = self.judge(ring, file);
        // Of the owner that was judged, which may be another one by now.
        if let (Liveness::Living, Some(watched)) = (liveness, &self.watched) {
            found.processes.insert((watched.owner, watched.namespace));
        }
        liveness
    }

    /// Whether that process of our own namespace has ended. If not, it is watched from now on.
    fn has_ended(&mut self, owner: OwnerWord, pid: u32, namespace: u64) -> bool {
        let pidfd = match open_process(pid, owner.start_time()) {
            Ok(Some(pidfd)) => pidfd,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let dead = is_over(&pidfd);
        self.watched = Some(Watched {
            owner,
            namespace,
            pidfd,
        });
        dead
    }
}

/// A pidfd of the process with this pid. `None`: there is none.
fn open_pidfd(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A pidfd of the process with this pid and start time. `None`: that process has ended.
fn open_process(pid: u32, start_time: u64) -> io::Result<Option<OwnedFd>> {
    let Some(pidfd) = open_pidfd(pid)? else {
        return Ok(None);
    };
    // After opening: if the start time agrees now, the descriptor is of that process and stays so.
    match process_start_time(pid) {
        Ok(found) => Ok((found == start_time).then_some(pidfd)),
        // It ended since, as the pidfd will say; or /proc hides other users' processes, and the pidfd is all there is.
        Err(error) if is_no_process(&error) || error.kind() == io::ErrorKind::PermissionDenied => Ok(Some(pidfd)),
        Err(error) => Err(error),
    }
}

fn is_no_process(error: &io::Error) -> bool {
    // ESRCH: it ended between the opening of its file and the reading.
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// When the process with this pid began, in clock ticks since boot: field 22 of `/proc/PID/stat`.
///
/// # Errors
/// There is no such process (`NotFound`), or `/proc` cannot be read.
pub fn process_start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    // The program's name, in parentheses, may hold anything; the fields after the last one are numbers.
    let after_name = stat.iter().rposition(|&byte| byte == b')').map(|at| &stat[at + 1..]);
    let fields = after_name.and_then(|fields| std::str::from_utf8(fields).ok());
    let start_time = fields.and_then(|fields| fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok());
    start_time.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat has no field 22")))
}

/// The inode of this process's pid namespace.
pub(crate) fn pid_namespace() -> io::Result<u64> {
    #[cfg(feature = "simulation")]
    if simulation::is_on() {
        return Ok(simulation::NAMESPACE);
    }
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// The id of this boot.
///
/// # Errors
/// `/proc` cannot be read.
pub fn boot_id() -> io::Result<Uuid> {
    #[cfg(feature = "simulation")]
    if let Some(boot) = simulation::boot_id() {
        return Ok(boot);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Uuid::try_parse(text.trim()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Nanoseconds since boot, suspension included.
#[must_use]
pub fn boottime_ns() -> u64 {
    nanoseconds(rustix::time::ClockId::Boottime)
}

/// Nanoseconds since 1970.
#[inline]
pub(crate) fn realtime_ns() -> u64 {
    nanoseconds(rustix::time::ClockId::Realtime)
}

#[inline]
fn nanoseconds(clock: rustix::time::ClockId) -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(now) = simulation::boottime_ns() {
        return now;
    }
    let now = rustix::time::clock_gettime(clock);
    // Neither part is negative unless the clock stands before 1970; then 0 is as good as any.
    let (seconds, rest) = (
        u64::try_from(now.tv_sec).unwrap_or(0),
        u64::try_from(now.tv_nsec).unwrap_or(0),
    );
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_word_names_this_process() {
        let word = OwnerWord::of_this_process().unwrap();
        assert_eq!(word.pid(), Some(std::process::id()));
        assert_eq!(word.start_time(), process_start_time(std::process::id()).unwrap());
        assert_eq!((OwnerWord::CLOSED.pid(), OwnerWord::RETIRED.pid()), (None, None));
    }

    #[test]
    fn process_with_another_start_time_has_ended() {
        let pid = std::process::id();
        let start = process_start_time(pid).unwrap();
        assert!(open_process(pid, start).unwrap().is_some());
        assert!(open_process(pid, start + 1).unwrap().is_none());
        let watch = |start| ProcessWatch::of(pid, start).unwrap();
        assert!(!watch(start).has_ended() && watch(start + 1).has_ended());
        let by_pid = |pid| ProcessWatch::of_pid(pid).unwrap().has_ended();
        assert!(!by_pid(pid) && by_pid(0) && by_pid(1 << 22));
    }

    #[test]
    fn clocks_and_boot_id_are_there() {
        assert!(boottime_ns() > 0 && realtime_ns() > boottime_ns());
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
