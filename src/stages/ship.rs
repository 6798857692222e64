//! Ship: what one destination still needs, frame by frame. Decisions only, no IO.
//!
//! The caller walks the spool in its order and asks [`Ship::judge`] about each frame; it tells what it sent and what
//! came back. Nothing here is durable: after each connection all is built anew from WELCOME, so the receiver alone decides what it has.
//!
//! [`Parcel`] merges what is to be sent: contiguous DATA frames of a stream become one, in the order of their first, up to the
//! longest body a frame may have.

pub mod choice;

use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::formats::joined_crc::joined_crc;
use crate::formats::table::StreamState;
use crate::formats::wire::Held;
use crate::ids::StreamId;
use crate::limits::{FRAME_BODY_MAX, WINDOW_BYTES};
use std::collections::{BTreeMap, HashMap};

/// What is known of one stream at the destination, on this connection.
#[derive(Clone, Copy, Debug)]
struct Remote {
    /// The receiver has, or was sent on this connection, everything below.
    sent: u64,
    /// The receiver has everything below on its disk.
    acked: u64,
    /// ATTACH was sent on this connection.
    attached: bool,
    /// The receiver's END.
    ended: bool,
}

/// What to do with a frame of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Skip,
    /// The receiver named nothing of this stream: attach it and wait for HAS.
    Ask,
    /// Send it, after ATTACH if `attach`.
    Send {
        /// Whether ATTACH goes first.
        attach: bool,
    },
    /// The receiver lacks what lies between `from` and the frame: nobody has it, unless another spool does.
    Hole {
        /// Where the receiver's part ends.
        from: u64,
    },
}

/// One connection to a destination.
#[derive(Debug, Default)]
pub struct Ship {
    streams: BTreeMap<StreamId, Remote>,
    in_flight: u64,
}

impl Ship {
    /// A connection whose receiver welcomed us with `held`.
    #[must_use]
    pub fn welcomed(held: &[Held]) -> Self {
        let remote = |held: &Held| Remote {
            sent: held.position,
            // WELCOME says what was appended; only ACK says what is on disk.
            acked: held.position,
            attached: false,
            ended: held.state == StreamState::Ended,
        };
        Self {
            streams: held.iter().map(|held| (held.stream, remote(held))).collect(),
            in_flight: 0,
        }
    }

    /// What to do with a frame of the spool.
    #[must_use]
    pub fn judge(&self, header: &FrameHeader) -> Verdict {
        if !header.kind.takes_positions() {
            return Verdict::Skip;
        }
        let Some(remote) = self.streams.get(&header.stream) else {
            return Verdict::Ask;
        };
        if header.end <= remote.sent || remote.ended {
            Verdict::Skip
        } else if header.start > remote.sent {
            Verdict::Hole { from: remote.sent }
        } else {
            Verdict::Send {
                attach: !remote.attached,
            }
        }
    }

    /// ATTACH was sent.
    pub fn attached(&mut self, stream: StreamId) {
        if let Some(remote) = self.streams.get_mut(&stream) {
            remote.attached = true;
        }
    }

    /// HAS came, for a stream that was asked for.
    pub fn on_has(&mut self, stream: StreamId, position: u64) {
        let remote = Remote {
            sent: position,
            acked: position,
            attached: true,
            ended: false,
        };
        self.streams.entry(stream).or_insert(remote);
    }

    /// The frame was sent, or is in the parcel that goes next.
    pub fn sent(&mut self, header: &FrameHeader) {
        if let Some(remote) = self.streams.get_mut(&header.stream) {
            self.in_flight += header.end.saturating_sub(remote.sent);
            remote.sent = remote.sent.max(header.end);
            // What follows a GAP is attached again: the definitions may have been in it.
            remote.attached &= header.kind != Kind::Gap;
        }
    }

    /// ACK came. Says how far it counts: no further than the receiver was sent the stream, or said that it has it. `None` for a stream that it was not.
    pub fn on_ack(&mut self, stream: StreamId, position: u64) -> Option<u64> {
        let remote = self.streams.get_mut(&stream)?;
        let position = position.min(remote.sent);
        self.in_flight = self.in_flight.saturating_sub(position.saturating_sub(remote.acked));
        remote.acked = remote.acked.max(position);
        Some(position)
    }

