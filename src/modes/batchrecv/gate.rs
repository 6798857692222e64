//! Where connections come in: one worker accepts, each connection has a worker of its own.
//!
//! The first bytes say whether a sender of ours comes or an original one. Who has places in which order, [`Places`] decides.

use super::Groups;
use super::classic::{ClassicCaller, Introduction, is_classic};
use super::complaints::{BUSY, DISPLACED, IDLE_DISPLACED, UNACCEPTED};
use super::connection::{Caller, ConnectionError};
use super::places::{Place, Places};
use crate::exit::chain;
use crate::formats::wire::RefuseCode;
use crate::limits::CONNECTIONS_MAX;
use crate::modes::bell::LastBell;
use crate::modes::recorder::Recorder;
use crate::modes::stop::{MOVE_EVERY, Stop};
use crate::modes::supervise::{Job, Post, provoke};
use crate::os::net::{self, Incoming, Line, NetError, Patience};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What accepts.
pub(super) struct Gate {
    listener: TcpListener,
    /// Rung when it is time to end. Made with the listener: who is started anew while there are too many open files could not have one.
    bell: LastBell,
    groups: Arc<Groups>,
    recorder: Recorder,
    stop: Stop,
    tokens: AtomicU64,
    places: Arc<Places>,
}

impl Gate {
    /// A gate at `listener`.
    ///
    /// # Errors
    /// When the listener cannot be made not to wait, or there are too many open files.
    pub(super) fn new(
        listener: TcpListener,
        groups: &Arc<Groups>,
        recorder: &Recorder,
        stop: &Stop,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            bell: LastBell::new()?,
            groups: Arc::clone(groups),
            recorder: recorder.clone(),
            stop: stop.clone(),
            tokens: AtomicU64::new(1),
            places: Arc::default(),
        })
    }

    /// Accepts until it is time to end. Nothing of it outlives a connection, so a successor just goes on.
    ///
    /// # Errors
    /// When the listener is of no use.
    pub(super) fn serve(&self, post: &Post) -> io::Result<()> {
        let rope = self.bell.clone();
        let _waking = post.stop.on_set(move || rope.ring());
        while !post.stop.is_set() {
            provoke::here();
            if !wait_readable(&self.listener, &self.bell)? {
                continue;
            }
            let accepted = self
                .listener
                .accept()
                .and_then(|(stream, remote)| self.let_in(stream, remote, &post.stop));
            match accepted {
                Ok(()) => {}
                // Another one was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Of the peer that went away again, or of too many open files: neither ends the receiver.
                Err(error) => {
                    let words = || format!("cannot accept a connection: {}", chain(&error));
                    self.groups.complaints.tell(UNACCEPTED, words);
                    post.stop.wait(Duration::from_millis(100));
                }
            }
        }
        Ok(())
    }

    fn let_in(&self, stream: TcpStream, remote: SocketAddr, stop: &Stop) -> io::Result<()> {
        let token = self.tokens.fetch_add(1, Ordering::SeqCst);
        let (groups, recorder, handle) = (Arc::clone(&self.groups), self.recorder.clone(), stream.try_clone()?);
        let place = self.places.enter(token, stream.try_clone()?, stop, || {
            let words = || "places of connections that say nothing are given to others".to_owned();
            groups.complaints.tell(DISPLACED, words);
        });
        // A worker may be called anew in general; this one is not, and takes the connection with it.
        let taken = Mutex::new(Some((stream, place)));
        let (groups, places) = (Arc::clone(&self.groups), Arc::clone(&self.places));
        let job = Job::new(&format!("recv {token}"), &self.stop, move |post| {
            let taken = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some((stream, place)) = taken else { return Ok(()) };
            let served = serve(
                stream,
                (remote, token),
                place,
                &places,
                (&groups, &recorder, &post.stop),
            );
            if let Err(error) = served {
                groups.complaints.failed(remote, &error);
            }
            Ok(())
        });
        // Should it hang, its sender learns of it, comes again, and is served in its place: by then nothing of the old connection counts.
        let job = job.for_once().on_relieved(move || handle.hang_up());
        self.groups.supervisor.start(job)
    }
}

/// Serves one connection to its end.
fn serve(
    mut stream: TcpStream,
    (remote, token): (SocketAddr, u64),
    place: Place,
    places: &Arc<Places>,
    (groups, recorder, stop): (&Groups, &Recorder, &Stop),
) -> Result<(), ConnectionError> {
    stream.set_nonblocking(false)?;
    net::prepare(&stream)?;
    let mut incoming = Incoming::new(stream.try_clone()?);
    let mut place = Some(place);
    let mut take_seat = || {
        place = None;
        let seat = places.take_seat(token, stop, || {
            let words = || "places of original senders that are silent are given to others".to_owned();
            groups.complaints.tell(IDLE_DISPLACED, words);
        });
        if seat.is_none() {
            let words = || format!("all {CONNECTIONS_MAX} places for senders are taken: {remote} is refused");
            groups.complaints.tell(BUSY, words);
        }
        seat
    };
    if is_classic(incoming.peek(8, Patience::of_hello(), &|| stop.is_set())?) {
        let caller = ClassicCaller::new(stream, incoming, remote, token);
        let goes_on = caller.until_it_ends(|caller| match caller.introduction(stop)? {
            Introduction::SpeaksOurs => Ok(()),
            Introduction::Declared(declared) => match take_seat() {
                Some(seat) => caller.serve(declared, groups, recorder, &seat, stop),
                None => Err(NetError::Stopped.into()), // told already
            },
        })?;
        match goes_on {
            Some(connection) => (stream, incoming) = connection,
            None => return Ok(()),
        }
    }
    let mut caller = Caller::new(stream, incoming, remote, token);
    let Some(hello) = caller.hello(stop)? else {
        return Ok(());
    };
    let Some(_seat) = take_seat() else {
        let _ = caller.refuse(RefuseCode::Busy, "too many connections".to_owned()); // told already
        return Ok(());
    };
    caller.welcome(&hello, groups, recorder, stop)?.run()
}

/// Whether somebody wants to be let in. Waits for that until `bell` is rung, or it is time to move.
fn wait_readable(listener: &TcpListener, bell: &LastBell) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(MOVE_EVERY.subsec_nanos()),
    };
    let mut polled = [PollFd::new(listener, PollFlags::IN), PollFd::new(bell, PollFlags::IN)];
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) => Ok(!polled[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
