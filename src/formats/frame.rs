//! The frame header: 72 bytes in front of every body, in spool, archive and on the wire alike.
//!
//! The header's CRC is salted with the uuid of the segment it stands in, so that bytes of an older file that the file
//! system hands out again are never taken for frames of this one. A body is sealed once, by the drainer or the shipper,
//! and travels unchanged; only its header is made anew at each stop. A [`FrameHeader`] that came from bytes has
//! been checked: magic, CRC, kind, codec, lengths, order of positions.

use crate::ids::{SegmentId, StreamId};
use crate::limits::{FRAME_BODY_MAX, POSITION_MAX};
use thiserror::Error;
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = size_of::<Layout>();
/// First bytes of each frame, and so of a connection that speaks hog's protocol.
pub const MAGIC: [u8; 4] = *b"HOGF";
/// Positions that END takes of its stream.
pub const END_SPAN: u64 = 8;

const _: () = assert!(HEADER_LEN == 72);

/// The header's CRC covers everything behind itself.
const CRC_FROM: usize = 8;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 4],
    header_crc: U32,
    body_len: U32,
    raw_len: U32,
    stream: [u8; 16],
    start: U64,
    end: U64,
    durable: U64,
    time: U64,
    body_crc: U32,
    kind: u8,
    codec: u8,
    flags: U16,
}

/// What a frame is. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A stream begins here or goes on here: who wrote it, its definitions.
    Attach = 1,
    /// Whole ring records.
    Data = 2,
    /// Positions that are missing for good.
    Gap = 4,
    /// The stream's last frame.
    End = 6,
    /// All that a reader must know of what came before.
    Checkpoint = 7,
    /// The segment was finished in order.
    Seal = 8,
    /// Sender: who I am.
    Hello = 32,
    /// Receiver: what I have of your streams.
    Welcome = 33,
    /// Receiver: what I have of the stream you attached.
    Has = 34,
    /// Receiver: what is on my disk.
    Ack = 35,
    /// Sender: streams that I have nothing left of.
    Forget = 36,
    /// Sender: I am still here.
    Ping = 37,
    /// Receiver: go away, and why.
    Refuse = 38,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Attach,
            2 => Self::Data,
            4 => Self::Gap,
            6 => Self::End,
            7 => Self::Checkpoint,
            8 => Self::Seal,
            32 => Self::Hello,
            33 => Self::Welcome,
            34 => Self::Has,
            35 => Self::Ack,
            36 => Self::Forget,
            37 => Self::Ping,
            38 => Self::Refuse,
            _ => return None,
        })
    }

    /// Whether the frame takes positions of its stream.
    #[must_use]
    pub fn takes_positions(self) -> bool {
        matches!(self, Self::Data | Self::Gap | Self::End)
    }
}

/// How a body is compressed. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    None = 0,
    /// One zstd frame.
    Zstd = 1,
    /// One lz4 block.
    Lz4 = 2,
}

/// Flag: the last frame of a list (CHECKPOINT, WELCOME).
pub const LAST: u16 = 1;
/// Flag: the body holds statement definitions, or forgets some (STMT, ABORT).
pub const STATEMENTS: u16 = 1 << 1;
/// Flag: a ring's first frame of a session, or its first since an adoption; nothing is merged across it.
pub const FIRST: u16 = 1 << 2;
/// Flag: this CHECKPOINT amends the table instead of replacing it.
pub const UPDATE: u16 = 1 << 3;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What it is.
    pub kind: Kind,
    /// How the body is compressed.
    pub codec: Codec,
    /// [`LAST`], [`STATEMENTS`], [`FIRST`], [`UPDATE`].
    pub flags: u16,
    /// The stream, or [`StreamId::NIL`].
    pub stream: StreamId,
    /// First position.
    pub start: u64,
    /// Position after the last.
    pub end: u64,
    /// Bytes of the body as stored.
    pub body_len: u32,
    /// Bytes of the body once decompressed.
    pub raw_len: u32,
    /// CRC of the body as stored.
    pub body_crc: u32,
    /// Nanoseconds since 1970 at which it was drained, or 0.
    pub time: u64,
    /// The file is known to be on disk below this offset.
    pub durable: u64,
}

/// Why bytes are not a frame.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// No `HOGF` here.
    #[error("no frame begins here: expected HOGF, found {0:02x?}")]
    Magic([u8; 4]),
    /// The header's CRC does not hold (or it was written for another segment).
    #[error("frame header CRC is {found:08x}, its bytes give {expected:08x}")]
    HeaderCrc {
        /// What the bytes give.
        expected: u32,
        /// What the header says.
        found: u32,
    },
    /// A kind or codec that this version does not know.
    #[error("unknown frame kind {kind} with codec {codec}")]
    Unknown {
        /// Byte 68.
        kind: u8,
        /// Byte 69.
        codec: u8,
    },
    /// A length or position that no frame has.
    #[error("frame of kind {kind:?} with body length {body_len}, raw length {raw_len}, positions {start} to {end}")]
    Bounds {
        /// Its kind.
        kind: Kind,
        /// As found.
        body_len: u32,
        /// As found.
        raw_len: u32,
        /// As found.
        start: u64,
        /// As found.
        end: u64,
    },
    /// The body is cut short, or its CRC does not hold.
    #[error("frame body is not the {0} bytes that its header sealed")]
    Body(u32),
    /// The body's CRC does not hold.
    #[error("frame body CRC is {found:08x}, its header says {expected:08x}")]
    BodyCrc {
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        found: u32,
    },
}

