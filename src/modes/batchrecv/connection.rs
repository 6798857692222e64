//! One connection: HELLO, WELCOME, and then whatever the sender ships.

use crate::formats::codec::CodecError;
use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::pieces::BodyError;
use crate::formats::wire::{self, Hello, Refuse, RefuseCode};
use crate::modes::batchrecv::Groups;
use crate::modes::batchrecv::acks::AckBox;
use crate::modes::batchrecv::classic::ClassicError;
use crate::modes::batchrecv::group::StoreError;
use crate::modes::batchrecv::serving::{Frames, Serving};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::{provoke, words_of};
use crate::os::net::{self, FrameReader, Incoming, Line, NetError, Patience};
use crate::stages::receive::RecordsError;
use hogstat::FaultKind;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use thiserror::Error;
use tracing::error;

/// Why a connection ended, other than that the sender closed it.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The socket, or what came from it.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A body that is not what its kind says.
    #[error("{kind:?} cannot be understood: {source}")]
    Body {
        /// The frame's kind.
        kind: Kind,
        /// What is wrong.
        source: BodyError,
    },
    /// A body that does not decompress.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Bad records.
    #[error("a frame of stream {stream}: {source}")]
    Records {
        /// The stream.
        stream: crate::ids::StreamId,
        /// What is wrong.
        source: RecordsError,
    },
    /// A frame that a sender never sends.
    #[error("a sender never sends {0:?} here")]
    Unexpected(Kind),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What an original sender sent.
    #[error(transparent)]
    Classic(#[from] ClassicError),
    /// The sender is not served, and was told why.
    #[error("refused: {}", .0.words)]
    Refused(Refuse),
}

/// The name of lock files, one of which lies where the directories of groups do.
pub(super) const LOCK: &str = "lock";

/// Tells the peer why it is not served.
pub fn refuse(stream: &TcpStream, code: RefuseCode, words: &str) {
    let body = Refuse {
        code,
        words: words.to_owned(),
    }
    .encode();
    let _ = net::send_frame(stream, &FrameHeader::plain(Kind::Refuse, &body), &body); // it may be gone already
}

/// Who has connected, and has yet to be heard.
pub(super) struct Caller {
    stream: TcpStream,
    reader: FrameReader,
    remote: SocketAddr,
    token: u64,
}

impl Caller {
    /// Over a prepared socket, of which the first bytes were looked at. `token` is what the connection is called here.
    pub(super) fn new(stream: TcpStream, incoming: Incoming, remote: SocketAddr, token: u64) -> Self {
        Self {
            stream,
            reader: FrameReader::over(incoming),
            remote,
            token,
        }
    }

    /// Reads HELLO. `None` when nothing came.
    ///
    /// # Errors
    /// When the peer does not speak the protocol, goes away, or names what is not served here, which it is told.
    pub(super) fn hello(&mut self, stop: &Stop) -> Result<Option<Hello>, ConnectionError> {
        let mut body = Vec::new();
        let header = match self.reader.read(&mut body, Patience::of_hello(), &|| stop.is_set()) {
            Err(NetError::Closed) => return Ok(None), // a probe of the port
            other => other?,
        };
        if header.kind != Kind::Hello {
            return Err(ConnectionError::Unexpected(header.kind));
        }
        let (version, hello) = Hello::decode(&body).map_err(|source| ConnectionError::Body {
            kind: Kind::Hello,
            source,
        })?;
        let Some(hello) = hello else {
            let words = format!(
                "this receiver speaks version {} of the protocol, the sender version {version}",
                wire::VERSION
            );
            return Err(self.refuse(RefuseCode::Version, words));
        };
        if !hog_ring::is_group_name(&hello.group) || hello.group == LOCK {
            return Err(self.refuse(RefuseCode::Group, "no group can be called that here".to_owned()));
        }
        Ok(Some(hello))
    }

