//! The worker that drains a group. It waits until the ring directory may be used, and follows a drainer that failed, or hangs, with what the log
//! says.

use super::inheritance::Inheritance;
use super::log::{GroupLog, Reopen};
use super::opening::{OpenedRings, RingDirectory, RingPlace};
use super::{Drainer, DrainerReport};
use crate::exit::chain;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::{Job, Post};
use crate::os::lock::DirectoryLock;
use hog_ring::doorbell::Doorbell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// How often a ring directory that is closed to this user is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// To whom a drainer tells what it does.
pub struct Surroundings {
    /// Hears of faults and rings.
    pub recorder: Recorder,
    /// Hears how far it is.
    pub report: Arc<DrainerReport>,
    /// What earlier sessions left.
    pub inherited: Arc<Inheritance>,
}

/// What the drainers of a group hand on to each other.
struct Handed<L> {
    /// The log of the last one that let go of it, if it has been used; one that hangs does not.
    log: Mutex<Option<(L, bool)>>,
    reopen: Box<Reopen<L>>,
    /// The directory, once it could be opened: locked as long as anybody drains it.
    rings: Mutex<Option<(PathBuf, Arc<DirectoryLock>)>>,
    /// What was found at the start.
    found: Mutex<Option<RingDirectory>>,
}

/// The worker that drains `rings`, those of `place`, into `log`, until `stop`.
pub fn job<L: GroupLog>(place: RingPlace, rings: RingDirectory, log: L, around: Surroundings, stop: &Stop) -> Job {
    if let RingDirectory::Closed { words } = &rings {
        let directory = place.directory().display().to_string();
        warn!("{directory} is not drained until this user may: {words}");
        around.recorder.loss(&directory, words);
    }
    let handed = Handed {
        reopen: log.reopener(),
        log: Mutex::new(Some((log, false))),
        rings: Mutex::default(),
        found: Mutex::new(Some(rings)),
    };
    let name = format!("drain {}", place.group);
    Job::new(&name, stop, move |post| drain(&place, &handed, &around, post))
}

fn drain<L: GroupLog>(place: &RingPlace, handed: &Handed<L>, around: &Surroundings, post: &Post) -> Result<(), String> {
    let Some(rings) = rings(place, handed, around, post)? else {
        return Ok(()); // it is time to stop
    };
    let log = match take(&handed.log) {
        Some((log, false)) => log,
        Some((used, true)) => match used.reopen(&post.pass) {
            Ok(log) => log,
            Err(words) => {
                put(&handed.log, (used, true)); // it knows more than its reopener
                return Err(words);
            }
        },
        None => (handed.reopen)(&post.pass)?,
    };
    let mut drainer = Drainer::new(
        &place.group,
        log,
        rings,
        Arc::clone(&around.inherited),
        around.recorder.clone(),
        Arc::clone(&around.report),
        post.stop.clone(),
    )
    .guarded_by(&post.pass);
    let ran = catch_unwind(AssertUnwindSafe(|| drainer.run()));
    let log = drainer.into_log();
    // That of one who was relieved is of no use to its successor, who has another.
    let _ = post.pass.act(|| put(&handed.log, (log, true)));
    ran.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The rings, with a doorbell of their own for each drainer. `None`: it is time to stop.
fn rings<L>(
    place: &RingPlace,
    handed: &Handed<L>,
    around: &Surroundings,
    post: &Post,
) -> Result<Option<OpenedRings>, String> {
    if let Some((directory, lock)) = handed.rings.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        let doorbell = Doorbell::open(&directory).map_err(|error| chain(&error))?;
        return Ok(Some(OpenedRings {
            directory,
            lock,
            doorbell,
        }));
    }
    let mut found = take(&handed.found);
    let was_closed = !matches!(found, Some(RingDirectory::Opened(_)));
    loop {
        if let Some(RingDirectory::Opened(rings)) = found {
            put(&handed.rings, (rings.directory.clone(), Arc::clone(&rings.lock)));
            if was_closed {
                info!("{} is drained from now on", place.directory().display());
            }
            return Ok(Some(rings));
        }
        around.report.passes.fetch_add(1, Ordering::Relaxed);
        if post.stop.wait(TRY_EVERY) {
            return Ok(None);
        }
        found = Some(RingDirectory::open(place).map_err(|failure| failure.message)?);
    }
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn put<T>(place: &Mutex<Option<T>>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}
