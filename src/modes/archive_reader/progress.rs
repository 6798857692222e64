//! How far logs were read, for who goes on there in another process.
//!
//! Two things are remembered. Of each stream the position below which everything was given: it decides, so nothing is given twice, whichever
//! segments are read again. And of each log the segment from which on reading gives the rest: it only spares reading what lies before. The second
//! is moved on at the head of a segment that explains itself, and not while a run of fragments is open that began before, since
//! the run would be lacking its beginning then.
//!
//! As text it is JSON, so that whoever keeps it can put it into a header of text, a file or a row.

use crate::formats::segment::LogRole;
use crate::formats::table::Table;
use crate::ids::{OwnerId, StreamId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;
use uuid::Uuid;

/// How far logs were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Below its position all of a stream was given.
    streams: BTreeMap<StreamId, u64>,
    logs: Vec<LogProgress>,
}

/// How far one log was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogProgress {
    group: String,
    role: LogRole,
    owner: OwnerId,
    /// The first segment that was read: what was in others before it, if there were any, was not given.
    first: u64,
    /// All that segments of lower numbers hold was given, from the first on.
    segment: u64,
}

/// Whether a segment was read by those who read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It is still to be read, or to be looked at for what is new in it.
    No,
    /// All that it holds was given.
    Given,
    /// Reading began behind it, and what it holds would come too late now.
    LeftOut,
}

/// A text that is no [`Progress`].
#[derive(Debug, Error)]
#[error("what should say how far was read makes no sense")]
pub struct NoProgress(#[source] serde_json::Error);

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    streams: BTreeMap<Uuid, u64>,
    logs: Vec<WrittenLog>,
}

#[derive(Serialize, Deserialize)]
struct WrittenLog {
    group: String,
    spool: bool,
    owner: Uuid,
    first: u64,
    segment: u64,
}

impl Progress {
    /// Reads what [`Progress::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_json(json: &[u8]) -> Result<Self, NoProgress> {
        let written: Written = serde_json::from_slice(json).map_err(NoProgress)?;
        let role = |spool| if spool { LogRole::Spool } else { LogRole::Archive };
        let logs = written.logs.into_iter().map(|log| LogProgress {
            group: log.group,
            role: role(log.spool),
            owner: OwnerId(log.owner),
            first: log.first,
            segment: log.segment,
        });
        Ok(Self {
            streams: written.streams.into_iter().map(|(id, at)| (StreamId(id), at)).collect(),
            logs: logs.collect(),
        })
    }

    /// Itself in JSON, in one line. Some 60 bytes for each stream.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let written = Written {
            streams: self.streams.iter().map(|(id, at)| (id.0, *at)).collect(),
            logs: self.logs.iter().map(LogProgress::written).collect(),
        };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// The position below which all of `stream` was given; 0 if nothing was.
    #[must_use]
    pub fn of(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).copied().unwrap_or(0)
    }

    /// Takes out what it says of `stream`.
    pub(super) fn take(&mut self, stream: StreamId) -> Option<u64> {
        self.streams.remove(&stream)
    }

    /// Whether the segment with that number was passed.
    pub(super) fn passed(&self, group: &str, role: LogRole, owner: OwnerId, number: u64) -> Passed {
        match self.logs.iter().find(|log| log.is(group, role, owner)) {
            Some(log) if number < log.first => Passed::LeftOut,
            Some(log) if number < log.segment => Passed::Given,
            _ => Passed::No,
        }
    }

    /// All of `stream` below `position` was given.
    pub(in crate::modes) fn settle(&mut self, stream: StreamId, position: u64) {
        let settled = self.streams.entry(stream).or_default();
        *settled = position.max(*settled);
    }

    /// A segment of a log is begun.
    pub(super) fn begin(&mut self, group: &str, role: LogRole, owner: OwnerId, number: u64) -> &mut LogProgress {
        let place = self.logs.iter().position(|log| log.is(group, role, owner));
        match place {
            Some(place) => &mut self.logs[place],
            None => self.logs.push_mut(LogProgress {
                group: group.to_owned(),
                role,
                owner,
                first: number,
                segment: 0,
            }),
        }
    }

    /// All that a log's segments below `number` hold was given; `table` is what that segment begins with. Streams that their only log has put out of
    /// its mind do not come again, and are forgotten.
    pub(super) fn pass(&mut self, group: &str, role: LogRole, owner: OwnerId, number: u64, table: &Table) {
        let log = self.begin(group, role, owner, number);
        if number <= log.segment {
            return;
        }
        log.segment = number;
        if self.logs.len() == 1 {
            self.streams.retain(|id, _| table.streams.contains_key(id));
        }
    }
}

impl LogProgress {
    fn is(&self, group: &str, role: LogRole, owner: OwnerId) -> bool {
        self.group == group && self.role == role && self.owner == owner
    }

    fn written(&self) -> WrittenLog {
        WrittenLog {
            group: self.group.clone(),
            spool: self.role == LogRole::Spool,
            owner: self.owner.0,
            first: self.first,
            segment: self.segment,
        }
    }
}

#[cfg(test)]
mod tests;
