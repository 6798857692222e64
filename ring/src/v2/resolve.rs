//! Where to go on in a queue, after whatever instant the former reader was killed at.
//!
//! Pages are counted from where the queue was first met, and never modulo its slots: [`Progress::done`] pages belong to transactions that are over, and
//! [`StashHead::pages`] more, of the one that is not, are in the stash. So the reader's index must stand at their sum; or, if the former reader was killed
//! before its last exchange, in front of what it was about to give back, which is known: of the last transaction [`Progress::last`] pages,
//! of the stash one page. In both cases the index is set to the sum. Wherever else it stands, somebody else has read meanwhile, and took what is in front of it.

use super::layout::BadQueue;
use crate::mutant;

/// What the resume state of the ring says that a queue's transactions go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Device and inode of the queue's file.
    pub inode: (u64, u64),
    /// Its slots.
    pub slots: u32,
    /// Pages of transactions that are over, logged or rolled back.
    pub done: u64,
    /// How many of these were given back, or were to be, after the last of those transactions was logged.
    pub last: u32,
}

/// Bytes of an encoded [`Progress`].
pub const PROGRESS_LEN: usize = 40;
/// What it begins with.
const MAGIC: [u8; 8] = *b"HOGV2PRO";

impl Progress {
    /// As the resume state holds it.
    #[must_use]
    pub fn encode(&self) -> [u8; PROGRESS_LEN] {
        let mut bytes = [0; PROGRESS_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.inode.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.inode.1.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.done.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.slots.to_le_bytes());
        bytes[36..].copy_from_slice(&self.last.to_le_bytes());
        bytes
    }

    /// Reads one. `None`: that is something else's state.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Progress> {
        let bytes: &[u8; PROGRESS_LEN] = bytes.try_into().ok()?;
        let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let short = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let progress = Progress {
            inode: (word(8)?, word(16)?),
            done: word(24)?,
            slots: short(32)?,
            last: short(36)?,
        };
        // More pages than that nobody has ever written.
        let is_sound = progress.last < progress.slots && progress.done < 1 << 62;
        (bytes[..8] == MAGIC && is_sound).then_some(progress)
    }
}

/// What the stash says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StashHead {
    /// [`Progress::done`] when the transaction began whose pages these are. Of another one they are of no use.
    pub base: u64,
    /// How many pages there are; 0 if there are none.
    pub pages: u32,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolved {
    /// Pages of transactions that are over.
    pub done: u64,
    /// Of these, what the last of them gave back.
    pub last: u32,
    /// Pages of the open transaction that are in the stash.
    pub stashed: u32,
    /// The ring has no state that says so.
    pub is_news: bool,
    /// There is something in the stash that is of no use.
    pub is_stash_stale: bool,
    /// Somebody else has read this queue since.
    pub was_read_elsewhere: bool,
}

/// Decides where to go on in a queue of `slots` slots whose indices are `ri` and `wi`.
///
/// # Errors
/// An index names no slot.
pub fn resolve(
    slots: u32,
    state: Option<Progress>,
    stash: StashHead,
    (ri, wi): (u32, u32),
) -> Result<Resolved, BadQueue> {
    for found in [ri, wi] {
        if found >= slots {
            return Err(BadQueue::Index { found, slots });
        }
    }
    let Some(state) = state.filter(|_| !mutant::on("v2-ignores-state")) else {
        return Ok(Resolved {
            done: u64::from(ri),
            last: 0,
            stashed: 0,
            is_news: true,
            is_stash_stale: stash.pages > 0,
            was_read_elsewhere: false,
        });
    };
    let stashed = if stash.base == state.done { stash.pages } else { 0 };
    let given_back = state.done + u64::from(stashed);
    let in_doubt = if stashed > 0 { 1 } else { u64::from(state.last) };
    let is_at = |position: u64| slot_of(position, slots) == ri;
    if is_at(given_back) || given_back.checked_sub(in_doubt).is_some_and(is_at) {
        return Ok(Resolved {
            done: state.done,
            last: state.last,
            stashed,
            is_news: false,
            is_stash_stale: stash.pages > 0 && stashed == 0,
            was_read_elsewhere: false,
        });
    }
    // The next position at which its index stands there: positions only grow, so what is in a stash can never be taken for a later transaction's.
    let behind = u64::from((ri + slots - slot_of(given_back, slots)) % slots);
    Ok(Resolved {
        done: given_back + behind,
        last: 0,
        stashed: 0,
        is_news: true,
        is_stash_stale: stash.pages > 0,
        was_read_elsewhere: true,
    })
}

