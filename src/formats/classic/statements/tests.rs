//! Declarations written here, and every way to spoil them.

use super::*;
use hog_ring::types::Type;

fn definition(id: u32, name: &str, payload_type: Type) -> Definition {
    Definition {
        id,
        name: name.to_owned(),
        flags: 1,
        format: "i is $0".to_owned(),
        file: "prod.cpp".to_owned(),
        line: 18,
        payload_type,
    }
}

fn declaration() -> Declaration {
    let list = vec![
        definition(7, "alpha", Type::tuple([Type::int(), Type::text()])),
        definition(0, "../../etc/passwd", Type::unit()),
        definition(1, "case \"$\" of\n", Type::double()),
        definition(u32::MAX, "", Type::text()),
    ];
    Declaration {
        quality: Quality::Unreliable,
        commit: Commit::Manual,
        statements: Statements::new(list).unwrap(),
    }
}

fn queue(declaration: &Declaration) -> Vec<u8> {
    let mut bytes = Vec::new();
    declaration.encode_queue(&mut bytes);
    bytes
}

fn init(declaration: &Declaration) -> Vec<u8> {
    let mut bytes = Vec::new();
    declaration.encode_init(&mut bytes);
    bytes
}

#[test]
fn what_was_declared_is_read_from_both_heads() {
    let declared = declaration();
    assert_eq!(Declaration::of_queue(&queue(&declared)), Ok(declared.clone()));
    assert_eq!(Declaration::of_init(&init(&declared)), Ok(declared));
}

/// The bytes of the formats' own example, in a queue and on the wire.
#[test]
fn heads_and_statements_have_the_bytes_that_the_original_gives_them() {
    let statement = b"\x05\0\0\0\0\0\0\0alpha\x01\0\0\0\0\0\0\0\x13\0\0\0\0\0\0\0i is $0 and s is $1\
        \x08\0\0\0\0\0\0\0prod.cpp\x12\0\0\0\x01\0\0\0\x4f\0\0\0\0\0\0\0\x07\0\0\0\x02\0\0\0\0\0\0\0\
        \x03\0\0\0\0\0\0\0.f0\xff\xff\xff\xff\0\0\0\0\x03\0\0\0\0\0\0\0int\0\
        \x03\0\0\0\0\0\0\0.f1\xff\xff\xff\xff\x05\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0char\0";
    let queue = [&b"\0\0\x02\0\0\0\0\0\x01\0\0\0\x01\0\0\0"[..], statement].concat();
    let init = [&b"\0\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0"[..], statement].concat();
    let declared = Declaration::of_queue(&queue).unwrap();
    assert_eq!((declared.quality, declared.commit), (Quality::Reliable, Commit::Manual));
    let [alpha] = declared.statements.all() else { panic!() };
    assert_eq!((alpha.name.as_str(), alpha.id, alpha.flags), ("alpha", 1, 1));
    assert_eq!(alpha.payload_type, Type::tuple([Type::int(), Type::text()]));
    assert_eq!(Declaration::of_init(&init), Ok(declared.clone()));
    let mut again = Vec::new();
    declared.encode_queue(&mut again);
    assert_eq!(again, queue);
}

#[test]
fn statements_are_found_by_the_ids_of_their_program() {
    let statements = declaration().statements;
    let name = |id| {
        statements
            .find(id)
            .map(|(place, found)| (place, found.name.as_str().to_owned()))
    };
    assert_eq!(name(7), Some((0, "alpha".to_owned())));
    assert_eq!(name(0), Some((1, "../../etc/passwd".to_owned())));
    assert_eq!(name(1), Some((2, "case \"$\" of\n".to_owned())));
    assert_eq!(name(u32::MAX), Some((3, String::new())));
    assert_eq!((name(2), name(3), name(u32::MAX - 1)), (None, None, None));
}

#[test]
fn a_queue_without_statements_has_no_metadata() {
    let declared = Declaration::of_queue(&[]).unwrap();
    assert_eq!(
        (declared.statements.all(), declared.statements.find(0)),
        (&[][..], None)
    );
    assert!(Declaration::of_init(&[]).is_err());
}

#[test]
fn a_declaration_that_is_cut_or_goes_on_is_refused() {
    let declared = declaration();
    for (bytes, read) in [
        (queue(&declared), Declaration::of_queue as fn(&[u8]) -> _),
        (init(&declared), Declaration::of_init),
    ] {
        for end in 1..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(read(&longer), Err(DeclarationError::Trailing { found: 1 }));
    }
}

