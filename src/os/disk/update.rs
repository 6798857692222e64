//! A file that is written in place: bytes anywhere in it, and more at its end.
//!
//! As with files that are appended to, the first sync that fails is final: nothing is known of what was written since the one before.

use super::kernel::{self, Handle, Mode};
use super::{DiskError, at, read_up_to, sync_directory};
use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

/// A file that is written in place.
#[derive(Debug)]
pub struct UpdateFile {
    file: Handle,
    path: PathBuf,
    has_failed: Cell<bool>,
}

impl UpdateFile {
    /// Creates `path`, which must not exist.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        Self::with(path, Mode::New, "create")
    }

    /// Opens `path`, which must exist.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        // Only what is there is to be opened, and opening to write makes what is not.
        Handle::open(path, Mode::Read).map_err(at("open", path))?;
        Self::with(path, Mode::Keep, "open")
    }

    fn with(path: &Path, mode: Mode, verb: &'static str) -> Result<Self, DiskError> {
        Ok(Self {
            file: Handle::open(path, mode).map_err(at(verb, path))?,
            path: path.to_owned(),
            has_failed: Cell::new(false),
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it `length` bytes long, if it is shorter. The new bytes are zero, and have no room on the disk yet.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn extend(&self, length: u64) -> Result<(), DiskError> {
        let now = self.file.len().map_err(at("look at", &self.path))?;
        if now >= length {
            return Ok(());
        }
        self.write_at(&[0], length - 1)
    }

    /// Reads at `offset` until `out` is full or the file ends; says how many bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        read_up_to(&self.file, out, offset).map_err(at("read", &self.path))
    }

    /// Writes all of `bytes` at `offset`. When this fails, some of them may be in the file.
    ///
    /// # Errors
    /// When the kernel refuses, or a sync of this file failed before.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.refuse_after_failure("write")?;
        self.file.write_all_at(bytes, offset).map_err(at("write", &self.path))
    }

    /// Syncs its data. The first failure is final.
    ///
    /// # Errors
    /// When the kernel refuses, or refused before.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.refuse_after_failure("sync")?;
        self.file.sync_data().map_err(|error| {
            self.has_failed.set(true);
            at("sync", &self.path)(error)
        })
    }

    fn refuse_after_failure(&self, verb: &'static str) -> Result<(), DiskError> {
        if self.has_failed.get() {
            return Err(at(verb, &self.path)(io::Error::other(
                "a sync of this file failed before",
            )));
        }
        Ok(())
    }
}

/// Gives a file that is whole and synced the name `path`, which nothing has yet, and takes its other name away; then syncs the directory.
///
/// # Errors
/// When the name is taken, or one of these steps fails.
pub fn publish(unfinished: &Path, path: &Path) -> Result<(), DiskError> {
    kernel::link(unfinished, path).map_err(at("link to", path))?;
    kernel::unlink(unfinished).map_err(at("delete", unfinished))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_extended_by_zeros_and_never_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(UpdateFile::open(&path).is_err() && !path.exists());
        let file = UpdateFile::create(&path).unwrap();
        file.write_at(b"abc", 0).unwrap();
        file.extend(4096).unwrap();
        file.extend(10).unwrap();
        let mut bytes = [1; 5000];
        assert_eq!(UpdateFile::open(&path).unwrap().read_at(&mut bytes, 0).unwrap(), 4096);
        assert!(bytes.starts_with(b"abc\0") && bytes[4..4096].iter().all(|byte| *byte == 0));
        file.sync().unwrap();
    }

    #[test]
    fn a_file_that_gets_its_name_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other, name] = ["one", "other", "name"].map(|name| dir.path().join(name));
        for path in [&one, &other] {
            UpdateFile::create(path)
                .unwrap()
                .write_at(path.to_string_lossy().as_bytes(), 0)
                .unwrap();
        }
        publish(&one, &name).unwrap();
        assert!(publish(&other, &name).is_err());
        assert_eq!(std::fs::read(&name).unwrap(), one.to_string_lossy().as_bytes());
        assert!(!one.exists() && other.exists());
    }
}
