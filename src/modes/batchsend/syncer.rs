//! Syncs the spools of a sender now and then, tells the drainers up to where, and has what a failed sync left in doubt written anew.
//!
//! A failed sync is never tried again on its file. The segment is left and, once there is another one to append to, written anew from what can be
//! read back of it ([`SpoolIndex::rewrite_failed`]); until that is done nothing that lies in it is told to be on disk. A disk that refuses is
//! asked again at the next turn, and reported once.

use super::{BatchsendOptions, Group, spool_directory};
use crate::exit::chain;
use crate::modes::drainer::DrainerReport;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::{Job, Post, provoke};
use crate::os::disk;
use crate::seglog::writer::OpenSegment;
use crate::stages::spool::{Rewritten, SpoolError, SpoolIndex};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use tracing::{info, warn};

/// Syncs the spools now and then.
pub(super) fn job(options: &BatchsendOptions, groups: &[Group], recorder: &Recorder, stop: &Stop) -> Job {
    let spool = |group: &Group| {
        let directory = spool_directory(&options.spool, &group.name);
        let (indexes, report) = (group.indexes(), Arc::clone(&group.report));
        SyncedSpool::new(&group.name, indexes, report, directory, recorder.clone())
    };
    let spools: Vec<SyncedSpool> = groups.iter().map(spool).collect();
    let sync = options.sync;
    Job::new("sync", stop, move |post| {
        if post.pass.has_predecessor() {
            spools.iter().for_each(SyncedSpool::give_up_hanging_syncs);
        }
        loop {
            let stopping = post.stop.wait(sync);
            for spool in &spools {
                spool.turn(post)?;
            }
            if stopping {
                return Ok(());
            }
        }
    })
}

/// The spools of one group.
pub struct SyncedSpool {
    group: String,
    /// The one that is appended to comes last.
    indexes: Vec<Arc<SpoolIndex>>,
    report: Arc<DrainerReport>,
    directory: PathBuf,
    recorder: Recorder,
    /// The disk refused to have a failed segment written anew, and that was said.
    is_refused: AtomicBool,
    /// The disk refused to keep deletions, and that was said.
    are_deletions_refused: AtomicBool,
}

impl SyncedSpool {
    /// The spools `indexes` of `group`, of which the last one is appended to, in `directory`.
    #[must_use]
    pub fn new(
        group: &str,
        indexes: Vec<Arc<SpoolIndex>>,
        report: Arc<DrainerReport>,
        directory: PathBuf,
        recorder: Recorder,
    ) -> Self {
        Self {
            group: group.to_owned(),
            indexes,
            report,
            directory,
            recorder,
            is_refused: AtomicBool::new(false),
            are_deletions_refused: AtomicBool::new(false),
        }
    }

    /// Syncs what is not on disk, has what a failed sync left in doubt written anew, and deletes what was delivered.
    ///
    /// # Errors
    /// When its worker was relieved.
    pub fn turn(&self, post: &Post) -> Result<(), String> {
        if let Some((index, older)) = self.indexes.split_last() {
            older.iter().for_each(|older| older.delete_delivered());
            self.sync(index, post)?;
            self.rewrite_failed(index, post)?;
            index.delete_delivered();
        }
        self.sync_deletions();
        Ok(())
    }

    /// Has deletions outlast a loss of power, so that receivers can be told to forget. A disk that refuses is asked again at the next turn.
    fn sync_deletions(&self) {
        for index in &self.indexes {
            let synced = index.sync_deletions();
            let was_refused = self.are_deletions_refused.swap(synced.is_err(), Ordering::Relaxed);
            if let Err(error) = synced
                && !was_refused
            {
                warn!("spool of group {}: {}", self.group, chain(&error));
            }
        }
    }

    /// A predecessor may hang in a sync: nothing that it covers is ever said to be on disk, and the drainer goes on in another segment.
    fn give_up_hanging_syncs(&self) {
        let Some(index) = self.indexes.last() else { return };
        for segment in index.unsynced() {
            if segment.file.give_up_hanging_sync() {
                self.tell_failed(&segment, "a sync of it hangs");
                index.sync_failed(segment.number);
            }
        }
    }

    fn sync(&self, index: &SpoolIndex, post: &Post) -> Result<(), String> {
        let Post { pass, stop } = post;
        for segment in index.unsynced() {
            let ends = index.ends_of(segment.number);
            let entered = match segment.durable() {
                0 => disk::sync_directory(&self.directory),
                _ => Ok(()),
            };
            let synced = entered.and_then(|()| segment.sync_as(pass));
            provoke::here();
            let _ = stop.is_set(); // it moves, however many segments there are
            let noted = pass.act(|| match synced {
                Ok(_) => {
                    index.synced(segment.number);
                    self.publish(ends);
                }
                Err(error) => {
                    self.tell_failed(&segment, &chain(&error));
                    index.sync_failed(segment.number);
                }
            });
            noted.map_err(|relieved| chain(&relieved))?;
        }
        Ok(())
    }

    fn tell_failed(&self, segment: &OpenSegment, words: &str) {
        let path = segment.file.path().display().to_string();
        let words = format!("{words}; what the disk may lack of this segment is written anew");
        warn!("spool of group {}: {path}: {words}", self.group);
        self.recorder.fault(&path, &words);
    }

    fn publish(&self, ends: impl IntoIterator<Item = (crate::ids::StreamId, u64)>) {
        // Each of its holders only adds to the map, or takes all of it.
        let mut published = self.report.synced.lock().unwrap_or_else(PoisonError::into_inner);
        published.extend(ends);
    }

    fn rewrite_failed(&self, index: &SpoolIndex, post: &Post) -> Result<(), String> {
        loop {
            let rewritten = index.rewrite_failed(&post.pass);
            let _ = post.stop.is_set(); // it moves
            match rewritten {
                Ok(None) => return Ok(()),
                Ok(Some(rewritten)) => {
                    let told = post.pass.act(|| self.tell(rewritten));
                    told.map_err(|relieved| chain(&relieved))?;
                }
                Err(error) => {
                    self.tell_refused(&error);
                    return Ok(());
                }
            }
        }
    }

    fn tell(&self, rewritten: Rewritten) {
        let Rewritten { number, lost, ends } = rewritten;
        self.is_refused.store(false, Ordering::Relaxed);
        info!("spool of group {}: segment {number} was written anew", self.group);
        for range in lost {
            let words = format!("{range} were in segment {number}, and are lost with a sync that failed");
            warn!("spool of group {}: {words}", self.group);
            self.recorder.loss(&format!("stream {}", range.stream), &words);
        }
        self.publish(ends);
    }

    fn tell_refused(&self, error: &SpoolError) {
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            let words = format!("a segment cannot be written anew: {}; trying again", chain(error));
            warn!("spool of group {}: {words}", self.group);
            self.recorder.fault(&self.directory.display().to_string(), &words);
        }
    }
}
