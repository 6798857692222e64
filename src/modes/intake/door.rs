//! The registration socket of a group, and whoever is connected to it.
//!
//! One thread serves all of them and waits for none: sockets do not block, a kernel's list says which have something, each is read a little at a time.
//! Of those that have not registered anything there are a few places, and the oldest gives way when one more comes, so that silent ones keep nobody out.
//! A connection is kept open for as long as its producer keeps it, who takes its end for ours.
//!
//! A socket's file that nobody listens at is replaced; one at which somebody listens is left alone. What cannot be bound is said, once, and tried again:
//! queues that are known already are taken in all the same.

use super::registration::{Registration, Registrations};
use crate::exit::chain;
use crate::limits::{PRODUCERS_MAX, STRANGERS_MAX};
use crate::modes::bell::LastBell;
use crate::modes::rarely::Rarely;
use crate::modes::recorder::Recorder;
use rustix::event::{Timespec, epoll};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tracing::{info, warn};

/// The longest path that a socket can have.
const PATH_MAX: usize = 107;
/// How often it is tried again to listen.
const BIND_EVERY: Duration = Duration::from_secs(5);
/// Bytes that are read of one connection at a time.
const READ_BYTES: usize = 64 * 17;
/// As many are let in at a time.
const ACCEPTED_AT_ONCE: usize = 64;
/// What the list calls the listener.
const LISTENER: u64 = 0;
/// What it calls the bell.
const BELL: u64 = 1;

/// Why nobody can register.
#[derive(Debug, Error)]
enum BindError {
    #[error(
        "the path has {found} bytes, and a socket's can have {PATH_MAX}: producers of version 2 cannot register; name a shorter store with -m"
    )]
    Long { found: usize },
    #[error("somebody else listens there: producers of version 2 register with them, and not here")]
    Taken,
    #[error("it is there, and no socket: delete it, so that producers of version 2 can register")]
    NoSocket,
    #[error("producers of version 2 cannot register")]
    Io(#[from] io::Error),
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// In our pid namespace; 0 if it is not in it.
    pub(super) pid: u32,
    pub(super) user: u32,
}

/// The socket in which a predecessor that hangs still listens, for its successor.
pub(super) type Handed = Arc<Mutex<Option<Arc<UnixListener>>>>;

/// Where producers of a group register.
pub(super) struct Door {
    path: PathBuf,
    handed: Handed,
    listener: Option<Arc<UnixListener>>,
    ready: OwnedFd,
    bell: LastBell,
    clients: BTreeMap<u64, Client>,
    /// Those that have not registered anything, oldest first; some may be gone.
    strangers: VecDeque<u64>,
    next: u64,
    bind_due: Instant,
    was_told: bool,
    rarely: Rarely,
    recorder: Recorder,
}

struct Client {
    stream: UnixStream,
    peer: Peer,
    registrations: Registrations,
    is_stranger: bool,
}

/// The socket of `group` in `store`: what the original calls it.
#[must_use]
pub(super) fn socket_path(store: &Path, group: &str) -> PathBuf {
    store.join(format!("hstore.{group}.sk"))
}

