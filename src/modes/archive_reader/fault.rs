//! What can be wrong with a log. Each fault is one line for people, and says where.

use crate::formats::codec::CodecError;
use crate::formats::frame::{FrameError, FrameHeader, Kind};
use crate::formats::fregion::damage::Damage;
use crate::formats::pieces::BodyError;
use crate::formats::segment::{SEGMENT_HEADER_LEN, SegmentHeaderError};
use crate::ids::StreamId;
use crate::seglog::reader::SegmentError;
use hog_ring::record::{self, BadRecord};
use hog_ring::statement::DefinitionError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// The positions that stood in a damaged place, as far as its frame's header is sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched(Option<(StreamId, u64, u64)>);

impl Touched {
    /// What a frame with `header` touches.
    #[must_use]
    pub fn of(header: Option<&FrameHeader>) -> Self {
        let header = header.filter(|header| header.kind.takes_positions());
        Self(header.map(|header| (header.stream, header.start, header.end)))
    }
}

impl fmt::Display for Touched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((stream, start, end)) => write!(f, "; it held positions {start} to {end} of stream {stream}"),
            None => Ok(()),
        }
    }
}

/// Something is wrong with a log.
#[derive(Debug, Error)]
pub enum Fault {
    /// A file cannot be read, or is no segment.
    #[error("{}", crate::exit::chain(.0))]
    Segment(SegmentError),
    /// Segments that no reading was given, since the first of them began behind.
    #[error(
        "{segments} segments up to {} lie before the first one that was read: what they hold comes too late, and is left out",
        path.display()
    )]
    LeftOut {
        /// The last of them.
        path: PathBuf,
        /// How many there are.
        segments: usize,
    },
    /// What was named is neither a file nor a directory.
    #[error("{} is no segment: it is neither a file nor a directory", path.display())]
    NoFile {
        /// The path as named.
        path: PathBuf,
    },
    /// Bytes that were on disk are no longer what they were.
    #[error("{} is damaged from byte {from} to byte {to}: {error}{touched}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// First offset.
        from: u64,
        /// Offset behind it.
        to: u64,
        /// What was found there.
        error: FrameError,
        /// What stood there, if that can be said.
        touched: Touched,
    },
    /// A segment's header is not what it was, and one flipped bit explains that.
    #[error("{} is damaged from byte 0 to byte {SEGMENT_HEADER_LEN}: {}; it is read as it was before", path.display(), error)]
    Header {
        /// The segment.
        path: PathBuf,
        /// What is wrong with its header.
        error: SegmentHeaderError,
    },
    /// A frame whose CRCs hold makes no sense.
    #[error("the frame at byte {offset} of {}: {reason}", path.display())]
    Frame {
        /// The segment.
        path: PathBuf,
        /// Offset of the frame.
        offset: u64,
        /// What is wrong with it.
        reason: FrameFault,
    },
    /// Positions that no segment holds and no GAP accounts for.
    #[error("stream {stream} of group {group}: positions {from} to {to} are missing, and there is no GAP for them")]
    Hole {
        /// The group.
        group: Arc<str>,
        /// The stream.
        stream: StreamId,
        /// First position.
        from: u64,
        /// Position after the last.
        to: u64,
    },
    /// A checkpoint contradicts the frames before it.
    #[error(
        "stream {stream} of group {group} ends at position {found}, and the checkpoint of {} says {said}",
        path.display()
    )]
    Contradiction {
        /// The segment.
        path: PathBuf,
        /// The group.
        group: Arc<str>,
        /// The stream.
        stream: StreamId,
        /// What the checkpoint says.
        said: u64,
        /// What the frames gave.
        found: u64,
    },
    /// A ring record that makes no sense, in a sound frame.
    #[error("stream {stream} of group {group}, position {position}: {reason}")]
    Record {
        /// The group.
        group: Arc<str>,
        /// The stream.
        stream: StreamId,
        /// Of the record.
        position: u64,
        /// What is wrong with it.
        reason: RecordFault,
    },
    /// Something is wrong with a file of the original's recorder.
    #[error("{}: {}", path.display(), crate::exit::chain(error))]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Damage,
    },
    /// A record in such a file cannot be read.
    #[error(
        "{}, record {number}{}: {} (said once for a statement)",
        path.display(),
        of_statement(statement.as_deref()),
        crate::exit::chain(error)
    )]
    RecordOf {
        /// The file.
        path: PathBuf,
        /// Number of the record, from 1.
        number: u64,
        /// Its statement, if that is known.
        statement: Option<String>,
        /// What is wrong with it.
        error: Damage,
    },
}

fn of_statement(name: Option<&str>) -> String {
    name.map(|name| format!(" of statement {name:?}")).unwrap_or_default()
}

impl Fault {
    /// Whether a file could not be read, which says nothing of what is in it.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        match self {
            Self::Segment(error) => matches!(error, SegmentError::Disk(_)),
            Self::Recording { error, .. } => matches!(error, Damage::Read(_)),
            _ => false,
        }
    }
}

/// What is wrong with a frame.
#[derive(Debug, Error)]
pub enum FrameFault {
    /// It does not decompress.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Its body is not what its kind has.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It belongs elsewhere.
    #[error("a frame of kind {0:?} does not belong there")]
    Misplaced(Kind),
    /// The checkpoint is longer than any can be.
    #[error("the checkpoint is longer than {} bytes", crate::limits::CHECKPOINT_MAX)]
    LongCheckpoint,
    /// Its stream was not attached before.
    #[error("stream {0} was never attached")]
    Unattached(StreamId),
    /// Its stream was complete.
    #[error("stream {0} has ended, and yet more follows")]
    AfterEnd(StreamId),
    /// Its definitions are too many.
    #[error("stream {0} has more than {max} bytes of definitions", max = crate::limits::DEFINITIONS_MAX)]
    Definitions(StreamId),
}

/// What is wrong with a ring record.
#[derive(Debug, Error)]
pub enum RecordFault {
    /// It is none.
    #[error(transparent)]
    Bad(#[from] BadRecord),
    /// A definition that cannot be read.
    #[error("statement {id}: {}", crate::exit::chain(.source))]
    Definition {
        /// The statement.
        id: u32,
        /// What is wrong with the definition.
        source: DefinitionError,
    },
    /// A definition for another statement than its record says.
    #[error("a definition of statement {found} in the place of statement {expected}")]
    DefinitionId {
        /// What the record says.
        expected: u32,
        /// What the definition says.
        found: u32,
    },
    /// The stream's definitions are too many.
    #[error("more than {} bytes of definitions", crate::limits::DEFINITIONS_MAX)]
    Definitions,
    /// A fragment that does not follow.
    #[error("fragment {found} of a run whose fragments before it are not there")]
    OutOfTurn {
        /// Its number.
        found: u32,
    },
    /// More fragments than a run may have.
    #[error("a run of fragments of more than {} bytes", hog_ring::limits::RUN_MAX)]
    LongRun,
    /// Another record within a run.
    #[error("a record of kind {0:?} within a run of fragments")]
    WithinRun(record::Kind),
    /// A record of a kind that is never fragmented.
    #[error("a record of kind {0:?} in the bytes of a run of fragments")]
    Fragmented(record::Kind),
}
