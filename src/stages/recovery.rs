//! Recovery: what becomes of what earlier sessions left, in which order, and how much it is. Decisions only, no IO.
//!
//! Earlier sessions leave *regions* (rings that they drained, or should have) and *backlog* (what they spooled, and a destination has not acknowledged).
//! [`plan`] is told what is known of both and says, in chronological order, what is done with each. A sender executes the plan that
//! `hog recover` prints: it is made by this function for both.
//!
//! What holds for every plan: each region has one step at most, older ones first; backlog is shipped or left, never both; what is to be
//! left untouched ([`Policy::Off`]) has no other step; nothing of a stream whose producer lives is left.

use crate::ids::StreamId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

/// What the command line says of recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Recover what can be recovered, report the rest as lost, and go on.
    #[default]
    Auto,
    /// Refuse to start while anything cannot be recovered.
    Require,
    /// Leave dead producers' regions and all backlog but that of living ones untouched, for a later session.
    Off,
}

/// Who owns a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Its producer lives, or nothing proves that it does not.
    Living,
    /// Its producer is dead, or has closed it.
    Gone,
    /// Nobody for good: it only has to be drained.
    Retired,
}

/// A ring that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFound {
    /// Who owns it.
    pub owner: Owner,
    /// A later run of its producer may take it over.
    pub adoptable: bool,
    /// Up to here records are published.
    pub tail: u64,
}

/// What the store remembers of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It was being drained.
    Open,
    /// It was drained, and left for the next run of its producer.
    Kept,
    /// Its memory was gone already.
    Lost,
    /// A person gave it up.
    Abandoned,
}

/// What a spool holds of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Up to here.
    pub end: u64,
    /// Its END is there.
    pub ended: bool,
}

/// One ring, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its stream.
    pub stream: StreamId,
    /// Its producer's name.
    pub name: String,
    /// Its file, as far as anybody knows.
    pub path: String,
    /// Its age: boots in their order, then creation within the boot.
    pub born: (u64, u64),
    /// What the store remembers, and the greatest position that was noted.
    pub remembered: Option<(Remembered, u64)>,
    /// The ring, if it is there.
    pub ring: Option<RingFound>,
    /// What the spools of the group hold.
    pub spooled: Option<Spooled>,
}

impl Region {
    /// Up to here nothing is in the ring alone.
    fn drained(&self) -> u64 {
        let spooled = self.spooled.map_or(0, |spooled| spooled.end);
        self.remembered.map_or(spooled, |(_, noted)| spooled.max(noted))
    }

    fn is_living(&self) -> bool {
        self.ring.is_some_and(|ring| ring.owner == Owner::Living)
    }
}

/// What one session spooled of a stream and one destination has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Sessions in their order; of runs that the store does not know, the order of their numbers.
    pub session: i64,
    /// The spool's directory.
    pub spool: PathBuf,
    /// `HOST:PORT`.
    pub destination: String,
    /// The stream.
    pub stream: StreamId,
    /// Below this position the destination is known to have all, or the spool holds nothing.
    pub from: u64,
    /// Up to here.
    pub to: u64,
}

/// What is known of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its regions, in any order.
    pub regions: Vec<Region>,
    /// Its backlog, in any order.
    pub backlog: Vec<Backlog>,
    /// All rings could be looked at: what is not among them is gone.
    pub saw_all_rings: bool,
    /// What stands in the way of recovery, such as a spool that is not there: each in words.
    pub obstacles: Vec<String>,
}

/// What is done with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Its producer lives: it is drained from where it was left.
    Resume,
    /// It is drained to its end, which is marked, and the ring is deleted.
    Drain,
    /// It is drained, and stays for the next run of its producer.
    Keep,
    /// Its end is spooled already: the ring is deleted.
    Delete,
    /// Its end is spooled and its ring is deleted already: that is noted.
    Note,
    /// A person gave it up: a GAP takes the place of what it still holds, and the ring is deleted.
    GiveUp,
    /// Its memory is gone: what it held beyond this position is lost.
    Lose,
    /// It is left untouched.
    Leave,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Backlog of one session, in one spool, goes to one destination.
    Ship(Shipment),
    /// Such backlog is left untouched.
    LeaveBacklog(Shipment),
    /// Something is done with a region.
    Region {
        /// The region.
        region: Region,
        /// What is done.
        action: Action,
        /// Below this position all is spooled.
        from: u64,
        /// How much the ring holds beyond that; of a ring that is gone nobody knows.
        bytes: u64,
    },
}

/// Backlog of one session, in one spool, for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The session.
    pub session: i64,
    /// The spool's directory.
    pub spool: PathBuf,
    /// `HOST:PORT`.
    pub destination: String,
    /// Of how many streams.
    pub streams: usize,
    /// How many bytes of positions.
    pub bytes: u64,
}

/// A stream that a destination is owed a part of, from before this session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Debt {
    /// The stream.
    pub stream: StreamId,
    /// `HOST:PORT`.
    pub destination: String,
    /// From here.
    pub from: u64,
    /// Up to here.
    pub to: u64,
}

/// What is done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// Backlog by session, then regions by age. Shipping runs beside draining.
    pub steps: Vec<Step>,
    /// What cannot be recovered, each in words with the way out.
    pub losses: Vec<String>,
    /// Streams of which nothing is touched, as long as their producers do not live.
    pub left: BTreeSet<StreamId>,
    /// What this session owes of earlier ones, as far as it is known now.
    pub debts: Vec<Debt>,
}

