//! The segment that is read, the checkpoint that it begins with, and the log that it belongs to.
//!
//! A segment holds nothing until its checkpoint is whole. One whose checkpoint is damaged holds what follows, as far as
//! the segments before it explain that.

use crate::formats::checkpoint;
use crate::formats::frame::{self, FrameHeader};
use crate::formats::segment::{LogRole, SegmentHeader};
use crate::formats::table::Table;
use crate::ids::OwnerId;
use crate::limits::CHECKPOINT_MAX;
use crate::modes::archive_reader::FrameFault;
use std::path::PathBuf;
use std::sync::Arc;

/// A log of which segments were read.
#[derive(Clone, Copy)]
pub(super) struct Log {
    owner: OwnerId,
    role: LogRole,
    /// A whole checkpoint of it was read: from there on no stream of it is unknown.
    pub(super) explained: bool,
    /// Its last segment was finished in order.
    pub(super) sealed: bool,
}

/// The segment that is read.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) group: Arc<str>,
    /// Where the frame stands that is taken.
    pub(super) offset: u64,
    pub(super) owner: OwnerId,
    pub(super) role: LogRole,
    pub(super) number: u64,
    head: Head,
    /// Some of its frames are lost, so that those behind them may not fit.
    pub(super) damaged: bool,
    /// What was read of the same log before.
    pub(super) before: Option<Log>,
}

/// The checkpoint that a segment begins with.
enum Head {
    /// Its bytes so far.
    Partial(Vec<u8>),
    /// It was whole, and counts.
    Whole,
    /// It was whole once and is damaged.
    Lost,
}

impl Segment {
    /// A segment of `group` that nothing was read of. `log` is what was read before, of whichever log.
    pub(super) fn new(path: PathBuf, group: Arc<str>, header: &SegmentHeader, log: Option<Log>) -> Self {
        let SegmentHeader {
            owner, role, number, ..
        } = *header;
        Self {
            path,
            group,
            offset: 0,
            owner,
            role,
            number,
            head: Head::Partial(Vec::new()),
            damaged: false,
            before: log.filter(|log| log.owner == owner && log.role == role),
        }
    }

    /// Whether its checkpoint is still to come.
    pub(super) fn lacks_head(&self) -> bool {
        matches!(self.head, Head::Partial(_))
    }

    /// Its log, once it was read; `None` if it holds nothing because its checkpoint never became whole.
    pub(super) fn into_log(self, sealed: bool) -> Option<Log> {
        let is_whole = matches!(self.head, Head::Whole);
        (!self.lacks_head()).then(|| Log {
            owner: self.owner,
            role: self.role,
            explained: is_whole || self.before.is_some_and(|log| log.explained),
            sealed,
        })
    }

    /// Frames are lost: what follows may not fit.
    pub(super) fn lost_frames(&mut self) {
        self.damaged = true;
        if self.lacks_head() {
            self.head = Head::Lost;
        }
    }

    /// Adds a frame of the checkpoint at the head. The table comes back when it is whole.
    pub(super) fn add_to_head(&mut self, header: &FrameHeader, raw: &[u8]) -> Result<Option<Table>, FrameFault> {
        match &mut self.head {
            Head::Partial(items) => {
                if items.len() + raw.len() > CHECKPOINT_MAX {
                    return Err(FrameFault::LongCheckpoint);
                }
                items.extend_from_slice(raw);
                if !header.has(frame::LAST) {
                    return Ok(None);
                }
                let table = checkpoint::decode(items)?;
                self.head = Head::Whole;
                Ok(Some(table))
            }
            // What is left of a damaged checkpoint says nothing.
            Head::Lost => Ok(None),
            Head::Whole => Err(FrameFault::Misplaced(header.kind)),
        }
    }
}
