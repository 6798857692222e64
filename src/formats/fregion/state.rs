//! How far a file of hog's is written: kept in the file itself, so that it can be gone on with after a kill or a loss of power.
//!
//! A [`State`] says which records are in the file and which were taken from where. Storing it *is* the commit: slots and strings are written before it, the
//! counts and root cells by which readers find them after it. Who finds a state writes these once more, whether or not they had been; so of a process
//! that was killed at any point either all of a commit remains or nothing.
//!
//! There are four places for it, two pairs, and of each pair the older copy is overwritten:
//! - the first pair is written at each commit. A copy counts for the boot in which it was written: the kernel still has all that was written before it.
//! - the second pair is written when all that it speaks of was synced. It counts always.
//!
//! A copy is a head of fixed place and length, and a body, whose place the head tells, since it grows with the number of streams. Both are checked by CRC, so a
//! torn copy is none, and its sibling counts.
//!
//! What is read is not trusted: lengths are bounded, and a state that no such file can have is none ([`State::is_of`]).

use super::fresh::Contents;
use super::geometry::{PAGE_BYTES, PAGES_MAX, TABLE_PAGES, Write, in_memory};
use super::stored::{BATCH_RECORDS, Layout};
use bytes::{Buf, BufMut};
use uuid::Uuid;

/// Where hog's own page is, to which the hidden name `.hog` is bound.
pub const STATE_AT: u64 = TABLE_PAGES * PAGE_BYTES;

/// What it begins with, and what a reader of `.hog` finds: "hogstate".
pub const MAGIC: u64 = u64::from_le_bytes(*b"hogstate");

/// Places for copies.
pub const COPIES: usize = 4;

/// Longest body of a copy, in bytes.
pub const BODY_MAX: u64 = 256 << 20;

/// Where a copy's head is.
#[must_use]
pub const fn head_at(copy: usize) -> u64 {
    STATE_AT + 512 * (1 + copy as u64)
}

/// Length of a copy's head: number, boot, place and length of the body, its CRC, and a CRC of all that.
pub const HEAD_BYTES: usize = 8 + 16 + 8 + 8 + 4 + 4;

const SERIES_BYTES: usize = 4 * 8;

/// What a series' readers find, and what only its writer needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Its newest node: what its root cell holds.
    pub node: u64,
    /// Its newest batch; 0 if it has none.
    pub batch: u64,
    /// Records in that batch.
    pub count: u64,
    /// The batch before it, if the last commit filled it up; otherwise 0.
    pub filled: u64,
}

/// How far a file is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Counts the commits of a file.
    pub number: u64,
    /// From here on the file is free.
    pub end: u64,
    /// Pages that the file has, and the table names.
    pub pages: u64,
    /// Where there is room for the bodies of copies.
    pub bodies_at: u64,
    /// Room for each of them.
    pub body_room: u64,
    /// The series, in the order of the environment; the last is `log` or `transactions`.
    pub series: Vec<Series>,
    /// How far what is exported was read, in the words of whoever reads it.
    pub progress: Vec<u8>,
}

/// The head of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of its state.
    pub number: u64,
    /// In which it was written.
    pub boot: Uuid,
    /// Where the body is.
    pub body_at: u64,
    /// How long it is.
    pub body_bytes: u64,
    body_crc: u32,
}

impl Head {
    /// From its bytes; `None` if they are none.
    #[must_use]
    pub fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (checked, mut crc) = bytes.split_at(HEAD_BYTES - 4);
        if crc32c::crc32c(checked) != crc.get_u32_le() {
            return None;
        }
        let mut rest = checked;
        let number = rest.get_u64_le();
        let (boot, mut rest) = rest.split_first_chunk()?;
        let head = Self {
            number,
            boot: Uuid::from_bytes(*boot),
            body_at: rest.get_u64_le(),
            body_bytes: rest.get_u64_le(),
            body_crc: rest.get_u32_le(),
        };
        let is_inside = head.body_at <= PAGES_MAX * PAGE_BYTES && head.body_bytes <= BODY_MAX;
        (is_inside && head.number > 0).then_some(head)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.put_u64_le(self.number);
        bytes.put_slice(self.boot.as_bytes());
        bytes.put_u64_le(self.body_at);
        bytes.put_u64_le(self.body_bytes);
        bytes.put_u32_le(self.body_crc);
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        bytes
    }
}

