//! What the corpora are made of: small examples of all that hog writes, the same at each run.

use crate::recording::{self, Chain, Recording, Stored, entries, reference_to, transactions};
use flate2::write::GzEncoder;
use hog::formats::body::{Attach, End, Gap, GapReason, Seal};
use hog::formats::checkpoint;
use hog::formats::classic::segment::put_transaction;
use hog::formats::classic::statements::{Commit, Declaration, Quality, Statements};
use hog::formats::codec::{Compression, Compressor};
use hog::formats::definitions::Definitions;
use hog::formats::frame::{self, FrameHeader, Kind};
use hog::formats::segment::{LogRole, SEGMENT_HEADER_LEN, SegmentHeader};
use hog::formats::table::{StreamState, Table};
use hog::formats::wire::{Held, Hello, Refuse, RefuseCode, encode_ack, encode_forget, encode_welcome};
use hog::ids::{OwnerId, SegmentId, StreamId};
use hog_ring::layout::{HEAD, LAST, MORE, OWNER, STATE_HEADER, TAIL, TIME};
use hog_ring::record::{self, first_word, header_len, padded};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use std::io::Write;

/// A target, a file in its corpus, and what is in it.
type Made = (&'static str, &'static str, Vec<u8>);

const STREAM: StreamId = StreamId(uuid::Uuid::from_bytes([7; 16]));

pub(crate) fn made() -> Vec<Made> {
    let mut made = frames();
    made.extend(segments());
    made.extend(wire());
    made.extend(statements());
    made.extend(states());
    made.extend(rings());
    made.extend(classic());
    made.extend(recordings());
    made
}

/// Files as the original's recorder and its library for C++ write them; hog's own are longer than a corpus should be.
fn recordings() -> Vec<Made> {
    let pair = || recording::record(&[("number", 0, Type::int()), ("text", 8, reference_to(Type::text()))]);
    let texts = || reference_to(Type::array(reference_to(Type::text())));
    let cases = || Type::variant([("none", Type::unit()), ("some", Type::double())]);
    let mut found = Vec::new();
    for (name, chain) in [("log", Chain::Prepended), ("log-appended", Chain::Appended)] {
        let mut made = Recording::new(chain);
        let mut pairs = made.series("pair", &pair(), 16);
        let mut all = made.series("cases", &cases(), 16);
        let mut log = made.series("log", &entries(&[("pair", 3, pair()), ("cases", 4, cases())]), 16);
        for number in 0..6_u64 {
            let text = Stored::Array(2, b"ab".to_vec());
            let parts = vec![Stored::Bytes(number.to_le_bytes().to_vec()), text];
            let place = made.push(&mut pairs, &Stored::Parts(parts));
            made.push(&mut log, &Stored::Bytes(Recording::entry(3, place)));
            let case = [(number % 2).to_le_bytes(), 2.5_f64.to_le_bytes()].concat();
            let place = made.push(&mut all, &Stored::Bytes(case));
            made.push(&mut log, &Stored::Bytes(Recording::entry(4, place)));
        }
        made.statements(&[("pair", "$number: $text"), ("cases", "")]);
        found.push(("recording", name, made.finish()));
    }
    let mut made = Recording::new(Chain::Prepended);
    let mut lists = made.series("list", &texts(), 8);
    let mut order = made.series("transactions", &transactions(entries(&[("list", 0, texts())])), 16);
    let inner = made.array(3, b"abc").to_le_bytes().to_vec();
    let slots: Vec<u8> = (0..2)
        .flat_map(|_| Recording::entry(0, made.push(&mut lists, &Stored::Array(1, inner.clone()))))
        .collect();
    let row = vec![Stored::Bytes(1_u64.to_le_bytes().to_vec()), Stored::Array(2, slots)];
    made.push(&mut order, &Stored::Parts(row));
    made.statements(&[("list", "")]);
    found.push(("recording", "transactions", made.finish()));
    let mut encoded = Vec::new();
    pair().encode(&mut encoded);
    found.push(("recording", "type", encoded));
    found
}

fn record(kind: record::Kind, flags: u32, statement: u32, payload: &[u8]) -> Vec<u8> {
    let len = header_len(flags & TIME != 0) + payload.len();
    let mut bytes = first_word(kind, len, flags).to_le_bytes().to_vec();
    bytes.extend(statement.to_le_bytes());
    if flags & TIME != 0 {
        bytes.extend(1_700_000_000_000_000_000_u64.to_le_bytes());
    }
    bytes.extend(payload);
    bytes.resize(padded(len), 0);
    bytes
}

