//! Values as payloads, and statements as definitions.

#![allow(clippy::unwrap_used)]

use std::sync::Barrier;
use std::thread;

use hog_ring::payload::{Bytes, Fields, Output, Payload, Text, Value};
use hog_ring::statement;
use hog_ring::statement::{DEFINITION_BYTES_MAX, Definition, DefinitionError, Statement, flags};
use hog_ring::types::{Type, TypeError};
use proptest::prelude::*;

/// The payload of a value, whose length must be what the value says.
fn payload<V: Value + ?Sized>(value: &V) -> Vec<u8> {
    let mut bytes = vec![0xAA; value.encoded_len()];
    let mut out = Output::new(&mut bytes);
    value.encode(&mut out);
    assert_eq!(out.written(), value.encoded_len());
    bytes
}

fn assert_value<V: Value + ?Sized>(value: &V, ty: &Type, bytes: &[u8]) {
    assert_eq!(V::value_type(), *ty);
    assert_eq!(payload(value), bytes);
}

#[test]
fn numbers_are_their_little_endian_bytes() {
    assert_value(&true, &Type::bool(), &[1]);
    assert_value(&200u8, &Type::byte(), &[200]);
    assert_value(&-1i8, &Type::sbyte(), &[255]);
    assert_value(&-2i16, &Type::short(), &[0xfe, 0xff]);
    assert_value(&3u16, &Type::ushort(), &[3, 0]);
    assert_value(&0x0102_0304i32, &Type::int(), &[4, 3, 2, 1]);
    assert_value(&u32::MAX, &Type::uint(), &[255; 4]);
    assert_value(&-5i64, &Type::long(), &(-5i64).to_le_bytes());
    assert_value(&7usize, &Type::ulong(), &7u64.to_le_bytes());
    assert_value(&7i128, &Type::int128(), &7u128.to_le_bytes());
    assert_value(&1.5f32, &Type::float(), &1.5f32.to_le_bytes());
    assert_value(&2.5f64, &Type::double(), &2.5f64.to_le_bytes());
    assert_value(&(), &Type::unit(), &[]);
}

#[test]
fn texts_and_arrays_carry_a_count_and_fixed_arrays_none() {
    let hi = b"\x02\0\0\0\0\0\0\0hi";
    assert_value("hi", &Type::text(), hi);
    assert_value(&String::from("hi"), &Type::text(), hi);
    assert_value(&Text(b"\xff"), &Type::text(), b"\x01\0\0\0\0\0\0\0\xff");
    assert_value(&Bytes(b"hi"), &Type::array(Type::byte()), hi);
    assert_value(b"hi".as_slice(), &Type::array(Type::byte()), hi);
    assert_value(
        &vec![1u16, 2],
        &Type::array(Type::ushort()),
        &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0],
    );
    assert_value(&[1u16, 2], &Type::fixed_array(Type::ushort(), 2), &[1, 0, 2, 0]);
    assert_value(
        &vec![true, false],
        &Type::array(Type::bool()),
        &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    );
    let lists = vec![vec!["a"], vec![]];
    let bytes = b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0a\0\0\0\0\0\0\0\0";
    assert_value(&lists, &Type::array(Type::array(Type::text())), bytes);
}

#[test]
fn tuples_are_packed() {
    let ty = Type::tuple([Type::int(), Type::double(), Type::tuple([Type::bool()])]);
    let bytes = [&2i32.to_le_bytes()[..], &1.0f64.to_le_bytes(), &[1]].concat();
    assert_value(&(2i32, 1.0f64, (true,)), &ty, &bytes);
}

#[test]
fn fields_make_the_type_that_their_number_and_names_ask_for() {
    assert_eq!(<()>::payload_type(&[]), Type::unit());
    assert_eq!(<(i32,)>::payload_type(&[]), Type::int());
    assert_eq!(<(i32,)>::payload_type(&[""]), Type::int());
    assert_eq!(<(i32,)>::payload_type(&["n"]), Type::record([("n", Type::int())]));
    assert_eq!(
        <(i32, &str)>::payload_type(&[]),
        Type::tuple([Type::int(), Type::text()])
    );
    assert_eq!(
        <(i32, &str, bool)>::payload_type(&["", "s", ""]),
        Type::record([("field0", Type::int()), ("s", Type::text()), ("field2", Type::bool())])
    );
    type Twelve = (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8);
    assert_eq!(Twelve::payload_type(&[]), Type::tuple(vec![Type::byte(); 12]));
}

