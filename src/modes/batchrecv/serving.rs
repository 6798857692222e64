//! What is served over a connection, frame by frame: HELLO is answered by WELCOME, and then what comes is judged and stored.
//!
//! It reads from whoever has the frames and answers through the connection's [`AckBox`]; sockets and threads are [`super::connection`]'s affair.

use crate::formats::body::{Attach, End, Gap};
use crate::formats::codec::Decompressor;
use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::formats::pieces::BodyError;
use crate::formats::table::ApplyError;
use crate::formats::wire::{self, Held, Hello, Refuse};
use crate::ids::StreamId;
use crate::modes::batchrecv::acks::AckBox;
use crate::modes::batchrecv::connection::ConnectionError;
use crate::modes::batchrecv::group::GroupStore;
use crate::modes::supervise::provoke;
use crate::os::net::{self, Line, NetError};
use crate::seglog::batch::FrameBatch;
use crate::stages::receive::{self, RecordsError};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// A sender that was welcomed.
pub struct Serving {
    token: u64,
    group: Arc<GroupStore>,
    acks: Arc<AckBox>,
    /// Streams that WELCOME named: their ATTACH is not answered.
    welcomed: HashSet<StreamId>,
    decompressor: Decompressor,
    batch: FrameBatch,
}

/// A sender that is served, and WELCOME to be sent to it; or what to answer instead.
pub type Begun = Result<(Serving, Vec<u8>), Refuse>;

impl Serving {
    /// Begins to serve who says `hello`, over the connection that is called `token` here and that `line` hangs up.
    ///
    /// # Errors
    /// When there is no memory to decompress with.
    pub fn begin(
        group: Arc<GroupStore>,
        hello: &Hello,
        token: u64,
        acks: &Arc<AckBox>,
        line: Box<dyn Line>,
    ) -> io::Result<Begun> {
        let decompressor = Decompressor::new()?;
        let held = match group.welcome(hello, token, acks, line) {
            Ok(held) => held,
            Err(refuse) => return Ok(Err(refuse)),
        };
        let serving = Self {
            token,
            group,
            acks: Arc::clone(acks),
            welcomed: held.iter().map(|held| held.stream).collect(),
            decompressor,
            batch: FrameBatch::default(),
        };
        Ok(Ok((serving, welcome(&held))))
    }

    /// The connection is over.
    pub fn end(&self) {
        self.group.leave(self.token);
        self.acks.close();
    }

    /// Takes in one frame, which `read` appends the body of to what it is given.
    ///
    /// # Errors
    /// As `read`; and when the frame is none that may come here, or cannot be stored: that ends the connection.
    pub fn step(
        &mut self,
        read: impl FnOnce(&mut Vec<u8>) -> Result<FrameHeader, NetError>,
    ) -> Result<(), ConnectionError> {
        self.batch.clear();
        let at = self.batch.begin();
        let header = read(self.batch.body_mut())?;
        self.batch.finish(at, header);
        provoke::here();
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

fn welcome(held: &[Held]) -> Vec<u8> {
    let mut pieces: Vec<&[Held]> = held.chunks(wire::PER_FRAME).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let mut bytes = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let body = wire::encode_welcome(piece);
        let flags = if number == last { frame::LAST } else { 0 };
        net::put_frame(
            &mut bytes,
            &FrameHeader::plain(Kind::Welcome, &body).with_flags(flags),
            &body,
        );
    }
    bytes
}
