//! Logs that are written, torn, damaged and recovered.

use crate::fence::{Fence, Relieved};
use crate::formats::body::Attach;
use crate::formats::codec::{Compression, Compressor, Decompressor};
use crate::formats::definitions::Definitions;
use crate::formats::frame::{Codec, FrameHeader, Kind};
use crate::formats::segment::{self, LogRole};
use crate::formats::table::Table;
use crate::ids::{OwnerId, SegmentId, StreamId};
use crate::seglog::batch::FrameBatch;
use crate::seglog::quarantine::{self, Missing};
use crate::seglog::reader::{Ending, Head, Next, SegmentReader};
use crate::seglog::recovery::{self, Standing, recover, segments_in};
use crate::seglog::rewrite::LostRange;
use crate::seglog::writer::{AppendError, Durability, LogIdentity, SegmentLog};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log in a directory of its own.
struct Scene {
    dir: tempfile::TempDir,
    stream: StreamId,
}

impl Scene {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            stream: StreamId::random(),
        }
    }

    fn log(&self, standing: Standing) -> SegmentLog {
        let identity = LogIdentity {
            role: LogRole::Archive,
            group: "g".into(),
            owner: OwnerId::random(),
            epoch: 1,
        };
        let directory = self.dir.path().to_owned();
        SegmentLog::new(
            identity,
            Durability::EachSegment,
            1 << 20,
            directory,
            standing,
            Decompressor::new().unwrap(),
        )
    }

    fn fresh(&self) -> SegmentLog {
        self.log(Standing {
            next_number: 1,
            ..Standing::default()
        })
    }

    fn attach(&self) -> FrameBatch {
        let attach = Attach {
            producer: "p".into(),
            created: 1,
            boot: uuid::Uuid::nil(),
            sender: OwnerId::NIL,
            definitions: Definitions::default(),
        };
        let body = attach.encode();
        batch(
            FrameHeader::plain(Kind::Attach, &body).of_stream(self.stream, 0, 0),
            &body,
        )
    }

    /// A DATA frame of 64 bytes that begins at `start`.
    fn data(&self, start: u64) -> FrameBatch {
        let body = [1; 64];
        batch(
            FrameHeader::plain(Kind::Data, &body).of_stream(self.stream, start, start + 64),
            &body,
        )
    }

    fn recover(&self) -> Standing {
        recover(&segments_in(self.dir.path()).unwrap()).unwrap()
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.dir.path().join(crate::formats::segment::file_name(number))
    }

    fn end(&self, table: &Table) -> u64 {
        table.streams[&self.stream].end
    }
}

fn batch(header: FrameHeader, body: &[u8]) -> FrameBatch {
    let mut batch = FrameBatch::default();
    batch.push(header, body);
    batch
}

fn segment_id(scene: &Scene, number: u64) -> SegmentId {
    SegmentReader::open(&scene.segment(number)).unwrap().header().segment
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

fn truncate(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn a_log_stands_where_its_last_append_returned() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    log.append(&mut scene.data(64)).unwrap();
    let standing = scene.recover();
    assert_eq!(&standing.table, log.table());
    assert_eq!((scene.end(&standing.table), standing.next_number), (128, 2));
}

#[test]
fn every_cut_of_the_last_append_leaves_what_was_before() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    let before = log.active().unwrap().accepted();
    log.append(&mut scene.data(64)).unwrap();
    let after = log.active().unwrap().accepted();
    for cut in (before..after).rev() {
        truncate(&scene.segment(1), cut);
        let standing = scene.recover();
        assert_eq!(scene.end(&standing.table), 64, "cut at {cut}");
        assert_eq!(standing.damages, Vec::<String>::new());
    }
}

#[test]
fn every_cut_of_a_new_segment_s_head_leaves_its_predecessor_in_charge() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    log.roll_into(scene.dir.path()).unwrap();
    let head = log.active().unwrap().checkpoint_end;
    for cut in (0..head).rev() {
        truncate(&scene.segment(2), cut);
        let standing = scene.recover();
        assert_eq!(scene.end(&standing.table), 64, "cut at {cut}");
        assert_eq!((standing.last.unwrap().number, standing.next_number), (1, 3));
        assert_eq!(standing.damages, Vec::<String>::new());
    }
}

