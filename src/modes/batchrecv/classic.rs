//! A connection of an original sender: the group, what the program declares, then segments, each answered by one byte once it is on disk.
//!
//! Its protocol knows no positions. Each connection becomes a stream of its own, and what is in doubt when a connection ends may be sent, and stored,
//! again: see [`doubts`]. A segment is read to its end, inflated and understood wholly before anything of it is stored; otherwise nothing is,
//! nothing is answered, and the connection is over.
//!
//! A sender that speaks our protocol as well, and does not know whom it talks to, begins as an original one, with a comment in the gzip header of what it says first.
//! It is answered by another byte, and then says HELLO.
//!
//! An original sender may be silent between two segments for as long as nothing is logged, and has no way to say that it is there. So it is not hung up for
//! that; but when all places are taken, the one that has been silent for the longest gives its own to whoever comes ([`super::places`]).
//!
//! Where this side ends the connection, it resets it, also when the process is killed. An original sender that waits for an answer takes the end in order of a
//! connection for progress, and waits forever.

pub(super) mod doubts;
mod segment;
pub(super) mod turns;

use super::Groups;
use super::acks::AckBox;
use super::connection::{ConnectionError, LOCK};
use super::group::{GroupStore, StoreError};
use super::places::Seat;
use crate::formats::classic::inflate::{self, Inflate};
use crate::formats::classic::records::RecordsError;
use crate::formats::classic::segment::SegmentError;
use crate::formats::classic::statements::{DECLARATION_MAX, Declaration, DeclarationError};
use crate::formats::wire::{Refuse, RefuseCode};
use crate::ids::{OwnerId, StreamId};
use crate::limits::{CLASSIC_SEGMENT_MAX, GROUP_MAX};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::os::clock;
use crate::os::disk::DiskError;
use crate::os::net::{self, Incoming, Line, NetError, Patience};
use doubts::Digest;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The answer to what is on disk.
const ACK: &[u8] = &[1];

/// The answer to who says that it speaks our protocol as well: both do from here on.
const LET_US: &[u8] = &[2];

/// Whoever begins with a length below this may be an original sender, which begins with that of the group's name.
const FIRST_LENGTH_MAX: u64 = 1 << 16;

