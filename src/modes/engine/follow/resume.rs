//! How a track finds its files again: after an earlier run, and after rotations that nobody saw.

use super::Shared;
use super::elsewhere::Known;
use super::next::{Found, GoOn, go_on};
use super::reading::Reading;
use super::track::Track;
use crate::modes::engine::input::FileInput;
use crate::modes::engine::ring;
use crate::modes::engine::state::{FileId, Mark};
use hog_ring::{Error as RingError, Resume};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
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
            self.former = path.parent().filter(|_| !path.exists()).and_then(born_now);
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
        shared.taken.register(self.number, &self.state);
    }

    /// Opens the files that the state tells of.
    pub fn go_on(&mut self, shared: &mut Shared<'_>) {
        self.find_late(shared);
        let Some(mark) = self.state.current.take() else { return };
        if self.is_taken_over(shared, &mark) {
            self.former = Some(mark.file);
            return;
        }
        let Sought {
            at_name,
            input,
            elsewhere,
            other,
        } = self.seek(shared, &mark);
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
                shared.taken.open(reading.id(), self.number);
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

    /// Looks for the file that was logged up to `mark`, more than once before it is said to be gone: it may be renamed at this moment.
    fn seek(&self, shared: &mut Shared<'_>, mark: &Mark) -> Sought {
        let mut since = shared.listed_since;
        for tries_left in (0..TRIES).rev() {
            let (at_name, input) = look_for(FileInput::open(&self.name.path).ok(), mark);
            let other = if at_name == Found::Sound {
                None
            } else {
                self.find(shared, mark, since)
            };
            let elsewhere = if other.is_some() { Found::Sound } else { Found::Nothing };
            if at_name != Found::Nothing || other.is_some() || tries_left == 0 {
                return Sought {
                    at_name,
                    input,
                    elsewhere,
                    other,
                };
            }
            std::thread::sleep(BETWEEN_TRIES);
            since = Instant::now();
        }
        Sought::default()
    }

    /// Whether another ring is further with the file of `mark`, so that this one's word of it is out of date.
    fn is_taken_over(&self, shared: &mut Shared<'_>, mark: &Mark) -> bool {
        !shared.taken.is_of(&mark.file, self.number) || shared.ask_elsewhere(&mark.file) == Known::Done
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
    fn find_late(&mut self, shared: &mut Shared<'_>) {
        let marks = std::mem::take(&mut self.state.late);
        for mark in marks {
            if self.is_taken_over(shared, &mark) {
                continue;
            }
            let input = match look_for(FileInput::open(&self.name.path).ok(), &mark) {
                (Found::Sound, input) => input,
                _ => self.find(shared, &mark, shared.listed_since),
            };
            match input.map(|input| at(shared, input, &mark)) {
                Some(Ok(reading)) => {
                    shared.taken.open(reading.id(), self.number);
                    self.state.late.push(reading.place.mark());
                    self.late.push(reading);
                }
                _ => self.state.done_with(&mark.file),
            }
        }
    }

    /// The directories in which a rotated file of this name may lie, and what the file was called there: that of the name, and, if it is a
    /// link, that of what it leads to.
    pub(super) fn directories(&self) -> Vec<(PathBuf, String)> {
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

    fn find(&self, shared: &mut Shared<'_>, mark: &Mark, since: Instant) -> Option<FileInput> {
        self.directories()
            .iter()
            .find_map(|(directory, _)| match shared.listings.find(directory, mark, since) {
                Ok(found) => found,
                Err(error) => {
                    warn!("cannot look through {}: {error}", directory.display());
                    None
                }
            })
    }
}

/// How often a file is looked for before it is said to be gone.
const TRIES: usize = 3;
/// The pause between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Changes that lie closer together than this may have the same time.
const TICK: Duration = Duration::from_millis(10);

/// What a file would be that was born now in `directory`: what appears later, and is renamed before anybody looks, is found by that.
fn born_now(directory: &Path) -> Option<FileId> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(TICK)?;
    Some(FileId {
        device: directory.metadata().ok()?.dev(),
        inode: 0,
        born: u64::try_from(since.as_nanos()).ok()?,
    })
}

/// What was found of a file.
struct Sought {
    at_name: Found,
    /// What the name shows.
    input: Option<FileInput>,
    elsewhere: Found,
    /// The file under another name.
    other: Option<FileInput>,
}

impl Default for Sought {
    fn default() -> Self {
        Self {
            at_name: Found::Nothing,
            input: None,
            elsewhere: Found::Nothing,
            other: None,
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
