//! What becomes of payloads in columns: as many rows as records whatever comes, and no value that is none.

use super::batch::Gathered;
use super::measure::measure;
use super::schema::Inside;
use super::shape::Shape;
use crate::formats::value::{ValueError, is_value};
use crate::ids::StreamId;
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::modes::export::Partition;
use crate::modes::export::table::Layout;
use hog_ring::statement::{Definition, flags};
use hog_ring::types::Type;
use proptest::prelude::*;

fn definition(ty: Type) -> Definition {
    Definition {
        id: 1,
        name: "s".into(),
        flags: flags::HLOG,
        format: String::new(),
        file: String::new(),
        line: 0,
        payload_type: ty,
    }
}

/// How many rows these payloads make, and how many of them keep their bytes.
fn rows(ty: &Type, payloads: &[Vec<u8>], inside: Inside) -> (usize, usize) {
    let definition = definition(ty.clone());
    let mut gathered = Gathered::new(&Layout::of("g", &definition, Partition::None), inside);
    let stream = StreamInfo {
        number: 0,
        group: "g".into(),
        id: StreamId::random(),
        producer: "".into(),
        first: 0,
    };
    for payload in payloads {
        let record = Record {
            position: 8,
            transaction: None,
            time: Some(u64::MAX),
            drained: 0,
            definition: &definition,
            payload,
        };
        assert_eq!(gathered.add(&stream, &record).is_ok(), is_value(ty, payload));
    }
    let batch = gathered.finish().unwrap().unwrap();
    assert_eq!(gathered.held(), 0);
    let bytes = batch.column(batch.num_columns() - 1);
    (batch.num_rows(), batch.num_rows() - bytes.null_count())
}

#[test]
fn what_would_take_more_than_it_may_is_left_as_it_is() {
    let wide = Type::array(Type::sum(vec![Type::double(); 200]));
    let payload = |count: u64| {
        let mut payload = count.to_le_bytes().to_vec();
        payload.resize(8 + usize::try_from(count).unwrap() * 12, 0);
        payload
    };
    let shape = Shape::of(&wide).unwrap();
    assert!(measure(std::slice::from_ref(&shape), &payload(1000)).is_ok());
    assert!(matches!(
        measure(&[shape], &payload(200_000)),
        Err(ValueError::TooMany { .. })
    ));
    let units = Shape::of(&Type::array(Type::unit())).unwrap();
    let endless = u64::MAX.to_le_bytes();
    assert!(matches!(measure(&[units], &endless), Err(ValueError::TooMany { .. })));
}

#[test]
fn a_type_with_too_many_columns_has_none_and_its_payloads_are_kept() {
    let wide = Type::tuple(vec![Type::tuple(vec![Type::byte(); 40]); 40]);
    assert!(Shape::of(&wide).is_none());
    assert_eq!(rows(&wide, &[vec![7; 1600], vec![7; 1600]], Inside::Texts), (2, 2));
}

fn leaf() -> impl Strategy<Value = Type> {
    prop_oneof![
        Just(Type::unit()),
        Just(Type::bool()),
        Just(Type::byte()),
        Just(Type::char()),
        Just(Type::ushort()),
        Just(Type::int()),
        Just(Type::datetime()),
        Just(Type::int128()),
        Just(Type::double()),
        Just(Type::text()),
        Just(Type::variant([("A", Type::unit()), ("B", Type::unit())])),
    ]
}

fn types() -> impl Strategy<Value = Type> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::array),
            (inner.clone(), 0u64..4).prop_map(|(element, length)| Type::fixed_array(element, length)),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Type::tuple),
            prop::collection::vec(inner, 1..4).prop_map(Type::sum),
        ]
    })
}

/// Bytes that are mostly small, so that counts and cases are met.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![8 => Just(0u8), 3 => 0u8..3, 1 => any::<u8>()], 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_record_is_a_row_whatever_it_holds(ty in types(), payloads in prop::collection::vec(payloads(), 1..6)) {
        for inside in [Inside::Texts, Inside::Dictionaries] {
            let (rows, kept) = rows(&ty, &payloads, inside);
            let senseless = payloads.iter().filter(|payload| !is_value(&ty, payload)).count();
            prop_assert_eq!(rows, payloads.len());
            prop_assert!(kept >= senseless);
        }
    }

    #[test]
    fn what_is_taken_into_columns_is_what_is_a_value(ty in types(), payload in payloads()) {
        let shape = Shape::of(&ty).unwrap();
        prop_assert_eq!(measure(&[shape], &payload).is_ok(), is_value(&ty, &payload), "{:?}", ty);
    }
}
