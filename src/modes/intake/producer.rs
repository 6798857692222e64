//! Who a producer is, seen from here, and whether it still lives.
//!
//! What a client says of itself is held against what the kernel says of it. It may be the process that it claims to be; one of a pid namespace
//! of its own, in which it is called so; or one that got its connection from another process of the same user by a fork. Nobody else is believed: who
//! could claim to be a stranger's process could have its queue taken for that of a dead one.
//!
//! Death is that of the process, by its pidfd, never the end of a connection, and of all that it forked: a daemon logs on through the queue of the process that
//! started it. Who has a queue mapped can write into it, so the kernel is asked whether anybody has. One that cannot be seen from here counts as living. Whether a thread has ended is
//! less sure, and decides about nothing but how much is kept ready for it.

use super::door::Peer;
use super::names::{Claimed, QueueName, Seen};
use hog_ring::ProcessWatch;
use hog_ring::v2::Queue;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The process of a client that claims to be `claimed`, whose queue is `owner`'s. `None`: it is another one.
pub(super) fn identify(claimed: Claimed, peer: Peer, owner: u32) -> Option<Seen> {
    let pid = if peer.pid == 0 {
        // It connected from outside of our pid namespace.
        return Some(Seen { pid: 0, start_time: 0 });
    } else if peer.pid == claimed.pid || innermost_pid(peer.pid) == Some(claimed.pid) {
        peer.pid
    } else {
        match user_of(claimed.pid) {
            Some(user) if user == peer.user => claimed.pid,
            // It had the queue from a process that has ended, by a fork.
            None if owner == peer.user => peer.pid,
            _ => return None,
        }
    };
    // Where there is none it has ended already, or /proc hides it from us.
    let start_time = hog_ring::process_start_time(pid).unwrap_or(0);
    Some(Seen { pid, start_time })
}

/// What the process `pid` of our pid namespace is called in its own.
fn innermost_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_ascii_whitespace().next_back()?.parse().ok()
}

fn user_of(pid: u32) -> Option<u32> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    fs::metadata(process).ok().map(|process| process.uid())
}

/// Whether the thread that made a queue can be seen. One that cannot has ended, or is called otherwise here: nobody knows which.
pub(super) fn is_thread_visible(name: &QueueName) -> bool {
    let (pid, tid) = (name.seen.pid, name.claimed.tid);
    pid != 0 && fs::symlink_metadata(format!("/proc/{pid}/task/{tid}")).is_ok()
}

/// The life of a producer.
#[derive(Debug)]
pub(super) struct Life {
    /// `None`: it cannot be seen.
    watch: Option<ProcessWatch>,
    is_over: bool,
}

impl Life {
    pub(super) fn of(seen: Seen) -> io::Result<Life> {
        let watch = match seen.pid {
            0 => None,
            pid if seen.start_time == 0 => Some(ProcessWatch::of_pid(pid)?),
            pid => Some(ProcessWatch::of(pid, seen.start_time)?),
        };
        Ok(Life { watch, is_over: false })
    }

    /// Whether it was over when it was last looked at.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Looks whether it is over. What was published before this is visible to whoever looks afterwards.
    pub(super) fn look(&mut self, queue: &Queue) -> bool {
        let has_ended = || self.watch.as_ref().is_some_and(ProcessWatch::has_ended);
        // In this order: who had it from a dead process by a fork has it by now.
        self.is_over = self.is_over || (has_ended() && !queue.is_open_elsewhere());
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hog_ring::v2::WaitPolicy;
    use hog_ring::v2::producer::Producer;

    fn claims(pid: u32) -> Claimed {
        Claimed { pid, tid: pid }
    }

    #[test]
    fn a_client_is_believed_to_be_itself_or_a_process_of_its_user_and_nobody_else() {
        let (me, user) = (std::process::id(), fs::metadata("/proc/self").unwrap().uid());
        let peer = Peer { pid: me, user };
        let seen = identify(claims(me), peer, user).unwrap();
        assert_eq!((seen.pid, seen.start_time > 0), (me, true));
        let stranger = Peer {
            pid: 1,
            user: user.wrapping_add(1),
        };
        if innermost_pid(1) != Some(me) {
            assert_eq!(identify(claims(me), stranger, user), None);
        }
        let child = Peer { pid: 4_194_303, user };
        assert_eq!(identify(claims(me), child, user).map(|seen| seen.pid), Some(me));
        let outside = Peer { pid: 0, user };
        assert_eq!(identify(claims(me), outside, user).map(|seen| seen.pid), Some(0));
        let gone = claims(1 << 22);
        assert_eq!(identify(gone, peer, user).map(|seen| seen.pid), Some(me));
        assert_eq!(
            identify(gone, peer, user.wrapping_add(1)),
            None,
            "it is another's queue"
        );
    }

    #[test]
    fn a_life_ends_with_its_process_and_one_that_cannot_be_seen_never_does() {
        let pid = std::process::id();
        let start_time = hog_ring::process_start_time(pid).unwrap();
        let shm = tempfile::Builder::new()
            .prefix("hog-test-")
            .tempdir_in("/dev/shm")
            .unwrap();
        let path = shm.path().join("g.1.1");
        let producer = Producer::create(&path, b"", 4, WaitPolicy::Futex, true).unwrap();
        let queue = Queue::open(&path).unwrap();
        let look = |pid, start_time| Life::of(Seen { pid, start_time }).unwrap().look(&queue);
        assert!(!look(1 << 22, 0), "somebody has its queue");
        drop(producer);
        assert!(!look(pid, start_time));
        assert!(look(pid, start_time + 1), "its pid was given out again");
        assert!(!look(pid, 0), "whose start is hidden lives as long as its pid");
        assert!(look(1 << 22, 0));
        assert!(!look(0, 0), "who cannot be seen counts as living");
    }
}