/// The slot of a position.
pub(crate) fn slot_of(position: u64, slots: u32) -> u32 {
    // Less than `slots`, which is a u32.
    u32::try_from(position % u64::from(slots.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(done: u64, last: u32) -> Option<Progress> {
        Some(Progress {
            inode: (1, 2),
            slots: 4,
            done,
            last,
        })
    }

    #[test]
    fn a_queue_of_which_nothing_is_known_is_read_from_where_its_index_stands() {
        let found = resolve(4, None, StashHead { base: 7, pages: 2 }, (3, 1)).unwrap();
        assert_eq!(
            (found.done, found.stashed, found.is_news, found.is_stash_stale),
            (3, 0, true, true)
        );
    }

    #[test]
    fn an_index_that_was_not_moved_any_more_is_moved() {
        // Position 9 is slot 1; the two pages before it were logged and perhaps not given back.
        for ri in [1, 3] {
            let found = resolve(4, state(9, 2), StashHead::default(), (ri, 2)).unwrap();
            assert_eq!((found.done, found.last, found.is_news), (9, 2, false));
            assert!(!found.was_read_elsewhere);
        }
    }

    #[test]
    fn of_a_stash_the_last_page_alone_is_in_doubt() {
        let stash = StashHead { base: 9, pages: 5 };
        for ri in [2, 1] {
            let found = resolve(4, state(9, 2), stash, (ri, ri)).unwrap();
            assert_eq!((found.done, found.stashed, found.is_stash_stale), (9, 5, false));
        }
        let stale = StashHead { base: 8, pages: 5 };
        let found = resolve(4, state(9, 2), stale, (1, 1)).unwrap();
        assert_eq!((found.done, found.stashed, found.is_stash_stale), (9, 0, true));
    }

    #[test]
    fn what_somebody_else_read_is_left_to_them() {
        let found = resolve(4, state(9, 1), StashHead::default(), (3, 3)).unwrap();
        assert_eq!((found.done, found.was_read_elsewhere, found.is_news), (11, true, true));
        let stash = StashHead { base: 9, pages: 1 };
        let found = resolve(4, state(9, 1), stash, (0, 3)).unwrap();
        assert_eq!((found.done, found.stashed, found.is_stash_stale), (12, 0, true));
    }

    #[test]
    fn indices_that_name_no_slot_are_refused() {
        for (ri, wi) in [(4, 0), (0, 4), (u32::MAX, 0)] {
            let found = ri.max(wi);
            let refused = resolve(4, None, StashHead::default(), (ri, wi));
            assert_eq!(refused, Err(BadQueue::Index { found, slots: 4 }));
        }
    }

    #[test]
    fn progress_is_read_as_it_was_written_and_nothing_else_is() {
        let progress = state(77, 3).unwrap();
        let bytes = progress.encode();
        assert_eq!(Progress::decode(&bytes), Some(progress));
        assert_eq!(Progress::decode(&bytes[..39]), None);
        let mut other = bytes;
        other[0] ^= 1;
        assert_eq!(Progress::decode(&other), None);
        let wild = Progress { last: 4, ..progress };
        assert_eq!(Progress::decode(&wild.encode()), None);
    }
}
