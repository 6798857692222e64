//! What `cat` prints, and where it says what is wrong.

use super::*;
use crate::formats::segment::LogRole;
use crate::modes::archive_reader::fixture::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hog_ring::layout::{MORE, TIME};
use hog_ring::record::Kind;
use hog_ring::types::Type;
use serde_json::{Value, json};

pub(in crate::modes) fn options(paths: Vec<PathBuf>, format: CatFormat) -> CatOptions {
    CatOptions {
        paths,
        format,
        color: ColorChoice::Never,
        selection: Selection::default(),
        follow: false,
    }
}

/// What is printed for `paths`, what is said, and the status.
fn cat(paths: Vec<PathBuf>, format: CatFormat) -> (Vec<u8>, String, ExitStatus) {
    cat_with(&options(paths, format))
}

pub(in crate::modes) fn cat_with(options: &CatOptions) -> (Vec<u8>, String, ExitStatus) {
    let (mut output, mut words) = (Vec::new(), Vec::new());
    let status = print(options, &mut output, &mut words).unwrap();
    (output, String::from_utf8(words).unwrap(), status)
}

fn objects(output: &[u8]) -> Vec<Value> {
    output
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The object printed for one record of statement 7 of this type, flags and format.
fn object(payload_type: Type, format: &str, record_flags: u32, payload: &[u8]) -> (Value, ExitStatus) {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let statement = ring_record(Kind::Stmt, 0, 7, &definition(7, flags::HLOG, format, payload_type));
    fixture.data(
        stream,
        &[statement, ring_record(Kind::Record, record_flags, 7, payload)],
    );
    let (output, _, status) = cat(fixture.paths(), CatFormat::Json);
    (objects(&output).remove(0), status)
}

#[test]
fn raw_is_the_file_that_was_logged() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let other = ring_record(Kind::Stmt, 0, 3, &definition(3, flags::HLOG, "", Type::unit()));
    fixture.data(
        stream,
        &[
            line(1, b"one"),
            line(1, b""),
            other,
            ring_record(Kind::Record, 0, 3, b""),
        ],
    );
    fixture.data(
        stream,
        &[line(2, b"a piece, "), line(1, b"its \xff end"), line(2, b"no newline")],
    );
    let (output, words, status) = cat(fixture.paths(), CatFormat::Raw);
    assert_eq!(output, b"one\n\na piece, its \xff end\nno newline");
    assert_eq!((&words[..], status), ("", ExitStatus::Done));
}

#[test]
fn json_names_everything_about_a_record() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let position = fixture.end_of(stream);
    fixture.data(
        stream,
        &[
            ring_record(Kind::Record, TIME, 1, &line_payload(b"a \"line\"")),
            line(2, b"end"),
        ],
    );
    let (output, _, status) = cat(fixture.paths(), CatFormat::Json);
    assert_eq!(status, ExitStatus::Done);
    let [first, second] = &objects(&output)[..] else {
        panic!()
    };
    let expected = json!({
        "group": "web", "stream": stream.to_string(), "position": position, "time": "2023-11-14T22:13:20.000000007Z",
        "statement": "s1", "value": {"source": "in", "text": "a \"line\""}, "text": "a \"line\"",
    });
    assert_eq!(first, &expected);
    assert_eq!((&second["time"], &second["continued"]), (&Value::Null, &json!(true)));
}

#[test]
fn json_says_which_records_belong_to_one_transaction() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let record = |flags| ring_record(Kind::Record, flags, 1, &line_payload(b"text"));
    let statement = |flags| ring_record(Kind::Stmt, flags, 9, &definition(9, 0, "", Type::unit()));
    let run = [record(MORE), statement(MORE), record(0)].concat();
    let start = fixture.end_of(stream);
    fixture.data(
        stream,
        &[record(0), record(MORE), statement(MORE), record(MORE), record(0)],
    );
    fixture.data(stream, &[record(MORE), record(0), statement(MORE), record(0)]);
    fixture.data(stream, &[fragment(0, false, &run[..40]), fragment(1, true, &run[40..])]);
    let (output, words, status) = cat(fixture.paths(), CatFormat::Json);
    assert_eq!((&words[..], status), ("", ExitStatus::Done));
    let records = objects(&output);
    let numbers: Vec<_> = records
        .iter()
        .map(|record| record.get("transaction").map(|first| first.as_u64().unwrap()))
        .collect();
    let position = |place: usize| Some(records[place]["position"].as_u64().unwrap());
    assert_eq!(position(0), Some(start));
    let (first, second, run) = (position(1), position(4), position(7));
    assert_eq!(numbers, [None, first, first, first, second, second, None, run, run]);
}

