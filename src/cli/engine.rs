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
    /// Files, logged one after the other; `-` or none is stdin.
    ///
    /// A file is gone on with where an earlier run stopped, however that ended. Stdin cannot: what a killed engine had read from it and not logged
    /// is gone with it.
    inputs: Vec<PathBuf>,
    /// Name of the ring [default: made of the file's canonical path; rings of stdin are unique]
    #[arg(long)]
    name: Option<String>,
    /// Capacity of a new ring, a power of two. The default holds what a fast program logs in a few milliseconds, in which the drainer comes by several times.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    ring_size: u64,
    /// Drop lines instead of waiting when the ring is full; dropped lines are counted and marked in the stream
    #[arg(long)]
    unreliable: bool,
    /// Whether to go on where an earlier run stopped
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