impl FrameHeader {
    /// A header of `kind` for an uncompressed `body` that belongs to no stream.
    #[must_use]
    pub fn plain(kind: Kind, body: &[u8]) -> Self {
        Self::summed(kind, body, body_crc(body))
    }

    /// The same, for whoever has summed the body up: `body_crc` is its CRC-32C.
    #[must_use]
    pub fn summed(kind: Kind, body: &[u8], body_crc: u32) -> Self {
        let len = body_len(body);
        debug_assert_eq!(body_crc, self::body_crc(body), "the CRC of another body");
        Self {
            kind,
            codec: Codec::None,
            flags: 0,
            stream: StreamId::NIL,
            start: 0,
            end: 0,
            body_len: len,
            raw_len: len,
            body_crc,
            time: 0,
            durable: 0,
        }
    }

    /// The same header for `stream` and its positions `start..end`.
    #[must_use]
    pub fn of_stream(mut self, stream: StreamId, start: u64, end: u64) -> Self {
        (self.stream, self.start, self.end) = (stream, start, end);
        self
    }

    /// The same header with `flags` added.
    #[must_use]
    pub fn with_flags(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }

    /// Whether `flag` is set.
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of the frame, header and body.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.body_len)
    }

    /// Its bytes, sealed with `salt`.
    #[must_use]
    pub fn seal(&self, salt: SegmentId) -> [u8; HEADER_LEN] {
        let mut layout = Layout {
            magic: MAGIC,
            header_crc: U32::ZERO,
            body_len: self.body_len.into(),
            raw_len: self.raw_len.into(),
            stream: self.stream.bytes(),
            start: self.start.into(),
            end: self.end.into(),
            durable: self.durable.into(),
            time: self.time.into(),
            body_crc: self.body_crc.into(),
            kind: self.kind as u8,
            codec: self.codec as u8,
            flags: self.flags.into(),
        };
        layout.header_crc = salted_crc(salt, &layout.as_bytes()[CRC_FROM..]).into();
        zerocopy::transmute!(layout)
    }

    /// The header in `bytes`, which must have been sealed with `salt`.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn open(bytes: &[u8; HEADER_LEN], salt: SegmentId) -> Result<Self, FrameError> {
        let layout: Layout = zerocopy::transmute!(*bytes);
        if layout.magic != MAGIC {
            return Err(FrameError::Magic(layout.magic));
        }
        let (expected, found) = (salted_crc(salt, &bytes[CRC_FROM..]), layout.header_crc.get());
        if expected != found {
            return Err(FrameError::HeaderCrc { expected, found });
        }
        let codec = match layout.codec {
            0 => Some(Codec::None),
            1 => Some(Codec::Zstd),
            2 => Some(Codec::Lz4),
            _ => None,
        };
        let (Some(kind), Some(codec)) = (Kind::from_byte(layout.kind), codec) else {
            return Err(FrameError::Unknown {
                kind: layout.kind,
                codec: layout.codec,
            });
        };
        let header = Self {
            kind,
            codec,
            flags: layout.flags.get(),
            stream: StreamId::from_bytes(layout.stream),
            start: layout.start.get(),
            end: layout.end.get(),
            body_len: layout.body_len.get(),
            raw_len: layout.raw_len.get(),
            body_crc: layout.body_crc.get(),
            time: layout.time.get(),
            durable: layout.durable.get(),
        };
        if header.is_within_bounds() {
            Ok(header)
        } else {
            let Self {
                body_len,
                raw_len,
                start,
                end,
                ..
            } = header;
            Err(FrameError::Bounds {
                kind,
                body_len,
                raw_len,
                start,
                end,
            })
        }
    }

    /// Whether lengths and positions are such as a frame may have.
    #[must_use]
    pub fn is_within_bounds(&self) -> bool {
        let lengths = self.body_len as usize <= FRAME_BODY_MAX
            && self.raw_len as usize <= FRAME_BODY_MAX
            && (self.codec != Codec::None || self.body_len == self.raw_len);
        let positions = match self.kind {
            Kind::Data => self.end.checked_sub(self.start) == Some(u64::from(self.raw_len)) && self.end > self.start,
            Kind::Gap => self.end > self.start,
            Kind::End => self.start.checked_add(END_SPAN) == Some(self.end),
            _ => self.end == self.start,
        };
        lengths && positions && self.end <= POSITION_MAX && self.start.is_multiple_of(8) && self.end.is_multiple_of(8)
    }

    /// Whether `body` is the body that was sealed.
    ///
    /// # Errors
    /// [`FrameError::BodyCrc`] when it is not.
    pub fn check_body(&self, body: &[u8]) -> Result<(), FrameError> {
        let found = body_crc(body);
        if body.len() == self.body_len as usize && found == self.body_crc {
            Ok(())
        } else {
            Err(FrameError::BodyCrc {
                expected: self.body_crc,
                found,
            })
        }
    }
}

