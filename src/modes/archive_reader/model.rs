//! An archive against a map: appended to, synced, closed, opened again, forgotten of, and damaged, while its sender sends again what it still has. Whatever
//! happens, a reader sees every record once and in order, but for what is said to be missing; and of streams that their sender keeps whole nothing
//! is missing as long as only the last segment was damaged before it was opened.

use super::fixture::{definition, line, line_payload, line_statement};
use super::*;
use crate::formats::body::{Attach, GapReason};
use crate::formats::definitions::Definitions;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::wire::Hello;
use crate::ids::OwnerId;
use crate::seglog::batch::FrameBatch;
use crate::seglog::recovery::segments_in;
use crate::stages::archive::{Archive, ArchivePattern};
use hog_ring::statement::flags;
use hog_ring::types::Type;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use uuid::Uuid;

const GROUP: &str = "web";

/// A stream as its sender has it.
struct Sent {
    id: StreamId,
    /// Everything that was ever logged in it.
    bytes: Vec<u8>,
    /// Where frames may be cut.
    cuts: Vec<usize>,
    records: BTreeMap<u64, Vec<u8>>,
    /// The sender has nothing below this position any more.
    from: u64,
    keeps_all: bool,
    is_over: bool,
}

impl Sent {
    fn new(keeps_all: bool) -> Self {
        let bytes = line_statement(1, 0);
        Self {
            id: StreamId::random(),
            cuts: vec![0, bytes.len()],
            bytes,
            records: BTreeMap::new(),
            from: 0,
            keeps_all,
            is_over: false,
        }
    }

    fn log(&mut self, text: &str) {
        self.records
            .insert(self.bytes.len() as u64, line_payload(text.as_bytes()));
        self.bytes.extend(line(1, text.as_bytes()));
        self.cuts.push(self.bytes.len());
    }

    fn attach(&self) -> (FrameHeader, Attach) {
        let mut definitions = Definitions::default();
        let ty = Type::record([("source", Type::text()), ("text", Type::text())]);
        definitions.define(1, &definition(1, flags::LINE, "$text", ty));
        let attach = Attach {
            producer: "worker".into(),
            created: 1,
            boot: Uuid::nil(),
            sender: OwnerId::NIL,
            definitions,
        };
        let header = FrameHeader::plain(Kind::Attach, &attach.encode());
        (header.of_stream(self.id, self.from, self.from), attach)
    }

    /// Sends what the archive lacks, frame by frame.
    fn send(&self, archive: &mut Archive, sender: OwnerId) {
        let (header, mut attach) = self.attach();
        attach.sender = sender;
        let mut has = archive.attach(&header, &attach).unwrap();
        if has < self.from {
            let body = Gap::because(GapReason::SpoolDamaged).encode();
            append(
                archive,
                FrameHeader::plain(Kind::Gap, &body).of_stream(self.id, has, self.from),
                &body,
            );
            has = self.from;
        }
        for cut in self.cuts.windows(2).filter(|cut| cut[1] as u64 > has) {
            let body = &self.bytes[cut[0]..cut[1]];
            let header = FrameHeader::plain(Kind::Data, body).of_stream(self.id, cut[0] as u64, cut[1] as u64);
            append(archive, header.with_flags(frame::STATEMENTS), body);
        }
    }
}

fn append(archive: &mut Archive, header: FrameHeader, body: &[u8]) {
    let mut batch = FrameBatch::default();
    batch.push(header, body);
    archive.append(&mut batch).unwrap();
}

#[derive(Clone, Debug)]
enum Op {
    /// Logs a line in a stream, and sends it.
    Log(usize),
    /// Syncs what is in the archive.
    Sync,
    /// Begins another segment, in order.
    Close,
    /// The receiver is killed and started.
    Kill,
    /// The sender has nothing left of a stream, and says so.
    Forget(usize),
    /// A bit is flipped: of the last segment or of any, at so many thousandths of its length. Then the receiver is killed and started.
    Rot {
        last: bool,
        segment: usize,
        at: usize,
        bit: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let rot = |last| {
        (any::<prop::sample::Index>(), 0..1000usize, 0..8u8).prop_map(move |(segment, at, bit)| Op::Rot {
            last,
            segment: segment.index(1 << 20),
            at,
            bit,
        })
    };
    prop_oneof![
        8 => (0..4usize).prop_map(Op::Log),
        3 => Just(Op::Sync),
        1 => Just(Op::Close),
        1 => Just(Op::Kill),
        1 => (0..4usize).prop_map(Op::Forget),
        2 => rot(true),
        1 => rot(false),
    ]
}

/// What a reader sees, by stream.
#[derive(Default)]
struct Seen {
    records: Vec<(StreamId, u64, Vec<u8>)>,
    told: usize,
}

impl Visitor for Seen {
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        self.records.push((stream.id, record.position, record.payload.to_vec()));
        Ok(())
    }

    fn undefined(&mut self, _stream: &StreamInfo, _position: u64, _statement: u32) -> io::Result<()> {
        self.told += 1;
        Ok(())
    }

    fn gap(&mut self, _stream: &StreamInfo, _missing: Range<u64>, _gap: &Gap) -> io::Result<()> {
        self.told += 1;
        Ok(())
    }

    fn fault(&mut self, _fault: &Fault) -> io::Result<()> {
        self.told += 1;
        Ok(())
    }
}

struct World {
    base: tempfile::TempDir,
    archive: Option<Archive>,
    sender: OwnerId,
    streams: Vec<Sent>,
    lines: u32,
    /// Something else than the last segment was damaged.
    is_old_damaged: bool,
}