    /// Whether more may be sent before something is acknowledged.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight < WINDOW_BYTES
    }

    /// Bytes that were sent and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Up to where the receiver has the stream, or was sent it.
    #[must_use]
    pub fn has(&self, stream: StreamId) -> u64 {
        self.streams
            .get(&stream)
            .map_or(0, |remote| if remote.ended { u64::MAX } else { remote.sent })
    }

    /// Whether the receiver is known to hold the stream.
    #[must_use]
    pub fn knows(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// The streams that the receiver is known to hold.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.keys().copied()
    }

    /// FORGET was sent.
    pub fn forgot(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

/// A frame on its way, its body not yet compressed.
#[derive(Debug)]
pub struct Outgoing {
    /// Kind, flags, stream, positions, time, length and CRC of the raw body. Of a compressed body the sealer knows.
    pub header: FrameHeader,
    /// The raw body.
    pub raw: Vec<u8>,
}

/// What is sent at once.
#[derive(Debug, Default)]
pub struct Parcel {
    frames: Vec<Outgoing>,
    /// The frame of each stream that may still grow.
    open: HashMap<StreamId, usize>,
    raw_bytes: usize,
    /// Buffers for bodies to come.
    spare: Vec<Vec<u8>>,
}

/// So many buffers are kept: memory stays bounded by the number of streams in one parcel.
const SPARE_MOST: usize = 8;

impl Parcel {
    /// Raw bytes of all its frames.
    #[must_use]
    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether `header` may join this parcel: nothing is merged across the first frame of a life, which keeps runs in order.
    #[must_use]
    pub fn takes(&self, header: &FrameHeader) -> bool {
        self.is_empty() || !header.has(frame::FIRST)
    }

    /// Adds a frame; `read` appends its raw body to the buffer it is given, and has checked it: where it is stored as it is, its CRC is carried on.
    ///
    /// # Errors
    /// As `read`; the parcel is then as before.
    pub fn add<E>(&mut self, header: &FrameHeader, read: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let merged = self.open.get(&header.stream).copied().filter(|place| {
            let open = &self.frames[*place];
            header.kind == Kind::Data
                && open.header.end == header.start
                && open.raw.len() + header.raw_len as usize <= FRAME_BODY_MAX
        });
        let place = if let Some(place) = merged {
            let open = &mut self.frames[place];
            let len = open.raw.len();
            read(&mut open.raw).inspect_err(|_| open.raw.truncate(len))?;
            let added = &open.raw[len..];
            open.header.body_crc = joined_crc(open.header.body_crc, crc_of(header, added), frame::body_len(added));
            open.header.body_len = frame::body_len(&open.raw);
            open.header.raw_len = open.header.body_len;
            open.header.end = header.end;
            open.header.flags |= header.flags;
            place
        } else {
            let mut raw = self.spare.pop().unwrap_or_default();
            read(&mut raw)?;
            let header = FrameHeader {
                codec: Codec::None,
                body_len: frame::body_len(&raw),
                raw_len: frame::body_len(&raw),
                body_crc: crc_of(header, &raw),
                ..*header
            };
            self.frames.push(Outgoing { header, raw });
            self.frames.len() - 1
        };
        self.raw_bytes += header.raw_len as usize;
        if header.kind == Kind::Data {
            self.open.insert(header.stream, place);
        } else {
            self.open.remove(&header.stream);
        }
        Ok(())
    }

    /// Empties the parcel: its frames, in their order.
    #[must_use]
    pub fn take(&mut self) -> Vec<Outgoing> {
        self.open.clear();
        self.raw_bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// Frames that were sent: their memory serves again.
    pub fn reuse(&mut self, sent: Vec<Outgoing>) {
        let room = SPARE_MOST.saturating_sub(self.spare.len());
        self.spare.extend(sent.into_iter().take(room).map(|mut frame| {
            frame.raw.clear();
            frame.raw
        }));
    }
}

/// The CRC of the raw body of `header`, which holds for the body as it is stored.
fn crc_of(header: &FrameHeader, raw: &[u8]) -> u32 {
    match header.codec {
        Codec::None => header.body_crc,
        Codec::Zstd | Codec::Lz4 => frame::body_crc(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stream: StreamId, start: u64, len: usize) -> FrameHeader {
        FrameHeader::plain(Kind::Data, &vec![1; len]).of_stream(stream, start, start + len as u64)
    }

    fn held(stream: StreamId, position: u64) -> Held {
        Held {
            stream,
            position,
            state: StreamState::Open,
        }
    }

    #[test]
    fn only_what_the_receiver_lacks_is_sent() {
        let stream = StreamId::random();
        let mut ship = Ship::welcomed(&[held(stream, 16)]);
        assert_eq!(ship.judge(&data(stream, 0, 16)), Verdict::Skip);
        assert_eq!(ship.judge(&data(stream, 8, 16)), Verdict::Send { attach: true });
        ship.attached(stream);
        assert_eq!(ship.judge(&data(stream, 16, 8)), Verdict::Send { attach: false });
        assert_eq!(ship.judge(&data(stream, 24, 8)), Verdict::Hole { from: 16 });
        assert_eq!(ship.judge(&data(StreamId::random(), 0, 8)), Verdict::Ask);
    }

    #[test]
    fn a_stream_that_another_sender_shipped_goes_on_where_that_one_stopped() {
        let stream = StreamId::random();
        let mut ship = Ship::welcomed(&[]);
        assert_eq!(ship.judge(&data(stream, 0, 16)), Verdict::Ask);
        ship.on_has(stream, 16);
        assert_eq!(ship.judge(&data(stream, 0, 16)), Verdict::Skip);
        assert_eq!(ship.judge(&data(stream, 16, 16)), Verdict::Send { attach: false });
    }

    #[test]
    fn the_window_opens_with_acknowledgements_and_never_by_more_than_was_sent() {
        let stream = StreamId::random();
        let mut ship = Ship::welcomed(&[held(stream, 0)]);
        let mut start = 0;
        while ship.has_room() {
            ship.sent(&data(stream, start, 1 << 20));
            start += 1 << 20;
        }
        ship.on_ack(stream, u64::MAX);
        assert_eq!(ship.in_flight(), 0);
    }

    #[test]
    fn a_stream_is_attached_again_after_a_gap() {
        let stream = StreamId::random();
        let mut ship = Ship::welcomed(&[held(stream, 0)]);
        ship.attached(stream);
        ship.sent(&FrameHeader::plain(Kind::Gap, &[]).of_stream(stream, 0, 8));
        assert_eq!(ship.judge(&data(stream, 8, 8)), Verdict::Send { attach: true });
    }

    #[test]
    fn contiguous_frames_merge_in_the_order_of_their_first() {
        let (a, b) = (StreamId::random(), StreamId::random());
        let mut parcel = Parcel::default();
        for header in [data(a, 0, 8), data(b, 0, 8), data(a, 8, 16), data(a, 32, 8)] {
            parcel
                .add::<()>(&header, |raw| {
                    raw.extend(vec![1; header.raw_len as usize]);
                    Ok(())
                })
                .unwrap();
        }
        let frames = parcel.take();
        let places = |frame: &Outgoing| {
            (
                frame.header.stream,
                frame.header.start,
                frame.header.end,
                frame.raw.len(),
            )
        };
        let sent: Vec<_> = frames.iter().map(places).collect();
        assert_eq!(sent, [(a, 0, 24, 24), (b, 0, 8, 8), (a, 32, 40, 8)]);
        assert!(parcel.is_empty());
        for frame in &frames {
            frame.header.check_body(&frame.raw).unwrap(); // what was carried on is what the bytes give
        }
    }

    #[test]
    fn the_first_frame_of_a_life_joins_no_parcel() {
        let mut parcel = Parcel::default();
        let header = data(StreamId::random(), 0, 8).with_flags(frame::FIRST);
        assert!(parcel.takes(&header));
        parcel
            .add::<()>(&header, |raw| {
                raw.extend([0; 8]);
                Ok(())
            })
            .unwrap();
        assert!(!parcel.takes(&data(StreamId::random(), 0, 8).with_flags(frame::FIRST)));
        assert!(parcel.takes(&data(header.stream, 8, 8)));
    }
}
