//! Reads spools and archives: from paths to records, in order and each of them once.
//!
//! [`read`] finds the segments under the paths, orders them, and gives what is in them to a [`Visitor`]. It holds one
//! frame at a time, and of each stream its end, its definitions and the run of fragments that is open.
//! - A segment explains itself: its checkpoint says where each stream stands and what its statements mean, so reading
//!   may begin anywhere. A segment whose checkpoint is not whole holds nothing.
//! - Every stream has an end, and positions below it are passed over. So segments that overlap give each record once.
//! - What is missing in one segment and was sent again into a later one is read where it belongs.
//! - What is missing without a GAP, damaged or senseless is a [`Fault`]: told to the visitor, and reading goes on
//!   behind it. A torn end is none, for somebody may be writing there, or was killed there.
//! - Segments may be deleted at any time. What the first segment found does not explain was never there; what is deleted
//!   between listing and reading is passed over, and the visitor is told.
//!
//! [`Follower`] does the same, and then goes on with what is appended. Both can go on where an earlier process had come to: [`Progress`].
//!
//! Nothing is allocated for a record, and its payload is not copied, unless it comes in fragments. Nothing is locked or
//! changed, so logs may be read while their owners write.

mod ahead;
mod complaints;
mod fault;
mod follow;
pub(crate) mod fragments;
mod head;
mod progress;
mod resent;
mod segments;
mod statements;
mod stream;
mod streams;
mod walk;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod model;
#[cfg(test)]
mod rot;
#[cfg(test)]
mod tests;

pub use complaints::Complaints;
pub use fault::{Fault, FrameFault, RecordFault};
pub use follow::Follower;
pub use progress::{NoProgress, Progress};
pub use walk::{Depth, Summary};

use crate::exit::{ExitStatus, Failure};
use crate::formats::body::{End, Gap};
use crate::ids::StreamId;
use crate::os::disk::DiskError;
use hog_ring::statement::Definition;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A stream, as far as it is named to a [`Visitor`].
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Counts the streams of one reading, from 0: an index for tables.
    pub number: usize,
    /// The group.
    pub group: Arc<str>,
    /// The ring's uuid.
    pub id: StreamId,
    /// The producer's name; empty when no segment tells it.
    pub producer: Arc<str>,
    /// The position at which reading it began.
    pub first: u64,
}

impl fmt::Display for StreamInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {} of group {}", self.id, self.group)
    }
}

/// A record as it was logged.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its position. Records of a run of fragments have positions within the run, in their order.
    pub position: u64,
    /// Position of the first record of its transaction, if that has several.
    pub transaction: Option<u64>,
    /// Nanoseconds since 1970, if it has a time.
    pub time: Option<u64>,
    /// When its frame was drained from its ring, nanoseconds since 1970; 0 if the frame does not say. It was logged before.
    pub drained: u64,
    /// Its statement.
    pub definition: &'a Definition,
    /// A value of the statement's type, if the producer kept to it.
    pub payload: &'a [u8],
}

/// Takes what [`read`] finds. An error from any of its methods ends the reading.
pub trait Visitor {
    /// Whether records of `stream` are wanted. Those of others are not even decompressed at [`Depth::Records`].
    fn wants(&self, _stream: StreamId) -> bool {
        true
    }

    /// Records that were logged before this are not wanted, nanoseconds since 1970. Segments that can hold no others are
    /// passed over; what is given to the visitor may still be older.
    fn since(&self) -> u64 {
        0
    }

    /// A stream is met for the first time.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn met(&mut self, _stream: &StreamInfo) -> io::Result<()> {
        Ok(())
    }

    /// A record. Those of one stream come in the order of their positions.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()>;

    /// A record of a statement that nothing defines, or whose definition cannot be read.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()>;

    /// The producer says how many records and bytes it has dropped so far.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn dropped(&mut self, _stream: &StreamInfo, _records: u64, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    /// Positions that are missing for good, and why.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()>;

    /// Positions of which nothing can be said: whoever writes or tidies the log deleted their segments before they were
    /// read.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn deleted(&mut self, _stream: &StreamInfo, _missing: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    /// The stream's last frame, with what its producer dropped in all.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn ended(&mut self, _stream: &StreamInfo, _end: &End) -> io::Result<()> {
        Ok(())
    }

    /// A segment is read no further than `from`: what follows is no frame, nor one that was cut short, and nothing says that the disk ever held it.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn spoilt(&mut self, _path: &Path, _from: u64) -> io::Result<()> {
        Ok(())
    }

    /// The stream is read up to `position`, and is complete if `ended`.
    fn reached(&mut self, _stream: &StreamInfo, _position: u64, _ended: bool) {}

    /// Everything that this reading, and those before it, have come to was given: one that begins at `progress` gives the rest. Told
    /// behind every frame, so between two transactions.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn settled(&mut self, _progress: &Progress) -> io::Result<()> {
        Ok(())
    }

    /// So many bytes of segments are about to be read, if all goes well.
    fn to_be_read(&mut self, _bytes: u64) {}

    /// A frame of so many bytes was read, or passed over.
    fn frame_read(&mut self, _bytes: u64) {}

    /// Something is wrong, and reading goes on behind it.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn fault(&mut self, fault: &Fault) -> io::Result<()>;
}

/// Why reading ended before everything was read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A path that was named does not exist, or may not be looked at.
    #[error("cannot read {}", path.display())]
    Path {
        /// The path as named.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory could not be listed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// No memory to decompress with.
    #[error("cannot prepare decompression")]
    Decompressor(#[source] io::Error),
    /// Files of the original's recorder were named together with something else.
    #[error("{} and what is named before it are read by different means, so name files of the original's recorder in a command of their own", path.display())]
    Mixed {
        /// The first that is of another kind than those before it.
        path: PathBuf,
    },
    /// The visitor could not write its output.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

impl ReadError {
    /// Whether whoever reads the output has had enough of it.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Mixed { .. } => Self::new(ExitStatus::Usage, error.to_string()),
            error => Self::of(&error),
        }
    }
}

/// Reads all segments under `paths`: files, or directories with all that is below them. Files in directories that are
/// not called as segments are ignored. Segments that are deleted meanwhile are passed over.
///
/// # Errors
/// [`ReadError`]. Damage is no error: it is a [`Fault`].
pub fn read<V: Visitor>(paths: &[PathBuf], depth: Depth, visitor: &mut V) -> Result<Summary, ReadError> {
    read_from(Progress::default(), paths, depth, visitor).map(|(summary, _)| summary)
}

/// The same, from where earlier readings of these paths had come to. What they gave is not given again; what is damaged is told again, where
/// it is met. Says also how far this one has come.
///
/// # Errors
/// As of [`read`].
pub fn read_from<V: Visitor>(
    progress: Progress,
    paths: &[PathBuf],
    depth: Depth,
    visitor: &mut V,
) -> Result<(Summary, Progress), ReadError> {
    let since = visitor.since();
    let mut reading = walk::Reading::new(depth, walk::Span::ToTheEnd, progress, visitor)?;
    let mut found = segments::Finder::default().find(paths, &mut |fault| reading.fault(&fault))?;
    segments::leave_out_before(since, &mut found);
    if let Some(fault) = segments::leave_out_passed(reading.progress(), &mut found) {
        reading.fault(&fault)?;
    }
    let bytes_of =
        |segment: &segments::SegmentPath| std::fs::metadata(&segment.path).map_or(0, |metadata| metadata.len());
    reading.visitor().to_be_read(found.iter().map(bytes_of).sum());
    reading.read_all(&found)?;
    Ok((reading.summary(), reading.progress().clone()))
}
