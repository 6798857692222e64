//! One process of a sender, and its drainers, which follow each other when they fail or stall.

use super::super::process::Process;
use super::lane::Lane;
use crate::exit::chain;
use crate::fence::{Fence, Pass};
use crate::formats::lock_record::SpoolIdentity;
use crate::modes::batchsend::syncer::SyncedSpool;
use crate::modes::drainer::inheritance::Inheritance;
use crate::modes::drainer::log::{GroupLog, Reopen};
use crate::modes::drainer::opening::OpenedRings;
use crate::modes::drainer::{Drainer, DrainerReport};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::os::lock::DirectoryLock;
use crate::os::net::Line;
use crate::stages::spool::older::OlderSpool;
use crate::stages::spool::{Spool, SpoolIndex};
use hog_ring::doorbell::Doorbell;
use hog_ring::simulation;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tracing::warn;

pub(super) struct Run {
    pub(super) process: Process,
    // The drainer and what ships go before the locks.
    pub(super) lanes: BTreeMap<String, Lane>,
    pub(super) drainer: Option<Drainer<Spool>>,
    /// The log of a drainer that failed.
    pub(super) used: Option<Spool>,
    pub(super) source: Rc<DrainerSource>,
    pub(super) synced: SyncedSpool,
    pub(super) index: Arc<SpoolIndex>,
    pub(super) identity: SpoolIdentity,
    pub(super) older: Vec<OlderSpool>,
}

/// What a drainer is built of that follows another.
pub(super) struct DrainerSource {
    pub(super) rings: PathBuf,
    pub(super) lock: Arc<DirectoryLock>,
    pub(super) inherited: Arc<Inheritance>,
    pub(super) report: Arc<DrainerReport>,
    pub(super) fence: Arc<Fence>,
    pub(super) reopen: Box<Reopen<Spool>>,
}

impl DrainerSource {
    /// A drainer that takes the place of the present one: over the log that it let go of, if it did.
    pub(super) fn successor(&self, used: &mut Option<Spool>) -> Result<Drainer<Spool>, String> {
        let pass = self.fence.relieve().ok_or("the former one acts")?;
        let log = match used.take() {
            Some(former) => match former.reopen(&pass) {
                Ok(log) => log,
                Err(words) => {
                    *used = Some(former);
                    return Err(words);
                }
            },
            None => (self.reopen)(&pass)?,
        };
        let mut drainer = self.drainer(log, &pass)?;
        if let Err(words) = drainer.begin() {
            *used = Some(drainer.into_log());
            return Err(words);
        }
        Ok(drainer)
    }

    pub(super) fn drainer(&self, log: Spool, pass: &Pass) -> Result<Drainer<Spool>, String> {
        let opened = OpenedRings {
            directory: self.rings.clone(),
            lock: Arc::clone(&self.lock),
            doorbell: Doorbell::open(&self.rings).map_err(|error| chain(&error))?,
        };
        let drainer = Drainer::new(
            super::super::GROUP,
            log,
            opened,
            Arc::clone(&self.inherited),
            Recorder::to_nowhere(),
            Arc::clone(&self.report),
            Stop::default(),
        );
        Ok(drainer.guarded_by(pass))
    }
}

impl Run {
    /// A turn of the drainer; one that failed is followed by another, built from its log, as its supervisor does.
    pub(super) fn drain(&mut self) {
        let mut drainer = match self.drainer.take().map_or_else(|| self.successor(), Ok) {
            Ok(drainer) => drainer,
            Err(words) => {
                warn!("no drainer can be built: {words}");
                return;
            }
        };
        match drainer.turn() {
            Ok(_) => self.drainer = Some(drainer),
            Err(words) => {
                warn!("the drainer fails: {words}");
                self.used = Some(drainer.into_log());
            }
        }
    }

    pub(super) fn successor(&mut self) -> Result<Drainer<Spool>, String> {
        self.source.successor(&mut self.used)
    }

    /// A turn of the drainer that hangs in its first write, if it makes one; then its successor takes `turns`.
    pub(super) fn hang(&mut self, turns: u8) {
        let Some(mut drainer) = self.drainer.take() else { return };
        match simulation::with_hanging_write(|| drainer.turn()) {
            Some(Ok(_)) => self.drainer = Some(drainer),
            Some(Err(_)) => self.used = Some(drainer.into_log()),
            None => (0..turns).for_each(|_| self.drain()),
        }
    }

    /// A turn of the drainer that stalls at the `points`th point of it, and wakes up after its successor has taken `turns`.
    pub(super) fn stall(&mut self, points: u64, turns: u8) {
        let Some(mut drainer) = self.drainer.take() else { return };
        let (source, index) = (Rc::clone(&self.source), Arc::clone(&self.index));
        let place = Rc::new(RefCell::new(None));
        let follower = Rc::clone(&place);
        simulation::interrupt_after(
            points,
            Box::new(move || {
                if index.is_held() {
                    return; // a successor would wait for that
                }
                if let Ok(mut successor) = source.successor(&mut None) {
                    let taken = (0..turns).try_for_each(|_| successor.turn().map(|_| ()));
                    follower.replace(Some((successor, taken)));
                }
            }),
        );
        let pass = self.source.fence.pass();
        let woken = drainer.turn();
        simulation::cancel_interruption();
        match (place.take(), woken) {
            (Some((successor, Ok(()))), _) => self.drainer = Some(successor),
            (Some((failed, Err(_))), _) => self.used = Some(failed.into_log()),
            // It was relieved, by a successor that failed at once: the log that it had is of no use to the next one.
            (None, _) if !pass.is_current() => {}
            (None, Ok(_)) => self.drainer = Some(drainer),
            (None, Err(_)) => self.used = Some(drainer.into_log()),
        }
    }

    pub(super) fn end(self) {
        self.process.kill();
        self.process.disk.end_hanging_writes();
        for lane in self.lanes.values() {
            if let Some(open) = &lane.open {
                open.end.hang_up();
            }
        }
    }
}
