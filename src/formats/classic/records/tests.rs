//! Transactions put together here, taken apart, and spoilt.

use super::*;
use hog_ring::record::Walk;
use hog_ring::statement::Definition;
use hog_ring::types::Type;

fn statements(types: impl IntoIterator<Item = (u32, Type)>) -> Statements {
    let definition = |(id, payload_type)| Definition {
        id,
        name: format!("s{id}"),
        flags: 1,
        format: String::new(),
        file: String::new(),
        line: 0,
        payload_type,
    };
    Statements::new(types.into_iter().map(definition).collect()).unwrap()
}

/// A number and text, nothing, a double.
fn some() -> Statements {
    statements([
        (5, Type::tuple([Type::int(), Type::text()])),
        (0, Type::unit()),
        (9, Type::double()),
    ])
}

fn record(id: u32, payload: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], payload].concat()
}

fn some_transaction() -> Vec<u8> {
    [
        record(0, b""),
        record(5, b"\x01\0\0\0\x04\0\0\0\0\0\0\0str0"),
        record(9, &1.5f64.to_le_bytes()),
        record(0, b""),
    ]
    .concat()
}

fn taken(statements: &Statements, bytes: &[u8]) -> Result<Vec<(usize, Vec<u8>)>, RecordsError> {
    Records::new(statements, &mut Lengths::default(), bytes)
        .map(|record| record.map(|Record { place, payload }| (place, payload.to_vec())))
        .collect()
}

fn encoded(statements: &Statements, bytes: &[u8]) -> Result<Vec<u8>, RecordsError> {
    let mut out = b"before--".to_vec();
    let count = encode(Records::new(statements, &mut Lengths::default(), bytes), 77, &mut out);
    assert!(out.starts_with(b"before--"));
    count
        .inspect_err(|_| assert_eq!(out.len(), 8))
        .map(|_| out.split_off(8))
}

#[test]
fn records_end_where_their_types_say() {
    let (statements, bytes) = (some(), some_transaction());
    let expected = vec![
        (1, vec![]),
        (0, b"\x01\0\0\0\x04\0\0\0\0\0\0\0str0".to_vec()),
        (2, 1.5f64.to_le_bytes().to_vec()),
        (1, vec![]),
    ];
    assert_eq!(taken(&statements, &bytes), Ok(expected));
    assert_eq!(taken(&statements, &[]), Ok(vec![]));
}

#[test]
fn a_transaction_that_is_cut_within_a_record_is_refused() {
    let (statements, bytes) = (some(), some_transaction());
    let ends = [0, 4, 24, 36, 40];
    for end in 0..=bytes.len() {
        assert_eq!(taken(&statements, &bytes[..end]).is_ok(), ends.contains(&end), "{end}");
        assert_eq!(
            encoded(&statements, &bytes[..end]).is_ok(),
            ends.contains(&end),
            "{end}"
        );
    }
}

#[test]
fn an_id_that_nobody_declared_is_refused() {
    let bytes = [record(0, b""), record(1, b"")].concat();
    let unknown = RecordsError::Unknown { offset: 4, id: 1 };
    assert_eq!(taken(&some(), &bytes), Err(unknown));
}

#[test]
fn a_payload_that_claims_more_than_there_is_is_refused() {
    let claims = statements([(0, Type::array(Type::array(Type::long())))]);
    for count in [2, 1 << 40, u64::MAX] {
        let bytes = record(0, &[&count.to_le_bytes()[..], &[0; 8]].concat());
        assert!(matches!(taken(&claims, &bytes), Err(RecordsError::Payload { .. })));
    }
}

#[test]
fn values_without_bytes_cannot_be_multiplied_by_records() {
    let units = statements([(0, Type::fixed_array(Type::unit(), 1000))]);
    assert!(taken(&units, &record(0, b"").repeat(1000)).is_ok());
    assert!(taken(&units, &record(0, b"").repeat(3000)).is_err());
    // Bytes pay: any number of records that have some are fine.
    assert!(taken(&some(), &record(9, &[0; 8]).repeat(1 << 16)).is_ok());
    // Records without any cost one visit each, and their ids pay for that.
    let count = Records::new(&some(), &mut Lengths::default(), &record(0, b"").repeat(1 << 21)).count();
    assert_eq!(count, 1 << 21);
}

#[test]
fn all_records_but_the_last_say_that_more_follows() {
    let bytes = encoded(&some(), &some_transaction()).unwrap();
    let records: Vec<_> = Walk::new(&bytes)
        .map(|item| {
            let (_, header, payload) = item.unwrap();
            assert_eq!((header.kind, header.time), (Kind::Record, Some(77)));
            (header.statement, header.more, payload.len())
        })
        .collect();
    assert_eq!(records, [(2, true, 0), (1, true, 16), (3, true, 8), (2, false, 0)]);
    assert_eq!(encoded(&some(), &[]), Ok(vec![]));
    assert_eq!(encoded(&some(), &record(0, b"")).unwrap().len(), 16);
}

#[test]
fn a_long_transaction_goes_as_fragments() {
    let text = statements([(0, Type::text())]);
    let one = record(0, &[&100_000u64.to_le_bytes()[..], &vec![b'x'; 100_000]].concat());
    let parts = |times: usize| {
        let mut parts = Vec::new();
        let transaction = encoded(&text, &one.repeat(times)).unwrap();
        let add = |part: &[u8]| {
            parts.push(part.to_vec());
            Ok::<(), ()>(())
        };
        each_part(&transaction, add).unwrap();
        parts
    };
    let [short] = &parts(2)[..] else { panic!() };
    assert!(Walk::new(short).all(|item| item.unwrap().1.kind == Kind::Record));
    let long = parts(5).concat();
    let mut run = Vec::new();
    for (number, item) in (0..).zip(Walk::new(&long)) {
        let (offset, header, piece) = item.unwrap();
        assert_eq!((header.kind, header.statement), (Kind::Fragment, number));
        assert_eq!(header.last, offset + header.padded_len() == long.len());
        assert!(header.len <= FRAGMENT_MAX);
        run.extend_from_slice(piece);
    }
    let records: Vec<_> = Walk::new(&run).map(|item| item.unwrap().1.more).collect();
    assert_eq!(records, [true, true, true, true, false]);
}

#[test]
fn a_record_or_transaction_that_no_stream_can_hold_is_refused() {
    let text = statements([(0, Type::text()), (1, Type::unit())]);
    let long = |length: usize| record(0, &[&(length as u64).to_le_bytes()[..], &vec![b'x'; length]].concat());
    assert!(encoded(&text, &long(RECORD_MAX - 8)).is_ok());
    assert!(matches!(
        encoded(&text, &long(RECORD_MAX - 7)),
        Err(RecordsError::LongRecord { offset: 0, .. })
    ));
    let units = record(1, b"").repeat(RUN_MAX / 16);
    assert!(encoded(&text, &units).is_ok());
    let more = [units, record(1, b"")].concat();
    assert_eq!(encoded(&text, &more), Err(RecordsError::LongTransaction));
}
