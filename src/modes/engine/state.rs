//! What an engine's ring remembers: which file it logged, up to where, and which files before it.
//!
//! A [`Mark`] is a place in a file that can be told from the same place in any other: by device, inode and birth of the file, and by a CRC
//! of the bytes in front of the place. The [`State`] of a ring is the mark of the file that is logged now, the marks of the few files
//! that had its name before and might still be written to, and the bare digests of older ones, so that a pattern that finds them
//! under other names does not log them again.
//!
//! Values and bytes only; the bytes are described in `docs/FORMATS.md`, section 10. Nothing decoded is believed before a file was
//! held against it.

use bytes::{Buf, BufMut};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// Bytes in front of a place whose CRC tells that place from another file's.
pub const FINGERPRINT_BYTES: usize = 256;
/// Length of a mark.
pub const MARK_LEN: usize = 40;
/// Length of a state that is of one file alone; and of every state of version 1.
pub const STATE_LEN: usize = 48;
/// Length of a digest.
pub const DIGEST_LEN: usize = 8;
/// Most files before the present one that a state has marks of.
pub const LATE_MAX: usize = 4;
/// Most files that wait for their turn, and were begun by another ring, that a state has marks of.
pub const HELD_MAX: usize = 4;
/// Most files before those that a state has digests of.
pub const DONE_MAX: usize = 100;
/// The version without files before the present one.
const VERSION_ALONE: u32 = 1;
/// The version that is written.
const VERSION: u32 = 2;

const _: () = assert!(STATE_LEN + LATE_MAX * MARK_LEN + DONE_MAX * DIGEST_LEN <= hog_ring::limits::STATE_MAX);
const _: () = assert!(STATE_LEN + (LATE_MAX + HELD_MAX) * MARK_LEN <= hog_ring::limits::STATE_MAX);

/// Which file something is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Its device.
    pub device: u64,
    /// Its inode: given out again once the file is deleted.
    pub inode: u64,
    /// Its birth, nanoseconds since 1970; 0 where the file system has none.
    pub born: u64,
}

impl FileId {
    /// From what the kernel says of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let born = metadata
            .created()
            .ok()
            .and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(0)),
        }
    }

    /// Eight bytes that no two files share but by a chance of 1 in 2^64.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let fields = [self.device, self.inode, self.born].map(u64::to_le_bytes).concat();
        hash(&fields)
    }
}

/// The first eight bytes of a version 5 uuid: stable, and the same everywhere.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes).as_u64_pair().0
}

/// A place in a file, and which file that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The file.
    pub file: FileId,
    /// Bytes that were logged.
    pub offset: u64,
    /// CRC of the bytes in front of `offset`.
    pub fingerprint: u32,
    /// How many bytes that CRC covers.
    pub covered: u32,
}

impl Mark {
    fn put(&self, mut out: impl BufMut) {
        for field in [self.file.device, self.file.inode, self.file.born, self.offset] {
            out.put_u64_le(field);
        }
        out.put_u32_le(self.fingerprint);
        out.put_u32_le(self.covered);
    }

    /// `None`: these bytes are no mark. The caller has seen that there are enough of them.
    fn get(bytes: &mut &[u8]) -> Option<Self> {
        let [device, inode, born, offset] = std::array::from_fn(|_| bytes.get_u64_le());
        let [fingerprint, covered] = std::array::from_fn(|_| bytes.get_u32_le());
        let is_sound = covered as usize <= FINGERPRINT_BYTES && u64::from(covered) <= offset;
        is_sound.then_some(Self {
            file: FileId { device, inode, born },
            offset,
            fingerprint,
            covered,
        })
    }
}

/// What a ring remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The file that is logged; none between the end of one and the beginning of the next.
    pub current: Option<Mark>,
    /// The files before it that may still grow, oldest first; at most [`LATE_MAX`].
    pub late: Vec<Mark>,
    /// Files that wait for their turn, and that another ring has logged the beginning of; at most [`HELD_MAX`]. From its bytes they come back as late ones.
    pub held: Vec<Mark>,
    /// Digests of the files before those, oldest first; at most [`DONE_MAX`].
    pub done: Vec<u64>,
}

