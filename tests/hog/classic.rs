//! Senders of the original: what they ship is stored as it was logged, once for each answer, and by the rules of `hog cat`.

mod bad;
mod resent;
mod sender;

use crate::roles::Receiver;
use crate::scene::{GROUP, Scene, wait_until};
use flate2::write::ZlibEncoder;
use flate2::{Compression, GzBuilder};
use hog::formats::classic::inflate::SPEAKS_OURS;
use hog::formats::frame::{FrameHeader, Kind};
use hog::formats::wire::Hello;
use hog::ids::OwnerId;
use hog::os::net::{self, FrameReader, Patience};
use hog_ring::types::Type;
use sender::{
    Answer, Classic, counted, counted_together, counting, declared, definition, gzip, init_of, record, segment_of,
};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;

/// The values of all records of the archive, in order.
fn values(scene: &Scene, receiver: &Receiver) -> Vec<Value> {
    let records = scene.json(&receiver.archive);
    records.into_iter().map(|mut record| record["value"].take()).collect()
}

/// The streams of the archive; whether each has ended, and how many records it has.
fn streams(scene: &Scene, receiver: &Receiver) -> Vec<(bool, u64)> {
    let (streams, _) = scene.verify(&receiver.archive);
    let one = |stream: &Value| (stream["ended"] == true, stream["records"].as_u64().unwrap());
    let mut streams: Vec<_> = streams.iter().map(one).collect();
    streams.sort_unstable();
    streams
}

#[test]
fn what_an_original_sender_ships_is_printed_as_it_was_logged() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let color = Type::variant([("Red", Type::unit()), ("Green", Type::unit()), ("Blue", Type::unit())]);
    let point = Type::record([("x", Type::int()), ("at", Type::datetime())]);
    let declaration = declared([
        definition(
            2,
            "../alpha beta",
            "i is $0 and s is $1",
            Type::tuple([Type::int(), Type::text()]),
        ),
        definition(0, "match", "went $0", color),
        definition(1, "nothing", "$0", Type::unit()),
        definition(9, "point", "$x at $at", point),
    ]);
    let mut sender = Classic::start(&receiver.address, GROUP, &declaration);
    let alpha = record(2, b"\x07\0\0\0\x03\0\0\0\0\0\0\0h\xc3\xa9");
    let point = record(
        9,
        &[&(-1i32).to_le_bytes()[..], &1_600_000_000_000_000i64.to_le_bytes()].concat(),
    );
    let first = [alpha.clone(), record(0, &[2, 0, 0, 0])].concat();
    sender.ship(&[first, record(1, b""), Vec::new(), [point, alpha].concat()]);

    let records = scene.json(&receiver.archive);
    let shown: Vec<_> = records
        .iter()
        .map(|record| json!([record["statement"], record["value"], record["text"]]))
        .collect();
    let expected = json!([
        ["../alpha beta", [7, "hé"], "i is 7 and s is hé"],
        ["match", "Blue", "went Blue"],
        ["nothing", null, "null"],
        ["point", { "x": -1, "at": "2020-09-13T12:26:40.000000Z" }, "-1 at 2020-09-13T12:26:40.000000Z"],
        ["../alpha beta", [7, "hé"], "i is 7 and s is hé"],
    ]);
    assert_eq!(Value::from(shown), expected);
    let position = |place: usize| records[place]["position"].clone();
    let transactions: Vec<_> = records.iter().map(|record| record["transaction"].clone()).collect();
    let (first, second) = (position(0), position(3));
    assert_eq!(
        transactions,
        [first.clone(), first, Value::Null, second.clone(), second]
    );
    assert!(
        records
            .iter()
            .all(|record| record["time"].is_string() && record["group"] == GROUP)
    );
    assert_eq!(streams(&scene, &receiver), [(false, 5)]);
    drop(sender);
    wait_until("the stream has ended", || streams(&scene, &receiver) == [(true, 5)]);
}

