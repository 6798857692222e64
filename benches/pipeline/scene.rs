//! Directories of one round, on the disk and on tmpfs, which go with it.

use super::Outcome;
use hog_ring::GroupOptions;
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a measurement may want of memory, in files most of all.
const USED_BYTES: usize = 1 << 30;

/// The group of every ring here.
pub(crate) const GROUP: &str = "bench";

pub(crate) struct Scene {
    directory: TempDir,
    rings: TempDir,
}

impl Scene {
    pub(crate) fn set() -> Outcome<Self> {
        let new = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("hog-bench-");
            builder
        };
        Ok(Self {
            directory: new().tempdir()?,
            rings: new().tempdir_in("/dev/shm")?,
        })
    }

    /// A place on the disk.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where rings are.
    pub(crate) fn shm_dir(&self) -> &Path {
        self.rings.path()
    }

    /// The group, with rings as they are by default.
    pub(crate) fn options(&self) -> GroupOptions {
        GroupOptions::new(GROUP).shm_dir(self.shm_dir())
    }

    /// Where the scene's sender is told of queues of version 2.
    pub(crate) fn intake(&self) -> PathBuf {
        self.path("send").join(format!("hstore.{GROUP}.sk"))
    }

    /// Waits until nothing is left to be written to the disk: what was measured before must not slow down what comes next. And has the kernel hold memory that is in use: a
    /// host takes back what a guest does not use, and the first who wants it again waits ten times as long for it. Whoever is measured next should not be that one by chance.
    pub(crate) fn settle(&self) -> Outcome<()> {
        rustix::fs::syncfs(File::open(self.directory.path())?)?;
        black_box(vec![1_u8; USED_BYTES]);
        Ok(())
    }

    /// The one ring that there is.
    pub(crate) fn ring(&self) -> Outcome<PathBuf> {
        let mut rings = hog_ring::ring_files(&hog_ring::group_dir(self.shm_dir(), GROUP))?;
        match (rings.pop(), rings.len()) {
            (Some(ring), 0) => Ok(ring),
            (_, others) => Err(format!("expected one ring, found another {others}").into()),
        }
    }
}
