//! Frames of made-up records, and the segments that become of them: read from the beginning, and again from every place
//! where a sender may have been killed.

use super::*;
use crate::formats::classic::segment::next_transaction;
use crate::formats::classic::statements::Declaration;
use hog_ring::layout::{LAST, MORE, PLAIN_HEADER, TIME, TIMED_HEADER};
use hog_ring::record::{first_word, padded};
use hog_ring::types::Type;

fn encoded(id: u32, name: &str, payload_type: Type) -> Vec<u8> {
    let definition = Definition {
        id,
        name: name.to_owned(),
        flags: 1,
        format: String::new(),
        file: String::new(),
        line: 0,
        payload_type,
    };
    let mut bytes = Vec::new();
    definition.encode(&mut bytes);
    bytes
}

/// Ring records in a row.
#[derive(Clone, Default)]
struct Records(Vec<u8>);

impl Records {
    fn put(mut self, kind: Kind, flags: u32, statement: u32, payload: &[u8]) -> Self {
        let header = if flags & TIME == 0 { PLAIN_HEADER } else { TIMED_HEADER };
        let length = header + payload.len();
        let end = self.0.len() + padded(length);
        self.0.put_u32_le(first_word(kind, length, flags));
        self.0.put_u32_le(statement);
        if flags & TIME != 0 {
            self.0.put_u64_le(77);
        }
        self.0.extend_from_slice(payload);
        self.0.resize(end, 0);
        self
    }

    fn define(self, id: u32, name: &str, payload_type: Type) -> Self {
        self.put(Kind::Stmt, 0, id, &encoded(id, name, payload_type))
    }

    /// A record of statement 1, which is an `int`.
    fn int(self, flags: u32, value: u32) -> Self {
        self.put(Kind::Record, flags, 1, &value.to_le_bytes())
    }

