//! Records captured from the original: its queue's metadata and pages, and what it sent to a receiver, read by `hog_ring::types`,
//! `hog::formats::classic` and `hog::formats::value`, must give the JSON values that are known to be in them.
//!
//! The captures lie beside the repository, in `../shared/golden`. Where they are missing the test says so and passes.

#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::Path;

use hog::formats::classic::inflate::Inflate;
use hog::formats::classic::records::{Record, Records};
use hog::formats::classic::segment::next_transaction;
use hog::formats::classic::statements::{Commit, Declaration, Quality, Statements};
use hog::formats::value::{Lengths, to_json};
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

/// The records of a transaction as the expected values have them.
fn records(statements: &Statements, lengths: &mut Lengths, transaction: &[u8]) -> Value {
    let record = |record: Result<Record<'_>, _>| {
        let Record { place, payload } = record.unwrap();
        let (definition, mut text) = (&statements.all()[place], Vec::new());
        let outcome = to_json(&definition.payload_type, payload, &mut text).unwrap();
        assert!(!outcome.invalid_utf8);
        json!({ "statement": definition.name, "value": serde_json::from_slice::<Value>(&text).unwrap() })
    };
    Records::new(statements, lengths, transaction).map(record).collect()
}

/// A capture, and what is known to be in it.
fn capture(name: &str) -> Option<(Vec<u8>, Value)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if !golden.is_dir() {
        println!("nothing compared: {} is missing", golden.display());
        return None;
    }
    let expected = std::fs::read(golden.join("expected.json")).unwrap();
    let bytes = std::fs::read(golden.join(name)).unwrap();
    Some((bytes, serde_json::from_slice(&expected).unwrap()))
}

#[test]
fn every_kind_of_value_that_the_original_logs_is_read_as_it_was_logged() {
    let Some((queue, expected)) = capture("ring.shm") else {
        return;
    };
    let (slot_bytes, slots, metadata_bytes) = (size_at(&queue, 8), size_at(&queue, 16), size_at(&queue, 24));
    let declared = Declaration::of_queue(&queue[HEADER_BYTES..][..metadata_bytes]).unwrap();
    let data = (HEADER_BYTES + metadata_bytes).next_multiple_of(4096);
    let transactions = transactions(&queue, slot_bytes, slots, data);
    let mut lengths = Lengths::default();
    let found: Value = transactions
        .iter()
        .map(|transaction| records(&declared.statements, &mut lengths, transaction))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_the_original_sent_over_a_connection_is_read_as_it_was_logged() {
    let Some((sent, expected)) = capture("classic-sender.bin") else {
        return;
    };
    let mut rest = &sent[..];
    let mut next = || {
        let (length, behind) = rest.split_at(8);
        let (part, behind) = behind.split_at(size_at(length, 0));
        rest = behind;
        part
    };
    assert_eq!(next(), b"Gt");
    let mut init = Vec::new();
    Inflate::new(next()).unwrap().read_to_end(&mut init).unwrap();
    let declared = Declaration::of_init(&init).unwrap();
    assert_eq!((declared.quality, declared.commit), (Quality::Reliable, Commit::Manual));
    let mut segment = Inflate::new(next()).unwrap();
    let (mut found, mut transaction, mut lengths) = (Vec::new(), Vec::new(), Lengths::default());
    while next_transaction(&mut segment, &mut transaction).unwrap() {
        found.push(records(&declared.statements, &mut lengths, &transaction));
    }
    assert_eq!(Value::from(found), expected);
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
