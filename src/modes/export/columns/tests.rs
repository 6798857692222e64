//! What becomes of payloads in columns: as many rows as records whatever comes, and no value that is none.

use super::measure::measure;
use super::shape::Shape;
use crate::formats::value::is_value;
use hog_ring::types::Type;
use proptest::prelude::*;

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
    #[test]
    fn what_is_taken_into_columns_is_what_is_a_value(ty in types(), payload in payloads()) {
        let shape = Shape::of(&ty).unwrap();
        prop_assert_eq!(measure(&[shape], &payload).is_ok(), is_value(&ty, &payload), "{:?}", ty);
    }
}
