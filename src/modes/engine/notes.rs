//! The engine's places on disk, against reboots: which state may be written when, and the thread that writes.
//!
//! A state may be on disk only once all that it says was logged is on the drainer's disk too. So each commit's state is kept together with the
//! tail that it holds for until `synced` has passed that ([`Notes`]), and then goes to the [`Keeper`], whose thread writes each place file at most
//! once a second, whole or not at all. Engines log whether this works or not: what goes wrong here is said once.

use crate::exit::chain;
use crate::modes::engine::place_file::{PLACE_FILE_MAX, PlaceFile};
use crate::modes::engine::state::State;
use crate::os::clock;
use crate::os::disk::{self, DiskError};
use hog_ring::Writer;
use rustix::fs::{Access, access};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;
use uuid::Uuid;

/// How often places are written.
const EVERY: Duration = Duration::from_secs(1);
/// How long a run that ends waits for its last places to be written.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// States of one ring that wait for their sync at a time.
const WAITING_MAX: usize = 16;
/// Two states that are kept lie at least this far apart.
const APART: Duration = Duration::from_millis(50);

/// Where place files are kept, and who writes them.
pub struct Keeper {
    directory: Option<PathBuf>,
    boot: Uuid,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    due: Mutex<Due>,
    changed: Condvar,
}

#[derive(Default)]
struct Due {
    /// What is to be written, by file; without bytes: to be deleted.
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// Someone is writing.
    is_busy: bool,
    /// No more will come.
    is_last: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Keeps the places of `group` in the store `directory`. A store that was `asked` for must be usable; without the default one, places
    /// are not kept, and that is said.
    ///
    /// # Errors
    /// When the store that was asked for cannot be written to.
    pub fn new(store: &Path, is_asked: bool, group: &str) -> Result<Self, DiskError> {
        let directory = store.join("places").join(group);
        let usable = disk::make_directory(&directory).and_then(|()| {
            let denied = |error: rustix::io::Errno| disk::at("write to", &directory)(error.into());
            access(&directory, Access::WRITE_OK | Access::EXEC_OK).map_err(denied)
        });
        let directory = match usable {
            Ok(()) => Some(directory),
            Err(error) if is_asked => return Err(error),
            Err(error) => {
                warn!(
                    "{}: after a reboot, files will be logged from their beginning (-m names another directory)",
                    chain(&error)
                );
                None
            }
        };
        let keeper = Self {
            directory,
            boot: hog_ring::boot_id().unwrap_or_default(),
            shared: Arc::default(),
        };
        if keeper.directory.is_some() {
            let shared = Arc::clone(&keeper.shared);
            let writer = std::thread::Builder::new().name("places".to_owned());
            if let Err(error) = writer.spawn(move || write_all(&shared)) {
                warn!("no thread to keep places: {error}");
            }
        }
        Ok(keeper)
    }

