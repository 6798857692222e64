//! A file of an export while it is written, under a name that no reader looks for: synced before anything says that it is there.

use crate::os::disk::{AppendFile, DiskError};
use std::io::{self, Write};
use std::path::Path;

/// Gathered for one write, in bytes.
const GATHERED: usize = 128 << 10;

/// A file that is written from its beginning to its end.
#[derive(Debug)]
pub(super) struct PartFile {
    file: AppendFile,
    gathered: Vec<u8>,
    /// How much is in the file.
    written: u64,
}

impl PartFile {
    /// Creates `path`, which must not exist.
    pub(super) fn create(path: &Path) -> Result<Self, DiskError> {
        Ok(Self {
            file: AppendFile::create(path)?,
            gathered: Vec::new(),
            written: 0,
        })
    }

    /// Writes and syncs all that it was given.
    pub(super) fn finish(mut self) -> Result<(), DiskError> {
        self.write_gathered()?;
        self.file.sync()
    }

    fn write_gathered(&mut self) -> Result<(), DiskError> {
        self.file.write_at(&self.gathered, self.written)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > GATHERED {
            self.write_gathered().map_err(io::Error::other)?;
        }
        if bytes.len() > GATHERED {
            self.file.write_at(bytes, self.written).map_err(io::Error::other)?;
            self.written += bytes.len() as u64;
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// What is gathered stays so: nobody reads it before it is finished.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
