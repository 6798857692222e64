//! Exports of small logs, in this process, and of values of any type.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // small numbers

use super::file::LogFile;
use super::*;
use crate::formats::fregion::check::{File, Found};
use crate::formats::fregion::fresh::{OWN_PAGE_BYTES, OwnPage, fresh};
use crate::formats::fregion::state::STATE_AT;
use crate::modes::archive_reader;
use crate::modes::archive_reader::fixture::{Fixture, definition, fragment, line, line_payload, ring_record};
use crate::modes::export::{ExportFormat, Partition};
use crate::os::disk::UpdateFile;
use hog_ring::record::Kind;
use hog_ring::statement::{Definition, flags};
use hog_ring::types::Type;
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use uuid::Uuid;

fn options(fixture: &Fixture, output: PathBuf) -> ExportOptions {
    ExportOptions {
        paths: fixture.paths(),
        format: ExportFormat::Hobbes,
        output,
        partition: Partition::None,
        file_size: 0,
        row_group: 0,
        series: Series::Transactions,
        follow: false,
        selection: Selection::default(),
    }
}

/// The records of a file, transaction by transaction.
fn found(path: &Path) -> Vec<Vec<Found>> {
    let file = fs::read(path).unwrap();
    let page = OwnPage::decode(file[STATE_AT as usize..][..OWN_PAGE_BYTES].try_into().unwrap()).unwrap();
    let definitions = &file[page.definitions_at as usize..][..page.definitions_bytes as usize];
    let statements = page.contents(definitions).unwrap().statements;
    let transactions = File(&file).transactions(&statements);
    transactions.into_iter().map(|(_, records)| records).collect()
}

/// The texts of lines that were logged one by one.
fn texts(path: &Path) -> Vec<String> {
    let records = found(path).into_iter().flatten();
    let text = |(_, payload): Found| String::from_utf8(payload[line_payload(b"").len()..].to_vec()).unwrap();
    records.map(text).collect()
}

fn output() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.log");
    (directory, path)
}

#[test]
fn a_rerun_goes_on_in_the_file_and_a_new_statement_begins_the_next() {
    let mut fixture = Fixture::new();
    let (_directory, path) = output();
    let options = options(&fixture, path.clone());
    let stream = fixture.stream();
    fixture.data(
        stream,
        &[
            line(1, b"a"),
            line(1, b"b"),
            fragment(0, false, &line(1, &[b'l'; 300])[..160]),
        ],
    );
    run(&options).unwrap();
    assert_eq!(texts(&path), ["a", "b"]);
    fixture.data(stream, &[fragment(1, true, &line(1, &[b'l'; 300])[160..])]);
    run(&options).unwrap();
    run(&options).unwrap();
    let long = "l".repeat(300);
    assert_eq!(texts(&path), ["a", "b", long.as_str()]);
    let new = definition(7, 0, "$0", Type::int());
    fixture.data(
        stream,
        &[
            line(1, b"c"),
            ring_record(Kind::Stmt, 0, 7, &new),
            ring_record(Kind::Record, 0, 7, &[1, 0, 0, 0]),
            line(1, b"d"),
        ],
    );
    run(&options).unwrap();
    assert_eq!(
        texts(&path).len(),
        3,
        "what has its name does not change its environment"
    );
    let next = found(&path.with_file_name("web-1.log"));
    let names: Vec<_> = next.iter().flatten().map(|(name, _)| name.as_str()).collect();
    let line_name = names[0];
    assert_eq!(names, [line_name, "s7", line_name]);
    fixture.data(stream, &[line(1, b"e")]);
    run(&options).unwrap();
    assert_eq!(found(&path.with_file_name("web-1.log")).len(), 4);
    assert!(!path.with_file_name("web-2.log").exists());
}

#[test]
fn a_run_that_is_killed_when_the_next_file_has_its_name_doubles_nothing() {
    let mut fixture = Fixture::new();
    let (_directory, path) = output();
    let options = options(&fixture, path.clone());
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    run(&options).unwrap();
    let mut writer = open(&path, Order::Transactions).unwrap_or_else(|error| panic!("{error}"));
    writer.roll().unwrap_or_else(|error| panic!("{error}"));
    drop(writer);
    fixture.data(stream, &[line(1, b"b")]);
    run(&options).unwrap();
    assert_eq!(texts(&path), ["a"]);
    assert_eq!(texts(&path.with_file_name("web-1.log")), ["b"]);
}

