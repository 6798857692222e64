//! The routes of a group: for each destination that is owed anything, the shippers of the spools that have it, in their order.

use super::older::Older;
use super::shipper::{Call, Pressed, Route, Shipper, ShipperOptions};
use super::{BatchsendOptions, Fatal, classic, spool_directory};
use crate::formats::lock_record::SpoolIdentity;
use crate::modes::recorder::Recorder;
use crate::modes::supervise::Post;
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
    pub(super) on_fatal: &'a Fatal,
}

/// A spool as its receivers know it in this process.
struct Sender {
    directory: PathBuf,
    index: Arc<SpoolIndex>,
    identity: SpoolIdentity,
    start_id: u64,
    connections: Arc<AtomicU64>,
    pressed: Arc<Pressed>,
}

/// A route as it is made for each shipper that takes it: one may fail, or hang, and is followed by another.
pub(super) struct Plan {
    legs: Vec<(ShipperOptions, Arc<SpoolIndex>)>,
    recorder: Recorder,
    on_fatal: Fatal,
}

impl Plan {
    /// The route of one shipper: `post` ends and guards it, `calls` has its connection.
    pub(super) fn route(&self, post: &Post, calls: &Arc<Call>) -> Route {
        let shipper = |(options, index): &(ShipperOptions, Arc<SpoolIndex>)| {
            let (recorder, stop) = (self.recorder.clone(), post.stop.clone());
            Shipper::new(
                options.clone(),
                Arc::clone(index),
                recorder,
                stop,
                self.on_fatal.clone(),
            )
            .guarded_by(&post.pass, calls)
        };
        Route::new(self.legs.iter().map(shipper).collect())
    }

    /// The same for a receiver of the original, until `post` ends it.
    pub(super) fn ship_to_original(&self, post: &Post) -> Result<classic::Went, String> {
        classic::run(&self.legs, &self.recorder, post)
    }
}

impl Routes<'_> {
    /// The routes, by destination.
    pub(super) fn all(&self) -> Vec<(String, Plan)> {
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
                is_owed.then(|| (self.shipper(&destination, sender, leg), Arc::clone(&sender.index)))
            });
            let plan = Plan {
                legs: legs.collect(),
                recorder: self.recorder.clone(),
                on_fatal: self.on_fatal.clone(),
            };
            (destination.clone(), plan)
        };
        destinations.into_iter().map(route).collect()
    }

    fn shipper(&self, destination: &str, sender: &Sender, leg: &Leg) -> ShipperOptions {
        ShipperOptions {
            group: self.group.to_owned(),
            destination: destination.to_owned(),
            directory: sender.directory.clone(),
            identity: sender.identity,
            up_to: leg.up_to,
            start_id: sender.start_id,
            connections: Arc::clone(&sender.connections),
            compression: self.options.compression,
            pressed: Arc::clone(&sender.pressed),
            batch_bytes: self.options.batch_bytes,
            batch_time: self.options.batch_time(),
        }
    }
}

fn sender(directory: PathBuf, index: &Arc<SpoolIndex>, identity: SpoolIdentity) -> (Uuid, Sender) {
    let sender = Sender {
        directory,
        index: Arc::clone(index),
        identity,
        start_id: fastrand::u64(..),
        connections: Arc::default(),
        pressed: Arc::default(),
    };
    (identity.sender.0, sender)
}