impl State {
    /// Length of its body.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        (5 * 8 + SERIES_BYTES * self.series.len() + 2 * 8 + self.progress.len()) as u64
    }

    /// What is to be written, in this order, for it to be in the place of `copy`: the body first, which the head of another copy does not speak of.
    #[must_use]
    pub fn copy(&self, copy: usize, boot: Uuid) -> [Write; 2] {
        let body = self.body();
        let head = Head {
            number: self.number,
            boot,
            body_at: self.bodies_at + copy as u64 * self.body_room,
            body_bytes: body.len() as u64,
            body_crc: crc32c::crc32c(&body),
        };
        [
            Write {
                at: head.body_at,
                bytes: body,
            },
            Write {
                at: head_at(copy),
                bytes: head.encode(),
            },
        ]
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(in_memory(self.body_bytes()));
        for number in [self.number, self.end, self.pages, self.bodies_at, self.body_room] {
            body.put_u64_le(number);
        }
        body.put_u64_le(self.series.len() as u64);
        for series in &self.series {
            for number in [series.node, series.batch, series.count, series.filled] {
                body.put_u64_le(number);
            }
        }
        body.put_u64_le(self.progress.len() as u64);
        body.put_slice(&self.progress);
        body
    }

    /// Whether it may be that of a file with such contents: nothing in it is beyond the end, and the end is not beyond what a file can have.
    #[must_use]
    pub fn is_of(&self, contents: &Contents) -> bool {
        let is_inside = |at: u64, length: u64| at.checked_add(length).is_some_and(|end| end <= self.end);
        let room = self.body_room.saturating_mul(COPIES as u64);
        let roots = 8 * self.series.len() as u64;
        let is_sound = |place: usize, series: &Series| {
            let batch_records = contents.layouts.get(place).map_or(BATCH_RECORDS, Layout::batch_records);
            let places = [series.node, series.batch, series.filled];
            places.iter().all(|at| is_inside(*at, 8)) && series.count <= batch_records
        };
        self.end <= PAGES_MAX * PAGE_BYTES
            && self.pages <= PAGES_MAX
            && self.series.len() == contents.layouts.len() + 1
            && is_inside(self.bodies_at, room)
            && is_inside(contents.roots_at, roots)
            && is_inside(contents.empty_at, 8)
            && (0..).zip(&self.series).all(|(place, series)| is_sound(place, series))
    }

    /// The state that a copy's body holds; `None` if it is not what its head says.
    #[must_use]
    pub fn decode(head: &Head, mut body: &[u8]) -> Option<Self> {
        if body.len() as u64 != head.body_bytes || crc32c::crc32c(body) != head.body_crc || body.len() < 6 * 8 {
            return None;
        }
        let mut state = Self {
            number: body.get_u64_le(),
            end: body.get_u64_le(),
            pages: body.get_u64_le(),
            bodies_at: body.get_u64_le(),
            body_room: body.get_u64_le(),
            ..Self::default()
        };
        let series = usize::try_from(body.get_u64_le()).ok()?;
        if body.len() / SERIES_BYTES < series {
            return None;
        }
        state.series.resize_with(series, || Series {
            node: body.get_u64_le(),
            batch: body.get_u64_le(),
            count: body.get_u64_le(),
            filled: body.get_u64_le(),
        });
        if body.len() < 8 || body.get_u64_le() != body.len() as u64 {
            return None;
        }
        state.progress = body.to_vec();
        (state.number == head.number).then_some(state)
    }
}