#[test]
fn a_checkpoint_alone_explains_the_log() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    log.roll_into(scene.dir.path()).unwrap();
    std::fs::remove_file(scene.segment(1)).unwrap();
    assert_eq!(scene.end(&scene.recover().table), 64);
}

#[test]
fn a_damaged_checkpoint_costs_no_frame_behind_it_and_is_told() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    log.roll_into(scene.dir.path()).unwrap();
    log.append(&mut scene.data(64)).unwrap();
    flip(&scene.segment(2), 200);
    let standing = scene.recover();
    assert_eq!(scene.end(&standing.table), 128);
    assert_eq!(standing.damages.len(), 1, "{:?}", standing.damages);
}

#[test]
fn a_frame_whose_body_is_bad_is_not_said_to_be_held() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    log.append(&mut scene.data(64)).unwrap();
    flip(&scene.segment(1), log.active().unwrap().accepted() - 1);
    assert_eq!(scene.end(&scene.recover().table), 64);
}

#[test]
fn compressed_frames_count_at_recovery() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    let (raw, mut body) = ([1; 640], Vec::new());
    let codec = Compressor::new(Compression::Zstd(1)).unwrap().compress(&raw, &mut body);
    let mut header = FrameHeader::plain(Kind::Data, &body).of_stream(scene.stream, 0, 640);
    (header.codec, header.raw_len) = (codec, 640);
    assert_eq!(codec, Codec::Zstd);
    log.append(&mut batch(header, &body)).unwrap();
    assert_eq!(scene.end(&scene.recover().table), 640);
}

#[test]
fn a_segment_whose_number_is_taken_is_left_alone() {
    let scene = Scene::new();
    std::fs::write(scene.segment(1), b"somebody else's").unwrap();
    let mut log = scene.fresh();
    assert!(log.append(&mut scene.attach()).is_err());
    assert_eq!(std::fs::read(scene.segment(1)).unwrap(), b"somebody else's");
}

#[test]
fn damage_before_a_known_durable_place_is_told_and_passed_over() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    let bad = log.active().unwrap().accepted();
    log.append(&mut scene.data(0)).unwrap();
    let good = log.active().unwrap().accepted();
    log.active().unwrap().sync().unwrap();
    log.append(&mut scene.data(64)).unwrap(); // says that the disk holds everything before it
    flip(&scene.segment(1), bad + 20);
    let mut reader = SegmentReader::open(&scene.segment(1)).unwrap();
    assert!(matches!(reader.checkpoint().unwrap(), Head::Whole(_)));
    assert!(matches!(reader.next_frame().unwrap(), Next::Frame(_)));
    match reader.next_frame().unwrap() {
        Next::Damaged { from, to, .. } => assert_eq!((from, to), (bad, good)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(reader.next_frame().unwrap(), Next::Frame(found) if found.header.start == 64));
    assert!(!scene.recover().damages.is_empty());
}

#[test]
fn a_bad_frame_that_nobody_knows_durable_is_a_torn_end() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    let bad = log.active().unwrap().accepted();
    log.append(&mut scene.data(0)).unwrap();
    log.append(&mut scene.data(64)).unwrap(); // nothing was synced in between
    flip(&scene.segment(1), bad + 20);
    let mut reader = SegmentReader::open(&scene.segment(1)).unwrap();
    assert!(matches!(reader.checkpoint().unwrap(), Head::Whole(_)));
    let ending = recovery::for_each_frame(&mut reader, &mut |_, _| Ok(true)).unwrap();
    assert_eq!(ending, Ending::Torn);
    assert_eq!(scene.end(&scene.recover().table), 0);
}

#[test]
fn a_finished_segment_is_sealed() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.finish().unwrap();
    let mut reader = SegmentReader::open(&scene.segment(1)).unwrap();
    assert!(matches!(reader.checkpoint().unwrap(), Head::Whole(_)));
    assert_eq!(
        recovery::for_each_frame(&mut reader, &mut |_, _| Ok(true)).unwrap(),
        Ending::Sealed
    );
}