    /// Tells the peer why it is not served.
    pub(super) fn refuse(&self, code: RefuseCode, words: String) -> ConnectionError {
        refuse(&self.stream, code, &words);
        ConnectionError::Refused(Refuse { code, words })
    }

    /// Answers `hello`.
    ///
    /// # Errors
    /// When the sender is refused, or goes away.
    pub(super) fn welcome(
        self,
        hello: &Hello,
        groups: &Groups,
        recorder: &Recorder,
        stop: &Stop,
    ) -> Result<Connection, ConnectionError> {
        let group = groups.get(&hello.group).map_err(|words| {
            let words = format!("group {} cannot be stored: {words}", hello.group);
            self.refuse(RefuseCode::Storage, words)
        })?;
        let acks = Arc::new(AckBox::default());
        let line = Box::new(self.stream.try_clone()?);
        let memory = Arc::clone(&groups.memory);
        let (serving, welcome) = Serving::begin(group, memory, hello, self.token, &acks, line)
            .map_err(|refuse| self.refuse(refuse.code, format!("group {}: {}", hello.group, refuse.words)))?;
        groups.complaints.welcomed(|| {
            format!(
                "group {}: {} ships as run {} of sender {}",
                hello.group, self.remote, hello.epoch, hello.sender
            )
        });
        recorder.connection(self.remote, &hello.group, hello.sender.0);
        let mut connection = Connection {
            reader: self.reader,
            serving,
            writer: None,
            stop: stop.clone(),
        };
        let stream = self.stream;
        stream.send(&welcome)?;
        let recorder = recorder.clone();
        let writer = std::thread::Builder::new()
            .name(format!("ack {}", self.token))
            .spawn(move || acknowledge(&acks, &stream, &recorder))?;
        connection.writer = Some(writer);
        Ok(connection)
    }
}

/// A connection that is served.
pub struct Connection {
    reader: FrameReader,
    serving: Serving,
    writer: Option<JoinHandle<()>>,
    stop: Stop,
}

impl Connection {
    /// Serves the connection until it ends.
    ///
    /// # Errors
    /// Why it ended, other than that the sender closed it or the receiver is ending.
    pub fn run(&mut self) -> Result<(), ConnectionError> {
        loop {
            let mut frames = FramesUntil {
                reader: &mut self.reader,
                stop: &self.stop,
            };
            match self.serving.step(&mut frames) {
                Ok(()) => {}
                Err(ConnectionError::Net(NetError::Closed | NetError::Stopped)) => return Ok(()),
                // A killed sender leaves half a frame; a fenced one was told by its successor.
                Err(ConnectionError::Net(NetError::Torn) | ConnectionError::Store(StoreError::Fenced)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The frames of a connection whose owner may be asked to end.
struct FramesUntil<'a> {
    reader: &'a mut FrameReader,
    stop: &'a Stop,
}

impl Frames for FramesUntil<'_> {
    fn header(&mut self) -> Result<FrameHeader, NetError> {
        self.reader.read_header(Patience::of_shipping(), &|| self.stop.is_set())
    }

    fn body(&mut self, header: &FrameHeader, body: &mut Vec<u8>) -> Result<(), NetError> {
        let stop = || self.stop.is_set();
        self.reader.read_body(header, body, Patience::of_shipping(), &stop)
    }
}

/// Answers over `stream` until the connection is over. Should that panic, the connection is over, and its sender comes again.
fn acknowledge(acks: &AckBox, stream: &TcpStream, recorder: &Recorder) {
    let answered = catch_unwind(AssertUnwindSafe(|| {
        provoke::this_is("ack");
        acks.write_to(stream);
    }));
    if let Err(panic) = answered {
        let words = format!("panic: {}", words_of(panic.as_ref()));
        error!("ack: {words}");
        recorder.note_fault(FaultKind::Panic, "ack", &words);
        stream.hang_up(); // the reading thread learns of it
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.serving.end();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join(); // it catches its panics
        }
    }
}
