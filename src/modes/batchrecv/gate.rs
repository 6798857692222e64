//! Where connections come in: one worker accepts, each connection has a worker of its own.
//!
//! Whoever connects is nobody until it said HELLO. There are a few places for nobodies, apart from those for senders, and the oldest of them gives way when one
//! more comes: so those who connect and say nothing, however many, keep no sender out, which says HELLO at once.

use super::Groups;
use super::complaints::{BUSY, DISPLACED, UNACCEPTED};
use super::connection::{Caller, ConnectionError};
use crate::exit::chain;
use crate::formats::wire::RefuseCode;
use crate::limits::{CONNECTIONS_MAX, HANDSHAKES_MAX};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::{Job, Post, provoke};
use crate::os::net::{self, Line};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the accepting worker looks whether it is time to end, in milliseconds.
const LOOK_MS: i64 = 100;

/// How long a nobody that gave way may take to be gone, before another is let in all the same.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// What accepts.
pub(super) struct Gate {
    listener: TcpListener,
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
            places: Arc::default(),
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
    stream: TcpStream,
    (remote, token): (SocketAddr, u64),
    place: Place,
    places: &Arc<Places>,
    (groups, recorder, stop): (&Groups, &Recorder, &Stop),
) -> Result<(), ConnectionError> {
    stream.set_nonblocking(false)?;
    net::prepare(&stream)?;
    let mut caller = Caller::new(stream, remote, token)?;
    let Some(hello) = caller.hello(stop)? else {
        return Ok(());
    };
    drop(place);
    let Some(_seat) = places.take_seat() else {
        let words = || format!("all {CONNECTIONS_MAX} places for senders are taken: {remote} is refused");
        groups.complaints.tell(BUSY, words);
        let _ = caller.refuse(RefuseCode::Busy, "too many connections".to_owned()); // told already
        return Ok(());
    };
    caller.welcome(&hello, groups, recorder, stop)?.run()
}

/// Who is connected.
#[derive(Default)]
struct Places {
    /// Those that have not said HELLO, oldest first.
    nobodies: Mutex<VecDeque<(u64, TcpStream)>>,
    /// As many threads there are of them, those that gave way and are not gone yet among them.
    present: AtomicUsize,
    /// Those that have.
    seats: AtomicUsize,
}

impl Places {
    /// Lets a nobody in; the oldest gives way if need be, which `displaced` is told.
    fn enter(self: &Arc<Self>, token: u64, stream: TcpStream, stop: &Stop, displaced: impl Fn()) -> Place {
        let mut nobodies = self.lock();
        while nobodies.len() >= HANDSHAKES_MAX
            && let Some((_, oldest)) = nobodies.pop_front()
        {
            oldest.hang_up();
            displaced();
        }
        nobodies.push_back((token, stream));
        drop(nobodies);
        // Connections must not come faster than the threads of those that gave way end.
        let mut waited = Duration::ZERO;
        while self.present.load(Ordering::SeqCst) >= 2 * HANDSHAKES_MAX && waited < GONE_WITHIN && !stop.is_set() {
            std::thread::sleep(Duration::from_millis(1));
            waited += Duration::from_millis(1);
        }
        self.present.fetch_add(1, Ordering::SeqCst);
        Place {
            places: Arc::clone(self),
            token,
        }
    }

    fn take_seat(self: &Arc<Self>) -> Option<Seat> {
        let seat = Seat(Arc::clone(self));
        // One too many gives its seat back when it is dropped.
        (self.seats.fetch_add(1, Ordering::SeqCst) < CONNECTIONS_MAX).then_some(seat)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, TcpStream)>> {
        self.nobodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a nobody.
struct Place {
    places: Arc<Places>,
    token: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().retain(|(token, _)| *token != self.token);
        self.places.present.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The place of a sender.
struct Seat(Arc<Places>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::SeqCst);
    }
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
