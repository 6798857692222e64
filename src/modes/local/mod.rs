//! `hog local`: drains the rings of its groups straight into archives on this host.
//!
//! The drainer is the sender's ([`crate::modes::drainer`]), the archive the receiver's ([`crate::stages::archive`]), and nothing lies between them: a
//! record is in the archive when its append returned, and only then is its room in the ring given back. For each group one drainer; for all of them one
//! thread that syncs and one that writes hogstat.db. Every worker is supervised: what it holds in memory can be rebuilt from the archive.
//!
//! It takes the locks that a sender takes on rings and a receiver on archives, so it may follow either on the same files, and they it.

mod archived;
mod opening;
mod unsynced;

use crate::exit::{ExitStatus, Failure};
use crate::modes::drainer::thread::Surroundings;
use crate::modes::drainer::{self, DrainerReport};
use crate::modes::recorder::Recorder;
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use crate::modes::store::Store;
use crate::modes::supervise;
use crate::os::process;
use crate::stages::archive::ArchivePattern;
use archived::LocalArchive;
use hog_ring::ShmGroup;
use hogstat::RegionState;
use opening::{Opened, OpenedGroup, open};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::{info, warn};
use unsynced::Unsynced;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Groups to drain.
    pub groups: Vec<String>,
    /// Where archives lie.
    pub pattern: ArchivePattern,
    /// The store.
    pub store: PathBuf,
    /// Where the rings are.
    pub shm_dir: PathBuf,
    /// With whom the rings are shared.
    pub shm_group: Option<ShmGroup>,
    /// How often archives are synced.
    pub sync: Duration,
    /// Go on with rings from which somebody else took what the archive lacks.
    pub accept_gaps: bool,
    /// End once everything found at the start is in the archive, synced.
    pub drain_and_exit: bool,
}

/// How long workers have to end.
const END_WITHIN: Duration = Duration::from_secs(4);
/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_millis(20);

/// One group while it runs.
struct Group {
    name: String,
    report: Arc<DrainerReport>,
    unsynced: Arc<Unsynced>,
    /// What has to be synced before all is done; known once all that was there at the start is drained.
    goal: Option<u64>,
}

/// Runs until SIGTERM, or until all that was there is in the archive if that was asked for.
///
/// # Errors
/// When it cannot start.
pub fn run(options: &LocalOptions) -> Result<ExitStatus, Failure> {
    let stop = Stop::on_signals().map_err(|error| Failure::of(&error))?;
    process::raise_open_files();
    let service = Service::start(&stop).map_err(|error| Failure::of(&error))?;
    let Opened {
        store,
        groups: opened,
        archive_lock,
    } = open(options, &stop)?;
    let Store {
        stat, session, lock, ..
    } = store;
    // The recorder outlives the workers, so that it hears of their end.
    let recorder_stop = Stop::default();
    let (recorder, recorder_thread) =
        Recorder::start(stat, session, &recorder_stop, Box::new(Vec::new)).map_err(|error| Failure::of(&error))?;
    let mut workers = Vec::new();
    let mut groups = Vec::new();
    for group in opened {
        groups.push(start_group(group, options, &recorder, &stop, &mut workers).map_err(|error| Failure::of(&error))?);
    }
    workers.push(start_syncer(options.sync, &groups, &recorder, &stop).map_err(|error| Failure::of(&error))?);
    tell_of(&groups, &service);
    while !stop.wait(LOOK) {
        if groups.iter().all(Group::is_served) {
            service.is_ready();
        }
        if options.drain_and_exit && groups.iter_mut().all(Group::is_done) {
            info!("all is in the archive");
            stop.set();
        }
    }
    supervise::join_all(workers, Instant::now() + END_WITHIN);
    let degraded = recorder.is_degraded();
    drop(recorder);
    recorder_stop.set();
    supervise::join_all(vec![recorder_thread], Instant::now() + Duration::from_secs(1));
    drop((archive_lock, lock));
    Ok(if options.drain_and_exit && degraded {
        ExitStatus::Degraded
    } else {
        ExitStatus::Done
    })
}

impl Group {
    /// Whether its rings were looked for.
    fn is_served(&self) -> bool {
        self.report.passes.load(Ordering::Relaxed) > 0
    }

    /// Whether all that was there at the start is in the archive, on the disk.
    fn is_done(&mut self) -> bool {
        // Acquire pairs with the Release of the drainer, which appended before.
        if self.goal.is_none() && self.report.caught_up.load(Ordering::Acquire) {
            self.goal = Some(self.unsynced.appends());
        }
        self.goal.is_some_and(|goal| self.unsynced.synced() >= goal)
    }
}

/// Tells the service manager what is done for the groups, and whether their drainers move.
fn tell_of(groups: &[Group], service: &Service) {
    for group in groups {
        let report = Arc::clone(&group.report);
        let moves = move || report.passes.load(Ordering::Relaxed);
        service
            .hearts()
            .watch(&format!("the drainer of group {}", group.name), moves);
    }
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.name.clone(), Arc::clone(&group.unsynced)))
        .collect();
    service.describe(move || {
        let lacks = |(name, unsynced): &(String, Arc<Unsynced>)| {
            let appends = unsynced.appends().saturating_sub(unsynced.synced());
            format!("{name}: {appends} appends not synced")
        };
        groups.iter().map(lacks).collect::<Vec<_>>().join("; ")
    });
}

/// Starts the drainer of a group.
fn start_group(
    group: OpenedGroup,
    options: &LocalOptions,
    recorder: &Recorder,
    stop: &Stop,
    workers: &mut Vec<JoinHandle<()>>,
) -> std::io::Result<Group> {
    let OpenedGroup {
        place,
        archive,
        rings,
        damages,
        lost,
    } = group;
    let accept_gaps = options.accept_gaps || !damages.is_empty();
    for damage in damages {
        let object = format!("archive of group {}", place.group);
        warn!("{object}: {damage}");
        recorder.loss(&object, &damage);
    }
    for region in &lost {
        recorder.region_state(region.ring, RegionState::Lost, region.position);
        recorder.loss(&format!("ring {}", region.ring), &region.words);
    }
    let (name, report) = (place.group.clone(), Arc::new(DrainerReport::default()));
    let unsynced = Arc::new(Unsynced::of(archive.table(), Arc::clone(&report)));
    let log = LocalArchive::new(archive, Arc::clone(&unsynced), recorder.clone(), accept_gaps);
    let around = Surroundings {
        recorder: recorder.clone(),
        report: Arc::clone(&report),
        stop: stop.clone(),
        inherited: Arc::default(),
    };
    workers.push(drainer::thread::spawn(place, rings, log, around)?);
    Ok(Group {
        name,
        report,
        unsynced,
        goal: None,
    })
}

/// Syncs the archives now and then, and tells the drainers up to where.
fn start_syncer(
    every: Duration,
    groups: &[Group],
    recorder: &Recorder,
    stop: &Stop,
) -> std::io::Result<JoinHandle<()>> {
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.name.clone(), Arc::clone(&group.unsynced)))
        .collect();
    let (recorder_again, stop_again) = (recorder.clone(), stop.clone());
    supervise::spawn("sync", stop, recorder, move || {
        loop {
            let stopping = stop_again.wait(every);
            for (name, unsynced) in &groups {
                unsynced.sync(name, &recorder_again);
            }
            if stopping {
                return Ok(());
            }
        }
    })
}
