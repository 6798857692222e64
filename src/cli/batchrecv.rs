//! `hog batchrecv`: its flags, their defaults and reasons.

use super::default_archive;
use super::hobbes_files::HobbesFilesArgs;
use super::supervision::SupervisionArgs;
use super::sync_with::SyncWithArgs;
use super::values::address;
use crate::exit::{ExitStatus, Failure};
use crate::modes::batchrecv::{self, BatchrecvOptions};
use crate::modes::store;
use crate::stages::archive::ArchivePattern;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct BatchrecvArgs {
    /// Where to listen; port 0 takes any
    ///
    /// The first line on stdout is the address, once senders may come. Whoever reaches it can write to any group: there is no authentication.
    ///
    /// Senders of the original (`hog -p`) may come to the same address. Their protocol has no positions: what they send again, because they did not hear that it
    /// is stored, may be stored twice.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    listen: String,
    /// Where archives lie, with $GROUP and $DATE in it
    ///
    /// `$DATE` is the local date, as 2026.11.21; a new one begins a new directory. A directory in which neither stands gets both, below it.
    ///
    /// The default, /var/lib/hog/archive/$GROUP/$DATE, keeps groups apart, and makes the days of one easy to delete.
    #[arg(short, long, value_name = "DIR", value_parser = ArchivePattern::new)]
    dir: Option<ArchivePattern>,
    /// Directory of hogstat.db
    ///
    /// Nothing in it is on the way of a record: it has the receiver's sessions and what went wrong. One process has it at a time.
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, as the original has it, and otherwise /var/lib/hog/batchrecv, beside the archives.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    #[command(flatten)]
    files: HobbesFilesArgs,
    #[command(flatten)]
    sync_with: SyncWithArgs,
    #[command(flatten)]
    supervision: SupervisionArgs,
}

impl BatchrecvArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        self.sync_with.choose();
        batchrecv::run(&BatchrecvOptions {
            listen: self.listen,
            pattern: self.dir.map_or_else(default_archive, Ok)?,
            store: self.store_dir.unwrap_or_else(|| store::default_store("batchrecv")),
            files: self.files.files()?,
            supervision: self.supervision.supervision()?,
        })
    }
}
