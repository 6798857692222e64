//! What both ends of a segment tell, held against what its frames say.

use super::*;
use crate::formats::frame::{END_SPAN, HEADER_LEN};
use crate::formats::segment::LogRole;
use crate::modes::archive_reader::fixture::{Fixture, line};
use crate::modes::batchsend::cursor::Cursor;
use crate::modes::recorder::Recorder;
use crate::seglog::reader::FoundFrame;
use crate::seglog::recovery::{recover, segments_in};
use crate::seglog::writer::{Durability, LogIdentity, SegmentLog};
use crate::stages::spool::remnant;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

/// What the index says of a segment.
#[derive(Debug, PartialEq)]
struct Entered {
    streams: BTreeMap<StreamId, (u64, u64)>,
    oldest: u64,
    has_records: bool,
}

fn index_of(fixture: &Fixture) -> (SpoolIndex, Vec<u64>) {
    let segments = segments_in(fixture.path()).unwrap();
    let (index, damaged) = SpoolIndex::of_segments(&segments, 9, HashMap::new()).unwrap();
    (index, damaged.into_iter().collect())
}

/// What `index` says of each segment, and which of them were entered unread.
fn entered(index: &SpoolIndex) -> (Vec<Entered>, Vec<u64>) {
    let state = index.lock();
    let segments = state.segments.values().map(|segment| Entered {
        streams: segment.streams.iter().map(|(id, range)| (*id, *range)).collect(),
        oldest: segment.oldest,
        has_records: segment.has_records,
    });
    let unread = state.segments.iter().filter(|(_, segment)| segment.is_unread);
    (segments.collect(), unread.map(|(number, _)| *number).collect())
}

/// The same by all headers.
fn by_headers(fixture: &Fixture) -> Vec<Entered> {
    let each = segments_in(fixture.path()).unwrap().into_iter().flat_map(|segment| {
        let (index, _) = SpoolIndex::of_segments(&[segment], 9, HashMap::new()).unwrap();
        entered(&index).0
    });
    each.collect()
}

/// So many bytes of records that both ends are read and not what is between them.
fn long(fixture: &mut Fixture, stream: StreamId) {
    for _ in 0..4 {
        fixture.drained += 1;
        fixture.data(stream, &[line(1, &[b'x'; 20_000])]);
    }
}

fn spool() -> Fixture {
    let mut fixture = Fixture::of("g", LogRole::Spool);
    fixture.sync_first();
    fixture
}

/// A spool of two long segments that are followed by another, and the stream that lies in all.
fn three() -> (Fixture, StreamId) {
    let mut fixture = spool();
    let stream = fixture.stream();
    for _ in 0..2 {
        long(&mut fixture, stream);
        fixture.roll();
    }
    long(&mut fixture, stream);
    (fixture, stream)
}

#[test]
fn both_ends_of_a_segment_tell_what_its_headers_do() {
    let mut fixture = spool();
    let [goes_on, ends, rests] = [fixture.stream(), fixture.stream(), fixture.stream()];
    long(&mut fixture, goes_on);
    fixture.data(ends, &[line(1, b"a")]);
    fixture.roll();
    long(&mut fixture, goes_on);
    fixture.gap(ends, 64);
    fixture.end(ends, 3);
    fixture.attach(StreamId::random(), 4096); // nothing came of it yet
    fixture.roll();
    long(&mut fixture, goes_on);
    fixture.log.table_mut().streams.remove(&ends); // it ended, and lies nowhere any more
    fixture.roll();
    fixture.gap(goes_on, 1 << 20); // records that were dropped
    fixture.roll();
    fixture.data(rests, &[line(1, b"b")]);
    let (index, damaged) = index_of(&fixture);
    let (segments, unread) = entered(&index);
    assert_eq!(segments, by_headers(&fixture));
    assert_eq!((unread, damaged), (vec![1, 2, 3], vec![]));
    let state = index.lock();
    assert!(state.segments[&1].newest >= 4 && state.segments[&1].newest < u64::MAX);
    assert_eq!(state.lies_in[&goes_on], 4);
}

