//! `hog engine`: its flags, their defaults and reasons.

use super::values::{group, size};
use super::{ShmDir, ShmSharing};
use crate::exit::{ExitStatus, Failure};
use crate::modes::engine::{self, EngineOptions};
use crate::modes::store;
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
    /// is gone with it. With --follow, files and patterns, followed side by side.
    ///
    /// The default is stdin, so that an engine may end a pipe.
    inputs: Vec<PathBuf>,
    /// Go on at the end of each file until SIGTERM, however files are rotated
    ///
    /// Inputs are then names and patterns (with * ? [ ] and **, hidden files only where the dot is written), looked up again every second; quote patterns, or
    /// the shell expands them once and for all. A name that does not exist yet, or cannot be read, is waited for; that is said once. What a pattern matches later is
    /// logged from its beginning. Compressed files are left out unless the pattern ends so. Up to 4000 names are followed at once, each with a ring: make
    /// --ring-size small for many.
    ///
    /// A renamed or deleted file is read to its end: it is left when another one has its name and it was silent for 2 s, or when nothing has its
    /// name and it was silent for 60 s. Its last line then counts even without a newline. What it grows after that is logged too, behind lines of its
    /// successor, as long as it has a name (or for 60 s), for the last four files of a name. Files that had the name while no engine ran are found beside it, if they are called as
    /// logrotate calls them (app.log.1, app.log-20261121, app-20261121.log) and the file system tells births. No file is logged twice, whatever it is called meanwhile:
    /// a pattern may match the rotated names too. A symbolic link is followed by its own name; to switch it to another file is a rotation.
    ///
    /// copytruncate loses what was written after the last read before the truncation, at least what is written between the copy and the
    /// truncation, and while no engine runs all that was not read; nobody can tell. Patterns must not match its copies: they are other files, and would be logged
    /// again. Rotation by renaming loses nothing.
    ///
    /// A reboot empties the rings, and the place in each file goes back to where the sender had it on its disk (see -m): nothing is lost, and lines
    /// of the last second or two, more if the sender was behind, are logged twice.
    ///
    /// The default is to end with the inputs, as `cat` does.
    #[arg(long)]
    follow: bool,
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
    /// Directory that keeps the places in files over a reboot
    ///
    /// Each second the place in each file, as far as the sender has its lines on disk, is written to a file below it. That is used only after a reboot: until
    /// then the ring has the place. Engines share the directory.
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, and otherwise /var/lib/hog/engine. If that cannot be written to, the engine says so once, and logs
    /// files from their beginning after a reboot: logging matters more. A directory that was named here must be usable.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
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
            follow: self.follow,
            name: self.name,
            ring_size: self.ring_size,
            unreliable: self.unreliable,
            resume: match self.resume {
                ResumeArg::Auto => Resume::Auto,
                ResumeArg::Require => Resume::Require,
                ResumeArg::Off => Resume::Off,
            },
            store_is_asked: self.store_dir.is_some(),
            store: self.store_dir.unwrap_or_else(|| store::default_store("engine")),
            shm_dir: self.shm.shm_dir,
            shm_group: self.sharing.shm_group,
        })
    }
}