#[test]
fn a_frame_that_does_not_follow_changes_nothing() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    let (before, len) = (log.table().clone(), log.active().unwrap().accepted());
    let mut two = scene.data(0);
    two.push(
        FrameHeader::plain(Kind::Data, &[1; 64]).of_stream(scene.stream, 128, 192),
        &[1; 64],
    );
    assert!(matches!(log.append(&mut two), Err(AppendError::Unfit(_))));
    assert_eq!((log.table(), log.active().unwrap().accepted()), (&before, len));
    log.append(&mut scene.data(0)).unwrap();
}

#[test]
fn old_bytes_of_another_segment_are_no_frames_of_this_one() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    let old = std::fs::read(scene.segment(1)).unwrap();
    log.roll_into(scene.dir.path()).unwrap();
    let end = log.active().unwrap().accepted();
    let file = OpenOptions::new().write(true).open(scene.segment(2)).unwrap();
    file.write_all_at(&old[old.len() - 136..], end).unwrap();
    assert_eq!(scene.end(&scene.recover().table), 64);
}

#[test]
fn reading_stops_at_the_limit_and_goes_on_when_it_grows() {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    let limit = log.active().unwrap().accepted();
    log.append(&mut scene.data(0)).unwrap();
    let mut reader = SegmentReader::open(&scene.segment(1)).unwrap();
    reader.set_limit(limit);
    assert!(matches!(reader.checkpoint().unwrap(), Head::Whole(_)));
    assert!(matches!(reader.next_frame().unwrap(), Next::Frame(_)));
    assert!(matches!(reader.next_frame().unwrap(), Next::End(Ending::Open)));
    reader.set_limit(log.active().unwrap().accepted());
    assert!(matches!(reader.next_frame().unwrap(), Next::Frame(found) if found.header.start == 0));
}

/// A log whose first frame of data, known to be on disk, has a flipped bit; and the bytes of its segment.
fn damaged() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let mut log = scene.fresh();
    log.append(&mut scene.attach()).unwrap();
    let bad = log.active().unwrap().accepted();
    log.append(&mut scene.data(0)).unwrap();
    log.active().unwrap().sync().unwrap();
    log.append(&mut scene.data(64)).unwrap();
    flip(&scene.segment(1), bad + 100);
    let bytes = std::fs::read(scene.segment(1)).unwrap();
    (scene, bytes)
}