fn definition(id: u32, name: &str, format: &str, payload_type: Type) -> Definition {
    Definition {
        id,
        name: name.to_owned(),
        flags: 0,
        format: format.to_owned(),
        file: "src/main.rs".to_owned(),
        line: 12,
        payload_type,
    }
}

fn encoded(definition: &Definition) -> Vec<u8> {
    let mut bytes = Vec::new();
    definition.encode(&mut bytes);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Records of every kind.
fn records() -> Vec<u8> {
    let line = encoded(&definition(1, "line", "$line", Type::record([("line", Type::text())])));
    [
        record(record::Kind::Stmt, 0, 1, &line),
        record(record::Kind::Record, TIME, 1, &text("GET /")),
        record(record::Kind::Record, MORE, 1, &text("first of two")),
        record(record::Kind::Record, 0, 1, &text("second of two")),
        record(record::Kind::Fragment, 0, 0, &[1; 24]),
        record(record::Kind::Fragment, LAST, 1, &[2; 16]),
        record(record::Kind::Gap, 0, 0, &[3; 16]),
        record(record::Kind::Abort, 0, 2, &5_u64.to_le_bytes()),
    ]
    .concat()
}

fn definitions() -> Definitions {
    let mut definitions = Definitions::default();
    for id in 1..4 {
        definitions.define(
            id,
            &encoded(&definition(id, "counted", "$0", Type::tuple([Type::ulong()]))),
        );
    }
    definitions
}

fn attach() -> Vec<u8> {
    Attach {
        producer: "access.log".to_owned(),
        created: 99,
        boot: uuid::Uuid::from_bytes([3; 16]),
        sender: OwnerId::from_bytes([4; 16]),
        definitions: definitions(),
    }
    .encode()
}

/// What a log knows that attached one stream and has its first records.
fn table() -> Table {
    let mut table = Table::default();
    for (header, body) in stream_frames() {
        table.apply(&header, &body).unwrap();
    }
    table
}

/// The first frames of a stream.
fn stream_frames() -> Vec<(FrameHeader, Vec<u8>)> {
    let (attach, records) = (attach(), records());
    let end = records.len() as u64;
    vec![
        (
            FrameHeader::plain(Kind::Attach, &attach).of_stream(STREAM, 0, 0),
            attach,
        ),
        (
            FrameHeader::plain(Kind::Data, &records)
                .of_stream(STREAM, 0, end)
                .with_flags(frame::STATEMENTS | frame::FIRST),
            records,
        ),
    ]
}

fn frames() -> Vec<Made> {
    let frame =
        |name, header: FrameHeader, body: &[u8]| ("frame", name, [&header.seal(SegmentId::NIL)[..], body].concat());
    let mut made: Vec<Made> = ["attach", "data"]
        .into_iter()
        .zip(stream_frames())
        .map(|(name, (header, body))| frame(name, header, &body))
        .collect();
    let (gap, end) = (
        Gap::because(GapReason::BadRecord).encode(),
        End { records: 3, bytes: 99 }.encode(),
    );
    made.push(frame(
        "gap",
        FrameHeader::plain(Kind::Gap, &gap).of_stream(STREAM, 64, 128),
        &gap,
    ));
    made.push(frame(
        "end",
        FrameHeader::plain(Kind::End, &end).of_stream(STREAM, 64, 72),
        &end,
    ));
    let items = checkpoint::encode(&table());
    made.push(frame(
        "checkpoint",
        FrameHeader::plain(Kind::Checkpoint, &items).with_flags(frame::LAST),
        &items,
    ));
    let raw = records().repeat(4);
    for (name, compression) in [
        ("compressed-zstd", Compression::Zstd(1)),
        ("compressed-lz4", Compression::Lz4),
    ] {
        let mut body = Vec::new();
        let codec = Compressor::new(compression).unwrap().compress(&raw, &mut body);
        let header = FrameHeader {
            codec,
            raw_len: frame::body_len(&raw),
            ..FrameHeader::plain(Kind::Data, &body).of_stream(STREAM, 0, raw.len() as u64)
        };
        made.push(frame(name, header, &body));
    }
    made
}

fn segments() -> Vec<Made> {
    let header = SegmentHeader {
        role: LogRole::Spool,
        segment: SegmentId::from_bytes([9; 16]),
        owner: OwnerId::from_bytes([4; 16]),
        epoch: 2,
        number: 1,
        created: 1_700_000_000_000_000_000,
        group: "web".to_owned(),
    };
    let mut file = header.encode().to_vec();
    let mut put = |header_of_frame: FrameHeader, body: &[u8]| {
        file.extend(header_of_frame.seal(header.segment));
        file.extend(body);
        file.len()
    };
    let items = checkpoint::encode(&Table::default());
    put(
        FrameHeader::plain(Kind::Checkpoint, &items).with_flags(frame::LAST),
        &items,
    );
    let mut frames = 1;
    let mut middle = 0;
    for (mut header, body) in stream_frames() {
        header.durable = SEGMENT_HEADER_LEN as u64;
        middle = put(header, &body);
        frames += 1;
    }
    let records = records();
    let (start, end) = (records.len() as u64, 2 * records.len() as u64);
    let mut more = FrameHeader::plain(Kind::Data, &records).of_stream(STREAM, start, end);
    more.durable = middle as u64;
    let offset = put(more, &records) as u64;
    let seal = Seal {
        frames: frames + 1,
        offset,
    }
    .encode();
    put(FrameHeader::plain(Kind::Seal, &seal), &seal);

    let torn = file[..file.len() - 100].to_vec();
    let mut damaged = file.clone();
    damaged[middle - 30] ^= 4;
    let with = |mend: u8, file: &[u8]| [&[mend], file].concat();
    vec![
        ("segment", "sealed", with(0, &file)),
        ("segment", "sealed-mended", with(7, &file)),
        ("segment", "torn", with(2, &torn)),
        ("segment", "damaged", with(1, &damaged)),
    ]
}

fn wire() -> Vec<Made> {
    let hello = Hello {
        sender: OwnerId::from_bytes([4; 16]),
        epoch: 2,
        start_id: 77,
        count: 1,
        group: "web".to_owned(),
    };
    let held = [StreamState::Open, StreamState::Ended].map(|state| Held {
        stream: STREAM,
        position: 4096,
        state,
    });
    let refuse = Refuse {
        code: RefuseCode::Busy,
        words: "it serves as many as it can".to_owned(),
    };
    let with = |kind: u8, body: &[u8]| [&[kind], body].concat();
    vec![
        ("wire", "hello", with(0, &hello.encode())),
        ("wire", "welcome", with(1, &encode_welcome(&held))),
        ("wire", "ack", with(2, &encode_ack(&[(STREAM, 4096), (STREAM, 8192)]))),
        ("wire", "forget", with(3, &encode_forget(&[STREAM]))),
        ("wire", "refuse", with(4, &refuse.encode())),
    ]
}

fn statements() -> Vec<Made> {
    let with = |definition: &Definition, payload: &[u8]| {
        let definition = encoded(definition);
        let len = u16::try_from(definition.len()).unwrap();
        [&len.to_le_bytes()[..], &definition, payload].concat()
    };
    let order = Type::record([
        ("symbol", Type::text()),
        ("side", Type::variant([("Buy", Type::unit()), ("Sell", Type::unit())])),
        ("legs", Type::array(Type::tuple([Type::uint(), Type::double()]))),
        ("limit", Type::sum([Type::unit(), Type::double()])),
        ("at", Type::datetime()),
    ]);
    let payload = [
        &text("HOG")[..],
        &1_u32.to_le_bytes(),
        &1_u64.to_le_bytes(),
        &7_u32.to_le_bytes(),
        &1.5_f64.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &2.5_f64.to_le_bytes(),
        &1_700_000_000_000_000_u64.to_le_bytes(),
    ]
    .concat();
    let fixed = Type::fixed_array(Type::array(Type::byte()), 2);
    let bytes = [&2_u64.to_le_bytes()[..], &[1, 2], &0_u64.to_le_bytes()].concat();
    vec![
        (
            "statement",
            "order",
            with(&definition(1, "order", "$side $symbol at $limit", order), &payload),
        ),
        (
            "statement",
            "line",
            with(
                &definition(2, "line", "$line", Type::record([("line", Type::text())])),
                &text("x\u{e9}"),
            ),
        ),
        (
            "statement",
            "fixed",
            with(&definition(3, "fixed", "$0", Type::tuple([fixed])), &bytes),
        ),
        (
            "statement",
            "nothing",
            with(&definition(4, "started", "it began", Type::unit()), &[]),
        ),
    ]
}

/// A copy of a resume state.
fn state(tail: u64, state: &[u8]) -> Vec<u8> {
    let len = u32::try_from(state.len()).unwrap();
    let checked = [&len.to_le_bytes()[..], &tail.to_le_bytes(), state].concat();
    [&crc32c::crc32c(&checked).to_le_bytes()[..], &checked].concat()
}

fn states() -> Vec<Made> {
    let with = |tail: u64, copies: [Vec<u8>; 2]| {
        let len = u16::try_from(copies[0].len()).unwrap();
        [&tail.to_le_bytes()[..], &len.to_le_bytes(), &copies[0], &copies[1]].concat()
    };
    vec![
        (
            "resume_state",
            "both",
            with(128, [state(64, b"older"), state(128, b"newer")]),
        ),
        (
            "resume_state",
            "above",
            with(64, [state(64, b"holds"), state(128, b"not yet")]),
        ),
        (
            "resume_state",
            "none",
            with(64, [vec![0; STATE_HEADER], vec![0; STATE_HEADER]]),
        ),
    ]
}

fn rings() -> Vec<Made> {
    let with = |head: u64, tail: u64, copies: [Vec<u8>; 2], data: &[u8]| {
        let mut bytes = vec![0; 448 + 128];
        let mut put = |at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        put(OWNER - 256, 1 << 22 | 1);
        put(TAIL - 256, tail);
        put(HEAD - 256, head);
        for (copy, at) in copies.iter().zip([448, 448 + 64]) {
            bytes[at..at + copy.len()].copy_from_slice(copy);
        }
        bytes.extend(data);
        bytes
    };
    let records = records();
    let len = records.len() as u64;
    let transaction = record(record::Kind::Record, MORE, 1, &text("and no end"));
    vec![
        (
            "ring_region",
            "drained",
            with(0, len, [state(len, b"state"), Vec::new()], &records),
        ),
        (
            "ring_region",
            "unfinished",
            with(0, transaction.len() as u64, [Vec::new(), Vec::new()], &transaction),
        ),
        (
            "ring_region",
            "wrapped",
            with(1 << 20, (1 << 20) + len, [Vec::new(), state(1 << 20, b"s")], &records),
        ),
        (
            "ring_region",
            "wild",
            with(u64::MAX - 7, 8, [Vec::new(), Vec::new()], &records),
        ),
    ]
}

/// What an original sender says first, behind a byte that says so, and its segments, each behind two bytes with the length of what was said first, and that.
fn classic() -> Vec<Made> {
    let mut counted = definition(0, "counted", "n is $0", Type::long());
    counted.flags = 1;
    let both = definition(7, "../both", "$0 and $1", Type::tuple([Type::int(), Type::text()]));
    let units = definition(2, "units", "", Type::array(Type::unit()));
    let declaration = Declaration {
        quality: Quality::Reliable,
        commit: Commit::Manual,
        statements: Statements::new(vec![both, counted, units]).unwrap(),
    };
    let (mut init, mut queue) = (Vec::new(), Vec::new());
    declaration.encode_init(&mut init);
    declaration.encode_queue(&mut queue);
    let mut segment = Vec::new();
    let one = [&0_u32.to_le_bytes()[..], &5_u64.to_le_bytes()].concat();
    let other = [&7_u32.to_le_bytes()[..], &1_i32.to_le_bytes(), &text("str0")].concat();
    let third = [&2_u32.to_le_bytes()[..], &9_u64.to_le_bytes()].concat();
    put_transaction(&mut segment, &[&one[..], &other, &third].concat());
    put_transaction(&mut segment, &[]);
    put_transaction(&mut segment, &one);
    let behind = |segment: &[u8]| {
        let len = u16::try_from(init.len()).unwrap();
        [&[2][..], &len.to_le_bytes(), &init, segment].concat()
    };
    vec![
        ("classic", "init", [&[0][..], &init].concat()),
        ("classic", "queue", [&[1][..], &queue].concat()),
        ("classic", "segment", behind(&segment)),
        ("classic", "compressed", [&[3][..], &gzip(&segment)].concat()),
        ("classic", "zlib", [&[3][..], ZLIB].concat()),
    ]
}

/// A gzip member that holds `bytes` as they are.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zlib stream of "hog hog hog hog".
const ZLIB: &[u8] = b"\x78\x9c\xcb\xc8\x4f\x57\xc8\x40\x60\x00\x2a\xd3\x05\x59";