    /// A transaction of these records in so many fragments.
    fn in_fragments(mut self, pieces: usize, whole: &Self) -> Self {
        let length = whole.0.len().div_ceil(pieces);
        for (number, piece) in (0..).zip(whole.0.chunks(length)) {
            let last = if (number as usize + 1) * length >= whole.0.len() {
                LAST
            } else {
                0
            };
            self = self.put(Kind::Fragment, last, number, piece);
        }
        self
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// A stream as a spool has it: frames in a row, from position 0.
struct Frames {
    stream: StreamId,
    frames: Vec<(FrameHeader, Vec<u8>)>,
}

impl Frames {
    fn of(records: impl IntoIterator<Item = Records>) -> Self {
        let (stream, mut start) = (StreamId::random(), 0);
        let mut frames = Vec::new();
        for records in records {
            let end = start + records.len();
            let header =
                FrameHeader::plain(crate::formats::frame::Kind::Data, &records.0).of_stream(stream, start, end);
            frames.push((header, records.0));
            start = end;
        }
        Self { stream, frames }
    }

    fn lane(&self, start: u64, until: Option<u64>) -> Lane {
        Lane::new(self.stream, 1 << 20, start, until, std::iter::empty())
    }

    /// What becomes of the frames if each is sealed at its end.
    fn sealed_each(&self) -> Vec<Segment> {
        let mut lane = self.lane(0, None);
        let mut segments = Vec::new();
        for (header, raw) in &self.frames {
            lane.data(header, raw);
            lane.seal(false);
            segments.extend(lane.take_sealed());
        }
        assert!(lane.take_omitted().is_empty());
        segments
    }
}

/// The values in the transactions of a segment: all records are of statement 1, an `int`.
fn values(segment: &Segment) -> Vec<Vec<u32>> {
    let (mut rest, mut transactions) = (segment.raw.as_slice(), Vec::new());
    let mut transaction = Vec::new();
    while next_transaction(&mut rest, &mut transaction).unwrap() {
        let (records, short) = transaction.as_chunks::<8>();
        assert!(short.is_empty());
        let value = |record: &[u8; 8]| {
            assert_eq!(record[..4], [1, 0, 0, 0]);
            u32::from_le_bytes(record[4..].try_into().unwrap())
        };
        transactions.push(records.iter().map(value).collect());
    }
    transactions
}

fn names(segment: &Segment) -> Vec<(u32, String)> {
    let declared = Declaration::of_init(&segment.init).unwrap();
    let all = declared.statements.all().iter();
    all.map(|definition| (definition.id, definition.name.clone())).collect()
}

fn int_defined() -> Records {
    Records::default().define(1, "int", Type::int())
}

#[test]
fn records_with_more_are_one_transaction_and_times_are_left_out() {
    let records = int_defined()
        .int(TIME, 1)
        .int(MORE | TIME, 2)
        .int(MORE, 3)
        .int(0, 4)
        .int(0, 5);
    let segments = Frames::of([records]).sealed_each();
    assert_eq!(segments.len(), 1);
    assert_eq!(values(&segments[0]), [vec![1], vec![2, 3, 4], vec![5]]);
    assert_eq!(names(&segments[0]), [(1, "int".to_owned())]);
}

#[test]
fn a_transaction_in_fragments_is_one_and_is_cut_nowhere() {
    let whole = Records::default().int(MORE, 2).int(MORE, 3).int(0, 4);
    let run = Records::default().in_fragments(3, &whole);
    // Of three fragments the first is in the first frame, the others in the second.
    let (first, rest) = run.0.split_at(PLAIN_HEADER + padded(whole.0.len().div_ceil(3)));
    let mut one = int_defined().int(0, 1);
    one.0.extend_from_slice(first);
    let other = Records(rest.to_vec()).int(0, 5);
    let frames = Frames::of([one.clone(), other]);
    let segments = frames.sealed_each();
    assert_eq!(
        segments.iter().flat_map(values).collect::<Vec<_>>(),
        [vec![1], vec![2, 3, 4], vec![5]]
    );
    assert_eq!(segments[0].end, one.len() - first.len() as u64, "in front of the run");
    assert_eq!(segments[1].end, frames.frames[1].0.end);
}

#[test]
fn what_was_on_its_way_is_made_again_from_any_cut_byte_by_byte() {
    let whole = Records::default().int(MORE, 20).int(0, 21);
    let frames = Frames::of([
        int_defined().int(0, 1).int(0, 2),
        Records::default().int(MORE, 3).int(0, 4).define(2, "two", Type::int()),
        Records::default()
            .int(0, 5)
            .put(Kind::Gap, 0, 0, &[0; 16])
            .int(0, 6)
            .in_fragments(2, &whole)
            .int(0, 7),
        Records::default().int(0, 8),
    ]);
    for segment in frames.sealed_each() {
        // As after a restart: from the answered position, with no memory, and more in the spool than was sent then.
        let mut lane = frames.lane(segment.start, Some(segment.end));
        for (header, raw) in &frames.frames {
            // The spool's table knows what earlier frames define.
            if header.end <= segment.start {
                lane.learn([(1, encoded(1, "int", Type::int()).as_slice())].into_iter());
                lane.learn([(2, encoded(2, "two", Type::int()).as_slice())].into_iter());
            } else {
                lane.data(header, raw);
            }
            lane.seal(false);
        }
        lane.seal(true);
        let again = lane.take_sealed();
        assert_eq!(
            (again[0].start, again[0].end, &again[0].raw),
            (segment.start, segment.end, &segment.raw)
        );
    }
}

#[test]
fn a_range_within_frames_is_made_again() {
    let records = int_defined().int(0, 1).int(0, 2).int(0, 3);
    let frames = Frames::of([records]);
    let (header, raw) = &frames.frames[0];
    let record = PLAIN_HEADER as u64 + 8;
    let mut lane = frames.lane(header.end - 2 * record, Some(header.end - record));
    lane.data(header, raw);
    lane.seal(false);
    let segments = lane.take_sealed();
    assert_eq!(
        segments.iter().map(values).collect::<Vec<_>>(),
        [vec![vec![2]], vec![vec![3]]]
    );
}

#[test]
fn a_segment_that_is_long_enough_is_finished_behind_a_transaction() {
    let records = int_defined().int(MORE, 1).int(MORE, 2).int(0, 3).int(0, 4).int(0, 5);
    let frames = Frames::of([records]);
    let mut lane = Lane::new(frames.stream, 20, 0, None, std::iter::empty());
    lane.data(&frames.frames[0].0, &frames.frames[0].1);
    lane.seal(false);
    let segments = lane.take_sealed();
    assert_eq!(
        segments.iter().map(values).collect::<Vec<_>>(),
        [vec![vec![1, 2, 3]], vec![vec![4], vec![5]]]
    );
    assert!(segments[0].end == segments[1].start && segments[1].end == frames.frames[0].0.end);
}

#[test]
fn an_heir_begins_a_segment_whose_init_knows_its_own_statements_alone() {
    let heir = int_defined().int(0, 1);
    let heir = heir.put(Kind::Abort, 0, 2, &[0; 8]).define(2, "int", Type::double());
    let heir = heir.put(Kind::Record, 0, 2, &1.5f64.to_le_bytes());
    let frames = Frames::of([heir]);
    let segments = frames.sealed_each();
    assert_eq!(names(&segments[0]), [(1, "int".to_owned())]);
    assert_eq!(names(&segments[1]), [(2, "int".to_owned())]);
    assert_eq!(
        (segments[0].end, segments[1].end),
        (segments[1].start, frames.frames[0].0.end)
    );
}

#[test]
fn a_new_statement_makes_the_init_longer() {
    let frames = Frames::of([
        int_defined().int(0, 1),
        Records::default().int(0, 2),
        Records::default().define(7, "later", Type::text()).int(0, 3),
    ]);
    let inits: Vec<_> = frames.sealed_each().iter().map(names).collect();
    assert_eq!(inits[0], inits[1]);
    assert_eq!(inits[2], [(1, "int".to_owned()), (7, "later".to_owned())]);
}

#[test]
fn what_the_original_cannot_take_is_left_out_and_counted_and_the_rest_goes() {
    let alias = Type::alias("name", Type::text());
    let records = int_defined().define(3, "named", alias).int(MORE, 1);
    let records = records
        .put(Kind::Record, MORE, 3, &[0; 8])
        .put(Kind::Record, 0, 3, &[0; 8]);
    let records = records
        .put(Kind::Record, 0, 9, &[1])
        .put(Kind::Record, 0, 1, &[1, 2, 3])
        .int(0, 2);
    let frames = Frames::of([records]);
    let mut lane = frames.lane(0, None);
    lane.data(&frames.frames[0].0, &frames.frames[0].1);
    lane.seal(false);
    let segments = lane.take_sealed();
    assert_eq!(values(&segments[0]), [vec![1], vec![2]]);
    let omitted: Vec<_> = lane
        .take_omitted()
        .into_iter()
        .map(|(omission, count)| (omission.words(), count))
        .collect();
    assert_eq!(omitted.iter().map(|(_, count)| count).collect::<Vec<_>>(), [&2, &1, &1]);
    assert!(omitted[0].0.contains("\"named\""), "{omitted:?}");
    assert!(lane.take_omitted().is_empty(), "it is counted once");
}

#[test]
fn what_nothing_is_to_be_sent_of_is_answered_for_without_a_word() {
    let frames = Frames::of([int_defined()]);
    let mut lane = frames.lane(0, None);
    lane.data(&frames.frames[0].0, &frames.frames[0].1);
    lane.finish(frames.frames[0].0.end + 8);
    lane.seal(false);
    let segments = lane.take_sealed();
    assert_eq!(
        (segments[0].raw.len(), segments[0].end),
        (0, frames.frames[0].0.end + 8)
    );
    assert!(segments[0].is_last);
}

#[test]
fn a_hole_voids_the_open_run_and_what_follows_goes_on() {
    let whole = Records::default().int(0, 2);
    let run = Records::default().in_fragments(2, &whole);
    let cut = run.0.len() - 16;
    let frames = Frames::of([
        int_defined().int(0, 1),
        Records(run.0[..cut].to_vec()),
        Records::default().int(0, 3),
    ]);
    let mut lane = frames.lane(0, None);
    lane.data(&frames.frames[0].0, &frames.frames[0].1);
    lane.data(&frames.frames[1].0, &frames.frames[1].1);
    lane.seal(false);
    assert_eq!(lane.take_sealed()[0].end, frames.frames[0].0.end);
    lane.skip(frames.frames[1].0.end);
    assert!(lane.was_interrupted());
    lane.data(&frames.frames[2].0, &frames.frames[2].1);
    lane.seal(false);
    let segments = lane.take_sealed();
    assert_eq!(
        (values(&segments[0]), segments[0].end),
        (vec![vec![3]], frames.frames[2].0.end)
    );
}

#[test]
fn any_bytes_are_passed_over_without_harm() {
    let mut chance = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let mut records = int_defined()
            .int(MORE, 1)
            .int(0, 2)
            .in_fragments(2, &Records::default().int(0, 3));
        for _ in 0..chance.usize(1..4) {
            let at = chance.usize(..records.0.len());
            records.0[at] = chance.u8(..);
        }
        let frames = Frames::of([records]);
        let (header, raw) = &frames.frames[0];
        let mut lane = frames.lane(0, None);
        lane.data(header, raw);
        lane.finish(header.end + 8);
        lane.seal(true);
        for segment in lane.take_sealed() {
            let (mut rest, mut transaction) = (segment.raw.as_slice(), Vec::new());
            while next_transaction(&mut rest, &mut transaction).unwrap() {
                assert!(!transaction.is_empty());
            }
        }
    }
}