/// The length of a body as the header stores it.
///
/// # Panics
/// Above [`FRAME_BODY_MAX`]: hog never builds such a body.
#[must_use]
pub fn body_len(body: &[u8]) -> u32 {
    assert!(body.len() <= FRAME_BODY_MAX, "a frame body of {} bytes", body.len());
    #[allow(clippy::cast_possible_truncation)]
    let len = body.len() as u32;
    len
}

/// CRC-32C of a body.
#[must_use]
pub fn body_crc(body: &[u8]) -> u32 {
    let mut sum = BodySum::new();
    sum.add(body);
    sum.crc()
}

/// The CRC-32C of a body that comes in pieces. Bodies are long, so they are summed up by what folds them 256 bytes at a time where the processor can; headers and
/// what else is short are not worth that.
#[derive(Clone)]
pub struct BodySum(crc_fast::Digest);

impl BodySum {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    /// Goes on with `piece`.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Of all that there was.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // a CRC of 32 bits
    pub fn crc(&self) -> u32 {
        self.0.finalize() as u32
    }
}

impl Default for BodySum {
    fn default() -> Self {
        Self::new()
    }
}

fn salted_crc(salt: SegmentId, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.bytes()), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> FrameHeader {
        FrameHeader::plain(Kind::Data, b"12345678")
            .of_stream(StreamId::random(), 16, 24)
            .with_flags(FIRST)
    }

    #[test]
    fn header_survives_seal_and_open() {
        let (salt, header) = (SegmentId::random(), header());
        assert_eq!(FrameHeader::open(&header.seal(salt), salt), Ok(header));
    }

    #[test]
    fn header_of_another_segment_is_refused() {
        let sealed = header().seal(SegmentId::random());
        assert!(matches!(
            FrameHeader::open(&sealed, SegmentId::random()),
            Err(FrameError::HeaderCrc { .. })
        ));
    }

    #[test]
    fn data_must_span_its_raw_length() {
        let salt = SegmentId::NIL;
        let sealed = header().of_stream(StreamId::NIL, 16, 32).seal(salt);
        assert!(matches!(
            FrameHeader::open(&sealed, salt),
            Err(FrameError::Bounds { .. })
        ));
    }

    #[test]
    fn layout_is_the_documented_one() {
        use std::mem::offset_of;
        let offsets = [
            (offset_of!(Layout, magic), 4, "magic"),
            (offset_of!(Layout, header_crc), 4, "header CRC"),
            (offset_of!(Layout, body_len), 4, "body length"),
            (offset_of!(Layout, raw_len), 4, "raw length"),
            (offset_of!(Layout, stream), 16, "stream uuid"),
            (offset_of!(Layout, start), 8, "start position"),
            (offset_of!(Layout, end), 8, "end position"),
            (offset_of!(Layout, durable), 8, "durable"),
            (offset_of!(Layout, time), 8, "time of draining"),
            (offset_of!(Layout, body_crc), 4, "body CRC"),
            (offset_of!(Layout, kind), 1, "kind"),
            (offset_of!(Layout, codec), 1, "codec"),
            (offset_of!(Layout, flags), 2, "flags"),
        ];
        let text = include_str!("../../docs/FORMATS.md");
        for (offset, size, field) in offsets {
            let row = format!("| {offset} | {size} | {field}");
            assert!(text.contains(&row), "docs/FORMATS.md lacks {row:?}");
        }
        for byte in 0..=u8::MAX {
            if let Some(kind) = Kind::from_byte(byte) {
                let row = format!("| {byte} | {} |", format!("{kind:?}").to_uppercase());
                assert!(text.contains(&row), "docs/FORMATS.md lacks {row:?}");
            }
        }
    }

    #[test]
    fn bodies_are_summed_up_by_crc_32c_whatever_their_length_and_pieces() {
        assert_eq!(body_crc(b"123456789"), 0xe306_9283); // the check value that catalogues of CRCs give
        let bytes: Vec<u8> = (0..5000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for len in (0..1100).chain([4095, 4096, 4097, 5000]) {
            let (mut sum, expected) = (BodySum::new(), crc32c::crc32c(&bytes[..len]));
            let (first, rest) = bytes[..len].split_at(len * 2 / 3);
            sum.add(first);
            sum.add(rest);
            assert_eq!(
                (body_crc(&bytes[..len]), sum.crc()),
                (expected, expected),
                "{len} bytes"
            );
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_always_noticed(byte in 0..HEADER_LEN, bit in 0..8u32) {
            let (salt, header) = (SegmentId::NIL, header());
            let mut sealed = header.seal(salt);
            sealed[byte] ^= 1u8 << bit;
            prop_assert!(FrameHeader::open(&sealed, salt).is_err());
        }
    }
}
