//! What `local` and `batchrecv` store besides archives.

use crate::exit::{ExitStatus, Failure};
use crate::modes::export::Series;
use crate::modes::hobbes_files::{HobbesFiles, StoreFormat};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct HobbesFilesArgs {
    /// What to store
    ///
    /// With hobbes there are .log files beside the archive, which `hi` and other readers of the original's files load: the directory of a date, and -0.log, -1.log and
    /// so on. They are made from the archive, once it is on the disk, and hold up nobody.
    ///
    /// The default is the archive, which alone says everything; `hog export --format hobbes` makes such files of it at any time.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "archive")]
    format: StoreFormat,
    /// How .log files say in which order records came
    ///
    /// The default, transactions, keeps the times of records.
    #[arg(long, value_enum, value_name = "SERIES")]
    series: Option<Series>,
    /// Go on with the last .log file
    ///
    /// The default is to begin another one with each run, as the original does, so that who reads a file knows it whole.
    #[arg(short, long)]
    consolidate: bool,
}

impl HobbesFilesArgs {
    /// # Errors
    /// When something is said of files that there will not be.
    pub(super) fn files(&self) -> Result<Option<HobbesFiles>, Failure> {
        match self.format {
            StoreFormat::Hobbes => Ok(Some(HobbesFiles {
                series: self.series.unwrap_or_default(),
                goes_on: self.consolidate,
            })),
            StoreFormat::Archive if self.consolidate || self.series.is_some() => Err(Failure::new(
                ExitStatus::Usage,
                "--series and --consolidate are about .log files, which there are with --format hobbes",
            )),
            StoreFormat::Archive => Ok(None),
        }
    }
}
