//! Logs that grow, roll and are tidied up while they are read.

use super::*;
use crate::formats::body::Gap;
use crate::formats::segment::{LogRole, SEGMENT_HEADER_LEN, file_name};
use crate::modes::archive_reader::fixture::*;
use crate::modes::archive_reader::tests::{Notes, notes_on};
use crate::modes::archive_reader::{Fault, Record, StreamInfo};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

fn follower<'v>(directory: &Path, notes: &'v mut Notes) -> Follower<'v, Notes> {
    Follower::new(&[directory.to_owned()], notes, &Stop::default()).unwrap()
}

/// A log of three segments: the second goes on where the first was cut, within a run of fragments.
fn three_segments() -> (Fixture, Vec<String>) {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let mut expected = vec!["a".to_owned(), "b".to_owned()];
    fixture.data(stream, &[line(1, b"a"), line(1, b"b")]);
    let long = line(1, &[b'l'; 300]);
    fixture.data(stream, &[fragment(0, false, &long[..160])]);
    fixture.roll();
    fixture.data(stream, &[fragment(1, true, &long[160..]), line(1, b"c")]);
    expected.extend(["l".repeat(300), "c".to_owned()]);
    fixture.sync();
    fixture.roll();
    let other = fixture.stream();
    fixture.data(other, &[line(1, b"d")]);
    fixture.end(stream, 0);
    fixture.data(other, &[line(1, b"e")]);
    expected.extend(["d", "e"].map(str::to_owned));
    (fixture, expected)
}

#[test]
fn a_log_that_grows_by_any_bytes_gives_each_record_once_when_it_is_whole() {
    let (fixture, expected) = three_segments();
    // Behind what is whole stand bytes that mean nothing yet, or none; but not in the header, which is one write.
    for (step, unwritten) in [(5, 0), (11, 40), (64, 500), (1000, 100)] {
        let growing = tempfile::tempdir().unwrap();
        let mut notes = Notes::default();
        let mut follower = follower(growing.path(), &mut notes);
        for number in 1..=3 {
            let bytes = fs::read(fixture.segment(number)).unwrap();
            for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
                let zeros = if end < SEGMENT_HEADER_LEN { 0 } else { unwritten };
                let there = [&bytes[..end], &vec![0; zeros.min(bytes.len() - end)]].concat();
                fs::write(growing.path().join(file_name(number)), there).unwrap();
                follower.round().unwrap();
                let notes = follower.visitor();
                assert!(expected.starts_with(&notes.texts), "{:?}", notes.texts);
                assert_eq!(notes.faults, Vec::<String>::new());
            }
        }
        assert_eq!(notes.texts, expected);
        assert_eq!(notes.positions, notes_on(&fixture.paths(), Depth::Records).positions);
        assert_eq!(notes.deleted.len(), 0);
    }
}

#[test]
fn the_end_of_a_segment_is_read_when_the_next_is_there_already() {
    let (fixture, expected) = three_segments();
    let growing = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let mut follower = follower(growing.path(), &mut notes);
    let bytes = fs::read(fixture.segment(1)).unwrap();
    fs::write(growing.path().join(file_name(1)), &bytes[..bytes.len() / 2]).unwrap();
    follower.round().unwrap();
    for number in 1..=3 {
        fs::copy(fixture.segment(number), growing.path().join(file_name(number))).unwrap();
    }
    follower.round().unwrap();
    assert_eq!((notes.texts, notes.faults.len()), (expected, 0));
}

#[test]
fn groups_and_dates_that_come_later_are_found() {
    let logs = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let mut follower = follower(logs.path(), &mut notes);
    follower.round().unwrap();
    let mut groups = ["one", "two"].map(|group| Fixture::of(group, LogRole::Archive));
    for day in 1..=2 {
        for fixture in &mut groups {
            let directory = logs
                .path()
                .join(&fixture.log.identity().group)
                .join(format!("2026.11.0{day}"));
            fixture.log.roll_into(&directory).unwrap();
            let stream = fixture.stream();
            for number in 1..=2 {
                let text = format!("{} {day} {number}", fixture.log.identity().group);
                fixture.data(stream, &[line(1, text.as_bytes())]);
                follower.round().unwrap();
                assert_eq!(follower.visitor().texts.last(), Some(&text));
            }
        }
    }
    drop(follower);
    assert_eq!((notes.texts.len(), notes.faults.len()), (8, 0));
    notes.texts.sort();
    let mut read = notes_on(&[logs.path().to_owned()], Depth::Records).texts;
    read.sort();
    assert_eq!(notes.texts, read);
}

