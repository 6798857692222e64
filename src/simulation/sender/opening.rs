//! How a process of a sender begins, as the mode does it: locks, the spool, what earlier runs left, and what is made of that.

use super::super::process::Process;
use super::lane::Lane;
use super::run::{DrainerSource, Run};
use super::{Manner, Record};
use crate::exit::chain;
use crate::formats::codec::Compress;
use crate::formats::lock_record::SpoolIdentity;
use crate::modes::batchsend::shipper::{Pressed, Route, Shipper, ShipperOptions};
use crate::modes::batchsend::syncer::SyncedSpool;
use crate::modes::drainer::DrainerReport;
use crate::modes::drainer::inheritance::Inheritance;
use crate::modes::drainer::log::GroupLog;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::os::disk;
use crate::os::lock::DirectoryLock;
use crate::stages::route;
use crate::stages::spool::older::OlderSpool;
use crate::stages::spool::room::{Bounds, OnFull};
use crate::stages::spool::{Spool, SpoolIndex};
use crossbeam::channel::unbounded;
use hog_ring::GroupOptions;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use uuid::Uuid;

/// As the mode does it: locks, the spool, what others hold, and what is made of them.
pub(super) fn open(
    process: Process,
    shm: &Path,
    destinations: &[String],
    record: &mut Record,
    manner: Manner,
) -> Result<Run, String> {
    let words = |error: &dyn std::error::Error| chain(error);
    let group = GroupOptions::new(super::super::GROUP).shm_dir(shm).open();
    let rings = group.map_err(|error| words(&error))?.directory().to_owned();
    let locks = Path::new("/locks");
    disk::make_directory(locks).map_err(|error| words(&error))?;
    let directory = PathBuf::from(format!("/spool{}", manner.directory));
    disk::make_directory(&directory)
        .and_then(|()| disk::sync_up_from(&directory, &directory))
        .map_err(|error| words(&error))?;
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
        super::super::GROUP,
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
        synced: SyncedSpool::new(super::super::GROUP, indexes, report, directory, Recorder::to_nowhere()),
        index,
        identity,
        older,
    })
}

pub(super) fn lanes(
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
    let starts: BTreeMap<Uuid, (u64, Arc<AtomicU64>, Arc<Pressed>)> = senders
        .iter()
        .map(|(_, identity, _)| (identity.sender.0, (fastrand::u64(..), Arc::default(), Arc::default())))
        .collect();
    let shipper = |destination: &String, leg: &route::Leg| {
        let (index, identity, directory) = senders.iter().find(|(_, identity, _)| identity.sender.0 == leg.spool)?;
        let (start_id, connections, pressed) = starts.get(&leg.spool)?;
        let options = ShipperOptions {
            group: super::super::GROUP.to_owned(),
            destination: destination.clone(),
            directory: directory.clone(),
            identity: *identity,
            up_to: leg.up_to,
            start_id: *start_id,
            connections: Arc::clone(connections),
            compression: Compress::Always(manner.compression),
            pressed: Arc::clone(pressed),
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