#[test]
fn json_shows_each_kind_of_value() {
    let int = 7i32.to_le_bytes();
    let cases = [
        (Type::unit(), vec![], json!(null)),
        (Type::bool(), vec![1], json!(true)),
        (Type::byte(), vec![200], json!(200)),
        (Type::char(), b"x".to_vec(), json!("x")),
        (Type::short(), 2i16.to_le_bytes().to_vec(), json!(2)),
        (Type::int(), int.to_vec(), json!(7)),
        (Type::long(), (-1i64).to_le_bytes().to_vec(), json!(-1)),
        (Type::double(), 0.5f64.to_le_bytes().to_vec(), json!(0.5)),
        (Type::text(), [&1u64.to_le_bytes()[..], b"t"].concat(), json!("t")),
        (
            Type::array(Type::int()),
            [&1u64.to_le_bytes()[..], &int].concat(),
            json!([7]),
        ),
        (
            Type::tuple([Type::int(), Type::bool()]),
            [&int[..], &[0]].concat(),
            json!([7, false]),
        ),
        (Type::record([("n", Type::int())]), int.to_vec(), json!({"n": 7})),
        (
            Type::variant([("a", Type::unit()), ("b", Type::int())]),
            [&[1, 0, 0, 0], &int[..]].concat(),
            json!({"b": 7}),
        ),
    ];
    for (payload_type, payload, expected) in cases {
        let (object, status) = object(payload_type, "", 0, &payload);
        assert_eq!((&object["value"], status), (&expected, ExitStatus::Done));
        assert_eq!(object.get("bytes"), None);
    }
}

#[test]
fn json_text_is_the_format_with_its_fields() {
    let (object, _) = object(Type::record([("n", Type::int())]), "n is $n", 0, &7i32.to_le_bytes());
    assert_eq!(object["text"], "n is 7");
}

#[test]
fn bytes_that_are_not_utf8_stand_in_base64_beside_the_text() {
    let payload = [&2u64.to_le_bytes()[..], b"a\xff"].concat();
    let (object, status) = object(Type::text(), "$0!", 0, &payload);
    assert_eq!(
        (&object["value"], &object["text"], status),
        (&json!("a\u{fffd}"), &json!("a\u{fffd}!"), ExitStatus::Done)
    );
    assert_eq!(object["bytes"], STANDARD.encode(payload));
}

#[test]
fn a_payload_that_is_no_value_is_printed_as_bytes_and_reported() {
    let (object, status) = object(Type::int(), "", 0, b"abc");
    assert_eq!(
        (&object["value"], &object["text"], &object["bytes"]),
        (&json!(null), &json!(null), &json!("YWJj"))
    );
    assert_eq!(status, ExitStatus::Integrity);
}

#[test]
fn undefined_statements_are_reported_once_for_each_stream() {
    let mut fixture = Fixture::new();
    for _ in 0..2 {
        let stream = fixture.stream();
        fixture.data(stream, &[line(8, b"a"), line(9, b"b"), line(1, b"known")]);
    }
    for format in [CatFormat::Json, CatFormat::Raw] {
        let (output, words, status) = cat(fixture.paths(), format);
        assert_eq!(output.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!((words.lines().count(), status), (2, ExitStatus::Integrity), "{words}");
    }
}

#[test]
fn damage_is_reported_and_what_is_sound_is_printed() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"flipped")]);
    fixture.sync();
    fixture.data(stream, &[line(1, b"sound")]);
    fixture.damage(1, b"flipped");
    let (output, words, status) = cat(fixture.paths(), CatFormat::Raw);
    assert_eq!((&output[..], status), (&b"sound\n"[..], ExitStatus::Integrity));
    assert!(
        words.lines().all(|line| line.starts_with("hog: ")) && words.contains("is damaged"),
        "{words}"
    );
}

#[test]
fn a_gap_is_told_and_is_no_failure() {
    let mut fixture = Fixture::of("web", LogRole::Spool);
    let stream = fixture.stream();
    fixture.gap(stream, 64);
    let (_, words, status) = cat(fixture.paths(), CatFormat::Raw);
    assert!(words.contains("are missing: dropped to make room"), "{words}");
    assert_eq!(status, ExitStatus::Done);
}

#[test]
fn an_empty_directory_is_an_empty_log() {
    let directory = tempfile::tempdir().unwrap();
    let (output, words, status) = cat(vec![directory.path().to_owned()], CatFormat::Json);
    assert_eq!((output.len(), &words[..], status), (0, "", ExitStatus::Done));
}