impl Door {
    /// The door at `path`, which is opened by the first look.
    pub(super) fn new(path: PathBuf, handed: &Handed, recorder: &Recorder) -> io::Result<Door> {
        let (ready, bell) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, LastBell::new()?);
        epoll::add(&ready, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Door {
            path,
            handed: Arc::clone(handed),
            listener: None,
            ready,
            bell,
            clients: BTreeMap::new(),
            strangers: VecDeque::new(),
            next: BELL + 1,
            bind_due: Instant::now(),
            was_told: false,
            rarely: Rarely::default(),
            recorder: recorder.clone(),
        })
    }

    /// What ends its waits.
    pub(super) fn bell(&self) -> LastBell {
        self.bell.clone()
    }

    /// Waits until somebody says something or its bell is rung, but no longer than `time`, which is less than a second; then listens to all that do.
    pub(super) fn look(&mut self, time: Duration, found: &mut Vec<(Registration, Peer)>) -> io::Result<()> {
        if self.listener.is_none() && Instant::now() >= self.bind_due {
            self.open();
        }
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 64];
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let ready = match epoll::wait(&self.ready, &mut events, Some(&timeout)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in &events[..ready] {
            match event.data.u64() {
                LISTENER => self.accept(),
                BELL => {}
                token => self.listen_to(token, found),
            }
        }
        Ok(())
    }

    fn open(&mut self) {
        self.bind_due = Instant::now() + BIND_EVERY;
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        let bound = match handed.as_ref() {
            Some(listener) => Ok(Arc::clone(listener)),
            None => bind(&self.path).map(Arc::new),
        };
        let bound = bound.and_then(|listener| {
            let token = epoll::EventData::new_u64(LISTENER);
            epoll::add(&self.ready, &*listener, token, epoll::EventFlags::IN).map_err(io::Error::from)?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => {
                *handed = Some(Arc::clone(&listener));
                self.listener = Some(listener);
                if self.was_told {
                    info!("producers of version 2 register at {} from now on", self.path.display());
                }
            }
            Err(error) if !self.was_told => {
                self.was_told = true;
                let (object, words) = (self.path.display().to_string(), chain(&error));
                warn!("{object}: {words}");
                self.recorder.fault(&object, &words);
            }
            Err(_) => {}
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(listener) = &self.listener else { return };
            match listener.accept().map(|(stream, _)| self.let_in(stream)) {
                Ok(Ok(())) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(Err(error)) | Err(error) => {
                    // Gone again, or too many open files.
                    self.tell("unaccepted", || {
                        format!("cannot accept a producer of version 2: {}", chain(&error))
                    });
                    return;
                }
            }
        }
    }

    fn let_in(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let (pid, user) = hog_ring::v2::peer_of(&stream)?;
        let peer = Peer { pid, user };
        if self.clients.len() >= PRODUCERS_MAX {
            self.tell("full", || {
                format!("{PRODUCERS_MAX} producers of version 2 are connected; no more are let in")
            });
            return Ok(());
        }
        self.strangers
            .retain(|token| self.clients.get(token).is_some_and(|client| client.is_stranger));
        while self.strangers.len() >= STRANGERS_MAX
            && let Some(oldest) = self.strangers.pop_front()
        {
            self.clients.remove(&oldest);
            self.tell("displaced", || {
                "places of connections that register nothing are given to others".to_owned()
            });
        }
        let token = self.next;
        self.next += 1;
        epoll::add(
            &self.ready,
            &stream,
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN,
        )?;
        self.strangers.push_back(token);
        let client = Client {
            stream,
            peer,
            registrations: Registrations::default(),
            is_stranger: true,
        };
        self.clients.insert(token, client);
        Ok(())
    }

    fn listen_to(&mut self, token: u64, found: &mut Vec<(Registration, Peer)>) {
        let Some(client) = self.clients.get_mut(&token) else {
            return;
        };
        let mut bytes = [0; READ_BYTES];
        let mut registered = Vec::new();
        let heard = match client.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(read) => Some(client.registrations.take(&bytes[..read], &mut registered)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => None,
        };
        let peer = client.peer;
        client.is_stranger &= registered.is_empty();
        found.extend(registered.into_iter().map(|registration| (registration, peer)));
        if let Some(Err(bad)) = &heard {
            self.tell("garbage", || {
                format!("process {}: {bad}; its connection is closed", peer.pid)
            });
        }
        if !matches!(heard, Some(Ok(()))) {
            self.clients.remove(&token); // closing it takes it off the list
        }
    }

    /// Says the first of a kind in a minute.
    pub(super) fn tell(&self, kind: &'static str, words: impl FnOnce() -> String) {
        if self.rarely.is_to_be_said(kind, 1, Instant::now()) {
            let (object, words) = (self.path.display().to_string(), words());
            warn!("{object}: {words}");
            self.recorder.fault(&object, &words);
        }
    }

    /// Says how often came what was not said.
    pub(super) fn tell_counts(&self) {
        for (kind, times) in self.rarely.due(Instant::now()) {
            warn!("{}: {times} more of kind {kind:?}", self.path.display());
        }
    }

    /// Closes it for good, and takes the name away.
    pub(super) fn close(self) {
        if self.listener.is_some() {
            *self.handed.lock().unwrap_or_else(PoisonError::into_inner) = None;
            // A name that stays is a socket at which nobody listens, which the next one replaces.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let found = path.as_os_str().len();
    if found > PATH_MAX {
        return Err(BindError::Long { found });
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(there) if !there.file_type().is_socket() => return Err(BindError::NoSocket),
        Ok(_) => match connect_now(path) {
            // Refused: whoever bound it is gone.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Ok(()) => return Err(BindError::Taken),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(BindError::Taken), // and is busy
            Err(error) => return Err(error.into()),
        },
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects without waiting for a place in a queue of connections that is full.
fn connect_now(path: &Path) -> io::Result<()> {
    use socket2::{Domain, SockAddr, Socket, Type};
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(test)]
mod tests;
