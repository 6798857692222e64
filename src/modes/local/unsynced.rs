//! The account of what was appended to an archive and is not known to be on disk.
//!
//! The drainer enters each append; the syncing thread takes what is there, syncs the segment that is appended to, and publishes the positions. That
//! one sync covers all of them, for an archive syncs each segment before it begins the next. What a failed sync did not cover stays in the
//! account until the drainer has written it anew.

use crate::exit::chain;
use crate::fence::Pass;
use crate::formats::table::Table;
use crate::ids::StreamId;
use crate::modes::drainer::DrainerReport;
use crate::modes::recorder::Recorder;
use crate::modes::supervise::provoke;
use crate::seglog::batch::FrameBatch;
use crate::seglog::writer::OpenSegment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::warn;

/// What is not known to be on disk.
pub(super) struct Unsynced {
    state: Mutex<State>,
    /// Hears what is synced.
    report: Arc<DrainerReport>,
}

#[derive(Default)]
struct State {
    /// The segment that is appended to; none while none could be begun.
    segment: Option<Arc<OpenSegment>>,
    /// Where streams end that have grown since the last sync.
    ends: HashMap<StreamId, u64>,
    /// Appends so far.
    appends: u64,
    /// As many of them are synced.
    synced: u64,
    /// The segment whose failed sync was reported.
    failed: Option<u64>,
}

impl Unsynced {
    /// The account of an archive that was recovered as `table`, which hears in `report` what is synced.
    pub(super) fn of(table: &Table, report: Arc<DrainerReport>) -> Self {
        let unsynced = Self {
            state: Mutex::default(),
            report,
        };
        unsynced.recovered(table);
        unsynced
    }

    /// The archive was recovered, and so synced, as `table`, with what a drainer that failed had appended before it said so. The next sync publishes
    /// it: by then the rings are known.
    pub(super) fn recovered(&self, table: &Table) {
        let mut state = self.lock();
        state.segment = None;
        state.appends += 1;
        state.ends = table.streams.iter().map(|(id, stream)| (*id, stream.end)).collect();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before the guard goes, so a panic elsewhere leaves it sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many appends there were.
    pub(super) fn appends(&self) -> u64 {
        self.lock().appends
    }

    /// How many of them, from the first on, are on disk.
    pub(super) fn synced(&self) -> u64 {
        self.lock().synced
    }

    /// Appends go to `segment` from now on; those before are on disk, or in it.
    pub(super) fn goes_on_in(&self, segment: Option<&Arc<OpenSegment>>) {
        self.lock().segment = segment.cloned();
    }

    /// `batch` was appended, and is in `segment`.
    pub(super) fn appended(&self, segment: Option<&Arc<OpenSegment>>, batch: &FrameBatch) {
        let mut state = self.lock();
        state.segment = segment.cloned();
        state.appends += 1;
        for frame in batch
            .frames()
            .iter()
            .filter(|frame| frame.header.kind.takes_positions())
        {
            let end = state.ends.entry(frame.header.stream).or_default();
            *end = (*end).max(frame.header.end);
        }
    }

    /// The archive was finished: all is on disk.
    pub(super) fn all_is_synced(&self) {
        let mut state = self.lock();
        (state.segment, state.synced) = (None, state.appends);
        let ends = std::mem::take(&mut state.ends);
        drop(state);
        self.publish(ends);
    }

    fn publish(&self, ends: HashMap<StreamId, u64>) {
        // Each of its holders only adds to the map, or takes all of it.
        let mut published = self.report.synced.lock().unwrap_or_else(PoisonError::into_inner);
        published.extend(ends);
    }

    /// Whether the segment that is appended to, or was last, has a sync behind it that failed.
    pub(super) fn has_failed(&self) -> bool {
        self.lock()
            .segment
            .as_ref()
            .is_some_and(|segment| segment.file.has_failed())
    }

    /// A predecessor of the syncing thread may hang in a sync: that counts as failed, and the drainer writes anew what it did not cover. Says whether one does.
    pub(super) fn give_up_hanging_sync(&self) -> bool {
        let segment = self.lock().segment.clone();
        segment.is_some_and(|segment| segment.file.give_up_hanging_sync())
    }

    /// Syncs what was appended before this call, and publishes it. What cannot be synced waits for the drainer, which is told by the segment itself. Once the
    /// holder of `pass` was relieved, nothing is published.
    pub(super) fn sync(&self, group: &str, recorder: &Recorder, pass: &Pass) {
        let state = self.lock();
        let (segment, appends) = (state.segment.clone(), state.appends);
        if state.synced == appends {
            return;
        }
        let ends = state.ends.clone();
        drop(state);
        // Without a segment all that was appended is in segments that were finished, and synced.
        let synced = segment.as_ref().map_or(Ok(0), |segment| segment.sync_as(pass));
        provoke::here();
        // Of one who was relieved nobody hears anything.
        let _ = pass.act(|| match synced {
            Ok(_) => self.are_synced(appends, &ends),
            Err(error) => {
                let number = segment.map(|segment| segment.number);
                if std::mem::replace(&mut self.lock().failed, number) != number {
                    let words = format!("{}; what the disk may lack is written to a new segment", chain(&error));
                    warn!("archive of group {group}: {words}");
                    recorder.fault(&format!("archive of group {group}"), &words);
                }
            }
        });
    }

    /// The first `appends` are on disk, and with them the streams up to `ends`.
    fn are_synced(&self, appends: u64, ends: &HashMap<StreamId, u64>) {
        let mut state = self.lock();
        state.synced = appends;
        state.ends.retain(|stream, end| ends.get(stream) != Some(end));
        drop(state);
        self.publish(ends.clone());
    }
}