impl State {
    /// Its bytes. Of the oldest marks above the bounds no more than a digest is kept; the oldest digests above theirs are left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let held = &self.held[self.held.len().saturating_sub(HELD_MAX)..];
        // A state that was read has the marks of files that waited among the late ones, so these may be more than LATE_MAX.
        let room = LATE_MAX + HELD_MAX - held.len();
        let (older, late) = self.late.split_at(self.late.len().saturating_sub(room));
        let older = older.iter().filter(|mark| mark.file.born > 0);
        let done: Vec<u64> = self
            .done
            .iter()
            .copied()
            .chain(older.map(|mark| mark.file.digest()))
            .collect();
        let marks = late.len() + held.len();
        let room = (hog_ring::limits::STATE_MAX - STATE_LEN - marks * MARK_LEN) / DIGEST_LEN;
        let done = &done[done.len().saturating_sub(DONE_MAX.min(room))..];
        let mut bytes = Vec::with_capacity(STATE_LEN + marks * MARK_LEN + done.len() * DIGEST_LEN);
        match &self.current {
            Some(mark) => mark.put(&mut bytes),
            None => bytes.put_bytes(0, MARK_LEN),
        }
        bytes.put_u32_le(VERSION);
        #[allow(clippy::cast_possible_truncation)] // at most LATE_MAX, HELD_MAX and DONE_MAX
        for count in [marks as u16, done.len() as u16] {
            bytes.put_u16_le(count);
        }
        for mark in late.iter().chain(held) {
            mark.put(&mut bytes);
        }
        for digest in done {
            bytes.put_u64_le(*digest);
        }
        bytes
    }

    /// From its bytes, if they are a state of a version that is known.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < STATE_LEN {
            return None;
        }
        let mut rest = bytes;
        let current = Mark::get(&mut rest)?;
        let version = rest.get_u32_le();
        let (late, done) = (usize::from(rest.get_u16_le()), usize::from(rest.get_u16_le()));
        let is_sound = match version {
            VERSION_ALONE => late == 0 && done == 0,
            VERSION => late <= LATE_MAX + HELD_MAX && done <= DONE_MAX,
            _ => false,
        };
        if !is_sound || rest.len() != late * MARK_LEN + done * DIGEST_LEN {
            return None;
        }
        Some(Self {
            current: (current.file.inode != 0).then_some(current),
            late: (0..late).map(|_| Mark::get(&mut rest)).collect::<Option<_>>()?,
            held: Vec::new(),
            done: (0..done).map(|_| rest.get_u64_le()).collect(),
        })
    }

    /// Puts a file that was logged to its end behind the others. The oldest mark becomes a digest, the oldest digest is forgotten.
    pub fn finish(&mut self, mark: Mark) {
        self.late.push(mark);
        while self.late.len() > LATE_MAX {
            let oldest = self.late.remove(0);
            self.done_with(&oldest.file);
        }
    }

    /// Keeps of a file no more than that it was logged. Without a birth its inode could come back as another file, so nothing is kept.
    pub fn done_with(&mut self, file: &FileId) {
        if file.born == 0 {
            return;
        }
        self.done.push(file.digest());
        if self.done.len() > DONE_MAX {
            self.done.remove(0);
        }
    }
}

/// Where in a file the engine is.
#[derive(Clone, Debug)]
pub struct Place {
    file: FileId,
    offset: u64,
    /// The bytes in front of `offset`, at most [`FINGERPRINT_BYTES`].
    last: Vec<u8>,
}

impl Place {
    /// Behind `last`, which ends at `offset` of `file`.
    #[must_use]
    pub fn new(file: FileId, offset: u64, last: Vec<u8>) -> Self {
        Self { file, offset, last }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &FileId {
        &self.file
    }

    /// Bytes that were logged.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes in front of it that are remembered.
    #[must_use]
    pub fn last(&self) -> &[u8] {
        &self.last
    }

    /// Goes over `bytes`, which were logged.
    pub fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(FINGERPRINT_BYTES)..];
        let surplus = (self.last.len() + kept.len()).saturating_sub(FINGERPRINT_BYTES);
        self.last.drain(..surplus);
        self.last.extend_from_slice(kept);
    }

    /// Its mark.
    #[must_use]
    pub fn mark(&self) -> Mark {
        #[allow(clippy::cast_possible_truncation)] // at most FINGERPRINT_BYTES
        let covered = self.last.len() as u32;
        Mark {
            file: self.file,
            offset: self.offset,
            fingerprint: crc32c::crc32c(&self.last),
            covered,
        }
    }
}

/// Which of a state's files is being logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The present one.
    Current,
    /// One before it, by its number among the late ones.
    Late(usize),
}

/// What is committed with the lines of a file: the ring's state, in which that file's mark moves.
pub struct Progress<'a> {
    /// Where in the file.
    pub place: &'a mut Place,
    /// The state, right in everything but that file's mark.
    pub state: &'a mut State,
    /// Where in the state that mark is.
    pub slot: Slot,
}

