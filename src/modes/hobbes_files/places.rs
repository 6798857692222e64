//! Where `.log` files beside an archive are, and which of them is the newest.
//!
//! Their names begin with the directory of a date, so the newest date that has any is found by listing. A clock that was set back must not have an older file
//! gone on with, which knows less of what was exported: files are of the newest date that has any, or a later one.

use crate::os::disk::{self, DiskError};
use crate::stages::archive::ArchivePattern;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The dates of which there are files of `group`, whoever wrote them, in order; if the pattern has no date, any.
pub(super) fn dates_of_files(pattern: &ArchivePattern, group: &str) -> Result<Vec<String>, DiskError> {
    let mut found = Vec::new();
    for date in dates(&pattern.above_dates(group))? {
        if has_files(&pattern.directory(group, &date))? {
            found.push(date);
        }
    }
    Ok(found)
}

/// The date of the files that are written `today`.
pub(super) fn date_of_files(pattern: &ArchivePattern, group: &str, today: &str) -> Result<String, DiskError> {
    let newest = dates_of_files(pattern, group)?.pop();
    Ok(newest.unwrap_or_default().max(today.to_owned()))
}

/// All dates that names of entries have in them, wherever.
fn dates(directory: &Path) -> Result<BTreeSet<String>, DiskError> {
    let mut dates = BTreeSet::new();
    for path in entries(directory)? {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let found = name.as_bytes().windows(10).filter(|part| is_date(part));
        dates.extend(found.map(|part| String::from_utf8_lossy(part).into_owned()));
    }
    Ok(dates)
}

/// `2026.11.22`
fn is_date(part: &[u8]) -> bool {
    part.iter().enumerate().all(|(place, byte)| match place {
        4 | 7 => *byte == b'.',
        _ => byte.is_ascii_digit(),
    })
}

/// Whether there is `STEM-N.log` for some N.
fn has_files(stem: &Path) -> Result<bool, DiskError> {
    let (Some(directory), Some(name)) = (stem.parent(), stem.file_name().and_then(|name| name.to_str())) else {
        return Ok(false);
    };
    let is_file = |path: &PathBuf| {
        let number = path.file_name().and_then(|entry| {
            entry
                .to_str()?
                .strip_prefix(name)?
                .strip_prefix('-')?
                .strip_suffix(".log")
        });
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Ok(entries(directory)?.iter().any(is_file))
}

/// The entries of a directory, of which there are none if it is not there.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    disk::entries(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn files_are_of_the_newest_date_that_has_any_or_of_today() {
        for (pattern, file) in [
            ("$GROUP/$DATE/data", "web/2026.11.21/data-0.log"),
            ("$GROUP/$DATE", "web/2026.11.21-12.log"),
            ("x/day-$DATE-of-$GROUP", "x/day-2026.11.21-of-web-3.log"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            let pattern = ArchivePattern::new(&format!("{}/{pattern}", root.display())).unwrap();
            assert!(dates_of_files(&pattern, "web").unwrap().is_empty());
            touch(&pattern.directory("web", "2026.11.20").join("seg-1.hog"));
            touch(&pattern.directory("web", "2026.11.22").join("seg-2.hog"));
            touch(&root.join(file));
            touch(&pattern.directory("db", "2026.11.23").with_extension("22-0.log"));
            assert_eq!(dates_of_files(&pattern, "web").unwrap(), ["2026.11.21"], "{file}");
            let of = |today| date_of_files(&pattern, "web", today).unwrap();
            assert_eq!(of("2026.11.22"), "2026.11.22");
            assert_eq!(of("2026.11.19"), "2026.11.21");
        }
    }
}