#[test]
fn a_segment_that_was_not_finished_in_order_is_read_whole() {
    let (fixture, _) = three();
    let path = fixture.segment(1);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(entered(&index_of(&fixture).0), (by_headers(&fixture), vec![2]));
}

#[test]
fn a_segment_that_the_next_one_does_not_follow_is_read_whole() {
    let (fixture, _) = three();
    std::fs::remove_file(fixture.segment(2)).unwrap();
    assert_eq!(entered(&index_of(&fixture).0), (by_headers(&fixture), vec![]));
}

#[test]
fn the_last_segment_of_a_run_is_read_whole() {
    let (mut fixture, stream) = three();
    fixture.log.finish().unwrap();
    let standing = recover(&segments_in(fixture.path()).unwrap()).unwrap();
    let identity = LogIdentity {
        epoch: 2,
        ..fixture.log.identity().clone()
    };
    let decompressor = crate::formats::codec::Decompressor::new().unwrap();
    let at = fixture.path().to_owned();
    fixture.log = SegmentLog::new(identity, Durability::EachSegment, 1 << 30, at, standing, decompressor);
    fixture.sync_first();
    long(&mut fixture, stream);
    assert_eq!(entered(&index_of(&fixture).0), (by_headers(&fixture), vec![1, 2]));
}

#[test]
fn tables_that_no_log_leads_to_tell_nothing() {
    let (fixture, stream) = three();
    let before = fixture.log.table().clone();
    let mut after = before.clone();
    assert_eq!(lies_between(&before, &after), Some(HashMap::new()));
    after.streams.get_mut(&stream).unwrap().end -= 8;
    assert_eq!(lies_between(&before, &after), None);
    assert_eq!(lies_between(&before, &Table::default()), None);
}

/// Flips a bit in the header of the second-last frame with records of segment `number`.
fn spoil(fixture: &Fixture, number: u64) -> Vec<u8> {
    let mut reader = SegmentReader::open(&fixture.segment(number)).unwrap();
    let mut frames = Vec::new();
    while let Next::Frame(found) = reader.next_frame().unwrap() {
        frames.push(found.offset);
    }
    let at = frames[frames.len() - 2] + HEADER_LEN as u64 - 30;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(fixture.segment(number))
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    std::fs::read(fixture.segment(number)).unwrap()
}

#[test]
fn who_finds_an_unread_segment_damaged_has_a_sound_one_put_in_its_place_once() {
    let (fixture, _) = three();
    let whole = by_headers(&fixture);
    let bytes = spoil(&fixture, 2);
    let (index, damaged) = index_of(&fixture);
    assert_eq!((entered(&index).1, damaged), (vec![1, 2], vec![]));
    let words = index.replace_unread(2).unwrap().unwrap();
    assert!(words.contains("was set aside as *.quarantined"), "{words}");
    assert_eq!(index.replace_unread(2).unwrap(), None);
    assert_eq!(index.replace_unread(3).unwrap(), None, "its headers were read");
    let aside = format!("{}{QUARANTINED}", fixture.segment(2).display());
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
    // The new one has a GAP, and all positions.
    assert_eq!(
        (entered(&index), by_headers(&fixture)),
        ((whole, vec![1]), entered(&index).0)
    );
    assert_eq!(segments_in(fixture.path()).unwrap().len(), 3);
    assert_eq!(std::fs::read_dir(fixture.path()).unwrap().count(), 4);
}

#[test]
fn an_unread_segment_that_is_gone_meanwhile_is_not_brought_back() {
    let (fixture, _) = three();
    spoil(&fixture, 2);
    let (index, _) = index_of(&fixture);
    let (segments, place, gone) = index.unread(2).unwrap();
    assert_eq!(place, 1);
    let copy = fixture.path().join("copy");
    quarantine::copy_anew(&segments, place, &copy).unwrap();
    let another = std::fs::read(&copy).unwrap();
    index.replace_unread(2).unwrap().unwrap();
    let replaced = std::fs::read(fixture.segment(2)).unwrap();
    assert!(!index.take_place(&segments[place], &copy, &gone).unwrap());
    assert_eq!(std::fs::read(fixture.segment(2)).unwrap(), replaced);
    assert_ne!(replaced, another, "each copy has a salt of its own");
}

