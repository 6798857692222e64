//! Logs that are whole, cut, damaged and begun in the middle, as a reader sees them.

use super::fixture::*;
use super::*;
use crate::formats::codec::Compression;
use crate::formats::segment::LogRole;
use crate::formats::value::text_field;
use hog_ring::layout::MORE;
use hog_ring::record::Kind;
use proptest::prelude::*;
use std::path::Path;

/// Writes down what it is given.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) texts: Vec<String>,
    pub(super) positions: Vec<u64>,
    undefined: Vec<u32>,
    pub(super) gaps: Vec<Range<u64>>,
    pub(super) deleted: Vec<Range<u64>>,
    pub(super) ends: u32,
    pub(super) faults: Vec<String>,
}

impl Visitor for Notes {
    fn record(&mut self, _stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        let text = text_field(&record.definition.payload_type, record.payload, "text").unwrap();
        self.texts.push(String::from_utf8_lossy(text).into_owned());
        self.positions.push(record.position);
        Ok(())
    }

    fn undefined(&mut self, _stream: &StreamInfo, _position: u64, statement: u32) -> io::Result<()> {
        self.undefined.push(statement);
        Ok(())
    }

    fn gap(&mut self, _stream: &StreamInfo, missing: Range<u64>, _gap: &Gap) -> io::Result<()> {
        self.gaps.push(missing);
        Ok(())
    }

    fn ended(&mut self, _stream: &StreamInfo, _end: &End) -> io::Result<()> {
        self.ends += 1;
        Ok(())
    }

    fn deleted(&mut self, _stream: &StreamInfo, missing: Range<u64>) -> io::Result<()> {
        self.deleted.push(missing);
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.faults.push(fault.to_string());
        Ok(())
    }
}

pub(super) fn notes_on(paths: &[PathBuf], depth: Depth) -> Notes {
    let mut notes = Notes::default();
    read(paths, depth, &mut notes).unwrap();
    notes
}

/// What is read, at both depths alike.
fn notes(fixture: &Fixture) -> Notes {
    let shallow = notes_on(&fixture.paths(), Depth::Records);
    let deep = notes_on(&fixture.paths(), Depth::Everything);
    assert_eq!((&shallow.texts, &shallow.faults), (&deep.texts, &deep.faults));
    deep
}

/// Asserts that nothing was wrong.
fn texts(fixture: &Fixture) -> Vec<String> {
    let notes = notes(fixture);
    assert_eq!((notes.faults, notes.undefined), (vec![], vec![]));
    notes.texts
}

#[track_caller]
fn assert_one_fault(notes: &Notes, words: &str) {
    let [fault] = &notes.faults[..] else {
        panic!("{:?}", notes.faults)
    };
    assert!(fault.contains(words), "{fault}");
}

/// A run of fragments that holds `bytes`, `piece` bytes in each.
fn run(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<_> = bytes.chunks(piece).collect();
    let last = pieces.len() - 1;
    pieces
        .iter()
        .enumerate()
        .map(|(n, piece)| fragment(u32::try_from(n).unwrap(), n == last, piece))
        .collect()
}

#[test]
fn records_come_in_the_order_of_segments_with_every_codec() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    for (n, compression) in [Compression::None, Compression::Zstd(1), Compression::Lz4]
        .into_iter()
        .enumerate()
    {
        fixture.compression = compression;
        fixture.data(stream, &[line(1, format!("{n} {}", "again ".repeat(20)).as_bytes())]);
        fixture.roll();
    }
    let texts = texts(&fixture);
    assert_eq!(texts.iter().map(|text| &text[..1]).collect::<Vec<_>>(), ["0", "1", "2"]);
}

#[test]
fn positions_that_two_segments_hold_are_read_once() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let start = fixture.end_of(stream);
    let (a, b, c) = (line(1, b"a"), line(1, b"b"), line(1, b"c"));
    fixture.data(stream, &[a.clone(), b.clone()]);
    fixture.roll();
    fixture.data_at(stream, start, &[a.clone(), b.clone()]);
    fixture.data_at(stream, start + a.len() as u64, &[b, c]);
    assert_eq!(texts(&fixture), ["a", "b", "c"]);
}

#[test]
fn a_writer_that_went_back_in_a_new_segment_repeats_nothing() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let start = fixture.end_of(stream);
    fixture.data(stream, &[line(1, b"a")]);
    fixture.data(stream, &[line(1, b"b")]);
    fixture.pretend(stream, start);
    fixture.log.abandon_segment().unwrap();
    fixture.data(stream, &[line(1, b"a"), line(1, b"b"), line(1, b"c")]);
    assert_eq!(texts(&fixture), ["a", "b", "c"]);
}

