//! Which names are followed: those on the command line, and whatever its patterns match, looked up again and again.
//!
//! A name is the canonical path of its directory and its own last component. That last one is not resolved: a symbolic link
//! that is switched to another file is a rotation, as a rename is, and must be seen as one. (Without `--follow` a link's file
//! is logged under the file's own path: then the link is read once, and cannot change meanwhile.)

use super::rotated::is_compressed;
use crate::exit::{ExitStatus, Failure};
use glob::{MatchOptions, Pattern};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// As a shell has it: a leading dot and a slash are matched by themselves alone.
const AS_A_SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// One input of the command line.
enum Input {
    Name(PathBuf),
    Pattern(String),
}

/// A name that a look found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its path; see the module.
    pub path: PathBuf,
    /// It is on the command line, and not only matched by a pattern.
    pub is_named: bool,
}

/// What is to be followed.
pub struct Names {
    inputs: Vec<Input>,
    /// What was said, so that it is not said again.
    said: HashSet<PathBuf>,
}

impl Names {
    /// From the command line: what contains `*`, `?` or `[` and is no file's name is a pattern.
    ///
    /// # Errors
    /// When there is none, or one cannot be followed.
    pub fn new(inputs: &[PathBuf]) -> Result<Self, Failure> {
        let usage = |words: String| Err(Failure::new(ExitStatus::Usage, words));
        if inputs.is_empty() {
            return usage("--follow needs the names of files, or patterns".to_owned());
        }
        let mut all = Vec::with_capacity(inputs.len());
        for input in inputs {
            if input == Path::new("-") {
                return usage("standard input cannot be followed: without --follow it is read to its end".to_owned());
            }
            let is_pattern = input.as_os_str().as_encoded_bytes().iter().any(|c| b"*?[".contains(c))
                && input.symlink_metadata().is_err();
            if !is_pattern {
                all.push(Input::Name(input.clone()));
                continue;
            }
            let Some(pattern) = input.to_str() else {
                return usage(format!("the pattern {} is not UTF-8", input.display()));
            };
            if let Err(error) = Pattern::new(pattern) {
                return usage(format!("{pattern:?} is no pattern: {error}"));
            }
            all.push(Input::Pattern(pattern.to_owned()));
        }
        Ok(Self {
            inputs: all,
            said: HashSet::new(),
        })
    }

    /// Whether one file alone can ever be meant.
    #[must_use]
    pub fn is_one(&self) -> bool {
        matches!(self.inputs[..], [Input::Name(_)])
    }

    /// Looks which names there are now.
    pub fn look(&mut self) -> Vec<Name> {
        let mut directories = BTreeMap::new();
        let mut found: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for input in &self.inputs {
            match input {
                Input::Name(path) => {
                    if let Some(name) = resolve(path, &mut directories) {
                        found.insert(name, true);
                    }
                    if path.symlink_metadata().is_err_and(|error| is_missing(&error)) && self.said.insert(path.clone())
                    {
                        info!("waiting for {}, which does not exist yet", path.display());
                    }
                }
                Input::Pattern(pattern) => {
                    for path in matches(pattern, &mut self.said) {
                        if let Some(name) = resolve(&path, &mut directories) {
                            found.entry(name).or_insert(false);
                        }
                    }
                }
            }
        }
        found
            .into_iter()
            .map(|(path, is_named)| Name { path, is_named })
            .collect()
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The files that `pattern` matches. Compressed ones, which patterns for rotated names match too, are left out unless they are asked for.
fn matches(pattern: &str, said: &mut HashSet<PathBuf>) -> Vec<PathBuf> {
    let Ok(paths) = glob::glob_with(pattern, AS_A_SHELL) else {
        return Vec::new(); // it was tried before
    };
    let mut found = Vec::new();
    for path in paths {
        match path {
            Ok(path) => {
                let is_archive = path.to_str().is_some_and(is_compressed) && !is_compressed(pattern);
                if !is_archive && !path.is_dir() {
                    found.push(path);
                }
            }
            Err(error) if said.insert(error.path().to_owned()) => {
                warn!("cannot look through {}: {}", error.path().display(), error.error());
            }
            Err(_) => {}
        }
    }
    found
}

/// The name that is meant by `path`; `None` while its directory does not exist, or cannot be entered.
fn resolve(path: &Path, directories: &mut BTreeMap<PathBuf, Option<PathBuf>>) -> Option<PathBuf> {
    let name = path.file_name()?;
    let parent = path.parent()?;
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let directory = directories
        .entry(parent.to_owned())
        .or_insert_with(|| parent.canonicalize().ok());
    directory.as_ref().map(|directory| directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(inputs: &[&Path]) -> Vec<(String, bool)> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|path| path.to_path_buf()).collect();
        let names = Names::new(&inputs).unwrap().look();
        let mut names: Vec<_> = names
            .into_iter()
            .map(|name| {
                (
                    name.path.file_name().unwrap().to_str().unwrap().to_owned(),
                    name.is_named,
                )
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn patterns_match_as_a_shell_has_it_and_leave_directories_and_compressed_files_out() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.log", "a.log.1", "a.log.2.gz", ".hidden.log", "b.txt"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        std::fs::create_dir(dir.path().join("a.log.d")).unwrap();
        let found = look(&[&dir.path().join("a.log*")]);
        assert_eq!(found, [("a.log".to_owned(), false), ("a.log.1".to_owned(), false)]);
        assert_eq!(look(&[&dir.path().join("*.gz")]), [("a.log.2.gz".to_owned(), false)]);
        assert_eq!(look(&[&dir.path().join("*.log")]), [("a.log".to_owned(), false)]);
        let both = look(&[&dir.path().join("*.log"), &dir.path().join("a.log")]);
        assert_eq!(both, [("a.log".to_owned(), true)]);
    }

    #[test]
    fn a_name_that_exists_is_no_pattern_and_one_that_does_not_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a[1].log"), b"").unwrap();
        assert_eq!(look(&[&dir.path().join("a[1].log")]), [("a[1].log".to_owned(), true)]);
        assert_eq!(look(&[&dir.path().join("later")]), [("later".to_owned(), true)]);
        assert!(look(&[&dir.path().join("no directory/later")]).is_empty());
        assert!(look(&[&dir.path().join("later*")]).is_empty());
    }

    #[test]
    fn a_link_is_its_own_name_in_a_directory_that_is_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(real.join("one"), b"").unwrap();
        std::os::unix::fs::symlink("one", real.join("current")).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        let names = Names::new(&[dir.path().join("link/current")]).unwrap().look();
        assert_eq!(names[0].path, real.join("current"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for inputs in [&[][..], &[PathBuf::from("-")], &[PathBuf::from("/no/[")]] {
            assert_eq!(Names::new(inputs).err().unwrap().status, ExitStatus::Usage);
        }
    }
}
