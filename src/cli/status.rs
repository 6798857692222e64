//! `hog status`: its flags, their defaults and reasons.

use super::ShmDir;
use crate::exit::{ExitStatus, Failure};
use crate::modes::status::{self, StatusFormat, StatusOptions};
use crate::modes::store;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The store that is asked about
    ///
    /// It is that of a sender, a receiver or a local, whether one works there now or not.
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, and otherwise /var/lib/hog/batchsend: a host has more senders than receivers.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    /// How to print it
    ///
    /// The default is for people.
    #[arg(long, value_enum, default_value = "text")]
    format: StatusFormat,
    #[command(flatten)]
    shm: ShmDir,
}

impl StatusArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        status::run(&StatusOptions {
            store: self.store_dir.unwrap_or_else(|| store::default_store("batchsend")),
            shm_dir: self.shm.shm_dir,
            format: self.format,
        })
    }
}
