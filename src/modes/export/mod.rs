//! `hog export`: what archives hold, in files that other programs read.
//!
//! An export is derived: all of it comes from reading archives or spools, which are neither locked nor changed, and it can be made again. What was
//! written is gone on with, by the positions of the streams, never by times.

mod tables;

use crate::exit::{ExitStatus, Failure};
use crate::modes::selection::Selection;
use clap::ValueEnum;
use std::path::PathBuf;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A table a statement, an object a line, as `hog cat --format json` prints it
    Jsonl,
}

/// How tables are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Partition {
    /// Not at all
    None,
    /// By day, in UTC
    Date,
    /// By hour, in UTC
    Hour,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Segment files, or directories that are looked through for them.
    pub paths: Vec<PathBuf>,
    /// What to write.
    pub format: ExportFormat,
    /// Where to.
    pub output: PathBuf,
    /// How tables are divided.
    pub partition: Partition,
    /// Which records.
    pub selection: Selection,
}

/// Exports the records under the paths.
///
/// # Errors
/// [`ExitStatus::Failed`] when a path is missing, a directory cannot be listed, or the output cannot be written.
pub fn run(options: &ExportOptions) -> Result<ExitStatus, Failure> {
    match options.format {
        ExportFormat::Jsonl => tables::run(options),
    }
}
