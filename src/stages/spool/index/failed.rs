//! Segments whose sync failed. What the disk has of them is not known, and is never asked again: each is written anew, from what can be read back of it,
//! into a file that is synced before it takes the segment's place. So all positions keep their order. What cannot be read back becomes a GAP.

use super::SpoolIndex;
use crate::fence::Pass;
use crate::ids::StreamId;
use crate::os::disk;
use crate::seglog::quarantine::{self, Copied};
use crate::seglog::recovery::SegmentFile;
use crate::seglog::rewrite::LostRange;
use crate::stages::spool::SpoolError;
use std::collections::HashMap;

/// A segment that was written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Its number.
    pub number: u64,
    /// What could not be read back.
    pub lost: Vec<LostRange>,
    /// Where streams end in it that lie in no other segment whose sync failed: known to be on disk now.
    pub ends: HashMap<StreamId, u64>,
}

impl SpoolIndex {
    /// A sync of segment `number` failed: it is never synced again, and nothing that lies in it is said to be on disk before it is written anew.
    pub fn sync_failed(&self, number: u64) {
        if let Some(segment) = self.lock().segments.get_mut(&number) {
            segment.failed = true;
            if let Some(open) = &segment.open {
                open.file.give_up();
            }
        }
    }

    /// Whether a sync of the newest segment failed.
    #[must_use]
    pub fn newest_has_failed(&self) -> bool {
        let state = self.lock();
        state.segments.values().next_back().is_some_and(|newest| newest.failed)
    }

    /// Writes the oldest segment anew whose sync failed, once nobody appends to it any more. `None`: there is none, or the holder of `pass` was relieved.
    ///
    /// # Errors
    /// When the disk refuses; it may be called again.
    pub fn rewrite_failed(&self, pass: &Pass) -> Result<Option<Rewritten>, SpoolError> {
        let Some((segments, place)) = self.failed() else {
            return Ok(None);
        };
        let segment = &segments[place];
        // A name that nobody else uses, who may hang with another one; the next start unlinks what was left.
        let unfinished = segment.path.with_extension(format!("{:016x}.new", fastrand::u64(..)));
        let copied = quarantine::copy_anew(&segments, place, &unfinished);
        let Copied { lost, .. } = copied.inspect_err(|_| {
            let _ = disk::unlink(&unfinished); // nobody reads it
        })?;
        if !pass.is_current() {
            disk::unlink(&unfinished)?;
            return Ok(None);
        }
        if !lost.is_empty() {
            self.set_aside(segment.number)?;
        }
        if self.replace(segment, &unfinished)? {
            segment.path.parent().map_or(Ok(()), disk::sync_directory)?;
        } else {
            disk::unlink(&unfinished)?; // it was delivered meanwhile
        }
        Ok(Some(Rewritten {
            number: segment.number,
            lost,
            ends: self.ends_of(segment.number),
        }))
    }

    /// The segments, and which of them is the oldest that failed and is finished.
    fn failed(&self) -> Option<(Vec<SegmentFile>, usize)> {
        let state = self.lock();
        let newest = state.segments.keys().next_back().copied();
        let place = state
            .segments
            .iter()
            .position(|(number, segment)| segment.failed && Some(*number) != newest)?;
        Some((state.files(), place))
    }
}
