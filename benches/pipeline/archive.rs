//! How far an archive that is being written has come: read from the headers of its frames, each once.

use super::Outcome;
use hog::formats::frame::{FrameHeader, HEADER_LEN};
use hog::formats::segment::{SEGMENT_HEADER_LEN, SegmentHeader, number_of};
use hog::ids::SegmentId;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Follows an archive of one stream by the headers of its frames; each is read once.
pub(crate) struct ArchiveWatch {
    directory: PathBuf,
    /// Where the next frame of each segment is, and the salt of its headers.
    segments: HashMap<PathBuf, (SegmentId, u64)>,
    end: u64,
}

impl ArchiveWatch {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            segments: HashMap::new(),
            end: 0,
        }
    }

    /// Position up to which the stream is in the archive's files.
    pub(crate) fn look(&mut self) -> Outcome<u64> {
        let mut directories = vec![self.directory.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                } else if number_of(&entry.file_name()).is_some() {
                    self.look_at(&entry.path())?;
                }
            }
        }
        Ok(self.end)
    }

    /// Returns once all that is in the files is on disk.
    pub(crate) fn sync(&self) -> Outcome<()> {
        for path in self.segments.keys() {
            File::open(path)?.sync_data()?;
        }
        Ok(())
    }

    fn look_at(&mut self, path: &Path) -> Outcome<()> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let (salt, mut offset) = match self.segments.get(path) {
            Some(known) => *known,
            None => {
                let mut header = [0; SEGMENT_HEADER_LEN];
                if file.read_exact_at(&mut header, 0).is_err() {
                    return Ok(()); // not whole yet
                }
                (SegmentHeader::decode(&header)?.segment, SEGMENT_HEADER_LEN as u64)
            }
        };
        let mut bytes = [0; HEADER_LEN];
        while file.read_exact_at(&mut bytes, offset).is_ok() {
            let Ok(header) = FrameHeader::open(&bytes, salt) else {
                break;
            }; // being written
            if offset + header.frame_len() > len {
                break;
            }
            offset += header.frame_len();
            self.end = self.end.max(header.end);
        }
        self.segments.insert(path.to_owned(), (salt, offset));
        Ok(())
    }
}
