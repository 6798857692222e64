//! `hog local`: drains the rings of its groups straight into archives on this host.
//!
//! The drainer is the sender's ([`crate::modes::drainer`]), the archive the receiver's ([`crate::stages::archive`]), and nothing lies between them: a
//! record is in the archive when its append returned, and only then is its room in the ring given back. For each group one drainer and one intake of version-2 queues; for all of them one
//! thread that syncs and one that writes hogstat.db. Every worker is supervised: what it holds in memory can be rebuilt from the archive.
//!
//! It takes the locks that a sender takes on rings and a receiver on archives, so it may follow either on the same files, and they it.

mod archived;
mod opening;
mod unsynced;

use crate::exit::{ExitStatus, Failure};
use crate::fence::Pass;
use crate::modes::drainer::thread::Surroundings;
use crate::modes::drainer::{self, DrainerReport};
use crate::modes::hobbes_files::{self, Durability, FilesReport, HobbesFiles};
use crate::modes::intake::{self, IntakeReport, Orphans};
use crate::modes::recorder::Recorder;
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use crate::modes::store::Store;
use crate::modes::supervise::{Job, Supervision, Supervisor};
use crate::os::process;
use crate::stages::archive::ArchivePattern;
use archived::LocalArchive;
use hog_ring::ShmGroup;
use hogstat::RegionState;
use opening::{Opened, OpenedGroup, open};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
    /// Where programs of the original register.
    pub sockets: PathBuf,
    /// Where the rings are.
    pub shm_dir: PathBuf,
    /// With whom the rings are shared.
    pub shm_group: Option<ShmGroup>,
    /// How often archives are synced.
    pub sync: Duration,
    /// The `.log` files beside archives, if there are to be any.
    pub files: Option<HobbesFiles>,
    /// Go on with rings from which somebody else took what the archive lacks.
    pub accept_gaps: bool,
    /// End once everything found at the start is in the archive, synced.
    pub drain_and_exit: bool,
    /// How workers are watched.
    pub supervision: Supervision,
}

/// How long workers have to end.
const END_WITHIN: Duration = Duration::from_secs(3);
/// How long what they recorded has to get into the database then.
const RECORDED_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether groups are served, or all is done, while somebody waits for that.
const LOOK: Duration = Duration::from_millis(20);

/// One group while it runs.
struct Group {
    name: String,
    report: Arc<DrainerReport>,
    intake: Arc<IntakeReport>,
    unsynced: Arc<Unsynced>,
    /// How far its `.log` files have come, if there are any.
    files: Option<Arc<FilesReport>>,
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
    // The recorder outlives the other workers, so that it hears of their end.
    let recorder_stop = Stop::default();
    let (recorder, job) = Recorder::new(stat, session, &recorder_stop, Box::new(Vec::new));
    let supervisor = Supervisor::new(options.supervision, &recorder, service.hearts());
    supervisor.start(job).map_err(|error| Failure::of(&error))?;
    let mut groups = Vec::new();
    for group in opened {
        groups.push(start_group(group, options, &recorder, &stop, &supervisor).map_err(|error| Failure::of(&error))?);
    }
    let syncer = syncer(options.sync, &groups, &recorder, &stop);
    supervisor.start(syncer).map_err(|error| Failure::of(&error))?;
    tell_of(&groups, &service, &supervisor);
    let mut look = LOOK;
    while !supervisor.rest(&stop, look) {
        let gives_up = supervisor.tend();
        if groups.iter().all(Group::is_served) {
            service.is_ready();
            if !options.drain_and_exit {
                look = Duration::MAX; // until there is something to tend to
            }
        }
        if options.drain_and_exit && groups.iter_mut().all(Group::is_done) {
            info!("all is in the archive");
            stop.set();
        }
        // Who waits for the end does not wait for a worker that will never reach it.
        if gives_up || (options.drain_and_exit && !supervisor.given_up().is_empty()) {
            stop.set();
        }
    }
    supervisor.end(Instant::now() + END_WITHIN);
    let degraded = !supervisor.given_up().is_empty() || (options.drain_and_exit && recorder.is_degraded());
    recorder_stop.set();
    supervisor.end(Instant::now() + RECORDED_WITHIN);
    drop((archive_lock, lock));
    Ok(if degraded {
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
        if self.goal.is_none() && self.report.caught_up.load(Ordering::Acquire) && self.intake.goal().is_some() {
            self.goal = Some(self.unsynced.appends());
        }
        let is_in_files = |goal| self.files.as_ref().is_none_or(|files| files.exported() >= goal);
        self.goal
            .is_some_and(|goal| self.unsynced.synced() >= goal && is_in_files(goal))
    }
}

/// Tells the service manager what is done for the groups.
fn tell_of(groups: &[Group], service: &Service, supervisor: &Supervisor) {
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.name.clone(), Arc::clone(&group.unsynced)))
        .collect();
    let supervisor = supervisor.clone();
    service.describe(move || {
        let lacks = |(name, unsynced): &(String, Arc<Unsynced>)| {
            let appends = unsynced.appends().saturating_sub(unsynced.synced());
            format!("{name}: {appends} appends not synced")
        };
        groups.iter().map(lacks).collect::<Vec<_>>().join("; ") + &supervisor.in_words()
    });
}

/// Starts the drainer of a group.
fn start_group(
    group: OpenedGroup,
    options: &LocalOptions,
    recorder: &Recorder,
    stop: &Stop,
    supervisor: &Supervisor,
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
        inherited: Arc::default(),
    };
    let intake = Arc::<IntakeReport>::default();
    let intake_job = intake::job(
        place.clone(),
        &options.sockets,
        Orphans::TakeIn,
        recorder,
        &intake,
        stop,
    );
    supervisor.start(drainer::thread::job(place, rings, log, around, stop))?;
    supervisor.start(intake_job)?;
    let durability = Arc::new(LocalDurability {
        name: name.clone(),
        unsynced: Arc::clone(&unsynced),
        recorder: recorder.clone(),
    });
    let files = options.files.map(|files| {
        let report = Arc::<FilesReport>::default();
        let job = hobbes_files::job(files, &options.pattern, &name, durability, &report, stop);
        supervisor.start(job).map(|()| report)
    });
    Ok(Group {
        name,
        report,
        intake,
        unsynced,
        files: files.transpose()?,
        goal: None,
    })
}

/// What the account of a group says to whoever writes its `.log` files.
struct LocalDurability {
    name: String,
    unsynced: Arc<Unsynced>,
    recorder: Recorder,
}

impl Durability for LocalDurability {
    fn appended(&self) -> u64 {
        self.unsynced.appends()
    }

    fn synced(&self) -> u64 {
        self.unsynced.synced()
    }

    fn sync(&self, pass: &Pass) {
        self.unsynced.sync(&self.name, &self.recorder, pass);
    }
}

/// Syncs the archives now and then, and tells the drainers up to where.
fn syncer(every: Duration, groups: &[Group], recorder: &Recorder, stop: &Stop) -> Job {
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.name.clone(), Arc::clone(&group.unsynced)))
        .collect();
    let recorder = recorder.clone();
    Job::new("sync", stop, move |post| {
        for (name, unsynced) in &groups {
            if post.pass.has_predecessor() && unsynced.give_up_hanging_sync() {
                warn!("archive of group {name}: a sync of its segment hangs, and counts as failed");
            }
        }
        loop {
            let stopping = post.stop.wait(every);
            for (name, unsynced) in &groups {
                unsynced.sync(name, &recorder, &post.pass);
                let _ = post.stop.is_set(); // it moves, however many groups there are
            }
            if stopping {
                return Ok(());
            }
        }
    })
}
