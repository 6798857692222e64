//! The identity at the start of a ring file: what is written once, before the file gets its name.
//!
//! Encoding and judging are functions of bytes. An [`Identity`] exists only once magic, version, CRC, capacity and name
//! were found sound; whether its boot id is the present one is for the opener to ask.

use crate::layout::{
    FLAG_NAMED, FLAG_UNRELIABLE, HEADER_AREA, IDENTITY_BOOT, IDENTITY_CAPACITY, IDENTITY_CRC, IDENTITY_CREATED,
    IDENTITY_FLAGS, IDENTITY_LEN, IDENTITY_NAME, IDENTITY_NAME_LEN, IDENTITY_UUID, IDENTITY_VERSION, MAGIC, VERSION,
};
use crate::limits::{NAME_MAX, index, is_capacity};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use thiserror::Error;
use uuid::Uuid;

/// What a ring says of itself, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The ring's uuid: the name of its stream.
    pub uuid: Uuid,
    /// The boot in which it was made.
    pub boot: Uuid,
    /// When it was made: CLOCK_BOOTTIME, ns.
    pub created: u64,
    /// Bytes of data.
    pub capacity: u64,
    /// The producer's name, at most 64 bytes of `[A-Za-z0-9._-]`.
    pub name: String,
    /// Whether a later run may take the ring over under that name.
    pub named: bool,
    /// Whether the producer drops and counts when the ring is full, instead of waiting.
    pub unreliable: bool,
}

/// Why bytes are no ring's identity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadIdentity {
    /// Too short for a header.
    #[error("it is {found} bytes long, a header {IDENTITY_LEN}")]
    Short {
        /// Bytes there are.
        found: usize,
    },
    /// Another kind of file.
    #[error("it does not begin with HOGRING3")]
    Magic,
    /// A version this crate does not know.
    #[error("its version is {found}, not {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// The header is damaged.
    #[error("its header's CRC is {found:#010x}, not {expected:#010x}")]
    Crc {
        /// The CRC of the bytes.
        expected: u32,
        /// The CRC stored with them.
        found: u32,
    },
    /// A size that no ring has.
    #[error("its capacity of {found} bytes is no power of two from 64 KiB to 1 GiB")]
    Capacity {
        /// The capacity found.
        found: u64,
    },
    /// A name that no ring has.
    #[error("its name is not 1 to 64 of A-Z a-z 0-9 . _ -, or begins with a dot")]
    Name,
    /// The file is shorter or longer than header and data.
    #[error("its length is {found} bytes, not {expected}")]
    FileLength {
        /// Header area and capacity, in bytes.
        expected: u64,
        /// The file's length, in bytes.
        found: u64,
    },
}

