//! One open file that is read as it grows.
//!
//! No more of it is kept in memory than the beginning of an unfinished line, if that is short; a long one is read again when it is finished. Before
//! anything is read behind a place, the bytes in front of it are held against what was there: a file that was truncated and
//! written anew between two looks is noticed even when it is longer now.

use super::next::Held;
use crate::modes::engine::input::FileInput;
use crate::modes::engine::lines::{PIECE_MAX, READ_BYTES};
use crate::modes::engine::state::{FileId, Place};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The longest beginning of an unfinished line that is kept in memory.
const KEPT_MAX: usize = 64 * 1024;

/// An open file, and how far it was read.
pub struct Reading {
    input: FileInput,
    /// Up to where it was logged.
    pub place: Place,
    /// Up to where it was looked through: no newline lies between `place` and here.
    looked: u64,
    /// The bytes between those, or nothing if they are too many.
    unfinished: Vec<u8>,
    /// Length and time of the last change, when it was looked at last.
    seen: Option<(u64, i64, i64)>,
    /// The last look found other bytes than were there before.
    is_broken: bool,
    silent_since: Instant,
    /// Bytes that it had at the look before the last one, behind what was looked through.
    unread: u64,
}

impl Reading {
    /// Begins to read `input` at `offset`.
    ///
    /// # Errors
    /// When it cannot be read there.
    pub fn new(input: FileInput, offset: u64) -> io::Result<Self> {
        let place = input.place(offset)?;
        Ok(Self {
            input,
            looked: offset,
            unfinished: Vec::new(),
            seen: None,
            is_broken: false,
            silent_since: Instant::now(),
            unread: 0,
            place,
        })
    }

    /// Which file it is.
    #[must_use]
    pub fn id(&self) -> &FileId {
        self.place.file()
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.input.path
    }

    /// Where it is to be found now.
    pub fn set_path(&mut self, path: PathBuf) {
        self.input.path = path;
    }

    /// What was read of its unfinished line, and is not in the file any more once that was truncated.
    #[must_use]
    pub fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// Whether part of a line was looked through and not logged.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.looked > self.place.offset()
    }

    /// What the file had, as far as that was seen, and what is gone if it was truncated since: bytes that were neither logged nor are kept here.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let unfinished = self.looked - self.place.offset();
        self.unread + unfinished.saturating_sub(self.unfinished.len() as u64)
    }

    /// Looks at it.
    ///
    /// # Errors
    /// When it cannot be looked at or read.
    pub fn look(&mut self, now: Instant) -> io::Result<Held> {
        let metadata = self.input.file.metadata()?;
        let seen = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if self.seen != Some(seen) {
            self.silent_since = match self.seen {
                Some(_) => now,
                // Nobody looked yet. A clock that was set matters for no more than the order of lines.
                None => metadata
                    .modified()
                    .ok()
                    .and_then(|changed| now.checked_sub(SystemTime::now().duration_since(changed).ok()?))
                    .unwrap_or(now),
            };
            self.unread = self.seen.map_or(0, |(length, ..)| length.saturating_sub(self.looked));
            self.is_broken = self.is_broken || !self.is_as_it_was(metadata.len())?;
            self.seen = Some(seen);
        }
        Ok(Held {
            length: metadata.len(),
            logged: self.place.offset(),
            looked: self.looked,
            is_intact: !self.is_broken,
            has_name: metadata.nlink() > 0,
            silent: now.saturating_duration_since(self.silent_since).max(Duration::ZERO),
        })
    }

    /// Whether the bytes around the place are those that were there.
    fn is_as_it_was(&self, length: u64) -> io::Result<bool> {
        let (offset, last) = (self.place.offset(), self.place.last());
        let end = if length < self.looked {
            offset
        } else {
            offset + self.unfinished.len() as u64
        };
        let start = offset - last.len() as u64;
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        let read = read_at(&self.input.file, &mut bytes, start)?;
        let expected = [last, &self.unfinished].concat();
        // What is cut off shows in the length.
        Ok(bytes[..read] == expected[..read])
    }

    /// Reads what there is behind the place into `buffer`, in pieces that hold at least a line or the longest piece of one. Says how many bytes of it
    /// are known to have no newline, and whether the file ends with it. An unfinished line that is long and still has no end is not put into the buffer,
    /// unless it `is_last`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, buffer: &mut Vec<u8>, is_last: bool) -> io::Result<(usize, bool)> {
        let offset = self.place.offset();
        let unfinished = usize::try_from(self.looked - offset).unwrap_or(usize::MAX);
        let may_be_long = !is_last && unfinished > KEPT_MAX && unfinished + READ_BYTES <= PIECE_MAX;
        if may_be_long && self.is_still_unfinished(buffer)? {
            buffer.clear();
            return Ok((0, false));
        }
        let wanted = unfinished
            .saturating_mul(2)
            .saturating_add(READ_BYTES)
            .min(PIECE_MAX + READ_BYTES);
        buffer.resize(wanted, 0);
        let read = read_at(&self.input.file, buffer, offset)?;
        buffer.truncate(read);
        Ok((unfinished.min(read), read < wanted))
    }

    /// Whether a long unfinished line went on without an end: then all of it need not be read again.
    fn is_still_unfinished(&mut self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        buffer.resize(READ_BYTES, 0);
        let read = read_at(&self.input.file, buffer, self.looked)?;
        let is_unfinished = memchr::memchr(b'\n', &buffer[..read]).is_none();
        if is_unfinished {
            self.looked += read as u64;
        }
        Ok(is_unfinished)
    }

    /// All of `rest`, which lies behind the place, was looked through, and is an unfinished line.
    pub fn looked_through(&mut self, rest: &[u8]) {
        self.looked = self.place.offset() + rest.len() as u64;
        self.unfinished.clear();
        if rest.len() <= KEPT_MAX {
            self.unfinished.extend_from_slice(rest);
        } else {
            self.unfinished.shrink_to_fit();
        }
    }

    /// Not all that was read was logged: it is to be read again.
    pub fn look_again(&mut self) {
        self.looked_through(&[]);
    }

    /// Goes to the beginning of the file, which was truncated.
    pub fn rewind(&mut self) {
        self.place = Place::new(*self.place.file(), 0, Vec::new());
        self.look_again();
        self.is_broken = false;
        self.seen = Some((0, 0, 0));
        self.unread = 0;
    }
}

/// Reads at `offset` until `bytes` are full or the file ends; says how many they are.
fn read_at(file: &std::fs::File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
