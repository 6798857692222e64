//! `hog export`: what archives hold, in files that other programs read.
//!
//! An export is derived: all of it comes from reading archives or spools, which are neither locked nor changed, and it can be made again. What was
//! written is gone on with, by the positions of the streams, never by times.

mod csv;
pub(in crate::modes) mod hobbes;
mod jsonl;
mod ledger;
mod part;
mod place;
mod progress_bar;
mod sheet;
mod table;
mod tables;

#[cfg(feature = "columns")]
mod columns;

#[cfg(test)]
mod tests;

use crate::exit::{ExitStatus, Failure};
use crate::modes::selection::Selection;
use clap::ValueEnum;
use std::path::PathBuf;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A table a statement, in Parquet, compressed with zstd
    Parquet,
    /// A table a statement, in files of Arrow's IPC (Feather version 2), compressed with zstd
    Arrow,
    /// A table a statement, a line a record, with a line of names first
    Csv,
    /// A table a statement, an object a line, as `hog cat --format json` prints it
    Jsonl,
    /// A `.log` file as the original's recorder writes it, which `hi` reads: a series a statement, and their order
    Hobbes,
}

/// How a `.log` file says in which order records came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Series {
    /// A series `transactions`: each with its time and its records
    #[default]
    Transactions,
    /// A series `log`: records one by one, without times
    Log,
}

impl ExportFormat {
    /// What its files are called at their end.
    fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Hobbes => "log",
        }
    }
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

impl Partition {
    /// The columns that readers make of the names of its directories.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Date => &["date"],
            Self::Hour => &["date", "hour"],
        }
    }
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
    /// After so many bytes of records the files are finished and committed.
    pub file_size: u64,
    /// Bytes of records that are gathered before they are written, of all tables together.
    pub row_group: u64,
    /// How `.log` files say in which order records came.
    pub series: Series,
    /// Go on with what is appended.
    pub follow: bool,
    /// Which records.
    pub selection: Selection,
}

/// Exports the records under the paths.
///
/// # Errors
/// [`ExitStatus::Failed`] when a path is missing, a directory cannot be listed, or the output cannot be written; others as the ledger of the output has them.
pub fn run(options: &ExportOptions) -> Result<ExitStatus, Failure> {
    if options.format == ExportFormat::Hobbes {
        return hobbes::run(options);
    }
    if cfg!(not(feature = "columns")) && matches!(options.format, ExportFormat::Parquet | ExportFormat::Arrow) {
        return Err(Failure::new(
            ExitStatus::Usage,
            "this hog was built without Parquet and Arrow: build it with `cargo build --features columns`, or export as csv or jsonl",
        ));
    }
    tables::run(options)
}
