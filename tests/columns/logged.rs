//! An archive with records of every type that can be logged, made by producers in this process and a `hog local`.

use crate::scene::{GROUP, Scene, words_of};
use hog_ring::payload::Packed;
use hog_ring::statement::{Definition, flags};
use hog_ring::types::{Case, Type};
use hog_ring::{GroupOptions, RuntimeStatement, Writer};
use std::path::PathBuf;

/// What is logged of one kind: its type, and one whose values look the same and which has no variables.
struct Kind {
    name: &'static str,
    ty: Type,
    plain: Type,
}

fn kind(name: &'static str, ty: Type) -> Kind {
    let plain = ty.clone();
    Kind { name, ty, plain }
}

fn colours() -> Type {
    let case = |(name, id): (&str, u32)| Case {
        name: name.into(),
        id,
        holds: Type::unit(),
    };
    Type::Variant([("Red", 1), ("Blue é", u32::MAX), ("", 7)].map(case).into())
}

/// A type of every kind, and some of kinds within kinds.
fn kinds() -> Vec<Kind> {
    let point = || Type::record([("x", Type::int()), ("y", Type::float())]);
    let choice = || {
        Type::variant([
            ("none", Type::unit()),
            ("tag", Type::array(Type::text())),
            ("TAG", point()),
        ])
    };
    let generic = Type::Abstraction {
        parameters: vec!["a".into()],
        body: Box::new(Type::record([
            ("one", Type::Variable("a".into())),
            ("many", Type::array(Type::Variable("a".into()))),
        ])),
    };
    let applied = |function: Type, arguments: Vec<Type>| Type::Application {
        function: Box::new(function),
        arguments,
    };
    let mut kinds = vec![
        kind("unit", Type::unit()),
        kind("bool", Type::bool()),
        kind("byte", Type::byte()),
        kind("sbyte", Type::sbyte()),
        kind("char", Type::char()),
        kind("short", Type::short()),
        kind("ushort", Type::ushort()),
        kind("int", Type::int()),
        kind("uint", Type::uint()),
        kind("long", Type::long()),
        kind("ulong", Type::ulong()),
        kind("int128", Type::int128()),
        kind("uint128", Type::uint128()),
        kind("float", Type::float()),
        kind("double", Type::double()),
        kind("datetime", Type::datetime()),
        kind("timespan", Type::alias("timespan", Type::long())),
        kind("alias", Type::alias("order", Type::alias("inner", point()))),
        kind("text", Type::text()),
        kind("fixed text", Type::fixed_array(Type::char(), 3)),
        kind("bytes", Type::array(Type::byte())),
        kind("fixed bytes", Type::fixed_array(Type::byte(), 4)),
        kind("list", Type::array(Type::int())),
        kind("lists", Type::array(Type::array(Type::datetime()))),
        kind("fixed list", Type::fixed_array(Type::double(), 3)),
        kind("fixed lists", Type::fixed_array(Type::array(Type::text()), 2)),
        kind("no list", Type::fixed_array(Type::int(), 0)),
        kind("long list", Type::fixed_array(Type::int128(), 1_100)),
        kind("units", Type::array(Type::unit())),
        kind("record", point()),
        kind("empty", Type::Record(Vec::new())),
        kind(
            "tuple",
            Type::tuple([Type::int(), Type::tuple([Type::text(), Type::bool()])]),
        ),
        kind("enumeration", colours()),
        kind(
            "enumerations",
            Type::record([("all", Type::array(colours())), ("one", colours())]),
        ),
        kind("maybe", Type::sum([Type::unit(), Type::text()])),
        kind("choice", choice()),
        kind(
            "choices/of = many",
            Type::tuple([Type::array(choice()), Type::fixed_array(choice(), 2)]),
        ),
        kind(
            "clash",
            Type::record([
                ("time", Type::text()),
                ("Position", Type::int()),
                ("TIME", Type::datetime()),
                ("bytes", Type::unit()),
                ("", Type::bool()),
            ]),
        ),
    ];
    kinds.push(Kind {
        name: "generic",
        ty: applied(generic, vec![colours()]),
        plain: Type::record([("one", colours()), ("many", Type::array(colours()))]),
    });
    kinds.push(Kind {
        name: "packed enumeration",
        ty: applied(Type::primitive("penum"), vec![Type::byte(), colours()]),
        plain: Type::byte(),
    });
    // Beyond what is taken apart: its payloads stay as they are.
    let forty = |ty: Type| Type::tuple(vec![ty; 40]);
    let fortyfold = Type::Abstraction {
        parameters: vec!["a".into()],
        body: Box::new(forty(Type::Variable("a".into()))),
    };
    kinds.push(Kind {
        name: "wide",
        ty: applied(fortyfold, vec![forty(Type::int())]),
        plain: forty(forty(Type::int())),
    });
    kinds
}