/// Says what becomes of what earlier sessions left of one group, when `destinations` are named now.
#[must_use]
pub fn plan(facts: &Facts, policy: Policy, destinations: &[String]) -> RecoveryPlan {
    let mut plan = RecoveryPlan {
        losses: facts.obstacles.clone(),
        ..RecoveryPlan::default()
    };
    let living: HashSet<StreamId> = facts
        .regions
        .iter()
        .filter(|region| region.is_living())
        .map(|region| region.stream)
        .collect();
    let (left, shipped): (Vec<_>, Vec<_>) = facts
        .backlog
        .iter()
        .partition(|backlog| policy == Policy::Off && !living.contains(&backlog.stream));
    plan.left.extend(left.iter().map(|backlog| backlog.stream));
    plan.steps.extend(shipments(&shipped).into_iter().map(Step::Ship));
    plan.steps.extend(shipments(&left).into_iter().map(Step::LeaveBacklog));
    let mut regions: Vec<_> = facts.regions.iter().collect();
    regions.sort_by_key(|region| (region.born, region.stream));
    for region in regions {
        plan.add_region(region, policy, facts.saw_all_rings);
    }
    plan.debts = debts(&shipped, &plan.steps, destinations);
    plan
}

impl RecoveryPlan {
    fn add_region(&mut self, region: &Region, policy: Policy, saw_all_rings: bool) {
        let Some(action) = action(region, policy, saw_all_rings) else {
            return;
        };
        let from = region.drained();
        match action {
            Action::Leave => {
                self.left.insert(region.stream);
            }
            Action::Lose => self.losses.push(format!(
                "the memory of ring {} ({}) is gone; it was drained up to position {from}, and what was logged beyond is lost \
                 (hog recover --abandon {} records that)",
                region.name, region.path, region.stream
            )),
            _ => {}
        }
        let bytes = region.ring.map_or(0, |ring| ring.tail.saturating_sub(from));
        self.steps.push(Step::Region {
            region: region.clone(),
            action,
            from,
            bytes,
        });
    }

    /// Bytes that are drained or shipped, as far as they are known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |step: &Step| match step {
            Step::Ship(shipment) => shipment.bytes,
            Step::Region {
                action: Action::Resume | Action::Drain | Action::Keep,
                bytes,
                ..
            } => *bytes,
            Step::Region { .. } | Step::LeaveBacklog(_) => 0,
        };
        self.steps.iter().map(of).sum()
    }
}

/// What is done with a region; nothing with one that is finished.
fn action(region: &Region, policy: Policy, saw_all_rings: bool) -> Option<Action> {
    let is_off = policy == Policy::Off;
    let remembered = region.remembered.map(|(remembered, _)| remembered);
    let Some(ring) = region.ring else {
        return match (remembered, region.spooled) {
            (Some(Remembered::Lost | Remembered::Abandoned), _) => None,
            _ if is_off => None,
            (Some(_), Some(Spooled { ended: true, .. })) => Some(Action::Note),
            (None, Some(Spooled { ended: true, .. }) | None) => None,
            _ => saw_all_rings.then_some(Action::Lose),
        };
    };
    Some(match ring.owner {
        Owner::Living => Action::Resume,
        _ if is_off => Action::Leave,
        _ if region.spooled.is_some_and(|spooled| spooled.ended) => Action::Delete,
        _ if remembered == Some(Remembered::Abandoned) => Action::GiveUp,
        Owner::Gone if ring.adoptable => Action::Keep,
        Owner::Gone | Owner::Retired => Action::Drain,
    })
}

/// Backlog joined by session, spool and destination.
fn shipments(backlog: &[&Backlog]) -> Vec<Shipment> {
    let mut joined: BTreeMap<_, (BTreeSet<StreamId>, u64)> = BTreeMap::new();
    for one in backlog.iter().filter(|one| one.to > one.from) {
        let place = joined.entry((one.session, &one.spool, &one.destination)).or_default();
        place.0.insert(one.stream);
        place.1 += one.to - one.from;
    }
    let shipment = |((session, spool, destination), (streams, bytes)): ((i64, &PathBuf, &String), _)| {
        let streams: BTreeSet<StreamId> = streams;
        Shipment {
            session,
            spool: spool.clone(),
            destination: destination.clone(),
            streams: streams.len(),
            bytes,
        }
    };
    joined.into_iter().map(shipment).collect()
}

/// What each destination is owed of each stream: its backlog, and for those named now the rest of rings that earlier sessions met.
fn debts(shipped: &[&Backlog], steps: &[Step], destinations: &[String]) -> Vec<Debt> {
    let mut spans: BTreeMap<(StreamId, &str), (u64, u64)> = BTreeMap::new();
    let mut owe = |stream, destination, from: u64, to: u64| {
        if to > from {
            let span = spans.entry((stream, destination)).or_insert((from, to));
            *span = (span.0.min(from), span.1.max(to));
        }
    };
    for backlog in shipped {
        owe(backlog.stream, &backlog.destination, backlog.from, backlog.to);
    }
    for step in steps {
        if let Step::Region {
            region,
            action: Action::Resume | Action::Drain | Action::Keep,
            from,
            bytes,
        } = step
            && region.remembered.is_some()
        {
            for destination in destinations {
                owe(region.stream, destination, *from, from + bytes);
            }
        }
    }
    spans
        .into_iter()
        .map(|((stream, destination), (from, to))| Debt {
            stream,
            destination: destination.to_owned(),
            from,
            to,
        })
        .collect()
}

#[cfg(test)]
mod tests;
