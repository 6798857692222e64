//! `hog status`: what a role is doing, from hogstat.db, the rings and the spools. It takes no lock and changes nothing, so it may be asked at any time.

pub(super) mod backlog;
mod recoveries;
mod text;

pub use recoveries::RecoveryStatus;

use crate::exit::{ExitStatus, Failure};
use crate::modes::faults::FaultStatus;
use crate::modes::store::{DATABASE, database_failure};
use crate::os::clock;
use crate::os::lock::{self, DirectoryLock};
use clap::ValueEnum;
use hog_ring::RingReader;
use hogstat::{Overview, Stat};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How to print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct StatusOptions {
    /// The store.
    pub store: PathBuf,
    /// Where rings are.
    pub shm_dir: PathBuf,
    /// How to print it.
    pub format: StatusFormat,
}

/// The state of a role. As JSON it is a documented contract; times are RFC 3339, ages are seconds.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Pid of the process that holds the store.
    pub running: Option<String>,
    /// The latest session lost something, or does without a worker that failed too often.
    pub is_degraded: bool,
    /// Bytes that are not where they are to stay: in rings, in spools and not acknowledged by all they are owed to, in archives that are
    /// drained into on this host and not known to be on disk.
    pub unacked_bytes: u64,
    /// Records that unreliable producers dropped, as far as rings that are still there say.
    pub dropped_records: u64,
    /// Each group.
    pub groups: Vec<GroupStatus>,
    /// Latest runs.
    pub sessions: Vec<SessionStatus>,
    /// Rings that are not finished, and those that were lost.
    pub regions: Vec<RegionStatus>,
    /// What earlier sessions left, as far as it is not recovered, and the latest that was.
    pub recoveries: Vec<RecoveryStatus>,
    /// Latest faults.
    pub faults: Vec<FaultStatus>,
}

/// One group.
#[derive(Debug, Serialize)]
pub struct GroupStatus {
    /// Its name.
    pub group: String,
    /// Directory of its spool; null where rings are drained into an archive on this host.
    pub spool: Option<String>,
    /// Directory of that archive, perhaps with `$DATE` in it; null where there is a spool.
    pub archive: Option<String>,
    /// The spool's uuid.
    pub sender: Option<String>,
    /// The latest run of it.
    pub epoch: Option<u64>,
    /// Bytes in its rings that are not in the spool, or archive.
    pub ring_bytes: u64,
    /// Bytes of its rings that are there and not known to be on disk.
    pub unsynced_bytes: u64,
    /// Bytes in its spool that some destination has not acknowledged: of the destination that lacks most.
    pub spool_bytes: u64,
    /// Bytes of the segments in its spool, delivered or not.
    pub spool_used: u64,
    /// Of these, bytes of segments that everybody has, and that are retained or about to be deleted.
    pub retained_bytes: u64,
    /// Bytes that the spool may take, its reserve included; `null` where no run has said so.
    pub spool_max: Option<u64>,
    /// Records dropped by the producers of its rings.
    pub dropped_records: u64,
    /// Bytes dropped by them.
    pub dropped_bytes: u64,
    /// Where it goes.
    pub destinations: Vec<DestinationStatus>,
}

/// One destination of a group.
#[derive(Debug, Serialize)]
pub struct DestinationStatus {
    /// `HOST:PORT`.
    pub address: String,
    /// `started` while connected, `suspended` while it is not, `closed` after the session.
    pub state: Option<String>,
    /// Bytes that it has not acknowledged.
    pub unacked_bytes: u64,
    /// Age of the oldest of them.
    pub oldest_unsent_age: Option<f64>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct SessionStatus {
    /// Its number.
    pub id: String,
    /// `engine`, `batchsend`, `batchrecv` or `local`.
    pub role: String,
    /// Its process.
    pub pid: u32,
    /// When it began.
    pub started: String,
    /// When it ended in order.
    pub ended: Option<String>,
    /// What syncs its files, in words; null where it did not say.
    pub synced_by: Option<String>,
}

/// One ring as recorded.
#[derive(Debug, Serialize)]
pub struct RegionStatus {
    /// Its uuid.
    pub ring: String,
    /// Its group.
    pub group: String,
    /// Its producer's name.
    pub name: String,
    /// `open`, `kept` for an heir, or `lost`.
    pub state: String,
    /// Last position that was recorded.
    pub position: u64,
}

/// Prints the status. Exit 3 when the role is not running.
///
/// # Errors
/// When the store cannot be read.
pub fn run(options: &StatusOptions) -> Result<ExitStatus, Failure> {
    let status = look(options)?;
    let text = match options.format {
        StatusFormat::Json => serde_json::to_string(&status).map_err(|error| Failure::of(&error))? + "\n",
        StatusFormat::Text => text::of(&status),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::new(
                ExitStatus::Failed,
                format!("cannot write the output: {error}"),
            ));
        }
        _ => {}
    }
    Ok(if status.running.is_some() {
        ExitStatus::Done
    } else {
        ExitStatus::Locked
    })
}

