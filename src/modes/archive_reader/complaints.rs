//! What is said on stderr while a log is read, and how much there was to say. What may be wrong with many records alike
//! is said once for each stream.

use crate::formats::body::Gap;
use crate::modes::archive_reader::{Fault, Record, StreamInfo};
use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::ops::Range;

/// Says what is wrong, one line each.
#[derive(Debug)]
pub struct Complaints<W> {
    words: W,
    /// Streams whose undefined statements were spoken of, by number.
    undefined: HashSet<usize>,
    /// Streams whose unreadable payloads were spoken of, by number.
    unreadable: HashSet<usize>,
    count: u64,
}

impl<W: Write> Complaints<W> {
    /// None yet; they go to `words`.
    pub fn new(words: W) -> Self {
        Self {
            words,
            undefined: HashSet::new(),
            unreadable: HashSet::new(),
            count: 0,
        }
    }

    /// How often something was wrong, whether or not it was said. GAPs are not wrong: they say what is missing.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// A fault of the log.
    pub fn fault(&mut self, fault: &Fault) {
        self.count += 1;
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
        self.say(format_args!(
            "{stream}: positions {start} to {end} are missing: {}",
            gap.reason.words()
        ));
    }

    fn say(&mut self, words: impl fmt::Display) {
        let _ = writeln!(self.words, "hog: {words}"); // there is nowhere else to say it
    }
}
