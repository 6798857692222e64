//! Which records are printed or exported.
//!
//! Conditions of one kind widen the selection, conditions of different kinds narrow it: `--stream A --stream B --since 1h`
//! is what A or B logged within the last hour.

use crate::formats::value;
use crate::ids::StreamId;
use crate::modes::archive_reader::{Record, StreamInfo};
use hog_ring::statement::flags;

/// Which records are wanted. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those of these groups; of all if there is none.
    pub groups: Vec<String>,
    /// Those of these streams; of all if there is none.
    pub streams: Vec<StreamId>,
    /// Those of these sources: a producer's name, or what a line of an engine gives as its source; of all if there is none.
    pub sources: Vec<String>,
    /// Those of this moment and later, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Those before this moment, nanoseconds since 1970.
    pub until: Option<u64>,
}

impl Selection {
    /// Whether records of `stream` may be wanted.
    pub(in crate::modes) fn wants_stream(&self, stream: StreamId) -> bool {
        self.streams.is_empty() || self.streams.contains(&stream)
    }

    /// Whether a record of a stream that is wanted is wanted.
    #[inline]
    pub(in crate::modes) fn wants(&self, stream: &StreamInfo, record: &Record<'_>) -> bool {
        self.is_of_group(stream) && self.is_in_time(record) && self.is_of_source(stream, record)
    }

    fn is_of_group(&self, stream: &StreamInfo) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| **group == *stream.group)
    }

    /// A record without time counts as logged when it was drained. One of which not even that is known is always in time:
    /// better too much than too little.
    fn is_in_time(&self, record: &Record<'_>) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let time = record.time.unwrap_or(record.drained);
        time == 0 || (self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until))
    }

    fn is_of_source(&self, stream: &StreamInfo, record: &Record<'_>) -> bool {
        if self.sources.is_empty() || self.sources.iter().any(|source| **source == *stream.producer) {
            return true;
        }
        let definition = record.definition;
        let line_source = (definition.flags & flags::LINE != 0)
            .then(|| value::text_field(&definition.payload_type, record.payload, "source"))
            .flatten();
        line_source.is_some_and(|found| self.sources.iter().any(|source| source.as_bytes() == found))
    }
}

#[cfg(test)]
mod tests;
