//! All generated files, by path: rendered, written, or compared with those in the repository.
//!
//! The directories below belong to the generator alone: a file in them that it would not write is stale, and is removed.

use crate::{completions, pages};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directories that hold generated files, from the repository's root.
pub const DIRECTORIES: [&str; 2] = ["man", "scripts/completions"];

/// Why the files could not be rendered, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, written or removed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// `docs/FORMATS.md` has something that a manual page cannot show.
    #[error("docs/FORMATS.md: {0}")]
    Formats(#[from] crate::markdown::Unsupported),
}

/// Generated files: their text by their path from the repository's root.
#[derive(Debug, PartialEq, Eq)]
pub struct Files(pub BTreeMap<PathBuf, String>);

impl Files {
    /// What the repository at `root` should hold.
    ///
    /// # Errors
    /// `docs/FORMATS.md` cannot be read or shown.
    pub fn rendered(root: &Path) -> Result<Self, Error> {
        let source = root.join("docs/FORMATS.md");
        let formats = fs::read_to_string(&source).map_err(|error| Error::Io { path: source, error })?;
        let mut files = BTreeMap::new();
        for (name, page) in pages::of_modes() {
            files.insert(Path::new("man").join(name), page);
        }
        files.insert(PathBuf::from("man/hog-formats.5"), pages::of_formats(&formats)?);
        for (name, script) in completions::scripts() {
            files.insert(Path::new("scripts/completions").join(name), script);
        }
        Ok(Self(files))
    }

    /// What the repository at `root` holds. A directory that is missing holds nothing.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn found(root: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for directory in DIRECTORIES {
            let path = root.join(directory);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::Io { path, error }),
            };
            for entry in entries {
                let name = entry
                    .map_err(|error| Error::Io {
                        path: path.clone(),
                        error,
                    })?
                    .file_name();
                let file = path.join(&name);
                let text = fs::read_to_string(&file).map_err(|error| Error::Io { path: file, error })?;
                files.insert(Path::new(directory).join(name), text);
            }
        }
        Ok(Self(files))
    }

    /// Where these files and `wanted` differ: a line for each file.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        let names: BTreeSet<&PathBuf> = self.0.keys().chain(wanted.0.keys()).collect();
        let said = |path: &Path| match (self.0.get(path), wanted.0.get(path)) {
            (None, _) => Some("is missing".to_owned()),
            (_, None) => Some("belongs to nothing".to_owned()),
            (Some(had), Some(want)) => first_difference(had, want)
                .map(|(line, had, want)| format!("line {line} is\n  {had}\nbut should be\n  {want}")),
        };
        names
            .into_iter()
            .filter_map(|path| said(path).map(|words| format!("{}: {words}", path.display())))
            .collect()
    }
}

/// Makes the repository at `root` hold `files` in [`DIRECTORIES`], and nothing else there; returns how many files changed.
///
/// # Errors
/// A file cannot be read, written or removed.
pub fn write(root: &Path, files: &Files) -> Result<usize, Error> {
    let found = Files::found(root)?;
    let mut changed = 0;
    for stale in found.0.keys().filter(|path| !files.0.contains_key(*path)) {
        let path = root.join(stale);
        fs::remove_file(&path).map_err(|error| Error::Io { path, error })?;
        changed += 1;
    }
    for (name, text) in files.0.iter().filter(|(name, text)| found.0.get(*name) != Some(*text)) {
        let path = root.join(name);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text));
        written.map_err(|error| Error::Io { path, error })?;
        changed += 1;
    }
    Ok(changed)
}

/// The number of the first line that differs, and that line of both.
fn first_difference<'a>(had: &'a str, want: &'a str) -> Option<(usize, &'a str, &'a str)> {
    if had == want {
        return None;
    }
    let ends = std::iter::once("(the end)");
    let lines = had.lines().chain(ends.clone()).zip(want.lines().chain(ends));
    let differing = (1..).zip(lines).find(|(_, (this, that))| this != that);
    Some(
        differing.map_or((0, "(line ends)", "(line ends)"), |(line, (this, that))| {
            (line, this, that)
        }),
    )
}