impl World {
    fn new() -> Self {
        let base = tempfile::Builder::new()
            .prefix("hog-test-")
            .tempdir_in("/dev/shm")
            .unwrap();
        let mut world = Self {
            base,
            archive: None,
            sender: OwnerId::random(),
            streams: (0..4).map(|number| Sent::new(number % 2 == 0)).collect(),
            lines: 0,
            is_old_damaged: false,
        };
        world.start();
        world
    }

    fn directory(&self) -> PathBuf {
        self.base.path().join(GROUP)
    }

    /// Opens the archive, and has the sender send what it lacks.
    fn start(&mut self) {
        let pattern = ArchivePattern::new(&format!("{}/$GROUP", self.base.path().display())).unwrap();
        let (mut archive, _) = Archive::open(&pattern, GROUP, "").unwrap();
        for stream in self.streams.iter().filter(|stream| !stream.is_over) {
            stream.send(&mut archive, self.sender);
        }
        self.archive = Some(archive);
    }

    fn archive(&mut self) -> &mut Archive {
        self.archive.as_mut().unwrap()
    }

    /// Syncs the archive, and has a sender come, which is stored: only what is behind a sync says that the disk held what was before it.
    fn sync(&mut self) {
        self.archive().active().unwrap().sync().unwrap();
        let hello = Hello {
            sender: OwnerId::random(),
            epoch: 1,
            start_id: 1,
            count: 1,
            group: GROUP.to_owned(),
        };
        self.archive().welcome(&hello, 1).unwrap();
        for stream in self.streams.iter_mut().filter(|stream| !stream.keeps_all) {
            stream.from = stream.bytes.len() as u64; // acknowledged, and deleted
        }
    }

    fn play(&mut self, op: &Op) {
        match op {
            Op::Log(number) => {
                self.lines += 1;
                let text = format!("line {}", self.lines);
                let stream = &mut self.streams[*number];
                stream.log(&text);
                let (archive, sender) = (self.archive.as_mut().unwrap(), self.sender);
                self.streams[*number].send(archive, sender);
            }
            Op::Sync => self.sync(),
            Op::Close => {
                self.archive().finish().unwrap();
                self.start();
            }
            Op::Kill => self.start(),
            Op::Forget(number) => {
                let keeps_all = self.streams[*number].keeps_all;
                let old = std::mem::replace(&mut self.streams[*number], Sent::new(keeps_all));
                let sender = self.sender;
                self.archive().forget(sender, &[old.id]).unwrap();
                self.streams.push(Sent { is_over: true, ..old });
            }
            Op::Rot { last, segment, at, bit } => {
                self.archive = None;
                self.rot(*last, *segment, *at, *bit);
                self.start();
            }
        }
    }

    fn rot(&mut self, last: bool, segment: usize, at: usize, bit: u8) {
        let segments = segments_in(&self.directory()).unwrap();
        let place = if last {
            segments.len() - 1
        } else {
            segment % segments.len()
        };
        self.is_old_damaged |= place + 1 < segments.len();
        let path: &Path = &segments[place].path;
        let mut bytes = fs::read(path).unwrap();
        let at = at * bytes.len() / 1000;
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
    }

    fn check(&self) {
        let mut seen = Seen::default();
        read(&[self.directory()], Depth::Everything, &mut seen).unwrap();
        let mut ends: BTreeMap<StreamId, u64> = BTreeMap::new();
        for (id, position, payload) in &seen.records {
            let before = ends.insert(*id, *position);
            assert!(
                before.is_none_or(|before| before < *position),
                "{id} at {position} again"
            );
            let stream = self.streams.iter().find(|stream| stream.id == *id).unwrap();
            assert_eq!(stream.records.get(position), Some(payload), "{id} at {position}");
        }
        for stream in &self.streams {
            let missing = stream.records.keys().filter(|position| {
                let is_it = |(id, at, _): &&(StreamId, u64, Vec<u8>)| *id == stream.id && at == *position;
                !seen.records.iter().any(|record| is_it(&record))
            });
            let missing: Vec<_> = missing.collect();
            let is_whole = stream.keeps_all && !stream.is_over && !self.is_old_damaged;
            assert!(
                missing.is_empty() || !is_whole,
                "{}: {missing:?} are missing",
                stream.id
            );
            assert!(
                missing.is_empty() || seen.told > 0 || stream.is_over,
                "{missing:?} are missing, unsaid"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_archive_that_is_damaged_and_reopened_holds_what_a_map_holds(ops in prop::collection::vec(op(), 1..40)) {
        let mut world = World::new();
        for op in &ops {
            world.play(op);
        }
        world.check();
    }
}

#[test]
fn what_is_sent_again_after_damage_is_read_where_it_belongs() {
    let mut world = World::new();
    for _ in 0..5 {
        world.play(&Op::Log(0));
        world.sync();
    }
    world.archive = None;
    let path = world.directory().join(crate::formats::segment::file_name(1));
    let mut bytes = fs::read(&path).unwrap();
    let at = memchr::memmem::find(&bytes, b"line 2").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut seen = Seen::default();
    read(&[world.directory()], Depth::Everything, &mut seen).unwrap();
    assert_eq!((seen.records.len(), seen.told), (4, 2)); // the damage, and what is missing
    world.start();
    let mut seen = Seen::default();
    read(&[world.directory()], Depth::Everything, &mut seen).unwrap();
    assert_eq!((seen.records.len(), seen.told), (5, 0));
    world.check();
}
