//! The bodies of ATTACH, GAP, END and SEAL.

use crate::formats::definitions::{Definitions, put_definitions, take_definitions};
use crate::formats::pieces::{BodyError, finished, put_bytes, take_text, take_u32, take_u64, take_uuid};
use crate::ids::OwnerId;
use crate::limits::{FRAME_BODY_MAX, PRODUCER_MAX};
use bytes::BufMut;
use uuid::Uuid;

/// ATTACH: who writes the stream, and what its statements mean from here on.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// The producer's name.
    pub producer: String,
    /// Creation of the ring, CLOCK_BOOTTIME, nanoseconds.
    pub created: u64,
    /// The boot of that clock.
    pub boot: Uuid,
    /// The sender; [`OwnerId::NIL`] in a spool.
    pub sender: OwnerId,
    /// Definitions at the first position held.
    pub definitions: Definitions,
}

impl Attach {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, self.producer.as_bytes());
        out.put_u64_le(self.created);
        out.put_slice(self.boot.as_bytes());
        out.put_slice(&self.sender.bytes());
        put_definitions(&mut out, &self.definitions);
        debug_assert!(out.len() <= FRAME_BODY_MAX);
        out
    }

    /// From its bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BodyError> {
        let attach = Self {
            producer: take_text(&mut bytes, PRODUCER_MAX, "producer's name")?,
            created: take_u64(&mut bytes, "creation time")?,
            boot: take_uuid(&mut bytes, "boot id")?,
            sender: OwnerId(take_uuid(&mut bytes, "sender")?),
            definitions: take_definitions(&mut bytes)?,
        };
        finished(bytes)?;
        Ok(attach)
    }
}

/// Why positions are missing. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum GapReason {
    /// A bad record in the ring.
    BadRecord = 1,
    /// The ring was given up.
    Condemned = 2,
    /// The spool was damaged, or no longer held it; or it was drained into another log.
    SpoolDamaged = 3,
    /// Dropped to make room.
    Dropped = 4,
    /// A person gave it up.
    Abandoned = 5,
    /// The archive was damaged there. Never sent; its sender may have sent it again since, into a later segment.
    ArchiveDamaged = 6,
}

impl GapReason {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::BadRecord => "bad record in the ring",
            Self::Condemned => "ring condemned",
            Self::SpoolDamaged => "no longer where it was drained to",
            Self::Dropped => "dropped to make room",
            Self::Abandoned => "given up by a person",
            Self::ArchiveDamaged => "damaged in the archive, and not sent again",
        }
    }
}

/// GAP: positions that are missing for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How many records, 0 where unknown.
    pub records: u64,
    /// How many bytes of records, 0 where unknown.
    pub bytes: u64,
}

impl Gap {
    /// A gap of which only the reason is known.
    #[must_use]
    pub fn because(reason: GapReason) -> Self {
        Self {
            reason,
            records: 0,
            bytes: 0,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        out.put_u32_le(self.reason as u32);
        out.put_u64_le(self.records);
        out.put_u64_le(self.bytes);
        out
    }

    /// From its bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BodyError> {
        let reason = match take_u32(&mut bytes, "reason")? {
            1 => GapReason::BadRecord,
            2 => GapReason::Condemned,
            3 => GapReason::SpoolDamaged,
            4 => GapReason::Dropped,
            5 => GapReason::Abandoned,
            6 => GapReason::ArchiveDamaged,
            found => {
                return Err(BodyError::Bound {
                    what: "reason",
                    found: found.into(),
                    most: 6,
                });
            }
        };
        let gap = Self {
            reason,
            records: take_u64(&mut bytes, "count of records")?,
            bytes: take_u64(&mut bytes, "count of bytes")?,
        };
        finished(bytes)?;
        Ok(gap)
    }
}

/// A body of two u64: END (records and bytes dropped) and SEAL (frames, offset).
fn pair(first: u64, second: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    out.put_u64_le(first);
    out.put_u64_le(second);
    out
}

fn take_pair(mut bytes: &[u8]) -> Result<(u64, u64), BodyError> {
    let pair = (
        take_u64(&mut bytes, "first total")?,
        take_u64(&mut bytes, "second total")?,
    );
    finished(bytes)?;
    Ok(pair)
}

/// END: the stream is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Records that the producer dropped in its life.
    pub records: u64,
    /// Bytes that the producer dropped in its life.
    pub bytes: u64,
}

impl End {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pair(self.records, self.bytes)
    }

    /// From its bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        take_pair(bytes).map(|(records, bytes)| Self { records, bytes })
    }
}

/// SEAL: the segment was finished in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Frames before it.
    pub frames: u64,
    /// Its own offset in the file.
    pub offset: u64,
}

impl Seal {
    /// How many bytes it has.
    pub const LEN: usize = 16;

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pair(self.frames, self.offset)
    }

    /// From its bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        take_pair(bytes).map(|(frames, offset)| Self { frames, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies_survive_encode_and_decode() {
        let attach = Attach {
            producer: "worker".into(),
            created: 5,
            boot: Uuid::new_v4(),
            sender: OwnerId::random(),
            definitions: Definitions::default(),
        };
        assert_eq!(Attach::decode(&attach.encode()), Ok(attach));
        let gap = Gap {
            reason: GapReason::Dropped,
            records: 1,
            bytes: 2,
        };
        assert_eq!(Gap::decode(&gap.encode()), Ok(gap));
        let end = End { records: 1, bytes: 2 };
        assert_eq!(End::decode(&end.encode()), Ok(end));
        let seal = Seal { frames: 3, offset: 4 };
        assert_eq!(Seal::decode(&seal.encode()), Ok(seal));
    }

    #[test]
    fn reasons_are_the_documented_ones() {
        let text = include_str!("../../docs/FORMATS.md");
        let reasons = [
            (GapReason::BadRecord, "a bad record"),
            (GapReason::Condemned, "the ring was condemned"),
            (GapReason::Dropped, "dropped to make room"),
        ];
        for (reason, words) in reasons {
            assert!(text.contains(&format!("{} {words}", reason as u32)), "{reason:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Attach::decode(&bytes);
            let _ = Gap::decode(&bytes);
            let _ = End::decode(&bytes);
            let _ = Seal::decode(&bytes);
        }
    }
}