#[test]
#[should_panic(expected = "wrote more than its encoded length")]
fn writing_past_the_end_is_our_own_mistake() {
    Output::new(&mut [0; 3]).put(&[0; 4]);
}

static LOGIN: Statement<(&str, &str)> = statement!("login", "user $user from $host", user, host);
static PLAIN: Statement<(u64,)> = statement!("plain", "$0").flags(flags::LINE | flags::CONTINUED);

#[test]
fn a_definition_says_what_the_statement_said() {
    let definition = Definition::decode(&LOGIN.definition(7).unwrap()).unwrap();
    let expected = Definition {
        id: 7,
        name: "login".into(),
        flags: flags::HLOG,
        format: "user $user from $host".into(),
        file: file!().into(),
        line: definition.line,
        payload_type: Type::record([("user", Type::text()), ("host", Type::text())]),
    };
    assert_eq!(definition, expected);
    assert!(definition.line > 0);
    let plain = Definition::decode(&PLAIN.definition(1).unwrap()).unwrap();
    assert_eq!((plain.flags, plain.payload_type), (0x300, Type::ulong()));
}

#[test]
fn a_static_statement_takes_texts_of_any_lifetime() {
    fn encoded_len_of<F: Fields>(_statement: &Statement<F>, fields: &F) -> usize {
        Payload::encoded_len(fields)
    }
    let user = String::from("ada");
    assert_eq!(encoded_len_of(&LOGIN, &(user.as_str(), "here")), 8 + 3 + 8 + 4);
}

#[test]
fn a_statement_keeps_one_number_of_its_own_whoever_asks_first() {
    static FIRST: Statement<()> = statement!("first", "");
    static SECOND: Statement<()> = statement!("second", "");
    let together = Barrier::new(4);
    let numbers = thread::scope(|scope| {
        let asking = |_| scope.spawn(|| (together.wait(), FIRST.index()).1);
        let threads: Vec<_> = (0..4).map(asking).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(numbers.iter().all(|number| *number == FIRST.index()));
    assert_ne!(FIRST.index(), SECOND.index());
}

#[test]
fn definitions_too_long_or_too_deep_are_refused_where_they_are_made() {
    static LONG: &str = match std::str::from_utf8(&[b'x'; DEFINITION_BYTES_MAX]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let long = Statement::<()>::new("long", LONG);
    assert!(matches!(long.definition(1), Err(DefinitionError::TooLong { .. })));

    type Deep<T> = Vec<Vec<Vec<Vec<Vec<Vec<Vec<Vec<T>>>>>>>>;
    let deep = Statement::<(Deep<Deep<Deep<Deep<Deep<Deep<Deep<Deep<u8>>>>>>>>,)>::new("deep", "");
    let refused = deep.definition(1);
    assert!(
        matches!(
            refused,
            Err(DefinitionError::Type {
                source: TypeError::TooDeep { .. },
                ..
            })
        ),
        "{refused:?}"
    );
}

#[test]
fn damaged_definitions_are_refused() {
    let bytes = LOGIN.definition(1).unwrap();
    for length in 0..bytes.len() {
        assert!(matches!(
            Definition::decode(&bytes[..length]),
            Err(DefinitionError::Truncated { .. })
        ));
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Definition::decode(&longer), Err(DefinitionError::Trailing { found: 1 }));
    assert_eq!(Definition::decode_first(&longer).unwrap().1, bytes.len());
    let mut misspelt = bytes;
    misspelt[8] = 0xff;
    assert_eq!(
        Definition::decode(&misspelt),
        Err(DefinitionError::NotUtf8 { field: "name" })
    );
}

proptest! {
    #[test]
    fn decoding_any_bytes_ends_without_panic(bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..200)) {
        let _ = Definition::decode(&bytes);
    }

    #[test]
    fn slices_encode_as_their_elements_do(numbers: Vec<i32>, texts: Vec<String>) {
        let one_by_one = |elements: Vec<Vec<u8>>| [&(elements.len() as u64).to_le_bytes(), elements.concat().as_slice()].concat();
        prop_assert_eq!(payload(&numbers), one_by_one(numbers.iter().map(payload).collect()));
        prop_assert_eq!(payload(&texts), one_by_one(texts.iter().map(payload).collect()));
    }
}
