//! The file that keeps an engine's place over a reboot: `<store>/places/<group>/<ring>.place`.
//!
//! It holds the state of one ring as of a position that the drainer has on its disk. After a reboot the ring is gone, and with it what was not
//! drained; the engine that goes on from this state logs that again. Within one boot the ring counts, and never this file.
//!
//! Bytes and values only: `docs/FORMATS.md`, section 10. Whoever reads a state here still holds it against the file that it is about.

use crate::modes::engine::state::State;
use bytes::{Buf, BufMut};
use hog_ring::limits::STATE_MAX;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use uuid::Uuid;

/// What it begins with.
const MAGIC: [u8; 8] = *b"HOGPLACE";
/// The only version.
const VERSION: u32 = 1;
/// Bytes before the path.
const FIXED_LEN: usize = 64;
/// The longest path that is stored: as long as paths may be.
const PATH_MAX: usize = 4096;
/// The longest place file.
pub const PLACE_FILE_MAX: usize = FIXED_LEN + PATH_MAX + STATE_MAX + 4;

/// What a place file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceFile {
    /// The boot in which it was written.
    pub boot: Uuid,
    /// The ring whose state it is.
    pub ring: Uuid,
    /// The position of that ring as of which it is.
    pub position: u64,
    /// When it was written, nanoseconds since 1970.
    pub written: u64,
    /// The name that is followed.
    pub path: PathBuf,
    /// The state.
    pub state: State,
}

/// Why bytes are no place file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadPlaceFile {
    /// Of another length than its fields say.
    #[error("its length is {found} bytes, not {expected}")]
    Length {
        /// The length that its fields ask for, or the least there is.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Another kind of file, or of a version that is not known.
    #[error("it does not begin with HOGPLACE and version {VERSION}")]
    Kind,
    /// Damaged.
    #[error("its CRC is {found:#010x}, not {expected:#010x}")]
    Crc {
        /// The CRC of its bytes.
        expected: u32,
        /// The CRC at its end.
        found: u32,
    },
    /// The state in it is none.
    #[error("the state in it is not an engine's")]
    State,
}

impl PlaceFile {
    /// Its bytes; `None` when the path is longer than a path may be.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let (path, state) = (self.path.as_os_str().as_bytes(), self.state.encode());
        let path_len = u16::try_from(path.len()).ok().filter(|_| path.len() <= PATH_MAX)?;
        let mut bytes = Vec::with_capacity(FIXED_LEN + path.len() + state.len() + 4);
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u16_le(path_len);
        bytes.put_u16_le(u16::try_from(state.len()).ok()?);
        bytes.put_slice(self.boot.as_bytes());
        bytes.put_slice(self.ring.as_bytes());
        bytes.put_u64_le(self.position);
        bytes.put_u64_le(self.written);
        bytes.put_slice(path);
        bytes.put_slice(&state);
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        Some(bytes)
    }

    /// Judges the bytes of a file.
    ///
    /// # Errors
    /// They are no place file, or a damaged one.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadPlaceFile> {
        let length = |expected| BadPlaceFile::Length {
            expected,
            found: bytes.len(),
        };
        if bytes.len() < FIXED_LEN + 4 {
            return Err(length(FIXED_LEN + 4));
        }
        let mut rest = bytes;
        let mut magic = [0; 8];
        rest.copy_to_slice(&mut magic);
        if magic != MAGIC || rest.get_u32_le() != VERSION {
            return Err(BadPlaceFile::Kind);
        }
        let (path_len, state_len) = (usize::from(rest.get_u16_le()), usize::from(rest.get_u16_le()));
        let expected = FIXED_LEN + path_len + state_len + 4;
        if bytes.len() != expected || path_len > PATH_MAX {
            return Err(length(expected));
        }
        let (checked, mut crc) = bytes.split_at(expected - 4);
        let (expected, found) = (crc32c::crc32c(checked), crc.get_u32_le());
        if expected != found {
            return Err(BadPlaceFile::Crc { expected, found });
        }
        let mut uuid = || {
            let mut bytes = [0; 16];
            rest.copy_to_slice(&mut bytes);
            Uuid::from_bytes(bytes)
        };
        let (boot, ring) = (uuid(), uuid());
        let (position, written) = (rest.get_u64_le(), rest.get_u64_le());
        Ok(Self {
            boot,
            ring,
            position,
            written,
            path: Path::new(OsStr::from_bytes(&rest[..path_len])).to_owned(),
            state: State::decode(&rest[path_len..path_len + state_len]).ok_or(BadPlaceFile::State)?,
        })
    }

    /// The state, if this file is of another boot and of `path`. Devices may be numbered anew at a boot, inodes and births are not: every file
    /// is taken to be on `device`, where `path` is now.
    #[must_use]
    pub fn after_reboot(self, boot: Uuid, path: &Path, device: u64) -> Option<State> {
        if self.boot == boot || self.path != path {
            return None;
        }
        let mut state = self.state;
        if let Some(former) = state
            .current
            .or(state.late.last().copied())
            .map(|mark| mark.file.device)
        {
            let marks = state.current.iter_mut().chain(&mut state.late);
            for mark in marks.filter(|mark| mark.file.device == former) {
                mark.file.device = device;
            }
            if former != device {
                state.done.clear(); // digests are of devices too
            }
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::engine::state::{FileId, Mark};
    use proptest::prelude::*;

    fn place_file() -> PlaceFile {
        let mark = |inode| Mark {
            file: FileId {
                device: 1,
                inode,
                born: 3,
            },
            offset: 4,
            fingerprint: 5,
            covered: 4,
        };
        let mut state = State {
            current: Some(mark(2)),
            ..State::default()
        };
        state.finish(mark(9));
        PlaceFile {
            boot: Uuid::from_u128(1),
            ring: Uuid::from_u128(2),
            position: 64,
            written: 5,
            path: PathBuf::from("/var/log/app.log"),
            state,
        }
    }

    #[test]
    fn a_place_file_survives_the_way_through_bytes_and_any_flipped_bit_is_noticed() {
        let bytes = place_file().encode().unwrap();
        assert_eq!(PlaceFile::decode(&bytes), Ok(place_file()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(PlaceFile::decode(&flipped).is_err(), "bit {bit}");
        }
        assert!(PlaceFile::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn only_another_boot_s_place_of_the_same_path_is_gone_on_with() {
        let path = Path::new("/var/log/app.log");
        let after = |boot, path| place_file().after_reboot(Uuid::from_u128(boot), path, 1);
        assert_eq!(after(1, path), None);
        assert_eq!(after(7, Path::new("/var/log/other.log")), None);
        assert_eq!(after(7, path), Some(place_file().state));
    }

    #[test]
    fn a_device_that_was_numbered_anew_is_the_same_device() {
        let path = place_file().path;
        let state = place_file().after_reboot(Uuid::from_u128(7), &path, 77).unwrap();
        let devices = state.current.iter().chain(&state.late).map(|mark| mark.file.device);
        assert_eq!(devices.collect::<Vec<_>>(), [77, 77]);
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let formats = include_str!("../../../docs/FORMATS.md");
        assert!(formats.contains("magic `HOGPLACE`") && formats.contains("| 64 | n | path"));
        assert_eq!(place_file().encode().unwrap()[FIXED_LEN..][..4], *b"/var");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = PlaceFile::decode(&bytes);
        }
    }
}
