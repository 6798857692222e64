//! C and C++ programs that log: compiled, linked with the static library, run, and their rings read.
//!
//! cargo puts the static library beside this test's binary, since it is made of the same crate. Where there is no C
//! compiler (`$CC`, `$CXX`, otherwise `cc`, `c++`), the tests say so and pass.

#![allow(clippy::unwrap_used)]

use hog_ring::payload::{Output, Text, Value};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use hog_ring::{Kind, RingReader, Walk, ring_files};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

type Logged = (Definition, Vec<u8>, Option<u64>);

/// A directory for the program and one on tmpfs for its rings.
struct Scene {
    files: TempDir,
    shm: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let shm = tempfile::Builder::new().prefix("hog-test-").tempdir_in("/dev/shm");
        Scene {
            files: tempfile::tempdir().unwrap(),
            shm: shm.unwrap(),
        }
    }

    /// The program made of `source`; `None` if there is no compiler.
    fn compiled(&self, source: &str) -> Option<PathBuf> {
        self.compiled_file(&Path::new(ROOT).join(source))
    }

    fn compiled_file(&self, source: &Path) -> Option<PathBuf> {
        let (variable, default, standard) = match source.extension().unwrap().to_str().unwrap() {
            "c" => ("CC", "cc", "-std=gnu99"),
            _ => ("CXX", "c++", "-std=c++11"),
        };
        let compiler = std::env::var_os(variable).unwrap_or_else(|| OsString::from(default));
        if Command::new(&compiler).arg("--version").output().is_err() {
            eprintln!("nothing compiled: there is no compiler {}", compiler.display());
            return None;
        }
        let library = std::env::current_exe().unwrap().with_file_name("libhog_ring_capi.a");
        let program = self.files.path().join("program");
        let made = Command::new(compiler)
            .args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
            .arg(Path::new(ROOT).join("include"))
            .arg(source)
            .arg(library)
            .args(["-lpthread", "-ldl", "-lm", "-o"])
            .arg(&program)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(program)
    }

    fn rings(&self) -> Vec<PathBuf> {
        ring_files(&hog_ring::group_dir(self.shm.path(), "g")).unwrap()
    }

    /// What is in the only ring: each record's statement, its payload and its time.
    fn logged(&self) -> Vec<Logged> {
        let rings = self.rings();
        assert_eq!(rings.len(), 1, "{rings:?}");
        Self::logged_in(&rings[0])
    }

    fn logged_in(ring: &Path) -> Vec<Logged> {
        let reader = RingReader::open(ring).unwrap();
        let mut bytes = vec![0; usize::try_from(reader.tail(0).unwrap()).unwrap()];
        reader.copy(0, &mut bytes).unwrap();
        let mut definitions = HashMap::new();
        let mut found = Vec::new();
        for item in Walk::new(&bytes) {
            let (_, header, payload) = item.unwrap();
            match header.kind {
                Kind::Stmt => {
                    definitions.insert(header.statement, Definition::decode(payload).unwrap());
                }
                Kind::Record => found.push((definitions[&header.statement].clone(), payload.to_vec(), header.time)),
                Kind::Abort => {}
                other => panic!("{other:?}"),
            }
        }
        found
    }
}

fn succeeded(ended: &Ended) -> String {
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout.clone()).unwrap()
}

fn payload<V: Value>(value: &V) -> Vec<u8> {
    let mut bytes = vec![0; value.encoded_len()];
    value.encode(&mut Output::new(&mut bytes));
    bytes
}

#[test]
fn the_example_in_c_logs_and_goes_on_where_it_stopped() {
    let scene = Scene::new();
    let Some(program) = scene.compiled("examples/log.c") else {
        return;
    };
    let run = || {
        let ended = Command::new(&program).arg("g").arg(scene.shm.path()).output().unwrap();
        succeeded(&ended)
    };
    assert_eq!(run(), "logged 0 to 999\n");
    assert_eq!(run(), "logged 1000 to 1999\n");

    let logged = scene.logged();
    let of = |name: &'static str| logged.iter().filter(move |(definition, ..)| definition.name == name);
    let starts: Vec<_> = of("started").map(|(_, bytes, _)| bytes.clone()).collect();
    let name = Text(program.as_os_str().as_encoded_bytes());
    assert_eq!(starts, [payload(&(name, 0.5, false)), payload(&(name, 0.5, true))]);
    for (name, power) in [("square", 2), ("cube", 3)] {
        let found: Vec<_> = of(name).map(|(_, bytes, _)| bytes.clone()).collect();
        let expected: Vec<_> = (0..2000u64)
            .map(|number| payload(&(number, number.pow(power))))
            .collect();
        assert_eq!(found, expected);
    }
    let (definition, _, time) = of("square").next().unwrap();
    let ty = Type::record([("number", Type::ulong()), ("square", Type::ulong())]);
    assert_eq!(definition.payload_type, ty);
    assert_eq!(definition.format, "the square of $number is $square");
    assert!(definition.file.ends_with("log.c") && definition.line > 0);
    assert!(time.is_some());
}

