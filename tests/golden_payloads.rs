//! Records captured from the original: its queue's metadata and pages, read by `hog_ring::types` and
//! `hog::formats::value`, must give the JSON values that are known to be in them.
//!
//! The captures lie beside the repository, in `../shared/golden`. Where they are missing the test says so and passes.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use hog::formats::classic::statements::{Declaration, Statements};
use hog::formats::value::to_json;
use serde_json::{Value, json};

/// Bytes of the header before the metadata: ready, padding, slot size, number of slots, size of the metadata.
const HEADER_BYTES: usize = 32;
/// Bytes between the data's beginning and slot 0: the wait state, both indices, padding.
const STATE_BYTES: usize = 16;

/// States of a slot, in the high byte of its footer.
const CONTINUES: u32 = 1;
const COMMITS: u32 = 2;

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..][..4].try_into().unwrap())
}

fn size_at(bytes: &[u8], offset: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[offset..][..8].try_into().unwrap())).unwrap()
}

/// The transactions between the reader's and the writer's slot.
fn transactions(queue: &[u8], slot_bytes: usize, slots: usize, data: usize) -> Vec<Vec<u8>> {
    let (mut read, write) = (u32_at(queue, data + 4) as usize, u32_at(queue, data + 8) as usize);
    let (mut transactions, mut open) = (Vec::new(), Vec::new());
    while read != write {
        let slot = &queue[data + STATE_BYTES + read * slot_bytes..][..slot_bytes];
        let footer = u32_at(slot, slot_bytes - 4);
        open.extend_from_slice(&slot[..(footer & 0xff_ffff) as usize]);
        match footer >> 24 {
            CONTINUES => {}
            COMMITS => transactions.push(std::mem::take(&mut open)),
            other => panic!("slot state {other}"),
        }
        read = (read + 1) % slots;
    }
    assert!(open.is_empty());
    transactions
}

/// A record ends where its value does, which only its type tells: here, the shortest payload that its type takes whole.
fn first_record(statements: &Statements, bytes: &[u8]) -> (Value, usize) {
    let (_, definition) = statements.find(u32_at(bytes, 0)).unwrap();
    let whole = (4..=bytes.len()).find_map(|end| {
        let mut text = Vec::new();
        let outcome = to_json(&definition.payload_type, &bytes[4..end], &mut text).ok()?;
        assert!(!outcome.invalid_utf8);
        Some((serde_json::from_slice::<Value>(&text).unwrap(), end))
    });
    let (value, end) = whole.unwrap_or_else(|| panic!("{definition:?} does not describe {bytes:02x?}"));
    (json!({ "statement": definition.name, "value": value }), end)
}

#[test]
fn every_kind_of_value_that_the_original_logs_is_read_as_it_was_logged() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if !golden.is_dir() {
        println!("nothing compared: {} is missing", golden.display());
        return;
    }
    let queue = std::fs::read(golden.join("ring.shm")).unwrap();
    let expected: Value = serde_json::from_slice(&std::fs::read(golden.join("expected.json")).unwrap()).unwrap();

    let (slot_bytes, slots, metadata_bytes) = (size_at(&queue, 8), size_at(&queue, 16), size_at(&queue, 24));
    let declared = Declaration::of_queue(&queue[HEADER_BYTES..][..metadata_bytes]).unwrap();
    let data = (HEADER_BYTES + metadata_bytes).next_multiple_of(4096);

    let mut found = Vec::new();
    for transaction in transactions(&queue, slot_bytes, slots, data) {
        let (mut records, mut rest) = (Vec::new(), transaction.as_slice());
        while !rest.is_empty() {
            let (record, length) = first_record(&declared.statements, rest);
            records.push(record);
            rest = &rest[length..];
        }
        found.push(records);
    }
    assert_eq!(json!(found), expected);
}

#[test]
fn definitions_of_the_original_encode_back_to_its_bytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden/ring.shm");
    let Ok(queue) = std::fs::read(&path) else {
        println!("nothing compared: {} is missing", path.display());
        return;
    };
    let metadata = &queue[HEADER_BYTES..][..size_at(&queue, 24)];
    let mut bytes = Vec::new();
    Declaration::of_queue(metadata).unwrap().encode_queue(&mut bytes);
    assert_eq!(bytes, metadata);
}