    /// A keeper that keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            directory: None,
            boot: Uuid::nil(),
            shared: Arc::default(),
        }
    }

    fn path(&self, ring: &str) -> Option<PathBuf> {
        self.directory
            .as_ref()
            .map(|directory| directory.join(format!("{ring}.place")))
    }

    /// The state of the ring that `path` had before the last reboot, if that is known.
    #[must_use]
    pub fn after_reboot(&self, ring: &str, path: &Path) -> Option<State> {
        let place_file = self.path(ring)?;
        let mut bytes = Vec::new();
        let read =
            File::open(&place_file).and_then(|file| file.take(PLACE_FILE_MAX as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!("cannot read {}: {error}", place_file.display());
                return None;
            }
        }
        match PlaceFile::decode(&bytes) {
            Ok(place) => {
                let device = path.parent().and_then(|parent| parent.metadata().ok())?.dev();
                place.after_reboot(self.boot, path, device)
            }
            Err(error) => {
                warn!("{} is not gone on from: {error}", place_file.display());
                None
            }
        }
    }

    /// Deletes the place of a ring that was given up.
    pub fn forget(&self, ring: &str) {
        if let Some(path) = self.path(ring) {
            self.shared.lock().files.insert(path, None);
        }
    }

    fn keep(&self, ring: &str, place: &PlaceFile) {
        if let (Some(path), Some(bytes)) = (self.path(ring), place.encode()) {
            self.shared.lock().files.insert(path, Some(bytes));
        }
    }

    /// Has the last places written, and waits for that, but not for a disk that does not answer: they are as good as those of a second ago.
    pub fn finish(&self) {
        if self.directory.is_none() {
            return;
        }
        let mut due = self.shared.lock();
        due.is_last = true;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + LAST_WRITE;
        while due.is_busy || !due.files.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            due = self
                .shared
                .changed
                .wait_timeout(due, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// The thread that writes.
fn write_all(shared: &Shared) {
    let mut failed = false;
    loop {
        let began = Instant::now();
        let mut due = shared.lock();
        let (files, is_last) = (std::mem::take(&mut due.files), due.is_last);
        due.is_busy = !files.is_empty();
        drop(due);
        for (path, bytes) in files {
            let done = match bytes {
                Some(bytes) => disk::write_whole(&path, &bytes),
                None => disk::unlink(&path).map(drop),
            };
            match done {
                Err(error) if !failed => {
                    warn!("{}: after a reboot, lines will be logged again", chain(&error));
                    failed = true;
                }
                done => failed = done.is_err(),
            }
        }
        let mut due = shared.lock();
        due.is_busy = false;
        shared.changed.notify_all();
        if is_last && due.files.is_empty() {
            return;
        }
        while !due.is_last && began.elapsed() < EVERY {
            let left = EVERY.saturating_sub(began.elapsed());
            due = shared
                .changed
                .wait_timeout(due, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// The states of one ring that are not on disk yet.
pub struct Notes {
    keeper: Arc<Keeper>,
    ring: String,
    uuid: Uuid,
    path: PathBuf,
    /// Tails, and the states that hold for them, oldest first.
    waiting: VecDeque<(u64, State)>,
    /// When the last of them was begun.
    begun: Option<Instant>,
    published: Option<Instant>,
}

impl Notes {
    /// For `writer`, which logs the file at `path` into the ring called `ring`.
    #[must_use]
    pub fn new(keeper: &Arc<Keeper>, ring: &str, writer: &Writer, path: &Path) -> Self {
        Self {
            keeper: Arc::clone(keeper),
            ring: ring.to_owned(),
            uuid: writer.ring_uuid(),
            path: path.to_owned(),
            waiting: VecDeque::new(),
            begun: None,
            published: None,
        }
    }

    /// `state` holds for `tail`.
    pub fn committed(&mut self, tail: u64, state: &State) {
        if self.keeper.directory.is_none() {
            return;
        }
        let now = Instant::now();
        let is_apart = self.begun.is_none_or(|begun| now.duration_since(begun) >= APART);
        if self.waiting.len() >= 2 && !is_apart {
            self.waiting.pop_back(); // the one before it stays, so that something can be written soon
        } else {
            self.begun = Some(now);
        }
        self.waiting.push_back((tail, state.clone()));
        if self.waiting.len() > WAITING_MAX {
            let mut number = 0;
            self.waiting.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Has the newest state written that holds for what is on the drainer's disk; at most once in a second.
    pub fn publish(&mut self, synced: u64) {
        if self.waiting.is_empty() || self.published.is_some_and(|published| published.elapsed() < EVERY) {
            return;
        }
        self.publish_now(synced);
    }

    /// The same, at once.
    pub fn publish_now(&mut self, synced: u64) {
        let mut newest = None;
        while self.waiting.front().is_some_and(|(tail, _)| *tail <= synced) {
            newest = self.waiting.pop_front();
        }
        let Some((position, state)) = newest else { return };
        self.published = Some(Instant::now());
        let place = PlaceFile {
            boot: self.keeper.boot,
            ring: self.uuid,
            position,
            written: clock::now_ns(),
            path: self.path.clone(),
            state,
        };
        self.keeper.keep(&self.ring, &place);
    }
}