#[test]
fn the_example_in_cpp_logs_every_kind() {
    let scene = Scene::new();
    let Some(program) = scene.compiled("examples/log.cpp") else {
        return;
    };
    succeeded(&Command::new(program).arg("g").arg(scene.shm.path()).output().unwrap());
    let [(definition, bytes, _)] = scene.logged().try_into().unwrap();
    let types = [
        ("truth", Type::bool()),
        ("i8", Type::sbyte()),
        ("i16", Type::short()),
        ("i32", Type::int()),
        ("i64", Type::long()),
        ("u8", Type::byte()),
        ("u16", Type::ushort()),
        ("u32", Type::uint()),
        ("u64", Type::ulong()),
        ("f32", Type::float()),
        ("f64", Type::double()),
        ("at", Type::datetime()),
        ("text", Type::text()),
        ("bytes", Type::array(Type::byte())),
    ];
    assert_eq!(definition.payload_type, Type::record(types));
    let signed = payload(&(true, -1i8, -2i16, -3i32, -4i64));
    let unsigned = payload(&(u8::MAX, u16::MAX, u32::MAX, u64::MAX));
    let rest = payload(&(
        1.5f32,
        -2.5f64,
        1_600_000_000_000_000i64,
        "twelve \u{e9}",
        [0u8, 255].as_slice(),
    ));
    assert_eq!(bytes, [signed, unsigned, rest].concat());
}

#[test]
fn the_program_in_the_readme_compiles() {
    let scene = Scene::new();
    let readme = std::fs::read_to_string(Path::new(ROOT).join("../../README.md")).unwrap();
    let (_, rest) = readme.split_once("## Logging from C").unwrap();
    let (_, rest) = rest.split_once("```c\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    let source = scene.files.path().join("readme.c");
    std::fs::write(&source, format!("{program}\nint main(void) {{ return serve(); }}\n")).unwrap();
    scene.compiled_file(&source);
}

#[test]
fn threads_share_groups_and_statements_and_hand_writers_over() {
    const THREADS: u64 = 8;
    const RECORDS: u64 = 1000;
    let scene = Scene::new();
    let Some(program) = scene.compiled("tests/threads.c") else {
        return;
    };
    succeeded(&Command::new(program).arg(scene.shm.path()).output().unwrap());
    let mut rings: Vec<Vec<Vec<u8>>> = Vec::new();
    for path in scene.rings() {
        let logged = Scene::logged_in(&path);
        assert!(logged.iter().all(|(definition, ..)| definition.name == "counted"));
        rings.push(logged.into_iter().map(|(_, bytes, _)| bytes).collect());
    }
    // One ring for each thread, with all of its records in order, and one that they took turns at.
    assert_eq!(rings.len() as u64, THREADS + 1);
    for thread in 0..THREADS {
        let own: Vec<_> = (0..RECORDS).map(|number| payload(&(thread, number))).collect();
        assert_eq!(
            rings.iter().filter(|found| **found == own).count(),
            1,
            "thread {thread}"
        );
    }
    let shared = rings
        .iter_mut()
        .find(|found| found.len() as u64 == THREADS * RECORDS)
        .unwrap();
    let mut expected: Vec<_> = (0..THREADS)
        .flat_map(|thread| (0..RECORDS).map(move |number| payload(&(thread, number))))
        .collect();
    shared.sort();
    expected.sort();
    assert_eq!(*shared, expected);
}

#[test]
fn null_and_misuse_are_answered_by_a_status_and_words() {
    let scene = Scene::new();
    let Some(program) = scene.compiled("tests/misuse.c") else {
        return;
    };
    succeeded(&Command::new(program).arg(scene.shm.path()).output().unwrap());
    let logged = scene.logged();
    let expected = [payload(&(7i32, "")), payload(&(10i32, "at"))];
    assert_eq!([&logged[0].1, &logged[1].1], expected.each_ref());
    assert_eq!(logged[1].2, Some(12345));
    // The others filled the ring.
    assert!(logged.len() > 2 && logged[2..].iter().all(|(_, bytes, _)| bytes.len() == 4 + 8 + 1000));
}
