//! The spools that earlier sessions of this store filled in other directories: each that still has something is opened, to be shipped before what
//! the present one gets.
//!
//! One that cannot be had (its directory is gone, somebody else holds it, a receiver refused it) is an obstacle: it is said, and nothing is
//! forgotten at receivers while it may still hold something.

use super::BatchsendOptions;
use super::opening::{damages_in, spool_failure};
use crate::exit::{Failure, chain};
use crate::ids::OwnerId;
use crate::modes::store::{Store, database_failure};
use crate::os::clock;
use crate::os::lock::{self, DirectoryLock};
use crate::stages::spool::Spool;
use crate::stages::spool::older::OlderSpool;
use hogstat::{SpoolRun, Stat};
use std::collections::HashMap;
use std::path::Path;
use tracing::warn;
use uuid::Uuid;

/// What there is besides the present spool.
#[derive(Default)]
pub(super) struct Older {
    /// The spools, in the order in which they were last used.
    pub(super) spools: Vec<OlderSpool>,
    /// What cannot be had, in words.
    pub(super) obstacles: Vec<String>,
    /// What was damaged in the spools, by directory.
    pub(super) damages: Vec<(String, String)>,
    /// The earlier runs of the group, oldest first, by spool and number.
    pub(super) runs: Vec<(Uuid, u64)>,
}

/// The last run of each spool other than `current`, in its directory, that may still hold something, oldest first. A spool that was in the
/// directory of the present one is that one by another name, or is gone.
pub(crate) fn others<'a>(runs: &'a [SpoolRun], (current, directory): (Uuid, &Path)) -> Vec<&'a SpoolRun> {
    let is_other = |run: &&SpoolRun| run.sender != current && Path::new(&run.directory) != directory;
    let mut last: Vec<&SpoolRun> = Vec::new();
    for run in runs.iter().filter(is_other).filter(|run| !run.emptied) {
        last.retain(|known| known.sender != run.sender);
        last.push(run);
    }
    last
}

/// Opens them. `runs` are the runs of the group before this session's.
pub(super) fn open(
    options: &BatchsendOptions,
    store: &mut Store,
    group: &str,
    runs: &[SpoolRun],
    (current, directory): (OwnerId, &Path),
) -> Result<Older, Failure> {
    let mut older = Older {
        runs: runs.iter().map(|run| (run.sender, run.epoch)).collect(),
        ..Older::default()
    };
    for run in others(runs, (current.0, directory)) {
        let directory = Path::new(&run.directory);
        match take(directory, run.sender) {
            Err(words) => {
                let words = format!(
                    "the spool that session {} left in {} cannot be shipped: {words}",
                    run.session, run.directory
                );
                warn!("group {group}: {words}");
                older.obstacles.push(words);
            }
            Ok(lock) if Spool::is_empty_in(directory).map_err(|error| spool_failure(&error))? => {
                drop(lock);
                let emptied = store.stat.spool_emptied(run.sender, clock::now_db());
                emptied.map_err(|error| database_failure(&error))?;
            }
            Ok(lock) => {
                let mut opened = open_one(options, store, lock, directory)?;
                let damages = std::mem::take(&mut opened.damages);
                older.damages.extend(damages_in(directory, damages));
                older.spools.push(opened);
            }
        }
    }
    Ok(older)
}

/// Takes the lock of a spool, if it is the one that was left there.
fn take(directory: &Path, sender: Uuid) -> Result<DirectoryLock, String> {
    if !directory.is_dir() {
        return Err("its directory is not there".to_owned());
    }
    let lock = DirectoryLock::take(directory).map_err(|error| chain(&error))?;
    if let Some(words) = Spool::refusal_in(directory).map_err(|error| chain(&error))? {
        return Err(words);
    }
    let runs = Spool::runs_in(directory).map_err(|error| chain(&error))?;
    let identity = lock::spool_identity(directory).or(runs.last().copied());
    match identity {
        Some(identity) if identity.sender.0 == sender => Ok(lock),
        Some(other) => Err(format!("it is another one now, {}", other.sender.0)),
        None => Err("it has no identity any more".to_owned()),
    }
}

fn open_one(
    options: &BatchsendOptions,
    store: &mut Store,
    lock: DirectoryLock,
    directory: &Path,
) -> Result<OlderSpool, Failure> {
    let runs = Spool::runs_in(directory).map_err(|error| spool_failure(&error))?;
    let identity = lock
        .raise_epoch(runs.last().copied())
        .map_err(|error| Failure::of(&error))?;
    let mut owed = HashMap::from([(identity.epoch, options.destinations.clone())]);
    for run in runs {
        let named = store.stat.destinations_of(run.sender.0, run.epoch);
        let named = named.map_err(|error| database_failure(&error))?;
        owed.insert(run.epoch, named.unwrap_or_else(|| options.destinations.clone()));
    }
    let opened = OlderSpool::open(lock, directory, identity, owed, options.retain);
    opened.map_err(|error| spool_failure(&error))
}

/// The earlier runs of a group, as the database has them.
pub(super) fn runs_of(stat: &Stat, group: &str) -> Result<Vec<SpoolRun>, Failure> {
    stat.spool_runs(group).map_err(|error| database_failure(&error))
}
