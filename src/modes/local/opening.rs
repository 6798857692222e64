//! Opening: every lock before anything is changed, then the archives, and what earlier sessions left that is gone.

use super::LocalOptions;
use crate::exit::{ExitStatus, Failure, chain};
use crate::modes::drainer::opening::{
    LostRegion, RingDirectory, RingPlace, first_hole, lost_regions, readable_streams,
};
use crate::modes::preflight;
use crate::modes::stop::Stop;
use crate::modes::store::{Store, database_failure, lock_failure};
use crate::os::clock;
use crate::os::disk::{self, DiskError};
use crate::os::lock::DirectoryLock;
use crate::seglog::quarantine::Missing;
use crate::stages::archive::Archive;
use hogstat::Role;
use std::path::Path;
use tracing::warn;

/// All that is to be had before a thread is started.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) groups: Vec<OpenedGroup>,
    pub(super) archive_lock: DirectoryLock,
}

/// A group whose rings and archive are had.
pub(super) struct OpenedGroup {
    pub(super) place: RingPlace,
    pub(super) archive: Archive,
    pub(super) rings: RingDirectory,
    /// Places in the archive that are damaged, in words.
    pub(super) damages: Vec<String>,
    pub(super) lost: Vec<LostRegion>,
}

/// The name of lock files, one of which lies where the directories of groups do.
const LOCK: &str = "lock";

/// Takes all locks and opens all groups; `stop` ends the waiting for a database that is locked.
pub(super) fn open(options: &LocalOptions, stop: &Stop) -> Result<Opened, Failure> {
    if options.groups.iter().any(|group| group == LOCK) {
        let words = format!("no group can be called {LOCK} in an archive: that is the name of its lock file");
        return Err(Failure::new(ExitStatus::Usage, words));
    }
    let places: Vec<_> = options.groups.iter().map(|group| place(options, group)).collect();
    let base = options.pattern.base();
    preflight::rings(&options.shm_dir, &options.groups)?;
    preflight::directories([base.as_path(), &options.store])?;
    disk::make_directory(&base).map_err(|error| Failure::of(&error))?;
    let archive_lock = DirectoryLock::take(&base).map_err(|error| lock_failure(&error))?;
    let mut rings = Vec::new();
    for place in places {
        let directory = RingDirectory::open(&place)?;
        if let RingDirectory::Closed { words } = &directory
            && options.drain_and_exit
        {
            // Nobody can say what would have to be drained, and nobody waits for it to be opened.
            return Err(Failure::new(ExitStatus::Failed, words));
        }
        rings.push((place, directory));
    }
    let mut store = Store::open(&options.store, Role::Local, stop)?;
    let mut groups = Vec::new();
    for (place, rings) in rings {
        groups.push(open_group(options, &mut store, place, rings)?);
    }
    Ok(Opened {
        store,
        groups,
        archive_lock,
    })
}

fn place(options: &LocalOptions, group: &str) -> RingPlace {
    RingPlace {
        group: group.to_owned(),
        shm_dir: options.shm_dir.clone(),
        shm_group: options.shm_group,
    }
}

fn open_group(
    options: &LocalOptions,
    store: &mut Store,
    place: RingPlace,
    rings: RingDirectory,
) -> Result<OpenedGroup, Failure> {
    let group = &place.group;
    let recovered = Archive::recover(&options.pattern, group, &clock::local_date(), Missing::ForGood);
    let (mut archive, damages) = recovered.map_err(|error| Failure::of(&error))?;
    // What is damaged has cost something already, and is no reason not to go on.
    if !options.accept_gaps
        && damages.is_empty()
        && let Some(words) = first_hole(&rings, archive.table(), "archive")?
    {
        return Err(Failure::new(ExitStatus::Unsafe, words));
    }
    archive.hold_again(&readable_streams(&rings)?);
    begin(&mut archive).map_err(|error| Failure::of(&error))?;
    let directory = archive_directory(options, group)?;
    store
        .stat
        .register_archive(store.session, group, &directory, clock::now_db())
        .map_err(|error| database_failure(&error))?;
    let lost = lost_regions(store, group, &rings, archive.table())?;
    Ok(OpenedGroup {
        place,
        archive,
        rings,
        damages,
        lost,
    })
}

/// Begins a segment. A full disk is no reason not to start: the first append that finds room begins it.
fn begin(archive: &mut Archive) -> Result<(), DiskError> {
    match archive.begin() {
        Err(error) if error.is_full() => {
            warn!("{}: waiting for room", chain(&error));
            Ok(())
        }
        other => other,
    }
}

/// The group's directory as the database has it: absolute, with the variable for the date.
fn archive_directory(options: &LocalOptions, group: &str) -> Result<String, Failure> {
    let directory = options.pattern.directory(group, "$DATE");
    let absolute = std::path::absolute(&directory);
    absolute.map(|path| path.display().to_string()).map_err(|error| {
        let words = format!("cannot resolve {}: {error}", Path::new(&directory).display());
        Failure::new(ExitStatus::Failed, words)
    })
}
