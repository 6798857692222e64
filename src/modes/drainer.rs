//! The drainer of a group: the one reader of its rings and the one writer of its log, a spool or an archive ([`GroupLog`]).
//!
//! A pass reads every tail, asks [`Drain`] in which order to take, copies records from the rings into one batch, appends that with one write, and
//! only then advances the heads: append, then advance. Whatever instant it is killed at, the log says up to where each ring was taken, and
//! the next drainer goes on there.

mod ends;
mod find;
pub mod inheritance;
pub mod log;
pub mod opening;
mod owners;
pub mod rings;
mod take;
pub mod thread;

use crate::exit::chain;
use crate::fence::Pass;
use crate::ids::StreamId;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::provoke;
use crate::os::clock;
use crate::os::lock::DirectoryLock;
use crate::seglog::batch::FrameBatch;
use crate::seglog::writer::AppendError;
use crate::stages::drain::{Drain, Plan};
use crate::stages::pace::{self, OWNERS_EVERY, SLEEP_MIN};
use hog_ring::doorbell::Doorbell;
use hog_ring::mutant;
use inheritance::Inheritance;
use log::{GroupLog, Notice};
use opening::OpenedRings;
use owners::Turns;
use rings::RingSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use take::Taken;
use tracing::{info, warn};

/// Between two passes that found something: long enough for producers to get on, short enough for nobody to wait.
const POLL_BUSY: Duration = Duration::from_micros(50);
/// How long to wait before a failed append is repeated.
const APPEND_PAUSE: Duration = Duration::from_millis(100);
/// Lives that one pass begins, each of which costs a look through the directory.
const LIVES_MAX: u32 = 64;
/// A pass that took this much is followed by another at once.
const MUCH: usize = 256 * 1024;
/// So is one that found this share of a ring full: its producer would wait for room before long.
const MUCH_OF_A_RING: u64 = 4;

/// What a turn of a drainer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes are in the log.
    Took(usize),
    /// The log takes nothing now. What was taken from the rings waits for it.
    Stuck,
}

/// What the drainer tells the rest of the process.
#[derive(Default)]
pub struct DrainerReport {
    /// Raised by each pass, and by each look at something that has to be waited for: the heartbeat of the data path.
    pub passes: AtomicU64,
    /// All that was in the rings at the first look is in the log; see [`DrainerReport::goal`].
    pub caught_up: AtomicBool,
    /// Where the streams stood when it had caught up.
    pub goal: std::sync::Mutex<HashMap<StreamId, u64>>,
    /// Positions that a sync of the log has covered, to be published to the rings.
    pub synced: std::sync::Mutex<HashMap<StreamId, u64>>,
}

/// The drainer of one group.
pub struct Drainer<L> {
    group: String,
    log: L,
    rings: RingSet,
    doorbell: Doorbell,
    /// Of the ring directory: held as long as anybody drains it.
    _lock: Arc<DirectoryLock>,
    /// What earlier sessions left.
    inherited: Arc<Inheritance>,
    drain: Drain,
    batch: FrameBatch,
    /// Heads to advance once the batch is in the log.
    advances: Vec<(StreamId, u64)>,
    /// Positions at which a life began that the plan knows of.
    lives: HashMap<StreamId, u64>,
    /// Tails at the first look, until they are reached.
    first_tails: Option<HashMap<StreamId, u64>>,
    recorder: Recorder,
    report: Arc<DrainerReport>,
    stop: Stop,
    /// With which what this does counts.
    pass: Pass,
    /// The log took nothing of the batch, which waits.
    is_stuck: bool,
    /// Something was appended since the log was last told that nobody logs any more.
    has_news: bool,
    /// Some ring was found so full in the last pass that its producer would wait soon.
    is_behind: bool,
    /// That the disk refuses was said.
    said_stuck: bool,
    changes: u64,
    scan_due: Instant,
    turns: Turns,
}

impl<L: GroupLog> Drainer<L> {
    /// A drainer that puts the rings in `rings` into `log`.
    #[must_use]
    pub fn new(
        group: &str,
        log: L,
        rings: OpenedRings,
        inherited: Arc<Inheritance>,
        recorder: Recorder,
        report: Arc<DrainerReport>,
        stop: Stop,
    ) -> Self {
        let now = clock::moment();
        Self {
            group: group.to_owned(),
            log,
            rings: RingSet::new(&rings.directory).leaving(inherited.left.clone()),
            doorbell: rings.doorbell,
            _lock: rings.lock,
            inherited,
            drain: Drain::default(),
            batch: FrameBatch::default(),
            advances: Vec::new(),
            lives: HashMap::new(),
            first_tails: None,
            recorder,
            report,
            stop,
            pass: Pass::default(),
            is_stuck: false,
            has_news: true, // what a predecessor appended it did perhaps not tell
            is_behind: false,
            said_stuck: false,
            changes: 0,
            scan_due: now,
            turns: Turns::new(),
        }
    }

