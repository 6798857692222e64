//! How workers are watched: the flags that all roles which serve have in common, their defaults and reasons.

use super::values::time;
use crate::exit::{ExitStatus, Failure};
use crate::modes::stop::MOVE_EVERY;
use crate::modes::supervise::restarts::RestartLimit;
use crate::modes::supervise::{OnWorkerFailed, Supervision};
use clap::{Args, ValueEnum};
use std::time::Duration;

/// Below this every fsync of a busy disk would be a stall.
const STALL_TIMEOUT_MIN: Duration = Duration::from_secs(1);

// Who waits moves several times meanwhile, also on a busy machine.
const _: () = assert!(4 * MOVE_EVERY.as_millis() <= STALL_TIMEOUT_MIN.as_millis());

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnWorkerFailedArg {
    /// Go on without it, say so, and end with status 5
    Degrade,
    /// End at once, in order, with status 5
    Exit,
}

#[derive(Debug, Args)]
pub(super) struct SupervisionArgs {
    /// How often a worker may panic before it is given up
    ///
    /// N/TIME: more than N panics or stalls within TIME, and the worker is not started anew. Its work is then not done any more: the process is degraded, which
    /// `hog status`, `hog faults`, the service manager and the exit status (5) say. Nothing is lost by it: rings and spool keep what waits, and the next
    /// start goes on from there. What a worker says itself, of a full disk or a directory that is gone, does not count: that is tried again for as long as
    /// it takes, at most every 10 s.
    ///
    /// The default forgives what happens now and then, and ends a loop of panics within a few seconds: whoever panics six times in a row will the seventh.
    #[arg(long, value_name = "N/TIME", default_value = "5/30s", hide_short_help = true)]
    max_restarts: RestartLimit,
    /// How long a worker may hang before it is replaced
    ///
    /// At least 1s. What it was doing is then done anew by another, from what is on disk, and whatever it does when it wakes up counts for nothing. A sync
    /// that takes so long counts as failed.
    ///
    /// The default is twice as long as any worker waits for a peer in one call, and half of what the services' watchdog allows (2 min): so a worker that
    /// hangs is replaced before the whole process is. Where syncs may take longer, on a slow network disk say, it has to be longer too.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time, hide_short_help = true)]
    stall_timeout: Duration,
    /// What to do once a worker was given up
    ///
    /// The default lets the other groups and destinations go on, which have nothing to do with it. Under a service manager that starts the process anew, `exit`
    /// may serve better.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "degrade",
        hide_short_help = true
    )]
    on_worker_failed: OnWorkerFailedArg,
}

impl SupervisionArgs {
    pub(super) fn supervision(&self) -> Result<Supervision, Failure> {
        if self.stall_timeout < STALL_TIMEOUT_MIN {
            return Err(Failure::new(ExitStatus::Usage, "--stall-timeout is at least 1s"));
        }
        Ok(Supervision {
            limit: self.max_restarts,
            stall_timeout: self.stall_timeout,
            on_failed: match self.on_worker_failed {
                OnWorkerFailedArg::Degrade => OnWorkerFailed::Degrade,
                OnWorkerFailedArg::Exit => OnWorkerFailed::Exit,
            },
        })
    }
}
