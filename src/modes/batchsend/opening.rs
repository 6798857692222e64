//! Opening a group: its locks, its spool, who is owed what, and what earlier sessions left that is gone.

use super::{BatchsendOptions, spool_directory};
use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::lock_record::SpoolIdentity;
use crate::formats::table::{StreamState, Table};
use crate::ids::StreamId;
use crate::limits::SEGMENT_BYTES;
use crate::modes::store::{Store, database_failure, lock_failure};
use crate::os::clock;
use crate::os::disk;
use crate::os::lock::DirectoryLock;
use crate::stages::spool::{REFUSED, Spool, SpoolError, SpoolIndex};
use hog_ring::GroupOptions;
use hog_ring::doorbell::Doorbell;
use hogstat::{NewSpool, RegionState};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;

/// A region of an earlier session whose ring is nowhere.
pub(super) struct LostRegion {
    pub(super) ring: uuid::Uuid,
    pub(super) position: u64,
    pub(super) words: String,
}

/// A group whose locks and spool are had.
pub(super) struct OpenedGroup {
    pub(super) name: String,
    pub(super) spool: Spool,
    pub(super) ring_directory: PathBuf,
    pub(super) ring_lock: DirectoryLock,
    pub(super) doorbell: Doorbell,
    pub(super) lost: Vec<LostRegion>,
}

impl OpenedGroup {
    pub(super) fn index(&self) -> Arc<SpoolIndex> {
        Arc::clone(self.spool.index())
    }
}

pub(super) fn open_group(options: &BatchsendOptions, store: &mut Store, group: &str) -> Result<OpenedGroup, Failure> {
    let rings = GroupOptions::new(group)
        .shm_dir(&options.shm_dir)
        .open()
        .map_err(|error| ring_failure(&error))?;
    let ring_directory = rings.directory().to_owned();
    let ring_lock = DirectoryLock::take(&ring_directory).map_err(|error| lock_failure(&error))?;
    let doorbell = Doorbell::open(&ring_directory).map_err(|error| {
        Failure::new(
            ExitStatus::Failed,
            format!("cannot open the doorbell in {}: {error}", ring_directory.display()),
        )
    })?;
    let directory = spool_directory(&options.spool, group);
    disk::make_directory(&directory).map_err(|error| Failure::of(&error))?;
    let directory = std::fs::canonicalize(&directory).map_err(|error| {
        Failure::new(
            ExitStatus::Failed,
            format!("cannot resolve {}: {error}", directory.display()),
        )
    })?;
    let lock = DirectoryLock::take(&directory).map_err(|error| lock_failure(&error))?;
    if let Some(words) = Spool::refusal_in(&directory).map_err(|error| Failure::of(&error))? {
        let path = directory.join(REFUSED);
        let words = format!(
            "{words} (noted in {}): give this sender another spool directory",
            path.display()
        );
        return Err(Failure::new(ExitStatus::Unsafe, words));
    }
    let mut runs = Spool::runs_in(&directory).map_err(|error| spool_failure(&error))?;
    let identity = lock
        .raise_epoch(runs.last().copied())
        .map_err(|error| Failure::of(&error))?;
    runs.push(identity);
    let owed = owed_to(store, group, &directory, &runs, &options.destinations)?;
    let opened = Spool::open(Arc::new(lock), &directory, group, identity, SEGMENT_BYTES, owed)
        .map_err(|error| spool_failure(&error))?;
    for damage in &opened.damages {
        warn!("spool of group {group}: {damage}");
        store
            .stat
            .record_fault(store.session, &directory.display().to_string(), damage, clock::now_db())
            .map_err(|error| database_failure(&error))?;
    }
    let lost = lost_regions(store, group, &ring_directory, opened.spool.table())?;
    Ok(OpenedGroup {
        name: group.to_owned(),
        spool: opened.spool,
        ring_directory,
        ring_lock,
        doorbell,
        lost,
    })
}

/// The destinations of the runs of a spool. This run, and those that the database does not know (it was lost), go to the destinations
/// named now, and are recorded so before anything is shipped: a later session with other destinations must not take their backlog away.
fn owed_to(
    store: &mut Store,
    group: &str,
    directory: &Path,
    runs: &[SpoolIdentity],
    now: &[String],
) -> Result<HashMap<u64, Vec<String>>, Failure> {
    let mut owed = HashMap::new();
    for run in runs {
        let named = store
            .stat
            .destinations_of(run.sender.0, run.epoch)
            .map_err(|error| database_failure(&error))?;
        let destinations = match named {
            // A run of this number that is known and is not ours: only a copied spool has that, and recording it again says so.
            Some(named) if Some(run) != runs.last() => named,
            _ => {
                let new = NewSpool {
                    group,
                    directory: &directory.display().to_string(),
                    sender: run.sender.0,
                    epoch: run.epoch,
                    destinations: now,
                };
                store
                    .stat
                    .register_spool(store.session, &new, clock::now_db())
                    .map_err(|error| database_failure(&error))?;
                now.to_vec()
            }
        };
        owed.insert(run.epoch, destinations);
    }
    Ok(owed)
}

/// The regions that earlier sessions left unfinished and whose memory is gone.
fn lost_regions(
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

fn spool_failure(error: &SpoolError) -> Failure {
    match error {
        SpoolError::Lock(error) => lock_failure(error),
        other => Failure::of(other),
    }
}
