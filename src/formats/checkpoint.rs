//! CHECKPOINT: a [`Table`] in bytes, cut into frames of bounded size.
//!
//! The items are a list of (tag, length, fields). Equal sets of definitions are written once. A list at the head of a
//! segment replaces the reader's table, so it is judged whole, after its last frame; an UPDATE amends the table.

use crate::formats::definitions::Definitions;
use crate::formats::definitions::{put_definitions, take_definitions};
use crate::formats::pieces::{
    BodyError, finished, put_bytes, take_bytes, take_text, take_u8, take_u32, take_u64, take_uuid,
};
use crate::formats::table::{Sender, Stream, StreamState, Table};
use crate::ids::{OwnerId, StreamId};
use crate::limits::{CHECKPOINT_MAX, PRODUCER_MAX};
use bytes::BufMut;
use std::collections::HashMap;
use std::sync::Arc;

const DEFINITIONS: u8 = 1;
const STREAM: u8 = 2;
const SENDER: u8 = 3;

/// The whole table as a list of items. Forgotten streams are left out: that is what forgetting is.
#[must_use]
pub fn encode(table: &Table) -> Vec<u8> {
    let mut items = Items::default();
    for (id, sender) in &table.senders {
        items.sender(*id, sender);
    }
    for (id, stream) in table
        .streams
        .iter()
        .filter(|(_, stream)| stream.state != StreamState::Forgotten)
    {
        items.stream(*id, stream);
    }
    items.out
}

/// An amendment that sets one sender.
#[must_use]
pub fn encode_sender(id: OwnerId, sender: &Sender) -> Vec<u8> {
    let mut items = Items::default();
    items.sender(id, sender);
    items.out
}

/// An amendment that sets one stream.
#[must_use]
pub fn encode_stream(id: StreamId, stream: &Stream) -> Vec<u8> {
    let mut items = Items::default();
    items.stream(id, stream);
    items.out
}

/// The table that a whole list of items describes.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<Table, BodyError> {
    let mut table = Table::default();
    amend(&mut table, bytes)?;
    Ok(table)
}

/// Sets in `table` what the items name.
///
/// # Errors
/// What is wrong with the bytes; the table may then be amended in part.
pub fn amend(table: &mut Table, mut bytes: &[u8]) -> Result<(), BodyError> {
    let mut sets: HashMap<u32, Arc<Definitions>> = HashMap::new();
    while !bytes.is_empty() {
        let tag = take_u8(&mut bytes, "tag")?;
        let mut item = take_bytes(&mut bytes, CHECKPOINT_MAX, "item")?;
        match tag {
            DEFINITIONS => {
                let number = take_u32(&mut item, "number of definitions")?;
                sets.insert(number, Arc::new(take_definitions(&mut item)?));
            }
            STREAM => {
                let (id, stream) = take_stream(&mut item, &sets)?;
                table.streams.insert(id, stream);
            }
            SENDER => {
                let (id, sender) = take_sender(&mut item)?;
                table.senders.insert(id, sender);
            }
            found => {
                return Err(BodyError::Bound {
                    what: "tag",
                    found: found.into(),
                    most: SENDER.into(),
                });
            }
        }
        finished(item)?;
    }
    Ok(())
}

#[derive(Default)]
struct Items {
    out: Vec<u8>,
    /// Sets of definitions that are written already, by their bytes.
    sets: HashMap<Vec<u8>, u32>,
}

impl Items {
    fn item(&mut self, tag: u8, fields: &[u8]) {
        self.out.put_u8(tag);
        put_bytes(&mut self.out, fields);
    }

    fn definitions(&mut self, definitions: &Definitions) -> u32 {
        let mut bytes = Vec::new();
        put_definitions(&mut bytes, definitions);
        if let Some(number) = self.sets.get(&bytes) {
            return *number;
        }
        #[allow(clippy::cast_possible_truncation)]
        let number = self.sets.len() as u32;
        let mut fields = Vec::with_capacity(bytes.len() + 4);
        fields.put_u32_le(number);
        fields.put_slice(&bytes);
        self.item(DEFINITIONS, &fields);
        self.sets.insert(bytes, number);
        number
    }

    fn stream(&mut self, id: StreamId, stream: &Stream) {
        let definitions = self.definitions(&stream.definitions);
        let mut fields = Vec::with_capacity(128);
        fields.put_slice(&id.bytes());
        fields.put_u64_le(stream.first);
        fields.put_u64_le(stream.end);
        fields.put_u8(stream.state as u8);
        fields.put_u32_le(definitions);
        fields.put_u64_le(stream.life);
        fields.put_u64_le(stream.dropped_records);
        fields.put_u64_le(stream.dropped_bytes);
        put_bytes(&mut fields, stream.producer.as_bytes());
        fields.put_u64_le(stream.created);
        fields.put_slice(stream.boot.as_bytes());
        fields.put_slice(&stream.sender.bytes());
        self.item(STREAM, &fields);
    }

