//! `hog batchrecv`: takes what senders ship and stores it, one archive for each group.
//!
//! A thread accepts; each connection has one that reads and one that acknowledges; each group has one that syncs. What is acknowledged was
//! appended before a sync that succeeded ([`group`]).

pub mod acks;
pub mod connection;
pub mod group;
pub mod serving;

use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::wire::RefuseCode;
use crate::limits::{CONNECTIONS_MAX, GROUPS_MAX};
use crate::modes::heartbeat::Hearts;
use crate::modes::preflight;
use crate::modes::recorder::Recorder;
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use crate::modes::store::{Store, lock_failure};
use crate::modes::supervise;
use crate::os::disk;
use crate::os::lock::DirectoryLock;
use crate::os::net;
use crate::os::process;
use crate::stages::archive::ArchivePattern;
use connection::{Connection, refuse};
use group::GroupStore;
use hogstat::Role;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
}

/// The groups that are stored here.
pub struct Groups {
    pattern: ArchivePattern,
    by_name: Mutex<HashMap<String, Arc<GroupSlot>>>,
    recorder: Recorder,
    stop: Stop,
    hearts: Hearts,
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
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = &*slot {
            return Ok(Arc::clone(group));
        }
        let group = GroupStore::open(&self.pattern, name, self.recorder.clone()).map_err(|error| chain(&error))?;
        let group = Arc::new(group);
        let (syncing, stop) = (Arc::clone(&group), self.stop.clone());
        supervise::spawn(&format!("sync {name}"), &self.stop, &self.recorder, move || {
            syncing.sync_until(&stop)
        })
        .map_err(|error| chain(&error))?;
        let watched = Arc::clone(&group);
        self.hearts
            .watch(&format!("the syncing of group {name}"), move || watched.turns());
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
    let recorder_stop = Stop::default();
    let (recorder, recorder_thread) =
        Recorder::start(stat, session, &recorder_stop, Box::new(Vec::new)).map_err(|error| Failure::of(&error))?;
    say_address(&address.to_string()).map_err(|error| Failure::of(&error))?;
    info!("listening on {address}, archives under {}", base.display());
    let groups = Arc::new(Groups {
        pattern: options.pattern.clone(),
        by_name: Mutex::default(),
        recorder: recorder.clone(),
        stop: stop.clone(),
        hearts: service.hearts().clone(),
    });
    let turns = Arc::<AtomicU64>::default();
    let accepting = Arc::clone(&turns);
    service.hearts().watch("the accepting of connections", move || {
        accepting.load(Ordering::Relaxed)
    });
    let (served, place) = (Arc::downgrade(&groups), address.to_string());
    service.describe(move || {
        let groups = served.upgrade().map_or(0, |groups| groups.count());
        format!("listening on {place}; {groups} groups were received")
    });
    service.is_ready();
    serve(&listener, &turns, &groups, &recorder, &stop).map_err(|error| Failure::of(&error))?;
    groups.finish();
    drop((groups, recorder));
    recorder_stop.set();
    let deadline = Instant::now() + Duration::from_secs(1);
    while !recorder_thread.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    drop((archive_lock, lock));
    Ok(ExitStatus::Done)
}

/// The first line on stdout: scripts wait for it.
fn say_address(address: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()
}

/// How often the accepting thread looks whether it is time to end.
const ACCEPT_LOOK: i32 = 100;

fn serve(
    listener: &TcpListener,
    turns: &AtomicU64,
    groups: &Arc<Groups>,
    recorder: &Recorder,
    stop: &Stop,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let (tokens, open) = (AtomicU64::new(1), Arc::new(AtomicUsize::new(0)));
    while !stop.is_set() {
        turns.fetch_add(1, Ordering::Relaxed);
        if !wait_readable(listener)? {
            continue;
        }
        let (stream, remote) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                // Of the peer that went away again, or of too many open files: neither ends the receiver.
                if error.kind() != io::ErrorKind::WouldBlock {
                    warn!("cannot accept a connection: {error}");
                    stop.wait(Duration::from_millis(100));
                }
                continue;
            }
        };
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            refuse(&stream, RefuseCode::Busy, "too many connections");
            continue;
        }
        let token = tokens.fetch_add(1, Ordering::SeqCst);
        let (groups, recorder, stop) = (Arc::clone(groups), recorder.clone(), stop.clone());
        let slot = Slot(Arc::clone(&open));
        let spawned = std::thread::Builder::new()
            .name(format!("recv {token}"))
            .spawn(move || {
                let _slot = slot;
                if let Err(error) = handle(stream, remote, token, &groups, &recorder, &stop) {
                    warn!("connection from {remote}: {}", chain(&error));
                }
            });
        if let Err(error) = spawned {
            warn!("cannot serve {remote}: {}", chain(&error));
        }
    }
    Ok(())
}

/// One of the connections that may be open at once.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn handle(
    stream: TcpStream,
    remote: std::net::SocketAddr,
    token: u64,
    groups: &Groups,
    recorder: &Recorder,
    stop: &Stop,
) -> Result<(), connection::ConnectionError> {
    stream.set_nonblocking(false)?;
    net::prepare(&stream)?;
    let Some(mut connection) = Connection::greet(stream, remote, token, groups, recorder, stop)? else {
        return Ok(());
    };
    connection.run()
}

fn wait_readable(listener: &TcpListener) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(ACCEPT_LOOK) * 1_000_000,
    };
    match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