/// Appends a value of `ty`, a type without variables, drawn from the test's chance.
fn value(ty: &Type, chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    match ty {
        Type::Primitive {
            representation: Some(represented),
            ..
        } => value(represented, chance, out),
        Type::Primitive { name, .. } => number(name, chance, out),
        Type::Array(element) => {
            let count = chance.usize(..4);
            out.extend((count as u64).to_le_bytes());
            elements(element, count, chance, out);
        }
        Type::FixedArray { element, length } => elements(element, usize::try_from(*length).unwrap(), chance, out),
        Type::Variant(cases) if cases.iter().all(|case| case.holds.is_primitive("unit")) => {
            let id = chance.choice(cases).unwrap().id;
            let id = if chance.u8(..8) == 0 { chance.u32(..) } else { id };
            out.extend(id.to_le_bytes());
        }
        Type::Variant(cases) => {
            let case = chance.usize(..cases.len());
            out.extend(u32::try_from(case).unwrap().to_le_bytes());
            value(&cases[case].holds, chance, out);
        }
        Type::Record(fields) => fields.iter().for_each(|field| value(&field.holds, chance, out)),
        _ => panic!("{ty:?} has no values of its own"),
    }
}

fn elements(element: &Type, count: usize, chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    if element.is_primitive("char") && chance.u8(..4) > 0 {
        out.extend(b"x\"\n"[..].iter().cycle().take(count));
        return;
    }
    (0..count).for_each(|_| value(element, chance, out));
}

fn number(name: &str, chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let width = match name {
        "unit" => 0,
        "bool" | "byte" | "char" => 1,
        "short" => 2,
        "int" | "float" => 4,
        "long" | "double" => 8,
        _ => 16,
    };
    let bytes: Vec<u8> = match chance.u8(..4) {
        0 => vec![0; width],
        1 => vec![0xff; width],
        2 => (0..width).map(|at| if at == 0 { 65 } else { 0 }).collect(),
        _ => (0..width).map(|_| chance.u8(..)).collect(),
    };
    out.extend(bytes);
}

fn statement(name: &str, flags: u64, ty: Type) -> RuntimeStatement {
    let definition = Definition {
        id: 0,
        name: name.to_owned(),
        flags,
        format: String::new(),
        file: "logged.rs".to_owned(),
        line: 1,
        payload_type: ty,
    };
    RuntimeStatement::new(definition).unwrap()
}

/// A producer of the scene.
pub(crate) fn writer(scene: &Scene) -> Writer {
    let options = GroupOptions::new(GROUP).shm_dir(scene.shm_dir()).ring_size(1 << 20);
    options.open().unwrap().writer().unwrap()
}

