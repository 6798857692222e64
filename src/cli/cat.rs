//! `hog cat`: its flags, their defaults and reasons.

use crate::exit::{ExitStatus, Failure};
use crate::modes::cat::{self, CatFormat, CatOptions};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct CatArgs {
    /// Segment files, or directories that are looked through for them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How to print a record
    ///
    /// The default has all that is known of a record, for other programs to pick from.
    #[arg(long, value_enum, default_value = "json")]
    format: CatFormat,
}

impl CatArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        cat::run(&CatOptions {
            paths: self.paths,
            format: self.format,
        })
    }
}
