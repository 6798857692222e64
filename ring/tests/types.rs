//! The encoding of types: the original's examples by hand, the bounds, and that decoding undoes encoding.

#![allow(clippy::unwrap_used)]

use hog_ring::types::{Case, Field, TYPE_BYTES_MAX, TYPE_DEPTH_MAX, TYPE_NODES_MAX, Type, TypeError};
use proptest::prelude::*;

/// Bytes from hexadecimal digits; blanks are ignored.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn encoded(ty: &Type) -> Vec<u8> {
    let mut bytes = Vec::new();
    ty.encode(&mut bytes);
    bytes
}

const INT: &str = "00000000 0300000000000000 696e74 00";
const UNIT: &str = "00000000 0400000000000000 756e6974 00";

#[test]
fn types_encode_as_the_original_encodes_them() {
    let penum = Type::Application {
        function: Box::new(Type::alias(
            "penum",
            Type::Abstraction {
                parameters: vec!["r".into(), "v".into()],
                body: Box::new(Type::Variable("r".into())),
            },
        )),
        arguments: vec![Type::byte(), Type::variant([("Red", Type::unit())])],
    };
    let pair = Type::Record(vec![
        Field {
            name: ".f0".into(),
            offset: 0,
            holds: Type::int(),
        },
        Field {
            name: ".f1".into(),
            offset: 8,
            holds: Type::int(),
        },
    ]);
    let sparse = Type::Variant(vec![Case {
        name: "x".into(),
        id: 72,
        holds: Type::unit(),
    }]);
    let cases = [
        (Type::int(), INT.to_owned()),
        (
            Type::text(),
            "05000000 00000000 0400000000000000 63686172 00".to_owned(),
        ),
        (
            Type::alias("datetime", Type::long()),
            "00000000 0800000000000000 6461746574696d65 01 00000000 0400000000000000 6c6f6e67 00".to_owned(),
        ),
        (
            Type::fixed_array(Type::int(), 2),
            format!("04000000 {INT} 0b000000 0200000000000000"),
        ),
        (
            Type::tuple([Type::int()]),
            format!("07000000 0100000000000000 0300000000000000 2e6630 ffffffff {INT}"),
        ),
        (
            pair,
            format!(
                "07000000 0200000000000000 0300000000000000 2e6630 00000000 {INT} 0300000000000000 2e6631 08000000 {INT}"
            ),
        ),
        (
            sparse,
            format!("06000000 0100000000000000 0100000000000000 78 48000000 {UNIT}"),
        ),
        (
            penum,
            format!(
                "0c000000 00000000 0500000000000000 70656e756d 01 0f000000 0200000000000000 0100000000000000 72 \
                 0100000000000000 76 02000000 0100000000000000 72 0200000000000000 \
                 00000000 0400000000000000 62797465 00 06000000 0100000000000000 0300000000000000 526564 00000000 {UNIT}"
            ),
        ),
    ];
    for (ty, digits) in cases {
        assert_eq!(encoded(&ty), hex(&digits), "{ty:?}");
        assert_eq!(Type::decode(&hex(&digits)), Ok(ty));
    }
}

#[test]
fn constructors_that_describe_no_logged_value_are_unsupported() {
    for constructor in [1, 3, 8, 9, 10, 13, 14] {
        let bytes = hex(&format!("05000000 {constructor:02x}000000 0000000000000000"));
        assert_eq!(
            Type::decode(&bytes),
            Err(TypeError::Unsupported { constructor, offset: 4 })
        );
    }
    assert_eq!(
        Type::decode(&hex("10000000")),
        Err(TypeError::Unknown {
            constructor: 16,
            offset: 0
        })
    );
}

#[test]
fn every_prefix_of_a_type_is_cut_short_and_every_addition_trails() {
    let ty = Type::record([
        ("a", Type::fixed_array(Type::text(), 3)),
        ("b", Type::variant([("c", Type::unit())])),
    ]);
    let mut bytes = encoded(&ty);
    for length in 0..bytes.len() {
        let refused = Type::decode(&bytes[..length]);
        assert!(
            matches!(refused, Err(TypeError::Truncated { .. })),
            "{length}: {refused:?}"
        );
    }
    bytes.push(0);
    assert_eq!(Type::decode(&bytes), Err(TypeError::Trailing { found: 1 }));
}