#[test]
fn a_foreign_file_that_is_named_is_an_integrity_failure_and_a_missing_one_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert_eq!(cat(vec![empty], CatFormat::Raw).2, ExitStatus::Integrity);
    let missing = options(vec![directory.path().join("missing")], CatFormat::Raw);
    let failure = print(&missing, io::sink(), io::sink()).unwrap_err();
    assert_eq!(failure.status, ExitStatus::Failed);
    assert!(failure.message.contains("missing"), "{}", failure.message);
}

#[test]
fn a_closed_pipe_ends_in_peace_and_a_full_disk_does_not() {
    struct Refusing(io::ErrorKind);
    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, &[b'x'; 300_000])]);
    let options = options(fixture.paths(), CatFormat::Raw);
    let closed = print(&options, Refusing(io::ErrorKind::BrokenPipe), io::sink());
    assert_eq!(closed.unwrap(), ExitStatus::Done);
    let full = print(&options, Refusing(io::ErrorKind::StorageFull), io::sink());
    assert_eq!(full.unwrap_err().status, ExitStatus::Failed);
}

/// What is printed as text, with the time in front of each line cut off.
fn text_lines(output: &[u8]) -> Vec<String> {
    let lines = String::from_utf8(output.to_vec()).unwrap();
    let without_time = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    lines.split_terminator('\n').map(without_time).collect()
}

#[test]
fn text_is_a_line_for_each_record_whatever_is_in_it() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let statement = definition(7, flags::HLOG, "n is $n", Type::record([("n", Type::int())]));
    fixture.data(
        stream,
        &[
            ring_record(Kind::Stmt, 0, 7, &statement),
            ring_record(Kind::Record, 0, 7, &7i32.to_le_bytes()),
            line(1, b"two\nlines \x1b[2J"),
            line(2, b"no newline"),
        ],
    );
    let (output, words, status) = cat(fixture.paths(), CatFormat::Text);
    let expected = ["web s7 n is 7", "web s1 two\\nlines \\u{1b}[2J", "web s2 no newline"];
    assert_eq!(text_lines(&output), expected);
    assert_eq!((&words[..], status), ("", ExitStatus::Done));
}

#[test]
fn the_time_of_a_record_without_one_is_marked_as_that_of_draining() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[ring_record(Kind::Record, TIME, 1, &line_payload(b"a"))]);
    fixture.drained = A_TIME;
    fixture.data(stream, &[line(1, b"b")]);
    fixture.drained = 0;
    fixture.data(stream, &[line(1, b"c")]);
    let (output, _, _) = cat(fixture.paths(), CatFormat::Text);
    let output = String::from_utf8(output).unwrap();
    let times: Vec<_> = output.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let time: jiff::Timestamp = times[0].parse().unwrap();
    assert_eq!(time.as_nanosecond(), i128::from(A_TIME / 1000 * 1000));
    assert_eq!(times[1], format!("~{}", times[0]));
    assert_eq!(times[2], "-");
}

#[test]
fn colours_stand_around_what_the_record_cannot_choose() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"\x1b[0m")]);
    let mut options = options(fixture.paths(), CatFormat::Text);
    options.color = ColorChoice::Always;
    let (output, _, _) = cat_with(&options);
    let output = String::from_utf8(output).unwrap();
    let (_, behind) = output.rsplit_once("\x1b[0m ").unwrap();
    assert_eq!(behind, "\\u{1b}[0m\n", "{output:?}");
    assert!(output.contains("\x1b[36mweb\x1b[0m"), "{output:?}");
}

#[test]
fn text_says_that_a_value_cannot_be_read_and_where_records_are_missing() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let statement = definition(7, flags::HLOG, "$0", Type::int());
    fixture.data(
        stream,
        &[
            ring_record(Kind::Stmt, 0, 7, &statement),
            ring_record(Kind::Record, 0, 7, b"abc"),
            ring_record(Kind::Gap, 0, 0, &[[3; 8], [9; 8]].concat()),
            ring_record(Kind::Gap, 0, 0, &[[3; 8], [9; 8]].concat()),
        ],
    );
    let (output, words, status) = cat(fixture.paths(), CatFormat::Text);
    assert_eq!(text_lines(&output), ["web s7 (3 bytes that are no value)"]);
    assert_eq!((words.lines().count(), status), (2, ExitStatus::Integrity), "{words}");
    assert!(words.contains("dropped"), "{words}");
    let (_, words, _) = cat(fixture.paths(), CatFormat::Raw);
    assert_eq!(words, "", "raw has no place for it");
}