#[test]
fn where_nothing_can_be_put_in_its_place_what_is_damaged_is_not_awaited() {
    let (fixture, _) = three();
    let bytes = spoil(&fixture, 2);
    let (index, _) = index_of(&fixture);
    // What is missing at its end cannot be told, as when there is no room for another.
    let third = std::fs::read(fixture.segment(3)).unwrap();
    std::fs::remove_file(fixture.segment(3)).unwrap();
    let gone = index.unread(2).unwrap().2;
    let words = index.replace_unread(2).unwrap().unwrap();
    std::fs::write(fixture.segment(3), third).unwrap();
    assert!(words.contains("nothing sound can be put in its place"), "{words}");
    assert!(gone.load(Ordering::Relaxed), "whoever reads it begins anew");
    assert_eq!(index.replace_unread(2).unwrap(), None, "it was told");
    assert_eq!(entered(&index), (by_headers(&fixture), vec![1]));
    let aside = format!("{}{QUARANTINED}", fixture.segment(2).display());
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(fixture.path()).unwrap().count(), 4);
}

#[test]
fn a_checkpoint_that_knows_nothing_of_what_lies_in_front_of_it_tells_nothing() {
    let mut fixture = spool();
    let stream = fixture.stream();
    long(&mut fixture, stream);
    fixture.end(stream, 4);
    fixture.log.table_mut().streams.clear();
    fixture.roll();
    let (segments, unread) = entered(&index_of(&fixture).0);
    assert_eq!((segments, unread), (by_headers(&fixture), vec![]));
    assert_eq!(index_of(&fixture).0.lock().lies_in[&stream], 1);
}

/// A receiver, and what it was sent.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    has: BTreeMap<StreamId, u64>,
    frames: Vec<(Kind, StreamId, u64, u64)>,
}

impl Taken {
    /// Takes up to `most` frames that it lacks, as a shipper brings them.
    fn take(&mut self, cursor: &mut Cursor, most: usize) {
        cursor.let_go();
        let until = self.frames.len().saturating_add(most);
        while self.frames.len() < until {
            let has = |stream| self.has.get(&stream).copied().unwrap_or(0);
            let Some(frame) = cursor.next_frame(&has).unwrap() else {
                return;
            };
            let FrameHeader {
                kind,
                stream,
                start,
                end,
                ..
            } = *frame.header();
            if end > has(stream) {
                assert_eq!(
                    start,
                    has(stream),
                    "{kind:?} {stream} to {end}: nothing is missing without a GAP"
                );
                self.has.insert(stream, end);
                self.frames.push((kind, stream, start, end));
            }
            cursor.passed(&frame).unwrap();
        }
    }
}

/// Segments 1, 2 and 3, of which the second has all that a segment can have, with some of it `durable` for all to see.
fn many_streams(durable: bool) -> Fixture {
    let mut fixture = spool();
    let [goes_on, ends] = [fixture.stream(), fixture.stream()];
    long(&mut fixture, goes_on);
    fixture.data(ends, &[line(1, b"a")]);
    fixture.roll();
    for _ in 0..2 {
        long(&mut fixture, goes_on);
        fixture.data(ends, &[line(1, b"b")]);
        if durable {
            fixture.log.active().unwrap().sync().unwrap();
        }
    }
    let short = fixture.stream();
    fixture.data(short, &[line(1, b"c")]);
    fixture.gap(short, 64);
    fixture.end(short, 3);
    fixture.gap(goes_on, 64);
    fixture.data(goes_on, &[line(1, b"d")]);
    fixture.end(ends, 5);
    fixture.roll();
    long(&mut fixture, goes_on);
    fixture
}

fn cursor_of(index: &Arc<SpoolIndex>) -> Cursor {
    Cursor::at_start(Arc::clone(index), "there", u64::MAX, Recorder::to_nowhere()).unwrap()
}