#[test]
fn a_transaction_is_a_row_and_so_is_a_record_that_is_alone() {
    let mut fixture = Fixture::new();
    let (_directory, path) = output();
    let stream = fixture.stream();
    let more = |text: &[u8]| ring_record(Kind::Record, hog_ring::layout::MORE, 1, &line_payload(text));
    fixture.data(
        stream,
        &[line(1, b"a"), more(b"b"), more(b"c"), line(1, b"d"), line(1, b"e")],
    );
    let mut options = options(&fixture, path.clone());
    run(&options).unwrap();
    let sizes: Vec<_> = found(&path).iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 3, 1]);
    options.series = Series::Log;
    options.output = path.with_file_name("log.log");
    run(&options).unwrap();
    assert_eq!(texts(&options.output), ["a", "b", "c", "d", "e"]);
}

#[test]
fn whoever_writes_there_is_alone_and_files_of_others_are_left_as_they_are() {
    let mut fixture = Fixture::new();
    let (_directory, path) = output();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    let options = options(&fixture, path.clone());
    let writer = open(&path, Order::Log).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(run(&options).unwrap_err().status, ExitStatus::Locked);
    drop(writer);
    fs::write(&path, b"somebody's").unwrap();
    assert_eq!(run(&options).unwrap_err().status, ExitStatus::Unsafe);
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
}

#[test]
fn a_record_that_is_no_value_of_its_type_is_told_and_the_others_are_exported() {
    let mut fixture = Fixture::new();
    let (_directory, path) = output();
    let stream = fixture.stream();
    let odd = definition(7, 0, "", Type::primitive("odd"));
    fixture.data(
        stream,
        &[
            line(1, b"a"),
            ring_record(Kind::Record, 0, 1, b"no line"),
            ring_record(Kind::Stmt, 0, 7, &odd),
            ring_record(Kind::Record, 0, 7, &[1]),
            line(1, b"b"),
        ],
    );
    let status = run(&options(&fixture, path.clone())).unwrap();
    assert_eq!(
        (status, texts(&path)),
        (ExitStatus::Integrity, vec!["a".to_owned(), "b".to_owned()])
    );
}

/// Commits behind every frame, and ends after some of them, as a kill would.
struct Cut {
    exporter: HobbesExporter<Vec<u8>>,
    frames_left: usize,
}

impl Visitor for Cut {
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        self.exporter.record(stream, record)
    }
    fn undefined(&mut self, _stream: &StreamInfo, _position: u64, _statement: u32) -> io::Result<()> {
        Ok(())
    }
    fn gap(&mut self, _stream: &StreamInfo, _missing: Range<u64>, _gap: &Gap) -> io::Result<()> {
        Ok(())
    }
    fn fault(&mut self, _fault: &Fault) -> io::Result<()> {
        Ok(())
    }
    fn settled(&mut self, progress: &Progress) -> io::Result<()> {
        if self.frames_left == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.frames_left -= 1;
        self.exporter.settled(progress)?;
        Ok(self.exporter.commit()?)
    }
}

#[test]
fn an_export_that_ends_behind_any_frame_is_gone_on_with_without_loss_or_doubling() {
    let mut fixture = Fixture::new();
    let (one, other) = (fixture.stream(), fixture.stream());
    let long = line(1, &[b'l'; 300]);
    fixture.data(one, &[line(1, b"a"), fragment(0, false, &long[..160])]);
    fixture.data(other, &[line(2, b"b"), line(1, b"c")]);
    fixture.roll();
    fixture.data(one, &[fragment(1, true, &long[160..]), line(1, b"d")]);
    fixture.data(other, &[line(1, b"e")]);
    let all = |path: &Path| {
        let numbers = ["web.log", "web-1.log", "web-2.log"];
        let files = numbers.map(|name| path.with_file_name(name)).into_iter();
        files
            .filter(|file| file.exists())
            .flat_map(|file| texts(&file))
            .collect::<Vec<_>>()
    };
    let (_directory, path) = output();
    run(&options(&fixture, path.clone())).unwrap();
    let whole = all(&path);
    assert_eq!(whole.len(), 6);
    for frames in 0.. {
        let (_directory, path) = output();
        let writer = open(&path, Order::Transactions).unwrap_or_else(|error| panic!("{error}"));
        let mut cut = Cut {
            exporter: HobbesExporter::new(writer, Selection::default(), Vec::new()),
            frames_left: frames,
        };
        let read = archive_reader::read(&fixture.paths(), Depth::Records, &mut cut);
        drop(cut);
        run(&options(&fixture, path.clone())).unwrap();
        assert_eq!(all(&path), whole, "after {frames} frames");
        if read.is_ok() {
            break;
        }
    }
}

