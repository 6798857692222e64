//! `hog verify`: its flags, their defaults and reasons.

use crate::exit::{ExitStatus, Failure};
use crate::modes::verify::{self, VerifyFormat, VerifyOptions};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Segment files, directories of them, or the original's .log files
    ///
    /// Files of the original's recorder have no checksums: of these it is verified that every record that their log speaks of can be read.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How to print the result
    ///
    /// The default is for people: a table of the streams, and the sums.
    #[arg(long, value_enum, default_value = "text")]
    format: VerifyFormat,
}

impl VerifyArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        verify::run(&VerifyOptions {
            paths: self.paths,
            format: self.format,
        })
    }
}
