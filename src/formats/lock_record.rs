//! What stands in a spool's lock file besides the holder's pid: the sender's identity, twice, and what the spool may take, for reports.

use crate::ids::OwnerId;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a spool's lock file.
pub const LOCK_FILE_LEN: usize = 4096;
/// Where the two copies stand.
pub const COPIES_AT: [usize; 2] = [512, 1024];
/// Bytes at the beginning for the pid, a newline and spaces.
pub const PID_LEN: usize = 32;

const MAGIC: [u8; 8] = *b"HOGSPOOL";
/// Length of one copy.
pub const RECORD_LEN: usize = size_of::<Layout>();
const CRC_AT: usize = RECORD_LEN - 4;
const _: () = assert!(RECORD_LEN == 36);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 8],
    sender: [u8; 16],
    epoch: U64,
    crc: U32,
}

/// Who the sender is, and which of its runs this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolIdentity {
    /// The spool's sender uuid, for its life.
    pub sender: OwnerId,
    /// Raised by one at each start.
    pub epoch: u64,
}

impl SpoolIdentity {
    /// The bytes of one copy.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let mut layout = Layout {
            magic: MAGIC,
            sender: self.sender.bytes(),
            epoch: self.epoch.into(),
            crc: U32::ZERO,
        };
        layout.crc = crc32c::crc32c(&layout.as_bytes()[..CRC_AT]).into();
        zerocopy::transmute!(layout)
    }

    /// The identity in one copy, if it is sound.
    #[must_use]
    pub fn decode(bytes: &[u8; RECORD_LEN]) -> Option<Self> {
        let layout: Layout = zerocopy::transmute!(*bytes);
        (layout.magic == MAGIC && layout.crc.get() == crc32c::crc32c(&bytes[..CRC_AT])).then(|| Self {
            sender: OwnerId::from_bytes(layout.sender),
            epoch: layout.epoch.get(),
        })
    }

    /// The identity in a lock file, and the copy to overwrite next.
    #[must_use]
    pub fn newest(file: &[u8; LOCK_FILE_LEN]) -> (Option<Self>, usize) {
        let copy = |at: usize| file[at..].first_chunk().and_then(Self::decode);
        match COPIES_AT.map(copy) {
            [Some(first), Some(second)] if second.epoch > first.epoch => (Some(second), COPIES_AT[0]),
            [Some(first), _] => (Some(first), COPIES_AT[1]),
            [None, second] => (second, COPIES_AT[0]),
        }
    }
}

/// Where what the spool may take stands.
pub const BOUND_AT: usize = 2048;
/// Length of that.
pub const BOUND_LEN: usize = 20;
const BOUND_MAGIC: [u8; 8] = *b"HOGBOUND";

/// What a spool may take, in bytes, as its last holder had it: for reports, nothing is decided by it.
#[must_use]
pub fn encode_bound(max: u64) -> [u8; BOUND_LEN] {
    let mut bytes = [0; BOUND_LEN];
    bytes[..8].copy_from_slice(&BOUND_MAGIC);
    bytes[8..16].copy_from_slice(&max.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The same, from a lock file, if it is there and sound.
#[must_use]
pub fn decode_bound(file: &[u8; LOCK_FILE_LEN]) -> Option<u64> {
    let (max, crc) = file[BOUND_AT..BOUND_AT + BOUND_LEN]
        .strip_prefix(&BOUND_MAGIC)?
        .split_first_chunk()?;
    let expected = crc32c::crc32c(&file[BOUND_AT..BOUND_AT + 16]);
    (crc == expected.to_le_bytes()).then(|| u64::from_le_bytes(*max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_sound_copy_counts_and_the_other_is_overwritten_next() {
        let sender = OwnerId::random();
        let mut file = [0; LOCK_FILE_LEN];
        assert_eq!(SpoolIdentity::newest(&file), (None, COPIES_AT[0]));
        for epoch in 1..=5 {
            let (_, at) = SpoolIdentity::newest(&file);
            let identity = SpoolIdentity { sender, epoch };
            file[at..at + RECORD_LEN].copy_from_slice(&identity.encode());
            assert_eq!(SpoolIdentity::newest(&file).0, Some(identity));
        }
        let (_, other) = SpoolIdentity::newest(&file);
        let newest = COPIES_AT[usize::from(other == COPIES_AT[0])];
        file[newest + 30] ^= 1;
        assert_eq!(
            SpoolIdentity::newest(&file).0.map(|identity| identity.epoch),
            Some(4),
            "a torn copy costs one run"
        );
    }

    #[test]
    fn a_bound_is_what_was_written_or_nothing() {
        let mut file = [0; LOCK_FILE_LEN];
        assert_eq!(decode_bound(&file), None);
        file[BOUND_AT..BOUND_AT + BOUND_LEN].copy_from_slice(&encode_bound(7 << 30));
        assert_eq!(decode_bound(&file), Some(7 << 30));
        for at in BOUND_AT..BOUND_AT + BOUND_LEN {
            file[at] ^= 1;
            assert_eq!(decode_bound(&file), None, "byte {at}");
            file[at] ^= 1;
        }
    }

    #[test]
    fn layout_is_the_documented_one() {
        let text = include_str!("../../docs/FORMATS.md");
        for row in [
            "| 0 | 8 | magic `HOGSPOOL`",
            "| 8 | 16 | sender uuid",
            "| 24 | 8 | epoch",
            "| 32 | 4 | CRC of bytes 0 to 31",
            "| 0 | 8 | magic `HOGBOUND`",
            "| 8 | 8 | bytes that the spool may take",
            "| 16 | 4 | CRC of bytes 0 to 15",
        ] {
            assert!(text.contains(row), "{row}");
        }
    }
}
