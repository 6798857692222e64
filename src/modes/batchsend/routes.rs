//! The routes of a group: for each destination that is owed anything, the shippers of the spools that have it, in their order.

use super::older::Older;
use super::shipper::{Route, Shipper, ShipperOptions};
use super::{BatchsendOptions, Fatal, spool_directory};
use crate::formats::lock_record::SpoolIdentity;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::stages::route::{self, Leg};
use crate::stages::spool::SpoolIndex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use uuid::Uuid;

/// What routes are made of.
pub(super) struct Routes<'a> {
    pub(super) options: &'a BatchsendOptions,
    pub(super) group: &'a str,
    pub(super) older: &'a Older,
    pub(super) current: (&'a Arc<SpoolIndex>, SpoolIdentity),
    pub(super) recorder: &'a Recorder,
    pub(super) stop: &'a Stop,
    pub(super) on_fatal: &'a Fatal,
}

/// A spool as its receivers know it in this process.
struct Sender {
    directory: PathBuf,
    index: Arc<SpoolIndex>,
    identity: SpoolIdentity,
    start_id: u64,
    connections: Arc<AtomicU64>,
}

impl Routes<'_> {
    /// The routes, by destination.
    pub(super) fn all(&self) -> Vec<(String, Route)> {
        let (index, identity) = self.current;
        let older = self.older.spools.iter();
        let mut senders: HashMap<Uuid, Sender> = older
            .map(|older| sender(older.directory.clone(), &older.index, older.identity))
            .collect();
        let directory = spool_directory(&self.options.spool, self.group);
        senders.extend([sender(directory, index, identity)]);
        let here: Vec<Uuid> = self.older.spools.iter().map(|older| older.identity.sender.0).collect();
        let legs = route::legs(&self.older.runs, &here, identity.sender.0);
        let mut destinations = index.destinations();
        for older in &self.older.spools {
            let more = older.index.destinations().into_iter();
            let more: Vec<_> = more.filter(|one| !destinations.contains(one)).collect();
            destinations.extend(more);
        }
        let route = |destination: String| {
            let legs = legs.iter().filter_map(|leg| {
                let sender = senders.get(&leg.spool)?;
                let is_owed = sender.index.destinations().contains(&destination);
                is_owed.then(|| self.shipper(&destination, sender, leg))
            });
            (destination.clone(), Route::new(legs.collect()))
        };
        destinations.into_iter().map(route).collect()
    }

    fn shipper(&self, destination: &str, sender: &Sender, leg: &Leg) -> Shipper {
        let options = ShipperOptions {
            group: self.group.to_owned(),
            destination: destination.to_owned(),
            directory: sender.directory.clone(),
            identity: sender.identity,
            up_to: leg.up_to,
            start_id: sender.start_id,
            connections: Arc::clone(&sender.connections),
            compression: self.options.compression,
            batch_bytes: self.options.batch_bytes,
            batch_time: self.options.batch_time(),
        };
        Shipper::new(
            options,
            Arc::clone(&sender.index),
            self.recorder.clone(),
            self.stop.clone(),
            self.on_fatal.clone(),
        )
    }
}

fn sender(directory: PathBuf, index: &Arc<SpoolIndex>, identity: SpoolIdentity) -> (Uuid, Sender) {
    let sender = Sender {
        directory,
        index: Arc::clone(index),
        identity,
        start_id: fastrand::u64(..),
        connections: Arc::default(),
    };
    (identity.sender.0, sender)
}
