//! What syncs files: one flag that all roles which sync have in common, its default and reason.

use crate::os::disk::{self, SyncWith};
use clap::{Args, ValueEnum};
use tracing::warn;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SyncWithArg {
    /// The thread that wants it, which calls fdatasync
    Thread,
    /// The kernel's threads, through io_uring, if it lets us
    IoUring,
}

#[derive(Debug, Args)]
pub(super) struct SyncWithArgs {
    /// What syncs files
    ///
    /// Either way a sync is done beside everything else, one serves all who wait for it, and one that fails is final for its file. Where the kernel refuses
    /// io_uring, threads do it, and `hog status` says so.
    ///
    /// The default is what took less time and less processor wherever both were measured: the kernel has a thread of its own call fdatasync for io_uring,
    /// so what that saves is nothing, and what it adds is another thread to wake (docs/PERFORMANCE.md).
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "thread",
        hide_short_help = true
    )]
    sync_with: SyncWithArg,
}

impl SyncWithArgs {
    /// Has the whole process sync so.
    pub(super) fn choose(&self) {
        let with = match self.sync_with {
            SyncWithArg::Thread => SyncWith::Thread,
            SyncWithArg::IoUring => SyncWith::IoUring,
        };
        if let Err(error) = disk::sync_with(with) {
            warn!("the kernel refuses io_uring: {error}; files are synced by threads");
        }
    }
}