#[test]
fn segments_that_came_and_went_between_two_looks_are_told_as_deleted_and_are_no_fault() {
    let mut fixture = Fixture::of("web", LogRole::Spool);
    let (stream, idle) = (fixture.stream(), fixture.stream());
    let idle_end = fixture.end_of(idle);
    fixture.data(stream, &[line(1, b"seen")]);
    let directory = fixture.path().to_owned();
    let mut notes = Notes::default();
    let mut follower = follower(&directory, &mut notes);
    follower.round().unwrap();
    let from = fixture.end_of(stream);
    fixture.roll();
    fixture.data(stream, &[line(1, b"missed")]);
    let missed = fixture.stream();
    let to = fixture.end_of(stream);
    fixture.roll();
    for number in 1..=2 {
        fs::remove_file(fixture.segment(number)).unwrap();
    }
    fixture.data(stream, &[line(1, b"seen again")]);
    fixture.data(missed, &[line(1, b"known from here")]);
    follower.round().unwrap();
    let told = follower.visitor().deleted.clone();
    assert_eq!((told.len(), told[0].clone()), (1, from..to));
    assert_eq!(follower.visitor().faults.len(), 0);
    // What is missing after that is missing again.
    fixture.pretend(idle, idle_end + 64);
    fixture.roll();
    follower.round().unwrap();
    assert_eq!(notes.texts, ["seen", "seen again", "known from here"]);
    assert_eq!(notes.faults.len(), 1, "{:?}", notes.faults);
}

#[test]
fn an_open_segment_that_is_deleted_is_read_to_its_end_and_let_go() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let directory = fixture.path().to_owned();
    let mut notes = Notes::default();
    let mut follower = follower(&directory, &mut notes);
    follower.round().unwrap();
    fixture.data(stream, &[line(1, b"last words")]);
    fs::remove_file(fixture.segment(1)).unwrap();
    follower.round().unwrap();
    assert!(follower.logs.values().all(|place| place.open.is_none()));
    drop(follower);
    assert_eq!((notes.texts, notes.faults.len()), (vec!["last words".to_owned()], 0));
}

#[test]
fn damage_is_told_once_and_what_follows_it_is_read() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let directory = fixture.path().to_owned();
    fixture.data(stream, &[line(1, b"flipped")]);
    fixture.damage(1, b"flipped");
    let mut notes = Notes::default();
    let mut follower = follower(&directory, &mut notes);
    follower.round().unwrap();
    assert_eq!(follower.visitor().faults.len(), 0, "it may be a torn end");
    fixture.sync();
    fixture.data(stream, &[line(1, b"sound")]);
    for _ in 0..3 {
        follower.round().unwrap();
    }
    drop(follower);
    assert_eq!(notes.texts, ["sound"]);
    // The damage, and the hole that it makes.
    assert_eq!(notes.faults.len(), 2, "{:?}", notes.faults);
}

#[test]
fn what_is_deleted_while_all_is_read_is_no_hole() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    for number in 1..=5 {
        fixture.data(stream, &[line(1, format!("{number}").as_bytes())]);
        fixture.roll();
    }
    /// Deletes segments 2 to 4 as soon as it has a record.
    struct Tidying<'f>(&'f Fixture, Notes);
    impl Visitor for Tidying<'_> {
        fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
            for number in 2..=4 {
                let _ = fs::remove_file(self.0.segment(number));
            }
            self.1.record(stream, record)
        }
        fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
            self.1.undefined(stream, position, statement)
        }
        fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
            self.1.gap(stream, missing, gap)
        }
        fn deleted(&mut self, stream: &StreamInfo, missing: Range<u64>) -> io::Result<()> {
            self.1.deleted(stream, missing)
        }
        fn fault(&mut self, fault: &Fault) -> io::Result<()> {
            self.1.fault(fault)
        }
    }
    let mut tidying = Tidying(&fixture, Notes::default());
    crate::modes::archive_reader::read(&fixture.paths(), Depth::Everything, &mut tidying).unwrap();
    let Tidying(_, notes) = tidying;
    assert_eq!(
        (notes.texts, notes.faults.len()),
        (vec!["1".to_owned(), "5".to_owned()], 0)
    );
    assert_eq!(notes.deleted.len(), 1);
    let again = notes_on(&fixture.paths(), Depth::Everything);
    assert_eq!(again.texts, ["1", "5"]);
    assert_eq!(
        again.faults.len(),
        1,
        "a middle that is not there is a hole: {:?}",
        again.faults
    );
}