/// Which copies to look at, the first of them that is sound counts: of those written in this boot the newest, and of all that were synced.
#[must_use]
pub fn candidates(heads: [Option<Head>; COPIES], boot: Uuid) -> Vec<(usize, Head)> {
    let mut found: Vec<(usize, Head)> = heads
        .into_iter()
        .enumerate()
        .filter_map(|(copy, head)| Some((copy, head?)))
        .filter(|(copy, head)| is_synced(*copy) || head.boot == boot)
        .collect();
    // Of equal ones the first pair's is as good as the other's.
    found.sort_by_key(|(copy, head)| (std::cmp::Reverse(head.number), *copy));
    found
}

/// Whether that place is for what was synced.
#[must_use]
pub const fn is_synced(copy: usize) -> bool {
    copy >= COPIES / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::fregion::fresh::{self, Order};

    fn state(number: u64) -> State {
        State {
            number,
            end: 1 << 23,
            pages: 2048,
            bodies_at: 5 << 20,
            body_room: 4096,
            series: vec![
                Series {
                    node: 1,
                    batch: 2,
                    count: number,
                    filled: 4,
                };
                3
            ],
            progress: b"{}".to_vec(),
        }
    }

    fn head(state: &State, copy: usize, boot: Uuid) -> Head {
        let [_, head] = state.copy(copy, boot);
        Head::decode(head.bytes.as_slice().try_into().unwrap()).unwrap()
    }

    #[test]
    fn a_state_reads_back_as_it_was_and_no_flipped_bit_passes() {
        let (state, boot) = (state(7), Uuid::new_v4());
        let [body, head] = state.copy(2, boot);
        assert_eq!((body.at, head.at), (state.bodies_at + 2 * 4096, STATE_AT + 3 * 512));
        assert_eq!(body.bytes.len() as u64, state.body_bytes());
        let head: [u8; HEAD_BYTES] = head.bytes.try_into().unwrap();
        let read = Head::decode(&head).unwrap();
        assert_eq!(State::decode(&read, &body.bytes), Some(state));
        for bit in 0..8 * HEAD_BYTES {
            let mut spoilt = head;
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&spoilt), None, "bit {bit}");
        }
        for bit in 0..8 * body.bytes.len() {
            let mut spoilt = body.bytes.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::decode(&read, &spoilt), None, "bit {bit}");
        }
        assert_eq!(Head::decode(&[0; HEAD_BYTES]), None, "what was never written");
    }

    #[test]
    fn a_state_that_no_file_can_have_is_seen_to_be_none() {
        let fresh = fresh::fresh(Vec::new(), Order::Log, Vec::new()).unwrap();
        assert!(fresh.state.is_of(&fresh.contents));
        let spoilt = |spoil: fn(&mut State)| {
            let mut state = fresh.state.clone();
            spoil(&mut state);
            state.is_of(&fresh.contents)
        };
        assert!(!spoilt(|state| state.end = u64::MAX));
        assert!(!spoilt(|state| state.pages = PAGES_MAX + 1));
        assert!(!spoilt(|state| state.bodies_at = u64::MAX));
        assert!(!spoilt(|state| state.body_room = u64::MAX));
        assert!(!spoilt(|state| state.series.clear()));
        assert!(!spoilt(|state| state.series[0].node = u64::MAX - 8));
        assert!(!spoilt(|state| state.series[0].batch = state.end));
        assert!(!spoilt(|state| state.series[0].count = BATCH_RECORDS + 1));
    }

    #[test]
    fn in_the_boot_of_the_writer_the_newest_counts_and_later_only_what_was_synced() {
        let (boot, next_boot) = (Uuid::new_v4(), Uuid::new_v4());
        let heads = || [(5, 0), (6, 1), (4, 2), (3, 3)].map(|(number, copy)| Some(head(&state(number), copy, boot)));
        let order = |boot| {
            let found = candidates(heads(), boot);
            found.iter().map(|(copy, _)| *copy).collect::<Vec<_>>()
        };
        assert_eq!(order(boot), [1, 0, 2, 3]);
        assert_eq!(order(next_boot), [2, 3]);
    }
}
