//! Where connections come in: one worker accepts, each connection has a worker of its own.

use super::Groups;
use super::connection::{Connection, ConnectionError, refuse};
use crate::exit::chain;
use crate::formats::wire::RefuseCode;
use crate::limits::CONNECTIONS_MAX;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::{Job, Post, provoke};
use crate::os::net::{self, Line};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;

/// How often the accepting worker looks whether it is time to end, in milliseconds.
const LOOK_MS: i64 = 100;

/// What accepts.
pub(super) struct Gate {
    listener: TcpListener,
    groups: Arc<Groups>,
    recorder: Recorder,
    stop: Stop,
    tokens: AtomicU64,
    open: Arc<AtomicUsize>,
}

impl Gate {
    /// A gate at `listener`.
    ///
    /// # Errors
    /// When the listener cannot be made not to wait.
    pub(super) fn new(
        listener: TcpListener,
        groups: &Arc<Groups>,
        recorder: &Recorder,
        stop: &Stop,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            groups: Arc::clone(groups),
            recorder: recorder.clone(),
            stop: stop.clone(),
            tokens: AtomicU64::new(1),
            open: Arc::default(),
        })
    }

    /// Accepts until it is time to end. Nothing of it outlives a connection, so a successor just goes on.
    ///
    /// # Errors
    /// When the listener is of no use.
    pub(super) fn serve(&self, post: &Post) -> io::Result<()> {
        while !post.stop.is_set() {
            provoke::here();
            if !wait_readable(&self.listener)? {
                continue;
            }
            match self.listener.accept() {
                Ok((stream, remote)) => self.let_in(stream, remote),
                // Another one was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Of the peer that went away again, or of too many open files: neither ends the receiver.
                Err(error) => {
                    warn!("cannot accept a connection: {error}");
                    post.stop.wait(Duration::from_millis(100));
                }
            }
        }
        Ok(())
    }

    fn let_in(&self, stream: TcpStream, remote: SocketAddr) {
        if self.open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            self.open.fetch_sub(1, Ordering::SeqCst);
            refuse(&stream, RefuseCode::Busy, "too many connections");
            return;
        }
        let slot = Slot(Arc::clone(&self.open));
        if let Err(error) = self.start(stream, remote, slot) {
            warn!("cannot serve {remote}: {}", chain(&error));
        }
    }

    fn start(&self, stream: TcpStream, remote: SocketAddr, slot: Slot) -> io::Result<()> {
        let token = self.tokens.fetch_add(1, Ordering::SeqCst);
        let (groups, recorder, handle) = (Arc::clone(&self.groups), self.recorder.clone(), stream.try_clone()?);
        // A worker may be called anew in general; this one is not, and takes the connection with it.
        let taken = Mutex::new(Some((stream, slot)));
        let job = Job::new(&format!("recv {token}"), &self.stop, move |post| {
            let taken = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some((stream, _slot)) = taken else { return Ok(()) };
            if let Err(error) = serve(stream, remote, token, &groups, &recorder, &post.stop) {
                warn!("connection from {remote}: {}", chain(&error));
            }
            Ok(())
        });
        // Should it hang, its sender learns of it, comes again, and is served in its place: by then nothing of the old connection counts.
        let job = job.for_once().on_relieved(move || handle.hang_up());
        self.groups.supervisor.start(job)
    }
}

/// One of the connections that may be open at once.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    token: u64,
    groups: &Groups,
    recorder: &Recorder,
    stop: &Stop,
) -> Result<(), ConnectionError> {
    stream.set_nonblocking(false)?;
    net::prepare(&stream)?;
    let Some(mut connection) = Connection::greet(stream, remote, token, groups, recorder, stop)? else {
        return Ok(());
    };
    connection.run()
}

fn wait_readable(listener: &TcpListener) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK_MS * 1_000_000,
    };
    match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
