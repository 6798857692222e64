//! Rust values on the whole way: logged through a ring, read from it as a drainer reads, and printed as `hog cat` prints
//! them.

#![allow(clippy::unwrap_used)]

use hog::formats::value::{format_text, to_json};
use hog_ring::statement::Definition;
use hog_ring::{GroupOptions, Kind, RingReader, Statement, Value, Walk, ring_files, statement};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::json;

/// What JSON and text show of the one record that `log` logs.
fn shown<V: Value>(statement: &Statement<(V,)>, value: V) -> (serde_json::Value, String) {
    let shm = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let options = GroupOptions::new("g").shm_dir(shm.path()).ring_size(64 << 10);
    let group = options.open().unwrap();
    let mut writer = group.writer().unwrap();
    writer.log(statement, (value,)).unwrap();

    let reader = RingReader::open(&ring_files(group.directory()).unwrap()[0]).unwrap();
    let mut bytes = vec![0; usize::try_from(reader.tail(0).unwrap()).unwrap()];
    reader.copy(0, &mut bytes).unwrap();
    let mut definition = None;
    let mut found = Vec::new();
    for item in Walk::new(&bytes) {
        let (_, header, payload) = item.unwrap();
        match header.kind {
            Kind::Stmt => definition = Some(Definition::decode(payload).unwrap()),
            Kind::Record => found.push(payload.to_vec()),
            other => panic!("{other:?}"),
        }
    }
    let definition = definition.unwrap();
    let [payload] = found.try_into().unwrap();
    let (mut value, mut text) = (Vec::new(), Vec::new());
    let outcome = to_json(&definition.payload_type, &payload, &mut value).unwrap();
    assert!(!outcome.invalid_utf8);
    format_text(&definition, &payload, &mut text).unwrap();
    (
        serde_json::from_slice(&value).unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[derive(Clone, Debug, Value, Serialize)]
struct Order {
    id: u64,
    side: Side,
    legs: Vec<Leg>,
    #[serde(serialize_with = "as_sum")]
    limit: Option<f64>,
    change: Change,
}

#[derive(Clone, Copy, Debug, Value, Serialize)]
enum Side {
    Buy = 1,
    Sell = -1,
}

#[derive(Clone, Debug, Value, Serialize)]
struct Leg {
    venue: String,
    range: (i16, u16),
    at: Point,
}

#[derive(Clone, Debug, Value, Serialize)]
struct Point(i32, f32);

#[derive(Clone, Debug, Value, Serialize)]
enum Change {
    #[serde(serialize_with = "as_unit")]
    Nothing,
    Price(f64),
    Both(u8, bool),
    Text {
        from: String,
        to: String,
    },
}

/// A sum's case as an object of one key, which is how sums of the original appear.
fn as_sum<S: serde::Serializer>(option: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match option {
        None => json!({ ".f0": null }).serialize(serializer),
        Some(value) => json!({ ".f1": value }).serialize(serializer),
    }
}

/// `serde` writes a variant that holds nothing as its name, unless it is told otherwise.
fn as_unit<S: serde::Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_unit()
}

static ORDER: Statement<(Order,)> = statement!("order", "$0");
static PLACED: Statement<(Order,)> = statement!("placed", "placed $order", order);

#[test]
fn a_struct_of_structs_enums_and_options_is_printed_as_it_was_logged() {
    let order = Order {
        id: u64::MAX,
        side: Side::Sell,
        legs: vec![Leg {
            venue: "X\"é".into(),
            range: (-1, u16::MAX),
            at: Point(-5, 1.5),
        }],
        limit: None,
        change: Change::Text {
            from: "a".into(),
            to: String::new(),
        },
    };
    let expected = json!({
        "id": u64::MAX,
        "side": "Sell",
        "legs": [{ "venue": "X\"é", "range": [-1, 65535], "at": [-5, 1.5] }],
        "limit": { ".f0": null },
        "change": { "Text": { "from": "a", "to": "" } },
    });
    let (value, text) = shown(&ORDER, order.clone());
    assert_eq!(value, expected);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    let (value, text) = shown(&PLACED, order);
    assert_eq!(value, json!({ "order": expected }));
    assert!(
        text.starts_with(r#"placed {"id":18446744073709551615,"side":"Sell","legs":"#),
        "{text}"
    );
}

#[test]
fn enumerations_and_options_alone_are_read_as_text_too() {
    static SIDE: Statement<(Side,)> = statement!("side", "went $0");
    static MAYBE: Statement<(Option<&str>,)> = statement!("maybe", "got $0");
    assert_eq!(shown(&SIDE, Side::Buy), (json!("Buy"), "went Buy".into()));
    assert_eq!(
        shown(&MAYBE, Some("x")),
        (json!({ ".f1": "x" }), r#"got {".f1":"x"}"#.into())
    );
    assert_eq!(
        shown(&MAYBE, None),
        (json!({ ".f0": null }), r#"got {".f0":null}"#.into())
    );
}

fn orders() -> impl Strategy<Value = Order> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    // Floats with few digits: of longer ones two printers may choose different digits, which `formats::value` tests.
    let finite = || any::<i32>().prop_map(|number| f64::from(number) / 8.0);
    let narrow = any::<i16>().prop_map(|number| f32::from(number) / 4.0);
    let leg = (any::<String>(), any::<(i16, u16)>(), any::<i32>(), narrow).prop_map(|(venue, range, x, y)| Leg {
        venue,
        range,
        at: Point(x, y),
    });
    let change = prop_oneof![
        Just(Change::Nothing),
        finite().prop_map(Change::Price),
        any::<(u8, bool)>().prop_map(|(number, truth)| Change::Both(number, truth)),
        any::<(String, String)>().prop_map(|(from, to)| Change::Text { from, to }),
    ];
    let legs = prop::collection::vec(leg, 0..4);
    (any::<u64>(), side, legs, prop::option::of(finite()), change).prop_map(|(id, side, legs, limit, change)| Order {
        id,
        side,
        legs,
        limit,
        change,
    })
}

proptest! {
    #[test]
    fn whatever_is_logged_is_printed_as_serde_prints_it(order in orders()) {
        let expected = serde_json::to_value(&order).unwrap();
        prop_assert_eq!(shown(&ORDER, order).0, expected);
    }
}
