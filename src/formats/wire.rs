//! The bodies that only the wire has: HELLO, WELCOME, ACK, FORGET, REFUSE.

use crate::formats::pieces::{BodyError, finished, put_bytes, take_text, take_u8, take_u32, take_u64, take_uuid};
use crate::formats::table::StreamState;
use crate::ids::{OwnerId, StreamId};
use crate::limits::{FRAME_BODY_MAX, GROUP_MAX};
use bytes::BufMut;

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// Bytes of one stream in WELCOME.
const HELD_LEN: usize = 25;
/// Bytes of one stream in ACK.
const ACK_LEN: usize = 24;
/// Streams in one frame of a list; the longest entry decides.
pub const PER_FRAME: usize = FRAME_BODY_MAX / HELD_LEN;

/// HELLO: who the sender is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The spool's uuid.
    pub sender: OwnerId,
    /// The run of the sender.
    pub epoch: u64,
    /// A random number of that run: a copied spool has the same epoch but another start id.
    pub start_id: u64,
    /// Counts the connections of that run.
    pub count: u64,
    /// The group.
    pub group: String,
}

impl Hello {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32_le(VERSION);
        out.put_slice(&self.sender.bytes());
        out.put_u64_le(self.epoch);
        out.put_u64_le(self.start_id);
        out.put_u64_le(self.count);
        put_bytes(&mut out, self.group.as_bytes());
        out
    }

    /// The version it speaks, and the rest if that is ours.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(mut bytes: &[u8]) -> Result<(u32, Option<Self>), BodyError> {
        let version = take_u32(&mut bytes, "version")?;
        if version != VERSION {
            return Ok((version, None));
        }
        let hello = Self {
            sender: OwnerId(take_uuid(&mut bytes, "sender")?),
            epoch: take_u64(&mut bytes, "epoch")?,
            start_id: take_u64(&mut bytes, "start id")?,
            count: take_u64(&mut bytes, "connection count")?,
            group: take_text(&mut bytes, GROUP_MAX, "group")?,
        };
        finished(bytes)?;
        Ok((version, Some(hello)))
    }
}

/// One stream of WELCOME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The stream.
    pub stream: StreamId,
    /// The receiver has it up to here.
    pub position: u64,
    /// Open or ended.
    pub state: StreamState,
}

/// The body of one WELCOME frame.
#[must_use]
pub fn encode_welcome(held: &[Held]) -> Vec<u8> {
    let mut out = Vec::with_capacity(held.len() * HELD_LEN);
    for one in held {
        out.put_slice(&one.stream.bytes());
        out.put_u64_le(one.position);
        out.put_u8(one.state as u8);
    }
    out
}

/// The streams of one WELCOME frame.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_welcome(mut bytes: &[u8]) -> Result<Vec<Held>, BodyError> {
    let mut held = Vec::with_capacity(bytes.len() / HELD_LEN);
    while !bytes.is_empty() {
        held.push(Held {
            stream: StreamId(take_uuid(&mut bytes, "stream")?),
            position: take_u64(&mut bytes, "position")?,
            state: match take_u8(&mut bytes, "state")? {
                0 => StreamState::Open,
                1 => StreamState::Ended,
                found => {
                    return Err(BodyError::Bound {
                        what: "state",
                        found: found.into(),
                        most: 1,
                    });
                }
            },
        });
    }
    Ok(held)
}

/// The body of one ACK frame.
#[must_use]
pub fn encode_ack(acked: &[(StreamId, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(acked.len() * ACK_LEN);
    for (stream, position) in acked {
        out.put_slice(&stream.bytes());
        out.put_u64_le(*position);
    }
    out
}

/// The streams of one ACK frame.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_ack(mut bytes: &[u8]) -> Result<Vec<(StreamId, u64)>, BodyError> {
    let mut acked = Vec::with_capacity(bytes.len() / ACK_LEN);
    while !bytes.is_empty() {
        acked.push((
            StreamId(take_uuid(&mut bytes, "stream")?),
            take_u64(&mut bytes, "position")?,
        ));
    }
    Ok(acked)
}

/// The body of one FORGET frame.
#[must_use]
pub fn encode_forget(streams: &[StreamId]) -> Vec<u8> {
    streams.iter().flat_map(StreamId::bytes).collect()
}

/// The streams of one FORGET frame.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_forget(mut bytes: &[u8]) -> Result<Vec<StreamId>, BodyError> {
    let mut streams = Vec::with_capacity(bytes.len() / 16);
    while !bytes.is_empty() {
        streams.push(StreamId(take_uuid(&mut bytes, "stream")?));
    }
    Ok(streams)
}