impl Progress<'_> {
    /// Goes over `bytes`, and gives the state that holds behind them.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.place.pass(bytes);
        let mark = self.place.mark();
        match self.slot {
            Slot::Current => self.state.current = Some(mark),
            Slot::Late(number) => {
                if let Some(late) = self.state.late.get_mut(number) {
                    *late = mark;
                }
            }
        }
        self.state.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(number: u64) -> Mark {
        Mark {
            file: FileId {
                device: 1,
                inode: number,
                born: 3 + number,
            },
            offset: 300,
            fingerprint: 4,
            covered: 256,
        }
    }

    #[test]
    fn states_survive_encode_and_decode_and_nothing_else_is_one() {
        let mut state = State::default();
        assert_eq!(State::decode(&state.encode()), Some(state.clone()));
        for number in 1..20 {
            state.current = Some(mark(number + 1));
            state.finish(mark(number));
            assert_eq!(State::decode(&state.encode()), Some(state.clone()));
        }
        assert_eq!((state.late.len(), state.done.len()), (LATE_MAX, 19 - LATE_MAX));
        assert_eq!(State::decode(b"something else"), None);
        let bad = [
            Mark {
                covered: 257,
                ..mark(1)
            },
            Mark { offset: 3, ..mark(1) },
        ];
        for bad in bad {
            let state = State {
                current: Some(bad),
                ..State::default()
            };
            assert_eq!(State::decode(&state.encode()), None);
        }
        let mut longer = state.encode();
        longer.push(0);
        assert_eq!(State::decode(&longer), None);
    }

    #[test]
    fn files_that_wait_come_back_as_late_ones_and_cost_the_oldest_digests() {
        let mut state = State::default();
        for number in 1..500 {
            state.finish(mark(number));
        }
        state.held = (600..600 + HELD_MAX as u64).map(mark).collect();
        let bytes = state.encode();
        assert!(bytes.len() <= hog_ring::limits::STATE_MAX);
        let decoded = State::decode(&bytes).unwrap();
        assert_eq!(decoded.late, [state.late.clone(), state.held.clone()].concat());
        assert!(decoded.held.is_empty());
        assert!(state.done.ends_with(&decoded.done) && decoded.done.len() >= DONE_MAX * 3 / 4);
        let mut state = decoded;
        state.finish(mark(700));
        assert_eq!(state.late.len(), LATE_MAX);
    }

    #[test]
    fn what_a_ring_remembers_of_files_is_not_less_when_it_is_read_and_written_again() {
        let mut state = State::default();
        for number in 1..=LATE_MAX as u64 {
            state.finish(mark(number));
        }
        state.held = (600..600 + HELD_MAX as u64).map(mark).collect();
        let again = State::decode(&state.encode()).unwrap();
        assert_eq!(again.late.len(), LATE_MAX + HELD_MAX);
        assert_eq!(State::decode(&again.encode()), Some(again.clone()));
        // And others wait then, which another ring has begun.
        let mut fuller = again.clone();
        fuller.held = (700..702).map(mark).collect();
        let decoded = State::decode(&fuller.encode()).unwrap();
        assert_eq!(decoded.late, [&again.late[2..], &fuller.held[..]].concat());
        assert_eq!(decoded.done, [1, 2].map(|number| mark(number).file.digest()));
    }

    #[test]
    fn states_of_version_one_are_read() {
        let state = State {
            current: Some(mark(7)),
            ..State::default()
        };
        let mut bytes = state.encode();
        bytes[MARK_LEN] = 1;
        assert_eq!(State::decode(&bytes), Some(state));
        bytes[MARK_LEN] = 3;
        assert_eq!(State::decode(&bytes), None);
    }

    #[test]
    fn the_fullest_state_fits_into_a_ring_and_forgets_the_oldest_first() {
        let mut state = State::default();
        for number in 1..500 {
            state.current = Some(mark(number));
            state.finish(mark(number));
        }
        assert!(state.encode().len() <= hog_ring::limits::STATE_MAX);
        assert_eq!(state.late.last(), Some(&mark(499)));
        assert_eq!(state.done.last(), Some(&mark(495).file.digest()));
        assert_eq!(State::decode(&state.encode()), Some(state));
    }

    #[test]
    fn lengths_are_the_documented_ones() {
        let formats = include_str!("../../../docs/FORMATS.md");
        for row in [
            format!("State of a file input, {STATE_LEN} bytes and more"),
            format!("a *mark* is {MARK_LEN} bytes"),
            format!("at most {} marks", LATE_MAX + HELD_MAX),
            format!("at most {DONE_MAX} digests"),
        ] {
            assert!(formats.contains(&row), "{row}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Some(state) = State::decode(&bytes) {
                prop_assert!(state.late.len() <= LATE_MAX + HELD_MAX && state.done.len() <= DONE_MAX);
            }
        }
    }
}