    /// The same, for the holder of `pass`: once that one was relieved, nothing that it does is seen by others.
    #[must_use]
    pub fn guarded_by(mut self, pass: &Pass) -> Self {
        self.log.guard(pass);
        self.pass = pass.clone();
        self
    }

    /// The log, for a successor.
    #[must_use]
    pub fn into_log(self) -> L {
        self.log
    }

    /// Drains until it is time to stop.
    ///
    /// # Errors
    /// What ended it, in words; a new drainer is then built from the log.
    pub fn run(&mut self) -> Result<(), String> {
        self.begin()?;
        let mut sleep = SLEEP_MIN;
        while !self.stop.is_set() {
            match self.turn()? {
                Turn::Took(0) => {
                    let is_waited_for = self.turns.are_due_soon(self.doorbell.changes());
                    self.sleep(if is_waited_for { sleep.min(OWNERS_EVERY) } else { sleep });
                    sleep = (sleep * 2).min(pace::sleep_max(self.rings.count()));
                }
                Turn::Took(bytes) => {
                    sleep = SLEEP_MIN;
                    if bytes < MUCH && !self.is_behind {
                        std::thread::sleep(POLL_BUSY);
                    }
                }
                Turn::Stuck => {
                    self.stop.wait(APPEND_PAUSE);
                }
            }
        }
        self.finish()
    }

    /// Looks for the rings, and notes how much is in them.
    ///
    /// # Errors
    /// What makes this drainer useless, in words.
    pub fn begin(&mut self) -> Result<(), String> {
        self.scan()?;
        self.first_tails = Some(
            self.rings
                .iter()
                .map(|(stream, ring)| (stream, ring.tail_hint()))
                .collect(),
        );
        Ok(())
    }

    /// One turn: takes what the rings have, looks at owners that may have gone, tells what became durable. It waits for nothing but the disk.
    ///
    /// # Errors
    /// What makes this drainer useless, in words.
    pub fn turn(&mut self) -> Result<Turn, String> {
        // To wait for room is to be alive.
        self.report.passes.fetch_add(1, Ordering::Relaxed);
        self.log.tend();
        if self.is_stuck && matches!(self.append()?, Turn::Stuck) {
            return Ok(Turn::Stuck);
        }
        let took = self.pass()?;
        if self.is_stuck {
            return Ok(Turn::Stuck);
        }
        self.look_at_owners()?;
        self.publish_synced();
        self.note_progress();
        if matches!(took, Turn::Took(0)) {
            self.note_rest();
        }
        Ok(if self.is_stuck { Turn::Stuck } else { took })
    }

    /// Takes what the rings have for a last time, and finishes the log.
    ///
    /// # Errors
    /// When the log takes nothing, in words.
    pub fn finish(&mut self) -> Result<(), String> {
        self.pass.act(|| ()).map_err(|relieved| chain(&relieved))?;
        if self.is_stuck || matches!(self.pass()?, Turn::Stuck) {
            return Err(format!("stopped while the {} took nothing", L::NAME));
        }
        let finished = self.log.finish();
        self.publish_synced();
        finished.map_err(|error| chain(&error))
    }

    /// The log that it appends to.
    #[must_use]
    pub fn log(&self) -> &L {
        &self.log
    }

