//! What this session takes over from earlier ones, by the plan of [`crate::stages::recovery`]: the plan is said, what is lost or over is noted, and
//! drainer and spool learn what they must know. Each pair of region and destination that is owed something is recorded as a recovery, and
//! watched until it is delivered.

use super::BatchsendOptions;
use super::older::Older;
use crate::exit::{ExitStatus, Failure};
use crate::formats::table::Stream;
use crate::ids::StreamId;
use crate::modes::drainer::inheritance::Inheritance;
use crate::modes::drainer::opening::{LostRegion, RingDirectory};
use crate::modes::recorder::Recorder;
use crate::modes::recover::facts::{Look, SpoolSeen};
use crate::modes::recover::words;
use crate::modes::store::{Store, database_failure};
use crate::os::clock;
use crate::stages::recovery::{self, Action, Policy, RecoveryPlan, Region, Step};
use crate::stages::spool::older::OlderSpool;
use crate::stages::spool::{Spool, SpoolIndex};
use hogstat::{NewRecovery, NewRegion, RecoveryOutcome, RegionState};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tracing::{info, warn};
use uuid::Uuid;

/// What a group takes over.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) drainer: Arc<Inheritance>,
    pub(super) lost: Vec<LostRegion>,
    pub(super) awaited: Vec<Awaited>,
}

/// A recovery that is not over.
pub(super) struct Awaited {
    ring: Uuid,
    address: String,
    to: u64,
}

/// Plans and begins the recovery of a group.
pub(super) fn inherit(
    options: &BatchsendOptions,
    store: &mut Store,
    group: &str,
    rings: &RingDirectory,
    (spool, directory): (&Spool, &Path),
    older: &Older,
    is_rebuilt: bool,
) -> Result<Inherited, Failure> {
    let rings = match rings {
        RingDirectory::Opened(rings) => Some(rings.directory.as_path()),
        RingDirectory::Closed { .. } => None,
    };
    let mut seen: Vec<_> = older.spools.iter().map(seen_of).collect();
    seen.push(SpoolSeen {
        directory: directory.to_owned(),
        sender: spool.identity().sender.0,
        index: spool.index(),
        table: spool.table(),
    });
    let look = Look {
        group,
        rings,
        spools: &seen,
        obstacles: &older.obstacles,
        stat: Some(&store.stat),
        is_rebuilt,
    };
    let plan = recovery::plan(&look.facts()?, options.recover, &options.destinations);
    refuse_losses(group, options.recover, &plan)?;
    say(group, &plan);
    let left = plan.left.iter().copied().collect();
    for spool in &seen {
        spool.index.leave(&left);
    }
    let mut inherited = Inherited::default();
    let mut drainer = Inheritance {
        left,
        elsewhere: elsewhere(older),
        ..Inheritance::default()
    };
    for step in &plan.steps {
        let Step::Region {
            region, action, from, ..
        } = step
        else {
            continue;
        };
        match action {
            Action::GiveUp => drop(drainer.abandoned.insert(region.stream)),
            Action::Note => note_end(store, region, *from)?,
            Action::Lose => inherited
                .lost
                .push(lose(store, group, region, *from, &options.destinations)?),
            _ => {}
        }
    }
    inherited.drainer = Arc::new(drainer);
    inherited.awaited = begin_recoveries(store, group, &plan)?;
    Ok(inherited)
}

fn seen_of(older: &OlderSpool) -> SpoolSeen<'_> {
    SpoolSeen {
        directory: older.directory.clone(),
        sender: older.identity.sender.0,
        index: &older.index,
        table: &older.table,
    }
}

/// What other spools than the present one hold: of each stream the part that goes furthest.
fn elsewhere(older: &Older) -> HashMap<StreamId, Stream> {
    let mut elsewhere: HashMap<StreamId, Stream> = HashMap::new();
    for (stream, held) in older.spools.iter().flat_map(|spool| &spool.table.streams) {
        let known = elsewhere.entry(*stream).or_insert_with(|| held.clone());
        if held.end > known.end {
            *known = held.clone();
        }
    }
    elsewhere
}

/// With [`Policy::Require`], nothing may be lost.
pub(super) fn refuse_losses(group: &str, policy: Policy, plan: &RecoveryPlan) -> Result<(), Failure> {
    if policy != Policy::Require || plan.losses.is_empty() {
        return Ok(());
    }
    let words = format!("group {group} cannot be recovered: {}", plan.losses.join("; "));
    Err(Failure::new(ExitStatus::Integrity, words))
}

