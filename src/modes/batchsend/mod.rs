//! `hog batchsend`: drains the rings of its groups into their spools and ships these to every destination.
//!
//! For each group one drainer, one intake of version-2 queues and, for each destination that is owed anything, one shipper; for all of them one thread that syncs the spools and one that
//! writes hogstat.db. Every worker is supervised: what it holds in memory can be rebuilt from the spool.

pub mod classic;
pub mod cursor;
mod inherit;
pub mod older;
mod opening;
pub mod peer;
mod routes;
pub mod shipper;
mod spooled;
pub mod syncer;

use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::codec::Compress;
use crate::formats::lock_record::SpoolIdentity;
use crate::modes::drainer::thread::Surroundings;
use crate::modes::drainer::{self, DrainerReport};
use crate::modes::intake::{self, IntakeReport, Orphans};
use crate::modes::preflight;
use crate::modes::recorder::{Acknowledged, Recorder};
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use crate::modes::store::{self, Store};
use crate::modes::supervise::{Job, Supervision, Supervisor};
use crate::os::process;
use crate::stages::recovery::Policy;
use crate::stages::spool::older::OlderSpool;
use crate::stages::spool::room::OnFull;
use crate::stages::spool::{Spool, SpoolIndex};
use crossbeam::channel::{Sender, unbounded};
use hog_ring::ShmGroup;
use hogstat::{RegionState, Role};
use inherit::{Awaited, note_recovered};
use opening::{OpenedGroup, open_group};
use peer::Peer;
use routes::Routes;
use shipper::Call;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct BatchsendOptions {
    /// Groups to drain.
    pub groups: Vec<String>,
    /// Destinations, `HOST:PORT`.
    pub destinations: Vec<String>,
    /// Directory of the spools; `$GROUP` in it is the group, otherwise a directory of that name is made in it.
    pub spool: String,
    /// The store.
    pub store: PathBuf,
    /// Where programs of the original register.
    pub sockets: PathBuf,
    /// Where the rings are.
    pub shm_dir: PathBuf,
    /// With whom they are shared.
    pub shm_group: Option<ShmGroup>,
    /// A batch leaves this long after its first record was drained.
    pub batch_time: Duration,
    /// A batch leaves with this many bytes.
    pub batch_bytes: usize,
    /// How bodies are compressed on the wire.
    pub compression: Compress,
    /// How often the spool is synced.
    pub sync: Duration,
    /// What the spool of each group may take; by default most of its file system.
    pub spool_max: Option<u64>,
    /// What to do with records when that is taken.
    pub on_full: OnFull,
    /// How long delivered segments stay.
    pub retain: Duration,
    /// What to do with what earlier sessions left.
    pub recover: Policy,
    /// End once everything found at the start is delivered.
    pub drain_and_exit: bool,
    /// How workers are watched.
    pub supervision: Supervision,
}

/// How long a record waits for others at most, where somebody waits for the end.
const BATCH_TIME_TO_EXIT: Duration = Duration::from_millis(100);

impl BatchsendOptions {
    /// How long a record may wait for others to leave with.
    fn batch_time(&self) -> Duration {
        if self.drain_and_exit {
            self.batch_time.min(BATCH_TIME_TO_EXIT)
        } else {
            self.batch_time
        }
    }
}

/// A receiver that refuses a group's spool for good.
pub struct Refused {
    /// The group.
    pub group: String,
    /// The spool's directory.
    pub directory: PathBuf,
    /// Who refused, and why.
    pub words: String,
}

/// The way to whoever ends the process then.
type Fatal = Sender<Refused>;

/// How often it is looked whether groups are served, or all is delivered, while somebody waits for that.
const LOOK: Duration = Duration::from_millis(20);

/// How often it is looked whether a recovery is over.
const RECOVERIES_EVERY: Duration = Duration::from_secs(1);

/// How long workers have to end.
const END_WITHIN: Duration = Duration::from_secs(3);

/// How long what they recorded has to get into the database then.
const RECORDED_WITHIN: Duration = Duration::from_secs(1);

/// One group while it runs.
struct Group {
    name: String,
    index: Arc<SpoolIndex>,
    /// What other directories hold, held as long as it is shipped.
    older: Vec<OlderSpool>,
    report: Arc<DrainerReport>,
    intake: Arc<IntakeReport>,
    /// Recoveries that are not over.
    awaited: Vec<Awaited>,
}

