//! What is served over a connection, frame by frame: HELLO is answered by WELCOME, and then what comes is judged and stored.
//!
//! It reads from whoever has the frames ([`Frames`]), into memory that is lent for each ([`Memory`]), and answers through the connection's [`AckBox`]; sockets and threads are [`super::connection`]'s affair.

use crate::formats::body::{Attach, End, Gap};
use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::formats::pieces::BodyError;
use crate::formats::table::ApplyError;
use crate::formats::wire::{self, Held, Hello, Refuse};
use crate::ids::StreamId;
use crate::modes::batchrecv::acks::AckBox;
use crate::modes::batchrecv::connection::ConnectionError;
use crate::modes::batchrecv::group::GroupStore;
use crate::modes::batchrecv::memory::Memory;
use crate::modes::supervise::provoke;
use crate::os::net::{self, Line, NetError};
use crate::seglog::batch::FrameBatch;
use crate::stages::receive::{self, RecordsError};
use std::collections::HashSet;
use std::sync::Arc;

/// Where the frames of a connection come from.
pub trait Frames {
    /// The header of the next frame.
    ///
    /// # Errors
    /// When none comes.
    fn header(&mut self) -> Result<FrameHeader, NetError>;

    /// The body that belongs to `header`, which came last, appended to `body`.
    ///
    /// # Errors
    /// When it does not come, or is not the header's.
    fn body(&mut self, header: &FrameHeader, body: &mut Vec<u8>) -> Result<(), NetError>;
}

/// A sender that was welcomed.
pub struct Serving {
    token: u64,
    group: Arc<GroupStore>,
    acks: Arc<AckBox>,
    /// Streams that WELCOME named: their ATTACH is not answered.
    welcomed: HashSet<StreamId>,
    memory: Arc<Memory>,
}

/// A sender that is served, and WELCOME to be sent to it; or what to answer instead.
pub type Begun = Result<(Serving, Vec<u8>), Refuse>;

impl Serving {
    /// Begins to serve who says `hello`, over the connection that is called `token` here and that `line` hangs up.
    ///
    /// # Errors
    /// What to answer instead.
    pub fn begin(
        group: Arc<GroupStore>,
        memory: Arc<Memory>,
        hello: &Hello,
        token: u64,
        acks: &Arc<AckBox>,
        line: Box<dyn Line>,
    ) -> Begun {
        let held = group.welcome(hello, token, acks, line)?;
        let serving = Self {
            token,
            group,
            acks: Arc::clone(acks),
            welcomed: held.iter().map(|held| held.stream).collect(),
            memory,
        };
        Ok((serving, welcome(&held)))
    }

    /// The connection is over.
    pub fn end(&self) {
        self.group.leave(self.token);
        self.acks.close();
    }

    /// Takes in one frame.
    ///
    /// # Errors
    /// As `frames`; and when the frame is none that may come here, or cannot be stored: that ends the connection.
    pub fn step(&mut self, frames: &mut dyn Frames) -> Result<(), ConnectionError> {
        let header = frames.header()?;
        let memory = Arc::clone(&self.memory);
        memory.with_room(header.body_len as usize, |batch| {
            let at = batch.begin();
            frames.body(&header, batch.body_mut())?;
            batch.finish(at, header);
            provoke::here();
            self.take_in(&header, batch)
        })
    }

    fn take_in(&mut self, header: &FrameHeader, batch: &mut FrameBatch) -> Result<(), ConnectionError> {
        match header.kind {
            Kind::Data | Kind::Gap | Kind::End => self.store(header, batch),
            Kind::Attach => self.attach(header, body_of(batch)),
            Kind::Forget => {
                let streams = wire::decode_forget(body_of(batch)).map_err(|source| bad_body(header.kind, source))?;
                Ok(self.group.forget(self.token, &streams)?)
            }
            Kind::Ping => {
                self.acks.pong();
                Ok(())
            }
            other => Err(ConnectionError::Unexpected(other)),
        }
    }

    fn attach(&mut self, header: &FrameHeader, body: &[u8]) -> Result<(), ConnectionError> {
        let attach = self.memory.with_decompressor(|decompressor| {
            let raw = decompressor.raw(header, body)?;
            Attach::decode(raw).map_err(|source| bad_body(header.kind, source))
        })?;
        let position = self.group.attach(self.token, header, &attach)?;
        if self.welcomed.insert(header.stream) {
            self.acks.has(header.stream, position);
        }
        Ok(())
    }

    /// Judges the frame outside of the group's lock, as far as that can be done, and stores it.
    fn store(&self, header: &FrameHeader, batch: &mut FrameBatch) -> Result<(), ConnectionError> {
        let stream = header.stream;
        let body = body_of(batch);
        self.memory
            .with_decompressor(|decompressor| check(header, decompressor.raw(header, body)?))?;
        let mut unfit = None;
        let memory = &self.memory;
        let stored = self.group.store(self.token, header, batch, &mut |batch, position| {
            let rest = memory.with_decompressor(|decompressor| {
                let raw = decompressor.raw(header, body_of(batch))?;
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

/// The stored body of the one frame in `batch`.
fn body_of(batch: &FrameBatch) -> &[u8] {
    batch.frames().first().map_or(&[], |frame| batch.body_of(frame))
}

/// Checks the raw body of a frame that takes positions.
fn check(header: &FrameHeader, raw: &[u8]) -> Result<(), ConnectionError> {
    let stream = header.stream;
    match header.kind {
        Kind::Data => receive::check_records(raw, 0).map_err(|source| ConnectionError::Records { stream, source }),
        Kind::Gap => Gap::decode(raw)
            .map(drop)
            .map_err(|source| bad_body(header.kind, source)),
        _ => End::decode(raw)
            .map(drop)
            .map_err(|source| bad_body(header.kind, source)),
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
