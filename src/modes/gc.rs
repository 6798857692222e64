//! `hog gc`: takes away what nobody will come for, and, if told to, what somebody may.
//!
//! Nothing that is not delivered is ever deleted here. A ring that holds records is at most *retired*: its program begins a new one, and the next
//! drainer takes what is in it, marks its end and deletes it. What a living program owns is not touched. A ring's owner is changed by the same
//! compare-and-swap as when a program takes it over, so of the two one comes first.

use crate::exit::{ExitStatus, Failure, chain};
use crate::modes::intake;
use crate::modes::store::{DATABASE, database_failure};
use crate::os::lock::DirectoryLock;
use crate::os::{clock, disk};
use crate::stages::spool::Spool;
use crate::stages::spool::reserve::RESERVE;
use hog_ring::RingReader;
use hog_ring::reader::{Liveness, OpenError};
use hogstat::Stat;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// Groups; none is every one that has rings.
    pub groups: Vec<String>,
    /// Stores of engines and senders.
    pub stores: Vec<PathBuf>,
    /// Where rings are.
    pub shm_dir: PathBuf,
    /// Only say what would be done.
    pub is_dry: bool,
    /// What is younger stays.
    pub older_than: Duration,
    /// Also what somebody may come for.
    pub is_forced: bool,
}

/// What is found under the name of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// No ring, or one that cannot be read.
    Foreign,
    /// Its program lives.
    Living,
    /// It waits for the next run of its program.
    Adoptable,
    /// It is of a queue of version 2 that is not finished: what is in doubt there it alone knows.
    OfQueue,
    /// Its program is gone for good: it is the next drainer's.
    Abandoned,
}

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Nothing, and nothing need be said.
    Pass,
    /// Nothing, for this reason.
    Keep(&'static str),
    Retire,
    Delete,
}

/// What is done with what was found, `age` after it came to be.
fn action(found: Found, age: Duration, options: &GcOptions) -> Action {
    match found {
        Found::Living => Action::Pass,
        _ if age < options.older_than => Action::Pass,
        Found::Abandoned => Action::Keep("the next drainer takes what it holds, and deletes it"),
        Found::OfQueue => Action::Keep("the next sender or local goes on with the queue that it is of"),
        Found::Adoptable if options.is_forced => Action::Retire,
        Found::Adoptable => Action::Keep("the next run of its program goes on with it (--force gives it up)"),
        Found::Foreign if options.is_forced => Action::Delete,
        Found::Foreign => Action::Keep("it cannot be read (--force deletes it)"),
    }
}

/// Does it, or says what it would do.
///
/// # Errors
/// When a directory cannot be listed, or something not deleted.
pub fn run(options: &GcOptions) -> Result<ExitStatus, Failure> {
    let groups = match options.groups.is_empty() {
        false => options.groups.clone(),
        true => groups_in(&options.shm_dir)?,
    };
    for group in &groups {
        let directory = hog_ring::group_dir(&options.shm_dir, group);
        let paths = hog_ring::ring_files(&directory);
        let mut paths = paths.map_err(|error| failed(format!("cannot list {}: {error}", directory.display())))?;
        paths.sort();
        for path in paths {
            look_at(options, group, &path)?;
        }
    }
    for store in &options.stores {
        remove_emptied(options, store)?;
    }
    Ok(ExitStatus::Done)
}

fn failed(words: String) -> Failure {
    Failure::new(ExitStatus::Failed, words)
}

/// The groups that have a directory of rings.
fn groups_in(shm_dir: &Path) -> Result<Vec<String>, Failure> {
    let directory = shm_dir.join("hog");
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(format!("cannot list {}: {error}", directory.display())))?,
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut groups: Vec<_> = names.filter(|name| hog_ring::is_group_name(name)).collect();
    groups.sort();
    Ok(groups)
}

fn look_at(options: &GcOptions, group: &str, path: &Path) -> Result<(), Failure> {
    let mut ring = match RingReader::open(path) {
        Ok(ring) => ring,
        Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        Err(OpenError::Io { source, .. }) => return Err(failed(format!("cannot open {}: {source}", path.display()))),
        Err(_) => {
            let action = action(Found::Foreign, age_of_file(path), options);
            say(options, action, &path.display().to_string());
            if action == Action::Delete && !options.is_dry {
                disk::unlink(path).map_err(|error| failed(chain(&error)))?;
            }
            return Ok(());
        }
    };
    // The owner first: what is retired below is this one's.
    let owner = ring.owner();
    let found = match ring.liveness() {
        Liveness::Living => Found::Living,
        Liveness::Dead | Liveness::Closed if intake::is_of_queue(path) => Found::OfQueue,
        Liveness::Dead | Liveness::Closed if ring.is_adoptable() => Found::Adoptable,
        Liveness::Dead | Liveness::Closed | Liveness::Retired => Found::Abandoned,
    };
    let since = ring.identity().created.max(ring.adopted());
    let age = Duration::from_nanos(hog_ring::boottime_ns().saturating_sub(since));
    let action = action(found, age, options);
    let head = ring.head();
    let undrained = ring.tail(head).map_or(0, |tail| tail - head);
    let name = ring.identity().name.clone();
    let words = format!(
        "ring {name} of group {group} ({}, {undrained} bytes not drained)",
        path.display()
    );
    if action == Action::Retire && !options.is_dry {
        if !ring.retire(owner) {
            println!("kept: {words}: its program runs again");
            return Ok(());
        }
        remove_places(options, group, &name)?;
    }
    say(options, action, &words);
    Ok(())
}