fn names(scene: &Scene) -> Vec<String> {
    let entries = std::fs::read_dir(scene.dir.path()).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn a_segment_that_is_set_aside_is_there_at_every_step_and_is_set_aside_once() {
    let segment = crate::formats::segment::file_name(1);
    let aside = format!("{segment}.quarantined");
    // What an attempt leaves that is killed: nothing, a part of the new file, all of it, and the second name besides.
    for killed_at in 0..4 {
        let (scene, bytes) = damaged();
        if killed_at > 0 {
            let new = &bytes[..bytes.len() / (4 - killed_at)];
            std::fs::write(scene.segment(1).with_extension("new"), new).unwrap();
        }
        if killed_at > 2 {
            std::fs::hard_link(scene.segment(1), scene.dir.path().join(&aside)).unwrap();
        }
        let segments = segments_in(scene.dir.path()).unwrap();
        assert_eq!(scene.recover().damaged.len(), 1);
        let set_aside = quarantine::set_aside(&segments, 0, Missing::ForGood).unwrap();
        let (stream, from, to) = (scene.stream, 0, 64);
        assert_eq!(set_aside.lost, [LostRange { stream, from, to }]);
        assert_eq!(names(&scene), [segment.clone(), aside.clone()]);
        assert_eq!(std::fs::read(scene.dir.path().join(&aside)).unwrap(), bytes);
        let standing = scene.recover();
        assert_eq!((standing.damages, standing.damaged.len()), (vec![], 0));
        assert_eq!(scene.end(&standing.table), 128);
    }
}

#[test]
fn what_may_come_again_is_asked_for_from_where_the_stream_breaks() {
    let (scene, _) = damaged();
    let segments = segments_in(scene.dir.path()).unwrap();
    quarantine::set_aside(&segments, 0, Missing::MayComeAgain).unwrap();
    assert_eq!(scene.end(&scene.recover().table), 0);
}

#[test]
fn a_second_damaged_segment_of_that_number_takes_no_name_from_the_first() {
    let (scene, bytes) = damaged();
    let segments = segments_in(scene.dir.path()).unwrap();
    quarantine::set_aside(&segments, 0, Missing::ForGood).unwrap();
    flip(&scene.segment(1), 200);
    quarantine::set_aside(&segments, 0, Missing::ForGood).unwrap();
    let segment = crate::formats::segment::file_name(1);
    let aside = [format!("{segment}.quarantined"), format!("{segment}.quarantined-2")];
    assert_eq!(names(&scene), [segment, aside[0].clone(), aside[1].clone()]);
    assert_eq!(std::fs::read(scene.dir.path().join(&aside[0])).unwrap(), bytes);
}

/// What it wrote lies behind what was accepted, in a segment that its successor does not append to.
#[test]
fn who_was_relieved_appends_nothing_begins_no_segment_and_is_not_believed_that_it_synced() {
    let scene = Scene::new();
    let fence = Arc::<Fence>::default();
    let (old, mut log) = (fence.pass(), scene.fresh());
    log.guard(&old);
    log.append(&mut scene.attach()).unwrap();
    log.append(&mut scene.data(0)).unwrap();
    let segment = Arc::clone(log.active().unwrap());
    let (accepted, durable) = (segment.accepted(), segment.durable());
    let new = fence.relieve().unwrap();
    assert!(matches!(
        log.append(&mut scene.data(64)),
        Err(AppendError::Relieved(Relieved))
    ));
    assert_eq!((segment.accepted(), scene.end(log.table())), (accepted, 64));
    assert_eq!(
        std::fs::metadata(scene.segment(1)).unwrap().len(),
        accepted,
        "what it makes up is past"
    );
    assert!(segment.sync_as(&old).is_err());
    assert_eq!(segment.durable(), durable);
    assert!(log.begin_segment().is_err());
    assert_eq!(names(&scene).len(), 1, "not even a file");
    assert_eq!(segment.sync_as(&new).unwrap(), accepted);
    assert_eq!(segment.durable(), accepted);
    // The write of one who was relieved while it hung lands all the same. Its successor reads that, or writes it again: either way the stream goes on.
    let mut late = scene.data(64);
    let file = OpenOptions::new().write(true).open(scene.segment(1)).unwrap();
    file.write_all_at(late.sealed_for(segment_id(&scene, 1), accepted, durable), accepted)
        .unwrap();
    let mut successor = scene.log(scene.recover());
    successor.guard(&new);
    let from = scene.end(successor.table());
    assert_eq!(from, 128);
    successor.append(&mut scene.data(from)).unwrap();
    assert_eq!(scene.end(&scene.recover().table), from + 64);
}

/// The original sends its segments by the time at which their files were last changed, which a link that is deleted changes too.
#[test]
fn segments_come_by_their_numbers_whatever_their_files_times_say() {
    let scene = Scene::new();
    let path = |number: u64| scene.dir.path().join(segment::file_name(number));
    let numbers = [9, 10, 1, 100, 2];
    for number in numbers {
        std::fs::write(path(number), "").unwrap();
    }
    for (number, seconds) in [(1, 500), (2, 400), (9, 300), (10, 200), (100, 100)] {
        let file = OpenOptions::new().write(true).open(path(number)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
            .unwrap();
    }
    std::fs::hard_link(path(1), scene.dir.path().join("elsewhere")).unwrap();
    std::fs::remove_file(scene.dir.path().join("elsewhere")).unwrap();
    let found = segments_in(scene.dir.path()).unwrap();
    let found: Vec<u64> = found.iter().map(|segment| segment.number).collect();
    assert_eq!(found, [1, 2, 9, 10, 100]);
}
