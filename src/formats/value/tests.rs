//! Payloads of every type, printed; and bytes that are no payload.

use hog_ring::payload::{Fields, Output, Payload, Value};
use hog_ring::types::Case;
use proptest::prelude::*;

use super::*;

fn json(ty: &Type, payload: &[u8]) -> Result<String, ValueError> {
    let mut out = b"before".to_vec();
    let outcome = to_json(ty, payload, &mut out);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("before").unwrap();
    match outcome {
        Ok(outcome) => {
            assert!(!outcome.invalid_utf8 || text.contains('\u{FFFD}'), "{text}");
            Ok(text.to_owned())
        }
        Err(error) => {
            assert_eq!(text, "", "an error leaves nothing behind");
            Err(error)
        }
    }
}

fn payload<F: Fields>(fields: &F) -> Vec<u8> {
    let mut bytes = vec![0; Payload::encoded_len(fields)];
    Payload::encode(fields, &mut Output::new(&mut bytes));
    bytes
}

/// The JSON text of one value, by way of its payload.
fn json_of<V: Value>(value: V) -> String {
    json(&V::value_type(), &payload(&(value,))).unwrap()
}

fn enumeration() -> Type {
    let case = |name: &str, id| Case {
        name: name.into(),
        id,
        holds: Type::unit(),
    };
    Type::Variant(vec![case("Red", 72), case("Green", 24), case("Minus", u32::MAX)])
}

fn penum(representation: Type) -> Type {
    let body = Box::new(Type::Variable("r".into()));
    let generic = Type::Abstraction {
        parameters: vec!["r".into(), "v".into()],
        body,
    };
    let function = Box::new(Type::alias("penum", generic));
    Type::Application {
        function,
        arguments: vec![representation, enumeration()],
    }
}

#[test]
fn numbers_have_the_sign_that_their_types_say() {
    assert_eq!(json_of(true), "true");
    assert_eq!(json_of(200u8), "200");
    assert_eq!(json_of(-3i32), "-3");
    assert_eq!(json_of(i8::MIN), "-128");
    assert_eq!(json_of(u16::MAX), "65535");
    assert_eq!(json_of(u32::MAX), "4294967295");
    assert_eq!(json_of(u64::MAX), "18446744073709551615");
    assert_eq!(json_of(u128::MAX), "340282366920938463463374607431768211455");
    assert_eq!(json_of([u16::MAX, 1]), "[65535,1]");
    // What the original's programs log has no such name, and neither does everything that has one mean it.
    assert_eq!(json(&Type::short(), &[255; 2]).unwrap(), "-1");
    assert_eq!(json(&Type::alias("uint", Type::short()), &[255; 2]).unwrap(), "-1");
    assert_eq!(json_of(i64::MIN), "-9223372036854775808");
    assert_eq!(json_of(i128::MAX), "170141183460469231731687303715884105727");
    assert_eq!(json_of(()), "null");
}

#[test]
fn floats_have_the_fewest_digits_that_read_back_equal() {
    assert_eq!(json_of(0.1f32), "0.1");
    assert_eq!(json_of(2.0f64), "2.0");
    assert_eq!(json_of(1e300f64), "1e300");
    assert_eq!(json_of(f64::NAN), "null");
    assert_eq!(json_of(f32::INFINITY), "null");
}

