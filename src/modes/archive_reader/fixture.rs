//! Small logs for tests, written by the writer that writes the real ones, and ring records made by hand.

use crate::formats::body::{Attach, End, Gap, GapReason};
use crate::formats::codec::{Compression, Compressor, Decompressor};
use crate::formats::definitions::Definitions;
use crate::formats::frame::{self, END_SPAN, FrameHeader, Kind};
use crate::formats::segment::{LogRole, file_name};
use crate::ids::{OwnerId, StreamId};
use crate::seglog::batch::FrameBatch;
use crate::seglog::recovery::Standing;
use crate::seglog::writer::{Durability, LogIdentity, SegmentLog};
use hog_ring::layout::{LAST, TIME};
use hog_ring::record::{self, first_word, header_len, padded};
use hog_ring::statement::{Definition, flags};
use hog_ring::types::Type;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use uuid::Uuid;

/// 2023-11-14T22:13:20.000000007Z.
pub(crate) const A_TIME: u64 = 1_700_000_000_000_000_007;

/// A ring record. With TIME its time is [`A_TIME`].
pub(crate) fn ring_record(kind: record::Kind, flags: u32, statement: u32, payload: &[u8]) -> Vec<u8> {
    let len = header_len(flags & TIME != 0) + payload.len();
    let mut bytes = first_word(kind, len, flags).to_le_bytes().to_vec();
    bytes.extend(statement.to_le_bytes());
    if flags & TIME != 0 {
        bytes.extend(A_TIME.to_le_bytes());
    }
    bytes.extend(payload);
    bytes.resize(padded(len), 0);
    bytes
}

/// The encoded definition of statement `id`.
pub(crate) fn definition(id: u32, flags: u64, format: &str, payload_type: Type) -> Vec<u8> {
    let name = format!("s{id}");
    let definition = Definition {
        id,
        name,
        flags,
        format: format.into(),
        file: "f.rs".into(),
        line: 1,
        payload_type,
    };
    let mut bytes = Vec::new();
    definition.encode(&mut bytes);
    bytes
}

/// The STMT record of an engine's lines.
pub(crate) fn line_statement(id: u32, more_flags: u64) -> Vec<u8> {
    let ty = Type::record([("source", Type::text()), ("text", Type::text())]);
    ring_record(
        record::Kind::Stmt,
        0,
        id,
        &definition(id, flags::LINE | more_flags, "$text", ty),
    )
}

/// The payload of a line.
pub(crate) fn line_payload(text: &[u8]) -> Vec<u8> {
    let text_of = |text: &[u8]| [&(text.len() as u64).to_le_bytes(), text].concat();
    [text_of(b"in"), text_of(text)].concat()
}

/// The RECORD of a line.
pub(crate) fn line(statement: u32, text: &[u8]) -> Vec<u8> {
    ring_record(record::Kind::Record, 0, statement, &line_payload(text))
}

/// Fragment `number` of a run.
pub(crate) fn fragment(number: u32, last: bool, piece: &[u8]) -> Vec<u8> {
    ring_record(record::Kind::Fragment, if last { LAST } else { 0 }, number, piece)
}

