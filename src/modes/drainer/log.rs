//! What a drainer appends to: the log of one group, be it the spool that is shipped from or the archive of this host.
//!
//! The drainer asks the log up to where it holds each stream, appends with one call, and advances heads only after that call returned. Whatever else
//! becomes of what was appended (who reads it, when it is synced or deleted) is the log's own affair.

use crate::fence::Pass;
use crate::formats::table::Table;
use crate::ids::{OwnerId, StreamId};
use crate::os::disk::DiskError;
use crate::seglog::batch::FrameBatch;
use crate::seglog::writer::AppendError;
use std::collections::HashSet;

/// Something that a log has to say.
pub enum Notice {
    /// It was bad, and is over.
    Calm(String),
    /// Nothing was lost by it.
    Warning(String),
    /// Records were lost by it.
    Loss(String),
}

/// Opens a log once more.
pub type Reopen<L> = dyn Fn(&Pass) -> Result<L, String> + Send + Sync;

/// The log of a group, held by the drainer, the one that appends to it.
pub trait GroupLog: Send + Sized + 'static {
    /// What people call it.
    const NAME: &'static str;

    /// What it holds of every stream.
    fn table(&self) -> &Table;

    /// Whom its ATTACH frames name as the sender of their streams.
    fn sender(&self) -> OwnerId;

    /// Whether a stream may go on, or begin, behind positions that this log lacks and that its ring has given up: somebody else drained them. This
    /// log can never take them in then; a GAP stands for them where it has what was before.
    fn takes_holes(&self) -> bool {
        true
    }

    /// Does what is due though nothing is appended; called between passes. What fails is reported and tried again by the next call.
    fn tend(&mut self) {}

    /// Appends the frames of `batch`. They survive this process when it returns; when they survive a loss of power is not said.
    ///
    /// # Errors
    /// When the disk refuses, or with [`AppendError::Full`] when the log has no room and says so itself ([`GroupLog::notices`]): nothing was
    /// accepted, and the same batch may be appended again.
    fn append(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError>;

    /// What the operator should know since this was last asked.
    fn notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// After a sync failed: nothing more goes into the segment that failed.
    ///
    /// # Errors
    /// When a new one cannot be begun.
    fn abandon_failed_segment(&mut self) -> Result<(), DiskError>;

    /// Learns which rings there are, all of them: a stream without a ring that has ended cannot come back.
    fn know_rings(&mut self, rings: HashSet<StreamId>);

    /// Nobody logs any more, and all that was logged is appended: who waits for more to send it with need not. A hint, which the next producer takes back.
    fn rest(&mut self) {}

    /// An earlier session's part of `stream` was to be left, and its producer lives after all: it is delivered, before what is appended next.
    fn take_up(&mut self, _stream: StreamId) {}

    /// Finishes the active segment.
    ///
    /// # Errors
    /// When the disk refuses; the segment then ends without SEAL.
    fn finish(&mut self) -> Result<(), AppendError>;

    /// From now on nothing that is done to this log counts once the holder of `pass` was relieved.
    fn guard(&mut self, pass: &Pass);

    /// The same log for the holder of `pass`, whose predecessor failed and left this one: what it holds is read from the disk again.
    ///
    /// # Errors
    /// When the disk refuses, in words.
    fn reopen(&self, pass: &Pass) -> Result<Self, String>;

    /// The same for one whose predecessor hangs with the log that it has.
    fn reopener(&self) -> Box<Reopen<Self>>;
}
