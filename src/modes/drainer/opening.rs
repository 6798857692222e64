//! What comes before draining a group: the lock of its ring directory, its doorbell, and what earlier sessions left that is gone.

use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::table::{StreamState, Table};
use crate::ids::StreamId;
use crate::modes::store::{Store, database_failure, lock_failure};
use crate::os::clock;
use crate::os::lock::{DirectoryLock, LockError};
use hog_ring::doorbell::Doorbell;
use hog_ring::reader::{OpenError, RingReader};
use hog_ring::{GroupOptions, ShmGroup};
use hogstat::RegionState;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;
use uuid::Uuid;

/// Where the rings of a group are, or are to be.
#[derive(Clone, Debug)]
pub struct RingPlace {
    /// The group.
    pub group: String,
    /// The directory on tmpfs below which rings lie.
    pub shm_dir: PathBuf,
    /// With whom they are shared.
    pub shm_group: Option<ShmGroup>,
}

impl RingPlace {
    /// The directory of the rings.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        hog_ring::group_dir(&self.shm_dir, &self.group)
    }
}

/// The ring directory of a group whose one drainer is in this process.
pub struct OpenedRings {
    /// The directory.
    pub directory: PathBuf,
    /// Its lock.
    pub lock: Arc<DirectoryLock>,
    /// By which producers wake the drainer.
    pub doorbell: Doorbell,
}

/// What became of an attempt to open a ring directory.
pub enum RingDirectory {
    /// It is had.
    Opened(OpenedRings),
    /// Somebody else's producers came first, and did not share it. What is spooled is shipped all the same, and it is tried again.
    Closed {
        /// Why it cannot be used.
        words: String,
    },
}

impl RingDirectory {
    /// Makes the ring directory of a group if need be, and takes it.
    ///
    /// # Errors
    /// When somebody else drains it, or it is not on tmpfs.
    pub fn open(place: &RingPlace) -> Result<Self, Failure> {
        let closed = |words| Ok(Self::Closed { words });
        let mut options = GroupOptions::new(&place.group).shm_dir(&place.shm_dir);
        if let Some(shm_group) = place.shm_group {
            options = options.shm_group(shm_group);
        }
        let rings = match options.open() {
            Ok(rings) => rings,
            Err(error) if error.is_permission() => return closed(chain(&error)),
            Err(error) => return Err(ring_failure(&error)),
        };
        let directory = rings.directory().to_owned();
        let lock = match DirectoryLock::take(&directory) {
            Ok(lock) => lock,
            Err(LockError::Disk(error)) if error.source.kind() == ErrorKind::PermissionDenied => {
                return closed(chain(&error));
            }
            Err(error) => return Err(lock_failure(&error)),
        };
        if let Some(shm_group) = place.shm_group
            && let Some(file) = lock.descriptor()
            && let Err(error) = shm_group.share_file(file, &directory.join("lock"))
        {
            return closed(chain(&error)); // the next drainer, of another user, could not take it
        }
        let doorbell = Doorbell::open(&directory).map_err(|error| ring_failure(&error))?;
        Ok(Self::Opened(OpenedRings {
            directory,
            lock: Arc::new(lock),
            doorbell,
        }))
    }
}

/// A region of an earlier session whose ring is nowhere.
pub struct LostRegion {
    /// The ring's uuid.
    pub ring: Uuid,
    /// Position up to which it was drained.
    pub position: u64,
    /// What is lost.
    pub words: String,
}

