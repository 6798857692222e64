//! What a spool's directory holds when it is opened. Segments that turn out to be damaged are set aside first, so that everything else is built on
//! sound ones; where even that cannot be done, their damage is told, and whoever reads them passes over it.
//!
//! Only headers are read, and the bodies of the last segment. A bad body further back is met by the shipper that reads it ([`SpoolIndex::set_aside`]), and
//! so is a bad header in a segment of which both ends are enough to say what lies in it ([`SpoolIndex::replace_unread`]).

use super::{SpoolError, SpoolIndex, index};
use crate::os::disk;
use crate::seglog::quarantine::{self, Missing};
use crate::seglog::recovery::{self, Standing};
use std::collections::HashMap;
use std::path::Path;

/// A spool as it was found.
pub(super) struct Found {
    pub(super) standing: Standing,
    pub(super) index: SpoolIndex,
    /// Damage, in words.
    pub(super) damages: Vec<String>,
}

/// Reads the spool in `directory`, whose lock is had, in the run `epoch`. `owed_to` names the destinations of each run.
pub(super) fn find(directory: &Path, epoch: u64, owed_to: HashMap<u64, Vec<String>>) -> Result<Found, SpoolError> {
    remove_unfinished(directory)?;
    let segments = recovery::segments_in(directory)?;
    index::fetch(&segments);
    let mut standing = recovery::recover(&segments)?;
    let (index, mut damaged) = SpoolIndex::of_segments(&segments, epoch, owed_to.clone())?;
    damaged.append(&mut standing.damaged);
    if damaged.is_empty() {
        let damages = std::mem::take(&mut standing.damages);
        return Ok(Found {
            standing,
            index,
            damages,
        });
    }
    let mut damages = Vec::new();
    for (place, segment) in segments.iter().enumerate() {
        if damaged.contains(&segment.number) {
            damages.push(quarantine::in_words(&segments, place, Missing::ForGood));
        }
    }
    let mut standing = recovery::recover(&segments)?;
    damages.append(&mut standing.damages);
    let (index, _) = SpoolIndex::of_segments(&segments, epoch, owed_to)?;
    Ok(Found {
        standing,
        index,
        damages,
    })
}

/// What the remnant of a segment, or what takes a damaged one's place, is called before it has the segment's name.
pub(super) const UNFINISHED: &str = "new";

/// Removes what a run left that was killed while it dropped a segment, or set one aside.
fn remove_unfinished(directory: &Path) -> Result<(), SpoolError> {
    for path in disk::entries(directory)? {
        if path.extension() == Some(UNFINISHED.as_ref()) {
            disk::unlink(&path)?;
        }
    }
    Ok(())
}
