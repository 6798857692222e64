//! `hog faults`: its flags, their defaults and reasons.

use super::values::moment;
use crate::exit::{ExitStatus, Failure};
use crate::modes::faults::{self, FaultsFormat, FaultsOptions};
use crate::modes::store;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct FaultsArgs {
    /// The store that is asked about
    ///
    /// It is that of a sender, a receiver or a local, whether one works there now or not.
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, and otherwise /var/lib/hog/batchsend, as of `hog status`.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    /// Only what went wrong at this moment or later
    ///
    /// A moment is RFC 3339 (2026-11-21T10:00:00Z), a local date (2026-11-21) with or without a time ('2026-11-21 10:00'), or how long ago it was
    /// (90s, 2h, 3d). What went wrong again and again counts by its last time.
    ///
    /// The default is all that is kept: the latest 10,000 faults of the store, each with how often it came.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    since: Option<u64>,
    /// How to print them
    ///
    /// The default is for people: a line each, the last at the end, where one looks first.
    #[arg(long, value_enum, default_value = "text")]
    format: FaultsFormat,
}

impl FaultsArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        faults::run(&FaultsOptions {
            store: self.store_dir.unwrap_or_else(|| store::default_store("batchsend")),
            since: self.since.unwrap_or(0),
            format: self.format,
        })
    }
}
