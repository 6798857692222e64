//! `hog recover`: its flags, their defaults and reasons.

use super::ShmDir;
use super::values::destination;
use crate::exit::{ExitStatus, Failure};
use crate::modes::recover::{self, Given, RecoverFormat, RecoverOptions, Task};
use crate::modes::store;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[group(id = "task", required = true, multiple = false, args = ["dry_run", "abandon", "forget", "new_identity"])]
pub(super) struct RecoverArgs {
    /// Say what a sender would do with what earlier runs left
    ///
    /// In the order in which it would be done, with bytes. Nothing is changed, and the sender may run meanwhile. What cannot be recovered is said, too (exit 4).
    #[arg(long)]
    dry_run: bool,
    /// Give up a destination (HOST:PORT) or a ring (its uuid); may be repeated
    ///
    /// A destination gets nothing more of what was drained up to now, and its segments are freed. Of a ring, what it still holds is given up: a GAP stands for it,
    /// and a ring whose memory is gone is no obstacle any more. No sender may run with this store.
    ///
    /// The default gives nothing up: only a person can say that records are not wanted.
    #[arg(long, value_name = "DEST|REGION", value_parser = given)]
    abandon: Vec<Given>,
    /// Forget what a destination has acknowledged; may be repeated
    ///
    /// For a receiver that lost its archive: what the store notes of it is not believed any more. The sender resends by itself what its spool still has. No
    /// sender may run with this store.
    ///
    /// The default believes what was noted, which is what status reports from.
    #[arg(long, value_name = "HOST:PORT", value_parser = destination)]
    forget: Vec<String>,
    /// Make the spool in this directory another sender
    ///
    /// For a spool that was copied or restored, and that a receiver refused (exit 6). It is shipped again then. What may be stored twice is said.
    ///
    /// The default leaves spools who they are, for a receiver knows by it what it has of them.
    #[arg(long, value_name = "SPOOL")]
    new_identity: Option<PathBuf>,
    /// The store of the sender
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, and otherwise /var/lib/hog/batchsend, as for the sender itself.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    /// How to print what would be done
    ///
    /// The default is for people.
    #[arg(long, value_enum, default_value = "text")]
    format: RecoverFormat,
    #[command(flatten)]
    shm: ShmDir,
}

fn given(text: &str) -> Result<Given, String> {
    match uuid::Uuid::parse_str(text) {
        Ok(ring) => Ok(Given::Ring(ring)),
        Err(_) => destination(text).map(Given::Destination),
    }
}

impl RecoverArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        let task = match self.new_identity {
            Some(spool) => Task::NewIdentity(spool),
            None if self.dry_run => Task::Plan(self.format),
            None => Task::Settle {
                abandon: self.abandon,
                forget: self.forget,
            },
        };
        recover::run(&RecoverOptions {
            store: self.store_dir.unwrap_or_else(|| store::default_store("batchsend")),
            shm_dir: self.shm.shm_dir,
            task,
        })
    }
}
