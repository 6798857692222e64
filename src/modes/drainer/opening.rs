//! What comes before draining a group: the lock of its ring directory, its doorbell, and what earlier sessions left that is gone.

use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::table::{StreamState, Table};
use crate::ids::StreamId;
use crate::modes::store::{Store, database_failure, lock_failure};
use crate::os::clock;
use crate::os::lock::DirectoryLock;
use hog_ring::GroupOptions;
use hog_ring::doorbell::Doorbell;
use hogstat::RegionState;
use std::path::{Path, PathBuf};
use tracing::warn;

/// The ring directory of a group whose one drainer is in this process.
pub struct OpenedRings {
    /// The directory.
    pub directory: PathBuf,
    /// Its lock.
    pub lock: DirectoryLock,
    /// By which producers wake the drainer.
    pub doorbell: Doorbell,
}

/// Makes the ring directory of `group` if need be, and takes it.
///
/// # Errors
/// When somebody else drains it, or it is not on tmpfs.
pub fn open_rings(group: &str, shm_dir: &Path) -> Result<OpenedRings, Failure> {
    let rings = GroupOptions::new(group)
        .shm_dir(shm_dir)
        .open()
        .map_err(|error| ring_failure(&error))?;
    let directory = rings.directory().to_owned();
    let lock = DirectoryLock::take(&directory).map_err(|error| lock_failure(&error))?;
    let doorbell = Doorbell::open(&directory).map_err(|error| {
        Failure::new(
            ExitStatus::Failed,
            format!("cannot open the doorbell in {}: {error}", directory.display()),
        )
    })?;
    Ok(OpenedRings {
        directory,
        lock,
        doorbell,
    })
}

/// A region of an earlier session whose ring is nowhere.
pub struct LostRegion {
    /// The ring's uuid.
    pub ring: uuid::Uuid,
    /// Position up to which it was drained.
    pub position: u64,
    /// What is lost.
    pub words: String,
}

/// The regions that earlier sessions left unfinished and whose memory is gone. `table` is what the group's log holds.
///
/// # Errors
/// When the database or the ring directory cannot be read.
pub fn lost_regions(
    store: &mut Store,
    group: &str,
    ring_directory: &Path,
    table: &Table,
) -> Result<Vec<LostRegion>, Failure> {
    let unfinished = store
        .stat
        .unfinished_regions(group)
        .map_err(|error| database_failure(&error))?;
    if unfinished.is_empty() {
        return Ok(Vec::new());
    }
    let here: Vec<_> = hog_ring::ring_files(ring_directory)
        .map_err(|error| {
            Failure::new(
                ExitStatus::Failed,
                format!("cannot list {}: {error}", ring_directory.display()),
            )
        })?
        .iter()
        .filter_map(|path| hog_ring::reader::RingReader::open(path).ok())
        .map(|ring| ring.identity().uuid)
        .collect();
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

fn ring_failure(error: &hog_ring::Error) -> Failure {
    let status = match error {
        hog_ring::Error::NotTmpfs { .. } => ExitStatus::Unsafe,
        _ => ExitStatus::Failed,
    };
    Failure::new(status, chain(error))
}