/// The spool directory of `group`.
#[must_use]
pub fn spool_directory(pattern: &str, group: &str) -> PathBuf {
    if pattern.contains("$GROUP") {
        PathBuf::from(pattern.replace("$GROUP", group))
    } else {
        Path::new(pattern).join(group)
    }
}

/// Runs until SIGTERM, or until all is delivered if that was asked for.
///
/// # Errors
/// When it cannot start, or a receiver refuses this sender for good.
pub fn run(options: &BatchsendOptions) -> Result<ExitStatus, Failure> {
    let stop = Stop::on_signals().map_err(|error| Failure::of(&error))?;
    process::raise_open_files();
    let service = Service::start(&stop).map_err(|error| Failure::of(&error))?;
    preflight::rings(&options.shm_dir, &options.groups)?;
    let spools: Vec<PathBuf> = options
        .groups
        .iter()
        .map(|group| spool_directory(&options.spool, group))
        .collect();
    preflight::directories(spools.iter().map(PathBuf::as_path).chain([options.store.as_path()]))?;
    let mut store = Store::open(&options.store, Role::Batchsend, &stop)?;
    let mut opened = Vec::new();
    for group in &options.groups {
        opened.push(open_group(options, &mut store, group)?);
    }
    let indexes: Vec<_> = opened.iter().flat_map(OpenedGroup::indexes).collect();
    let Store {
        stat, session, lock, ..
    } = store;
    // The recorder outlives the other workers, so that it hears of their end.
    let recorder_stop = Stop::default();
    let (recorder, job) = Recorder::new(stat, session, &recorder_stop, acknowledged_in(indexes));
    let supervisor = Supervisor::new(options.supervision, &recorder, service.hearts());
    supervisor.start(job).map_err(|error| Failure::of(&error))?;
    let (on_fatal, fatal) = unbounded();
    let mut groups = Vec::new();
    for group in opened {
        for (object, damage) in &group.damages {
            recorder.loss(object, damage);
        }
        for region in &group.inherited.lost {
            recorder.region_state(region.ring, RegionState::Lost, region.position);
            recorder.loss(&format!("ring {}", region.ring), &region.words);
        }
        groups.push(
            start_group(options, group, &recorder, &stop, &on_fatal, &supervisor)
                .map_err(|error| Failure::of(&error))?,
        );
    }
    supervisor
        .start(syncer::job(options, &groups, &recorder, &stop))
        .map_err(|error| Failure::of(&error))?;

    tell_of(&groups, &service, &supervisor);

    let mut failure = None;
    let mut recoveries_due = Instant::now();
    let mut look = LOOK;
    while !supervisor.rest(&stop, look) {
        let gives_up = supervisor.tend();
        if groups.iter().all(Group::is_served) {
            service.is_ready();
            if !options.drain_and_exit {
                look = RECOVERIES_EVERY;
            }
        }
        if let Ok(Refused { directory, words, .. }) = fatal.try_recv() {
            let words = format!("{words}: this spool was copied or restored, and the receiver protects what it has");
            if let Err(error) = Spool::note_refusal(&directory, &words) {
                warn!("{}", chain(&error));
            }
            failure = Some(Failure::new(ExitStatus::Unsafe, words));
            stop.set();
        }
        if Instant::now() >= recoveries_due {
            recoveries_due = Instant::now() + RECOVERIES_EVERY;
            note_recoveries(&mut groups, &recorder);
        }
        if options.drain_and_exit && groups.iter().all(Group::is_done) {
            info!("all is delivered");
            stop.set();
        }
        // Who waits for the end does not wait for a worker that will never reach it.
        if gives_up || (options.drain_and_exit && !supervisor.given_up().is_empty()) {
            stop.set();
        }
    }
    supervisor.end(Instant::now() + END_WITHIN);
    note_recoveries(&mut groups, &recorder);
    let degraded = !supervisor.given_up().is_empty() || (options.drain_and_exit && recorder.is_degraded());
    recorder_stop.set();
    supervisor.end(Instant::now() + RECORDED_WITHIN);
    drop(lock);
    match failure {
        Some(failure) => Err(failure),
        None if degraded => Ok(ExitStatus::Degraded),
        None => Ok(ExitStatus::Done),
    }
}

/// Records which recoveries are over, and lets go of spools of which nothing is left.
fn note_recoveries(groups: &mut [Group], recorder: &Recorder) {
    for group in groups {
        let indexes = group.indexes();
        note_recovered(&mut group.awaited, &indexes, recorder);
        group.older.retain(|older| {
            let is_empty = older.index.is_empty();
            if is_empty {
                recorder.spool_emptied(older.identity.sender.0);
            }
            !is_empty
        });
    }
}