/// How long an answer that is due is still waited for when the receiver is to end.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Why an original sender is not served any more.
#[derive(Debug, Error)]
pub enum ClassicError {
    /// A group that nothing is stored under.
    #[error("no group can be called {0:?} here")]
    Group(String),
    /// Something longer than it may be.
    #[error("its {what} has {found} bytes, and {most} is the most there can be")]
    Long {
        /// What.
        what: &'static str,
        /// Its length.
        found: u64,
        /// The bound.
        most: u64,
    },
    /// What it says first does not inflate.
    #[error("what it says first does not inflate")]
    Inflate(#[source] io::Error),
    /// What it says first declares nothing.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
    /// A segment that cannot be read.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A segment that cannot be understood.
    #[error("a segment cannot be understood")]
    Records(#[from] RecordsError),
    /// There is no room for it while it comes.
    #[error(transparent)]
    Spill(#[from] DiskError),
}

/// Whether `first`, the first bytes of a connection, are those of an original sender.
pub(super) fn is_classic(first: &[u8]) -> bool {
    let length = first.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length < FIRST_LENGTH_MAX)
}

/// An original sender that has yet to say what it sends.
pub(super) struct ClassicCaller {
    stream: TcpStream,
    incoming: Incoming,
    remote: SocketAddr,
    token: u64,
}

/// What it says first.
pub(super) enum Introduction {
    /// What it sends.
    Declared(Declared),
    /// That it speaks our protocol as well. It was answered that it may.
    SpeaksOurs,
}

/// A group, and a program that logs to it.
pub(super) struct Declared {
    group: String,
    declaration: Declaration,
}

impl ClassicCaller {
    /// Over a prepared socket, of which the first bytes were looked at. `token` is what the connection is called here.
    pub(super) fn new(stream: TcpStream, incoming: Incoming, remote: SocketAddr, token: u64) -> Self {
        Self {
            stream,
            incoming,
            remote,
            token,
        }
    }

    /// Does `serve` with this connection. If that fails, ends the connection as an original sender has to have it ended; otherwise it goes on in our protocol.
    pub(super) fn until_it_ends(
        mut self,
        serve: impl FnOnce(&mut Self) -> Result<(), ConnectionError>,
    ) -> Result<Option<(TcpStream, Incoming)>, ConnectionError> {
        let _ = net::end_by_reset(&self.stream, true); // it may be gone already
        let served = serve(&mut self);
        let closed_by_peer = matches!(&served, Err(ConnectionError::Net(NetError::Closed | NetError::Torn)));
        if served.is_ok() || closed_by_peer {
            let _ = net::end_by_reset(&self.stream, false); // as above
        }
        if served.is_ok() {
            return Ok(Some((self.stream, self.incoming)));
        }
        match served {
            // A killed sender leaves half a segment. Who was asked to end, or to give way, did.
            Err(ConnectionError::Net(NetError::Closed | NetError::Torn | NetError::Stopped)) => Ok(None),
            Err(ConnectionError::Store(StoreError::Fenced)) => Ok(None),
            other => other.map(|()| None),
        }
    }

    /// Reads the group and what is declared.
    ///
    /// # Errors
    /// When the peer goes away, or names or says what is not served here.
    pub(super) fn introduction(&mut self, stop: &Stop) -> Result<Introduction, ConnectionError> {
        let name = self.take_first("group's name", GROUP_MAX as u64, stop)?;
        let group = String::from_utf8_lossy(&name).into_owned();
        if !hog_ring::is_group_name(&group) || group == LOCK {
            return Err(ClassicError::Group(group).into());
        }
        let compressed = self.take_first("declaration", DECLARATION_MAX as u64, stop)?;
        if inflate::speaks_ours(&compressed) {
            self.stream.send(LET_US)?;
            return Ok(Introduction::SpeaksOurs);
        }
        let mut init = Vec::new();
        Inflate::at_most(DECLARATION_MAX as u64, &compressed[..])
            .and_then(|mut inflate| inflate.read_to_end(&mut init))
            .map_err(ClassicError::Inflate)?;
        let declaration = Declaration::of_init(&init).map_err(ClassicError::from)?;
        Ok(Introduction::Declared(Declared { group, declaration }))
    }

    /// A length of at most `most`, and that many bytes.
    fn take_first(&mut self, what: &'static str, most: u64, stop: &Stop) -> Result<Vec<u8>, ConnectionError> {
        let patience = Patience::of_classic_init();
        let mut length = [0; 8];
        self.incoming.take(&mut length, patience, &|| stop.is_set())?;
        let found = u64::from_le_bytes(length);
        let length = usize::try_from(found).unwrap_or(usize::MAX);
        if found > most {
            return Err(ClassicError::Long { what, found, most }.into());
        }
        let mut bytes = vec![0; length];
        self.incoming.take(&mut bytes, patience, &|| stop.is_set())?;
        Ok(bytes)
    }

    /// Stores what comes until the connection is over.
    ///
    /// # Errors
    /// Always: why it is over.
    pub(super) fn serve(
        &mut self,
        Declared { group, declaration }: Declared,
        groups: &Groups,
        recorder: &Recorder,
        seat: &Seat,
        stop: &Stop,
    ) -> Result<(), ConnectionError> {
        let store = groups.get(&group).map_err(|words| {
            ConnectionError::Refused(Refuse {
                code: RefuseCode::Storage,
                words: format!("group {group} cannot be stored: {words}"),
            })
        })?;
        let (over, acks, stream) = (Arc::default(), Arc::default(), StreamId::random());
        let line = Box::new(Hint(Arc::clone(&over)));
        let sender = store.admit_classic(self.token, stream, &acks, line)?;
        groups.complaints.welcomed(|| {
            let statements = declaration.statements.all().len();
            format!(
                "group {group}: {} ships as an original sender, {statements} statements",
                self.remote
            )
        });
        recorder.connection(self.remote, &group, sender.0);
        let mut connection = Connection {
            caller: self,
            group: &group,
            declaration: &declaration,
            groups,
            store,
            sender,
            stream,
            acks,
            over,
            seat,
            stop,
            position: 0,
            is_attached: false,
            is_first: true,
            last: None,
            is_unanswered: false,
        };
        connection.run()
    }
}

/// An original sender that is served.
struct Connection<'a> {
    caller: &'a mut ClassicCaller,
    group: &'a str,
    declaration: &'a Declaration,
    groups: &'a Groups,
    store: Arc<GroupStore>,
    sender: OwnerId,
    stream: StreamId,
    acks: Arc<AckBox>,
    /// Somebody wants this connection to end.
    over: Arc<AtomicBool>,
    seat: &'a Seat,
    stop: &'a Stop,
    /// The end of its stream.
    position: u64,
    is_attached: bool,
    /// No segment was accepted yet.
    is_first: bool,
    /// The last one that was.
    last: Option<Digest>,
    /// The answer to it could not be sent.
    is_unanswered: bool,
}

impl Connection<'_> {
    /// Serves it until it ends, which is always an error.
    fn run(&mut self) -> Result<(), ConnectionError> {
        self.answer()?;
        loop {
            self.wait_for_segment()?;
            self.take_segment()?;
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_set() || self.over.load(Ordering::Relaxed) // a flag alone: no data hangs on it
    }

    /// Waits for as long as the peer's host is there; meanwhile this connection's place may be given to others.
    fn wait_for_segment(&mut self) -> Result<(), ConnectionError> {
        let _idle = self.seat.idle(&self.over);
        let (over, stop) = (Arc::clone(&self.over), self.stop.clone());
        let is_over = || stop.is_set() || over.load(Ordering::Relaxed);
        let first = self.caller.incoming.peek(1, Patience::of_classic_idle(), &is_over)?;
        if first.is_empty() {
            return Err(NetError::Closed.into());
        }
        Ok(())
    }

    fn take_segment(&mut self) -> Result<(), ConnectionError> {
        let length = self.take_length()?;
        let (mut segment, digest) = self.receive(length)?;
        {
            let groups = self.groups;
            let Some(mut turn) = groups.turns.wait(&|| self.is_over()) else {
                return Err(NetError::Stopped.into());
            };
            let records = self.judge(&mut segment, &mut turn)?;
            if self.was_accepted(&digest) {
                return self.accepted(digest);
            }
            if records > 0 {
                self.keep(&mut segment, &mut turn)?;
            }
        }
        drop(segment);
        self.wait_until_synced()?;
        self.accepted(digest)
    }

    fn take_length(&mut self) -> Result<u64, ConnectionError> {
        let mut length = [0; 8];
        let is_over = hint(self.stop, &self.over);
        self.caller
            .incoming
            .take(&mut length, Patience::of_shipping(), &is_over)?;
        let found = u64::from_le_bytes(length);
        if found > CLASSIC_SEGMENT_MAX {
            let (what, most) = ("segment", CLASSIC_SEGMENT_MAX);
            return Err(ClassicError::Long { what, found, most }.into());
        }
        Ok(found)
    }

    /// Whether this segment was accepted over a former connection, whose end left the sender in doubt.
    fn was_accepted(&self, digest: &Digest) -> bool {
        let peer = self.caller.remote.ip();
        let is_resent = self.is_first && self.groups.doubts.resolve(self.group, peer, digest, clock::moment());
        if is_resent {
            let (group, remote) = (self.group, self.caller.remote);
            self.groups
                .complaints
                .welcomed(|| format!("group {group}: {remote} sends a segment again that is stored"));
        }
        is_resent
    }

    fn accepted(&mut self, digest: Digest) -> Result<(), ConnectionError> {
        self.is_first = false;
        self.last = Some(digest);
        let answered = self.answer();
        self.is_unanswered = answered.is_err();
        answered
    }

    /// Waits until all that was appended is on disk.
    fn wait_until_synced(&self) -> Result<(), ConnectionError> {
        if self.position == 0 {
            return Ok(());
        }
        let asked = std::cell::Cell::new(None);
        let has_waited_enough = || {
            if self.stop.is_set() && asked.get().is_none() {
                asked.set(Some(Instant::now()));
            }
            self.over.load(Ordering::Relaxed) || asked.get().is_some_and(|asked| asked.elapsed() >= LAST_ANSWER)
        };
        if self.acks.wait_for(self.stream, self.position, &has_waited_enough) {
            Ok(())
        } else {
            Err(StoreError::Fenced.into())
        }
    }

    fn answer(&self) -> Result<(), ConnectionError> {
        Ok(self.caller.stream.send(ACK)?)
    }
}

/// Whether a connection is to end, without the connection.
fn hint<'a>(stop: &'a Stop, over: &'a AtomicBool) -> impl Fn() -> bool + use<'a> {
    || stop.is_set() || over.load(Ordering::Relaxed)
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let is_in_doubt =
            || self.is_unanswered || net::unacknowledged(&self.caller.stream).is_ok_and(|bytes| bytes > 0);
        if let Some(last) = self.last
            && is_in_doubt()
        {
            let peer = self.caller.remote.ip();
            self.groups.doubts.note(self.group, peer, last, clock::moment());
        }
        self.store.leave_classic(self.caller.token);
    }
}

/// What a group hangs up by: it has the connection's own thread end it.
struct Hint(Arc<AtomicBool>);

impl Line for Hint {
    fn send(&self, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into()) // answers are the connection's own affair
    }

    fn hang_up(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