    fn sender(&mut self, id: OwnerId, sender: &Sender) {
        let mut fields = Vec::with_capacity(41);
        fields.put_slice(&id.bytes());
        fields.put_u64_le(sender.epoch);
        fields.put_u64_le(sender.start_id);
        fields.put_u64_le(sender.last_seen);
        fields.put_u8(sender.refused.into());
        self.item(SENDER, &fields);
    }
}

fn take_stream(item: &mut &[u8], sets: &HashMap<u32, Arc<Definitions>>) -> Result<(StreamId, Stream), BodyError> {
    let id = StreamId(take_uuid(item, "stream")?);
    let first = take_u64(item, "first position")?;
    let end = take_u64(item, "end position")?;
    let state = match take_u8(item, "state")? {
        0 => StreamState::Open,
        1 => StreamState::Ended,
        2 => StreamState::Forgotten,
        found => {
            return Err(BodyError::Bound {
                what: "state",
                found: found.into(),
                most: 2,
            });
        }
    };
    let number = take_u32(item, "number of definitions")?;
    let definitions = sets.get(&number).cloned().ok_or(BodyError::Bound {
        what: "number of definitions",
        found: number.into(),
        most: sets.len() as u64,
    })?;
    let stream = Stream {
        first,
        end,
        state,
        definitions,
        life: take_u64(item, "adoption time")?,
        dropped_records: take_u64(item, "dropped records")?,
        dropped_bytes: take_u64(item, "dropped bytes")?,
        producer: take_text(item, PRODUCER_MAX, "producer's name")?.into(),
        created: take_u64(item, "creation time")?,
        boot: take_uuid(item, "boot id")?,
        sender: OwnerId(take_uuid(item, "sender")?),
    };
    Ok((id, stream))
}

fn take_sender(item: &mut &[u8]) -> Result<(OwnerId, Sender), BodyError> {
    let id = OwnerId(take_uuid(item, "sender")?);
    let sender = Sender {
        epoch: take_u64(item, "epoch")?,
        start_id: take_u64(item, "start id")?,
        last_seen: take_u64(item, "last seen")?,
        refused: take_u8(item, "refused")? != 0,
    };
    Ok((id, sender))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn stream(state: StreamState) -> Stream {
        Stream {
            first: 0,
            end: 64,
            state,
            definitions: Arc::default(),
            life: 4,
            dropped_records: 1,
            dropped_bytes: 2,
            producer: "p".into(),
            created: 3,
            boot: Uuid::new_v4(),
            sender: OwnerId::random(),
        }
    }

    fn table() -> Table {
        let mut table = Table::default();
        table.streams.insert(StreamId::random(), stream(StreamState::Open));
        table.streams.insert(StreamId::random(), stream(StreamState::Ended));
        table.senders.insert(
            OwnerId::random(),
            Sender {
                epoch: 1,
                start_id: 2,
                last_seen: 3,
                refused: true,
            },
        );
        table
    }

    #[test]
    fn table_survives_encode_and_decode() {
        let table = table();
        assert_eq!(decode(&encode(&table)), Ok(table));
    }

    #[test]
    fn forgotten_streams_are_left_out() {
        let mut table = Table::default();
        table.streams.insert(StreamId::random(), stream(StreamState::Forgotten));
        assert_eq!(decode(&encode(&table)), Ok(Table::default()));
    }

    #[test]
    fn equal_sets_of_definitions_are_written_once() {
        let mut items = Items::default();
        assert_eq!(
            items.definitions(&Definitions::default()),
            items.definitions(&Definitions::default())
        );
    }

    #[test]
    fn tags_are_the_documented_ones() {
        let text = include_str!("../../docs/FORMATS.md");
        for (tag, item) in [(DEFINITIONS, "definitions"), (STREAM, "stream"), (SENDER, "sender")] {
            assert!(text.contains(&format!("| {tag} | {item} |")), "{item}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_cut_table_is_refused(cut in 1usize..200) {
            let bytes = encode(&table());
            let cut = cut.min(bytes.len() - 1);
            let whole = decode(&bytes[..bytes.len() - cut]);
            prop_assert_ne!(whole, decode(&bytes));
        }
    }
}
