//! `hog export`: its flags, their defaults and reasons.

use super::values::{group, size, stream};
use crate::exit::{ExitStatus, Failure};
use crate::ids::StreamId;
use crate::modes::export::{self, ExportFormat, ExportOptions, Partition, Series};
use crate::modes::selection::Selection;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Segment files, directories of them, or the original's .log files
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// What to write
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// Where to write it: a directory, or for hobbes a file
    ///
    /// Each statement is a table, and each table a directory GROUP/STATEMENT below this one. An export that was made there before is gone on with: what is
    /// new is added, in new files.
    ///
    /// A file for hobbes is gone on with too. A statement that it has no series for, or 4 GiB, ends it: FILE.log is followed by FILE-1.log, and so on; so FILE itself
    /// does not end with `-1`. What is in them is never changed, and the newest has to stay where it is.
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Divide tables by when their records were logged
    ///
    /// Files are put into directories `date=2026-11-22` or `date=2026-11-22/hour=07`, in UTC, as DuckDB, Spark, pyarrow and polars read them. A record without time
    /// counts as logged when it was drained from its ring.
    ///
    /// The default is not to: the files of a table are in order then.
    #[arg(long, value_enum, value_name = "BY", default_value = "none")]
    partition: Partition,
    /// Size at which files are finished, in bytes of records
    ///
    /// Then all files are finished and get their names, and the next ones are begun. Until then nobody sees them, and an export that is killed goes on behind
    /// those before.
    ///
    /// The default is worth the opening of a file, and read in seconds if it is read again.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    file_size: u64,
    /// Most that is gathered in memory before it is written
    ///
    /// In bytes, as columns: their payloads, and what the columns before the fields take. A row group of Parquet has no more, and all tables share it.
    ///
    /// The default has some 300,000 lines of a web server's log in a row group, and a process of less than 100 MB.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size, hide_short_help = true)]
    row_group: u64,
    /// How a file for hobbes says in which order records came
    ///
    /// The default is `transactions`, for it keeps the times: of each transaction that of its first record, or else that of draining. `log` is what the original
    /// writes for producers that do not commit by hand; it has no times.
    #[arg(long, value_enum, value_name = "NAME", default_value = "transactions")]
    series: Series,
    /// Go on with what is appended, until SIGTERM; for hobbes alone
    ///
    /// The default is to end with what is there: a later run goes on behind it.
    #[arg(short, long)]
    follow: bool,
    /// Only records of this group; may be repeated
    ///
    /// The default is every group, for a directory below `-o` is each one's own.
    #[arg(long, value_name = "NAME", value_parser = group)]
    group: Vec<String>,
    /// Only records of this stream; may be repeated
    ///
    /// A stream is all that one ring ever carried; `hog verify` lists them.
    ///
    /// The default is every stream, for most readers want all of a log.
    #[arg(long, value_name = "UUID", value_parser = stream)]
    stream: Vec<StreamId>,
    /// Only records of this source; may be repeated
    ///
    /// A source is the name of a producer's ring, as `hog verify` shows it; of lines that an engine logged also the canonical path of their file, or `-`
    /// for stdin.
    ///
    /// The default is every source, for most readers want all of a log.
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
}

impl ExportArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        if self.follow && self.format != ExportFormat::Hobbes {
            return Err(Failure::new(
                ExitStatus::Usage,
                "--follow is for --format hobbes: run the export again to add what is new",
            ));
        }
        export::run(&ExportOptions {
            paths: self.paths,
            format: self.format,
            output: self.output,
            partition: self.partition,
            file_size: self.file_size,
            row_group: self.row_group,
            series: self.series,
            follow: self.follow,
            selection: Selection {
                groups: self.group,
                streams: self.stream,
                sources: self.source,
                ..Selection::default()
            },
        })
    }
}
