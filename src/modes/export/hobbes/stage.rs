//! Records that wait for a commit: as they came, in their order, with the transactions that they belong to.
//!
//! They wait so that a new file can be made with all statements that are known by then, and so that few writes bring many records. Statements are known by
//! what a reader sees of them: two that are alike share a series, whichever stream they come from and whichever id they have there.

use crate::formats::fregion::fresh::{self, ORDER_TYPE_BYTES_MAX};
use crate::formats::fregion::geometry::in_memory;
use crate::formats::fregion::naming::are_alike;
use crate::formats::fregion::stored::{Stored, StoredError};
use crate::modes::archive_reader::{Record, StreamInfo};
use hog_ring::statement::Definition;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Records that wait are written at the latest when they are so many bytes.
const STAGE_BYTES: usize = 4 << 20;

/// What each of them counts beside its payload, or its slot, whichever is longer.
const RECORD_BYTES: usize = 48;

/// The statements that were met, each once.
#[derive(Default)]
pub(super) struct Known {
    statements: Vec<Definition>,
    /// Of each, how long its type is in that of the order, or why its records cannot be stored.
    storable: Vec<Result<usize, StoredError>>,
    /// Of each, how long a record's slot is, in bytes: as long as the longest case of a variant, whichever a record has.
    slot_bytes: Vec<usize>,
    /// By the number of a stream and the id that the statement has there.
    by_id: HashMap<(usize, u32), usize>,
}

impl Known {
    /// The place of a statement of a stream.
    pub(super) fn place(&mut self, stream: &StreamInfo, definition: &Definition) -> usize {
        let id = (stream.number, definition.id);
        if let Some(place) = self.by_id.get(&id)
            && are_alike(&self.statements[*place], definition)
        {
            return *place;
        }
        let place = self.add(definition);
        self.by_id.insert(id, place);
        place
    }

    /// The place of a statement, of whichever stream.
    pub(super) fn add(&mut self, definition: &Definition) -> usize {
        let found = self.statements.iter().position(|known| are_alike(known, definition));
        found.unwrap_or_else(|| {
            self.statements.push(definition.clone());
            self.storable.push(fresh::order_type_bytes(definition));
            let stored = Stored::of(&definition.payload_type);
            self.slot_bytes
                .push(stored.map_or(0, |stored| in_memory(stored.layout.size)));
            self.statements.len() - 1
        })
    }

    /// Forgets the numbers of streams.
    pub(super) fn forget_streams(&mut self) {
        self.by_id.clear();
    }

    pub(super) fn get(&self, place: usize) -> &Definition {
        &self.statements[place]
    }

    /// Why its records cannot be stored, if so.
    pub(super) fn refusal(&self, place: usize) -> Option<&StoredError> {
        self.storable[place].as_ref().err()
    }

    /// Those that a new file has series for: all of `needed`, and of the others, the latest first, as many as there is room for.
    pub(super) fn for_new_file(&self, needed: &BTreeSet<usize>) -> Vec<Definition> {
        let latest = (0..self.statements.len()).rev().filter(|place| !needed.contains(place));
        let mut room = ORDER_TYPE_BYTES_MAX;
        let mut chosen = BTreeSet::new();
        for place in needed.iter().copied().chain(latest) {
            if let Ok(bytes) = &self.storable[place]
                && (*bytes <= room || needed.contains(&place))
            {
                room = room.saturating_sub(*bytes);
                chosen.insert(place);
            }
        }
        chosen.into_iter().map(|place| self.statements[place].clone()).collect()
    }

    fn type_bytes(&self, place: usize) -> usize {
        *self.storable[place].as_ref().unwrap_or(&0)
    }
}

/// A record that waits.
pub(super) struct Waiting {
    /// Its statement's place among the known ones.
    pub(super) statement: usize,
    /// Its stream's number.
    pub(super) stream: usize,
    pub(super) position: u64,
    payload: Range<usize>,
}

/// Records of one transaction.
pub(super) struct Transaction {
    /// Its time, in microseconds.
    pub(super) micros: i64,
    /// Its stream, and the position of its first record, if it can have several.
    key: Option<(usize, u64)>,
    /// The place of its first record.
    first: usize,
}

/// Records that wait for a commit.
#[derive(Default)]
pub(super) struct Stage {
    payloads: Vec<u8>,
    records: Vec<Waiting>,
    transactions: Vec<Transaction>,
    /// Statements of which there are records.
    pub(super) needed: BTreeSet<usize>,
    type_bytes: usize,
    /// What the records count.
    bytes: usize,
}

impl Stage {
    /// Adds a record.
    pub(super) fn push(&mut self, known: &Known, statement: usize, stream: &StreamInfo, record: &Record<'_>) {
        let key = record.transaction.map(|first| (stream.number, first));
        if key.is_none() || self.transactions.last().is_none_or(|last| last.key != key) {
            // That of draining, where it has none of its own.
            let nanos = record.time.unwrap_or(record.drained);
            self.transactions.push(Transaction {
                micros: i64::try_from(nanos / 1000).unwrap_or(i64::MAX),
                key,
                first: self.records.len(),
            });
        }
        let start = self.payloads.len();
        self.payloads.extend_from_slice(record.payload);
        self.bytes += RECORD_BYTES + record.payload.len().max(known.slot_bytes[statement]);
        self.records.push(Waiting {
            statement,
            stream: stream.number,
            position: record.position,
            payload: start..self.payloads.len(),
        });
        if self.needed.insert(statement) {
            self.type_bytes += known.type_bytes(statement);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether it is time for a commit.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= STAGE_BYTES || self.type_bytes >= ORDER_TYPE_BYTES_MAX / 2
    }

    /// The transactions, each with its records.
    pub(super) fn transactions(&self) -> impl Iterator<Item = (&Transaction, &[Waiting])> {
        let ends = self.transactions.iter().skip(1).map(|next| next.first);
        let ends = ends.chain([self.records.len()]);
        let with_end = self.transactions.iter().zip(ends);
        with_end.map(|(transaction, end)| (transaction, &self.records[transaction.first..end]))
    }

    pub(super) fn payload(&self, record: &Waiting) -> &[u8] {
        &self.payloads[record.payload.clone()]
    }

    pub(super) fn clear(&mut self) {
        self.payloads.clear();
        self.records.clear();
        self.transactions.clear();
        self.needed.clear();
        self.type_bytes = 0;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use hog_ring::types::{Case, Type};

    #[test]
    fn records_that_are_short_and_have_long_slots_wait_no_longer_than_others() {
        let case = |id, name: &str, holds| Case {
            name: name.to_owned(),
            id,
            holds,
        };
        let long = Type::fixed_array(Type::long(), 100_000);
        let definition = Definition {
            id: 1,
            name: "wide".to_owned(),
            flags: 1,
            format: "$0".to_owned(),
            file: "f.rs".to_owned(),
            line: 1,
            payload_type: Type::Variant(vec![case(0, "short", Type::int()), case(1, "long", long)]),
        };
        let stream = StreamInfo {
            number: 0,
            group: "web".into(),
            id: StreamId::random(),
            producer: "".into(),
            first: 0,
        };
        let record = Record {
            position: 0,
            transaction: None,
            time: None,
            drained: 0,
            definition: &definition,
            payload: &[0; 8],
        };
        let (mut known, mut stage) = (Known::default(), Stage::default());
        let statement = known.place(&stream, &definition);
        let mut pushed = 0;
        while !stage.is_full() {
            stage.push(&known, statement, &stream, &record);
            pushed += 1;
        }
        assert_eq!(pushed, 6, "of 800,000 bytes in the file each");
    }
}