/// The regions that earlier sessions left unfinished and whose memory is gone. `table` is what the group's log holds. As long as a ring, or all
/// of them, cannot be read, nobody knows what is gone: a later run looks again.
///
/// # Errors
/// When the database or the ring directory cannot be read.
pub fn lost_regions(
    store: &mut Store,
    group: &str,
    rings: &RingDirectory,
    table: &Table,
) -> Result<Vec<LostRegion>, Failure> {
    let unfinished = store
        .stat
        .unfinished_regions(group)
        .map_err(|error| database_failure(&error))?;
    let RingDirectory::Opened(rings) = rings else {
        return Ok(Vec::new());
    };
    if unfinished.is_empty() {
        return Ok(Vec::new());
    }
    let Some(here) = streams_in(&rings.directory)? else {
        return Ok(Vec::new());
    };
    let mut lost = Vec::new();
    for region in unfinished.into_iter().filter(|region| !here.contains(&region.ring)) {
        let held = table.streams.get(&StreamId(region.ring));
        let position = held.map_or(region.position, |held| held.end.max(region.position));
        if held.is_some_and(|held| held.state == StreamState::Ended) {
            // Killed between the ring's end and the note of it.
            let ended = store.stat.region_state(
                store.session,
                region.ring,
                RegionState::Ended,
                position,
                clock::now_db(),
            );
            ended.map_err(|error| database_failure(&error))?;
            continue;
        }
        let words = format!(
            "the memory of ring {} ({}) of group {group} is gone; it was drained up to position {position}, and what was \
             logged beyond is lost",
            region.name, region.path
        );
        warn!("{words}");
        lost.push(LostRegion {
            ring: region.ring,
            position,
            words,
        });
    }
    Ok(lost)
}

/// The streams whose rings can be read.
///
/// # Errors
/// When the ring directory cannot be read.
pub fn readable_streams(rings: &RingDirectory) -> Result<Vec<StreamId>, Failure> {
    let RingDirectory::Opened(rings) = rings else {
        return Ok(Vec::new());
    };
    let directory = &rings.directory;
    let paths = hog_ring::ring_files(directory).map_err(|error| cannot_list(directory, &error))?;
    let readers = paths.iter().filter_map(|path| RingReader::open(path).ok());
    Ok(readers.map(|ring| StreamId(ring.identity().uuid)).collect())
}

/// The first ring that has given up what the log lacks, whose `table` this is, in words: somebody else took it. Also of a stream that the log does
/// not know: once it does, it takes in nothing before the positions that it has.
///
/// # Errors
/// When the ring directory cannot be read.
pub fn first_hole(rings: &RingDirectory, table: &Table, log: &str) -> Result<Option<String>, Failure> {
    let RingDirectory::Opened(rings) = rings else {
        return Ok(None);
    };
    let directory = &rings.directory;
    let paths = hog_ring::ring_files(directory).map_err(|error| cannot_list(directory, &error))?;
    for ring in paths.iter().filter_map(|path| RingReader::open(path).ok()) {
        let Ok(head) = ring.sound_head() else {
            continue; // it will be given up
        };
        let end = match table.streams.get(&StreamId(ring.identity().uuid)) {
            Some(held) if held.state == StreamState::Ended => continue,
            Some(held) => held.end,
            None => 0,
        };
        if end < head {
            return Ok(Some(words_of_hole(ring.path(), end, head, log)));
        }
    }
    Ok(None)
}

/// What to say of a ring whose `head` is beyond the `end` of what the log has of it.
#[must_use]
pub(super) fn words_of_hole(ring: &Path, end: u64, head: u64, log: &str) -> String {
    format!(
        "{}: positions {end} to {head} were drained before, and are not in this {log}: have the hog that drained them deliver \
         them here first, or give them up with --accept-gaps",
        ring.display()
    )
}

fn cannot_list(directory: &Path, error: &std::io::Error) -> Failure {
    let words = format!("cannot list {}: {error}", directory.display());
    Failure::new(ExitStatus::Failed, words)
}

/// The streams whose rings are in `directory`. `None`: there is a ring that this user may not read.
fn streams_in(directory: &Path) -> Result<Option<Vec<Uuid>>, Failure> {
    let paths = hog_ring::ring_files(directory).map_err(|error| cannot_list(directory, &error))?;
    let mut here = Vec::with_capacity(paths.len());
    for path in paths {
        match RingReader::open(&path) {
            Ok(ring) => here.push(ring.identity().uuid),
            Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => return Ok(None),
            Err(_) => {} // it holds nothing that could be drained
        }
    }
    Ok(Some(here))
}

fn ring_failure(error: &hog_ring::Error) -> Failure {
    let status = match error {
        hog_ring::Error::NotTmpfs { .. } => ExitStatus::Unsafe,
        _ => ExitStatus::Failed,
    };
    Failure::new(status, chain(error))
}
