//! Bells end a wait for something else: who waits for a channel, a socket or time to pass hands out a bell, and need not look up again and again. Most are
//! rung once it is time to end ([`super::stop::Stop::on_set`]).
//!
//! A bell that is rung while nobody waits ends the next wait.

use crossbeam::channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A bell for one who waits for time to pass, or for channels. Clones are the same bell.
#[derive(Clone)]
pub struct Bell {
    rope: Sender<()>,
    rung: Receiver<()>,
}

impl Default for Bell {
    fn default() -> Self {
        let (rope, rung) = bounded(1);
        Self { rope, rung }
    }
}

impl Bell {
    /// Ends the wait, or the next one.
    pub fn ring(&self) {
        let _ = self.rope.try_send(()); // it was rung already
    }

    /// Waits until it is rung, `time` at most.
    pub fn wait(&self, time: Duration) {
        let _ = self.rung.recv_timeout(time); // the time is up
    }

    /// What to wait for beside other channels.
    #[must_use]
    pub fn rung(&self) -> &Receiver<()> {
        &self.rung
    }
}

/// A bell for one who waits for sockets: readable from its first ring on, for good. Clones are the same bell.
#[derive(Clone)]
pub struct LastBell {
    event: Arc<OwnedFd>,
}

impl LastBell {
    /// A bell that was not rung.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Ends all waits from now on.
    pub fn ring(&self) {
        let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes()); // fails only after 2^64 rings
    }
}

impl AsFd for LastBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn a_ring_while_nobody_waits_ends_one_wait_however_often_it_was() {
        let bell = Bell::default();
        bell.ring();
        bell.clone().ring();
        bell.wait(Duration::MAX);
        assert!(bell.rung().is_empty());
    }

    #[test]
    fn a_last_bell_stays_readable() {
        let bell = LastBell::new().unwrap();
        let is_readable = || poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1;
        assert!(!is_readable());
        bell.clone().ring();
        assert!(is_readable() && is_readable());
        bell.ring();
        assert!(is_readable());
    }
}