/// Why a receiver does not serve a sender. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RefuseCode {
    /// It knows a newer run of this sender: the spool was restored, or this run is over.
    Epoch = 1,
    /// This run of the sender is known with another start id: the spool was copied.
    StartId = 2,
    /// It speaks another version.
    Version = 3,
    /// No such group here.
    Group = 4,
    /// It serves as many connections as it can.
    Busy = 5,
    /// This sender was forgotten.
    Sender = 6,
    /// It cannot store now.
    Storage = 7,
}

impl RefuseCode {
    /// Whether the sender must stop: its identity is in use elsewhere.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Epoch | Self::StartId | Self::Sender)
    }
}

/// REFUSE: why the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// Why.
    pub code: RefuseCode,
    /// For the operator.
    pub words: String,
}

/// Longest text in REFUSE.
const WORDS_MAX: usize = 1024;

impl Refuse {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32_le(self.code as u32);
        let end = self.words.floor_char_boundary(WORDS_MAX);
        put_bytes(&mut out, &self.words.as_bytes()[..end]);
        out
    }

    /// From its bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BodyError> {
        let code = match take_u32(&mut bytes, "code")? {
            1 => RefuseCode::Epoch,
            2 => RefuseCode::StartId,
            3 => RefuseCode::Version,
            4 => RefuseCode::Group,
            5 => RefuseCode::Busy,
            6 => RefuseCode::Sender,
            7 => RefuseCode::Storage,
            found => {
                return Err(BodyError::Bound {
                    what: "code",
                    found: found.into(),
                    most: 7,
                });
            }
        };
        let words = take_text(&mut bytes, WORDS_MAX, "words")?;
        finished(bytes)?;
        Ok(Self { code, words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_survive_encode_and_decode() {
        let hello = Hello {
            sender: OwnerId::random(),
            epoch: 1,
            start_id: 2,
            count: 3,
            group: "web".into(),
        };
        assert_eq!(Hello::decode(&hello.encode()), Ok((VERSION, Some(hello))));
        let held = vec![Held {
            stream: StreamId::random(),
            position: 8,
            state: StreamState::Ended,
        }];
        assert_eq!(decode_welcome(&encode_welcome(&held)), Ok(held));
        let acked = vec![(StreamId::random(), 8), (StreamId::random(), 16)];
        assert_eq!(decode_ack(&encode_ack(&acked)), Ok(acked));
        let streams = vec![StreamId::random()];
        assert_eq!(decode_forget(&encode_forget(&streams)), Ok(streams));
        let refuse = Refuse {
            code: RefuseCode::Busy,
            words: "full".into(),
        };
        assert_eq!(Refuse::decode(&refuse.encode()), Ok(refuse));
    }

    #[test]
    fn another_version_is_recognised_before_anything_else() {
        assert_eq!(Hello::decode(&9u32.to_le_bytes()), Ok((9, None)));
    }

    #[test]
    fn numbers_are_the_documented_ones() {
        let text = include_str!("../../docs/FORMATS.md");
        assert!(text.contains(&format!(
            "**HELLO**: version u32 = {VERSION}, sender uuid, epoch u64, start id u64"
        )));
        let codes = [
            (RefuseCode::Epoch, "a newer epoch of this sender is known"),
            (RefuseCode::Version, "version;"),
            (RefuseCode::Group, "group;"),
            (RefuseCode::Busy, "too many connections"),
            (RefuseCode::Sender, "this sender is refused"),
            (RefuseCode::Storage, "the receiver cannot store now"),
        ];
        for (code, words) in codes {
            assert!(text.contains(&format!("{} {words}", code as u32)), "{code:?}");
        }
        assert_eq!((HELD_LEN, ACK_LEN), (16 + 8 + 1, 16 + 8));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Hello::decode(&bytes);
            let _ = decode_welcome(&bytes);
            let _ = decode_ack(&bytes);
            let _ = decode_forget(&bytes);
            let _ = Refuse::decode(&bytes);
        }
    }
}
