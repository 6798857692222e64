//! Finds the segments under the paths that were named, and puts them in the order in which they are read.
//!
//! What is no regular file is never opened: a pipe would be waited for. A file that is gone when it is to be opened was
//! deleted, and that is nobody's fault.

use crate::formats::segment::{self, LogRole, SegmentHeader, SegmentHeaderError};
use crate::ids::OwnerId;
use crate::modes::archive_reader::progress::{Passed, Progress};
use crate::modes::archive_reader::{Fault, ReadError};
use crate::os::disk;
use crate::seglog::reader::{SegmentError, SegmentReader};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How far clocks may be apart, in nanoseconds: a record may claim to have been logged this long after it was stored, and
/// is still found by its time.
const CLOCKS_APART: u64 = 3_600_000_000_000;

/// How long it takes to delete some segments.
const A_MOMENT: Duration = Duration::from_millis(250);

/// Which log a segment belongs to: its group, whether it is a spool, its owner.
pub(super) type LogKey = (String, bool, OwnerId);

/// A segment to be read.
#[derive(Debug)]
pub(super) struct SegmentPath {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    /// Between the one before it and this one others were deleted while they were looked for.
    pub(super) behind_deleted: bool,
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

    /// The log that it belongs to.
    pub(super) fn log(&self) -> LogKey {
        let SegmentHeader { group, role, owner, .. } = &self.header;
        (group.clone(), *role == LogRole::Spool, *owner)
    }
}

/// Leaves out, of `segments` in order, those that hold nothing logged at or after `since`.
///
/// A record was logged before it was stored, and everything in a segment was stored before the next one of its log was
/// begun, by the clock of whoever wrote the log. The producer's clock may have been another one, or have been set since;
/// for that there is [`CLOCKS_APART`]. The other way there is no such rule: what was logged long ago may arrive today.
pub(super) fn leave_out_before(since: u64, segments: &mut Vec<SegmentPath>) {
    let mut next_begun: HashMap<LogKey, u64> = HashMap::new();
    let mut keep: Vec<bool> = segments
        .iter()
        .rev()
        .map(|segment| {
            let ended = next_begun.insert(segment.log(), segment.header.created);
            ended.is_none_or(|ended| ended.saturating_add(CLOCKS_APART) > since)
        })
        .collect();
    segments.retain(|_| keep.pop().unwrap_or(true));
}

/// Leaves out, of `segments`, those that an earlier reading has passed. Gives the last one and the number of those that no reading was given, since it began
/// behind them: whoever reads the parts of a log in another order than its own would miss what they hold, and is to hear of it.
pub(super) fn leave_out_passed(progress: &Progress, segments: &mut Vec<SegmentPath>) -> Option<Fault> {
    let (mut left_out, mut number_left_out) = (None, 0);
    segments.retain(|segment| {
        let SegmentHeader {
            group,
            role,
            owner,
            number,
            ..
        } = &segment.header;
        let passed = progress.passed(group, *role, *owner, *number);
        if passed == Passed::LeftOut {
            left_out = Some(segment.path.clone());
            number_left_out += 1;
        }
        passed == Passed::No
    });
    left_out.map(|path| Fault::LeftOut {
        path,
        segments: number_left_out,
    })
}

/// Looks for segments, once or again and again.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// Files that were found before, as they were listed, with their canonical paths.
    known: HashMap<PathBuf, PathBuf>,
    /// These canonical paths.
    canonical: HashSet<PathBuf>,
    /// It is not the first time.
    again: bool,
}