impl Group {
    /// Of all its spools.
    fn indexes(&self) -> Vec<Arc<SpoolIndex>> {
        let older = self.older.iter().map(|older| Arc::clone(&older.index));
        older.chain([Arc::clone(&self.index)]).collect()
    }

    /// Whether its rings were looked for.
    fn is_served(&self) -> bool {
        self.report.passes.load(Ordering::Relaxed) > 0
    }

    /// Whether all that was there at the start is drained and acknowledged.
    fn is_done(&self) -> bool {
        let Some(of_queues) = self.intake.goal() else {
            return false;
        };
        // Acquire pairs with the Release of the drainer, which wrote the goal before.
        self.report.caught_up.load(Ordering::Acquire)
            && self.index.is_delivered_up_to(&of_queues)
            && self
                .report
                .goal
                .lock()
                .is_ok_and(|goal| self.index.is_delivered_up_to(&goal))
            && self.older.iter().all(|older| older.index.is_all_delivered())
    }
}

/// Tells the service manager what is done for the groups.
fn tell_of(groups: &[Group], service: &Service, supervisor: &Supervisor) {
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.name.clone(), group.indexes()))
        .collect();
    let supervisor = supervisor.clone();
    service.describe(move || {
        let lacks = |(name, indexes): &(String, Vec<Arc<SpoolIndex>>)| {
            let most = |index: &Arc<SpoolIndex>| index.unacknowledged().values().map(|lacks| lacks.bytes).max();
            let bytes: u64 = indexes.iter().filter_map(most).sum();
            format!("{name}: {bytes} bytes spooled and not acknowledged")
        };
        groups.iter().map(lacks).collect::<Vec<_>>().join("; ") + &supervisor.in_words()
    });
}

/// Starts the drainer and the shippers of a group.
fn start_group(
    options: &BatchsendOptions,
    group: OpenedGroup,
    recorder: &Recorder,
    stop: &Stop,
    on_fatal: &Fatal,
    supervisor: &Supervisor,
) -> std::io::Result<Group> {
    let OpenedGroup {
        place,
        spool,
        rings,
        inherited,
        older,
        damages: _,
    } = group;
    let name = place.group.clone();
    let (index, identity, report) = (
        Arc::clone(spool.index()),
        spool.identity(),
        Arc::new(DrainerReport::default()),
    );
    let around = Surroundings {
        recorder: recorder.clone(),
        report: Arc::clone(&report),
        inherited: inherited.drainer,
    };
    let intake = Arc::<IntakeReport>::default();
    let orphans = if options.recover == Policy::Off {
        Orphans::Leave
    } else {
        Orphans::TakeIn
    };
    let intake_job = intake::job(place.clone(), &options.sockets, orphans, recorder, &intake, stop);
    supervisor.start(drainer::thread::job(place, rings, spool, around, stop))?;
    supervisor.start(intake_job)?;
    let routes = Routes {
        options,
        group: &name,
        older: &older,
        current: (&index, identity),
        recorder,
        on_fatal,
    };
    for (destination, plan) in routes.all() {
        let title = format!("ship {name} to {destination}");
        let call = Arc::<Call>::default();
        let to_hang_up = Arc::clone(&call);
        let whom = peer::of(&destination);
        let job = Job::new(&title, stop, move |post| match whom {
            Peer::Ours => plan.route(post, &call).run(),
            Peer::Original => plan.ship_to_original(post).map(|_| ()),
            Peer::Either => peer::ship_to_either(&plan, post, &call),
        });
        supervisor.start(job.on_relieved(move || to_hang_up.hang_up()))?;
    }
    Ok(Group {
        name,
        index,
        older: older.spools,
        report,
        intake,
        awaited: inherited.awaited,
    })
}

/// What the recorder asks for now and then.
fn acknowledged_in(groups: Vec<(Arc<SpoolIndex>, SpoolIdentity)>) -> Box<Acknowledged> {
    Box::new(move || {
        let mut all = Vec::new();
        for (index, identity) in &groups {
            for destination in index.destinations() {
                let positions = index.acknowledged_by(&destination);
                let positions = positions
                    .into_iter()
                    .map(|(stream, position)| (stream.0, position))
                    .collect();
                all.push((identity.sender.0, destination, positions));
            }
        }
        all
    })
}

/// The default directory of the spools.
#[must_use]
pub fn default_spool() -> String {
    Path::new(store::STATE_DIRECTORY).join("spool").display().to_string()
}
