//! Which files lie in a directory, for those who look for one that was renamed.
//!
//! A directory that is listed while files are renamed in it may show a file not at all. So a listing counts only if the directory did not change
//! meanwhile, nor so shortly before that the times of the file system could not tell; otherwise it is listed again. And since at the start of a run many look for their files in one directory, a listing serves all who ask for nothing newer.

use crate::modes::engine::input::FileInput;
use crate::modes::engine::state::{FileId, Mark};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Listings that are tried for one that counts. A directory that changes all the time is believed as it is.
const TRIES: usize = 8;
/// Changes that lie closer together than this may have the same time.
const TICK: Duration = Duration::from_millis(10);

/// The regular files of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Their names, in order, and which files they are.
    pub files: Vec<(OsString, FileId)>,
}

impl Listing {
    fn read(directory: &Path) -> io::Result<Self> {
        for _ in 1..TRIES {
            let (began, before) = (SystemTime::now(), directory.metadata()?.modified()?);
            let listing = Self::read_once(directory)?;
            let was_silent = began.duration_since(before).is_ok_and(|silent| silent > TICK);
            if was_silent && directory.metadata()?.modified()? == before {
                return Ok(listing);
            }
            std::thread::sleep(TICK);
        }
        Self::read_once(directory)
    }

    fn read_once(directory: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            // One that is gone meanwhile, or may not be looked at, is not what anybody looks for.
            if let Some(metadata) = entry.metadata().ok().filter(std::fs::Metadata::is_file) {
                files.push((entry.file_name(), FileId::of(&metadata)));
            }
        }
        files.sort();
        Ok(Self { files })
    }
}

/// The listings of directories that were asked for.
#[derive(Default)]
pub struct Listings {
    known: HashMap<PathBuf, (Instant, Listing)>,
}

impl Listings {
    /// The files in `directory`, not longer ago than `since`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(&mut self, directory: &Path, since: Instant) -> io::Result<&Listing> {
        if self.known.get(directory).is_none_or(|(listed, _)| *listed < since) {
            let listed = Instant::now();
            let listing = Listing::read(directory)?;
            self.known.insert(directory.to_owned(), (listed, listing));
        }
        self.known
            .get(directory)
            .map(|(_, listing)| listing)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The file that was logged up to `mark`, if it lies in `directory`.
    ///
    /// # Errors
    /// When the directory or the file cannot be read.
    pub fn find(&mut self, directory: &Path, mark: &Mark, since: Instant) -> io::Result<Option<FileInput>> {
        for (name, id) in &self.of(directory, since)?.files {
            if *id == mark.file {
                match FileInput::open(&directory.join(name)) {
                    Ok(input) if input.is_where(mark)? => return Ok(Some(input)),
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {} // renamed since
                }
            }
        }
        Ok(None)
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_serves_who_asks_for_nothing_newer_and_others_see_what_is_there_now() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), b"one\n").unwrap();
        let mark = FileInput::open(&dir.path().join("log"))
            .unwrap()
            .place(4)
            .unwrap()
            .mark();
        let (mut listings, before) = (Listings::default(), Instant::now());
        assert!(listings.find(dir.path(), &mark, before).unwrap().is_some());
        std::fs::rename(dir.path().join("log"), dir.path().join("log.1")).unwrap();
        assert!(listings.find(dir.path(), &mark, before).unwrap().is_none());
        let found = listings.find(dir.path(), &mark, Instant::now()).unwrap().unwrap();
        assert_eq!(found.path, dir.path().join("log.1"));
    }

    #[test]
    fn no_file_is_hidden_by_renames_while_the_directory_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..300 {
            std::fs::write(dir.path().join(format!("other-{number}")), b"").unwrap();
        }
        std::fs::write(dir.path().join("name-0"), b"x").unwrap();
        let wanted = FileInput::open(&dir.path().join("name-0")).unwrap().id().unwrap();
        let path = dir.path().to_owned();
        let renamer = std::thread::spawn(move || {
            for number in 0..300 {
                let name = |number: u32| path.join(format!("name-{number}"));
                std::fs::rename(name(number), name(number + 1)).unwrap();
                // A rotation renames a few files in a row, and is over then.
                let pause = if number % 20 == 19 { 3 * TICK } else { TICK / 50 };
                std::thread::sleep(pause);
            }
        });
        while !renamer.is_finished() {
            let listing = Listing::read(dir.path()).unwrap();
            assert!(listing.files.iter().any(|(_, id)| *id == wanted));
        }
        renamer.join().unwrap();
    }
}
