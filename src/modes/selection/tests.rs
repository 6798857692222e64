//! Which records are printed, by stream, source and time.

use super::*;
use crate::exit::ExitStatus;
use crate::modes::archive_reader::fixture::*;
use crate::modes::cat::CatFormat;
use crate::modes::cat::tests::{cat_with, options};
use crate::os::clock;
use hog_ring::layout::TIME;
use hog_ring::record::Kind;

/// Two streams with three lines each: of [`A_TIME`]; without time, drained a second later; without either.
fn two_streams() -> (Fixture, [StreamId; 2]) {
    let mut fixture = Fixture::new();
    let streams = [fixture.stream(), fixture.stream()];
    for (stream, name) in streams.into_iter().zip(["a", "b"]) {
        let timed = line_payload(format!("{name}1").as_bytes());
        fixture.data(stream, &[ring_record(Kind::Record, TIME, 1, &timed)]);
        fixture.drained = A_TIME + 1_000_000_000;
        fixture.data(stream, &[line(1, format!("{name}2").as_bytes())]);
        fixture.drained = 0;
        fixture.data(stream, &[line(1, format!("{name}3").as_bytes())]);
    }
    (fixture, streams)
}

fn selected(fixture: &Fixture, selection: Selection) -> String {
    let mut options = options(fixture.paths(), CatFormat::Raw);
    options.selection = selection;
    let (output, words, status) = cat_with(&options);
    assert_eq!((&words[..], status), ("", ExitStatus::Done));
    String::from_utf8(output).unwrap().replace('\n', " ")
}

#[test]
fn streams_are_selected_by_their_uuids() {
    let (fixture, streams) = two_streams();
    let of = |streams: &[StreamId]| {
        selected(
            &fixture,
            Selection {
                streams: streams.to_vec(),
                ..Selection::default()
            },
        )
    };
    assert_eq!(of(&[]), "a1 a2 a3 b1 b2 b3 ");
    assert_eq!(of(&streams[1..]), "b1 b2 b3 ");
    assert_eq!(of(&[streams[1], streams[0]]), "a1 a2 a3 b1 b2 b3 ");
    assert_eq!(of(&[StreamId::NIL]), "");
}

#[test]
fn sources_are_names_of_producers_and_sources_of_lines() {
    let (fixture, _) = two_streams();
    let of = |sources: &[&str]| {
        selected(
            &fixture,
            Selection {
                sources: sources.iter().map(|source| (*source).to_owned()).collect(),
                ..Selection::default()
            },
        )
    };
    assert_eq!(of(&["worker"]), "a1 a2 a3 b1 b2 b3 ");
    assert_eq!(of(&["nobody", "in"]), "a1 a2 a3 b1 b2 b3 ");
    assert_eq!(of(&["nobody", "work", "text"]), "");
}

#[test]
fn moments_select_by_the_time_of_the_record_or_of_its_draining() {
    let (fixture, _) = two_streams();
    let between = |since, until| {
        selected(
            &fixture,
            Selection {
                since,
                until,
                ..Selection::default()
            },
        )
    };
    // Of a3 and b3 nothing is known, so they are never left out.
    assert_eq!(between(Some(A_TIME), None), "a1 a2 a3 b1 b2 b3 ");
    assert_eq!(between(Some(A_TIME + 1), None), "a2 a3 b2 b3 ");
    assert_eq!(between(None, Some(A_TIME)), "a3 b3 ");
    assert_eq!(between(Some(A_TIME), Some(A_TIME + 1)), "a1 a3 b1 b3 ");
    assert_eq!(between(Some(u64::MAX), None), "a3 b3 ");
}

#[test]
fn segments_that_ended_long_before_are_not_even_read() {
    let (mut fixture, _) = two_streams();
    fixture.sync();
    fixture.roll();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"late")]);
    fixture.damage(1, b"a2");
    let since = |since| Selection {
        since: Some(since),
        ..Selection::default()
    };
    let now = clock::now_ns();
    let an_hour = 3_600_000_000_000;
    assert_eq!(selected(&fixture, since(now + 2 * an_hour)), "late ");
    let mut options = options(fixture.paths(), CatFormat::Raw);
    options.selection = since(now);
    assert_eq!(cat_with(&options).2, ExitStatus::Integrity, "clocks may be apart");
}