#[test]
fn an_archive_is_read_before_the_spool_that_goes_on_with_it() {
    let (mut archive, mut spool) = (Fixture::new(), Fixture::of("web", LogRole::Spool));
    let stream = archive.stream();
    archive.data(stream, &[line(1, b"a")]);
    spool.attach(stream, 0);
    spool.data(
        stream,
        &[
            line_statement(1, 0),
            line_statement(2, hog_ring::statement::flags::CONTINUED),
        ],
    );
    spool.roll();
    std::fs::remove_file(spool.segment(1)).unwrap();
    spool.data(stream, &[line(1, b"a")]);
    spool.data(stream, &[line(1, b"b")]);
    let notes = notes_on(&[spool.paths(), archive.paths()].concat(), Depth::Everything);
    assert_eq!((notes.texts, notes.faults), (vec!["a".into(), "b".into()], vec![]));
}

#[test]
fn groups_come_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    for (group, text) in [("b", "second"), ("a", "first")] {
        let mut fixture = Fixture::of(group, LogRole::Archive);
        let stream = fixture.stream();
        fixture.data(stream, &[line(1, text.as_bytes())]);
        let below = directory.path().join(group).join("deep");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::copy(fixture.segment(1), below.join("seg-00000000000000000001.hog")).unwrap();
    }
    let notes = notes_on(&[directory.path().to_owned()], Depth::Records);
    assert_eq!(
        (notes.texts, notes.faults),
        (vec!["first".into(), "second".into()], vec![])
    );
}

#[test]
fn a_torn_end_is_no_fault() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"whole")]);
    fixture.sync();
    fixture.data(stream, &[line(1, b"torn")]);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(fixture.segment(1))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() - 8).unwrap();
    assert_eq!(texts(&fixture), ["whole"]);
}

#[test]
fn a_flipped_bit_in_the_tail_that_nothing_calls_durable_ends_the_segment() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"whole")]);
    fixture.data(stream, &[line(1, b"flipped")]);
    fixture.data(stream, &[line(1, b"behind")]);
    fixture.damage(1, b"flipped");
    assert_eq!(texts(&fixture), ["whole"]);
}

#[test]
fn a_flipped_bit_below_a_durable_offset_is_damage_and_the_rest_is_read() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"before")]);
    let from = fixture.end_of(stream);
    fixture.data(stream, &[line(1, b"flipped")]);
    let to = fixture.end_of(stream);
    fixture.sync();
    fixture.data(stream, &[line(1, b"behind")]);
    fixture.damage(1, b"flipped");
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["before", "behind"]);
    assert!(notes.faults[0].contains("is damaged from byte"), "{:?}", notes.faults);
    assert!(
        notes.faults[1].contains(&format!("positions {from} to {to} are missing")),
        "{:?}",
        notes.faults
    );
    assert_eq!(notes.faults.len(), 2);
}

#[test]
fn definitions_come_from_the_checkpoint_when_older_segments_are_deleted() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"deleted")]);
    fixture.roll();
    fixture.data(stream, &[line(1, b"kept")]);
    std::fs::remove_file(fixture.segment(1)).unwrap();
    assert_eq!(texts(&fixture), ["kept"]);
}

#[test]
fn a_segment_deleted_between_others_is_a_hole_in_each_stream() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    fixture.roll();
    fixture.data(stream, &[line(1, b"b")]);
    let unmet = fixture.stream();
    fixture.roll();
    fixture.data(stream, &[line(1, b"c")]);
    fixture.data(unmet, &[line(1, b"d")]);
    std::fs::remove_file(fixture.segment(2)).unwrap();
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["a", "c", "d"]);
    assert_eq!(
        notes
            .faults
            .iter()
            .filter(|fault| fault.contains("are missing"))
            .count(),
        2
    );
}

#[test]
fn a_run_of_fragments_is_put_together_across_frames_and_segments() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let mut transaction = line(1, b"one");
    transaction[3] |= MORE.to_le_bytes()[3];
    transaction.extend(line(1, b"two"));
    let start = fixture.end_of(stream);
    let fragments = run(&transaction, 24);
    fixture.data(stream, &fragments[..1]);
    fixture.roll();
    fixture.data(stream, &fragments[1..]);
    fixture.data(stream, &[line(1, b"three")]);
    let notes = notes(&fixture);
    assert_eq!((notes.texts.join(" "), notes.faults), ("one two three".into(), vec![]));
    assert_eq!(notes.positions[..2], [start, start + line(1, b"one").len() as u64]);
    assert!(notes.positions.is_sorted());
}