/// Looks at everything. Rings first, then spools: what moves from one to the other meanwhile is seen twice, never missed.
///
/// # Errors
/// When the store cannot be read.
pub fn look(options: &StatusOptions) -> Result<Status, Failure> {
    let stat = open_database(&options.store)?;
    let overview = stat.overview().map_err(|error| database_failure(&error))?;
    let mut groups = Vec::new();
    for spool in &overview.spools {
        groups.push(spool_status(&stat, &overview, spool, &options.shm_dir)?);
    }
    // A store may serve a sender and a local in turns. Who came last has the rings; of a sender before it the backlog counts all the same.
    let is_later = |one: &hogstat::Archive| {
        let spool = overview.spools.iter().find(|spool| spool.group == one.group);
        spool.is_none_or(|spool| spool.session < one.session)
    };
    for archive in overview.archives.iter().filter(|archive| is_later(archive)) {
        if let Some(spool) = groups.iter_mut().find(|group| group.group == archive.group) {
            (spool.ring_bytes, spool.dropped_records, spool.dropped_bytes) = (0, 0, 0);
        }
        groups.push(archive_status(&overview, archive, &options.shm_dir));
    }
    Ok(Status {
        running: DirectoryLock::holder_of(&options.store),
        is_degraded: overview.is_degraded,
        unacked_bytes: groups.iter().map(GroupStatus::unacked_bytes).sum(),
        dropped_records: groups.iter().map(|group| group.dropped_records).sum(),
        groups,
        sessions: overview.sessions.iter().map(session_status).collect(),
        regions: overview.regions.iter().map(region_status).collect(),
        recoveries: overview.recoveries.iter().map(RecoveryStatus::of).collect(),
        faults: overview.faults.iter().map(FaultStatus::of).collect(),
    })
}

/// How long a role may take to make its database, or to bring it to its version.
const DATABASE_IS_MADE_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn open_database(store: &Path) -> Result<Stat, Failure> {
    let deadline = Instant::now() + DATABASE_IS_MADE_WITHIN;
    loop {
        let error = match Stat::open_read_only(&store.join(DATABASE)) {
            Ok(stat) => return Ok(stat),
            Err(error) => error,
        };
        let is_unmade = matches!(error, hogstat::Error::Missing { .. } | hogstat::Error::Older { .. });
        let may_be_made =
            matches!(error, hogstat::Error::Busy { .. }) || (is_unmade && DirectoryLock::holder_of(store).is_some());
        if may_be_made && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        } else if matches!(
            error,
            hogstat::Error::Missing { .. } | hogstat::Error::Older { found: 0, .. }
        ) {
            let words = format!("{} has no {DATABASE}: nothing has run with this store", store.display());
            return Err(Failure::new(ExitStatus::Locked, words));
        } else {
            return Err(database_failure(&error));
        }
    }
}

impl GroupStatus {
    /// A group of which only the rings are known.
    fn of_rings(overview: &Overview, group: &str, shm_dir: &Path) -> Self {
        let mut status = Self {
            group: group.to_owned(),
            spool: None,
            archive: None,
            sender: None,
            epoch: None,
            ring_bytes: 0,
            unsynced_bytes: 0,
            spool_bytes: 0,
            spool_used: 0,
            retained_bytes: 0,
            spool_max: None,
            dropped_records: 0,
            dropped_bytes: 0,
            destinations: Vec::new(),
        };
        for directory in ring_directories(overview, group, shm_dir) {
            for path in hog_ring::ring_files(&directory).unwrap_or_default() {
                let Ok(ring) = RingReader::open(&path) else { continue }; // gone meanwhile, or the drainer reports it
                let Ok(head) = ring.sound_head() else { continue }; // given up, as the drainer reports
                let synced = ring.synced();
                status.ring_bytes += ring.tail(head).map_or(0, |tail| tail - head);
                status.unsynced_bytes += head.saturating_sub(synced);
                let (records, bytes) = ring.drops();
                status.dropped_records = status.dropped_records.saturating_add(records);
                status.dropped_bytes = status.dropped_bytes.saturating_add(bytes);
            }
        }
        status
    }

