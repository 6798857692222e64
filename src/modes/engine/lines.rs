//! Cuts an input into lines and logs them, many lines to a commit.

use crate::limits::LINE_MAX;
use crate::modes::engine::notes::Notes;
use crate::modes::engine::state::Progress;
use crate::modes::stop::Stop;
use crate::os::clock;
use hog_ring::payload::Text as Bytes;
use hog_ring::statement::flags::{CONTINUED, HLOG, LINE as IS_LINE};
use hog_ring::{Batch, Statement, Writer, statement};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read};
use thiserror::Error;
use tracing::warn;

type LineStatement = Statement<(Bytes<'static>, Bytes<'static>)>;

/// A line that ended with a newline.
static LINE: LineStatement = statement!("line", "$text", source, text).flags(HLOG | IS_LINE);
/// A piece of a line, or a last line without a newline: no newline follows.
static PIECE: LineStatement = statement!("line", "$text", source, text).flags(HLOG | IS_LINE | CONTINUED);

/// Bytes read at once.
pub const READ_BYTES: usize = 256 * 1024;
/// The longest piece of a line that one record takes, its source being no longer than a path may be.
pub const PIECE_MAX: usize = LINE_MAX - 8192;
/// How often a reader of a pipe looks whether it is time to end.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
/// What a record takes in a ring besides source and text, and its padding.
const RECORD_OVERHEAD: u64 = 16 + 16 + 7;
/// What may have to go before the records: definitions of both statements, ABORT, GAP.
const ROOM_SPARE: u64 = 2048;

/// Why an input was not logged to its end.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The ring took nothing more.
    #[error(transparent)]
    Ring(#[from] hog_ring::Error),
    /// The input could not be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// How an input was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Everything that was there, or up to where it was time to end.
    Whole,
    /// Something is missing, and was reported.
    Degraded,
}

/// Bytes of a pipe that were read and are not logged: a pipe cannot be gone back to.
fn report_unlogged(bytes: usize) -> Fed {
    if bytes == 0 {
        return Fed::Whole;
    }
    warn!("{bytes} bytes that were read from a pipe are not logged, because the ring was full when it was time to end");
    Fed::Degraded
}

impl Fed {
    /// The worse of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::Degraded { self } else { other }
    }
}

/// How much may be logged at once.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    /// Any amount: whoever logs waits, or drops.
    Any,
    /// What the ring takes without waiting.
    Free {
        /// So many bytes.
        bytes: u64,
        /// Nothing is in the ring that was not drained: a record that is longer than the ring may begin, and waits only for a drainer that
        /// is at work.
        is_all: bool,
    },
}

impl Room {
    /// What `writer` has room for now.
    ///
    /// # Errors
    /// When its ring is given up.
    pub fn of(writer: &mut Writer) -> Result<Self, hog_ring::Error> {
        let room = writer.room()?;
        Ok(Self::Free {
            bytes: room.saturating_sub(ROOM_SPARE),
            is_all: room >= writer.capacity(),
        })
    }

    /// Takes room for a record with this many bytes of text and source; says whether there was any.
    pub fn take(&mut self, len: usize) -> bool {
        let Self::Free { bytes, is_all } = self else {
            return true;
        };
        let needed = len as u64 + RECORD_OVERHEAD;
        let is_granted = needed <= *bytes || *is_all;
        *bytes = bytes.saturating_sub(needed);
        *is_all = false;
        is_granted
    }
}

/// Logs what `file` has from where it stands to its end, as lines of `source`. With `file_place`, each commit carries up to where the file was
/// logged, and the notes are told.
///
/// # Errors
/// When the file cannot be read, or the ring takes nothing more.
pub fn feed(
    writer: &mut Writer,
    mut file: File,
    source: &[u8],
    mut file_place: Option<(Progress<'_>, &mut Notes)>,
    stop: &Stop,
) -> Result<Fed, FeedError> {
    let is_pipe = file_place.is_none();
    if stop.is_set() {
        return Ok(Fed::Whole);
    }
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        let is_time_to_end = is_pipe && !wait_readable(&file, stop)?;
        let read = if is_time_to_end {
            0
        } else {
            match file.read(&mut buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
        };
        // What was read from a pipe is logged even when it is time to end; a file will be there for the next run.
        let is_end = read == 0 || (is_pipe && stop.is_set());
        filled += read;
        // Of what was looked through before, no byte was a newline.
        let read_text = Text {
            source,
            bytes: &buffer[..filled],
            searched: filled - read,
            is_end,
        };
        let progress = file_place.as_mut().map(|(progress, _)| progress);
        let logged = match log_lines(writer, read_text, Room::Any, progress) {
            Err((FeedError::Ring(hog_ring::Error::Stopped), logged)) if is_pipe => {
                return Ok(report_unlogged(filled - logged));
            }
            Err((error, _)) => return Err(error),
            Ok(logged) => logged,
        };
        if let Some((progress, notes)) = &mut file_place {
            notes.committed(writer.tail(), progress.state);
            notes.publish(writer.synced());
        }
        if is_end || stop.is_set() {
            return Ok(Fed::Whole);
        }
        buffer.copy_within(logged..filled, 0);
        filled -= logged;
        if filled == buffer.len() {
            buffer.resize((filled * 2).min(PIECE_MAX + READ_BYTES), 0);
        } else if filled < READ_BYTES / 2 && buffer.len() > 4 * READ_BYTES {
            buffer.truncate(READ_BYTES);
            buffer.shrink_to_fit();
        }
    }
}

/// What is to be cut into lines.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// What the records give as their source.
    pub source: &'a [u8],
    /// The bytes.
    pub bytes: &'a [u8],
    /// How many of them, from the first on, are known to have no newline.
    pub searched: usize,
    /// Nothing follows: what is left behind the last newline is logged too.
    pub is_end: bool,
}