#[test]
fn a_run_whose_beginning_was_deleted_is_passed_over() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let fragments = run(&line(1, b"a long line that comes in fragments"), 16);
    fixture.data(stream, &fragments[..1]);
    fixture.roll();
    fixture.data(stream, &fragments[1..]);
    fixture.data(stream, &[line(1, b"next")]);
    std::fs::remove_file(fixture.segment(1)).unwrap();
    assert_eq!(texts(&fixture), ["next"]);
}

#[test]
fn gap_and_abort_and_end_void_an_open_run() {
    let whole = run(&line(1, b"a long line that comes in fragments"), 24);
    let (begun, rest) = whole.split_at(1);
    let abort = ring_record(Kind::Abort, 0, 1, b"");
    let dropped = ring_record(Kind::Gap, 0, 0, &[0; 16]);
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    for voiding in [abort, dropped] {
        fixture.data(stream, begun);
        fixture.data(stream, &[voiding, line(1, b"on")]);
    }
    fixture.data(stream, begun);
    fixture.data(stream, &whole);
    fixture.data(stream, begun);
    fixture.gap(stream, 16);
    fixture.data(stream, rest);
    fixture.data(stream, begun);
    fixture.end(stream, 0);
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["on", "on", "a long line that comes in fragments"]);
    assert_eq!((notes.faults, notes.gaps.len(), notes.ends), (vec![], 1, 1));
}

#[test]
fn a_fragment_out_of_turn_is_one_fault_until_the_next_run() {
    let whole = run(&line(1, b"a long line that comes in fragments"), 16);
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &whole[..1]);
    fixture.data(stream, &whole[2..]);
    fixture.data(stream, &whole);
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["a long line that comes in fragments"]);
    assert_one_fault(&notes, "fragment 2 of a run");
}

#[test]
fn a_record_within_a_run_voids_it_and_is_read() {
    let whole = run(&line(1, b"a long line that comes in fragments"), 16);
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[whole[0].clone(), line(1, b"between")]);
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["between"]);
    assert_one_fault(&notes, "within a run");
}

#[test]
fn a_run_longer_than_any_is_given_up_and_what_follows_is_read() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.compression = Compression::Zstd(1);
    let piece = vec![0; 1 << 19];
    for number in 0..40 {
        fixture.data(stream, &[fragment(number, number == 39, &piece)]);
    }
    fixture.data(stream, &[line(1, b"next")]);
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["next"]);
    assert_one_fault(&notes, "a run of fragments of more than");
}

#[test]
fn statements_that_an_abort_forgot_are_undefined() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(
        stream,
        &[
            line(1, b"a"),
            ring_record(Kind::Abort, 0, 2, b""),
            line(1, b"b"),
            line(2, b"c"),
        ],
    );
    let notes = notes(&fixture);
    assert_eq!(
        (notes.texts.join(""), notes.undefined, notes.faults),
        ("ac".into(), vec![1], vec![])
    );
}

#[test]
fn a_statement_that_is_defined_anew_has_its_new_meaning() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(
        stream,
        &[line(1, b"a"), ring_record(Kind::Stmt, 0, 1, b"nonsense"), line(1, b"b")],
    );
    fixture.data(stream, &[line_statement(1, 0), line(1, b"c")]);
    let notes = notes(&fixture);
    assert_eq!((&notes.texts.join("")[..], &notes.undefined[..]), ("ac", &[1][..]));
    assert_one_fault(&notes, "statement 1: ");
}

#[test]
fn a_frame_behind_the_end_of_its_stream_is_a_hole() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    let end = fixture.end_of(stream);
    fixture.pretend(stream, end + 64);
    fixture.data(stream, &[line(1, b"on")]);
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["on"]);
    assert_one_fault(&notes, &format!("positions {end} to {} are missing", end + 64));
}

#[test]
fn a_frame_after_end_is_a_fault() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.end(stream, 0);
    fixture.log.table_mut().streams.get_mut(&stream).unwrap().state = crate::formats::table::StreamState::Open;
    fixture.data(stream, &[line(1, b"late")]);
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["late"]);
    assert_one_fault(&notes, "has ended");
}

#[test]
fn bad_records_in_a_sound_frame_cost_that_frame_alone() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.any_data(stream, &[line(1, b"a"), vec![0; 16], line(1, b"lost")].concat());
    fixture.data(stream, &[line(1, b"b")]);
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["a", "b"]);
    assert_one_fault(&notes, "record kind 0");
}

#[test]
fn a_segment_whose_checkpoint_is_torn_holds_nothing() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    fixture.roll();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(fixture.segment(2))
        .unwrap();
    file.set_len(200).unwrap();
    fixture.log.abandon_segment().unwrap();
    fixture.data(stream, &[line(1, b"b")]);
    std::fs::write(fixture.segment(4), b"").unwrap();
    std::fs::write(fixture.segment(5), [0; 4096]).unwrap();
    assert_eq!(texts(&fixture), ["a", "b"]);
}

