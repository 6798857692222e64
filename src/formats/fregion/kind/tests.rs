//! Types as files have them, read back to what they were made of.

use super::*;
use crate::formats::fregion::stored::{Stored, log_type, series_type, statements_type, transactions_type};

fn types() -> Vec<Type> {
    let pair = || Type::record([("a", Type::char()), ("b", Type::int128()), ("c", Type::text())]);
    vec![
        Type::unit(),
        Type::datetime(),
        Type::text(),
        Type::array(Type::array(pair())),
        Type::fixed_array(pair(), 3),
        Type::tuple([
            Type::bool(),
            Type::short(),
            Type::variant([("x", Type::unit()), ("y", pair())]),
        ]),
        Type::variant([("red", Type::unit()), ("blue", Type::unit())]),
    ]
}

fn encoded(ty: &Type) -> Vec<u8> {
    let mut bytes = Vec::new();
    ty.encode(&mut bytes);
    bytes
}

/// The type of a payload says nothing of offsets; that of what is stored does.
fn stored_again(payload: &Type) -> Stored {
    Stored::of(payload).unwrap()
}

#[test]
fn what_is_written_of_a_type_is_read_back_as_the_same_type_and_layout() {
    for payload in types() {
        let stored = Stored::of(&payload).unwrap();
        let found = kind(&encoded(&stored.ty)).unwrap();
        assert_eq!(
            (found.layout.size, found.layout.align),
            (stored.layout.size, stored.layout.align)
        );
        // What is read has the offsets of the file in its fields, which mean nothing; stored again it is the same.
        assert_eq!(stored_again(&found.payload), stored, "{payload:?}");
    }
}

#[test]
fn series_and_what_orders_them_are_read_back_as_they_are_written() {
    let stored: Vec<Stored> = types().iter().map(stored_again).collect();
    let statements = || {
        stored
            .iter()
            .enumerate()
            .map(|(id, stored)| ("s", u32::try_from(id).unwrap() + 3, stored))
    };
    let series = series_type(&log_type(statements()), 10_000);
    let Bound::Series {
        element,
        records: 10_000,
    } = bound(&series).unwrap()
    else {
        panic!("no series")
    };
    let found = log(element).unwrap();
    assert_eq!(found.statements.len(), stored.len());
    assert!(
        found
            .statements
            .iter()
            .all(|statement| statement.name == "s" && statement.kind.is_ok())
    );
    assert_eq!(found.statements[2].id, 5);
    let found = transactions(&encoded(&transactions_type(log_type(statements())))).unwrap();
    assert_eq!((found.time_at, found.entries_at, found.size), (0, 8, 16));
    assert_eq!(found.entries.statements.len(), stored.len());
    let words = encoded(&statements_type());
    let Bound::Array(row) = bound(&words).unwrap() else {
        panic!("no array")
    };
    assert_eq!(kind(row).unwrap().layout.size, 40);
}

#[test]
fn a_type_that_is_too_deep_or_is_not_stored_is_refused() {
    let mut deep = encoded(&Type::int());
    for _ in 0..DEPTH_MAX {
        let mut next = Vec::new();
        next.extend(12_u32.to_le_bytes());
        next.extend(encoded(&Type::primitive("fileref")));
        next.extend(1_u64.to_le_bytes());
        next.extend(&deep);
        deep = next;
    }
    assert_eq!(kind(&deep), Err(KindError::TooDeep));
    assert!(matches!(
        kind(&encoded(&Type::text())),
        Err(KindError::Unsupported { .. })
    ));
    assert!(matches!(
        kind(&encoded(&Type::primitive("quux"))),
        Err(KindError::Unsupported { .. })
    ));
    for cut in 0..deep.len().min(500) {
        assert!(kind(&deep[..cut]).is_err());
    }
}
