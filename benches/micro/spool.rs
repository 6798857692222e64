//! The spool: appends, frames read back, and the recovery of what a sender left. All in the page cache; nothing is synced but by the recovery.

use divan::{Bencher, black_box, counter::BytesCount};
use hog::formats::body::Attach;
use hog::formats::codec::Decompressor;
use hog::formats::definitions::Definitions;
use hog::formats::frame::{FrameHeader, Kind};
use hog::formats::segment::LogRole;
use hog::ids::{OwnerId, StreamId};
use hog::limits::SEGMENT_BYTES;
use hog::seglog::batch::FrameBatch;
use hog::seglog::reader::{Next, SegmentReader};
use hog::seglog::recovery::{SegmentFile, Standing, recover, segments_in};
use hog::seglog::writer::{Durability, LogIdentity, SegmentLog};
use std::cell::RefCell;
use std::path::Path;
use tempfile::TempDir;
use uuid::Uuid;

const FRAME_BYTES: [usize; 2] = [4 << 10, 256 << 10];
/// Of one append, about what a drainer takes from a full ring.
const BATCH_BYTES: usize = 1 << 20;
/// Of what is read and recovered.
const SPOOL_BYTES: usize = 16 << 20;

/// A log and the one stream in it.
struct Log {
    segments: SegmentLog,
    stream: StreamId,
    end: u64,
    body: Vec<u8>,
}

impl Log {
    fn new(directory: &Path, frame_bytes: usize) -> Self {
        let identity = LogIdentity {
            role: LogRole::Spool,
            group: "web".to_owned(),
            owner: OwnerId::random(),
            epoch: 1,
        };
        let segments = SegmentLog::new(
            identity,
            Durability::Elsewhere,
            SEGMENT_BYTES,
            directory.to_owned(),
            Standing {
                next_number: 1,
                ..Standing::default()
            },
            Decompressor::new().unwrap_or_else(|error| panic!("{error}")),
        );
        let mut log = Self {
            segments,
            stream: StreamId::random(),
            end: 0,
            body: vec![b'x'; frame_bytes],
        };
        log.attach();
        log
    }

    fn attach(&mut self) {
        let attach = Attach {
            producer: "program".to_owned(),
            created: 1,
            boot: Uuid::nil(),
            sender: OwnerId::NIL,
            definitions: Definitions::default(),
        };
        let body = attach.encode();
        let mut batch = FrameBatch::default();
        batch.push(
            FrameHeader::plain(Kind::Attach, &body).of_stream(self.stream, 0, 0),
            &body,
        );
        self.append(&mut batch);
    }

    /// The frames of one append.
    fn batch(&mut self) -> FrameBatch {
        let mut batch = FrameBatch::default();
        for _ in 0..BATCH_BYTES / self.body.len() {
            let to = self.end + self.body.len() as u64;
            let header = FrameHeader::plain(Kind::Data, &self.body).of_stream(self.stream, self.end, to);
            batch.push(header, &self.body);
            self.end = to;
        }
        batch
    }

    fn append(&mut self, batch: &mut FrameBatch) {
        let appended = self.segments.append(batch);
        appended.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A directory for segments, deleted in the end.
fn directory() -> TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"))
}

/// The segments of a log in `directory`.
fn filled(directory: &Path, frame_bytes: usize) -> Vec<SegmentFile> {
    let mut log = Log::new(directory, frame_bytes);
    for _ in 0..SPOOL_BYTES / BATCH_BYTES {
        let mut batch = log.batch();
        log.append(&mut batch);
    }
    segments_in(directory).unwrap_or_else(|error| panic!("{error}"))
}

#[divan::bench(args = FRAME_BYTES, sample_size = 1)]
fn batch_is_appended(bencher: Bencher, frame_bytes: usize) {
    let directory = directory();
    let log = RefCell::new(Log::new(directory.path(), frame_bytes));
    bencher
        .counter(BytesCount::new(BATCH_BYTES))
        .with_inputs(|| log.borrow_mut().batch())
        .bench_local_refs(|batch| log.borrow_mut().append(batch));
}

#[divan::bench(args = FRAME_BYTES)]
fn frames_are_read_and_checked(bencher: Bencher, frame_bytes: usize) {
    let directory = directory();
    let segments = filled(directory.path(), frame_bytes);
    let mut body = Vec::new();
    bencher.counter(BytesCount::new(SPOOL_BYTES)).bench_local(|| {
        for segment in black_box(&segments) {
            read(&segment.path, &mut body).unwrap_or_else(|error| panic!("{error}"));
        }
    });
}

fn read(path: &Path, body: &mut Vec<u8>) -> Result<(), hog::seglog::reader::SegmentError> {
    let mut reader = SegmentReader::open(path)?;
    reader.checkpoint()?;
    while let Next::Frame(found) = reader.next_frame()? {
        body.clear();
        assert!(reader.read_body(&found, body)?, "a body that was just written is sound");
    }
    Ok(())
}

#[divan::bench(args = FRAME_BYTES)]
fn log_is_recovered(bencher: Bencher, frame_bytes: usize) {
    let directory = directory();
    let segments = filled(directory.path(), frame_bytes);
    bencher
        .counter(BytesCount::new(SPOOL_BYTES))
        .bench_local(|| recover(black_box(&segments)).map(|standing| standing.next_number).ok());
}
