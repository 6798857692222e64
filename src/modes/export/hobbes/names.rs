//! What the files of one export are called: `FILE`, then, as `FILE` is `stem.log`, `stem-1.log`, `stem-2.log`, …
//!
//! The last of them is the one that is gone on with. A file that is made is called `.tmp.NAME` until it is whole.

use crate::os::disk::{self, DiskError};
use std::path::{Path, PathBuf};

/// The names of one export.
#[derive(Clone, Debug)]
pub(super) struct Names {
    first: PathBuf,
    /// Whether the first has a number too.
    is_numbered: bool,
}

impl Names {
    /// `first`, and then with numbers from 1.
    pub(super) fn of(first: &Path) -> Self {
        Self {
            first: first.to_owned(),
            is_numbered: false,
        }
    }

    /// All with numbers, from 0: `stem-0.log` and so on, as the original calls them.
    pub(super) fn numbered(stem: &Path) -> Self {
        let mut first = stem.as_os_str().to_owned();
        first.push(".log");
        Self {
            first: first.into(),
            is_numbered: true,
        }
    }

    /// What stands for all of them.
    pub(super) fn path(&self) -> &Path {
        &self.first
    }

    /// The file of that number.
    pub(super) fn file(&self, number: u64) -> PathBuf {
        if number == 0 && !self.is_numbered {
            return self.first.clone();
        }
        let mut name = self.first.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{number}"));
        if let Some(extension) = self.first.extension() {
            name.push(".");
            name.push(extension);
        }
        self.first.with_file_name(name)
    }

    /// What the file of that number is called while it is made.
    pub(super) fn unfinished(&self, number: u64) -> PathBuf {
        let file = self.file(number);
        let mut name = std::ffi::OsString::from(".tmp.");
        name.push(file.file_name().unwrap_or_default());
        file.with_file_name(name)
    }

    /// The directory that they are in.
    pub(super) fn directory(&self) -> &Path {
        match self.first.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The greatest number of a file that is there. Files before it may be gone.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn last(&self) -> Result<Option<u64>, DiskError> {
        Ok(self.all()?.pop())
    }

    /// The numbers of the files that there are, in order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn all(&self) -> Result<Vec<u64>, DiskError> {
        let stem = self
            .first
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let extension = self
            .first
            .extension()
            .map(|extension| extension.to_string_lossy().into_owned());
        let numbers = disk::entries(self.directory())?.into_iter().filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let rest = name.strip_prefix(&stem)?;
            let rest = match &extension {
                Some(extension) => rest.strip_suffix(extension.as_str())?.strip_suffix('.')?,
                None => rest,
            };
            match rest {
                "" => (!self.is_numbered).then_some(0),
                rest => rest
                    .strip_prefix('-')?
                    .parse()
                    .ok()
                    // `web-007.log` is nobody's seventh file.
                    .filter(|number: &u64| rest[1..] == number.to_string())
                    .filter(|number| *number > 0 || self.is_numbered),
            }
        });
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether all have numbers, as the original's have.
    pub(super) fn are_numbered(&self) -> bool {
        self.is_numbered
    }
}

/// The file that one called `path` would follow: two exports of which one writes web.log and the other web-1.log would take each other's files for their own.
pub(super) fn first_of(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let (first, number) = stem.rsplit_once('-')?;
    let is_number = number
        .parse::<u64>()
        .is_ok_and(|parsed| parsed > 0 && parsed.to_string() == number);
    let extension = path
        .extension()
        .map(|extension| format!(".{}", extension.to_string_lossy()));
    (is_number && !first.is_empty()).then(|| format!("{first}{}", extension.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_another_export_may_come_to_is_told() {
        for (name, first) in [("web-1.log", "web.log"), ("a/b-c-12.log", "b-c.log"), ("x-3", "x")] {
            assert_eq!(first_of(Path::new(name)).as_deref(), Some(first), "{name}");
        }
        for name in [
            "web.log",
            "web-0.log",
            "web-01.log",
            "web1.log",
            "web-1a.log",
            "-1.log",
            "2026-11-22-.log",
        ] {
            assert_eq!(first_of(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn files_are_counted_from_the_name_that_was_given_or_as_the_original_counts_them() {
        let dir = tempfile::tempdir().unwrap();
        let ours = Names::of(&dir.path().join("web.log"));
        let original = Names::numbered(&dir.path().join("data"));
        assert_eq!((ours.last().unwrap(), original.last().unwrap()), (None, None));
        for name in [
            "web.log",
            "web-2.log",
            "web-x.log",
            "web-007.log",
            "web-+8.log",
            "data-01.log",
            "web-3.txt",
            "data-0.log",
            ".tmp.web-7.log",
            "data.log",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!((ours.last().unwrap(), original.last().unwrap()), (Some(2), Some(0)));
        assert_eq!(ours.file(0), dir.path().join("web.log"));
        assert_eq!(ours.file(3), dir.path().join("web-3.log"));
        assert_eq!(ours.unfinished(3), dir.path().join(".tmp.web-3.log"));
        assert_eq!(original.file(0), dir.path().join("data-0.log"));
        assert_eq!(Names::of(Path::new("x")).file(1), Path::new("x-1"));
        assert_eq!(Names::of(Path::new("x")).directory(), Path::new("."));
    }
}
