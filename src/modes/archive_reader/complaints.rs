//! What is said on stderr while a log is read, and how much there was to say. What may be wrong with many records alike
//! is said once for each stream.

use crate::exit::ExitStatus;
use crate::formats::body::Gap;
use crate::modes::archive_reader::{Fault, Record, StreamInfo};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

/// Says what is wrong, one line each.
#[derive(Debug)]
pub struct Complaints<W> {
    words: W,
    /// Streams whose undefined statements were spoken of, by number.
    undefined: HashSet<usize>,
    /// Streams whose unreadable payloads were spoken of, by number.
    unreadable: HashSet<usize>,
    /// Records that producers said they dropped, by stream's number.
    dropped: HashMap<usize, u64>,
    count: u64,
    /// Files among them that could not be read.
    unread: u64,
}

impl<W: Write> Complaints<W> {
    /// None yet; they go to `words`.
    pub fn new(words: W) -> Self {
        Self {
            words,
            undefined: HashSet::new(),
            unreadable: HashSet::new(),
            dropped: HashMap::new(),
            count: 0,
            unread: 0,
        }
    }

    /// How often something was wrong, whether or not it was said. GAPs are not wrong: they say what is missing.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The status for it: what was read and is wrong is damage; what could not be read has failed.
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        match (self.count, self.unread) {
            (0, _) => ExitStatus::Done,
            (count, unread) if count == unread => ExitStatus::Failed,
            _ => ExitStatus::Integrity,
        }
    }

    /// A fault of the log.
    pub fn fault(&mut self, fault: &Fault) {
        self.count += 1;
        self.unread += u64::from(fault.is_unread());
        self.say(fault);
    }

    /// A record whose statement nothing defines.
    pub fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) {
        self.count += 1;
        if self.undefined.insert(stream.number) {
            self.say(format_args!(
                "{stream}, position {position}: nothing defines statement {statement} (said once for a stream)"
            ));
        }
    }

    /// A payload that is not a value of its statement's type.
    pub fn unreadable(&mut self, stream: &StreamInfo, record: &Record<'_>, reason: impl fmt::Display) {
        self.count += 1;
        if self.unreadable.insert(stream.number) {
            let Record {
                position, definition, ..
            } = record;
            self.say(format_args!(
                "{stream}, position {position}: no value of statement {:?}: {reason} (said once for a stream)",
                definition.name
            ));
        }
    }

    /// Positions that are missing for good.
    pub fn gap(&mut self, stream: &StreamInfo, missing: &Range<u64>, gap: &Gap) {
        let Range { start, end } = missing;
        let records = match gap.records {
            0 => String::new(), // unknown
            records => format!(" ({records} records)"),
        };
        self.say(format_args!(
            "{stream}: positions {start} to {end} are missing: {}{records}",
            gap.reason.words()
        ));
    }

    /// A segment that ends in what is no frame. That is not wrong: a loss of power may leave it, and nothing was built on it.
    pub fn spoilt(&mut self, path: &Path, from: u64) {
        self.say(format_args!(
            "{} is read up to byte {from}: what follows is no frame, and nothing says that the disk ever held it",
            path.display()
        ));
    }

    /// Positions whose segments were deleted before they could be read.
    pub fn deleted(&mut self, stream: &StreamInfo, missing: &Range<u64>) {
        let Range { start, end } = missing;
        self.say(format_args!(
            "{stream}: positions {start} to {end} were deleted before they could be read"
        ));
    }

    /// What a producer has dropped so far, if that is news.
    pub fn dropped(&mut self, stream: &StreamInfo, records: u64, bytes: u64) {
        let known = self.dropped.entry(stream.number).or_default();
        if *known < records {
            *known = records;
            self.say(format_args!(
                "{stream}: its producer dropped records, {records} of {bytes} bytes so far, because its ring was full"
            ));
        }
    }

    fn say(&mut self, words: impl fmt::Display) {
        let _ = writeln!(self.words, "hog: {words}"); // there is nowhere else to say it
    }
}