#[test]
fn depth_is_bounded() {
    let nested = |arrays: usize| [hex("05000000").repeat(arrays), hex(INT)].concat();
    assert!(Type::decode(&nested(TYPE_DEPTH_MAX - 1)).is_ok());
    assert_eq!(
        Type::decode(&nested(TYPE_DEPTH_MAX)),
        Err(TypeError::TooDeep {
            offset: 4 * TYPE_DEPTH_MAX
        })
    );
    let endless = hex("05000000").repeat(TYPE_BYTES_MAX / 4);
    assert_eq!(
        Type::decode(&endless),
        Err(TypeError::TooDeep {
            offset: 4 * TYPE_DEPTH_MAX
        })
    );
}

#[test]
fn length_bounds_the_number_of_constructors_too() {
    // No type of allowed length has more constructors than allowed, since a leaf takes at least twelve bytes; the count is
    // kept all the same, in case that length is ever raised.
    const { assert!(TYPE_NODES_MAX * 4 >= TYPE_BYTES_MAX) };
    let many = Type::tuple(vec![Type::int(); 1000]);
    assert!(matches!(Type::decode(&encoded(&many)), Err(TypeError::TooLong { .. })));
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused_before_it_is_used() {
    let bytes = hex("07000000 ffffffffffffffff");
    let refused = TypeError::Truncated {
        offset: 12,
        needed: u64::MAX,
        found: 0,
    };
    assert_eq!(Type::decode(&bytes), Err(refused));
    let name = hex("02000000 ffffffffffffffff 61");
    let refused = TypeError::Truncated {
        offset: 12,
        needed: u64::MAX,
        found: 1,
    };
    assert_eq!(Type::decode(&name), Err(refused));
}

#[test]
fn names_marks_and_lengths_are_checked() {
    assert_eq!(
        Type::decode(&hex("02000000 0100000000000000 ff")),
        Err(TypeError::NameNotUtf8 { offset: 12 })
    );
    let mark = hex("00000000 0100000000000000 61 02");
    assert_eq!(Type::decode(&mark), Err(TypeError::BadMark { found: 2, offset: 13 }));
    let length = hex(&format!("04000000 {INT} {INT}"));
    assert_eq!(Type::decode(&length), Err(TypeError::LengthNotNumber { offset: 20 }));
}

/// Any type that the bounds allow.
fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        "[a-z]{1,8}".prop_map(|name| Type::primitive(&name)),
        "\\PC{0,4}".prop_map(Type::Variable),
        any::<u64>().prop_map(Type::Number),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let field = ("\\PC{0,5}", any::<i32>(), inner.clone());
        let case = ("\\PC{0,5}", any::<u32>(), inner.clone());
        prop_oneof![
            ("[a-z]{1,8}", inner.clone()).prop_map(|(name, of)| Type::alias(&name, of)),
            (boxed(), any::<u64>()).prop_map(|(element, length)| Type::FixedArray { element, length }),
            boxed().prop_map(Type::Array),
            prop::collection::vec(
                field.prop_map(|(name, offset, holds)| Field { name, offset, holds }),
                0..4
            )
            .prop_map(Type::Record),
            prop::collection::vec(case.prop_map(|(name, id, holds)| Case { name, id, holds }), 0..4)
                .prop_map(Type::Variant),
            (boxed(), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(function, arguments)| Type::Application { function, arguments }),
            (prop::collection::vec("[a-z]{0,3}", 0..3), boxed())
                .prop_map(|(parameters, body)| Type::Abstraction { parameters, body }),
        ]
    })
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(ty in types()) {
        prop_assert_eq!(Type::decode(&encoded(&ty)), Ok(ty));
    }

    #[test]
    fn decoding_any_bytes_ends_without_panic(bytes in prop::collection::vec(prop_oneof![0..16u8, any::<u8>()], 0..200)) {
        let _ = Type::decode(&bytes);
    }

    #[test]
    fn decoding_a_damaged_type_ends_without_panic(ty in types(), place: prop::sample::Index, byte: u8) {
        let mut bytes = encoded(&ty);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(other) = Type::decode(&bytes) {
            prop_assert_eq!(encoded(&other), bytes);
        }
    }
}
