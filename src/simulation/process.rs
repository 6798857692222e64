//! Simulated processes: what is done as one of them, up to its end or to the point at which it is killed.

use crate::os::disk::simulated::{Disk, use_disk};
use hog_ring::simulation::{self, Killed};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A process and the disk of its host.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) disk: Disk,
}

impl Process {
    /// Does `act` as this process, which is killed at the `kill`th point from now, counted from 0. `None`: it was killed.
    pub(super) fn run<T>(&self, kill: Option<u64>, act: impl FnOnce() -> T) -> Option<T> {
        simulation::become_process(self.pid);
        simulation::kill_after(kill);
        use_disk(Some(self.disk.clone()));
        let outcome = catch_unwind(AssertUnwindSafe(act));
        simulation::kill_after(None);
        use_disk(None);
        match outcome {
            Ok(_) if simulation::is_killed() => None,
            Ok(value) => Some(value),
            Err(payload) if payload.is::<Killed>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Kills it from outside.
    pub(super) fn kill(&self) {
        simulation::kill_process(self.pid);
    }
}
