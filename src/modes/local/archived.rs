//! The archive as what the drainer appends to.

use super::unsynced::Unsynced;
use crate::exit::chain;
use crate::fence::Pass;
use crate::formats::table::Table;
use crate::ids::{OwnerId, StreamId};
use crate::modes::drainer::log::{GroupLog, Reopen};
use crate::modes::recorder::Recorder;
use crate::os::clock;
use crate::os::disk::DiskError;
use crate::seglog::batch::FrameBatch;
use crate::seglog::rewrite::LostRange;
use crate::seglog::writer::AppendError;
use crate::stages::archive::{Archive, Reopened};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How often the date is looked at.
const DATE_EVERY: Duration = Duration::from_millis(200);

/// How often it is tried to write a failed segment anew.
const REWRITE_EVERY: Duration = Duration::from_secs(1);

/// The archive of a group, held by its drainer.
pub(super) struct LocalArchive {
    archive: Archive,
    unsynced: Arc<Unsynced>,
    recorder: Recorder,
    accept_gaps: bool,
    /// With which what this does counts.
    pass: Pass,
    /// What a successor is made of.
    heir: Heir,
    /// That the archive is a sender itself is stored.
    is_sender: bool,
    date_due: Instant,
    /// When a failed segment may next be written anew: it can be long, and the disk is in trouble already.
    rewrite_due: Instant,
    /// That it could not be tended was said.
    said: bool,
}

impl LocalArchive {
    pub(super) fn new(archive: Archive, unsynced: Arc<Unsynced>, recorder: Recorder, accept_gaps: bool) -> Self {
        unsynced.goes_on_in(archive.active());
        let heir = Heir {
            unsynced: Arc::clone(&unsynced),
            recorder: recorder.clone(),
            accept_gaps,
        };
        Self {
            archive,
            unsynced,
            recorder,
            accept_gaps,
            pass: Pass::default(),
            heir,
            is_sender: false,
            date_due: Instant::now(),
            rewrite_due: Instant::now(),
            said: false,
        }
    }

    /// Writes anew what a failed sync left in doubt, if there is any.
    fn replace_failed(&mut self) -> Result<(), DiskError> {
        if !self.archive.has_failed() || Instant::now() < self.rewrite_due || !self.pass.is_current() {
            return Ok(());
        }
        self.rewrite_due = Instant::now() + REWRITE_EVERY;
        let lost = self.archive.replace_failed()?;
        self.goes_on();
        info!(
            "group {}: what was not synced is in a new segment",
            self.archive.group()
        );
        report(&self.recorder, &lost);
        Ok(())
    }

    /// Before the first append: begins a segment if the disk had no room for one at the start, and stores that the archive is a sender itself.
    fn begin(&mut self) -> Result<(), AppendError> {
        if self.is_sender {
            return Ok(());
        }
        if self.archive.active().is_none() {
            self.archive.begin()?;
        }
        self.archive.become_sender(fastrand::u64(..), clock::now_ns())?;
        self.is_sender = true;
        Ok(())
    }

    fn turn_to_today(&mut self) -> Result<(), AppendError> {
        if Instant::now() < self.date_due {
            return Ok(());
        }
        self.date_due = Instant::now() + DATE_EVERY;
        let turned = self.archive.turn_to(&clock::local_date());
        self.goes_on();
        turned
    }

    /// Tells the account into which segment appends go. Nobody hears it from one who was relieved.
    fn goes_on(&self) {
        let _ = self.pass.act(|| self.unsynced.goes_on_in(self.archive.active()));
    }
}

/// Says what is lost, after a failed sync.
fn report(recorder: &Recorder, lost: &[LostRange]) {
    for LostRange { stream, from, to } in lost {
        let words = format!("positions {from} to {to} were in the archive, and are lost with a sync that failed");
        warn!("stream {stream}: {words}");
        recorder.loss(&format!("stream {stream}"), &words);
    }
}

impl GroupLog for LocalArchive {
    const NAME: &'static str = "archive";

    fn table(&self) -> &Table {
        self.archive.table()
    }

    fn sender(&self) -> OwnerId {
        self.archive.owner()
    }

    fn takes_holes(&self) -> bool {
        self.accept_gaps
    }

    fn tend(&mut self) {
        let tended = self
            .replace_failed()
            .map_err(AppendError::from)
            .and_then(|()| self.turn_to_today());
        match tended {
            Ok(()) => self.said &= self.archive.has_failed(),
            Err(error) if !self.said => {
                warn!(
                    "archive of group {}: {}; trying again",
                    self.archive.group(),
                    chain(&error)
                );
                self.said = true;
            }
            Err(_) => {}
        }
    }

    fn append(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError> {
        self.begin()?;
        self.archive.append(batch)?;
        let (unsynced, active) = (&self.unsynced, self.archive.active());
        // A successor enters all that it finds.
        self.pass.act(|| unsynced.appended(active, batch))?;
        Ok(())
    }

    /// What cannot be written anew now stays where it is, and the append that asks for this fails and is repeated.
    fn abandon_failed_segment(&mut self) -> Result<(), DiskError> {
        self.tend();
        Ok(())
    }

    fn know_rings(&mut self, rings: HashSet<StreamId>) {
        // Without a boot id every ring is of another boot, and streams of which more may come would be forgotten.
        if let Ok(boot) = hog_ring::boot_id() {
            self.archive.know_rings(rings, boot);
        }
    }

    fn finish(&mut self) -> Result<(), AppendError> {
        self.archive.finish()?;
        self.pass.act(|| self.unsynced.all_is_synced())?;
        Ok(())
    }

    fn guard(&mut self, pass: &Pass) {
        self.archive.guard(pass);
        self.pass = pass.clone();
    }

    fn reopen(&self, pass: &Pass) -> Result<Self, String> {
        let reopened = self.archive.reopen(pass).map_err(|error| chain(&error))?;
        Ok(self.heir.take_over(reopened, pass))
    }

    fn reopener(&self) -> Box<Reopen<Self>> {
        let (reopener, heir) = (self.archive.reopener(), self.heir.clone());
        Box::new(move |pass| {
            let reopened = reopener.reopen().map_err(|error| chain(&error))?;
            heir.warn_of_doubt(reopened.archive.group());
            Ok(heir.take_over(reopened, pass))
        })
    }
}

/// What a log of the same archive is made of, beside the archive.
#[derive(Clone)]
struct Heir {
    unsynced: Arc<Unsynced>,
    recorder: Recorder,
    accept_gaps: bool,
}

impl Heir {
    fn take_over(&self, reopened: Reopened, pass: &Pass) -> LocalArchive {
        let Reopened { archive, lost, damages } = reopened;
        report(&self.recorder, &lost);
        self.unsynced.recovered(archive.table());
        for damage in &damages {
            let object = format!("archive of group {}", archive.group());
            warn!("{object}: {damage}");
            self.recorder.loss(&object, damage);
        }
        let accept_gaps = self.accept_gaps || !damages.is_empty();
        let mut log = LocalArchive::new(archive, Arc::clone(&self.unsynced), self.recorder.clone(), accept_gaps);
        log.guard(pass);
        log
    }

    /// A sync had failed, and whoever was to write anew what it did not cover hangs.
    fn warn_of_doubt(&self, group: &str) {
        if self.unsynced.has_failed() {
            let words = "a sync failed, and what it did not cover was not written anew: losing power may lose it";
            warn!("archive of group {group}: {words}");
            self.recorder.fault(&format!("archive of group {group}"), words);
        }
    }
}