/// A log of one group in a temporary directory.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) log: SegmentLog,
    pub(crate) compression: Compression,
    /// The time of draining that frames of DATA are given.
    pub(crate) drained: u64,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::of("web", LogRole::Archive)
    }

    pub(crate) fn of(group: &str, role: LogRole) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = LogIdentity {
            role,
            group: group.into(),
            owner: OwnerId::random(),
            epoch: 1,
        };
        let standing = Standing {
            next_number: 1,
            ..Standing::default()
        };
        let decompressor = Decompressor::new().unwrap();
        let at = directory.path().to_owned();
        let log = SegmentLog::new(identity, Durability::EachSegment, 1 << 30, at, standing, decompressor);
        Self {
            directory,
            log,
            compression: Compression::None,
            drained: 0,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        vec![self.path().to_owned()]
    }

    /// The path of segment `number`.
    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.path().join(file_name(number))
    }

    fn push(&mut self, header: FrameHeader, body: &[u8]) {
        let mut batch = FrameBatch::default();
        batch.push(header, body);
        self.log.append(&mut batch).unwrap();
    }

    /// Attaches a new stream at position 0 and defines statements 1, a line, and 2, a line without a newline.
    pub(crate) fn stream(&mut self) -> StreamId {
        let stream = StreamId::random();
        self.attach(stream, 0);
        self.data(stream, &[line_statement(1, 0), line_statement(2, flags::CONTINUED)]);
        stream
    }

    pub(crate) fn attach(&mut self, stream: StreamId, first: u64) {
        let attach = Attach {
            producer: "worker".into(),
            created: 1,
            boot: Uuid::nil(),
            sender: OwnerId::NIL,
            definitions: Definitions::default(),
        };
        let body = attach.encode();
        self.push(
            FrameHeader::plain(Kind::Attach, &body).of_stream(stream, first, first),
            &body,
        );
    }

    /// Where the log has the stream to.
    pub(crate) fn end_of(&self, stream: StreamId) -> u64 {
        self.log.table().streams[&stream].end
    }

    /// Lets the log believe that it has the stream to `end`.
    pub(crate) fn pretend(&mut self, stream: StreamId, end: u64) {
        self.log.table_mut().streams.get_mut(&stream).unwrap().end = end;
    }

    /// Appends a frame of `records` at the stream's end.
    pub(crate) fn data(&mut self, stream: StreamId, records: &[Vec<u8>]) {
        self.data_at(stream, self.end_of(stream), records);
    }

    /// Appends a frame of `records` at `start`, which need not be new.
    pub(crate) fn data_at(&mut self, stream: StreamId, start: u64, records: &[Vec<u8>]) {
        let raw = records.concat();
        let mut body = Vec::new();
        let codec = Compressor::new(self.compression).unwrap().compress(&raw, &mut body);
        let end = start + raw.len() as u64;
        let mut header = FrameHeader::plain(Kind::Data, &body)
            .of_stream(stream, start, end)
            .with_flags(frame::STATEMENTS);
        (header.codec, header.raw_len) = (codec, u32::try_from(raw.len()).unwrap());
        header.time = self.drained;
        self.push(header, &body);
    }

    /// Appends a frame whose body, of whole words, need not be ring records.
    pub(crate) fn any_data(&mut self, stream: StreamId, body: &[u8]) {
        let start = self.end_of(stream);
        self.push(
            FrameHeader::plain(Kind::Data, body).of_stream(stream, start, start + body.len() as u64),
            body,
        );
    }

    pub(crate) fn gap(&mut self, stream: StreamId, len: u64) {
        let (start, body) = (self.end_of(stream), Gap::because(GapReason::Dropped).encode());
        self.push(
            FrameHeader::plain(Kind::Gap, &body).of_stream(stream, start, start + len),
            &body,
        );
    }

    pub(crate) fn end(&mut self, stream: StreamId, records: u64) {
        let (start, body) = (
            self.end_of(stream),
            End {
                records,
                bytes: 8 * records,
            }
            .encode(),
        );
        self.push(
            FrameHeader::plain(Kind::End, &body).of_stream(stream, start, start + END_SPAN),
            &body,
        );
    }

    pub(crate) fn roll(&mut self) {
        let directory = self.path().to_owned();
        self.log.roll_into(&directory).unwrap();
    }

    /// Begins the first segment, on disk.
    pub(crate) fn sync_first(&mut self) {
        self.log.begin_segment().unwrap();
    }

    /// Makes what was appended durable; the next frame says so.
    pub(crate) fn sync(&self) {
        self.log.active().unwrap().sync().unwrap();
    }

    /// Flips a bit in the first occurrence of `needle` in segment `number`.
    pub(crate) fn damage(&self, number: u64, needle: &[u8]) {
        let mut bytes = std::fs::read(self.segment(number)).unwrap();
        let at = memchr::memmem::find(&bytes, needle).unwrap();
        bytes[at] ^= 1;
        std::fs::write(self.segment(number), bytes).unwrap();
    }
}
