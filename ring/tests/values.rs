//! Structs, enums, options and pointers as values: the types that readers are told, and the bytes.

#![cfg(feature = "derive")]
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use hog_ring::Value;
use hog_ring::payload::Output;
use hog_ring::types::{Case, Type};

fn payload<V: Value + ?Sized>(value: &V) -> Vec<u8> {
    let mut bytes = vec![0xAA; value.encoded_len()];
    let mut out = Output::new(&mut bytes);
    value.encode(&mut out);
    assert_eq!(out.written(), value.encoded_len());
    bytes
}

/// How deep a type is, counted.
fn depth(ty: &Type) -> usize {
    let inner = match ty {
        Type::Primitive { representation, .. } => representation.as_deref().map_or(0, depth),
        Type::FixedArray { element, .. } | Type::Array(element) => depth(element),
        Type::Variant(cases) => cases.iter().map(|case| depth(&case.holds)).max().unwrap(),
        Type::Record(fields) => fields.iter().map(|field| depth(&field.holds)).max().unwrap(),
        other => panic!("no value has the type {other:?}"),
    };
    1 + inner
}

fn assert_value<V: Value + ?Sized>(value: &V, ty: &Type, bytes: &[&[u8]]) {
    assert_eq!(V::value_type(), *ty);
    assert_eq!(V::DEPTH, depth(ty));
    assert_eq!(payload(value), bytes.concat());
}

/// A text as it is encoded.
fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

#[derive(Value)]
struct Order<'a> {
    id: u64,
    r#type: Side,
    symbol: &'a str,
    legs: Vec<Leg<i16>>,
    both: [Leg<f64>; 2],
    note: Option<String>,
}

#[derive(Clone, Copy, Value)]
enum Side {
    Buy,
    Sell,
}

#[derive(Value)]
struct Leg<T> {
    price: T,
    open: bool,
}

#[test]
fn a_struct_is_a_record_of_its_fields() {
    let side = Type::variant([("Buy", Type::unit()), ("Sell", Type::unit())]);
    let leg = |price| Type::record([("price", price), ("open", Type::bool())]);
    let ty = Type::record([
        ("id", Type::ulong()),
        ("type", side),
        ("symbol", Type::text()),
        ("legs", Type::array(leg(Type::short()))),
        ("both", Type::fixed_array(leg(Type::double()), 2)),
        ("note", Type::sum([Type::unit(), Type::text()])),
    ]);
    let order = Order {
        id: 7,
        r#type: Side::Sell,
        symbol: "HOG",
        legs: vec![Leg { price: -2, open: true }],
        both: [1.5, 2.5].map(|price| Leg { price, open: false }),
        note: Some("n".into()),
    };
    let mut parts = vec![7u64.to_le_bytes().to_vec(), vec![1, 0, 0, 0], text("HOG")];
    parts.push(vec![1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 1]);
    parts.extend([1.5f64, 2.5].map(|price| [&price.to_le_bytes()[..], &[0]].concat()));
    parts.extend([vec![1, 0, 0, 0], text("n")]);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert_value(&order, &ty, &parts);
}

#[test]
fn structs_without_names_are_tuples_and_those_of_one_field_that_field() {
    #[derive(Value)]
    struct Point(i32, i32);
    #[derive(Value)]
    struct Id(u32);
    #[derive(Value)]
    struct Tag<'a, T: ?Sized>(&'a T);
    #[derive(Value)]
    struct Nothing;
    #[derive(Value)]
    struct Empty {}
    assert_value(
        &Point(1, 2),
        &Type::tuple([Type::int(), Type::int()]),
        &[&[1, 0, 0, 0, 2, 0, 0, 0]],
    );
    assert_value(&Id(3), &Type::uint(), &[&[3, 0, 0, 0]]);
    assert_value(&Tag("t"), &Type::text(), &[&text("t")]);
    assert_value(&Nothing, &Type::unit(), &[]);
    assert_value(&Empty {}, &Type::unit(), &[]);
}