impl Finder {
    /// The segments under `paths` that were not found before, in order, each file once.
    pub(super) fn find(
        &mut self,
        paths: &[PathBuf],
        fault: &mut dyn FnMut(Fault) -> io::Result<()>,
    ) -> Result<Vec<SegmentPath>, ReadError> {
        let mut files = Vec::new();
        for path in paths {
            let metadata = match std::fs::metadata(path) {
                Ok(metadata) => metadata,
                // It was there before: segments are deleted, and directories of dates with them.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.again => continue,
                Err(source) => {
                    let path = path.clone();
                    return Err(ReadError::Path { path, source });
                }
            };
            if metadata.is_dir() {
                files.extend(files_below(path)?.into_iter().map(|path| (path, Origin::Listed)));
            } else {
                files.push((path.clone(), Origin::Named));
            }
        }
        self.forget_all_but(&files);
        let (mut segments, mut gone) = (Vec::new(), BTreeSet::new());
        for (path, origin) in files {
            match self.look_at(&path, origin) {
                Ok(Look::Segment(segment)) => segments.push(segment),
                Ok(Look::Nothing) => {}
                Ok(Look::Gone) => gone.extend(path.file_name().and_then(segment::number_of)),
                Err(error) => fault(error)?,
            }
        }
        segments.sort_by(|one, other| one.order().cmp(&other.order()));
        if !std::mem::replace(&mut self.again, true) {
            mark_those_behind_deleted(&gone, &mut segments);
        }
        Ok(segments)
    }

    /// Whether `path` was there when it was last looked for.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.known.contains_key(path)
    }

    fn forget_all_but(&mut self, files: &[(PathBuf, Origin)]) {
        if self.again {
            let there: HashSet<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
            self.known.retain(|path, _| there.contains(path.as_path()));
            self.canonical = self.known.values().cloned().collect();
        }
    }

    /// Looks at a file, unless that was done before. What is no segment now is looked at again later if it may become one.
    fn look_at(&mut self, path: &Path, origin: Origin) -> Result<Look, Fault> {
        if self.known.contains_key(path) {
            return Ok(Look::Nothing);
        }
        let Ok(canonical) = path.canonicalize() else {
            return Ok(Look::Gone);
        };
        if self.canonical.contains(&canonical) {
            return Ok(Look::Nothing);
        }
        let is_regular = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        let opened = match origin {
            _ if is_regular => SegmentReader::open(path).map_err(Fault::Segment),
            Origin::Listed => return Ok(Look::Nothing),
            Origin::Named => Err(Fault::NoFile { path: path.to_owned() }),
        };
        match opened {
            Err(Fault::Segment(SegmentError::Disk(error))) if error.source.kind() == io::ErrorKind::NotFound => {
                return Ok(Look::Gone);
            }
            Err(Fault::Segment(error)) if origin == Origin::Listed && holds_nothing(&error) => {
                return Ok(Look::Nothing);
            }
            _ => {}
        }
        self.canonical.insert(canonical.clone());
        self.known.insert(path.to_owned(), canonical);
        let reader = opened?;
        Ok(Look::Segment(SegmentPath {
            header: reader.header().clone(),
            path: path.to_owned(),
            behind_deleted: false,
        }))
    }
}

/// What a file is.
enum Look {
    Segment(SegmentPath),
    /// Nothing to be read now.
    Nothing,
    /// It was deleted since it was listed.
    Gone,
}

/// How a file got here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Named,
    Listed,
}

/// Marks those of `segments`, which are in order, before which others were deleted while they were looked for: their numbers
/// are `gone`; or they are missing, and a moment later the one before them is missing too. Nobody deletes all at once, and
/// not everybody begins with the oldest.
fn mark_those_behind_deleted(gone: &BTreeSet<u64>, segments: &mut [SegmentPath]) {
    let mut before: HashMap<LogKey, usize> = HashMap::new();
    let mut in_doubt = Vec::new();
    for at in 0..segments.len() {
        let number = segments[at].header.number;
        let Some(last) = before.insert(segments[at].log(), at) else {
            continue;
        };
        let behind = segments[last].header.number.saturating_add(1);
        if behind < number && gone.range(behind..number).next().is_some() {
            segments[at].behind_deleted = true;
        } else if behind < number {
            in_doubt.push((at, last));
        }
    }
    if !in_doubt.is_empty() {
        std::thread::sleep(A_MOMENT);
    }
    for (at, last) in in_doubt {
        segments[at].behind_deleted = !segments[last].path.exists();
    }
}

/// Whether the file is what a writer leaves that was killed, or lost its power, before the header was whole.
fn holds_nothing(error: &SegmentError) -> bool {
    matches!(
        error,
        SegmentError::Header {
            source: SegmentHeaderError::Short(_) | SegmentHeaderError::Magic([0, 0, 0, 0, 0, 0, 0, 0]),
            ..
        }
    )
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
