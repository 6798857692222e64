//! Cuts an input into lines and logs them, many lines to a commit.

use crate::limits::LINE_MAX;
use crate::modes::engine::input::Place;
use crate::modes::stop::Stop;
use crate::os::clock;
use hog_ring::payload::Text;
use hog_ring::statement::flags::{CONTINUED, HLOG, LINE as IS_LINE};
use hog_ring::{Batch, Statement, Writer, statement};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read};
use thiserror::Error;
use tracing::warn;

/// A line that ended with a newline.
static LINE: Statement<(Text<'static>, Text<'static>)> =
    statement!("line", "$text", source, text).flags(HLOG | IS_LINE);
/// A piece of a line, or a last line without a newline: no newline follows.
static PIECE: Statement<(Text<'static>, Text<'static>)> =
    statement!("line", "$text", source, text).flags(HLOG | IS_LINE | CONTINUED);

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// The longest piece of a line that one record takes, its source being no longer than a path may be.
const PIECE_MAX: usize = LINE_MAX - 8192;
/// How often a reader of a pipe looks whether it is time to end.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

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

/// Logs what `file` has from where it stands to its end, as lines of `source`. With `place`, each commit carries up to where the file was
/// logged.
///
/// # Errors
/// When the file cannot be read, or the ring takes nothing more.
pub fn feed(
    writer: &mut Writer,
    mut file: File,
    source: &[u8],
    mut place: Option<Place>,
    stop: &Stop,
) -> Result<Fed, FeedError> {
    let is_pipe = place.is_none();
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
        let logged = match log_lines(writer, source, &buffer[..filled], filled - read, is_end, &mut place) {
            Err((FeedError::Ring(hog_ring::Error::Stopped), logged)) if is_pipe => {
                return Ok(report_unlogged(filled - logged));
            }
            Err((error, _)) => return Err(error),
            Ok(logged) => logged,
        };
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

/// Logs the lines in `bytes`, and at the end of the input what is left; says how many bytes that were. The first `searched` bytes have no
/// newline. When it fails, says how many bytes are committed.
fn log_lines(
    writer: &mut Writer,
    source: &[u8],
    bytes: &[u8],
    searched: usize,
    is_end: bool,
    place: &mut Option<Place>,
) -> Result<usize, (FeedError, usize)> {
    let mut lines = Lines {
        time: Some(clock::now_ns()),
        source,
        bytes,
        committed: 0,
        place,
        batch: writer.batch(),
    };
    match lines.log_all(searched, is_end) {
        Ok(logged) => Ok(logged),
        Err(error) => Err((error, lines.committed)),
    }
}

struct Lines<'a> {
    time: Option<u64>,
    source: &'a [u8],
    bytes: &'a [u8],
    /// Offset in `bytes` up to which lines are committed.
    committed: usize,
    place: &'a mut Option<Place>,
    batch: Batch<'a>,
}

impl Lines<'_> {
    fn log_all(&mut self, searched: usize, is_end: bool) -> Result<usize, FeedError> {
        let bytes = self.bytes;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &bytes[searched..]).map(|at| searched + at) {
            start = self.log_pieces(start, newline)?;
            self.log(&LINE, start, newline, newline + 1)?;
            start = newline + 1;
        }
        start = self.log_pieces(start, bytes.len())?;
        if is_end && start < bytes.len() {
            self.log(&PIECE, start, bytes.len(), bytes.len())?;
            start = bytes.len();
        }
        self.commit(start)?;
        Ok(start)
    }

    /// Logs pieces of `bytes[start..end]` until what is left fits into one record; says where that begins.
    fn log_pieces(&mut self, mut start: usize, end: usize) -> Result<usize, FeedError> {
        while end - start > PIECE_MAX {
            self.log(&PIECE, start, start + PIECE_MAX, start + PIECE_MAX)?;
            start += PIECE_MAX;
        }
        Ok(start)
    }

    /// Logs `bytes[from..to]`, whose successor begins at `next`.
    fn log(
        &mut self,
        statement: &Statement<(Text<'static>, Text<'static>)>,
        from: usize,
        to: usize,
        next: usize,
    ) -> Result<(), FeedError> {
        debug_assert!(next >= to);
        if !self.try_log(statement, from, to)? {
            self.commit(from)?;
            self.try_log(statement, from, to)?;
        }
        Ok(())
    }

    fn try_log(
        &mut self,
        statement: &Statement<(Text<'_>, Text<'_>)>,
        from: usize,
        to: usize,
    ) -> Result<bool, hog_ring::Error> {
        self.batch
            .log_at(self.time, statement, (Text(self.source), Text(&self.bytes[from..to])))
    }

    /// Commits what was logged, which is `bytes` up to `upto`, with the place there.
    fn commit(&mut self, upto: usize) -> Result<(), FeedError> {
        if upto == self.committed {
            return Ok(());
        }
        if let Some(place) = self.place.as_mut() {
            place.pass(&self.bytes[self.committed..upto]);
            self.batch.set_state(&place.state().encode())?;
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