    /// Takes what the rings have, once.
    fn pass(&mut self) -> Result<Turn, String> {
        if self.doorbell.changes() != self.changes || clock::moment() >= self.scan_due {
            self.scan()?;
        }
        self.is_behind = false;
        self.read_tails(false);
        let mut lives = 0;
        'plan: loop {
            match self.drain.plan() {
                Plan::Idle => break,
                Plan::Look { before } => self.look(before)?,
                Plan::Take(streams) => {
                    for stream in streams {
                        loop {
                            match self.take(stream) {
                                Taken::Some if self.drain.is_over(stream) => {}
                                Taken::Some | Taken::Nothing => break,
                                Taken::Full => break 'plan,
                                Taken::NewLife if lives == LIVES_MAX => break 'plan,
                                Taken::NewLife => {
                                    lives += 1;
                                    continue 'plan;
                                }
                            }
                        }
                    }
                    break;
                }
            }
        }
        self.append()
    }

    /// Tells the plan the tails of `all` rings, or of those that have something: of the others it has known nothing else, unless their lives are looked at.
    fn read_tails(&mut self, all: bool) {
        let mut faults = Vec::new();
        for (stream, ring) in self.rings.iter().filter(|(_, ring)| !ring.ending) {
            match ring.reader.tail(ring.drained) {
                Ok(tail) if !all && tail == ring.drained => {}
                Ok(tail) => self.drain.saw_tail(stream, tail),
                Err(fault) => faults.push((stream, fault)),
            }
        }
        for (stream, fault) in faults {
            self.condemn(stream, &fault);
        }
    }

    fn advanced(&mut self, stream: StreamId, to: u64) {
        if let Some(ring) = self.rings.get_mut(stream) {
            ring.drained = to;
        }
        self.drain.took(stream, to);
        self.advances.push((stream, to));
    }

    /// Appends the batch, and then advances the heads and unlinks the rings that ended. When the log takes nothing the batch stays, and nothing is
    /// added to it before the same was appended.
    fn append(&mut self) -> Result<Turn, String> {
        if self.batch.is_empty() {
            return Ok(Turn::Took(0));
        }
        if mutant::on("advance-before-append") {
            self.advance_heads();
        }
        provoke::here();
        let appended = self.log.append(&mut self.batch);
        // What a log says to one who was relieved is no news.
        self.pass.act(|| ()).map_err(|relieved| chain(&relieved))?;
        self.say_what_the_log_says();
        match appended {
            Ok(()) => {}
            Err(AppendError::Full(_)) => {
                self.is_stuck = true; // it said so, once
                return Ok(Turn::Stuck);
            }
            Err(AppendError::Disk(error)) => {
                if !std::mem::replace(&mut self.said_stuck, true) {
                    self.say_stuck(&chain(&error));
                }
                self.is_stuck = true;
                self.log.abandon_failed_segment().map_err(|error| chain(&error))?;
                return Ok(Turn::Stuck);
            }
            Err(error) => return Err(chain(&error)),
        }
        (self.is_stuck, self.has_news) = (false, true);
        if std::mem::take(&mut self.said_stuck) {
            info!("group {}: the {} takes records again", self.group, L::NAME);
        }
        self.advance_heads();
        let ended: Vec<_> = self
            .rings
            .iter()
            .filter(|(_, ring)| ring.ending)
            .map(|(stream, _)| stream)
            .collect();
        for stream in ended {
            self.unlink(stream);
        }
        let appended = self.batch.len();
        self.batch.clear();
        Ok(Turn::Took(appended))
    }

    fn say_stuck(&self, words: &str) {
        warn!(
            "group {}: the {} takes nothing, producers wait: {words}",
            self.group,
            L::NAME
        );
        self.recorder.fault(&self.log_in_words(), words);
    }

    fn say_what_the_log_says(&mut self) {
        for notice in self.log.notices() {
            let object = self.log_in_words();
            match notice {
                Notice::Calm(words) => info!("{object}: {words}"),
                Notice::Warning(words) => {
                    warn!("{object}: {words}");
                    self.recorder.fault(&object, &words);
                }
                Notice::Loss(words) => {
                    warn!("{object}: {words}");
                    self.recorder.loss(&object, &words);
                }
            }
        }
    }

    fn advance_heads(&mut self) {
        let rings = &self.rings;
        let advances = self.advances.drain(..);
        // One who was relieved goes no further: its successor advances them when it finds the batch in the log.
        let _ = self.pass.act(|| {
            for (stream, to) in advances {
                if let Some(ring) = rings.get(stream) {
                    ring.reader.advance(to);
                }
            }
        });
    }

    /// Tells the log, once, when all that logged are gone and all that they logged is appended.
    fn note_rest(&mut self) {
        if !self.has_news || !self.batch.is_empty() || !self.rings.iter().all(|(_, ring)| ring.is_left()) {
            return;
        }
        // What one logged before it left is seen by now.
        if self
            .rings
            .iter()
            .all(|(_, ring)| ring.ending || ring.tail_hint() == ring.drained)
        {
            self.has_news = false;
            self.log.rest();
        }
    }

    fn log_in_words(&self) -> String {
        format!("{} of group {}", L::NAME, self.group)
    }

    /// Tells producers up to where their records are on the disk.
    fn publish_synced(&self) {
        let Ok(mut synced) = self.report.synced.try_lock() else {
            return;
        };
        for (stream, position) in synced.drain() {
            if let Some(ring) = self.rings.get(stream) {
                ring.reader.publish_synced(position);
            }
        }
    }

    /// Says so once everything that was there at the first look is in the log.
    fn note_progress(&mut self) {
        let Some(first) = &self.first_tails else { return };
        let reached = first.iter().all(|(stream, tail)| {
            self.rings
                .get(*stream)
                .is_none_or(|ring| ring.ended || ring.drained >= *tail && (ring.kept.is_some() || ring.seen_living))
        });
        if reached {
            self.first_tails = None;
            let goal = self
                .log
                .table()
                .streams
                .iter()
                .map(|(stream, held)| (*stream, held.end))
                .collect();
            let report = &self.report;
            // The goal of one who was relieved may lie behind what its successor has found since.
            let _ = self.pass.act(|| {
                if let Ok(mut place) = report.goal.lock() {
                    *place = goal;
                }
                report.caught_up.store(true, Ordering::Release); // pairs with the Acquire of whoever then reads the goal
            });
        }
    }

    /// Sleeps until a producer rings, or `time` has passed.
    fn sleep(&mut self, time: Duration) {
        self.doorbell.prepare_sleep();
        let quiet = self.doorbell.changes() == self.changes
            && self
                .rings
                .iter()
                .all(|(_, ring)| ring.ending || ring.reader.tail(ring.drained).is_ok_and(|tail| tail == ring.drained));
        if quiet && !self.stop.is_set() {
            self.doorbell.sleep(time);
        } else {
            self.doorbell.cancel_sleep();
        }
    }
}