/// The captures lie beside the repository; where they are missing the test says so and passes.
#[test]
fn a_captured_connection_of_the_original_is_stored_as_it_was_logged() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    let Ok(sent) = std::fs::read(golden.join("classic-sender.bin")) else {
        eprintln!("nothing compared: {} is missing", golden.display());
        return;
    };
    let expected: Value = serde_json::from_slice(&std::fs::read(golden.join("expected.json")).unwrap()).unwrap();
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = Classic::connect(&receiver.address);
    sender.send(&sent);
    assert_eq!((sender.answer(), sender.answer()), (Answer::Stored, Answer::Stored));
    let records = scene.json(&receiver.archive);
    let same = |one: &&Value, other: &&Value| one["transaction"] == other["transaction"];
    let records: Vec<&Value> = records.iter().collect();
    let found: Value = records
        .chunk_by(|one, other| same(one, other))
        .map(|transaction| {
            let shown = |record: &&Value| json!({ "statement": record["statement"], "value": record["value"] });
            transaction.iter().map(shown).collect::<Value>()
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn members_wrappings_and_empty_segments_are_read_and_may_come_ahead_of_the_answers() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    let segment = segment_of(&counted(0..10));
    let (front, back) = segment.split_at(37);
    sender.say(&[gzip(front), gzip(b""), gzip(back)].concat());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(6));
    zlib.write_all(&segment_of(&counted(10..20))).unwrap();
    sender.say(&zlib.finish().unwrap());
    sender.say(b"");
    sender.say(&gzip(b""));
    sender.say(&gzip(&segment_of(&[Vec::new(), Vec::new()])));
    sender.say(&gzip(&segment_of(&counted(20..30))));
    for _ in 0..6 {
        assert_eq!(sender.answer(), Answer::Stored);
    }
    assert_eq!(values(&scene, &receiver), (0..30).map(Value::from).collect::<Vec<_>>());
}

#[test]
fn a_connection_over_which_nothing_comes_leaves_nothing() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    sender.say(b"");
    assert_eq!(sender.answer(), Answer::Stored);
    drop(sender);
    let mut next = Classic::start(&receiver.address, GROUP, &counting());
    next.ship(&counted(0..1));
    assert_eq!(streams(&scene, &receiver).len(), 1);
}

#[test]
fn long_transactions_and_long_segments_are_stored_whole() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let declaration = declared([definition(0, "text", "$0", Type::text())]);
    let noise =
        |bytes: usize| -> Vec<u8> { scene.draw(|chance| (0..bytes).map(|_| chance.alphanumeric() as u8).collect()) };
    let logged = |text: &[u8]| record(0, &[&(text.len() as u64).to_le_bytes()[..], text].concat());
    // Each longer than what goes unfragmented, and all of them than what is kept in memory while it comes.
    let texts: Vec<Vec<u8>> = (0..12).map(|place| noise(150_000 + place)).collect();
    let transactions: Vec<_> = texts
        .chunks(3)
        .map(|some| some.iter().flat_map(|text| logged(text)).collect())
        .collect();
    let mut sender = Classic::start(&receiver.address, GROUP, &declaration);
    sender.ship(&transactions);
    sender.ship(&[logged(b"the end")]);
    let mut expected: Vec<_> = texts
        .iter()
        .map(|text| Value::from(String::from_utf8_lossy(text)))
        .collect();
    expected.push("the end".into());
    assert!(values(&scene, &receiver) == expected);
    let records = scene.json(&receiver.archive);
    for (place, record) in records.iter().enumerate().take(12) {
        assert_eq!(record["transaction"], records[place / 3 * 3]["position"], "{place}");
    }
}

#[test]
fn original_senders_are_served_at_once_and_beside_others() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let bytes = scene.lines(1 << 18);
    let mut senders: Vec<_> = (0..4)
        .map(|_| Classic::start(&receiver.address, GROUP, &counting()))
        .collect();
    let _native = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    for round in 0..5 {
        for (sender, number) in senders.iter_mut().zip([1_000, 2_000, 3_000, 4_000]) {
            sender.say(&gzip(&segment_of(&[counted_together(
                number + round..number + round + 1,
            )])));
        }
        for sender in &mut senders {
            assert_eq!(sender.answer(), Answer::Stored);
        }
    }
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    let mut found: Vec<u64> = values(&scene, &receiver).iter().filter_map(Value::as_u64).collect();
    for number in [1_000, 2_000, 3_000, 4_000] {
        let mine: Vec<_> = found.extract_if(.., |found| *found / 1_000 == number / 1_000).collect();
        assert_eq!(mine, (number..number + 5).collect::<Vec<_>>());
    }
    assert!(found.is_empty());
}

