//! `hog gc`: its flags, their defaults and reasons.

use super::ShmDir;
use super::values::{group, time};
use crate::exit::{ExitStatus, Failure};
use crate::modes::gc::{self, GcOptions};
use crate::modes::store;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// A group to look at; may be repeated
    ///
    /// The default is every group that has rings.
    #[arg(short, long, value_parser = group)]
    group: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Pass over what is younger than this
    ///
    /// A ring's age counts from its creation or from when it was last taken over; that of a file that is no ring, from its last change.
    ///
    /// The default passes over nothing.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    older_than: Duration,
    /// Also what somebody may still come for
    ///
    /// Rings that wait for the next run of their program are given up: the next drainer takes what they hold, ends them and deletes them. An engine
    /// then reads its input again from the beginning, so its place on disk goes as well. Files that are no rings, or damaged ones, are deleted.
    #[arg(long)]
    force: bool,
    /// A store of an engine or a sender; may be repeated
    ///
    /// Of an engine, places of rings that are given up are removed; of a sender, what is left of other spool directories once everybody has what was in them.
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, and otherwise both /var/lib/hog/engine and /var/lib/hog/batchsend.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Vec<PathBuf>,
    #[command(flatten)]
    shm: ShmDir,
}

impl GcArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        let mut stores = self.store_dir;
        if stores.is_empty() {
            stores = ["engine", "batchsend"].map(store::default_store).to_vec();
            stores.dedup();
        }
        gc::run(&GcOptions {
            groups: self.group,
            stores,
            shm_dir: self.shm.shm_dir,
            is_dry: self.dry_run,
            older_than: self.older_than,
            is_forced: self.force,
        })
    }
}