/// What a reader is given.
#[derive(Default)]
struct Read {
    records: Vec<Found>,
    faults: Vec<String>,
}

impl Visitor for Read {
    fn record(&mut self, _stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        self.records
            .push((record.definition.name.clone(), record.payload.to_vec()));
        Ok(())
    }
    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.faults.push(format!("{stream}, {position}: {statement}"));
        Ok(())
    }
    fn gap(&mut self, _stream: &StreamInfo, _missing: Range<u64>, _gap: &Gap) -> io::Result<()> {
        Ok(())
    }
    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.faults.push(fault.to_string());
        Ok(())
    }
}

/// Types of every kind.
fn types() -> impl Strategy<Value = Type> {
    const PRIMITIVES: [&str; 10] = [
        "unit", "bool", "byte", "char", "short", "int", "long", "int128", "float", "double",
    ];
    let leaf = prop::sample::select(&PRIMITIVES).prop_map(Type::primitive);
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::array),
            (inner.clone(), 0..4u64).prop_map(|(element, length)| Type::fixed_array(element, length)),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Type::tuple),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Type::sum),
            inner.prop_map(|named| Type::alias("name", named)),
        ]
    })
}

/// Appends a value of that type, made of `draws`.
fn draw(ty: &Type, draws: &mut impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let mut next = || draws.next().unwrap_or(0);
    match ty {
        Type::Primitive {
            representation: Some(representation),
            ..
        } => draw(representation, draws, out),
        Type::Primitive { name, .. } => {
            let size = match name.as_str() {
                "unit" => 0,
                "bool" | "byte" | "char" => 1,
                "short" => 2,
                "int" | "float" => 4,
                "int128" => 16,
                _ => 8,
            };
            out.extend((0..size).map(|_| next()));
        }
        Type::Array(element) => {
            let count = next() % 4;
            out.extend(u64::from(count).to_le_bytes());
            (0..count).for_each(|_| draw(element, draws, out));
        }
        Type::FixedArray { element, length } => (0..*length).for_each(|_| draw(element, draws, out)),
        Type::Record(fields) => fields.iter().for_each(|field| draw(&field.holds, draws, out)),
        Type::Variant(cases) => {
            let is_enumeration = cases.iter().all(|case| case.holds.is_primitive("unit"));
            let position = usize::from(next()) % cases.len();
            out.extend(u32::try_from(position).unwrap().to_le_bytes());
            if !is_enumeration {
                draw(&cases[position].holds, draws, out);
            }
        }
        _ => unreachable!("no such type is drawn"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn values_of_any_type_are_found_in_the_file_as_they_were_logged(
        types in prop::collection::vec(types(), 1..4),
        draws in prop::collection::vec(any::<u8>(), 0..400),
        order in prop::collection::vec(0..4usize, 1..12),
    ) {
        let (_directory, path) = output();
        let statements: Vec<_> = types.iter().enumerate().map(|(place, ty)| Definition {
            id: 0,
            name: format!("s{place}"),
            flags: flags::HLOG,
            format: String::new(),
            file: String::new(),
            line: 0,
            payload_type: ty.clone(),
        }).collect();
        let made = fresh(statements, Order::Transactions, Vec::new()).unwrap();
        let mut file = LogFile::make(UpdateFile::create(&path).unwrap(), made, Uuid::nil()).unwrap();
        let mut draws = draws.into_iter();
        let mut logged = Vec::new();
        for commit in order.chunks(4) {
            let mut additions = file.additions();
            for place in commit {
                let place = place % types.len();
                let mut payload = Vec::new();
                draw(&types[place], &mut draws, &mut payload);
                let stored = additions.record(place, &payload).unwrap();
                additions.transaction(7, &[stored]).unwrap();
                logged.push(vec![(format!("s{place}"), payload)]);
            }
            let finished = additions.finish(Vec::new()).unwrap();
            file.commit(finished).unwrap();
        }
        prop_assert_eq!(found(&path), &logged[..]);
        // And so does the reader that knows nothing of hog's own page.
        let mut read = Read::default();
        hobbes_reader::read(&[path], Depth::Records, &mut read).unwrap();
        prop_assert_eq!(read.faults, Vec::<String>::new());
        prop_assert_eq!(read.records, logged.concat());
    }
}

#[test]
fn a_file_that_another_export_may_come_to_is_refused_and_not_made() {
    let fixture = Fixture::new();
    let (directory, _) = output();
    let path = directory.path().join("web-1.log");
    let refused = run(&options(&fixture, path)).unwrap_err();
    assert_eq!(refused.status, ExitStatus::Usage);
    assert!(refused.message.contains("web.log"), "{}", refused.message);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
