//! `hog local`: its flags, their defaults and reasons.

use super::hobbes_files::HobbesFilesArgs;
use super::supervision::SupervisionArgs;
use super::sync_with::SyncWithArgs;
use super::values::{group, time, without_repeats};
use super::{ShmDir, ShmSharing, SocketDir, default_archive};
use crate::exit::{ExitStatus, Failure};
use crate::modes::local::{self, LocalOptions};
use crate::modes::store;
use crate::stages::archive::ArchivePattern;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct LocalArgs {
    /// A group to drain; may be repeated
    #[arg(short, long = "group", value_name = "GROUP", required = true, value_parser = group)]
    groups: Vec<String>,
    /// Where archives lie, with $GROUP and $DATE in it
    ///
    /// `$DATE` is the local date, as 2026.11.21; a new one begins a new directory. A directory in which neither stands gets both, below it. One process,
    /// local or batchrecv, has all that lies below the part before the first `$`.
    ///
    /// The default, /var/lib/hog/archive/$GROUP/$DATE, is that of batchrecv: either can go on where the other stopped.
    #[arg(short, long, value_name = "DIR", value_parser = ArchivePattern::new)]
    dir: Option<ArchivePattern>,
    /// Directory of hogstat.db, and of the sockets of the original's programs
    ///
    /// Nothing in it is on the way of a record: it says which rings were drained, and what went wrong. One process has it at a time.
    ///
    /// Programs that log through the original's library look for hstore.GROUP.sk in their $HOBBES_STORE_DIR, $TMPDIR or $TMP, or else in /var/tmp: name that directory to serve
    /// them. A socket's path has at most 107 bytes.
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, as the original has it, and otherwise /var/lib/hog/local, beside the archive.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    /// How often the archive is synced to disk
    ///
    /// This much can be lost when this host loses power. A killed process costs nothing, whatever this is.
    ///
    /// The default costs a disk little. Rings are memory, and lost with the power anyway: a shorter time saves only what was drained.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    sync: Duration,
    /// Go on with rings that were drained before, elsewhere
    ///
    /// What the archive lacks of them can then never be stored here; a gap stands for it. Without this such a ring is a reason not to start (exit 6): what was
    /// taken from it may still be in the spool of a batchsend. Have that one deliver to a batchrecv on this archive first. Say this if it went elsewhere for
    /// good: to another host, to another archive, or in a last segment that was deleted. Of a damaged archive it is not asked.
    #[arg(long)]
    accept_gaps: bool,
    /// End once all found at the start is in the archive, synced
    ///
    /// Every ring found is drained to where it ended then; programs that go on logging do not hold it up.
    #[arg(long)]
    drain_and_exit: bool,
    #[command(flatten)]
    files: HobbesFilesArgs,
    #[command(flatten)]
    sockets: SocketDir,
    #[command(flatten)]
    shm: ShmDir,
    #[command(flatten)]
    sharing: ShmSharing,
    #[command(flatten)]
    sync_with: SyncWithArgs,
    #[command(flatten)]
    supervision: SupervisionArgs,
}

impl LocalArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        self.sync_with.choose();
        let store = self.store_dir.unwrap_or_else(|| store::default_store("local"));
        local::run(&LocalOptions {
            groups: without_repeats(self.groups),
            pattern: self.dir.map_or_else(default_archive, Ok)?,
            sockets: self.sockets.socket_dir.unwrap_or_else(|| store.clone()),
            store,
            shm_dir: self.shm.shm_dir,
            shm_group: self.sharing.shm_group,
            sync: self.sync,
            files: self.files.files()?,
            accept_gaps: self.accept_gaps,
            drain_and_exit: self.drain_and_exit,
            supervision: self.supervision.supervision()?,
        })
    }
}
