//! Readings that are cut at every frame, and gone on with by another.

use super::*;
use crate::formats::body::{End, Gap};
use crate::modes::archive_reader::fixture::*;
use crate::modes::archive_reader::tests::Notes;
use crate::modes::archive_reader::{Depth, Fault, Follower, Record, StreamInfo, Visitor, read_from};
use crate::modes::stop::Stop;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// Reads some frames, and keeps what it was given up to the last of them.
struct Cut {
    notes: Notes,
    frames_left: usize,
    progress: Progress,
}

impl Visitor for Cut {
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        self.notes.record(stream, record)
    }
    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.notes.undefined(stream, position, statement)
    }
    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
        self.notes.gap(stream, missing, gap)
    }
    fn ended(&mut self, stream: &StreamInfo, end: &End) -> io::Result<()> {
        self.notes.ended(stream, end)
    }
    fn deleted(&mut self, stream: &StreamInfo, missing: Range<u64>) -> io::Result<()> {
        self.notes.deleted(stream, missing)
    }
    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.notes.fault(fault)
    }
    fn settled(&mut self, progress: &Progress) -> io::Result<()> {
        self.progress = Progress::from_json(&progress.to_json()).unwrap();
        assert_eq!(self.progress, *progress);
        if self.frames_left == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.frames_left -= 1;
        Ok(())
    }
}

fn cut_after(frames: usize, progress: Progress, paths: &[PathBuf]) -> Cut {
    let mut cut = Cut {
        notes: Notes::default(),
        frames_left: frames,
        progress: progress.clone(),
    };
    let read = read_from(progress, paths, Depth::Records, &mut cut);
    assert!(read.is_ok() || cut.frames_left == 0, "{read:?}");
    cut
}

/// Three segments of two streams: a run of fragments and a transaction's end lie across the first two, one stream ends and is forgotten.
fn log() -> Fixture {
    let mut fixture = Fixture::new();
    let (stream, other) = (fixture.stream(), fixture.stream());
    fixture.data(stream, &[line(1, b"a"), line(1, b"b")]);
    fixture.data(other, &[line(1, b"c")]);
    let long = line(1, &[b'l'; 300]);
    fixture.data(stream, &[line(1, b"d"), fragment(0, false, &long[..160])]);
    fixture.data(other, &[line(1, b"e")]);
    fixture.roll();
    fixture.data(other, &[line(1, b"f")]);
    fixture.data(stream, &[fragment(1, true, &long[160..]), line(1, b"g")]);
    fixture.gap(other, 80);
    fixture.data(other, &[line(1, b"h")]);
    fixture.end(stream, 0);
    fixture.log.table_mut().streams.remove(&stream);
    fixture.roll();
    let late = fixture.stream();
    fixture.data(late, &[line(1, b"i")]);
    fixture.data(other, &[line(1, b"j")]);
    fixture.roll();
    fixture.data(other, &[line(1, b"k")]);
    fixture
}

#[test]
fn a_reading_that_is_cut_anywhere_and_gone_on_with_gives_everything_once() {
    let fixture = log();
    let whole = cut_after(usize::MAX, Progress::default(), &fixture.paths());
    assert_eq!(whole.notes.texts.len(), 12);
    assert_eq!(whole.notes.faults, Vec::<String>::new());
    for frames in 0.. {
        let one = cut_after(frames, Progress::default(), &fixture.paths());
        let two = cut_after(usize::MAX, one.progress, &fixture.paths());
        assert_eq!(
            [one.notes.texts, two.notes.texts].concat(),
            whole.notes.texts,
            "{frames}"
        );
        assert_eq!(
            [one.notes.positions, two.notes.positions].concat(),
            whole.notes.positions
        );
        assert_eq!([one.notes.gaps, two.notes.gaps].concat(), whole.notes.gaps);
        assert_eq!(one.notes.ends + two.notes.ends, whole.notes.ends);
        assert_eq!((two.notes.faults.len(), two.notes.deleted.len()), (0, 0));
        assert_eq!(two.progress, whole.progress);
        if one.frames_left > 0 {
            assert!(frames > 10, "{frames}");
            return;
        }
    }
}

