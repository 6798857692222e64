//! How a track finds its files again: after an earlier run, and after rotations that nobody saw.

use super::Shared;
use super::elsewhere::Known;
use super::next::{Found, GoOn, go_on};
use super::reading::Reading;
use super::rotated::missed;
use super::track::Track;
use crate::modes::engine::input::{FileInput, find_in};
use crate::modes::engine::ring;
use crate::modes::engine::state::{FileId, Mark};
use hog_ring::{Error as RingError, Resume};
use std::path::{Path, PathBuf};
use tracing::{info, warn};

impl Track {
    /// Takes the ring that an earlier run left, and what it knows. Without one, the ring is made when there is something to log.
    ///
    /// # Errors
    /// When the ring is there and cannot be had, or is not there and must be.
    pub fn take_ring(&mut self, shared: &mut Shared<'_>, resume: Resume) -> Result<(), RingError> {
        let path = &self.name.path;
        let is_known =
            ring::exists(&shared.group, &self.ring_name) || shared.keeper.after_reboot(&self.ring_name, path).is_some();
        if !is_known && (resume != Resume::Require || path.metadata().is_err()) {
            return Ok(());
        }
        let mut ring = ring::take(&shared.group, &self.ring_name, path, resume, &shared.keeper)?;
        self.state = ring.state.take().unwrap_or_default();
        shared.is_degraded |= ring.is_foreign;
        self.ring = Some(ring);
        self.register(shared);
        Ok(())
    }

    /// Makes known to the other tracks which files this one has.
    pub(super) fn register(&self, shared: &mut Shared<'_>) {
        let marks = self.state.current.iter().chain(&self.state.late);
        let digests = marks.map(|mark| mark.file.digest());
        let digests: Vec<u64> = digests.chain(self.state.done.iter().copied()).collect();
        shared
            .taken
            .extend(digests.into_iter().map(|digest| (digest, self.number)));
    }

    /// Opens the files that the state tells of.
    pub fn go_on(&mut self, shared: &mut Shared<'_>) {
        self.find_late();
        let Some(mark) = self.state.current.take() else {
            self.former = self.late.last().map(|late| *late.id());
            return;
        };
        let (at_name, input) = look_for(FileInput::open(&self.name.path).ok(), &mark);
        let (elsewhere, other) = match at_name {
            Found::Sound => (Found::Nothing, None),
            _ => self
                .find(&mark)
                .map_or((Found::Nothing, None), |other| (Found::Sound, Some(other))),
        };
        let reading = match go_on(at_name, elsewhere) {
            GoOn::AtName => input.map(|input| at(shared, input, &mark)),
            GoOn::Elsewhere => {
                if let Some(other) = &other {
                    let name = self.name.path.display();
                    info!("{name} was replaced: finishing {} first", other.path.display());
                }
                other.map(|other| at(shared, other, &mark))
            }
            GoOn::Anew => {
                self.report_lost(shared, &mark, "was truncated or written anew");
                input.map(|input| Reading::new(input, 0))
            }
            GoOn::Lost => {
                self.report_lost(shared, &mark, "is not in its directory any more");
                None
            }
        };
        match reading {
            Some(Ok(reading)) => {
                self.state.current = Some(reading.place.mark());
                self.reading = Some(reading);
            }
            Some(Err(error)) => {
                self.report_lost(shared, &mark, &format!("cannot be read ({error})"));
                self.give_up(&mark.file);
            }
            None => self.give_up(&mark.file),
        }
    }

    fn give_up(&mut self, file: &FileId) {
        self.former = Some(*file);
        self.state.done_with(file);
    }

    fn report_lost(&self, shared: &mut Shared<'_>, mark: &Mark, words: &str) {
        warn!(
            "{}: the file that was logged up to byte {} {words}: what it had beyond is not logged",
            self.name.path.display(),
            mark.offset
        );
        shared.is_degraded = true;
    }

    /// Opens the files again that were left and might still grow. One that cannot be found is only remembered.
    fn find_late(&mut self) {
        let marks = std::mem::take(&mut self.state.late);
        for mark in marks {
            let input = match look_for(FileInput::open(&self.name.path).ok(), &mark) {
                (Found::Sound, input) => input,
                _ => self.find(&mark),
            };
            match input.map(|input| Reading::new(input, mark.offset)) {
                Some(Ok(reading)) => {
                    self.state.late.push(mark);
                    self.late.push(reading);
                }
                _ => self.state.done_with(&mark.file),
            }
        }
    }

    /// The directories in which a rotated file of this name may lie, and what the file was called there: that of the name, and, if it is a
    /// link, that of what it leads to.
    fn directories(&self) -> Vec<(PathBuf, String)> {
        let target = self.name.path.canonicalize().ok();
        let mut all: Vec<(PathBuf, String)> = [Some(self.name.path.clone()), target]
            .into_iter()
            .flatten()
            .filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some((path.parent()?.to_owned(), name))
            })
            .collect();
        all.dedup();
        all
    }

    fn find(&self, mark: &Mark) -> Option<FileInput> {
        self.directories()
            .iter()
            .find_map(|(directory, _)| match find_in(directory, mark) {
                Ok(found) => found,
                Err(error) => {
                    warn!("cannot look through {}: {error}", directory.display());
                    None
                }
            })
    }

    /// Has the files wait that had the name between the file that was logged last and the one that it shows now.
    pub(super) fn find_missed(&mut self, shared: &mut Shared<'_>) {
        let Some(former) = self.former.take() else { return };
        let present = std::fs::metadata(&self.name.path)
            .ok()
            .map(|metadata| FileId::of(&metadata));
        for (directory, name) in self.directories() {
            let files = files_in(&directory);
            for number in missed(&name, &former, present.as_ref(), &files) {
                let (file_name, id) = &files[number];
                if shared.taken.contains_key(&id.digest()) || shared.ask_elsewhere(id) != Known::No {
                    continue;
                }
                let path = directory.join(file_name);
                match FileInput::open(&path).and_then(|input| Reading::new(input, 0)) {
                    Ok(reading) if reading.id() == id => {
                        info!("{} was {} for a while: logging it too", path.display(), name);
                        shared.taken.insert(id.digest(), self.number);
                        self.waiting.push_back(reading);
                    }
                    Ok(_) => {} // renamed meanwhile: what it was is looked for again when the next file is begun
                    Err(error) => warn!("cannot read {}, which was {name} for a while: {error}", path.display()),
                }
            }
        }
    }
}

/// Whether `input` is the file that was logged up to `mark`.
fn look_for(input: Option<FileInput>, mark: &Mark) -> (Found, Option<FileInput>) {
    let Some(input) = input else {
        return (Found::Nothing, None);
    };
    match (input.id(), input.is_where(mark)) {
        (Ok(_), Ok(true)) => (Found::Sound, Some(input)),
        (Ok(id), _) if id == mark.file => (Found::Rewritten, Some(input)),
        _ => (Found::Nothing, None),
    }
}

/// Goes on in `input` at `mark`, or further if another ring knows more of it.
fn at(shared: &mut Shared<'_>, input: FileInput, mark: &Mark) -> std::io::Result<Reading> {
    let offset = match shared.ask_elsewhere(&mark.file) {
        Known::UpTo(further) if further.offset > mark.offset && input.is_where(&further)? => further.offset,
        _ => mark.offset,
    };
    Reading::new(input, offset)
}

fn files_in(directory: &Path) -> Vec<(String, FileId)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((entry.file_name().into_string().ok()?, FileId::of(&metadata)))
        })
        .collect()
}
