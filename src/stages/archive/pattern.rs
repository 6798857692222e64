//! Where archives lie: one pattern for all groups and dates, the part of it that is locked, and the segments that it matches.

use crate::os::disk::{self, DiskError};
use crate::seglog::recovery::{self, SegmentFile};
use std::path::{Path, PathBuf};

/// Where archives lie: a path with `$GROUP` and, perhaps, `$DATE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePattern(String);

impl ArchivePattern {
    /// From `-d`. A directory without variables means `DIR/$GROUP/$DATE`.
    ///
    /// # Errors
    /// When it is empty, or groups would share a directory.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("the directory has no name; the one that hog is started in is `.`".to_owned()); // it would be `/`
        }
        if !pattern.contains('$') {
            return Ok(Self(format!("{}/$GROUP/$DATE", pattern.trim_end_matches('/'))));
        }
        let rest = pattern.replace("$GROUP", "").replace("$DATE", "");
        if !pattern.contains("$GROUP") {
            return Err(format!(
                "the directory {pattern:?} lacks $GROUP: every group needs a directory of its own"
            ));
        }
        if pattern.matches("$DATE").count() > 1 {
            return Err(format!("the directory {pattern:?} has $DATE twice"));
        }
        if rest.contains('$') {
            return Err(format!(
                "the directory {pattern:?} has a variable other than $GROUP and $DATE"
            ));
        }
        Ok(Self(pattern.to_owned()))
    }

    /// The part before the first variable: where the lock is.
    #[must_use]
    pub fn base(&self) -> PathBuf {
        let fixed = self.0.split('$').next().unwrap_or_default();
        let directory = fixed.rfind('/').map_or("", |slash| &fixed[..slash.max(1)]);
        if directory.is_empty() {
            PathBuf::from(".")
        } else {
            PathBuf::from(directory)
        }
    }

    /// The directory for `group` on `date`.
    #[must_use]
    pub fn directory(&self, group: &str, date: &str) -> PathBuf {
        PathBuf::from(self.0.replace("$GROUP", group).replace("$DATE", date))
    }

    /// The directory below which all directories of `group` are, whatever their dates.
    #[must_use]
    pub fn above_dates(&self, group: &str) -> PathBuf {
        let whole = self.directory(group, "$DATE");
        let parts = whole.components();
        parts
            .take_while(|part| !part.as_os_str().to_string_lossy().contains("$DATE"))
            .collect()
    }

    /// All segments of `group`, of every date, by number.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub fn segments(&self, group: &str) -> Result<Vec<SegmentFile>, DiskError> {
        let mut directories = vec![PathBuf::new()];
        for component in self.0.replace("$GROUP", group).split_inclusive('/') {
            let name = component.trim_end_matches('/');
            let mut deeper = Vec::new();
            for directory in directories {
                if name.is_empty() {
                    deeper.push(if directory.as_os_str().is_empty() {
                        PathBuf::from("/")
                    } else {
                        directory
                    });
                } else if name.contains("$DATE") {
                    deeper.extend(dated(&directory, name)?);
                } else {
                    deeper.push(directory.join(name));
                }
            }
            directories = deeper;
        }
        let mut segments = Vec::new();
        for directory in directories {
            segments.extend(recovery::segments_in(&directory)?);
        }
        segments.sort();
        Ok(segments)
    }
}

/// The entries of `directory` whose names are `name` with some date for `$DATE`.
fn dated(directory: &Path, name: &str) -> Result<Vec<PathBuf>, DiskError> {
    let listed = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let fits = |path: &PathBuf| {
        let (before, after) = name.split_once("$DATE").unwrap_or((name, ""));
        path.file_name()
            .and_then(|entry| entry.to_str())
            .and_then(|entry| entry.strip_prefix(before)?.strip_suffix(&after.replace("$DATE", "")))
            .is_some_and(|date| date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    };
    Ok(disk::entries(listed)?.into_iter().filter(fits).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_in_front_of_the_first_variable() {
        let base = |pattern| ArchivePattern::new(pattern).unwrap().base();
        assert_eq!(base("/var/lib/hog/archive"), PathBuf::from("/var/lib/hog/archive"));
        assert_eq!(base("/a/b/x$GROUP/$DATE"), PathBuf::from("/a/b"));
        assert_eq!(base("/$GROUP"), PathBuf::from("/"));
        assert_eq!(base("$GROUP/$DATE"), PathBuf::from("."));
        assert_eq!(base("logs"), PathBuf::from("logs"));
    }

    #[test]
    fn nothing_is_not_the_root_directory() {
        assert!(ArchivePattern::new("").is_err());
    }

    #[test]
    fn groups_never_share_a_directory() {
        assert!(ArchivePattern::new("/a/$DATE").is_err());
        assert!(ArchivePattern::new("/a/$GROUP/$HOST").is_err());
    }

    #[test]
    fn segments_are_found_across_dates_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let pattern = ArchivePattern::new(dir.path().to_str().unwrap()).unwrap();
        for (date, number) in [("2026.01.02", 2), ("2026.01.01", 1), ("notes", 3)] {
            let directory = pattern.directory("g", date);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join(crate::formats::segment::file_name(number)), b"").unwrap();
        }
        let numbers: Vec<_> = pattern
            .segments("g")
            .unwrap()
            .iter()
            .map(|segment| segment.number)
            .collect();
        assert_eq!(numbers, [1, 2]);
    }
}
