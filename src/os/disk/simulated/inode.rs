//! A file's bytes: what processes see of them, and what would survive a loss of power.

use std::collections::BTreeSet;

/// What the disk is written in, and loses, piece by piece.
const SECTOR: u64 = 512;

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What processes see.
    pub(super) seen: Vec<u8>,
    /// What survives a loss of power.
    pub(super) durable: Vec<u8>,
    /// Sectors written since the last sync.
    pub(super) dirty: BTreeSet<u64>,
    /// Promised bytes, which count as taken.
    pub(super) allocated: u64,
}

impl Inode {
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = at.saturating_add(bytes.len());
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end as u64 - 1) / SECTOR);
        }
    }

    pub(super) fn keep_sector(&mut self, sector: u64) {
        let from = usize::try_from(sector * SECTOR).unwrap_or(usize::MAX);
        let to = self.seen.len().min(from + usize::try_from(SECTOR).unwrap_or(0));
        if from >= to {
            return;
        }
        if self.durable.len() < to {
            self.durable.resize(to, 0);
        }
        self.durable[from..to].copy_from_slice(&self.seen[from..to]);
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.keep_sector(sector);
        }
    }

    /// Some dirty sectors reached the disk, and the others never will.
    pub(super) fn lose_some(&mut self, random: &mut fastrand::Rng) {
        for sector in std::mem::take(&mut self.dirty) {
            if random.bool() {
                self.keep_sector(sector);
            }
        }
    }

    pub(super) fn cut(&mut self, random: &mut fastrand::Rng) {
        self.lose_some(random);
        self.seen = self.durable.clone();
        self.allocated = 0;
    }
}