#[test]
fn no_flipped_bit_is_read_as_the_same_or_panics() {
    let declared = declaration();
    let bytes = queue(&declared);
    for bit in 0..8 * bytes.len() {
        let mut spoilt = bytes.clone();
        spoilt[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(Declaration::of_queue(&spoilt), Ok(declared.clone()), "{bit}");
    }
}

#[test]
fn versions_choices_and_counts_that_there_are_not_are_refused() {
    let bytes = queue(&declaration());
    let with = |offset: usize, number: u32| {
        let mut spoilt = bytes.clone();
        spoilt[offset..][..4].copy_from_slice(&number.to_le_bytes());
        Declaration::of_queue(&spoilt).unwrap_err()
    };
    assert_eq!(with(0, 0x30000), DeclarationError::Version { found: 0x30000 });
    let (what, found) = ("deal with a full queue", u32::MAX);
    assert_eq!(with(4, u32::MAX), DeclarationError::Choice { what, found });
    let (what, found) = ("commit", 2);
    assert_eq!(with(8, 2), DeclarationError::Choice { what, found });
    let bytes = bytes.len() - 16;
    let found = u64::from(u32::MAX);
    assert_eq!(with(12, u32::MAX), DeclarationError::Count { found, bytes });
    let mut init = init(&declaration());
    init[8..16].fill(0xff);
    let (found, bytes) = (u64::MAX, init.len() - 16);
    assert_eq!(
        Declaration::of_init(&init),
        Err(DeclarationError::Count { found, bytes })
    );
}

#[test]
fn two_statements_with_one_id_are_refused() {
    let list = vec![definition(3, "a", Type::unit()), definition(3, "b", Type::unit())];
    let (id, first, second) = (3, "a".to_owned(), "b".to_owned());
    assert_eq!(
        Statements::new(list),
        Err(DeclarationError::SameId { id, first, second })
    );
}

#[test]
fn more_than_a_ring_may_define_is_refused() {
    let long = "n".repeat(DEFINITION_MAX - 200);
    let list: Vec<_> = (0..).map(|id| definition(id, &long, Type::unit())).take(70).collect();
    assert!(matches!(
        Statements::new(list.clone()),
        Err(DeclarationError::TooMany { .. })
    ));
    let mut bytes = b"\0\0\x02\0\0\0\0\0\0\0\0\0\x46\0\0\0".to_vec();
    list.iter().for_each(|definition| definition.encode(&mut bytes));
    assert!(matches!(
        Declaration::of_queue(&bytes),
        Err(DeclarationError::TooMany { .. })
    ));
    let longer = vec![definition(0, &"n".repeat(DEFINITION_MAX), Type::unit())];
    assert!(matches!(
        Statements::new(longer),
        Err(DeclarationError::Statement { place: 0, .. })
    ));
}

#[test]
fn text_of_an_unknown_encoding_is_read_all_the_same() {
    let mut bytes = queue(&declaration());
    let place = bytes.windows(5).position(|part| part == b"alpha").unwrap();
    bytes[place] = 0xe4;
    let declared = Declaration::of_queue(&bytes).unwrap();
    assert_eq!(declared.statements.all()[0].name, "\u{fffd}lpha");
    // Three bytes for one: what was short enough when it was read may not be any more.
    let mut long = definition(0, &"n".repeat(DEFINITION_MAX / 2), Type::unit());
    long.format.clear();
    let mut encoded = b"\0\0\x02\0\0\0\0\0\0\0\0\0\x01\0\0\0".to_vec();
    long.encode(&mut encoded);
    for byte in &mut encoded {
        if *byte == b'n' {
            *byte = 0xff;
        }
    }
    assert!(matches!(
        Declaration::of_queue(&encoded),
        Err(DeclarationError::Statement { place: 0, .. })
    ));
}

#[test]
fn a_type_that_is_too_deep_is_refused() {
    let deep = (0..100).fold(Type::int(), |inner, _| Type::array(inner));
    let mut bytes = b"\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    definition(0, "deep", deep).encode(&mut bytes);
    assert!(matches!(
        Declaration::of_init(&bytes),
        Err(DeclarationError::Statement { place: 0, .. })
    ));
}
