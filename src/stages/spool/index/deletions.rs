//! Deletions of segments, and whether they would outlast a loss of power.
//!
//! A name that was unlinked comes back with its file when the power fails before the directory was synced. Nobody may have been told by then that what lay in it
//! is gone: a receiver that had forgotten a stream would take it for a new one, and store it again.

use super::{IndexState, SpoolIndex};
use crate::ids::StreamId;
use crate::os::disk::{self, DiskError};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

/// What was deleted.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// How many there were.
    made: u64,
    /// How many of them, from the first on, are on the disk.
    durable: u64,
    /// The last deletion of a segment in which a stream lay, as far as it is not on the disk.
    of_streams: HashMap<StreamId, u64>,
    /// Directories that are to be synced for that.
    directories: BTreeSet<PathBuf>,
}

impl Deletions {
    /// Whether a loss of power could bring back a segment with this stream.
    pub(super) fn may_return(&self, stream: StreamId) -> bool {
        self.of_streams.contains_key(&stream)
    }
}

impl IndexState {
    /// The file of segment `number`, which is still entered, was unlinked.
    pub(super) fn note_deletion(&mut self, number: u64) {
        let Some(segment) = self.segments.get(&number) else {
            return;
        };
        let deletions = &mut self.deletions;
        deletions.made += 1;
        let streams = segment.streams.keys().map(|stream| (*stream, deletions.made));
        deletions.of_streams.extend(streams);
        deletions.directories.extend(segment.path.parent().map(PathBuf::from));
    }
}

impl SpoolIndex {
    /// Counts deletions of segments that are on the disk, so that shippers notice.
    #[must_use]
    pub fn durable_deletions(&self) -> u64 {
        self.lock().deletions.durable
    }

    /// Has the disk keep the deletions that were made.
    ///
    /// # Errors
    /// When it refuses: they may come back, and it is tried again by the next call.
    pub fn sync_deletions(&self) -> Result<(), DiskError> {
        let (made, directories) = {
            let state = self.lock();
            (state.deletions.made, state.deletions.directories.clone())
        };
        for directory in &directories {
            disk::sync_directory(directory)?;
        }
        let mut state = self.lock();
        let deletions = &mut state.deletions;
        deletions.durable = deletions.durable.max(made);
        let durable = deletions.durable;
        deletions.of_streams.retain(|_, deletion| *deletion > durable);
        if deletions.made == durable {
            deletions.directories.clear();
        }
        Ok(())
    }
}
