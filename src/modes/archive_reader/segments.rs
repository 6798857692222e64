//! Finds the segments under the paths that were named, and puts them in the order in which they are read.

use crate::formats::segment::{self, LogRole, SegmentHeader, SegmentHeaderError};
use crate::modes::archive_reader::{Fault, ReadError};
use crate::os::disk;
use crate::seglog::reader::{SegmentError, SegmentReader};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// A segment to be read.
#[derive(Debug)]
pub(super) struct SegmentPath {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
}

impl SegmentPath {
    /// Groups one after the other. Of one group the archive comes before the spool: the receiver has less of the end
    /// and the sender less of the beginning, and what both have is passed over the second time.
    fn order(&self) -> (&str, bool, u64, u64, &Path) {
        let SegmentHeader {
            group,
            role,
            number,
            created,
            ..
        } = &self.header;
        (group, *role == LogRole::Spool, *number, *created, &self.path)
    }
}

/// The segments under `paths`, in order, each file once.
pub(super) fn find(
    paths: &[PathBuf],
    fault: &mut dyn FnMut(Fault) -> io::Result<()>,
) -> Result<Vec<SegmentPath>, ReadError> {
    let mut files = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|source| ReadError::Path {
            path: path.clone(),
            source,
        })?;
        if metadata.is_dir() {
            files.extend(files_below(path)?.into_iter().map(|path| (path, Origin::Listed)));
        } else {
            files.push((path.clone(), Origin::Named));
        }
    }
    let mut seen = HashSet::new();
    let mut segments = Vec::new();
    for (path, origin) in files {
        if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            continue;
        }
        match SegmentReader::open(&path) {
            Ok(reader) => segments.push(SegmentPath {
                header: reader.header().clone(),
                path,
            }),
            Err(error) if origin == Origin::Listed && holds_nothing(&error) => {}
            Err(error) => fault(Fault::Segment(error))?,
        }
    }
    segments.sort_by(|one, other| one.order().cmp(&other.order()));
    Ok(segments)
}

/// How a file got here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Named,
    Listed,
}

/// Whether the file is what a writer leaves that was killed, or lost its power, before the header was whole; or it was
/// deleted since it was listed.
fn holds_nothing(error: &SegmentError) -> bool {
    match error {
        SegmentError::Disk(error) => error.source.kind() == io::ErrorKind::NotFound,
        SegmentError::Header { source, .. } => {
            matches!(
                source,
                SegmentHeaderError::Short(_) | SegmentHeaderError::Magic([0, 0, 0, 0, 0, 0, 0, 0])
            )
        }
    }
}

/// All files below `directory` that are called as segments. Links to directories are not followed, so that none is
/// walked forever.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for path in disk::entries(&directory)? {
            if path.file_name().and_then(segment::number_of).is_some() && !path.is_dir() {
                files.push(path);
            } else if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                directories.push(path);
            }
        }
    }
    Ok(files)
}