#[test]
fn texts_are_strings_and_other_arrays_arrays() {
    assert_eq!(json_of("h\u{e9} \"\\\n\u{1}"), r#""hé \"\\\n\u0001""#);
    assert_eq!(
        json(&Type::fixed_array(Type::char(), 4), b"lit\0").unwrap(),
        r#""lit\u0000""#
    );
    assert_eq!(json(&Type::char(), b"x").unwrap(), r#""x""#);
    assert_eq!(json_of(vec![1u8, 2]), "[1,2]");
    assert_eq!(json_of([true, false]), "[true,false]");
    assert_eq!(json_of(vec![vec!["a"], vec![]]), r#"[["a"],[]]"#);
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_and_reported() {
    let text = [&3u64.to_le_bytes()[..], b"a\xffb"].concat();
    let mut out = Vec::new();
    assert_eq!(
        to_json(&Type::text(), &text, &mut out),
        Ok(Outcome { invalid_utf8: true })
    );
    assert_eq!(out, "\"a\u{FFFD}b\"".as_bytes());
    assert_eq!(
        to_json(&Type::char(), b"x", &mut out),
        Ok(Outcome { invalid_utf8: false })
    );
}

#[test]
fn tuples_are_arrays_and_records_objects() {
    assert_eq!(json_of((1i32, ("x", 2.0f64))), r#"[1,["x",2.0]]"#);
    let ty = <(i32, &str)>::payload_type(&["a", "b\""]);
    assert_eq!(json(&ty, &payload(&(0i32, "x"))).unwrap(), r#"{"a":0,"b\"":"x"}"#);
    assert_eq!(json(&Type::Record(Vec::new()), b"").unwrap(), "{}");
}

#[test]
fn variants_show_their_case() {
    let sum = Type::variant([(".f0", Type::unit()), ("n", Type::int())]);
    assert_eq!(json(&sum, &[0, 0, 0, 0]).unwrap(), r#"{".f0":null}"#);
    assert_eq!(json(&sum, &[1, 0, 0, 0, 9, 0, 0, 0]).unwrap(), r#"{"n":9}"#);
    assert_eq!(
        json(&sum, &[2, 0, 0, 0]),
        Err(ValueError::NoSuchCase {
            offset: 0,
            found: 2,
            cases: 2
        })
    );
    assert_eq!(json(&enumeration(), &24u32.to_le_bytes()).unwrap(), r#""Green""#);
    assert_eq!(json(&enumeration(), &1u32.to_le_bytes()).unwrap(), "1");
}

#[test]
fn packed_enumerations_are_read_by_their_representation() {
    assert_eq!(json(&penum(Type::byte()), &[72]).unwrap(), r#""Red""#);
    assert_eq!(json(&penum(Type::byte()), &[255]).unwrap(), r#""Minus""#);
    assert_eq!(json(&penum(Type::byte()), &[9]).unwrap(), "9");
    assert_eq!(json(&penum(Type::short()), &[24, 0]).unwrap(), r#""Green""#);
    assert_eq!(json(&penum(Type::long()), &[255; 8]).unwrap(), r#""Minus""#);
    assert_eq!(json(&penum(Type::alias("small", Type::byte())), &[72]).unwrap(), "72");
}

#[test]
fn dates_are_rfc_3339_and_other_aliases_what_represents_them() {
    let datetime = Type::alias("datetime", Type::long());
    let at = |micros: i64| json(&datetime, &micros.to_le_bytes()).unwrap();
    assert_eq!(at(1_600_000_000_000_000), r#""2020-09-13T12:26:40.000000Z""#);
    assert_eq!(at(-1), r#""1969-12-31T23:59:59.999999Z""#);
    assert_eq!(at(-62_167_219_200_000_000), r#""0000-01-01T00:00:00.000000Z""#);
    assert_eq!(at(-62_167_219_200_000_001), "-62167219200000001");
    assert_eq!(at(i64::MAX), i64::MAX.to_string());
    assert_eq!(
        json(&Type::alias("timespan", Type::long()), &1500i64.to_le_bytes()).unwrap(),
        "1500"
    );
}

#[test]
fn a_payload_must_be_all_of_a_value_and_nothing_else() {
    assert_eq!(json(&Type::int(), &[0; 5]), Err(ValueError::Trailing { found: 1 }));
    assert_eq!(
        json(&Type::int(), &[0; 3]),
        Err(ValueError::Truncated {
            offset: 0,
            needed: 4,
            found: 3
        })
    );
    let count = u64::MAX.to_le_bytes();
    let cut = |needed| {
        Err(ValueError::Truncated {
            offset: 8,
            needed,
            found: 0,
        })
    };
    assert_eq!(json(&Type::text(), &count), cut(u64::MAX));
    assert_eq!(json(&Type::array(Type::int()), &count), cut(u64::MAX));
    assert_eq!(json(&Type::array(Type::text()), &count), cut(8));
}

#[test]
fn types_without_values_are_refused() {
    assert_eq!(
        json(&Type::primitive("x"), &[]),
        Err(ValueError::UnknownPrimitive { name: "x".into() })
    );
    assert_eq!(
        json(&Type::Variable("x".into()), &[]),
        Err(ValueError::Unbound { name: "x".into() })
    );
    assert_eq!(
        json(&Type::Number(1), &[]),
        Err(ValueError::NotAValue { found: "number" })
    );
}

#[test]
fn values_without_bytes_cannot_be_multiplied() {
    let units = |count: u64| json(&Type::array(Type::unit()), &count.to_le_bytes());
    assert_eq!(units(2).unwrap(), "[null,null]");
    assert!(units(1_000_000).is_ok());
    assert_eq!(units(u64::MAX), Err(ValueError::TooMany { payload: 8 }));
    let nested = (0..8).fold(Type::unit(), |inner, _| Type::fixed_array(inner, u64::MAX));
    assert_eq!(json(&nested, &[]), Err(ValueError::TooMany { payload: 0 }));
}

#[test]
fn a_type_that_applies_itself_ends() {
    let variable = || Type::Variable("x".into());
    let twice = Type::Application {
        function: Box::new(variable()),
        arguments: vec![variable()],
    };
    let itself = Type::Abstraction {
        parameters: vec!["x".into()],
        body: Box::new(twice),
    };
    let endless = Type::Application {
        function: Box::new(itself.clone()),
        arguments: vec![itself],
    };
    assert!(json(&endless, &[]).is_err());

    let pair = Type::Abstraction {
        parameters: vec!["x".into()],
        body: Box::new(Type::tuple([variable(), variable()])),
    };
    let apply = |inner| Type::Application {
        function: Box::new(pair.clone()),
        arguments: vec![inner],
    };
    let doubling = (0..30).fold(Type::unit(), |inner, _| apply(inner));
    assert_eq!(json(&doubling, &[]), Err(ValueError::TooMany { payload: 0 }));
}

fn definition(format: &str, payload_type: Type) -> Definition {
    let (name, file) = (String::from("s"), String::from("s.rs"));
    Definition {
        id: 1,
        name,
        flags: 1,
        format: format.into(),
        file,
        line: 1,
        payload_type,
    }
}

fn text_of<F: Fields>(format: &str, names: &[&str], fields: &F) -> String {
    let mut out = Vec::new();
    format_text(&definition(format, F::payload_type(names)), &payload(fields), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_format_is_filled_by_name_and_by_place() {
    assert_eq!(
        text_of("i is $0 and s is $1", &[], &(1i32, "x\n")),
        "i is 1 and s is x\n"
    );
    assert_eq!(
        text_of("$user's from $host.", &["user", "host"], &("ada", vec!["a"])),
        r#"ada's from ["a"]."#
    );
    assert_eq!(text_of("$1 $px", &["px", ""], &(1.5f64, 2u8)), "2 1.5");
    assert_eq!(text_of("$field1 $0", &["px", ""], &(1.5f64, 2u8)), "2 1.5");
    assert_eq!(text_of("<$0>", &[], &("lone",)), "<lone>");
    assert_eq!(text_of("nothing", &[], &()), "nothing");
}

#[test]
fn a_dollar_sign_that_asks_for_nothing_known_stands_for_itself() {
    assert_eq!(text_of("$$0 $ $x $5 $", &[], &(1i32, 2i32)), "$0 $ $x $5 $");
    assert_eq!(text_of("$0x", &[], &(1i32, 2i32)), "1x");
}

#[test]
fn a_lone_structure_is_its_statements_argument() {
    assert_eq!(text_of("is $0", &["a", "b"], &(1i32, 2i32)), r#"is {"a":1,"b":2}"#);
    assert_eq!(text_of("is $0, $b", &["a", "b"], &(1i32, 2i32)), "is 1, 2");
}

#[test]
fn without_a_format_the_value_is_the_text() {
    assert_eq!(text_of("", &[], &("as it is",)), "as it is");
    assert_eq!(text_of("", &[], &(1i32, "x")), r#"[1,"x"]"#);
}

#[test]
fn texts_in_a_format_keep_their_bytes_and_dates_and_cases_go_unquoted() {
    let ty = Type::tuple([Type::text(), enumeration(), Type::alias("datetime", Type::long())]);
    let bytes = [
        &1u64.to_le_bytes()[..],
        b"\xff",
        &72u32.to_le_bytes(),
        &0u64.to_le_bytes(),
    ]
    .concat();
    let mut out = Vec::new();
    format_text(&definition("$0 $1 $2", ty), &bytes, &mut out).unwrap();
    assert_eq!(out, b"\xff Red 1970-01-01T00:00:00.000000Z");
}

#[test]
fn a_bad_payload_leaves_no_text_behind() {
    let mut out = b"before".to_vec();
    let statement = definition("text $0", Type::tuple([Type::int(), Type::int()]));
    assert_eq!(
        format_text(&statement, &[0; 9], &mut out),
        Err(ValueError::Trailing { found: 1 })
    );
    assert_eq!(out, b"before");
}

#[test]
fn a_text_field_is_found_behind_others() {
    let ty = <(&str, Vec<u16>, i64, &str)>::payload_type(&["source", "n", "t", "text"]);
    let bytes = payload(&("in", vec![1u16, 2], 3i64, "line"));
    assert_eq!(text_field(&ty, &bytes, "text"), Some(b"line".as_slice()));
    assert_eq!(text_field(&ty, &bytes, "source"), Some(b"in".as_slice()));
    assert_eq!(text_field(&ty, &bytes, "t"), None);
    assert_eq!(text_field(&ty, &bytes, "none"), None);
    assert_eq!(text_field(&ty, &bytes[..bytes.len() - 1], "text"), None);
    assert_eq!(text_field(&Type::text(), &bytes, "text"), None);
}

fn read_back(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Types by which any bytes are to be read.
fn types() -> impl Strategy<Value = Type> {
    const PRIMITIVES: [&str; 11] = [
        "unit", "bool", "byte", "char", "short", "int", "long", "int128", "float", "double", "odd",
    ];
    let leaf = prop::sample::select(&PRIMITIVES).prop_map(Type::primitive);
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::array),
            (inner.clone(), 0..4u64).prop_map(|(element, length)| Type::fixed_array(element, length)),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Type::tuple),
            prop::collection::vec(("[a-c]", inner.clone()), 0..3).prop_map(Type::record),
            prop::collection::vec(("[a-c]", inner.clone()), 0..3).prop_map(Type::variant),
            inner.prop_map(penum),
        ]
    })
}

proptest! {
    #[test]
    fn integers_read_back_equal(number: i64, small: i16, byte: u8) {
        let text = json_of((number, small, byte));
        prop_assert_eq!(read_back(&text), serde_json::json!([number, small, byte]));
    }

    #[test]
    fn texts_read_back_equal(texts: Vec<String>) {
        prop_assert_eq!(read_back(&json_of(texts.clone())), serde_json::json!(texts));
    }

    #[test]
    fn floats_read_back_equal(wide: f64, narrow: f32) {
        let text = json_of((wide, narrow));
        let (wide_text, narrow_text) = text[1..text.len() - 1].split_once(',').unwrap();
        prop_assert_eq!(wide_text.parse::<f64>(), Ok(wide));
        prop_assert_eq!(narrow_text.parse::<f32>(), Ok(narrow));
        read_back(&text);
    }

    #[test]
    fn any_bytes_by_any_type_make_json_or_an_error(
        ty in types(),
        bytes in prop::collection::vec(prop_oneof![0..3u8, any::<u8>()], 0..64),
    ) {
        if let Ok(text) = json(&ty, &bytes) {
            read_back(&text);
        }
        let mut out = Vec::new();
        let formatted = format_text(&definition("$0 $1 $a", ty.clone()), &bytes, &mut out);
        prop_assert_eq!(formatted.is_ok(), json(&ty, &bytes).is_ok());
        let _ = text_field(&ty, &bytes, "b");
    }
}
