//! One connection: HELLO, WELCOME, and then whatever the sender ships.

use crate::exit::chain;
use crate::formats::body::{Attach, End, Gap};
use crate::formats::codec::{CodecError, Decompressor};
use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::formats::pieces::BodyError;
use crate::formats::table::ApplyError;
use crate::formats::wire::{self, Hello, Refuse, RefuseCode};
use crate::modes::batchrecv::Groups;
use crate::modes::batchrecv::acks::AckBox;
use crate::modes::batchrecv::group::{GroupStore, StoreError};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::os::net::{self, FrameReader, NetError, Patience};
use crate::seglog::batch::FrameBatch;
use crate::stages::receive::{self, RecordsError};
use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use thiserror::Error;
use tracing::info;

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
}

/// The name of lock files, one of which lies where the directories of groups do.
const LOCK: &str = "lock";

/// Tells the peer why it is not served.
pub fn refuse(stream: &TcpStream, code: RefuseCode, words: &str) {
    let body = Refuse {
        code,
        words: words.to_owned(),
    }
    .encode();
    let _ = net::send_frame(stream, &FrameHeader::plain(Kind::Refuse, &body), &body); // it may be gone already
}

/// A connection that is served.
pub struct Connection {
    reader: FrameReader,
    token: u64,
    group: Arc<GroupStore>,
    acks: Arc<AckBox>,
    writer: Option<JoinHandle<()>>,
    /// Streams that WELCOME named: their ATTACH is not answered.
    welcomed: HashSet<crate::ids::StreamId>,
    decompressor: Decompressor,
    batch: FrameBatch,
    stop: Stop,
}

impl Connection {
    /// Reads HELLO and answers it. `None` when the sender was refused.
    ///
    /// # Errors
    /// When the peer does not speak the protocol or goes away.
    pub fn greet(
        stream: TcpStream,
        remote: SocketAddr,
        token: u64,
        groups: &Groups,
        recorder: &Recorder,
        stop: &Stop,
    ) -> Result<Option<Self>, ConnectionError> {
        let mut reader = FrameReader::new(stream.try_clone()?);
        let mut body = Vec::new();
        let header = match reader.read(&mut body, Patience::of_handshake(), &|| stop.is_set()) {
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
            info!("connection from {remote}: refused: {words}");
            refuse(&stream, RefuseCode::Version, &words);
            return Ok(None);
        };
        if !hog_ring::is_group_name(&hello.group) || hello.group == LOCK {
            info!("connection from {remote}: refused: it names a group {:?}", hello.group);
            refuse(&stream, RefuseCode::Group, "no group can be called that here");
            return Ok(None);
        }
        let group = match groups.get(&hello.group) {
            Ok(group) => group,
            Err(words) => {
                refuse(&stream, RefuseCode::Storage, &words);
                return Err(io::Error::other(format!("group {} cannot be stored: {words}", hello.group)).into());
            }
        };
        let acks = Arc::new(AckBox::default());
        let held = match group.welcome(&hello, token, &acks, &stream) {
            Ok(held) => held,
            Err(refusal) => {
                info!("group {}: {remote} is refused: {}", hello.group, refusal.words);
                refuse(&stream, refusal.code, &refusal.words);
                return Ok(None);
            }
        };
        info!(
            "group {}: {remote} ships as run {} of sender {}",
            hello.group, hello.epoch, hello.sender
        );
        recorder.connection(remote, &hello.group, hello.sender.0);
        let mut connection = Self {
            reader,
            token,
            group,
            acks: Arc::clone(&acks),
            writer: None,
            welcomed: held.iter().map(|held| held.stream).collect(),
            decompressor: Decompressor::new()?,
            batch: FrameBatch::default(),
            stop: stop.clone(),
        };
        send_welcome(&stream, &held)?;
        let writer = std::thread::Builder::new()
            .name(format!("ack {token}"))
            .spawn(move || acks.write_to(&stream))?;
        connection.writer = Some(writer);
        Ok(Some(connection))
    }

