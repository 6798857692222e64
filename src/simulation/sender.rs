//! A sender: its host with shared memory and a disk, and on it one process after the other, each with its drainer, its connections and the thread that syncs.
//!
//! What hogstat.db would say of earlier runs is kept in [`Record`], which nothing harms: that database's own faults are tried with real processes.

mod lane;
mod opening;
mod run;

use super::network::End;
use super::process::Process;
use super::receiver::Receiver;
use crate::fence::Pass;
use crate::formats::codec::Compression;
use crate::ids::StreamId;
use crate::modes::stop::Stop;
use crate::modes::supervise::Post;
use crate::os::disk::simulated::Disk;
use lane::{Open, Shipping, words_of};
use opening::open;
use run::Run;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use tracing::warn;
use uuid::Uuid;

/// What is recorded of the runs of a sender.
#[derive(Default)]
pub(super) struct Record {
    /// Each run, oldest first: its spool, its number, its directory.
    runs: Vec<(Uuid, u64, PathBuf)>,
    /// What was acknowledged, as far as that was noted, by spool and destination.
    acknowledged: BTreeMap<(Uuid, String), HashMap<Uuid, u64>>,
}

/// How a sender is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// Which of two directories it spools into.
    pub(super) directory: u8,
    /// A batch leaves with so many bytes.
    pub(super) batch_bytes: usize,
    pub(super) compression: Compression,
}

/// A sender's host.
pub(super) struct Sender {
    pub(super) disk: Disk,
    pub(super) shm: PathBuf,
    pub(super) destinations: Vec<String>,
    record: Record,
    run: Option<Run>,
}

