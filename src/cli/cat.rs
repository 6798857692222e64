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
    /// json: one object a line. raw: the lines that an engine logged, as they were.
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
