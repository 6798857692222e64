//! Bytes that wait to be judged: in memory while they are few, then in a file that has no name, so that nothing of it is left whatever happens.

use super::{DiskError, at};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::SpooledTempFile;

/// Bytes read from a file at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes that are written once, from the beginning to the end, and then read as often as need be.
pub struct Spill {
    bytes: SpooledTempFile,
    directory: PathBuf,
}

impl Spill {
    /// Nothing yet. More than `most` bytes go into a file of the file system of `directory`.
    #[must_use]
    pub fn new(most: usize, directory: &Path) -> Self {
        Self {
            bytes: SpooledTempFile::new_in(most, directory),
            directory: directory.to_owned(),
        }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.bytes
            .write_all(bytes)
            .map_err(at("keep bytes for a while in", &self.directory))
    }

    /// All that was written, from its beginning on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read(&mut self) -> Result<BufReader<impl Read>, DiskError> {
        self.bytes
            .seek(SeekFrom::Start(0))
            .map_err(at("read what was kept in", &self.directory))?;
        Ok(BufReader::with_capacity(READ_BYTES, &mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_and_many_are_read_as_they_were_written_and_leave_no_file() {
        let directory = tempfile::tempdir().unwrap();
        for pieces in [0, 1, 3, 1000] {
            let mut spill = Spill::new(4096, directory.path());
            let piece: Vec<u8> = (0..=255).collect();
            for _ in 0..pieces {
                spill.write(&piece).unwrap();
            }
            for _ in 0..2 {
                let mut bytes = Vec::new();
                spill.read().unwrap().read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, piece.repeat(pieces));
            }
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
        let gone = directory.path().join("gone");
        assert!(Spill::new(0, &gone).write(b"x").is_err());
    }
}