#[test]
fn damage_to_any_header_costs_what_it_would_had_the_start_seen_it() {
    for durable in [false, true] {
        let fixture = many_streams(durable);
        let path = fixture.segment(2);
        let bytes = std::fs::read(&path).unwrap();
        let mut reader = SegmentReader::open(&path).unwrap();
        assert!(matches!(reader.checkpoint().unwrap(), Head::Whole(_)));
        let mut offsets = Vec::new();
        while let Next::Frame(found) = reader.next_frame().unwrap() {
            offsets.push(found.offset);
        }
        for offset in &offsets {
            let mut damaged = bytes.clone();
            damaged[usize::try_from(*offset).unwrap() + 20] ^= 0x10;
            let again = || {
                for path in disk::entries(fixture.path()).unwrap() {
                    if path.to_string_lossy().contains(QUARANTINED) {
                        std::fs::remove_file(path).unwrap();
                    }
                }
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, &damaged).unwrap();
                segments_in(fixture.path()).unwrap()
            };
            let open = |segments: &[SegmentFile]| {
                let owed = HashMap::from([(1, vec!["there".to_owned()])]);
                let (index, seen) = SpoolIndex::of_segments(segments, 9, owed.clone()).unwrap();
                if seen.is_empty() {
                    return Arc::new(index);
                }
                quarantine::set_aside(segments, 1, quarantine::Missing::ForGood).unwrap(); // as the start does
                Arc::new(SpoolIndex::of_segments(segments, 9, owed).unwrap().0)
            };
            let segments = again();
            quarantine::set_aside(&segments, 1, quarantine::Missing::ForGood).unwrap();
            let mut wanted = Taken::default();
            wanted.take(&mut cursor_of(&open(&segments)), usize::MAX);
            let ends = fixture.log.table().streams.iter().map(|(id, stream)| (*id, stream.end));
            assert_eq!(wanted.has, ends.collect());
            for early in (0..wanted.frames.len()).step_by(6) {
                let index = open(&again());
                let (mut first, mut second) = (Taken::default(), Taken::default());
                let (mut of_first, mut of_second) = (cursor_of(&index), cursor_of(&index));
                first.take(&mut of_first, early);
                second.take(&mut of_second, usize::MAX);
                first.take(&mut of_first, usize::MAX);
                assert_eq!((&first, &second), (&wanted, &wanted), "{durable} {offset} {early}");
                index.acknowledge(
                    "there",
                    &first.has.iter().map(|(id, at)| (*id, *at)).collect::<Vec<_>>(),
                );
                assert_eq!(index.unacknowledged()["there"].bytes, 0);
            }
        }
    }
}

#[test]
fn a_stream_that_ends_behind_damage_in_an_unread_segment_ends_though_its_records_are_dropped() {
    let mut fixture = spool();
    let stream = fixture.stream();
    long(&mut fixture, stream);
    fixture.end(stream, 5);
    let end = fixture.end_of(stream);
    fixture.roll();
    spoil(&fixture, 1);
    let segments = segments_in(fixture.path()).unwrap();
    let owed = HashMap::from([(1, vec!["there".to_owned()])]);
    let (index, damaged) = SpoolIndex::of_segments(&segments, 9, owed).unwrap();
    assert_eq!((entered(&index).1, damaged.len()), (vec![1], 0));
    let remnant = remnant::of(&index.victim().unwrap()).unwrap();
    assert_eq!(remnant.loss.records, 3, "all but that of the damaged frame");
    std::fs::write(fixture.segment(1), remnant.bytes).unwrap();
    let mut reader = SegmentReader::open(&fixture.segment(1)).unwrap();
    let mut frames = Vec::new();
    while let Next::Frame(FoundFrame { header, .. }) = reader.next_frame().unwrap() {
        if header.kind.takes_positions() {
            frames.push((header.kind, header.start, header.end));
        }
    }
    assert_eq!(
        frames,
        [(Kind::Gap, 0, end - END_SPAN), (Kind::End, end - END_SPAN, end)]
    );
}
