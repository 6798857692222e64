//! `hog batchrecv`: takes what senders ship and stores it, one archive for each group.
//!
//! A thread accepts; each connection has one that reads and one that acknowledges; each group has one that syncs. What is acknowledged was
//! appended before a sync that succeeded ([`group`]). Senders of the original are served at the same port ([`classic`]).

pub mod acks;
mod classic;
mod complaints;
pub mod connection;
mod gate;
pub mod group;
pub mod memory;
mod places;
pub mod serving;

use crate::exit::{ExitStatus, Failure, chain};
use crate::limits::GROUPS_MAX;
use crate::modes::hobbes_files::{self, HobbesFiles};
use crate::modes::preflight;
use crate::modes::recorder::Recorder;
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use crate::modes::store::{Store, lock_failure};
use crate::modes::supervise::{self, Job, Supervision, Supervisor};
use crate::os::disk;
use crate::os::lock::DirectoryLock;
use crate::os::net;
use crate::os::process;
use crate::stages::archive::ArchivePattern;
use classic::doubts::Doubts;
use classic::turns::Turns;
use complaints::Complaints;
use gate::Gate;
use group::GroupStore;
use hogstat::Role;
use memory::Memory;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct BatchrecvOptions {
    /// `ADDR:PORT`; port 0 takes any.
    pub listen: String,
    /// Where archives lie.
    pub pattern: ArchivePattern,
    /// The store.
    pub store: PathBuf,
    /// The `.log` files beside archives, if there are to be any.
    pub files: Option<HobbesFiles>,
    /// How workers are watched.
    pub supervision: Supervision,
}

/// The groups that are stored here.
pub struct Groups {
    pattern: ArchivePattern,
    files: Option<HobbesFiles>,
    by_name: Mutex<HashMap<String, Arc<GroupSlot>>>,
    recorder: Recorder,
    stop: Stop,
    supervisor: Supervisor,
    complaints: Complaints,
    memory: Arc<Memory>,
    /// Of original senders: what they may send again, and who inflates.
    doubts: Doubts,
    turns: Turns,
}

/// The place of a group. Opening an archive may take long, and holds up nobody but those who want the same.
type GroupSlot = Mutex<Option<Arc<GroupStore>>>;

impl Groups {
    /// The archive of `name`, opened if it was not.
    ///
    /// # Errors
    /// When it cannot be opened, in words.
    pub fn get(&self, name: &str) -> Result<Arc<GroupStore>, String> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_name.contains_key(name) && by_name.len() >= GROUPS_MAX {
            return Err(format!("{GROUPS_MAX} groups are stored here already"));
        }
        let slot = Arc::clone(by_name.entry(name.to_owned()).or_default());
        drop(by_name);
        let opened = self.open(name, &slot);
        if opened.is_err() {
            // A name that nothing was stored under takes no place, unless somebody else is trying just now.
            let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            if Arc::strong_count(&slot) == 2 {
                by_name.remove(name);
            }
        }
        opened
    }

    fn open(&self, name: &str, slot: &GroupSlot) -> Result<Arc<GroupStore>, String> {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = &*slot {
            return Ok(Arc::clone(group));
        }
        let group = GroupStore::open(&self.pattern, name, self.recorder.clone()).map_err(|error| chain(&error))?;
        let group = Arc::new(group);
        let syncing = Arc::clone(&group);
        let job = Job::new(&format!("sync {name}"), &self.stop, move |post| {
            syncing.sync_until(post)
        });
        self.supervisor.start(job).map_err(|error| chain(&error))?;
        if let Some(files) = self.files {
            let job = hobbes_files::job(
                files,
                &self.pattern,
                name,
                Arc::clone(&group),
                &Arc::default(),
                &self.stop,
            );
            self.supervisor.start(job).map_err(|error| chain(&error))?;
        }
        *slot = Some(Arc::clone(&group));
        Ok(group)
    }

    /// How many there are.
    fn count(&self) -> usize {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn finish(&self) {
        for (name, slot) in self.by_name.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Err(error)) = slot.as_ref().map(|group| group.finish()) {
                warn!("group {name}: {error}");
            }
        }
    }
}