/// Logs the lines in `text` for which there is room; says how many bytes that were. When it fails, says how many bytes are committed.
///
/// # Errors
/// When the ring takes nothing more.
pub fn log_lines(
    writer: &mut Writer,
    text: Text<'_>,
    room: Room,
    progress: Option<&mut Progress<'_>>,
) -> Result<usize, (FeedError, usize)> {
    let mut lines = Lines {
        time: Some(clock::now_ns()),
        text,
        room,
        committed: 0,
        progress,
        batch: writer.batch(),
    };
    match lines.log_all() {
        Ok(logged) => Ok(logged),
        Err(error) => Err((error, lines.committed)),
    }
}

/// Gives the memory of a buffer back that grew for a long line.
pub fn give_back(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > 4 * READ_BYTES {
        buffer.shrink_to(READ_BYTES);
    }
}

/// Logs `bytes` as a piece of a line, which no newline follows, and with it `state`.
///
/// # Errors
/// When the ring takes nothing more.
pub fn log_piece(writer: &mut Writer, source: &[u8], bytes: &[u8], state: &[u8]) -> Result<(), hog_ring::Error> {
    let mut batch = writer.batch();
    batch.log_at(Some(clock::now_ns()), &PIECE, (Bytes(source), Bytes(bytes)))?;
    batch.set_state(state)?;
    batch.commit()
}

struct Lines<'a, 'p> {
    time: Option<u64>,
    text: Text<'a>,
    room: Room,
    /// Offset in the text up to which lines are committed.
    committed: usize,
    progress: Option<&'a mut Progress<'p>>,
    batch: Batch<'a>,
}

impl Lines<'_, '_> {
    fn log_all(&mut self) -> Result<usize, FeedError> {
        let start = self.log_what_fits()?;
        self.commit(start)?;
        Ok(start)
    }

    /// Logs lines until there are no more, or no room; says where the rest begins.
    fn log_what_fits(&mut self) -> Result<usize, FeedError> {
        let Text {
            bytes,
            searched,
            is_end,
            ..
        } = self.text;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &bytes[searched..]).map(|at| searched + at) {
            start = self.log_pieces(start, newline)?;
            if newline - start > PIECE_MAX || !self.log(&LINE, start, newline)? {
                return Ok(start);
            }
            start = newline + 1;
        }
        start = self.log_pieces(start, bytes.len())?;
        let rest = bytes.len() - start;
        if is_end && rest > 0 && rest <= PIECE_MAX && self.log(&PIECE, start, bytes.len())? {
            start = bytes.len();
        }
        Ok(start)
    }

    /// Logs pieces of `bytes[start..end]` until what is left fits into one record, or there is no room; says where that begins.
    fn log_pieces(&mut self, mut start: usize, end: usize) -> Result<usize, FeedError> {
        while end - start > PIECE_MAX && self.log(&PIECE, start, start + PIECE_MAX)? {
            start += PIECE_MAX;
        }
        Ok(start)
    }

    /// Logs `bytes[from..to]`; `false`: there is no room.
    fn log(&mut self, statement: &LineStatement, from: usize, to: usize) -> Result<bool, FeedError> {
        if !self.room.take(self.text.source.len() + to - from) {
            return Ok(false);
        }
        if !self.try_log(statement, from, to)? {
            self.commit(from)?;
            self.try_log(statement, from, to)?;
        }
        Ok(true)
    }

    fn try_log(&mut self, statement: &LineStatement, from: usize, to: usize) -> Result<bool, hog_ring::Error> {
        let fields = (Bytes(self.text.source), Bytes(&self.text.bytes[from..to]));
        self.batch.log_at(self.time, statement, fields)
    }

    /// Commits what was logged, which is the text up to `upto`, with the place there.
    fn commit(&mut self, upto: usize) -> Result<(), FeedError> {
        if upto == self.committed {
            return Ok(());
        }
        if let Some(progress) = &mut self.progress {
            let state = progress.pass(&self.text.bytes[self.committed..upto]);
            self.batch.set_state(&state)?;
        }
        self.batch.commit()?;
        self.committed = upto;
        Ok(())
    }
}

/// Waits until a pipe has something or ends; false when it is time to end.
fn wait_readable(file: &File, stop: &Stop) -> io::Result<bool> {
    while !stop.is_set() {
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&LOOK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}