#[test]
fn frames_behind_a_damaged_checkpoint_are_read_with_what_is_known() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    fixture.roll();
    fixture.data(stream, &[line(1, b"b")]);
    fixture.roll();
    fixture.data(stream, &[line(1, b"c")]);
    fixture.damage(2, b"worker");
    let notes = notes(&fixture);
    assert_eq!(notes.texts, ["a", "b", "c"]);
    assert_one_fault(&notes, "is damaged from byte 160");
}

#[test]
fn a_checkpoint_that_takes_back_what_a_finished_segment_gave_is_a_contradiction() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    let end = fixture.end_of(stream);
    fixture.pretend(stream, 8);
    fixture.roll();
    assert_eq!(notes_on(&fixture.paths(), Depth::Records).faults.len(), 0);
    let notes = notes_on(&fixture.paths(), Depth::Everything);
    assert_one_fault(&notes, &format!("ends at position {end}, and the checkpoint"));
}

#[test]
fn only_files_called_as_segments_are_read_in_directories() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    for name in [
        "lock",
        "reserve",
        "seg-1.hog",
        "seg-00000000000000000009.hog.quarantined",
    ] {
        std::fs::write(
            fixture.path().join(name),
            b"not a segment, and long enough to be one".repeat(9),
        )
        .unwrap();
    }
    std::os::unix::fs::symlink(fixture.path(), fixture.path().join("loop")).unwrap();
    assert_eq!(texts(&fixture), ["a"]);
}

#[test]
fn named_files_that_are_no_segments_are_faults_and_the_rest_is_read() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    fixture.data(stream, &[line(1, b"a")]);
    let (empty, foreign) = (fixture.path().join("empty"), fixture.path().join("foreign"));
    std::fs::write(&empty, b"").unwrap();
    std::fs::write(&foreign, [7; 500]).unwrap();
    let notes = notes_on(
        &[empty, foreign, fixture.segment(1), fixture.segment(1)],
        Depth::Records,
    );
    assert_eq!((notes.texts, notes.faults.len()), (vec!["a".into()], 2));
}

#[test]
fn a_missing_path_is_an_error() {
    let missing = Path::new("/nonexistent/of/hog").to_owned();
    let error = read(&[missing], Depth::Records, &mut Notes::default()).unwrap_err();
    assert!(matches!(error, ReadError::Path { .. }));
}

#[test]
fn every_flipped_bit_costs_no_more_than_one_frame_and_is_told() {
    let mut fixture = Fixture::new();
    let stream = fixture.stream();
    for text in ["a", "b", "c"] {
        fixture.data(stream, &[line(1, text.as_bytes())]);
        fixture.sync();
    }
    fixture.data(stream, &[line(1, b"d")]);
    let bytes = std::fs::read(fixture.segment(1)).unwrap();
    let last_frame = memchr::memmem::rfind(&bytes, b"HOGF").unwrap();
    for at in (0..last_frame).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        std::fs::write(fixture.segment(1), flipped).unwrap();
        let notes = notes(&fixture);
        assert!(!notes.faults.is_empty(), "byte {at}");
        let lost = 4 - notes.texts.len() - notes.undefined.len();
        assert!(lost <= usize::from(at >= 160), "byte {at}: {:?}", notes.texts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Words that look like record headers now and then, so that every kind is met.
    #[test]
    fn any_records_are_judged_without_panic_and_the_next_frame_is_read(
        words in prop::collection::vec((0..40u32, 0..8u32, 0..8u32, 0..4u32), 1..200),
    ) {
        let header = |(len, kind, flags, statement): (u32, u32, u32, u32)| {
            [(len | kind << 26 | flags << 29).to_le_bytes(), statement.to_le_bytes()].concat()
        };
        let body: Vec<u8> = words.into_iter().flat_map(header).collect();
        let mut fixture = Fixture::new();
        let stream = fixture.stream();
        fixture.any_data(stream, &body);
        fixture.data(stream, &[line_statement(9, 0), line(9, b"next")]);
        let mut judged = Judged::default();
        read(&fixture.paths(), Depth::Everything, &mut judged).unwrap();
        prop_assert!(judged.last.ends_with(b"next"));
    }
}

/// Keeps the last payload.
#[derive(Default)]
struct Judged {
    last: Vec<u8>,
}

impl Visitor for Judged {
    fn record(&mut self, _stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        record.payload.clone_into(&mut self.last);
        Ok(())
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
}
