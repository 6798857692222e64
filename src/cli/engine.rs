//! `hog engine`: its flags, their defaults and reasons.

use super::values::{group, size};
use super::{ShmDir, ShmSharing};
use crate::exit::{ExitStatus, Failure};
use crate::modes::engine::{self, EngineOptions};
use clap::{Args, ValueEnum};
use hog_ring::Resume;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ResumeArg {
    /// Go on where an earlier run stopped, if there was one
    Auto,
    /// Go on, or refuse to start (exit 4)
    Require,
    /// Begin anew
    Off,
}

#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// The group to log to
    #[arg(short, long, value_parser = group)]
    group: String,
    /// Files, logged one after the other; `-` or none is stdin
    ///
    /// A file is gone on with where an earlier run stopped, however that ended. Stdin cannot: what a killed engine had read from it and not logged
    /// is gone with it.
    ///
    /// The default is stdin, so that an engine may end a pipe.
    inputs: Vec<PathBuf>,
    /// Name of the ring
    ///
    /// By its name the next run finds the ring that this one leaves, and goes on with it.
    ///
    /// The default is made of the file's canonical path, so that a file finds its own ring again, from wherever it is named. A ring of stdin gets a
    /// name of its own each time, for what went into a pipe cannot be gone on with.
    #[arg(long)]
    name: Option<String>,
    /// Capacity of a new ring, a power of two
    ///
    /// From 64KiB to 1GiB, of memory. A ring that there is keeps its size.
    ///
    /// The default holds what a fast program logs in a few milliseconds, in which the drainer comes by several times. A larger one bridges a longer
    /// absence of the drainer before lines wait, or are dropped.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    ring_size: u64,
    /// Drop lines instead of waiting when the ring is full
    ///
    /// Dropped lines are counted, the stream is marked where they are missing, and the exit status is 5. Without this the engine waits for room, and so does
    /// whatever writes into its pipe.
    #[arg(long)]
    unreliable: bool,
    /// Whether to go on where an earlier run stopped
    ///
    /// The default serves the first run of an input and every later one alike: each line is logged once.
    #[arg(long, value_enum, default_value = "auto")]
    resume: ResumeArg,
    #[command(flatten)]
    shm: ShmDir,
    #[command(flatten)]
    sharing: ShmSharing,
}

impl EngineArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        engine::run(&EngineOptions {
            group: self.group,
            inputs: self.inputs,
            name: self.name,
            ring_size: self.ring_size,
            unreliable: self.unreliable,
            resume: match self.resume {
                ResumeArg::Auto => Resume::Auto,
                ResumeArg::Require => Resume::Require,
                ResumeArg::Off => Resume::Off,
            },
            shm_dir: self.shm.shm_dir,
            shm_group: self.sharing.shm_group,
        })
    }
}
