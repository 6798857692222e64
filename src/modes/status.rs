//! `hog status`: what a role is doing, from hogstat.db, the rings and the spools. It takes no lock and changes nothing, so it may be asked at any time.

mod recoveries;

pub use recoveries::RecoveryStatus;

use crate::exit::{ExitStatus, Failure};
use crate::modes::store::{DATABASE, database_failure};
use crate::os::clock;
use crate::os::lock::{self, DirectoryLock};
use crate::stages::spool::SpoolIndex;
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
    /// Bytes in rings and spools that not everybody they are owed to has acknowledged.
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
    /// Directory of its spool.
    pub spool: String,
    /// The spool's uuid.
    pub sender: String,
    /// The latest run of it.
    pub epoch: u64,
    /// Bytes in its rings that are not in the spool.
    pub ring_bytes: u64,
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

/// Something that went wrong.
#[derive(Debug, Serialize)]
pub struct FaultStatus {
    /// When.
    pub time: String,
    /// With what.
    pub object: String,
    /// What.
    pub what: String,
}

/// Prints the status. Exit 3 when the role is not running.
///
/// # Errors
/// When the store cannot be read.
pub fn run(options: &StatusOptions) -> Result<ExitStatus, Failure> {
    let status = look(options)?;
    let text = match options.format {
        StatusFormat::Json => serde_json::to_string(&status).map_err(|error| Failure::of(&error))? + "\n",
        StatusFormat::Text => text_of(&status),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(Failure::of(&error)),
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
        groups.push(group_status(&stat, &overview, spool, &options.shm_dir)?);
    }
    Ok(Status {
        running: DirectoryLock::holder_of(&options.store),
        unacked_bytes: groups.iter().map(|group| group.ring_bytes + group.spool_bytes).sum(),
        dropped_records: groups.iter().map(|group| group.dropped_records).sum(),
        groups,
        sessions: overview.sessions.iter().map(session_status).collect(),
        regions: overview.regions.iter().map(region_status).collect(),
        recoveries: overview.recoveries.iter().map(RecoveryStatus::of).collect(),
        faults: overview.faults.iter().map(fault_status).collect(),
    })
}

/// How long a role may take to make its database, or to bring it to its version.
const DATABASE_IS_MADE_WITHIN: Duration = Duration::from_secs(2);

fn open_database(store: &Path) -> Result<Stat, Failure> {
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

fn group_status(
    stat: &Stat,
    overview: &Overview,
    spool: &hogstat::Spool,
    shm_dir: &Path,
) -> Result<GroupStatus, Failure> {
    let (mut ring_bytes, mut dropped_records, mut dropped_bytes) = (0, 0, 0);
    for directory in ring_directories(overview, &spool.group, shm_dir) {
        for path in hog_ring::ring_files(&directory).unwrap_or_default() {
            let Ok(ring) = RingReader::open(&path) else { continue }; // gone meanwhile, or the drainer reports it
            let head = ring.head();
            ring_bytes += ring.tail(head).map_or(0, |tail| tail - head);
            let (records, bytes) = ring.drops();
            dropped_records += records;
            dropped_bytes += bytes;
        }
    }
    let directory = Path::new(&spool.directory);
    let epoch = lock::spool_identity(directory).map_or(spool.epoch, |identity| identity.epoch.max(spool.epoch));
    let index = SpoolIndex::look_at(directory, spool.epoch).map_err(|error| Failure::of(&error))?;
    let named: Vec<String> = spool
        .destinations
        .iter()
        .map(|destination| destination.address.clone())
        .collect();
    for epoch in index.epochs().into_iter().chain([spool.epoch]) {
        let owed = stat
            .destinations_of(spool.sender, epoch)
            .map_err(|error| database_failure(&error))?;
        index.set_owed(epoch, owed.unwrap_or_else(|| named.clone()));
    }
    for destination in index.destinations() {
        let acked = stat
            .acknowledged(spool.sender, &destination)
            .map_err(|error| database_failure(&error))?;
        index.know_acknowledged(&destination, acked);
    }
    let now = clock::now_ns();
    let unacknowledged = index.unacknowledged();
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
        group: spool.group.clone(),
        spool: spool.directory.clone(),
        sender: spool.sender.to_string(),
        epoch,
        ring_bytes,
        spool_bytes: destinations
            .iter()
            .map(|destination| destination.unacked_bytes)
            .max()
            .unwrap_or(0),
        spool_used: index.usage().used,
        retained_bytes: index.delivered_bytes(),
        spool_max: lock::spool_bound(directory),
        dropped_records,
        dropped_bytes,
        destinations,
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

fn fault_status(fault: &hogstat::Fault) -> FaultStatus {
    FaultStatus {
        time: time_of(fault.time),
        object: fault.object.clone(),
        what: fault.what.clone(),
    }
}

fn text_of(status: &Status) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match &status.running {
        Some(pid) => writeln!(
            text,
            "running as process {pid}; {} bytes unacknowledged",
            status.unacked_bytes
        ),
        None => writeln!(text, "not running; {} bytes unacknowledged", status.unacked_bytes),
    };
    for group in &status.groups {
        let _ = writeln!(
            text,
            "group {}: {} bytes in rings, {} in the spool {}, run {}, {} records dropped",
            group.group, group.ring_bytes, group.spool_bytes, group.spool, group.epoch, group.dropped_records
        );
        let bound = group.spool_max.map_or_else(String::new, |max| format!(" of {max}"));
        let _ = writeln!(
            text,
            "  spool: {} bytes{bound} on the disk, {} of them delivered",
            group.spool_used, group.retained_bytes
        );
        for destination in &group.destinations {
            let state = destination.state.as_deref().unwrap_or("not tried yet");
            let age = destination
                .oldest_unsent_age
                .map(|age| format!(", the oldest {age:.1} s old"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "  to {}: {state}, {} bytes to go{age}",
                destination.address, destination.unacked_bytes
            );
        }
    }
    for region in &status.regions {
        let _ = writeln!(
            text,
            "ring {} of group {}: {}, position {}",
            region.name, region.group, region.state, region.position
        );
    }
    for recovery in &status.recoveries {
        let _ = writeln!(text, "{}", recovery.in_words());
    }
    for session in &status.sessions {
        let ended = session
            .ended
            .as_deref()
            .map_or_else(|| "not ended in order".to_owned(), |ended| format!("ended {ended}"));
        let _ = writeln!(
            text,
            "session {} {} (process {}): {}, {ended}",
            session.id, session.role, session.pid, session.started
        );
    }
    for fault in &status.faults {
        let _ = writeln!(text, "fault {}: {}: {}", fault.time, fault.object, fault.what);
    }
    text
}