/// Logs some records of every kind, some of them in transactions, without times, or in fragments.
pub(crate) fn log_every_kind(scene: &Scene) {
    let mut writer = writer(scene);
    for Kind { name, ty, plain } in kinds() {
        let statement = statement(name, flags::HLOG, ty);
        let payload = || {
            let mut payload = Vec::new();
            scene.draw(|chance| value(&plain, chance, &mut payload));
            payload
        };
        for _ in 0..6 {
            writer.log_payload(&statement, &Packed(&payload())).unwrap();
        }
        writer.log_payload_at(None, &statement, &Packed(&payload())).unwrap();
        let mut transaction = writer.transaction();
        transaction.log_payload(&statement, &Packed(&payload())).unwrap();
        transaction.log_payload(&statement, &Packed(&payload())).unwrap();
        transaction.commit().unwrap();
    }
    // Of one name with another, and a payload that is none; lines, whole and not; one in fragments.
    let other = statement("int", flags::HLOG, Type::text());
    writer.log_payload(&other, &Packed(&text(b"another int"))).unwrap();
    writer.log_payload(&other, &Packed(b"none")).unwrap();
    let line = Type::record([("source", Type::text()), ("text", Type::text())]);
    for more in [0, flags::CONTINUED, 0] {
        let line = statement("line", flags::LINE | more, line.clone());
        let payload = [text(b"a file"), text(b"not \xff UTF-8")].concat();
        writer.log_payload(&line, &Packed(&payload)).unwrap();
    }
    let long = statement("long text", flags::HLOG, Type::text());
    writer.log_payload(&long, &Packed(&text(&vec![b'a'; 300_000]))).unwrap();
}

/// The payload of a text.
pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// Logs what the original logged in its captures, if they are beside the repository.
pub(crate) fn log_golden(scene: &Scene) {
    use hog::formats::classic::{
        inflate::Inflate, records::Records, segment::next_transaction, statements::Declaration,
    };
    use hog::formats::value::Lengths;
    use std::io::Read;

    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden/classic-sender.bin");
    let Ok(sent) = std::fs::read(&path) else {
        println!("without records of the original: {} is missing", path.display());
        return;
    };
    let mut rest = &sent[..];
    let mut parts = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
        parts.push(&behind[..length]);
        rest = &behind[length..];
    }
    let mut init = Vec::new();
    Inflate::new(parts[1]).unwrap().read_to_end(&mut init).unwrap();
    let declared = Declaration::of_init(&init).unwrap();
    let definitions = declared.statements.all().iter();
    let statements: Vec<_> = definitions
        .map(|definition| RuntimeStatement::new(definition.clone()).unwrap())
        .collect();
    let (mut segment, mut writer) = (Inflate::new(parts[2]).unwrap(), writer(scene));
    let (mut bytes, mut lengths) = (Vec::new(), Lengths::default());
    while next_transaction(&mut segment, &mut bytes).unwrap() {
        let mut transaction = writer.transaction();
        for record in Records::new(&declared.statements, &mut lengths, &bytes) {
            let record = record.unwrap();
            transaction
                .log_payload(&statements[record.place], &Packed(record.payload))
                .unwrap();
        }
        transaction.commit().unwrap();
    }
}

/// Logs three statements, from two producers.
pub(crate) fn log_some(scene: &Scene) {
    let statements = ["one", "two", "three"].map(|name| statement(name, flags::HLOG, Type::text()));
    for producer in 0..2 {
        let mut writer = writer(scene);
        for number in 0..40 {
            let payload = text(format!("{producer}.{number}").as_bytes());
            let place = scene.draw(|chance| chance.usize(..3));
            writer.log_payload(&statements[place], &Packed(&payload)).unwrap();
        }
    }
}

/// Drains what was logged into an archive.
pub(crate) fn drain(scene: &Scene) -> PathBuf {
    let arguments = scene.local_arguments(&[GROUP], "local", &["--drain-and-exit", "--sync", "10ms"]);
    let finished = scene.run("local", &words_of(&arguments));
    assert_eq!(finished.code, Some(0), "{}", finished.words);
    scene.archive("local")
}