#[test]
fn an_enum_of_names_has_the_numbers_that_rust_gives_it() {
    #[derive(Value)]
    #[repr(i64)]
    #[allow(dead_code)]
    enum Color {
        Red = 72,
        Green,
        Blue = -1,
    }
    let case = |name: &str, id| Case {
        name: name.into(),
        id,
        holds: Type::unit(),
    };
    let ty = Type::Variant(vec![case("Red", 72), case("Green", 73), case("Blue", u32::MAX)]);
    assert_value(&Color::Green, &ty, &[&[73, 0, 0, 0]]);
    assert_value(&Color::Blue, &ty, &[&[255; 4]]);
}

#[test]
fn an_enum_that_holds_something_has_the_place_of_its_variant() {
    #[derive(Value)]
    enum Event<'a, T> {
        Started,
        Said(&'a str),
        Moved(i16, T),
        Failed { code: u8, cause: Option<Box<T>> },
    }
    let ty = Type::variant([
        ("Started", Type::unit()),
        ("Said", Type::text()),
        ("Moved", Type::tuple([Type::short(), Type::float()])),
        (
            "Failed",
            Type::record([
                ("code", Type::byte()),
                ("cause", Type::sum([Type::unit(), Type::float()])),
            ]),
        ),
    ]);
    let one = 1f32.to_le_bytes();
    assert_value(&Event::<f32>::Started, &ty, &[&[0, 0, 0, 0]]);
    assert_value(&Event::<f32>::Said("s"), &ty, &[&[1, 0, 0, 0], &text("s")]);
    assert_value(&Event::Moved(-1, 1f32), &ty, &[&[2, 0, 0, 0], &[255, 255], &one]);
    let failed = Event::Failed {
        code: 9,
        cause: Some(Box::new(1f32)),
    };
    assert_value(&failed, &ty, &[&[3, 0, 0, 0], &[9], &[1, 0, 0, 0], &one]);
}

#[test]
fn an_option_is_a_sum_of_unit_and_its_value() {
    let ty = Type::sum([Type::unit(), Type::long()]);
    assert_value(&None::<i64>, &ty, &[&[0, 0, 0, 0]]);
    assert_value(&Some(9i64), &ty, &[&[1, 0, 0, 0], &9i64.to_le_bytes()]);
    let nested = Type::sum([Type::unit(), Type::sum([Type::unit(), Type::byte()])]);
    assert_value(&Some(Some(9u8)), &nested, &[&[1, 0, 0, 0], &[1, 0, 0, 0], &[9]]);
    assert_value(&Some(None::<u8>), &nested, &[&[1, 0, 0, 0], &[0, 0, 0, 0]]);
    assert_value(
        &[None, Some("a")],
        &Type::fixed_array(Type::sum([Type::unit(), Type::text()]), 2),
        &[&[0, 0, 0, 0], &[1, 0, 0, 0], &text("a")],
    );
}

#[test]
fn pointers_are_what_they_point_at() {
    let expected = text("p");
    assert_value(&Box::<str>::from("p"), &Type::text(), &[&expected]);
    assert_value(&Rc::<str>::from("p"), &Type::text(), &[&expected]);
    assert_value(&Arc::new(String::from("p")), &Type::text(), &[&expected]);
    assert_value(&Cow::Borrowed("p"), &Type::text(), &[&expected]);
    assert_value(&&mut 1i32, &Type::int(), &[&[1, 0, 0, 0]]);
}

#[test]
fn generic_structs_know_their_own_parameters() {
    #[derive(Value)]
    struct Pair<const N: usize, K, V>
    where
        K: Clone,
    {
        keys: [K; N],
        value: V,
    }
    let ty = Type::record([("keys", Type::fixed_array(Type::byte(), 3)), ("value", Type::text())]);
    let pair = Pair {
        keys: [1u8, 2, 3],
        value: "v",
    };
    assert_value(&pair, &ty, &[&[1, 2, 3], &text("v")]);
}