    /// What is not where it is to stay.
    fn unacked_bytes(&self) -> u64 {
        let drained = if self.archive.is_some() {
            self.unsynced_bytes
        } else {
            self.spool_bytes
        };
        self.ring_bytes + drained
    }
}

/// A group that is drained into an archive on this host.
fn archive_status(overview: &Overview, archive: &hogstat::Archive, shm_dir: &Path) -> GroupStatus {
    GroupStatus {
        archive: Some(archive.directory.clone()),
        ..GroupStatus::of_rings(overview, &archive.group, shm_dir)
    }
}

/// A group that is drained into a spool.
fn spool_status(
    stat: &Stat,
    overview: &Overview,
    spool: &hogstat::Spool,
    shm_dir: &Path,
) -> Result<GroupStatus, Failure> {
    let status = GroupStatus::of_rings(overview, &spool.group, shm_dir);
    let directory = Path::new(&spool.directory);
    let epoch = lock::spool_identity(directory).map_or(spool.epoch, |identity| identity.epoch.max(spool.epoch));
    let named: Vec<String> = spool
        .destinations
        .iter()
        .map(|destination| destination.address.clone())
        .collect();
    let index = backlog::index_of(stat, directory, (spool.sender, spool.epoch), &named)?;
    let now = clock::now_ns();
    let mut unacknowledged = index.unacknowledged();
    backlog::add_others(stat, spool, &named, &mut unacknowledged)?;
    let mut destinations: Vec<_> = unacknowledged
        .iter()
        .map(|(address, lacks)| {
            let known = spool.destinations.iter().find(|known| known.address == *address);
            #[allow(clippy::cast_precision_loss)] // an age for people
            let age = |since: u64| now.saturating_sub(since) as f64 / 1e9;
            DestinationStatus {
                address: address.clone(),
                state: known
                    .and_then(|known| known.status.as_ref())
                    .map(|(status, _)| status.to_string()),
                unacked_bytes: lacks.bytes,
                oldest_unsent_age: lacks.oldest.map(age),
            }
        })
        .collect();
    destinations.sort_by(|one, other| one.address.cmp(&other.address));
    Ok(GroupStatus {
        spool: Some(spool.directory.clone()),
        sender: Some(spool.sender.to_string()),
        epoch: Some(epoch),
        spool_bytes: destinations
            .iter()
            .map(|destination| destination.unacked_bytes)
            .max()
            .unwrap_or(0),
        spool_used: index.usage().used,
        retained_bytes: index.delivered_bytes(),
        spool_max: lock::spool_bound(directory),
        destinations,
        ..status
    })
}

/// Where rings of `group` are: below `shm_dir`, and wherever they were met.
fn ring_directories(overview: &Overview, group: &str, shm_dir: &Path) -> BTreeSet<PathBuf> {
    let met = overview.regions.iter().filter(|region| region.group == group);
    met.filter_map(|region| Path::new(&region.path).parent().map(Path::to_owned))
        .chain([hog_ring::group_dir(shm_dir, group)])
        .collect()
}

fn time_of(ns: i64) -> String {
    clock::rfc3339(u64::try_from(ns).unwrap_or(0))
}

fn session_status(session: &hogstat::Session) -> SessionStatus {
    SessionStatus {
        id: session.id.to_string(),
        role: session.role.to_string(),
        pid: session.pid,
        started: time_of(session.started),
        ended: session.ended.map(time_of),
        synced_by: session.synced_by.clone(),
    }
}

fn region_status(region: &hogstat::Region) -> RegionStatus {
    RegionStatus {
        ring: region.ring.to_string(),
        group: region.group.clone(),
        name: region.name.clone(),
        state: region.state.to_string(),
        position: region.position,
    }
}
