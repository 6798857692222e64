//! Exports of small logs, in this process.

use super::*;
use crate::modes::archive_reader::fixture::*;
use crate::modes::cat::CatFormat;
use crate::modes::cat::tests::{cat_with, options as cat_options};
use hog_ring::layout::TIME;
use hog_ring::record::Kind;
use hog_ring::statement::flags;
use hog_ring::types::Type;
use std::fs;
use std::path::Path;

fn options(fixture: &Fixture, output: &Path, format: ExportFormat) -> ExportOptions {
    ExportOptions {
        series: Series::default(),
        follow: false,
        paths: fixture.paths(),
        format,
        output: output.to_owned(),
        partition: Partition::None,
        file_size: 1 << 30,
        row_group: 64 << 20,
        selection: Selection::default(),
    }
}

/// The files below a directory, sorted, and what is in them.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                found.push((name, String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()));
            }
        }
    }
    found.retain(|(name, _)| !name.starts_with(".hog"));
    found.sort();
    found
}

/// All lines of the files in `directory`, in order.
fn lines(directory: &Path) -> String {
    files(directory).into_iter().map(|(_, text)| text).collect()
}

fn cat(fixture: &Fixture) -> String {
    let (output, ..) = cat_with(&cat_options(fixture.paths(), CatFormat::Json));
    String::from_utf8(output).unwrap()
}

#[test]
fn a_rerun_adds_what_is_new_and_nothing_else() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Jsonl);
    fixture.data(stream, &[line(1, b"one"), line(1, b"two")]);
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
    let first = files(output.path());
    assert_eq!(first.len(), 1);
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
    assert_eq!(files(output.path()), first);
    let late = fixture.stream();
    fixture.data(stream, &[line(1, b"three")]);
    fixture.data(late, &[line(1, b"late")]);
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
    let second = files(output.path());
    assert_eq!((second.len(), &second[0]), (2, &first[0]));
    assert_eq!(lines(output.path()), cat(&fixture));
}

#[test]
fn each_commit_ends_all_files_and_nothing_is_in_two() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    for number in 0..20 {
        fixture.data(stream, &[line(1, format!("line {number}").as_bytes())]);
    }
    let output = tempfile::tempdir().unwrap();
    let mut options = options(&fixture, output.path(), ExportFormat::Jsonl);
    options.file_size = 200;
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
    let files = files(output.path());
    assert!(files.len() > 5, "{files:?}");
    assert_eq!(lines(output.path()), cat(&fixture));
}

#[test]
fn statements_of_one_name_and_two_types_are_two_tables_whichever_is_met_first_after_a_rerun() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let define = |ty: Type| ring_record(Kind::Stmt, 0, 7, &definition(7, flags::HLOG, "", ty));
    let record = |payload: &[u8]| ring_record(Kind::Record, 0, 7, payload);
    fixture.data(stream, &[define(Type::byte()), record(&[1])]);
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Csv);
    run(&options).unwrap();
    let other = fixture.stream();
    fixture.data(other, &[define(Type::short()), record(&[2, 0])]);
    fixture.data(stream, &[record(&[3])]);
    run(&options).unwrap();
    let files = files(output.path());
    let place = |name: &str| name.rsplit_once('/').unwrap().0.to_owned();
    let places: Vec<_> = files.iter().map(|(name, _)| place(name)).collect();
    assert_eq!(&places[..2], ["web/s7", "web/s7"]);
    assert!(places[2].starts_with("web/s7~") && places.len() == 3, "{places:?}");
    let values: Vec<_> = files
        .iter()
        .map(|(_, text)| text.trim_end().split(',').nth_back(1).unwrap())
        .collect();
    assert_eq!(values, ["1", "3", "2"]);
}

