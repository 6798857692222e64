//! A sender: its host with shared memory and a disk, and on it one process after the other, each with its drainer, its connections and the thread that syncs.
//!
//! What hogstat.db would say of earlier runs is kept in [`Record`], which nothing harms: that database's own faults are tried with real processes.

use super::network::{Arrival, End, Frames, connect};
use super::process::Process;
use super::receiver::Receiver;
use crate::exit::chain;
use crate::fence::{Fence, Pass};
use crate::formats::codec::Compression;
use crate::formats::lock_record::SpoolIdentity;
use crate::ids::StreamId;
use crate::modes::batchsend::shipper::connection::{Connection, Turn};
use crate::modes::batchsend::shipper::{Ended, Route, Shipper, ShipperOptions, Welcome, understand};
use crate::modes::batchsend::syncer::SyncedSpool;
use crate::modes::drainer::inheritance::Inheritance;
use crate::modes::drainer::log::{GroupLog, Reopen};
use crate::modes::drainer::opening::OpenedRings;
use crate::modes::drainer::{Drainer, DrainerReport};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::Post;
use crate::os::disk;
use crate::os::disk::simulated::Disk;
use crate::os::lock::DirectoryLock;
use crate::os::net::{Line, put_frame};
use crate::stages::route;
use crate::stages::spool::older::OlderSpool;
use crate::stages::spool::room::{Bounds, OnFull};
use crate::stages::spool::{Spool, SpoolIndex};
use crossbeam::channel::unbounded;
use hog_ring::doorbell::Doorbell;
use hog_ring::simulation;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
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

struct Run {
    process: Process,
    // The drainer and what ships go before the locks.
    lanes: BTreeMap<String, Lane>,
    drainer: Option<Drainer<Spool>>,
    /// The log of a drainer that failed.
    used: Option<Spool>,
    source: Rc<DrainerSource>,
    synced: SyncedSpool,
    index: Arc<SpoolIndex>,
    identity: SpoolIdentity,
    older: Vec<OlderSpool>,
}

/// What a drainer is built of that follows another.
struct DrainerSource {
    rings: PathBuf,
    lock: Arc<DirectoryLock>,
    inherited: Arc<Inheritance>,
    report: Arc<DrainerReport>,
    fence: Arc<Fence>,
    reopen: Box<Reopen<Spool>>,
}

