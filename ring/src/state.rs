//! Resume state: the small memory of an application that becomes valid together with its records.
//!
//! Two copies lie in the ring's header, each stamped with the tail for which it holds. A publication of position P first
//! writes the copy for P over the *older* one, then stores `tail = P`. A kill between the two leaves a copy above `tail`,
//! which does not count, and the other one, which does. Thus state and records are one atom.
//!
//! The danger is the copy that a dead producer left above `tail`: once its heir's records reach that position it would
//! look valid. So an heir first overwrites the copy it did not choose ([`Choice::other`]).
//!
//! Nothing here touches shared memory.

use crate::layout::{STATE_COPIES, STATE_CRC, STATE_HEADER, STATE_LEN, STATE_TAIL};
use crate::limits::STATE_MAX;
use crate::mutant;

/// The longest copy, in bytes.
pub(crate) const COPY_MAX: usize = STATE_HEADER + STATE_MAX;

/// A state and room for its header, as it is copied into the ring.
#[derive(Clone, Debug, Default)]
struct Copy {
    /// Empty until a state was put in.
    bytes: Vec<u8>,
}

impl Copy {
    fn set(&mut self, state: &[u8]) {
        debug_assert!(state.len() <= STATE_MAX);
        self.bytes.clear();
        self.bytes.resize(STATE_HEADER, 0);
        self.bytes.extend_from_slice(state);
        let len = u32::try_from(state.len()).unwrap_or(0);
        self.bytes[STATE_LEN..STATE_LEN + 4].copy_from_slice(&len.to_le_bytes());
    }

    fn stamp(&mut self, tail: u64) -> &[u8] {
        self.bytes[STATE_TAIL..STATE_TAIL + 8].copy_from_slice(&tail.to_le_bytes());
        let crc = crc32c::crc32c(&self.bytes[STATE_LEN..]);
        self.bytes[STATE_CRC..STATE_CRC + 4].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// A producer's side: the state as published, the state that goes with its next records, and which copy is older.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    published: Copy,
    next: Copy,
    /// Whether `next` is newer than `published`.
    changed: bool,
    /// Which of the two copies is to be overwritten.
    older: usize,
}

impl Memory {
    /// Goes on from what an heir found.
    pub(crate) fn recovered(choice: &Choice) -> Memory {
        let mut memory = Memory {
            older: if mutant::on("stale-resume-copy") {
                choice.copy
            } else {
                choice.other()
            },
            ..Memory::default()
        };
        memory.published.set(&choice.state);
        memory
    }

    /// Puts in the state that goes with the next records, and with all later ones until the next change.
    pub(crate) fn set(&mut self, state: &[u8]) {
        self.next.set(state);
        self.changed = true;
    }

    /// Makes the state that was put in last the one that is published from now on.
    pub(crate) fn advance(&mut self) {
        if self.changed {
            std::mem::swap(&mut self.published, &mut self.next);
            self.changed = false;
        }
    }

    /// The copy to be written before `tail` is stored, and the offset where; `None` while there is no state.
    pub(crate) fn copy_for(&mut self, tail: u64) -> Option<(usize, &[u8])> {
        if self.published.bytes.is_empty() {
            return None;
        }
        let offset = STATE_COPIES[self.older];
        self.older = 1 - self.older;
        Some((offset, self.published.stamp(tail)))
    }
}

/// The copy that holds, among the two in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which copy it is: 0 or 1.
    pub copy: usize,
    /// The tail it is stamped with.
    pub tail: u64,
    /// The state.
    pub state: Vec<u8>,
}

impl Choice {
    /// The copy that was not chosen.
    pub(crate) fn other(&self) -> usize {
        1 - self.copy
    }
}

/// Of two copies the valid one with the greatest tail not above `tail`.
#[must_use]
pub fn choose(copies: [&[u8]; 2], tail: u64) -> Option<Choice> {
    let valid = copies.into_iter().enumerate().filter_map(|(copy, bytes)| {
        let (stamped, state) = decode(bytes)?;
        (stamped <= tail).then(|| Choice {
            copy,
            tail: stamped,
            state: state.to_vec(),
        })
    });
    valid.max_by_key(|choice| choice.tail)
}

/// The stamp and the state of a copy, if it is valid.
fn decode(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let crc = u32::from_le_bytes(*bytes.get(STATE_CRC..)?.first_chunk()?);
    let len = u32::from_le_bytes(*bytes.get(STATE_LEN..)?.first_chunk()?) as usize;
    let tail = u64::from_le_bytes(*bytes.get(STATE_TAIL..)?.first_chunk()?);
    if len > STATE_MAX || tail == 0 {
        return None;
    }
    let checked = bytes.get(STATE_LEN..STATE_HEADER + len)?;
    (crc32c::crc32c(checked) == crc).then(|| (tail, &bytes[STATE_HEADER..STATE_HEADER + len]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(tail: u64, state: &[u8]) -> Vec<u8> {
        let mut copy = Copy::default();
        copy.set(state);
        copy.stamp(tail).to_vec()
    }

    #[test]
    fn newest_copy_not_above_tail_holds() {
        let (old, new) = (copy(8, b"old"), copy(16, b"new"));
        assert_eq!(choose([&old, &new], 16).unwrap().state, b"new");
        assert_eq!(choose([&new, &old], 24).unwrap().state, b"new");
        assert_eq!(
            choose([&new, &old], 8),
            Some(Choice {
                copy: 1,
                tail: 8,
                state: b"old".to_vec()
            })
        );
        assert_eq!(choose([&new, &old], 0), None);
    }

    #[test]
    fn torn_copy_does_not_hold() {
        let old = copy(8, b"old");
        for cut in 0..20 {
            let mut torn = copy(16, b"newer");
            torn[cut] ^= 1;
            assert_eq!(choose([&torn, &old], 64).unwrap().state, b"old", "byte {cut}");
            assert_eq!(choose([&torn[..cut], &old], 64).unwrap().state, b"old", "byte {cut}");
        }
        assert_eq!(choose([&[0; COPY_MAX], &[0; COPY_MAX]], 64), None);
    }

    #[test]
    fn publications_overwrite_the_older_copy_in_turn() {
        let mut memory = Memory::recovered(&Choice {
            copy: 1,
            tail: 8,
            state: b"a".to_vec(),
        });
        memory.set(b"b");
        let (offset, bytes) = memory
            .copy_for(16)
            .map(|(offset, bytes)| (offset, bytes.to_vec()))
            .unwrap();
        assert_eq!((offset, decode(&bytes)), (STATE_COPIES[0], Some((16, &b"a"[..]))));
        memory.advance();
        let (offset, bytes) = memory
            .copy_for(24)
            .map(|(offset, bytes)| (offset, bytes.to_vec()))
            .unwrap();
        assert_eq!((offset, decode(&bytes)), (STATE_COPIES[1], Some((24, &b"b"[..]))));
    }

    #[test]
    fn ring_that_set_no_state_writes_no_copies() {
        let mut memory = Memory::default();
        memory.advance();
        assert_eq!(memory.copy_for(8), None);
        memory.set(b"first");
        assert_eq!(memory.copy_for(16), None);
    }
}
