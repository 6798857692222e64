//! The thread of a group's drainer. It waits until the ring directory may be used, and has a drainer that failed followed by another,
//! built from what the log says.

use super::inheritance::Inheritance;
use super::log::GroupLog;
use super::opening::{RingDirectory, RingPlace};
use super::{Drainer, DrainerReport};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::{info, warn};

/// How often a ring directory that is closed to this user is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Who watches over a drainer, and to whom it tells what it does.
pub struct Surroundings {
    /// Hears of faults and rings.
    pub recorder: Recorder,
    /// Hears how far it is.
    pub report: Arc<DrainerReport>,
    /// Ends it.
    pub stop: Stop,
    /// What earlier sessions left.
    pub inherited: Arc<Inheritance>,
}

/// Drains `rings`, those of `place`, into `log` in a thread of its own, until it is time to stop.
///
/// # Errors
/// When the thread cannot be started.
pub fn spawn<L: GroupLog>(
    place: RingPlace,
    mut rings: RingDirectory,
    log: L,
    around: Surroundings,
) -> std::io::Result<JoinHandle<()>> {
    if let RingDirectory::Closed { words } = &rings {
        let directory = place.directory().display().to_string();
        warn!("{directory} is not drained until this user may: {words}");
        around.recorder.loss(&directory, words);
    }
    let (title, stop, recorder) = (
        format!("drain {}", place.group),
        around.stop.clone(),
        around.recorder.clone(),
    );
    let (mut log, mut drainer) = (Some(log), None::<Drainer<L>>);
    supervise::spawn(&title, &stop, &recorder, move || {
        if let Some(failed) = &mut drainer {
            *failed = failed.anew()?;
            return failed.run();
        }
        if !wait_for(&mut rings, &place, &around)? {
            return Ok(()); // it is time to stop
        }
        let closed = RingDirectory::Closed { words: String::new() };
        let RingDirectory::Opened(rings) = std::mem::replace(&mut rings, closed) else {
            return Err("the ring directory was closed again".to_owned());
        };
        let log = log.take().ok_or("the log went with a drainer that was never made")?;
        let Surroundings {
            recorder,
            report,
            stop,
            inherited,
        } = &around;
        let new = Drainer::new(
            &place.group,
            log,
            rings,
            Arc::clone(inherited),
            recorder.clone(),
            Arc::clone(report),
            stop.clone(),
        );
        drainer.insert(new).run()
    })
}

/// Waits until the directory can be used. `false`: it is time to stop.
fn wait_for(rings: &mut RingDirectory, place: &RingPlace, around: &Surroundings) -> Result<bool, String> {
    let was_closed = matches!(rings, RingDirectory::Closed { .. });
    while let RingDirectory::Closed { .. } = rings {
        around.report.passes.fetch_add(1, Ordering::Relaxed);
        if around.stop.wait(TRY_EVERY) {
            return Ok(false);
        }
        *rings = RingDirectory::open(place).map_err(|failure| failure.message)?;
    }
    if was_closed {
        info!("{} is drained from now on", place.directory().display());
    }
    Ok(true)
}