    /// Serves the connection until it ends.
    ///
    /// # Errors
    /// Why it ended, other than that the sender closed it or the receiver is ending.
    pub fn run(&mut self) -> Result<(), ConnectionError> {
        loop {
            match self.step() {
                Ok(()) => {}
                Err(ConnectionError::Net(NetError::Closed | NetError::Stopped)) => return Ok(()),
                // A killed sender leaves half a frame; a fenced one was told by its successor.
                Err(ConnectionError::Net(NetError::Torn) | ConnectionError::Store(StoreError::Fenced)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn step(&mut self) -> Result<(), ConnectionError> {
        self.batch.clear();
        let at = self.batch.begin();
        let stop = &self.stop;
        let header = self
            .reader
            .read(self.batch.body_mut(), Patience::of_shipping(), &|| stop.is_set())?;
        self.batch.finish(at, header);
        match header.kind {
            Kind::Data | Kind::Gap | Kind::End => self.store(&header),
            Kind::Attach => self.attach(&header),
            Kind::Forget => {
                let streams = wire::decode_forget(self.body()).map_err(|source| bad_body(header.kind, source))?;
                Ok(self.group.forget(self.token, &streams)?)
            }
            Kind::Ping => {
                self.acks.pong();
                Ok(())
            }
            other => Err(ConnectionError::Unexpected(other)),
        }
    }

    fn body(&self) -> &[u8] {
        self.batch
            .frames()
            .first()
            .map_or(&[], |frame| self.batch.body_of(frame))
    }

    fn attach(&mut self, header: &FrameHeader) -> Result<(), ConnectionError> {
        let body = self
            .batch
            .frames()
            .first()
            .map_or(&[][..], |frame| self.batch.body_of(frame));
        let raw = self.decompressor.raw(header, body)?;
        let attach = Attach::decode(raw).map_err(|source| bad_body(header.kind, source))?;
        let position = self.group.attach(self.token, header, &attach)?;
        if self.welcomed.insert(header.stream) {
            self.acks.has(header.stream, position);
        }
        Ok(())
    }

    /// Judges the frame outside of the group's lock, as far as that can be done, and stores it.
    fn store(&mut self, header: &FrameHeader) -> Result<(), ConnectionError> {
        let body = self
            .batch
            .frames()
            .first()
            .map_or(&[][..], |frame| self.batch.body_of(frame));
        let stream = header.stream;
        let raw = self.decompressor.raw(header, body)?;
        match header.kind {
            Kind::Data => {
                receive::check_records(raw, 0).map_err(|source| ConnectionError::Records { stream, source })?;
            }
            Kind::Gap => drop(Gap::decode(raw).map_err(|source| bad_body(header.kind, source))?),
            _ => drop(End::decode(raw).map_err(|source| bad_body(header.kind, source))?),
        }
        let mut unfit = None;
        let decompressor = &mut self.decompressor;
        let stored = self
            .group
            .store(self.token, header, &mut self.batch, &mut |batch, position| {
                let body = batch.frames().first().map_or(&[][..], |frame| batch.body_of(frame));
                let rest = decompressor
                    .raw(header, body)
                    .map_err(ConnectionError::from)
                    .and_then(|raw| {
                        rest_of(header, raw, position).map_err(|source| ConnectionError::Records { stream, source })
                    });
                rest.map_err(|error| {
                    unfit = Some(error);
                    ApplyError::Position {
                        stream,
                        expected: position,
                        found: header.start,
                    }
                })
            });
        match unfit {
            Some(error) => Err(error),
            None => Ok(stored?),
        }
    }
}

/// The part of a frame from `position` on, as a frame of its own.
fn rest_of(header: &FrameHeader, raw: &[u8], position: u64) -> Result<FrameBatch, RecordsError> {
    let mut batch = FrameBatch::default();
    let body = if header.kind == Kind::Data {
        let from = usize::try_from(position - header.start).unwrap_or(usize::MAX);
        receive::check_records(raw, from)?;
        &raw[from..]
    } else {
        raw
    };
    let mut rest = FrameHeader::plain(header.kind, body).of_stream(header.stream, position, header.end);
    debug_assert_eq!(rest.codec, Codec::None);
    (rest.flags, rest.time) = (header.flags & !frame::LAST, header.time);
    batch.push(rest, body);
    Ok(batch)
}

fn bad_body(kind: Kind, source: BodyError) -> ConnectionError {
    ConnectionError::Body { kind, source }
}

fn send_welcome(stream: &TcpStream, held: &[wire::Held]) -> io::Result<()> {
    let mut pieces: Vec<&[wire::Held]> = held.chunks(wire::PER_FRAME).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    for (number, piece) in pieces.iter().enumerate() {
        let body = wire::encode_welcome(piece);
        let flags = if number == last { frame::LAST } else { 0 };
        net::send_frame(
            stream,
            &FrameHeader::plain(Kind::Welcome, &body).with_flags(flags),
            &body,
        )?;
    }
    Ok(())
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.group.leave(self.token);
        self.acks.close();
        if let Some(writer) = self.writer.take()
            && let Err(panic) = writer.join()
        {
            tracing::error!("the acknowledging thread panicked: {:?}", chain_of(&panic));
        }
    }
}

fn chain_of(panic: &Box<dyn std::any::Any + Send>) -> String {
    panic
        .downcast_ref::<&str>()
        .map_or_else(|| chain(&io::Error::other("panic")), |words| (*words).to_owned())
}
