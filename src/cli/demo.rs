//! `hog demo`: its flags, their defaults and reasons.

use super::ShmDir;
use crate::exit::{ExitStatus, Failure};
use crate::modes::demo::{self, DemoOptions};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// A file to ship
    ///
    /// The default is a few MB of lines that are made up, so that the demonstration needs nothing.
    file: Option<PathBuf>,
    #[command(flatten)]
    shm: ShmDir,
}

impl DemoArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        demo::run(&DemoOptions {
            file: self.file,
            shm_dir: self.shm.shm_dir,
        })
    }
}