/// Whether `name` may name a group or a ring: one path component, `[A-Za-z0-9._-]{1,64}`, without a leading dot.
#[must_use]
pub fn is_group_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl Identity {
    /// The bytes of this identity. The name must be a sound one ([`is_group_name`]).
    #[must_use]
    pub fn encode(&self) -> [u8; IDENTITY_LEN] {
        let mut bytes = [0; IDENTITY_LEN];
        let mut put = |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        let flags = if self.named { FLAG_NAMED } else { 0 } | if self.unreliable { FLAG_UNRELIABLE } else { 0 };
        // A name can only be too long by our own mistake; cut, it still makes a header that every reader accepts.
        let name = &self.name.as_bytes()[..self.name.len().min(NAME_MAX)];
        put(0, &MAGIC);
        put(IDENTITY_VERSION, &VERSION.to_le_bytes());
        put(IDENTITY_FLAGS, &flags.to_le_bytes());
        put(IDENTITY_UUID, self.uuid.as_bytes());
        put(IDENTITY_BOOT, self.boot.as_bytes());
        put(IDENTITY_CREATED, &self.created.to_le_bytes());
        put(IDENTITY_CAPACITY, &self.capacity.to_le_bytes());
        put(IDENTITY_NAME_LEN, &[u8::try_from(name.len()).unwrap_or(0)]);
        put(IDENTITY_NAME, name);
        let crc = crc32c::crc32c(&bytes[..IDENTITY_CRC]);
        bytes[IDENTITY_CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Judges the bytes at the start of a file.
    ///
    /// # Errors
    /// They are not those of a ring of this version.
    pub fn decode(bytes: &[u8]) -> Result<Identity, BadIdentity> {
        let Some(bytes) = bytes.first_chunk::<IDENTITY_LEN>() else {
            return Err(BadIdentity::Short { found: bytes.len() });
        };
        if bytes[..8] != MAGIC {
            return Err(BadIdentity::Magic);
        }
        let version = u32::from_le_bytes(field(bytes, IDENTITY_VERSION));
        if version != VERSION {
            return Err(BadIdentity::Version { found: version });
        }
        let expected = crc32c::crc32c(&bytes[..IDENTITY_CRC]);
        let found = u32::from_le_bytes(field(bytes, IDENTITY_CRC));
        if expected != found {
            return Err(BadIdentity::Crc { expected, found });
        }
        let capacity = u64::from_le_bytes(field(bytes, IDENTITY_CAPACITY));
        if !is_capacity(capacity) {
            return Err(BadIdentity::Capacity { found: capacity });
        }
        let name_len = usize::from(bytes[IDENTITY_NAME_LEN]);
        let name = bytes
            .get(IDENTITY_NAME..IDENTITY_NAME + name_len)
            .and_then(|name| std::str::from_utf8(name).ok())
            .filter(|name| is_group_name(name))
            .ok_or(BadIdentity::Name)?;
        let flags = u32::from_le_bytes(field(bytes, IDENTITY_FLAGS));
        Ok(Identity {
            uuid: Uuid::from_bytes(field(bytes, IDENTITY_UUID)),
            boot: Uuid::from_bytes(field(bytes, IDENTITY_BOOT)),
            created: u64::from_le_bytes(field(bytes, IDENTITY_CREATED)),
            capacity,
            name: name.to_owned(),
            named: flags & FLAG_NAMED != 0,
            unreliable: flags & FLAG_UNRELIABLE != 0,
        })
    }
}

/// Reads and judges the identity of a file, and holds the file's length against it.
pub(crate) fn identify(file: &File) -> io::Result<Result<Identity, BadIdentity>> {
    let metadata = file.metadata()?;
    let found = metadata.len();
    if !metadata.is_file() || found < HEADER_AREA as u64 {
        return Ok(Err(BadIdentity::Short { found: index(found) }));
    }
    let mut bytes = [0; IDENTITY_LEN];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(
        Identity::decode(&bytes).and_then(|identity| match HEADER_AREA as u64 + identity.capacity {
            expected if expected == found => Ok(identity),
            expected => Err(BadIdentity::FileLength { expected, found }),
        }),
    )
}

/// `N` bytes at an offset that the layout guarantees to lie within the identity.
fn field<const N: usize>(bytes: &[u8; IDENTITY_LEN], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            uuid: Uuid::new_v4(),
            boot: Uuid::new_v4(),
            created: 12,
            capacity: 64 << 10,
            name: "web-1".into(),
            named: true,
            unreliable: true,
        }
    }

    #[test]
    fn identity_survives_the_way_through_bytes() {
        let made = identity();
        assert_eq!(Identity::decode(&made.encode()), Ok(made));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let sound = identity().encode();
        for bit in 0..IDENTITY_LEN * 8 {
            let mut bytes = sound;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn names_are_one_plain_path_component() {
        for good in ["a", "web.1_x-y", &"n".repeat(64)] {
            assert!(is_group_name(good), "{good}");
        }
        for bad in ["", ".web", "a/b", "a b", "\u{e4}", &"n".repeat(65)] {
            assert!(!is_group_name(bad), "{bad}");
        }
    }
}
