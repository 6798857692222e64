//! A sync that failed, with what follows of it: what is read back, and what is not.

use super::LostRange;
use crate::fence::{Fence, Pass};
use crate::formats::body::{Attach, End};
use crate::formats::codec::Decompressor;
use crate::formats::definitions::Definitions;
use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::segment::LogRole;
use crate::formats::table::{StreamState, Table};
use crate::ids::{OwnerId, StreamId};
use crate::seglog::batch::FrameBatch;
use crate::seglog::recovery::{Standing, recover, segments_in};
use crate::seglog::writer::{Durability, LogIdentity, SegmentLog};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

struct Scene {
    directory: tempfile::TempDir,
    log: SegmentLog,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = LogIdentity {
            role: LogRole::Archive,
            group: "g".into(),
            owner: OwnerId::random(),
            epoch: 1,
        };
        let standing = Standing {
            next_number: 1,
            ..Standing::default()
        };
        let mut log = SegmentLog::new(
            identity,
            Durability::EachSegment,
            1 << 20,
            directory.path().to_owned(),
            standing,
            Decompressor::new().unwrap(),
        );
        log.begin_segment().unwrap();
        Self { directory, log }
    }

    /// A new stream; says where its first frame of data stands.
    fn attach(&mut self) -> StreamId {
        let stream = StreamId::random();
        let attach = Attach {
            producer: "p".into(),
            created: self.log.table().streams.len() as u64,
            boot: uuid::Uuid::nil(),
            sender: OwnerId::NIL,
            definitions: Definitions::default(),
        };
        self.append(Kind::Attach, stream, 0, 0, &attach.encode());
        stream
    }

    /// Appends a frame; says at which offset it stands.
    fn append(&mut self, kind: Kind, stream: StreamId, start: u64, end: u64, body: &[u8]) -> u64 {
        let offset = self.log.active().map_or(0, |active| active.accepted());
        let mut batch = FrameBatch::default();
        batch.push(FrameHeader::plain(kind, body).of_stream(stream, start, end), body);
        self.log.append(&mut batch).unwrap();
        offset
    }

    fn data(&mut self, stream: StreamId, start: u64, end: u64) -> u64 {
        let body = vec![7; usize::try_from(end - start).unwrap()];
        self.append(Kind::Data, stream, start, end, &body)
    }

    fn sync(&self) {
        self.log.active().unwrap().sync().unwrap();
    }

    /// Flips a bit of the active segment, `at` bytes from its beginning.
    fn spoil(&self, at: u64) {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.log.active().unwrap().file.path())
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }

    fn rewrite(&mut self) -> Vec<LostRange> {
        self.log.active().unwrap().file.give_up();
        self.log.rewrite_failed().unwrap()
    }

    /// What a restart finds.
    fn recovered(&self) -> Table {
        let standing = recover(&segments_in(self.directory.path()).unwrap()).unwrap();
        assert_eq!(standing.damages, Vec::<String>::new());
        standing.table
    }

    fn numbers(&self) -> Vec<u64> {
        let segments = segments_in(self.directory.path()).unwrap();
        segments.iter().map(|segment| segment.number).collect()
    }
}

#[test]
fn what_was_not_synced_is_read_back_and_stands_in_a_new_segment() {
    let mut scene = Scene::new();
    let synced = scene.attach();
    scene.data(synced, 0, 64);
    scene.sync();
    let other = scene.attach();
    scene.data(synced, 64, 128);
    scene.data(other, 0, 32);
    scene.append(Kind::End, other, 32, 40, &End::default().encode());
    let held = scene.log.table().clone();
    assert_eq!(scene.rewrite(), []);
    // Whatever becomes of the failed one behind what was synced, the new one explains it all.
    assert_eq!(scene.recovered(), held);
    assert_eq!(scene.numbers(), [1, 2]);
    scene.data(synced, 128, 192);
    assert_eq!(scene.numbers(), [1, 2, 3]);
    assert_eq!(scene.recovered().streams[&synced].end, 192);
}

#[test]
fn what_cannot_be_read_back_is_marked_by_gaps_and_ended_streams_stay_ended() {
    let mut scene = Scene::new();
    let synced = scene.attach();
    scene.data(synced, 0, 64);
    scene.sync();
    scene.data(synced, 64, 128);
    let bad = scene.data(synced, 128, 160);
    let other = scene.attach();
    scene.data(other, 0, 32);
    scene.append(Kind::End, other, 32, 40, &End::default().encode());
    let held = scene.log.table().clone();
    scene.spoil(bad + 100);
    let lost = scene.rewrite();
    let expected = [(synced, 128, 160), (other, 0, 32)].map(|(stream, from, to)| LostRange { stream, from, to });
    assert_eq!(lost, expected);
    let recovered = scene.recovered();
    assert_eq!(recovered, held);
    assert_eq!(recovered.streams[&other].state, StreamState::Ended);
}

#[test]
fn damage_to_what_was_synced_ends_the_reading_and_costs_no_more_than_gaps() {
    let mut scene = Scene::new();
    let stream = scene.attach();
    let bad = scene.data(stream, 0, 64);
    scene.data(stream, 64, 128);
    scene.sync();
    scene.data(stream, 128, 160);
    let held = scene.log.table().clone();
    scene.spoil(bad + 100);
    let (from, to) = (0, 160);
    assert_eq!(scene.rewrite(), [LostRange { stream, from, to }]);
    assert_eq!(scene.recovered(), held);
}

#[test]
fn nothing_has_changed_when_the_new_segment_cannot_be_made() {
    let mut scene = Scene::new();
    let stream = scene.attach();
    scene.data(stream, 0, 64);
    scene.log.active().unwrap().file.give_up();
    // The name of the unfinished segment is taken by what cannot be unlinked.
    let name = super::unfinished_name(2, &Pass::default());
    let unfinished = scene.directory.path().join(name);
    std::fs::create_dir(&unfinished).unwrap();
    assert!(scene.log.rewrite_failed().is_err());
    assert_eq!(scene.numbers(), [1]);
    std::fs::remove_dir(&unfinished).unwrap();
    assert_eq!(scene.rewrite(), []);
    assert_eq!(scene.numbers(), [1, 3], "a number is used once");
    assert_eq!(scene.recovered().streams[&stream].end, 64);
}

#[test]
fn who_was_relieved_puts_nothing_in_place_and_its_successor_removes_what_it_left() {
    let mut scene = Scene::new();
    let stream = scene.attach();
    scene.data(stream, 0, 64);
    let fence = Arc::<Fence>::default();
    scene.log.guard(&fence.pass());
    fence.relieve().unwrap();
    scene.log.active().unwrap().file.give_up();
    assert!(scene.log.rewrite_failed().is_err());
    assert_eq!(scene.numbers(), [1]);
    let directory = scene.directory.path();
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 2);
    super::remove_unfinished(directory).unwrap();
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 1);
}

#[test]
fn a_long_segment_is_copied_in_many_writes() {
    let mut scene = Scene::new();
    let stream = scene.attach();
    scene.sync();
    for number in 0..40 {
        scene.data(stream, number * 65_536, (number + 1) * 65_536);
    }
    let held = scene.log.table().clone();
    assert_eq!(scene.rewrite(), []);
    assert_eq!(scene.recovered(), held);
}
