//! How payload types are stored, held against what an original wrote.

use super::*;
use std::collections::BTreeMap;

/// The type of a series of `short` as an original wrote it.
const SERIES_OF_SHORT: &str = "\
    0c00000000000000040000000000000066736571010f0000000200000000000000010000000000000074010000000000000063\
    0c00000000000000070000000000000066696c65726566010f00000001000000000000000100000000000000780000000004000000000000006c6f6e6700\
    01000000000000000d0000000100000000000000780600000002000000000000000300000000000000\
    2e663000000000000000000400000000000000756e697400\
    03000000000000002e66310100000007000000020000000000000003000000000000002e6630ffffffff\
    0c00000000000000070000000000000066696c65726566010f00000001000000000000000100000000000000780000000004000000000000006c6f6e6700\
    01000000000000000c000000000000000600000000000000636172726179010f00000002000000000000000100000000000000740100000000000000\
    630700000002000000000000000500000000000000617661696cffffffff0000000004000000000000006c6f6e6700\
    0600000000000000627566666572ffffffff04000000020000000100000000000000740200000001000000000000006302000000000000000200000001\
    000000000000007402000000010000000000000063\
    03000000000000002e6631ffffffff\
    0c00000000000000070000000000000066696c65726566010f00000001000000000000000100000000000000780000000004000000000000006c6f6e6700\
    01000000000000000200000001000000000000007802000000000000000000000005000000000000007368\
    6f7274000b0000001027000000000000";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn stored(ty: &Type) -> Stored {
    Stored::of(ty).unwrap()
}

/// Size and alignment.
fn extent(ty: &Type) -> (u64, u64) {
    let layout = stored(ty).layout;
    (layout.size, layout.align)
}