fn say(options: &GcOptions, action: Action, words: &str) {
    let would = if options.is_dry { "would be " } else { "" };
    match action {
        Action::Pass => {}
        Action::Keep(why) => println!("kept: {words}: {why}"),
        Action::Retire => println!("{would}given up: {words}: the next drainer ends and deletes it"),
        Action::Delete => println!("{would}deleted: {words}"),
    }
}

fn age_of_file(path: &Path) -> Duration {
    let changed = std::fs::metadata(path).and_then(|file| file.modified());
    let age = changed.map(|changed| SystemTime::now().duration_since(changed).unwrap_or_default());
    age.unwrap_or_default() // it is gone, or nobody can say: young enough to stay
}

/// After a reboot an engine would go on from its place as though its ring had not been given up.
fn remove_places(options: &GcOptions, group: &str, ring: &str) -> Result<(), Failure> {
    for store in &options.stores {
        let place = store.join("places").join(group).join(format!("{ring}.place"));
        if place.exists() {
            disk::unlink(&place).map_err(|error| failed(chain(&error)))?;
        }
    }
    Ok(())
}

/// What is left of spool directories that no sender of `store` uses any more: everybody has what was in them. The lock file stays, for it says who that
/// spool was.
fn remove_emptied(options: &GcOptions, store: &Path) -> Result<(), Failure> {
    let database = store.join(DATABASE);
    if !database.exists() {
        return Ok(());
    }
    let stat = Stat::open_read_only(&database).map_err(|error| database_failure(&error))?;
    let overview = stat.overview().map_err(|error| database_failure(&error))?;
    for spool in &overview.spools {
        let runs = stat
            .spool_runs(&spool.group)
            .map_err(|error| database_failure(&error))?;
        for run in runs
            .iter()
            .filter(|run| run.emptied && run.directory != spool.directory)
        {
            remove_reserve(options, Path::new(&run.directory))?;
        }
    }
    Ok(())
}

fn remove_reserve(options: &GcOptions, directory: &Path) -> Result<(), Failure> {
    let reserve = directory.join(RESERVE);
    let Ok(file) = std::fs::metadata(&reserve) else {
        return Ok(());
    };
    // Somebody may have taken the directory up again since.
    let Ok(_lock) = DirectoryLock::take(directory) else {
        return Ok(());
    };
    let is_empty = Spool::is_empty_in(directory).map_err(|error| failed(chain(&error)))?;
    let age = Duration::from_nanos(clock::now_ns()).saturating_sub(
        file.modified()
            .ok()
            .and_then(|changed| changed.duration_since(SystemTime::UNIX_EPOCH).ok())
            .unwrap_or_default(),
    );
    if is_empty && age >= options.older_than {
        if !options.is_dry {
            disk::unlink(&reserve).map_err(|error| failed(chain(&error)))?;
        }
        say(options, Action::Delete, &reserve.display().to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_may_come_for_goes_only_by_force_and_what_is_young_never() {
        let mut options = GcOptions {
            groups: Vec::new(),
            stores: Vec::new(),
            shm_dir: PathBuf::new(),
            is_dry: false,
            older_than: Duration::from_secs(60),
            is_forced: false,
        };
        let (old, young) = (Duration::from_secs(60), Duration::from_secs(59));
        let all = [Found::Foreign, Found::Living, Found::Adoptable, Found::Abandoned];
        for found in all {
            let action = action(found, old, &options);
            assert!(
                matches!(action, Action::Keep(_) | Action::Pass),
                "{found:?}: {action:?}"
            );
        }
        options.is_forced = true;
        assert_eq!(action(Found::Adoptable, old, &options), Action::Retire);
        assert_eq!(action(Found::Foreign, old, &options), Action::Delete);
        assert_eq!(action(Found::Living, old, &options), Action::Pass);
        assert!(matches!(action(Found::Abandoned, old, &options), Action::Keep(_)));
        for found in all {
            assert_eq!(action(found, young, &options), Action::Pass, "{found:?}");
        }
    }
}
