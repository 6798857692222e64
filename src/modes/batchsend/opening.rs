//! Opening a group: its locks, its spool, who is owed what, and what earlier sessions left that is gone.

use super::inherit::{Inherited, inherit, is_rebuilt};
use super::older::{self, Older};
use super::{BatchsendOptions, spool_directory};
use crate::exit::{ExitStatus, Failure};
use crate::formats::lock_record::SpoolIdentity;
use crate::modes::drainer::opening::{RingDirectory, RingPlace};
use crate::modes::store::{Store, database_failure, lock_failure};
use crate::os::clock;
use crate::os::disk;
use crate::os::lock::DirectoryLock;
use crate::stages::spool::room::Bounds;
use crate::stages::spool::{REFUSED, Spool, SpoolError, SpoolIndex};
use hogstat::NewSpool;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tracing::warn;

/// A group whose locks and spool are had.
pub(super) struct OpenedGroup {
    pub(super) place: RingPlace,
    pub(super) spool: Spool,
    pub(super) rings: RingDirectory,
    pub(super) inherited: Inherited,
    pub(super) older: Older,
    /// What was damaged in its spools: the directory, and in words what came of it.
    pub(super) damages: Vec<(String, String)>,
}

/// Says what is damaged in the spool in `directory`.
pub(super) fn damages_in(directory: &Path, damages: Vec<String>) -> Vec<(String, String)> {
    let object = directory.display().to_string();
    let said = damages.into_iter().inspect(|damage| warn!("{object}: {damage}"));
    said.map(|damage| (object.clone(), damage)).collect()
}

impl OpenedGroup {
    /// Its spools, the present one last, with who they are to receivers.
    pub(super) fn indexes(&self) -> Vec<(Arc<SpoolIndex>, SpoolIdentity)> {
        let older = self.older.spools.iter();
        let older = older.map(|older| (Arc::clone(&older.index), older.identity));
        older
            .chain([(Arc::clone(self.spool.index()), self.spool.identity())])
            .collect()
    }
}

pub(super) fn open_group(options: &BatchsendOptions, store: &mut Store, group: &str) -> Result<OpenedGroup, Failure> {
    let place = RingPlace {
        group: group.to_owned(),
        shm_dir: options.shm_dir.clone(),
        shm_group: options.shm_group,
    };
    let rings = RingDirectory::open(&place)?;
    if let RingDirectory::Closed { words, .. } = &rings
        && options.drain_and_exit
    {
        // Nobody can say what would have to be drained, and nobody waits for it to be opened.
        return Err(Failure::new(ExitStatus::Failed, words));
    }
    let directory = spool_directory(&options.spool, group);
    disk::make_directory(&directory)
        .and_then(|()| disk::sync_up_from(&directory, &directory))
        .map_err(|error| Failure::of(&error))?;
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
            "{words} (noted in {}): give this sender another spool directory, or this spool another identity (hog recover \
             --new-identity {})",
            path.display(),
            directory.display()
        );
        return Err(Failure::new(ExitStatus::Unsafe, words));
    }
    let mut runs = Spool::runs_in(&directory).map_err(|error| spool_failure(&error))?;
    let identity = lock
        .raise_epoch(runs.last().copied())
        .map_err(|error| Failure::of(&error))?;
    let earlier = older::runs_of(&store.stat, group)?;
    let is_rebuilt = is_rebuilt(store, group, &directory, runs.len())?;
    runs.push(identity);
    let owed = owed_to(store, group, &directory, &runs, &options.destinations)?;
    let bounds = bounds_of(options, &directory)?;
    lock.note_bound(bounds.max).map_err(|error| Failure::of(&error))?;
    let opened = Spool::open(Arc::new(lock), &directory, group, identity, bounds, owed)
        .map_err(|error| spool_failure(&error))?;
    let mut damages = damages_in(&directory, opened.damages);
    let mut older = older::open(options, store, group, &earlier, (identity.sender, &directory))?;
    let inherited = inherit(
        options,
        store,
        group,
        &rings,
        (&opened.spool, &directory),
        &older,
        is_rebuilt,
    )?;
    damages.append(&mut older.damages);
    let group = OpenedGroup {
        place,
        spool: opened.spool,
        rings,
        inherited,
        older,
        damages,
    };
    for (index, identity) in group.indexes() {
        remember_acknowledged(store, &index, identity)?;
    }
    let indexes: Vec<_> = group.indexes().into_iter().map(|(index, _)| index).collect();
    SpoolIndex::join(&indexes, !group.older.obstacles.is_empty());
    Ok(group)
}

/// Tells a spool what its destinations had, so that one that lost it is known from a new one.
fn remember_acknowledged(store: &Store, index: &SpoolIndex, identity: SpoolIdentity) -> Result<(), Failure> {
    for destination in index.destinations() {
        let acked = store.stat.acknowledged(identity.sender.0, &destination);
        index.remember_acknowledged(&destination, acked.map_err(|error| database_failure(&error))?);
    }
    Ok(())
}

/// What the spool in `directory` may take.
fn bounds_of(options: &BatchsendOptions, directory: &Path) -> Result<Bounds, Failure> {
    let max = match options.spool_max {
        Some(max) => max,
        None => {
            let total = disk::file_system_bytes(directory).map_err(|error| Failure::of(&error))?;
            Bounds::default_max(total, options.groups.len())
        }
    };
    Ok(Bounds {
        max,
        on_full: options.on_full,
        retain: options.retain,
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

pub(super) fn spool_failure(error: &SpoolError) -> Failure {
    match error {
        SpoolError::Lock(error) => lock_failure(error),
        other => Failure::of(other),
    }
}
