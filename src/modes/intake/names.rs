//! What the files of a queue are called, beside the rings of its group.
//!
//! A queue is known by its producer's process and thread, as these call themselves, and by its inode: names in shared memory are used again. The
//! link's name says all that a restarted process must know of the producer, so that there is nothing else to be written, or lost:
//!
//! | file | what it is |
//! |---|---|
//! | `v2-PID.TID-INODE.WATCHED.START.POLICY.queue` | a hard link to the queue; WATCHED and START are pid and start time (clock ticks since boot) of the producer as it is seen here, 0 for what is hidden, START 1 for one that was dead when its queue was found; POLICY is `f` (waits in the kernel) or `s` (spins) |
//! | `v2-PID.TID-INODE.ring` | the ring that its transactions go into |
//! | `v2-PID.TID-INODE.stash` | the beginning of a transaction that does not fit the queue |
//!
//! Names are parsed as strictly as they are made: whatever else lies there is somebody else's.

use hog_ring::v2::WaitPolicy;
use std::path::{Path, PathBuf};

/// No process or thread has a higher number.
const PID_MAX: u32 = 1 << 22;

/// A process or thread, as it calls itself.
#[must_use]
pub(super) fn is_pid(number: u64) -> bool {
    (1..=u64::from(PID_MAX)).contains(&number)
}

/// Who made a queue: what the name in shared memory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claimed {
    /// Its process.
    pub(super) pid: u32,
    /// Its thread.
    pub(super) tid: u32,
}

impl Claimed {
    /// Who made the queue of `group` that is called `name`. `None`: it is no name of one.
    pub(super) fn of_name(name: &str, group: &str) -> Option<Claimed> {
        let (pid, tid) = name.strip_prefix(group)?.strip_prefix('.')?.split_once('.')?;
        let id = |text: &str| text.parse().ok().filter(|pid| is_pid(u64::from(*pid)));
        let claimed = Claimed {
            pid: id(pid)?,
            tid: id(tid)?,
        };
        // Numbers may be written in other ways, which are not theirs.
        (format!("{group}.{}.{}", claimed.pid, claimed.tid) == name).then_some(claimed)
    }

    /// Where the producer has its queue.
    pub(super) fn path(self, shm_dir: &Path, group: &str) -> PathBuf {
        shm_dir.join(format!("{group}.{}.{}", self.pid, self.tid))
    }
}

/// A process as it is seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// 0: it cannot be seen, and counts as living.
    pub(super) pid: u32,
    /// In clock ticks since boot; 0 if that is hidden from us, so that the pid alone tells.
    pub(super) start_time: u64,
}

/// A queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueueName {
    pub(super) claimed: Claimed,
    pub(super) inode: u64,
    pub(super) seen: Seen,
    pub(super) policy: WaitPolicy,
}

impl QueueName {
    /// The name of its ring, and how it is called in words.
    pub(super) fn ring(&self) -> String {
        format!("v2-{}.{}-{}", self.claimed.pid, self.claimed.tid, self.inode)
    }

    /// The file name of its stash.
    pub(super) fn stash(&self) -> String {
        format!("{}.stash", self.ring())
    }

    /// The file name of its link.
    pub(super) fn link(&self) -> String {
        let policy = match self.policy {
            WaitPolicy::Futex => 'f',
            WaitPolicy::Spin => 's',
        };
        format!(
            "{}.{}.{}.{policy}.queue",
            self.ring(),
            self.seen.pid,
            self.seen.start_time
        )
    }

    /// Reads the name of a link.
    pub(super) fn of_link(name: &str) -> Option<QueueName> {
        let (ids, rest) = name.strip_prefix("v2-")?.strip_suffix(".queue")?.split_once('-')?;
        let (pid, tid) = ids.split_once('.')?;
        let mut rest = rest.split('.');
        let (inode, seen, start_time, policy) = (rest.next()?, rest.next()?, rest.next()?, rest.next()?);
        let id = |text: &str| text.parse().ok().filter(|pid| is_pid(u64::from(*pid)));
        let parsed = QueueName {
            claimed: Claimed {
                pid: id(pid)?,
                tid: id(tid)?,
            },
            inode: inode.parse().ok()?,
            seen: Seen {
                pid: seen.parse().ok().filter(|pid| *pid <= PID_MAX)?,
                start_time: start_time.parse().ok()?,
            },
            policy: match policy {
                "f" => WaitPolicy::Futex,
                "s" => WaitPolicy::Spin,
                _ => return None,
            },
        };
        // Numbers may be written in other ways, which are not ours.
        (parsed.link() == name).then_some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_made_and_no_others_are() {
        let name = QueueName {
            claimed: Claimed {
                pid: 13,
                tid: 4_194_304,
            },
            inode: u64::MAX,
            seen: Seen {
                pid: 0,
                start_time: u64::MAX,
            },
            policy: WaitPolicy::Spin,
        };
        assert_eq!(QueueName::of_link(&name.link()), Some(name));
        assert!(hog_ring::is_group_name(&name.ring()), "a ring can be called so");
        for other in [
            "v2-13.14-15.0.0.x.queue",
            "v2-13.14-15.0.0.f.stash",
            "v2-013.14-15.0.0.f.queue",
            "v2-0.14-15.0.0.f.queue",
            "v2-13.14-15.0.0.0.f.queue",
            "v2-13.4194305-15.0.0.f.queue",
            "v2-13.14-15.f.queue",
            "v2-.queue",
            "doorbell",
        ] {
            assert_eq!(QueueName::of_link(other), None, "{other}");
        }
        assert_eq!(
            name.claimed.path(Path::new("/dev/shm"), "web"),
            Path::new("/dev/shm/web.13.4194304")
        );
        assert_eq!(Claimed::of_name("web.13.4194304", "web"), Some(name.claimed));
        for other in [
            "web.13",
            "web.013.14",
            "web.13.14.15",
            "web.0.1",
            "web.13.x",
            "web2.13.14",
            "hog",
        ] {
            assert_eq!(Claimed::of_name(other, "web"), None, "{other}");
        }
    }
}