#[test]
fn many_short_readings_give_everything_once() {
    let fixture = log();
    let whole = cut_after(usize::MAX, Progress::default(), &fixture.paths());
    let (mut texts, mut progress) = (Vec::new(), Progress::default());
    while progress != whole.progress {
        // A frame that holds no more than the middle of a run settles nothing.
        let before = progress.clone();
        let mut cut = cut_after(0, before.clone(), &fixture.paths());
        for frames in 1.. {
            if cut.progress != before {
                break;
            }
            cut = cut_after(frames, before.clone(), &fixture.paths());
        }
        texts.extend(cut.notes.texts);
        progress = cut.progress;
    }
    assert_eq!(texts, whole.notes.texts);
}

#[test]
fn segments_that_were_passed_are_not_read_again() {
    let fixture = log();
    let whole = cut_after(usize::MAX, Progress::default(), &fixture.paths());
    for number in 1..=3 {
        fs::remove_file(fixture.segment(number)).unwrap();
    }
    let again = cut_after(usize::MAX, whole.progress, &fixture.paths());
    let Notes {
        texts, faults, deleted, ..
    } = again.notes;
    assert_eq!((texts.len(), faults.len(), deleted.len()), (0, 0, 0));
}

#[test]
fn segments_that_are_deleted_before_they_were_read_are_told() {
    let fixture = log();
    let some = cut_after(4, Progress::default(), &fixture.paths());
    for number in 1..=3 {
        fs::remove_file(fixture.segment(number)).unwrap();
    }
    let rest = cut_after(usize::MAX, some.progress, &fixture.paths());
    assert_eq!(
        (&rest.notes.texts[..], rest.notes.deleted.len()),
        (&["k".to_owned()][..], 1)
    );
}

#[test]
fn parts_that_are_read_in_another_order_than_the_log_s_are_told_when_they_come_too_late() {
    let fixture = log();
    let later = cut_after(
        usize::MAX,
        Progress::default(),
        &[fixture.segment(3), fixture.segment(4)],
    );
    assert_eq!(
        (&later.notes.texts[..], later.notes.faults.len()),
        (&["i", "j", "k"].map(str::to_owned)[..], 0)
    );
    for _ in 0..2 {
        let all = cut_after(usize::MAX, later.progress.clone(), &fixture.paths());
        let [fault] = &all.notes.faults[..] else {
            panic!("{:?}", all.notes.faults)
        };
        assert!(fault.starts_with("2 segments up to "), "{fault}");
        assert_eq!((all.notes.texts.len(), all.progress), (0, later.progress.clone()));
    }
}

#[test]
fn a_first_segment_without_a_whole_checkpoint_is_none_that_was_left_out() {
    let fixture = log();
    let killed_early = fs::read(fixture.segment(1)).unwrap()[..200].to_vec();
    fs::write(fixture.segment(1), killed_early).unwrap();
    let whole = cut_after(usize::MAX, Progress::default(), &fixture.paths());
    let again = cut_after(usize::MAX, whole.progress, &fixture.paths());
    assert_eq!(again.notes.faults, Vec::<String>::new());
}

#[test]
fn what_ended_and_was_forgotten_is_not_remembered() {
    let fixture = log();
    let whole = cut_after(usize::MAX, Progress::default(), &fixture.paths());
    assert_eq!(whole.progress.streams.len(), 2);
}

#[test]
fn a_follower_goes_on_where_a_reading_was_cut() {
    let fixture = log();
    let whole = cut_after(usize::MAX, Progress::default(), &fixture.paths());
    for frames in 0..10 {
        let one = cut_after(frames, Progress::default(), &fixture.paths());
        let mut notes = Notes::default();
        let mut follower = Follower::from(&fixture.paths(), one.progress, &mut notes, &Stop::default()).unwrap();
        follower.round().unwrap();
        follower.round().unwrap();
        assert_eq!([one.notes.texts, notes.texts].concat(), whole.notes.texts, "{frames}");
    }
}

#[test]
fn what_is_no_progress_is_refused() {
    for text in [
        "",
        "{}",
        r#"{"streams":{"x":1},"logs":[]}"#,
        r#"{"streams":{},"logs":[{}]}"#,
    ] {
        assert!(Progress::from_json(text.as_bytes()).is_err(), "{text}");
    }
}