#[test]
fn what_a_sender_of_ours_ships_to_an_original_receiver_is_stored_by_one_of_ours() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let bytes = scene.lines(1 << 18);
    scene.log(&[&scene.file("input.log", &bytes)]);
    let _sender = scene.sender(&[&format!("hobbes://{}", receiver.address)]);
    scene.wait_acked();
    // That they are lines of an input is not for an original receiver to know.
    let line = |value: Value| format!("{}\n", value["text"].as_str().unwrap());
    let found: String = values(&scene, &receiver).into_iter().map(line).collect();
    assert_eq!(found.as_bytes(), bytes);
}

/// An original receiver looks its sender's name up, and gives up on one whose address has none.
#[test]
fn a_sender_whose_address_has_no_name_is_stored_like_any_other() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let from: std::net::SocketAddr = "127.91.27.3:0".parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    let to: std::net::SocketAddr = receiver.address.parse().unwrap();
    socket.connect(&to.into()).unwrap();
    let mut sender = Classic::over(socket.into());
    sender.say(GROUP.as_bytes());
    sender.say(&gzip(&init_of(&counting())));
    assert_eq!(sender.answer(), Answer::Stored);
    sender.ship(&counted([1]));
    assert_eq!(values(&scene, &receiver), [1]);
}

/// An original receiver has a table as long as the highest id that it hears of, eight bytes each, and calls what is at the id of a record.
#[test]
fn statements_may_have_any_ids_and_cost_no_memory_for_those_between() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let ids = [7, 1 << 20, u32::MAX];
    let declaration = declared(ids.map(|id| definition(id, &format!("of_{id}"), "$0", Type::long())));
    let mut sender = Classic::start(&receiver.address, GROUP, &declaration);
    let transactions: Vec<_> = ids
        .iter()
        .map(|id| record(*id, &u64::from(*id).to_le_bytes()))
        .collect();
    sender.ship(&transactions);
    assert_eq!(values(&scene, &receiver), ids);
    let peak = receiver.process().peak_kib();
    assert!(peak < 250 << 10, "{peak} KiB");
    // None of them, but between two that there are.
    sender.say(&gzip(&segment_of(&[record(8, &[0; 8])])));
    assert_eq!(sender.answer(), Answer::Reset);
    assert_eq!(values(&scene, &receiver).len(), 3);
    assert!(receiver.process().is_running());
}

/// Such a sender asks so because it may be talking to an original receiver, which passes over the comment and answers as ever.
#[test]
fn a_sender_that_speaks_our_protocol_too_is_answered_so_and_goes_on_in_it() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let with_comment = |comment: &[u8]| {
        let builder = GzBuilder::new().comment(comment);
        let mut encoder = builder.write(Vec::new(), Compression::new(6));
        encoder.write_all(&init_of(&counting())).unwrap();
        encoder.finish().unwrap()
    };
    let mut other = Classic::connect(&receiver.address);
    other.say(GROUP.as_bytes());
    other.say(&with_comment(b"HOGF 2"));
    assert_eq!(other.answer(), Answer::Stored);
    other.ship(&counted([1]));

    let mut sender = Classic::connect(&receiver.address);
    sender.say(GROUP.as_bytes());
    sender.say(&with_comment(SPEAKS_OURS));
    let mut byte = [0];
    wait_until("the receiver answers", || sender.stream.read(&mut byte).is_ok());
    assert_eq!(byte, [2]);
    let body = Hello {
        sender: OwnerId::random(),
        epoch: 1,
        start_id: 7,
        count: 1,
        group: GROUP.to_owned(),
    }
    .encode();
    net::prepare(&sender.stream).unwrap();
    net::send_frame(&sender.stream, &FrameHeader::plain(Kind::Hello, &body), &body).unwrap();
    let mut reader = FrameReader::new(sender.stream.try_clone().unwrap());
    let header = reader.read(&mut Vec::new(), Patience::of_welcome(), &|| false).unwrap();
    assert_eq!(header.kind, Kind::Welcome);
}
