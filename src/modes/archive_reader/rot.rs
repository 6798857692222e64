//! Every bit and every length of a small spool and of a small archive: whatever is flipped or cut off, it is found, set aside or taken for the torn end that
//! it may be, and gone on with. No record comes twice or out of its order, none is missing but those that were touched, and what is missing is said.
//!
//! Of each byte one bit is flipped, another one from byte to byte; with `HOG_EVERY_BIT=1` each of them.
//!
//! The log has three streams and two segments, with frames of every kind, compressed and not. In the first segment everything was on disk when the second
//! was begun; in the second a sync came before the last two frames.

use super::fixture::{Fixture, line};
use super::*;
use crate::formats::codec::Compression;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::lock_record::SpoolIdentity;
use crate::formats::segment::{LogRole, SEGMENT_HEADER_LEN, file_name};
use crate::ids::OwnerId;
use crate::os::lock::DirectoryLock;
use crate::seglog::quarantine::QUARANTINED;
use crate::seglog::reader::{Next, SegmentReader};
use crate::stages::archive::{Archive, ArchivePattern};
use crate::stages::spool::older::OlderSpool;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::time::Duration;

const SEGMENTS: u64 = 2;
const GROUP: &str = "web";

type Place = (StreamId, u64);

/// What a reader makes of a log.
#[derive(Debug, Default, PartialEq)]
struct Read {
    /// Records by where they stand.
    records: BTreeMap<Place, Vec<u8>>,
    /// Records that came twice, or behind a later one.
    doubled: Vec<Place>,
    /// Records of which it is said that nothing defines them.
    undefined: BTreeSet<Place>,
    gaps: Vec<(StreamId, Range<u64>)>,
    faults: Vec<String>,
    /// Segments whose ends are no frames.
    spoilt: usize,
    last: HashMap<StreamId, u64>,
}

impl Read {
    fn meet(&mut self, place: Place) {
        let before = self.last.insert(place.0, place.1);
        if before.is_some_and(|before| before >= place.1) {
            self.doubled.push(place);
        }
    }
}

impl Visitor for Read {
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        let place = (stream.id, record.position);
        self.meet(place);
        self.records.insert(place, record.payload.to_vec());
        Ok(())
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, _statement: u32) -> io::Result<()> {
        self.meet((stream.id, position));
        self.undefined.insert((stream.id, position));
        Ok(())
    }

    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, _gap: &Gap) -> io::Result<()> {
        self.gaps.push((stream.id, missing));
        Ok(())
    }

    fn spoilt(&mut self, _path: &Path, _from: u64) -> io::Result<()> {
        self.spoilt += 1;
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.faults.push(fault.to_string());
        Ok(())
    }
}

fn read_all(directory: &Path) -> Read {
    let mut found = Read::default();
    read(&[directory.to_owned()], Depth::Everything, &mut found).unwrap();
    found
}

/// A frame of the log, and where it stands.
#[derive(Clone, Copy, Debug)]
struct Frame {
    segment: u64,
    from: u64,
    to: u64,
    header: FrameHeader,
}

impl Frame {
    fn is_head(&self) -> bool {
        self.header.kind == Kind::Checkpoint && !self.header.has(frame::UPDATE)
    }

    fn holds(&self, (stream, position): &Place) -> bool {
        self.header.stream == *stream && (self.header.start..self.header.end).contains(position)
    }
}

/// The log as it was written.
struct Whole {
    role: LogRole,
    files: Vec<Vec<u8>>,
    frames: Vec<Frame>,
    read: Read,
}

impl Whole {
    fn of(role: LogRole) -> Self {
        let mut fixture = Fixture::of(GROUP, role);
        fixture.sync_first();
        let [a, b] = [fixture.stream(), fixture.stream()];
        fixture.data(a, &[line(1, b"a1")]);
        fixture.data(b, &[line(1, b"b1"), line(1, b"b2")]);
        fixture.compression = Compression::Zstd(1);
        fixture.data(a, &[line(1, b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]);
        fixture.gap(b, 64);
        fixture.data(b, &[line(2, b"b3")]);
        fixture.end(b, 7);
        fixture.roll();
        fixture.data(a, &[line(1, b"a3")]);
        let c = fixture.stream();
        fixture.data(c, &[line(1, b"c1")]);
        fixture.data(a, &[line(1, b"a4")]);
        fixture.data(c, &[line(1, b"c2")]);
        fixture.sync();
        fixture.data(a, &[line(1, b"a5")]);
        fixture.data(c, &[line(1, b"c3")]);
        let mut frames = Vec::new();
        for segment in 1..=SEGMENTS {
            frames.extend(frames_of(&fixture.segment(segment), segment));
        }
        let whole = read_all(fixture.path());
        assert_eq!(
            (&whole.faults, whole.records.len(), &whole.undefined),
            (&vec![], 11, &BTreeSet::new())
        );
        Self {
            role,
            files: (1..=SEGMENTS)
                .map(|number| fs::read(fixture.segment(number)).unwrap())
                .collect(),
            frames,
            read: whole,
        }
    }

    /// The frames that `spoil` touches.
    fn touched(&self, spoil: Spoil) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| spoil.touches(frame))
    }

    /// Whether the end of the last segment may be taken for torn from the first touched frame on: no frame that is left says that the disk held that.
    fn may_be_torn(&self, spoil: Spoil) -> bool {
        let left = self
            .frames
            .iter()
            .filter(|frame| frame.segment == SEGMENTS && !spoil.touches(frame));
        let known = left.map(|frame| frame.header.durable).max().unwrap_or(0);
        let from = self.touched(spoil).map(|frame| frame.from).min();
        spoil.segment == SEGMENTS && from.unwrap_or(spoil.byte) >= known
    }

    /// Whether nothing of `segment` is left in front of `byte`: what a file holds that was never begun to be filled.
    fn is_in_head(&self, spoil: Spoil) -> bool {
        let mut frames = self.frames.iter().filter(|frame| frame.segment == spoil.segment);
        frames
            .find(|frame| !frame.is_head())
            .is_some_and(|first| spoil.byte < first.from)
    }
}

