//! What the original's programs and senders leave and send: the first byte says what.
//!
//! Of a segment the declaration comes first, behind two bytes with its length: what is taken for records of it must go into a stream of ours, and come out again
//! with the same payloads.

use super::{split, take};
use hog::formats::classic::inflate::Inflate;
use hog::formats::classic::records::{Record, Records, each_part, encode};
use hog::formats::classic::segment::next_transaction;
use hog::formats::classic::statements::{Declaration, Statements};
use hog::formats::value::{Lengths, to_json};
use hog_ring::record::{Kind, Walk};
use std::io::Read;

/// As much may come of what is inflated here.
const INFLATED_MAX: u64 = 1 << 20;

pub(crate) fn judge(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    match kind % 4 {
        0 => {
            if let Ok(declared) = Declaration::of_init(rest) {
                let mut again = Vec::new();
                declared.encode_init(&mut again);
                assert_eq!(Declaration::of_init(&again).unwrap(), declared);
            }
        }
        1 => {
            if let Ok(declared) = Declaration::of_queue(rest) {
                let mut again = Vec::new();
                declared.encode_queue(&mut again);
                let found = Declaration::of_queue(&again).unwrap();
                assert_eq!(found, declared);
            }
        }
        2 => {
            let (length, rest) = take::<2>(rest);
            let (init, segment) = split(rest, usize::from(u16::from_le_bytes(length)));
            if let Ok(declared) = Declaration::of_init(init) {
                judge_segment(&declared.statements, segment);
            }
        }
        _ => {
            let mut inflated = Vec::new();
            if let Ok(mut inflate) = Inflate::at_most(INFLATED_MAX, rest) {
                let _ = inflate.read_to_end(&mut inflated);
            }
            assert!(inflated.len() as u64 <= INFLATED_MAX);
        }
    }
}

fn judge_segment(statements: &Statements, mut segment: &[u8]) {
    let (mut transaction, mut lengths, mut again) = (Vec::new(), Lengths::default(), Lengths::default());
    while let Ok(true) = next_transaction(&mut segment, &mut transaction) {
        let records: Result<Vec<Record<'_>>, _> = Records::new(statements, &mut lengths, &transaction).collect();
        let mut encoded = Vec::new();
        let count = encode(Records::new(statements, &mut again, &transaction), 7, &mut encoded);
        let Ok(records) = records else {
            assert!(count.is_err() && encoded.is_empty());
            return;
        };
        let Ok(count) = count else { continue }; // longer than a transaction of ours
        assert_eq!(count, records.len() as u64);
        judge_encoded(statements, &records, &encoded);
    }
}

/// What stands in our stream is what was sent.
fn judge_encoded(statements: &Statements, records: &[Record<'_>], encoded: &[u8]) {
    let mut whole = Vec::new();
    let collected = each_part(encoded, |part| {
        for item in Walk::new(part) {
            let (_, header, payload) = item.map_err(|_| ())?;
            if header.kind == Kind::Fragment {
                whole.extend_from_slice(payload);
            } else {
                let (start, end) = (
                    payload.as_ptr() as usize - part.as_ptr() as usize - header.header_len,
                    header.padded_len(),
                );
                whole.extend_from_slice(&part[start..start + end]);
            }
        }
        Ok::<(), ()>(())
    });
    assert!(collected.is_ok() && whole == encoded);
    let mut sent = records.iter().peekable();
    for item in Walk::new(encoded) {
        let (_, header, payload) = item.expect("a record of ours");
        let record = sent.next().expect("as many records");
        assert_eq!((header.statement as usize, payload), (record.place + 1, record.payload));
        assert_eq!(header.more, sent.peek().is_some());
        let mut json = Vec::new();
        let definition = &statements.all()[record.place];
        let _ = to_json(&definition.payload_type, payload, &mut json);
    }
    assert!(sent.next().is_none());
}