impl DrainerSource {
    /// A drainer that takes the place of the present one: over the log that it let go of, if it did.
    fn successor(&self, used: &mut Option<Spool>) -> Result<Drainer<Spool>, String> {
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

    fn drainer(&self, log: Spool, pass: &Pass) -> Result<Drainer<Spool>, String> {
        let opened = OpenedRings {
            directory: self.rings.clone(),
            lock: Arc::clone(&self.lock),
            doorbell: Doorbell::open(&self.rings).map_err(|error| chain(&error))?,
        };
        let drainer = Drainer::new(
            super::GROUP,
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

/// The way to one destination.
struct Lane {
    route: Route,
    open: Option<Open>,
}

struct Open {
    end: End,
    frames: Frames,
    shipper: Arc<Shipper>,
    state: Shipping,
}

enum Shipping {
    Greeting(Welcome),
    Welcomed(Box<Connection<Arc<Shipper>>>),
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
        if let Some(Ok(run)) = process.run(kill, || open(started, shm, destinations, record, manner)) {
            self.run = Some(run);
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

impl Run {
    /// A turn of the drainer; one that failed is followed by another, built from its log, as its supervisor does.
    fn drain(&mut self) {
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

    fn successor(&mut self) -> Result<Drainer<Spool>, String> {
        self.source.successor(&mut self.used)
    }

    /// A turn of the drainer that stalls at the `points`th point of it, and wakes up after its successor has taken `turns`.
    fn stall(&mut self, points: u64, turns: u8) {
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
                    for _ in 0..turns {
                        let _ = successor.turn(); // should it fail, it does so again
                    }
                    follower.replace(Some(successor));
                }
            }),
        );
        let woken = drainer.turn();
        simulation::cancel_interruption();
        match (place.take(), woken) {
            (Some(successor), _) => self.drainer = Some(successor),
            (None, Ok(_)) => self.drainer = Some(drainer),
            (None, Err(_)) => self.used = Some(drainer.into_log()),
        }
    }

    fn end(self) {
        self.process.kill();
        for lane in self.lanes.values() {
            if let Some(open) = &lane.open {
                open.end.hang_up();
            }
        }
    }
}

impl Lane {
    fn connect(&mut self, receiver: &mut Receiver) {
        let Some(leg) = self.route.next_leg() else { return };
        let (ours, theirs) = connect();
        if !receiver.accept(theirs) {
            return; // refused
        }
        let hello = leg.next_hello().encode();
        let mut bytes = Vec::new();
        let header = crate::formats::frame::FrameHeader::plain(crate::formats::frame::Kind::Hello, &hello);
        put_frame(&mut bytes, &header, &hello);
        if ours.send(&bytes).is_err() {
            return;
        }
        self.open = Some(Open {
            end: ours,
            frames: Frames::default(),
            shipper: Arc::clone(leg),
            state: Shipping::Greeting(Welcome::default()),
        });
    }

    fn hang_up(&mut self) {
        if let Some(open) = self.open.take() {
            open.end.hang_up();
        }
    }
}

impl Open {
    /// Says whether the connection goes on.
    fn turn(&mut self) -> Result<bool, Ended> {
        let Shipping::Welcomed(connection) = &mut self.state else {
            return Ok(true);
        };
        Ok(connection.turn()? != Turn::Done)
    }

    /// Says whether the connection goes on.
    fn hear(&mut self, most: usize) -> Result<bool, Ended> {
        let bytes = match self.end.carry(most) {
            Arrival::HungUp => return Ok(false),
            Arrival::Bytes(bytes) => bytes,
        };
        self.frames.push(&bytes);
        while let Some((header, body)) = self.frames.next_frame() {
            match &mut self.state {
                Shipping::Greeting(welcome) => {
                    if let Some(ship) = welcome.take(&header, &body)? {
                        let line = Box::new(self.end.clone());
                        let mut connection = Connection::new(Arc::clone(&self.shipper), line, ship)?;
                        connection.begin();
                        self.state = Shipping::Welcomed(Box::new(connection));
                    }
                }
                Shipping::Welcomed(connection) => connection.hear(understand(&header, &body)?)?,
            }
        }
        Ok(true)
    }
}

/// What is wrong when a connection ends so; `None` for what happens.
fn words_of(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Refused(refuse) if refuse.code.is_final() => Some(format!("refused for good: {}", refuse.words)),
        Ended::Protocol(words) => Some(words.clone()),
        _ => None,
    }
}

/// As the mode does it: locks, the spool, what others hold, and what is made of them.
fn open(
    process: Process,
    shm: &Path,
    destinations: &[String],
    record: &mut Record,
    manner: Manner,
) -> Result<Run, String> {
    let words = |error: &dyn std::error::Error| chain(error);
    let rings = hog_ring::group_dir(shm, super::GROUP);
    let locks = Path::new("/locks");
    disk::make_directory(locks).map_err(|error| words(&error))?;
    let directory = PathBuf::from(format!("/spool{}", manner.directory));
    disk::make_directory(&directory).map_err(|error| words(&error))?;
    let lock = DirectoryLock::take(&directory).map_err(|error| words(&error))?;
    let found = Spool::runs_in(&directory).map_err(|error| words(&error))?;
    let identity = lock.raise_epoch(found.last().copied()).map_err(|error| words(&error))?;
    let owed = |identity: SpoolIdentity, found: &[SpoolIdentity]| {
        let epochs = found.iter().map(|run| run.epoch).chain([identity.epoch]);
        epochs
            .map(|epoch| (epoch, destinations.to_vec()))
            .collect::<HashMap<_, _>>()
    };
    let bounds = Bounds {
        max: 1 << 30,
        on_full: OnFull::Block,
        retain: Duration::ZERO,
    };
    let earlier: Vec<_> = record.runs.clone();
    record.runs.push((identity.sender.0, identity.epoch, directory.clone()));
    let spool = Spool::open(
        Arc::new(lock),
        &directory,
        super::GROUP,
        identity,
        bounds,
        owed(identity, &found),
    )
    .map_err(|error| words(&error))?
    .spool;
    let mut older: Vec<OlderSpool> = Vec::new();
    for (_, _, other) in &earlier {
        if *other == directory || older.iter().any(|older| older.directory == *other) {
            continue;
        }
        let lock = DirectoryLock::take(other).map_err(|error| words(&error))?;
        if Spool::is_empty_in(other).map_err(|error| words(&error))? {
            continue;
        }
        let found = Spool::runs_in(other).map_err(|error| words(&error))?;
        let identity = lock.raise_epoch(found.last().copied()).map_err(|error| words(&error))?;
        let opened = OlderSpool::open(lock, other, identity, owed(identity, &found), Duration::ZERO);
        older.push(opened.map_err(|error| words(&error))?);
    }
    let mut inherited = Inheritance::default();
    for (stream, held) in older.iter().flat_map(|older| &older.table.streams) {
        let known = inherited.elsewhere.entry(*stream).or_insert_with(|| held.clone());
        if held.end > known.end {
            *known = held.clone();
        }
    }
    let index = Arc::clone(spool.index());
    let senders: Vec<_> = older
        .iter()
        .map(|older| (Arc::clone(&older.index), older.identity, older.directory.clone()))
        .chain([(Arc::clone(&index), identity, directory.clone())])
        .collect();
    for (index, identity, _) in &senders {
        for destination in index.destinations() {
            let noted = record.acknowledged.get(&(identity.sender.0, destination.clone()));
            index.remember_acknowledged(&destination, noted.cloned().unwrap_or_default());
        }
    }
    let indexes: Vec<_> = senders.iter().map(|(index, _, _)| Arc::clone(index)).collect();
    SpoolIndex::join(&indexes, false);
    let stop = Stop::default();
    let lanes = lanes(&senders, &earlier, identity, manner, &stop, destinations);
    let report = Arc::new(DrainerReport::default());
    let source = Rc::new(DrainerSource {
        rings,
        lock: Arc::new(DirectoryLock::take(locks).map_err(|error| words(&error))?),
        inherited: Arc::new(inherited),
        report: Arc::clone(&report),
        fence: Arc::default(),
        reopen: GroupLog::reopener(&spool),
    });
    let mut drainer = source.drainer(spool, &source.fence.pass())?;
    drainer.begin()?;
    Ok(Run {
        process,
        lanes,
        drainer: Some(drainer),
        used: None,
        source,
        synced: SyncedSpool::new(super::GROUP, indexes, report, directory, Recorder::to_nowhere()),
        index,
        identity,
        older,
    })
}

fn lanes(
    senders: &[(Arc<SpoolIndex>, SpoolIdentity, PathBuf)],
    earlier: &[(Uuid, u64, PathBuf)],
    current: SpoolIdentity,
    manner: Manner,
    stop: &Stop,
    destinations: &[String],
) -> BTreeMap<String, Lane> {
    let runs: Vec<_> = earlier.iter().map(|(sender, epoch, _)| (*sender, *epoch)).collect();
    let here: Vec<_> = senders
        .iter()
        .map(|(_, identity, _)| identity.sender.0)
        .filter(|sender| *sender != current.sender.0)
        .collect();
    let legs = route::legs(&runs, &here, current.sender.0);
    let starts: BTreeMap<Uuid, (u64, Arc<AtomicU64>)> = senders
        .iter()
        .map(|(_, identity, _)| (identity.sender.0, (fastrand::u64(..), Arc::default())))
        .collect();
    let shipper = |destination: &String, leg: &route::Leg| {
        let (index, identity, directory) = senders.iter().find(|(_, identity, _)| identity.sender.0 == leg.spool)?;
        let (start_id, connections) = starts.get(&leg.spool)?;
        let options = ShipperOptions {
            group: super::GROUP.to_owned(),
            destination: destination.clone(),
            directory: directory.clone(),
            identity: *identity,
            up_to: leg.up_to,
            start_id: *start_id,
            connections: Arc::clone(connections),
            compression: manner.compression,
            batch_bytes: manner.batch_bytes,
            batch_time: Duration::from_millis(10),
        };
        let on_fatal = unbounded().0;
        Some(Shipper::new(
            options,
            Arc::clone(index),
            Recorder::to_nowhere(),
            stop.clone(),
            on_fatal,
        ))
    };
    let lane = |destination: &String| {
        let route = Route::new(legs.iter().filter_map(|leg| shipper(destination, leg)).collect());
        (destination.clone(), Lane { route, open: None })
    };
    destinations.iter().map(lane).collect()
}