#[test]
fn what_is_exported_for_something_else_is_refused() {
    let fixture = Fixture::new();
    let output = tempfile::tempdir().unwrap();
    let mut options = options(&fixture, output.path(), ExportFormat::Jsonl);
    run(&options).unwrap();
    options.selection.sources = vec!["a".to_owned()];
    let refused = run(&options).unwrap_err();
    assert_eq!(refused.status, ExitStatus::Usage);
    assert!(refused.message.contains("--source a"), "{}", refused.message);
    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("thesis.tex"), "").unwrap();
    options.output = foreign.path().to_owned();
    assert_eq!(run(&options).unwrap_err().status, ExitStatus::Unsafe);
    assert_eq!(
        fs::read_dir(foreign.path()).unwrap().count(),
        1,
        "something was left in a directory that was refused"
    );
}

#[test]
fn a_directory_that_is_exported_to_is_refused_to_others() {
    let fixture = Fixture::new();
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Jsonl);
    run(&options).unwrap();
    let held = crate::os::lock::DirectoryLock::take(&output.path().join(".hog")).unwrap();
    assert_eq!(run(&options).unwrap_err().status, ExitStatus::Locked);
    drop(held);
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
}

#[test]
fn a_state_that_makes_no_sense_or_names_files_elsewhere_is_refused() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"one")]);
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Jsonl);
    run(&options).unwrap();
    let state = output.path().join(".hog/state.json");
    let sound = fs::read_to_string(&state).unwrap();
    for spoilt in [
        sound.replace("web/s1/part", "../part"),
        sound.replace("web/s1/part", "/tmp/part"),
        sound.replace("web/s1/part", ".hog/part"),
        sound.replace("\"next\":", "\"nxt\":"),
        sound.replace("\"version\":1", "\"version\":2"),
        sound[..sound.len() - 1].to_owned(),
    ] {
        assert_ne!(spoilt, sound);
        fs::write(&state, spoilt).unwrap();
        assert_eq!(run(&options).unwrap_err().status, ExitStatus::Integrity);
    }
    fs::write(&state, sound).unwrap();
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
}

#[test]
fn records_are_divided_by_their_time_and_by_that_of_draining_where_they_have_none() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let timed = line_payload(b"timed");
    fixture.data(stream, &[ring_record(Kind::Record, TIME, 1, &timed)]);
    fixture.drained = A_TIME + 3_600_000_000_000;
    fixture.data(stream, &[line(1, b"drained")]);
    fixture.drained = 0;
    fixture.data(stream, &[line(1, b"never")]);
    let output = tempfile::tempdir().unwrap();
    let mut options = options(&fixture, output.path(), ExportFormat::Csv);
    options.partition = Partition::Hour;
    run(&options).unwrap();
    let found = files(output.path());
    let parts: Vec<_> = found
        .iter()
        .map(|(name, text)| (&name[..name.len() - 29], text.contains("timed")))
        .collect();
    assert_eq!(
        parts,
        [
            ("web/s1/date=2023-11-14/hour=22/", true),
            ("web/s1/date=2023-11-14/hour=23/", false),
            (
                "web/s1/date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/",
                false
            ),
        ]
    );
}

#[test]
fn cells_hold_what_cat_shows_and_the_payload_where_that_is_not_all() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let ty = Type::record([
        ("time", Type::text()),
        ("n", Type::array(Type::byte())),
        ("Bytes", Type::bool()),
    ]);
    let define = ring_record(Kind::Stmt, 0, 7, &definition(7, flags::HLOG, "", ty));
    let sized = |bytes: &[u8]| [&(bytes.len() as u64).to_le_bytes(), bytes].concat();
    let whole = [sized(b"a,\"b\"\n"), sized(&[1, 2]), vec![1]].concat();
    let odd = [sized(b"\xff"), sized(&[]), vec![0]].concat();
    let record = |payload: &[u8]| ring_record(Kind::Record, 0, 7, payload);
    fixture.data(stream, &[define, record(&whole), record(&odd), record(b"x")]);
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Csv);
    assert_eq!(run(&options).unwrap(), ExitStatus::Integrity);
    let text = lines(output.path());
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let names: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names[5..], ["time_", "n", "Bytes_", "bytes"]);
    let rows: Vec<Vec<String>> = reader
        .records()
        .map(|row| row.unwrap().iter().skip(5).map(str::to_owned).collect())
        .collect();
    let encoded = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    assert_eq!(rows[0], ["a,\"b\"\n", "[1,2]", "true", ""]);
    assert_eq!(rows[1], ["\u{fffd}", "[]", "false", &encoded(&odd)]);
    assert_eq!(rows[2], ["", "", "", &encoded(b"x")]);
}

