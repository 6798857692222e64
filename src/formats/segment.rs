//! The segment header and the names of segment files.

use crate::ids::{OwnerId, SegmentId};
use hog_ring::is_group_name;
use std::ffi::OsStr;
use thiserror::Error;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a segment header in bytes.
pub const SEGMENT_HEADER_LEN: usize = size_of::<Layout>();
/// First bytes of each segment.
pub const MAGIC: [u8; 8] = *b"HOGSEGM1";
/// The only version there is.
pub const VERSION: u32 = 1;

const CRC_AT: usize = SEGMENT_HEADER_LEN - 4;
const _: () = assert!(SEGMENT_HEADER_LEN == 160);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 8],
    version: U32,
    role: U32,
    segment: [u8; 16],
    owner: [u8; 16],
    epoch: U64,
    number: U64,
    created: U64,
    group_len: u8,
    group: [u8; 64],
    zero: [u8; 19],
    crc: U32,
}

/// Whose segments they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LogRole {
    /// A sender's.
    Spool = 1,
    /// A receiver's.
    Archive = 2,
}

/// The checked header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Spool or archive.
    pub role: LogRole,
    /// This file; the salt of its frames.
    pub segment: SegmentId,
    /// The sender or receiver that wrote it.
    pub owner: OwnerId,
    /// The owner's run that wrote it.
    pub epoch: u64,
    /// Number of the segment, as in its name.
    pub number: u64,
    /// When it was begun, nanoseconds since 1970.
    pub created: u64,
    /// The group.
    pub group: String,
}

/// Why bytes are not a segment header.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SegmentHeaderError {
    /// Shorter than a header.
    #[error("it is {0} bytes long, and a segment's header is {SEGMENT_HEADER_LEN}")]
    Short(usize),
    /// Another kind of file.
    #[error("it is not a segment of hog: expected HOGSEGM1, found {0:02x?}")]
    Magic([u8; 8]),
    /// Damaged.
    #[error("its header's CRC is {found:08x}, its bytes give {expected:08x}")]
    Crc {
        /// What the bytes give.
        expected: u32,
        /// What the header says.
        found: u32,
    },
    /// Of a newer hog.
    #[error("it is of version {0}, and this hog knows version {VERSION}")]
    Version(u32),
    /// A sound CRC over nonsense.
    #[error("its header names role {role} and a group of {group_len} bytes that is no group name")]
    Fields {
        /// As found.
        role: u32,
        /// As found.
        group_len: u8,
    },
}

impl SegmentHeader {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut group = [0; 64];
        group[..self.group.len()].copy_from_slice(self.group.as_bytes());
        #[allow(clippy::cast_possible_truncation)]
        let mut layout = Layout {
            magic: MAGIC,
            version: VERSION.into(),
            role: (self.role as u32).into(),
            segment: self.segment.bytes(),
            owner: self.owner.bytes(),
            epoch: self.epoch.into(),
            number: self.number.into(),
            created: self.created.into(),
            group_len: self.group.len() as u8,
            group,
            zero: [0; 19],
            crc: U32::ZERO,
        };
        layout.crc = crc32c::crc32c(&layout.as_bytes()[..CRC_AT]).into();
        zerocopy::transmute!(layout)
    }

    /// The header at the beginning of `bytes`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentHeaderError> {
        let Ok((layout, _)) = Layout::read_from_prefix(bytes) else {
            return Err(SegmentHeaderError::Short(bytes.len()));
        };
        if layout.magic != MAGIC {
            return Err(SegmentHeaderError::Magic(layout.magic));
        }
        let (expected, found) = (crc32c::crc32c(&bytes[..CRC_AT]), layout.crc.get());
        if expected != found {
            return Err(SegmentHeaderError::Crc { expected, found });
        }
        if layout.version.get() != VERSION {
            return Err(SegmentHeaderError::Version(layout.version.get()));
        }
        let role = match layout.role.get() {
            1 => Some(LogRole::Spool),
            2 => Some(LogRole::Archive),
            _ => None,
        };
        let group = layout
            .group
            .get(..usize::from(layout.group_len))
            .and_then(|name| std::str::from_utf8(name).ok());
        match (role, group) {
            (Some(role), Some(group)) if is_group_name(group) => Ok(Self {
                role,
                segment: SegmentId::from_bytes(layout.segment),
                owner: OwnerId::from_bytes(layout.owner),
                epoch: layout.epoch.get(),
                number: layout.number.get(),
                created: layout.created.get(),
                group: group.to_owned(),
            }),
            _ => Err(SegmentHeaderError::Fields {
                role: layout.role.get(),
                group_len: layout.group_len,
            }),
        }
    }

    /// The uuid in `bytes`, whatever else is in them.
    #[must_use]
    pub fn salt_in(bytes: &[u8; SEGMENT_HEADER_LEN]) -> SegmentId {
        let layout: Layout = zerocopy::transmute!(*bytes);
        SegmentId::from_bytes(layout.segment)
    }

    /// The header that `bytes` were before one bit of them was flipped, if that is what happened to them: the CRC tells which. Without its header
    /// a segment cannot be read at all, however sound its frames are.
    #[must_use]
    pub fn mend(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Option<Self> {
        (0..SEGMENT_HEADER_LEN * 8).find_map(|bit| {
            let mut mended = *bytes;
            mended[bit / 8] ^= 1 << (bit % 8);
            Self::decode(&mended).ok()
        })
    }
}

