//! What `verify` finds, and the status it ends with.

use super::*;
use crate::modes::archive_reader::fixture::*;
use hog_ring::record::Kind;
use hog_ring::statement::flags;
use hog_ring::types::Type;
use serde_json::Value;

fn verify(fixture: &Fixture, format: VerifyFormat) -> (String, String, ExitStatus) {
    let (mut output, mut words) = (Vec::new(), Vec::new());
    let options = VerifyOptions {
        paths: fixture.paths(),
        format,
    };
    let status = print(&options, &mut output, &mut words).unwrap();
    (
        String::from_utf8(output).unwrap(),
        String::from_utf8(words).unwrap(),
        status,
    )
}

fn status(fixture: &Fixture) -> ExitStatus {
    verify(fixture, VerifyFormat::Text).2
}

#[test]
fn a_sound_log_has_a_line_for_each_stream_and_a_total() {
    let mut fixture = Fixture::new();
    let streams = [fixture.stream(), fixture.stream()];
    fixture.data(streams[0], &[line(1, b"a"), line(1, b"b")]);
    fixture.roll();
    fixture.data(streams[1], &[line(1, b"c"), ring_record(Kind::Gap, 0, 0, &[3; 16])]);
    fixture.end(streams[0], 9);
    fixture.log.finish().unwrap();
    let (output, words, status) = verify(&fixture, VerifyFormat::Json);
    assert_eq!((&words[..], status), ("", ExitStatus::Done));
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (report, (stream, records, ended)) in lines.iter().zip([(streams[0], 2, true), (streams[1], 1, false)]) {
        assert_eq!(
            (&report["group"], &report["producer"]),
            (&"web".into(), &"worker".into())
        );
        assert_eq!(
            (&report["stream"], &report["records"]),
            (&stream.to_string().into(), &records.into())
        );
        assert_eq!(
            (&report["first"], &report["last"]),
            (&0.into(), &fixture.end_of(stream).into())
        );
        assert_eq!(report["ended"], Value::Bool(ended));
    }
    assert_eq!(lines[0]["dropped"], 9);
    let total = &lines[2]["total"];
    assert_eq!(
        (&total["segments"], &total["streams"], &total["records"]),
        (&2.into(), &2.into(), &3.into())
    );
}

#[test]
fn text_is_in_columns() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    let (output, _, _) = verify(&fixture, VerifyFormat::Text);
    let [titles, row, total] = output.lines().collect::<Vec<_>>()[..] else {
        panic!("{output}")
    };
    assert_eq!(titles.split_whitespace().count(), COLUMNS.len());
    assert_eq!(row.split_whitespace().count(), COLUMNS.len());
    assert_eq!(titles.find("ENDED"), row.find("no"));
    assert!(total.starts_with("total: 1 segments, "), "{total}");
}

#[test]
fn gaps_alone_are_a_degraded_log() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.gap(stream, 64);
    let (output, words, status) = verify(&fixture, VerifyFormat::Text);
    assert_eq!(status, ExitStatus::Degraded);
    assert!(output.contains("1 gaps of 64 bytes, 0 faults"), "{output}");
    assert!(words.contains("dropped to make room"), "{words}");
}

#[test]
fn holes_and_damage_and_undefined_statements_are_worse_than_gaps() {
    let hole = |fixture: &mut Fixture, stream| {
        let end = fixture.end_of(stream);
        fixture.pretend(stream, end + 8);
        fixture.data(stream, &[line(1, b"on")]);
    };
    let undefined = |fixture: &mut Fixture, stream| fixture.data(stream, &[line(5, b"what")]);
    let damage = |fixture: &mut Fixture, stream| {
        fixture.data(stream, &[line(1, b"flipped")]);
        fixture.sync();
        fixture.data(stream, &[line(1, b"on")]);
        fixture.damage(1, b"flipped");
    };
    for spoil in [hole as fn(&mut Fixture, _), undefined, damage] {
        let mut fixture = Fixture::new();
        let stream = fixture.stream();
        fixture.gap(stream, 8);
        spoil(&mut fixture, stream);
        assert_eq!(status(&fixture), ExitStatus::Integrity);
    }
}

#[test]
fn a_payload_is_held_against_its_type() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let statement = ring_record(Kind::Stmt, 0, 7, &definition(7, flags::HLOG, "", Type::long()));
    fixture.data(stream, &[statement, ring_record(Kind::Record, 0, 7, b"short")]);
    assert_eq!(status(&fixture), ExitStatus::Integrity);
}

#[test]
fn bodies_that_no_record_is_read_from_are_checked_too() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let start = fixture.end_of(stream);
    fixture.data(stream, &[line(1, b"a")]);
    fixture.roll();
    fixture.data_at(stream, start, &[line(1, b"a")]);
    fixture.sync();
    fixture.data(stream, &[line(1, b"b")]);
    fixture.damage(2, &line(1, b"a"));
    assert_eq!(status(&fixture), ExitStatus::Integrity);
}

#[test]
fn a_log_that_is_being_written_is_sound_as_far_as_it_is_whole() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    let path = fixture.segment(1);
    let whole = std::fs::read(&path).unwrap();
    for len in 0..whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(status(&fixture), ExitStatus::Done, "cut to {len} bytes");
    }
}