/// Says what is done with what earlier sessions left. Rings that nobody met before are no news.
fn say(group: &str, plan: &RecoveryPlan) {
    let is_news = |step: &&Step| match step {
        Step::Region {
            region, bytes, action, ..
        } => (region.remembered.is_some() || region.spooled.is_some()) && (*bytes > 0 || *action != Action::Keep),
        Step::Ship(_) | Step::LeaveBacklog(_) => true,
    };
    for step in plan.steps.iter().filter(is_news) {
        info!("group {group}: recovery: {}", words::of_step(step));
    }
}

/// Killed between the ring's end and the note of it.
fn note_end(store: &mut Store, region: &Region, position: u64) -> Result<(), Failure> {
    let noted = store.stat.region_state(
        store.session,
        region.stream.0,
        RegionState::Ended,
        position,
        clock::now_db(),
    );
    noted.map_err(|error| database_failure(&error))
}

/// A region whose memory is gone: known to the database, and its recovery over.
fn lose(
    store: &mut Store,
    group: &str,
    region: &Region,
    position: u64,
    destinations: &[String],
) -> Result<LostRegion, Failure> {
    let words = format!(
        "the memory of ring {} ({}) of group {group} is gone; it was drained up to position {position}, and what was logged \
         beyond is lost",
        region.name, region.path
    );
    warn!("{words}");
    let (ring, now) = (region.stream.0, clock::now_db());
    if region.remembered.is_none() {
        let new = NewRegion {
            ring,
            group,
            name: &region.name,
            path: &region.path,
            created: region.born.1,
            boot: Uuid::nil(),
            capacity: 0,
            position,
        };
        let registered = store.stat.register_region(store.session, &new, now);
        registered.map_err(|error| database_failure(&error))?;
    }
    for address in destinations {
        let nothing = NewRecovery {
            ring,
            address,
            from: position,
            to: position,
        };
        let (stat, session) = (&mut store.stat, store.session);
        if stat
            .begin_recovery(session, &nothing, now)
            .map_err(|error| database_failure(&error))?
        {
            let lost = RecoveryOutcome::Lost;
            stat.end_recovery(session, ring, address, position, lost, now)
                .map_err(|error| database_failure(&error))?;
        }
    }
    Ok(LostRegion { ring, position, words })
}

/// Records what is owed of earlier sessions, and says what is awaited, also of what earlier sessions had begun to recover.
fn begin_recoveries(store: &mut Store, group: &str, plan: &RecoveryPlan) -> Result<Vec<Awaited>, Failure> {
    for debt in &plan.debts {
        let new = NewRecovery {
            ring: debt.stream.0,
            address: &debt.destination,
            from: debt.from,
            to: debt.to,
        };
        match store.stat.begin_recovery(store.session, &new, clock::now_db()) {
            // A stream of which the database that was lost knew all there was to know.
            Ok(_) | Err(hogstat::Error::Unknown { .. }) => {}
            Err(error) => return Err(database_failure(&error)),
        }
    }
    let unfinished = store
        .stat
        .unfinished_recoveries(group)
        .map_err(|error| database_failure(&error))?;
    let awaited = unfinished.into_iter().map(|recovery| Awaited {
        ring: recovery.ring,
        address: recovery.address,
        to: recovery.to,
    });
    Ok(awaited.collect())
}

/// Records the recoveries that are over, and goes on awaiting the others.
pub(super) fn note_recovered(awaited: &mut Vec<Awaited>, indexes: &[Arc<SpoolIndex>], recorder: &Recorder) {
    awaited.retain(|one| {
        let has_reached = |index: &Arc<SpoolIndex>| index.has_reached(&one.address, StreamId(one.ring), one.to);
        let is_over = indexes.iter().any(has_reached);
        if is_over {
            recorder.recovered(one.ring, &one.address, one.to);
        }
        !is_over
    });
}

/// Whether the database knew none of the runs in `runs`, of which there were some: it was lost, and is rebuilt. That is said.
pub(super) fn is_rebuilt(
    store: &mut Store,
    group: &str,
    directory: &Path,
    earlier_runs: usize,
) -> Result<bool, Failure> {
    if earlier_runs == 0
        || store
            .stat
            .knows_spools_of(group)
            .map_err(|error| database_failure(&error))?
    {
        return Ok(false);
    }
    let words = format!(
        "{} knows none of the runs in {}: what they left is rebuilt from the spool and the rings, and goes to the \
         destinations named now",
        store.stat.path().display(),
        directory.display()
    );
    warn!("group {group}: {words}");
    let object = directory.display().to_string();
    let recorded = store.stat.record_fault(
        store.session,
        hogstat::FaultKind::Loss,
        &object,
        &words,
        clock::now_db(),
    );
    recorded.map_err(|error| database_failure(&error))?;
    Ok(true)
}