/// Runs until SIGTERM.
///
/// # Errors
/// When it cannot start.
pub fn run(options: &BatchrecvOptions) -> Result<ExitStatus, Failure> {
    let stop = Stop::on_signals().map_err(|error| Failure::of(&error))?;
    process::raise_open_files();
    let service = Service::start(&stop).map_err(|error| Failure::of(&error))?;
    let base = options.pattern.base();
    preflight::directories([base.as_path(), &options.store])?;
    let listener = net::listen(&options.listen).map_err(|error| {
        Failure::new(
            ExitStatus::Failed,
            format!("cannot listen on {}: {error}", options.listen),
        )
    })?;
    disk::make_directory(&base).map_err(|error| Failure::of(&error))?;
    let archive_lock = DirectoryLock::take(&base).map_err(|error| lock_failure(&error))?;
    let store = Store::open(&options.store, Role::Batchrecv, &stop)?;
    let address = listener.local_addr().map_err(|error| Failure::of(&error))?;
    let Store {
        stat, session, lock, ..
    } = store;
    // The recorder outlives the other workers, so that it hears of their end.
    let recorder_stop = Stop::default();
    let (recorder, job) = Recorder::new(stat, session, &recorder_stop, Box::new(Vec::new));
    let supervisor = Supervisor::new(options.supervision, &recorder, service.hearts());
    supervisor.start(job).map_err(|error| Failure::of(&error))?;
    say_address(&address.to_string()).map_err(|error| Failure::of(&error))?;
    info!("listening on {address}, archives under {}", base.display());
    let groups = Arc::new(Groups {
        pattern: options.pattern.clone(),
        files: options.files,
        by_name: Mutex::default(),
        recorder: recorder.clone(),
        stop: stop.clone(),
        supervisor: supervisor.clone(),
        complaints: Complaints::new(&recorder),
        memory: Arc::default(),
        doubts: Doubts::default(),
        turns: Turns::default(),
    });
    let gate = Gate::new(listener, &groups, &recorder, &stop).map_err(|error| Failure::of(&error))?;
    let accepting = Job::new("accept", &stop, move |post| {
        gate.serve(post).map_err(|error| chain(&error))
    });
    supervisor.start(accepting).map_err(|error| Failure::of(&error))?;
    let (served, place) = (Arc::downgrade(&groups), address.to_string());
    let watching = supervisor.clone();
    service.describe(move || {
        let groups = served.upgrade().map_or(0, |groups| groups.count());
        format!(
            "listening on {place}; {groups} groups were received{}",
            watching.in_words()
        )
    });
    service.is_ready();
    while !supervisor.rest(&stop, Duration::MAX) {
        if supervisor.tend() {
            stop.set();
        }
        groups.complaints.tend();
    }
    supervisor.end(Instant::now() + END_WITHIN);
    finish(&groups);
    groups.complaints.end();
    let degraded = !supervisor.given_up().is_empty();
    recorder_stop.set();
    supervisor.end(Instant::now() + RECORDED_WITHIN);
    drop((archive_lock, lock));
    Ok(if degraded {
        ExitStatus::Degraded
    } else {
        ExitStatus::Done
    })
}

/// How long workers have to end, then archives to be finished, and then what was recorded to get into the database.
const END_WITHIN: Duration = Duration::from_secs(2);
const FINISHED_WITHIN: Duration = Duration::from_millis(1500);
const RECORDED_WITHIN: Duration = Duration::from_secs(1);

/// Finishes the archives, unless that takes too long: who hangs may hold one.
fn finish(groups: &Arc<Groups>) {
    let groups = Arc::clone(groups);
    let finishing = std::thread::Builder::new()
        .name("finish".into())
        .spawn(move || groups.finish());
    match finishing {
        Ok(thread) => supervise::join_all(vec![thread], Instant::now() + FINISHED_WITHIN),
        Err(error) => warn!("archives are not finished: {error}"), // their last segments have no SEAL then
    }
}

/// The first line on stdout: scripts wait for it.
fn say_address(address: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()
}