impl Sender {
    pub(super) fn new(disk: Disk, shm: PathBuf, destinations: Vec<String>) -> Self {
        Self {
            disk,
            shm,
            destinations,
            record: Record::default(),
            run: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Starts a process, unless its disk refuses.
    ///
    /// # Errors
    /// When it does not start for another reason.
    pub(super) fn start(&mut self, pid: u32, manner: Manner, kill: Option<u64>) -> Result<(), String> {
        let process = Process {
            pid,
            disk: self.disk.clone(),
        };
        let (shm, destinations, record) = (&self.shm, &self.destinations, &mut self.record);
        let started = process.clone();
        match process.run(kill, || open(started, shm, destinations, record, manner)) {
            Some(Ok(run)) => self.run = Some(run),
            Some(Err(words)) => warn!("no sender starts: {words}"),
            None => {}
        }
        Ok(())
    }

    /// Kills the process. Its connections are closed by the kernel.
    pub(super) fn kill(&mut self) {
        if let Some(run) = self.run.take() {
            run.end();
        }
    }

    /// The drainer takes a turn.
    pub(super) fn drain(&mut self, kill: Option<u64>) {
        self.act(kill, |run| {
            run.drain();
        });
    }

    /// The drainer stalls in a turn, at the `points`th point of it, until its successor has taken `turns`.
    pub(super) fn stall(&mut self, points: u64, turns: u8) {
        self.act(None, |run| run.stall(points, turns));
    }

    /// The drainer hangs in a write for good, and its successor takes `turns`.
    pub(super) fn hang(&mut self, turns: u8) {
        self.act(None, |run| run.hang(turns));
    }

    /// The thread that syncs takes a turn, and the recorder notes what was acknowledged.
    pub(super) fn sync(&mut self, kill: Option<u64>) {
        let mut acknowledged = Vec::new();
        self.act(kill, |run| {
            let post = Post {
                stop: Stop::default(),
                pass: Pass::default(),
            };
            let _ = run.synced.turn(&post); // it has said what is wrong, and tries again
            let older = run.older.iter().map(|older| (&older.index, older.identity));
            for (index, identity) in older.chain([(&run.index, run.identity)]) {
                for destination in index.destinations() {
                    let positions = index.acknowledged_by(&destination);
                    acknowledged.push(((identity.sender.0, destination), positions));
                }
            }
        });
        for (whose, positions) in acknowledged {
            let noted = self.record.acknowledged.entry(whose).or_default();
            for (stream, position) in positions {
                let place = noted.entry(stream.0).or_default();
                *place = (*place).max(position);
            }
        }
    }

    /// A connection to `destination` is opened, or takes a turn.
    ///
    /// # Errors
    /// When it ends for a reason that nobody has given it.
    pub(super) fn ship(&mut self, destination: &str, receiver: &mut Receiver, kill: Option<u64>) -> Result<(), String> {
        let mut failure = None;
        self.act(kill, |run| {
            let Some(lane) = run.lanes.get_mut(destination) else {
                return;
            };
            match &mut lane.open {
                None => lane.connect(receiver),
                Some(open) => match open.turn() {
                    Ok(true) => {}
                    Ok(false) => lane.hang_up(),
                    Err(ended) => {
                        failure = words_of(&ended);
                        lane.hang_up();
                    }
                },
            }
        });
        failure.map_or(Ok(()), Err)
    }

    /// Carries up to `most` bytes of what the receiver says to the connection to `destination`.
    ///
    /// # Errors
    /// When the receiver says what it must not.
    pub(super) fn hear(&mut self, destination: &str, most: usize, kill: Option<u64>) -> Result<(), String> {
        let mut failure = None;
        self.act(kill, |run| {
            let Some(lane) = run.lanes.get_mut(destination) else {
                return;
            };
            let Some(open) = &mut lane.open else { return };
            match open.hear(most) {
                Ok(true) => {}
                Ok(false) => lane.hang_up(),
                Err(ended) => {
                    failure = words_of(&ended);
                    lane.hang_up();
                }
            }
        });
        failure.map_or(Ok(()), Err)
    }

    /// Does something to the line to `destination`.
    pub(super) fn with_line(&self, destination: &str, act: impl FnOnce(&End)) {
        let lane = self.run.as_ref().and_then(|run| run.lanes.get(destination));
        if let Some(open) = lane.and_then(|lane| lane.open.as_ref()) {
            act(&open.end);
        }
    }

    /// What `destination` acknowledged of each stream, as far as the process that runs has heard.
    pub(super) fn acknowledged_by(&self, destination: &str) -> Vec<(StreamId, u64)> {
        let Some(run) = &self.run else { return Vec::new() };
        let older = run.older.iter().map(|older| &older.index);
        let indexes = older.chain([&run.index]);
        indexes.flat_map(|index| index.acknowledged_by(destination)).collect()
    }

    /// Whether all that is in the spools was acknowledged.
    pub(super) fn is_at_rest(&self) -> bool {
        self.run.as_ref().is_some_and(|run| {
            let older = run.older.iter().map(|older| &older.index);
            let mut indexes = older.chain([&run.index]);
            indexes.all(|index| index.unacknowledged().values().all(|lacks| lacks.bytes == 0))
        })
    }

    /// What is not acknowledged, in words.
    pub(super) fn unrest(&self) -> String {
        let Some(run) = &self.run else {
            return "no sender runs".to_owned();
        };
        let older = run.older.iter().map(|older| &older.index);
        let lacks: Vec<_> = older.chain([&run.index]).map(|index| index.unacknowledged()).collect();
        let lanes: Vec<_> = run
            .lanes
            .iter()
            .map(|(destination, lane)| {
                let state = match &lane.open {
                    None => "no connection".to_owned(),
                    Some(Open {
                        state: Shipping::Greeting(_),
                        ..
                    }) => "HELLO was sent".to_owned(),
                    Some(Open {
                        state: Shipping::Welcomed(connection),
                        ..
                    }) => connection.state_in_words(),
                };
                format!("{destination}: {state}")
            })
            .collect();
        format!("{lacks:?}; {}", lanes.join("; "))
    }

    /// Something that the process does; when it is killed in it, it is gone.
    fn act(&mut self, kill: Option<u64>, act: impl FnOnce(&mut Run)) {
        let Some(mut run) = self.run.take() else { return };
        let process = run.process.clone();
        match process.run(kill, || act(&mut run)) {
            Some(()) => self.run = Some(run),
            None => run.end(),
        }
    }
}