/// What is done to a log.
#[derive(Clone, Copy, Debug)]
struct Spoil {
    segment: u64,
    byte: u64,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Flip(u8),
    Cut,
}

impl Spoil {
    fn touches(self, frame: &Frame) -> bool {
        let is_in_it = match self.how {
            How::Flip(_) => (frame.from..frame.to).contains(&self.byte),
            How::Cut => frame.to > self.byte,
        };
        frame.segment == self.segment && is_in_it
    }

    fn apply(self, bytes: &mut Vec<u8>) {
        let byte = usize::try_from(self.byte).unwrap();
        match self.how {
            How::Flip(bit) => bytes[byte] ^= 1 << bit,
            How::Cut => bytes.truncate(byte),
        }
    }
}

fn frames_of(path: &Path, segment: u64) -> Vec<Frame> {
    let mut reader = SegmentReader::open(path).unwrap();
    let (mut frames, mut from) = (Vec::new(), SEGMENT_HEADER_LEN as u64);
    loop {
        match reader.next_frame().unwrap() {
            Next::Frame(found) => {
                let (to, header) = (found.end(), found.header);
                frames.push(Frame {
                    segment,
                    from,
                    to,
                    header,
                });
                from = to;
            }
            // SEAL, or nothing.
            _ => return frames,
        }
    }
}

/// The log in a directory of its own, spoilt in one place.
struct Spoilt<'w> {
    whole: &'w Whole,
    base: tempfile::TempDir,
    spoil: Spoil,
}

impl<'w> Spoilt<'w> {
    fn new(whole: &'w Whole, spoil: Spoil) -> Self {
        let base = tempfile::Builder::new()
            .prefix("hog-test-")
            .tempdir_in("/dev/shm")
            .unwrap();
        fs::create_dir(base.path().join(GROUP)).unwrap();
        let spoilt = Self { whole, base, spoil };
        for (number, bytes) in (1..).zip(&whole.files) {
            let mut bytes = bytes.clone();
            if number == spoil.segment {
                spoil.apply(&mut bytes);
            }
            fs::write(spoilt.directory().join(file_name(number)), bytes).unwrap();
        }
        spoilt
    }

    fn directory(&self) -> PathBuf {
        self.base.path().join(GROUP)
    }