/// The name of segment `number`.
#[must_use]
pub fn file_name(number: u64) -> String {
    format!("seg-{number:020}.hog")
}

/// The number of the segment called `name`, if it is a segment's name.
#[must_use]
pub fn number_of(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix("seg-")?.strip_suffix(".hog")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // The bound leaves numbers for all segments to come.
    is_number
        .then(|| digits.parse().ok())?
        .filter(|number| *number < 1 << 62)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            role: LogRole::Archive,
            segment: SegmentId::random(),
            owner: OwnerId::random(),
            epoch: 7,
            number: 42,
            created: 1,
            group: "web".into(),
        }
    }

    #[test]
    fn header_survives_encode_and_decode() {
        let header = header();
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_header_with_one_flipped_bit_is_mended_and_one_with_two_is_not() {
        let header = header();
        let bytes = header.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::mend(&flipped).as_ref(), Some(&header), "bit {bit}");
            let other = (bit + 37) % (bytes.len() * 8);
            flipped[other / 8] ^= 1 << (other % 8);
            assert_eq!(SegmentHeader::mend(&flipped), None, "bits {bit} and {other}");
        }
    }

    #[test]
    fn names_have_twenty_digits_and_nothing_else() {
        assert_eq!(number_of(OsStr::new(&file_name(17))), Some(17));
        for name in [
            "seg-17.hog",
            "seg-00000000000000000017.hog.tmp",
            "seg-+0000000000000000017.hog",
            "x",
        ] {
            assert_eq!(number_of(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn layout_is_the_documented_one() {
        use std::mem::offset_of;
        let rows = [
            (offset_of!(Layout, magic), 8, "magic `HOGSEGM1`"),
            (offset_of!(Layout, version), 4, "version"),
            (offset_of!(Layout, role), 4, "role"),
            (offset_of!(Layout, segment), 16, "segment uuid"),
            (offset_of!(Layout, owner), 16, "owner uuid"),
            (offset_of!(Layout, epoch), 8, "epoch"),
            (offset_of!(Layout, number), 8, "number"),
            (offset_of!(Layout, created), 8, "created"),
            (offset_of!(Layout, group_len), 1, "length of the group's name"),
            (offset_of!(Layout, group), 64, "group"),
            (offset_of!(Layout, crc), 4, "CRC of bytes 0 to 155"),
        ];
        let text = include_str!("../../docs/FORMATS.md");
        for (offset, size, field) in rows {
            assert!(
                text.contains(&format!("| {offset} | {size} | {field}")),
                "{offset} {field}"
            );
        }
    }
}