#[test]
fn what_is_committed_and_cannot_be_put_in_its_place_stays_until_it_can() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"one")]);
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Jsonl);
    run(&options).unwrap();
    let state = output.path().join(".hog/state.json");
    let first = fs::read(&state).unwrap();
    // Another table: what is in the way of the first one's directory ends a run before it commits anything.
    let define = ring_record(Kind::Stmt, 0, 7, &definition(7, flags::HLOG, "", Type::byte()));
    fixture.data(stream, &[define, ring_record(Kind::Record, 0, 7, &[2])]);
    let table = output.path().join("web/s7");
    fs::write(&table, "in its way").unwrap();
    for _ in 0..2 {
        assert_eq!(run(&options).unwrap_err().status, ExitStatus::Failed);
        assert!(fs::read(&state).unwrap() != first, "it is committed");
    }
    fs::remove_file(&table).unwrap();
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
    assert_eq!(lines(output.path()), cat(&fixture));
}

#[test]
fn fields_are_not_called_as_the_directories_that_readers_take_for_columns() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let ty = Type::record([("Date", Type::byte()), ("hour", Type::byte())]);
    let define = ring_record(Kind::Stmt, 0, 7, &definition(7, flags::HLOG, "", ty));
    fixture.data(stream, &[define, ring_record(Kind::Record, 0, 7, &[1, 2])]);
    for (partition, expected) in [
        (Partition::None, ["Date", "hour"]),
        (Partition::Date, ["Date_", "hour"]),
        (Partition::Hour, ["Date_", "hour_"]),
    ] {
        let output = tempfile::tempdir().unwrap();
        let mut options = options(&fixture, output.path(), ExportFormat::Csv);
        options.partition = partition;
        run(&options).unwrap();
        let text = lines(output.path());
        let names: Vec<_> = text.lines().next().unwrap().split(',').skip(5).take(2).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn statements_that_are_logged_in_turn_have_a_file_each_however_many_they_are() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let statements = 10..310;
    let define = |id: u32| ring_record(Kind::Stmt, 0, id, &definition(id, flags::HLOG, "", Type::byte()));
    fixture.data(stream, &statements.clone().map(define).collect::<Vec<_>>());
    for _ in 0..3 {
        let record = |id: u32| ring_record(Kind::Record, 0, id, &[7]);
        fixture.data(stream, &statements.clone().map(record).collect::<Vec<_>>());
    }
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Csv);
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
    let files = files(output.path());
    assert_eq!(files.len(), statements.len());
    assert!(files.iter().all(|(_, text)| text.lines().count() == 4));
}

#[test]
fn a_state_in_which_a_digit_is_another_is_refused() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"one")]);
    let output = tempfile::tempdir().unwrap();
    let options = options(&fixture, output.path(), ExportFormat::Jsonl);
    run(&options).unwrap();
    let state = output.path().join(".hog/state.json");
    let sound = fs::read_to_string(&state).unwrap();
    fs::write(&state, sound.replace("\"next\":2", "\"next\":1")).unwrap();
    let refused = run(&options).unwrap_err();
    assert_eq!(refused.status, ExitStatus::Integrity);
    assert!(refused.message.contains("checksum"), "{}", refused.message);
    fs::write(&state, sound).unwrap();
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
}

#[cfg(feature = "columns")]
#[test]
fn a_file_of_row_groups_ends_before_they_are_too_many_to_keep_in_mind() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    for number in 0..=5000 {
        fixture.data(stream, &[line(1, format!("{number}").as_bytes())]);
    }
    let output = tempfile::tempdir().unwrap();
    let mut options = options(&fixture, output.path(), ExportFormat::Parquet);
    options.row_group = 0;
    assert_eq!(run(&options).unwrap(), ExitStatus::Done);
    assert_eq!(files(output.path()).len(), 2);
}
