//! What a person decides: that a destination or a ring is given up, or that what is noted of a destination is not true any more. It is recorded, and the
//! next sender acts on it.

use super::{Given, RecoverOptions};
use crate::exit::{ExitStatus, Failure};
use crate::modes::stop::Stop;
use crate::modes::store::{Store, database_failure};
use crate::os::clock;
use hog_ring::RingReader;
use hog_ring::reader::Liveness;
use hogstat::{RecoveryOutcome, Region, RegionState};
use std::path::Path;
use uuid::Uuid;

/// Records it, and says what was recorded.
pub(super) fn run(options: &RecoverOptions, abandon: &[Given], forget: &[String]) -> Result<ExitStatus, Failure> {
    let stop = Stop::on_signals().map_err(|error| Failure::of(&error))?;
    let mut store = Store::open_to_recover(&options.store, &stop)?;
    let done = settle(&mut store, abandon, forget);
    store
        .stat
        .close_session(store.session, clock::now_db())
        .map_err(|error| database_failure(&error))?;
    for words in done? {
        println!("{words}");
    }
    Ok(ExitStatus::Done)
}

fn settle(store: &mut Store, abandon: &[Given], forget: &[String]) -> Result<Vec<String>, Failure> {
    let groups = store.stat.groups().map_err(|error| database_failure(&error))?;
    let mut said = Vec::new();
    for given in abandon {
        said.push(match given {
            Given::Ring(ring) => abandon_ring(store, &groups, *ring)?,
            Given::Destination(address) => abandon_destination(store, &groups, address)?,
        });
    }
    for address in forget {
        let mut streams = 0;
        for group in &groups {
            let forgotten = store.stat.forget_destination(group, address);
            streams += forgotten.map_err(|error| database_failure(&error))?;
        }
        said.push(format!(
            "{address}: what it acknowledged of {streams} streams is forgotten"
        ));
    }
    Ok(said)
}

fn abandon_destination(store: &mut Store, groups: &[String], address: &str) -> Result<String, Failure> {
    let (mut runs, mut recoveries) = (0, 0);
    let now = clock::now_db();
    for group in groups {
        let abandoned = store.stat.abandon_destination(group, address, now);
        runs += abandoned.map_err(|error| database_failure(&error))?;
        let ended = store.stat.abandon_recoveries_to(store.session, group, address, now);
        recoveries += ended.map_err(|error| database_failure(&error))?;
    }
    if runs == 0 {
        let words = format!("nothing is owed to {address}: no run of this store named it, or it was given up before");
        return Err(Failure::new(ExitStatus::Failed, words));
    }
    Ok(format!(
        "{address} is given up: it gets nothing more of what {runs} runs drained, and {recoveries} recoveries are over"
    ))
}

fn abandon_ring(store: &mut Store, groups: &[String], ring: Uuid) -> Result<String, Failure> {
    let region = find(store, groups, ring)?;
    let lives = |mut ring: RingReader| matches!(ring.liveness(), Liveness::Living);
    if RingReader::open(Path::new(&region.path)).is_ok_and(lives) {
        let words = format!(
            "the producer of ring {} lives, and nothing of it is lost: stop it first",
            region.path
        );
        return Err(Failure::new(ExitStatus::Unsafe, words));
    }
    let (session, now) = (store.session, clock::now_db());
    let abandoned = store
        .stat
        .region_state(session, ring, RegionState::Abandoned, region.position, now);
    abandoned.map_err(|error| database_failure(&error))?;
    let begun = store.stat.unfinished_recoveries(&region.group);
    for recovery in begun.map_err(|error| database_failure(&error))? {
        if recovery.ring == ring {
            let given_up = RecoveryOutcome::Abandoned;
            let address = &recovery.address;
            let ended = store
                .stat
                .end_recovery(session, ring, address, recovery.to, given_up, now);
            ended.map_err(|error| database_failure(&error))?;
        }
    }
    Ok(format!(
        "ring {} of group {} ({}) is given up beyond position {}, the last that is noted; what a spool holds of it is shipped all the same",
        region.name, region.group, region.path, region.position
    ))
}

fn find(store: &Store, groups: &[String], ring: Uuid) -> Result<Region, Failure> {
    for group in groups {
        let regions = store.stat.regions_to_recover(group);
        let mut regions = regions.map_err(|error| database_failure(&error))?.into_iter();
        if let Some(region) = regions.find(|region| region.ring == ring) {
            return Ok(region);
        }
    }
    let words = format!(
        "{} knows no ring {ring} that is not finished",
        store.stat.path().display()
    );
    Err(Failure::new(ExitStatus::Failed, words))
}