    fn set_aside(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.to_string_lossy().ends_with(QUARANTINED))
            .collect()
    }

    /// Has its owner open it; what that found damaged.
    fn open(&self) -> Vec<String> {
        match self.whole.role {
            LogRole::Spool => {
                let lock = DirectoryLock::take(&self.directory()).unwrap();
                let sender = OwnerId::random();
                let identity = SpoolIdentity { sender, epoch: 9 };
                let opened = OlderSpool::open(lock, &self.directory(), identity, HashMap::new(), Duration::ZERO);
                opened.unwrap().damages
            }
            LogRole::Archive => {
                let pattern = format!("{}/$GROUP", self.base.path().display());
                let (_, damages) = Archive::open(&ArchivePattern::new(&pattern).unwrap(), GROUP, "").unwrap();
                damages
            }
        }
    }

    /// That nothing is read twice, nothing that was not there, and that whatever is missing was touched.
    fn assert_sound(&self, found: &Read, when: &str) {
        let (whole, spoil) = (self.whole, self.spoil);
        let place = format!("{spoil:?}, {when}: {found:?}");
        assert_eq!(found.doubled, vec![], "{place}");
        for (record, payload) in &found.records {
            assert_eq!(whole.read.records.get(record), Some(payload), "{place}");
        }
        for record in whole.read.records.keys() {
            let is_there = found.records.contains_key(record) || found.undefined.contains(record);
            let is_touched = whole.touched(spoil).any(|frame| frame.holds(record));
            let is_behind = || {
                let holding = whole.frames.iter().find(|frame| frame.holds(record)).unwrap();
                holding.segment == SEGMENTS && holding.to > spoil.byte && whole.may_be_torn(spoil)
            };
            assert!(is_there || is_touched || is_behind(), "{record:?} is missing: {place}");
        }
    }

    /// Whether nothing has to be said: only SEAL was touched, or what may be a torn end, or all of a segment is gone, as it is when a person deletes it.
    fn is_excused(&self) -> bool {
        let (whole, spoil) = (self.whole, self.spoil);
        let is_cut = matches!(spoil.how, How::Cut);
        let is_seal = whole.touched(spoil).next().is_none() && spoil.byte >= SEGMENT_HEADER_LEN as u64;
        is_seal || whole.may_be_torn(spoil) || (is_cut && whole.is_in_head(spoil))
    }

    /// Everything that is asked of a spoilt log.
    fn check(&self) {
        let spoil = self.spoil;
        let before = read_all(&self.directory());
        self.assert_sound(&before, "as it lies");
        // Of what is cut off nothing is left that could be told.
        let is_told = !before.faults.is_empty() || before.spoilt > 0;
        let is_cut = matches!(spoil.how, How::Cut);
        assert!(
            is_told || (is_cut && self.is_excused()),
            "{spoil:?} is not told: {before:?}"
        );
        let bytes = fs::read(self.directory().join(file_name(spoil.segment))).unwrap();
        let damages = self.open();
        let after = read_all(&self.directory());
        self.assert_sound(&after, "opened");
        assert!(after.records.len() >= before.records.len(), "{spoil:?}");
        let aside = self.set_aside();
        assert_eq!(aside.len(), damages.len(), "{spoil:?}: {damages:?}");
        for path in &aside {
            assert_eq!(fs::read(path).unwrap(), bytes, "{spoil:?}");
            assert_eq!(after.faults, Vec::<String>::new(), "{spoil:?}");
        }
        let is_spool = self.whole.role == LogRole::Spool;
        let is_last = spoil.segment == SEGMENTS;
        let knows = is_last || (is_spool && !self.is_body_further_back());
        assert!(
            !aside.is_empty() || !knows || self.is_excused(),
            "{spoil:?} is not set aside"
        );
        // What was set aside is done with.
        assert_eq!(self.open(), if aside.is_empty() { damages } else { vec![] });
        assert_eq!(self.set_aside().len(), aside.len());
        let again = read_all(&self.directory());
        assert_eq!(again.records, after.records);
    }

    /// Whether what is spoilt is a body that nobody reads at the start: the shipper does.
    fn is_body_further_back(&self) -> bool {
        let spoil = self.spoil;
        let mut touched = self.whole.touched(spoil);
        let is_in_body = |frame: &Frame| !frame.is_head() && spoil.byte >= frame.from + frame::HEADER_LEN as u64;
        matches!(spoil.how, How::Flip(_)) && spoil.segment < SEGMENTS && touched.any(is_in_body)
    }
}

/// Spoils a log in every way in `cases`, on two threads.
fn check(whole: &Whole, cases: &[Spoil]) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for spoil in cases.iter().skip(half).step_by(2) {
                    Spoilt::new(whole, *spoil).check();
                }
            });
        }
    });
}

fn every_byte(whole: &Whole) -> impl Iterator<Item = (u64, u64)> {
    let bytes = |(segment, bytes): (u64, &Vec<u8>)| (0..bytes.len() as u64).map(move |byte| (segment, byte));
    (1..).zip(&whole.files).flat_map(bytes)
}

fn flip_everywhere(role: LogRole) {
    let whole = Whole::of(role);
    let every = std::env::var_os("HOG_EVERY_BIT").is_some();
    let mut cases = Vec::new();
    for (segment, byte) in every_byte(&whole) {
        let one = u8::try_from(byte * 3 % 8).unwrap();
        let bits = if every { 0..8 } else { one..one + 1 };
        cases.extend(bits.map(|bit| Spoil {
            segment,
            byte,
            how: How::Flip(bit),
        }));
    }
    check(&whole, &cases);
}

#[test]
fn every_flipped_bit_of_a_spool_is_found_set_aside_and_survived() {
    flip_everywhere(LogRole::Spool);
}

#[test]
fn every_flipped_bit_of_an_archive_is_found_and_survived_and_set_aside_in_its_last_segment() {
    flip_everywhere(LogRole::Archive);
}

fn cut_everywhere(role: LogRole) {
    let whole = Whole::of(role);
    let how = How::Cut;
    // What is shorter than a header is all the same, and a reader waits a moment for whoever may be deleting it.
    let every = std::env::var_os("HOG_EVERY_BIT").is_some();
    let is_tried = |byte: u64| every || byte >= SEGMENT_HEADER_LEN as u64 || byte.is_multiple_of(53);
    let cuts = every_byte(&whole).filter(|(_, byte)| is_tried(*byte));
    let cases: Vec<_> = cuts.map(|(segment, byte)| Spoil { segment, byte, how }).collect();
    check(&whole, &cases);
}

#[test]
fn a_spool_that_is_cut_anywhere_is_survived() {
    cut_everywhere(LogRole::Spool);
}

#[test]
fn an_archive_that_is_cut_anywhere_is_survived() {
    cut_everywhere(LogRole::Archive);
}