fn offsets(ty: &Type) -> Vec<u64> {
    match stored(ty).layout.shape {
        Shape::Record(members) => members.iter().map(|member| member.offset).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_stand_where_a_c_compiler_puts_them() {
    assert_eq!(extent(&Type::unit()), (0, 1));
    assert_eq!(extent(&Type::int128()), (16, 16));
    assert_eq!(extent(&Type::text()), (8, 8));
    assert_eq!(extent(&Type::datetime()), (8, 8));
    let mixed = Type::tuple([
        Type::char(),
        Type::short(),
        Type::int(),
        Type::long(),
        Type::text(),
        Type::bool(),
    ]);
    assert_eq!(offsets(&mixed), [0, 2, 4, 8, 16, 24]);
    assert_eq!(extent(&mixed), (32, 8));
    let wide = Type::tuple([Type::char(), Type::int128()]);
    assert_eq!((offsets(&wide), extent(&wide)), (vec![0, 16], (32, 16)));
    assert_eq!(extent(&Type::fixed_array(wide, 3)), (96, 16));
    let sum = |case| Type::sum([Type::unit(), Type::char(), case]);
    assert_eq!(extent(&sum(Type::char())), (8, 4));
    assert_eq!(extent(&sum(Type::text())), (16, 8));
    assert_eq!(extent(&sum(Type::fixed_array(Type::char(), 5))), (12, 4));
    assert_eq!(extent(&sum(Type::int128())), (32, 16));
}

#[test]
fn what_is_stored_as_it_is_packed_is_known_to_be() {
    let flat = |ty| stored(&ty).layout.is_flat;
    assert!(flat(Type::tuple([Type::int(), Type::int(), Type::double()])));
    assert!(flat(Type::fixed_array(Type::tuple([Type::int(), Type::float()]), 7)));
    assert!(!flat(Type::tuple([Type::int(), Type::double()])), "a gap inside");
    assert!(!flat(Type::tuple([Type::double(), Type::int()])), "a gap behind");
    assert!(!flat(Type::text()));
    assert!(!flat(Type::sum([Type::int()])));
    assert!(flat(Type::variant([("A", Type::unit()), ("B", Type::unit())])));
}

#[test]
fn arrays_become_references_and_offsets_are_written_out_at_any_depth() {
    let inner = Type::record([("s", Type::text()), ("c", Type::char())]);
    let Type::Record(mut fields) = stored(&inner).ty else {
        panic!("no record")
    };
    assert_eq!(fields.remove(0).holds, reference_to(Type::text()));
    let alias = Type::alias("names", Type::array(inner.clone()));
    let expected = Type::alias("names", reference_to(Type::array(stored(&inner).ty)));
    assert_eq!(stored(&alias).ty, expected);
    assert_eq!(stored(&Type::array(Type::text())).ty, {
        reference_to(Type::array(reference_to(Type::text())))
    });
}

#[test]
fn a_case_is_known_by_its_id_unless_ids_repeat() {
    let case = |name: &str, id, holds| Case {
        name: name.to_owned(),
        id,
        holds,
    };
    let ids = |ty: &Type| match stored(ty).layout.shape {
        Shape::Variant { cases, .. } => cases.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let apart = Type::Variant(vec![case("a", 7, Type::int()), case("b", 3, Type::unit())]);
    assert_eq!(ids(&apart), [7, 3]);
    let alike = Type::Variant(vec![case("a", 7, Type::int()), case("b", 7, Type::unit())]);
    assert_eq!(ids(&alike), [0, 1]);
}

#[test]
fn generic_types_are_stored_as_what_they_make_and_packed_enumerations_as_they_are() {
    let pair = Type::Abstraction {
        parameters: vec!["t".to_owned()],
        body: Box::new(Type::tuple([
            Type::Variable("t".to_owned()),
            Type::array(Type::Variable("t".to_owned())),
        ])),
    };
    let applied = Type::Application {
        function: Box::new(Type::alias("twice", pair)),
        arguments: vec![Type::short()],
    };
    assert_eq!(
        stored(&applied),
        stored(&Type::tuple([Type::short(), Type::array(Type::short())]))
    );
    let penum = Type::Application {
        function: Box::new(Type::primitive("penum")),
        arguments: vec![Type::short(), Type::variant([("A", Type::unit())])],
    };
    assert_eq!(stored(&penum).ty, penum);
    assert_eq!(extent(&penum), (2, 2));
}

#[test]
fn what_has_no_values_or_too_long_ones_is_refused() {
    let refused = |ty| Stored::of(&ty).unwrap_err();
    assert!(matches!(
        refused(Type::primitive("float16")),
        StoredError::UnknownPrimitive { .. }
    ));
    assert!(matches!(
        refused(Type::Variable("x".to_owned())),
        StoredError::Unbound { .. }
    ));
    assert!(matches!(refused(Type::Number(1)), StoredError::NotAValue { .. }));
    assert_eq!(refused(Type::fixed_array(Type::long(), u64::MAX)), StoredError::TooLong);
    assert_eq!(extent(&Type::fixed_array(Type::unit(), u64::MAX)), (0, 1));
    // Each of them doubles what the one before it makes: 2^64 constructors in 200 bytes.
    let bomb = (0..64).fold(Type::char(), |inner, _| Type::Application {
        function: Box::new(Type::Abstraction {
            parameters: vec!["t".to_owned()],
            body: Box::new(Type::tuple([
                Type::Variable("t".to_owned()),
                Type::Variable("t".to_owned()),
            ])),
        }),
        arguments: vec![inner],
    });
    assert!(matches!(
        refused(bomb),
        StoredError::TooManyNodes | StoredError::TooDeep
    ));
}

#[test]
fn batches_hold_ten_thousand_records_unless_these_are_very_long() {
    let records = |length| stored(&Type::fixed_array(Type::char(), length)).layout.batch_records();
    assert_eq!([records(0), records(1), records(6000)], [BATCH_RECORDS; 3]);
    assert_eq!((records(64 << 10), records(SLOT_BYTES_MAX)), (1024, 1));
}

#[test]
fn a_series_has_the_type_that_the_original_gives_it() {
    assert_eq!(hex(&series_type(&Type::short(), BATCH_RECORDS)), SERIES_OF_SHORT);
    let pair = stored(&Type::tuple([Type::int(), Type::text()]));
    assert_eq!(series_type(&pair.ty, BATCH_RECORDS).len(), 738);
}

/// The types that a file of the original binds to names. `None`: there is none beside the repository.
fn original_types() -> Option<BTreeMap<String, Vec<u8>>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden/local.log.zst");
    let Ok(packed) = std::fs::read(&path) else {
        eprintln!("nothing compared: {} is missing", path.display());
        return None;
    };
    let file = zstd::decode_all(&packed[..]).unwrap();
    let number = |at: usize| usize::try_from(u64::from_le_bytes(file[at..][..8].try_into().unwrap())).unwrap();
    let pages = file.len() / 4096;
    let entry = |page: usize| usize::from(u16::from_le_bytes(file[8 + 2 * page..][..2].try_into().unwrap()));
    let (mut bindings, mut page) = (BTreeMap::new(), 0);
    while page < pages {
        if entry(page) >> 14 != 2 {
            page += 1;
            continue;
        }
        let mut at = page * 4096;
        loop {
            let name = number(at + 8);
            let ty = number(at + 16 + name);
            let (name_at, type_at) = (at + 16, at + 24 + name);
            let name = String::from_utf8(file[name_at..][..name].to_vec()).unwrap();
            bindings.insert(name, file[type_at..][..ty].to_vec());
            at = type_at + ty;
            page = (at - 1) / 4096;
            if at == (page + 1) * 4096 - (entry(page) & 0x3fff) {
                break;
            }
        }
        page += 1;
    }
    Some(bindings)
}

#[test]
fn all_types_of_a_file_of_the_original_are_made_again_from_what_its_program_declared() {
    use crate::formats::classic::statements::Declaration;
    let Some(bindings) = original_types() else {
        return;
    };
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    let queue = std::fs::read(golden.join("ring.shm")).unwrap();
    let metadata = usize::try_from(u64::from_le_bytes(queue[24..32].try_into().unwrap())).unwrap();
    let declared = Declaration::of_queue(&queue[32..][..metadata]).unwrap();
    let statements: Vec<_> = declared
        .statements
        .all()
        .iter()
        .map(|definition| {
            (
                definition.name.as_str(),
                definition.id,
                stored(&definition.payload_type),
            )
        })
        .collect();
    for (name, _, stored) in &statements {
        assert_eq!(
            hex(&series_type(&stored.ty, BATCH_RECORDS)),
            hex(&bindings[*name]),
            "{name}"
        );
    }
    let log = log_type(statements.iter().map(|(name, id, stored)| (*name, *id, stored)));
    let transactions = series_type(&transactions_type(log), BATCH_RECORDS);
    assert_eq!(hex(&transactions), hex(&bindings["transactions"]));
    let mut encoded = Vec::new();
    statements_type().encode(&mut encoded);
    assert_eq!(hex(&encoded), hex(&bindings["statements"]));
    assert_eq!(
        statements.len() + 3,
        bindings.len(),
        "but for .za, transactions and statements"
    );
}
