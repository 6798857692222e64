//! A series: a chain of batches of slots.
//!
//! A series has a cell with the place of its first node; a node has the place of a batch and of the next node; the chain ends with an empty node. The
//! recorder puts new batches in front, the original's library for C++ behind, and nothing in the file says which. Only the newest batch can have room, and
//! batches that were made later lie further on: so the order is found.
//!
//! What a batch counts is there, also while somebody writes: records come before the count, batches before the chain. What comes later is seen by looking
//! again.

use super::damage::Damage;
use super::source::{Source, array, require, u64_at};
use super::stored::slots_at;
use std::collections::HashSet;

/// Length of a node: what it is, the place of a batch, the place of the next node.
const NODE_LEN: usize = 24;
const EMPTY: u32 = 0;
const FULL: u32 = 1;

/// A series' place and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// Of the cell with the place of its first node.
    pub root: u64,
    /// Length of a slot.
    pub stride: u64,
    /// Alignment of what stands in slots.
    pub align: u64,
    /// How many records a batch has room for.
    pub records: u64,
}

/// Some slots in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where the first slot begins.
    pub slots: u64,
    /// How many hold records.
    pub count: u64,
    /// Whether there is no room for more.
    pub is_full: bool,
}

impl Series {
    /// Its batches, oldest first. What is wrong ends the chain there, and is added to `damage`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn batches(&self, source: &mut impl Source, damage: &mut Vec<Damage>) -> std::io::Result<Vec<Batch>> {
        let mut batches = Vec::new();
        match self.walk(source, &mut batches, damage) {
            Err(Damage::Read(error)) => return Err(error),
            Err(error) => damage.push(error),
            Ok(()) => {}
        }
        if is_newest_first(&batches) {
            batches.reverse();
        }
        Ok(batches)
    }

    fn walk(&self, source: &mut impl Source, batches: &mut Vec<Batch>, damage: &mut Vec<Damage>) -> Result<(), Damage> {
        let mut seen = HashSet::new();
        let mut at = u64_at(source, self.root)?;
        loop {
            let broken = |what| Damage::Chain { offset: at, what };
            if !seen.insert(at) {
                return Err(broken("it comes back to itself"));
            }
            let node: [u8; NODE_LEN] = array(source, at)?;
            let word = |from: usize| {
                let mut word = [0; 8];
                word.copy_from_slice(&node[from..from + 8]);
                u64::from_le_bytes(word)
            };
            match u32::from_le_bytes([node[0], node[1], node[2], node[3]]) {
                EMPTY => return Ok(()),
                FULL => {}
                _ => return Err(broken("a node of no kind")),
            }
            if !seen.insert(word(8)) {
                return Err(broken("a batch that is something else already"));
            }
            batches.push(self.batch(source, word(8), damage)?);
            at = word(16);
        }
    }

    fn batch(&self, source: &mut impl Source, at: u64, damage: &mut Vec<Damage>) -> Result<Batch, Damage> {
        let mut count = u64_at(source, at)?;
        if count > self.records {
            damage.push(Damage::Count {
                offset: at,
                found: count,
                most: self.records,
            });
            count = self.records;
        }
        let slots = at + slots_at(self.align);
        let length = count.saturating_mul(self.stride);
        if let Err(outside) = require(source, slots, length) {
            damage.push(outside);
            let room = source.length().saturating_sub(slots);
            count = room.checked_div(self.stride).unwrap_or(count);
        }
        Ok(Batch {
            slots,
            count,
            is_full: count == self.records,
        })
    }
}

/// Whether a chain begins with the newest batch.
fn is_newest_first(batches: &[Batch]) -> bool {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
        return false;
    };
    match (first.is_full, last.is_full) {
        (false, true) => true,
        (true, false) => false,
        _ => first.slots > last.slots,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(slots: u64, is_full: bool) -> Batch {
        Batch {
            slots,
            count: 1,
            is_full,
        }
    }

    #[test]
    fn the_batch_with_room_is_the_newest_and_of_full_ones_the_furthest() {
        assert!(!is_newest_first(&[]));
        assert!(!is_newest_first(&[batch(8, false)]));
        assert!(is_newest_first(&[batch(8, false), batch(9, true)]));
        assert!(!is_newest_first(&[batch(9, true), batch(8, false)]));
        assert!(is_newest_first(&[batch(9, true), batch(8, true)]));
        assert!(!is_newest_first(&[batch(8, true), batch(9, true)]));
    }
}
