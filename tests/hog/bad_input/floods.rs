//! Peers of a receiver that mean harm: they come by the thousand, say half of something for ever, lie about lengths, send the right frames in the wrong
//! order. Each costs its own connection, and a bounded amount of memory.

use super::peers::{hello, is_closed, send};
use crate::roles::Receiver;
use crate::scene::{GROUP, Scene, wait_until};
use hog::formats::body::{Attach, End, Gap, GapReason};
use hog::formats::definitions::Definitions;
use hog::formats::frame::{Codec, FrameHeader, Kind};
use hog::formats::wire;
use hog::ids::{OwnerId, StreamId};
use hog::os::net::WIRE_SALT;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A program in use, and what it serves, in KiB; whatever peers take comes on top.
const OWN_KIB: u64 = 60 << 10;

fn frame(header: FrameHeader, body: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        body_len: u32::try_from(body.len()).unwrap(),
        body_crc: crc32c::crc32c(body),
        ..header
    };
    [&header.seal(WIRE_SALT)[..], body].concat()
}

fn plain(kind: Kind, body: &[u8]) -> FrameHeader {
    FrameHeader::plain(kind, body)
}

fn attach(sender: OwnerId, stream: StreamId) -> Vec<u8> {
    let attach = Attach {
        producer: "peer".to_owned(),
        created: 1,
        boot: uuid::Uuid::from_u128(1),
        sender,
        definitions: Definitions::default(),
    };
    let body = attach.encode();
    frame(plain(Kind::Attach, &body).of_stream(stream, 0, 0), &body)
}

/// The faults of peers that `receiver` recorded, once it has ended: how often each.
fn recorded(scene: &Scene, mut receiver: Receiver) -> Vec<(String, u64)> {
    receiver.process().terminate();
    wait_until("the receiver ends", || !receiver.process().is_running());
    let store = scene.path("recv").join("store");
    let faults = scene.run(
        "faults",
        &[
            "faults".as_ref(),
            "--format=json".as_ref(),
            "-m".as_ref(),
            store.as_os_str(),
        ],
    );
    let lines = String::from_utf8(faults.output).unwrap();
    let faults = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    faults
        .filter(|fault| fault["kind"] == "peer")
        .map(|fault| {
            (
                fault["what"].as_str().unwrap().to_owned(),
                fault["count"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_thousand_peers_that_say_nothing_keep_no_sender_out_and_take_little_memory() {
    hog::os::process::raise_open_files();
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let bytes = scene.lines(1 << 20);
    let half_hello = &hello(GROUP).1[..30];
    let says = |peer: usize| if peer.is_multiple_of(2) { &[][..] } else { half_hello };
    let peers: Vec<TcpStream> = (0..800).map(|peer| send(&receiver.address, says(peer))).collect();
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    let more: Vec<TcpStream> = (0..200).map(|_| send(&receiver.address, b"")).collect();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    let peak = receiver.process().peak_kib();
    eprintln!("1000 silent peers: at most {peak} KiB");
    assert!(peak < OWN_KIB + 40 * 1024, "{peak} KiB");
    let words = receiver.process().words();
    assert!(words.lines().count() < 20, "a line for each connection: {words}");
    drop((peers, more));
    let recorded = recorded(&scene, receiver);
    let displaced = recorded.iter().find(|(what, _)| what.contains("gave way"));
    assert!(displaced.is_some_and(|(_, times)| *times > 700), "{recorded:?}");
}

#[test]
fn half_a_frame_costs_the_memory_that_came_of_it_and_not_what_its_header_claims() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let claim = FrameHeader {
        kind: Kind::Data,
        body_len: 1 << 20,
        raw_len: 1 << 20,
        ..plain(Kind::Data, &[]).of_stream(StreamId::random(), 0, 1 << 20)
    };
    let claim = claim.seal(WIRE_SALT);
    let mut peers: Vec<TcpStream> = Vec::new();
    // Some at a time: of more that are not known yet, the oldest give way.
    for _ in 0..10 {
        let some = (0..10).map(|_| send(&receiver.address, &[&hello(GROUP).1[..], &claim].concat()));
        let some: Vec<TcpStream> = some.collect();
        for mut peer in &some {
            peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            peer.read_exact(&mut [0; 72]).unwrap(); // WELCOME
        }
        peers.extend(some);
    }
    let bytes = scene.lines(1 << 20);
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    for peer in &mut peers {
        peer.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!(!is_closed(peer), "the other half is awaited");
    }
    let peak = receiver.process().peak_kib();
    eprintln!("100 halves of frames of 1 MiB: at most {peak} KiB");
    assert!(peak < OWN_KIB + 100 * 400, "{peak} KiB");
}

#[test]
fn a_peer_that_says_hello_byte_by_byte_is_given_up_in_time() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut peer = send(&receiver.address, b"");
    let hello = hello(GROUP).1;
    let mut bytes = hello.iter();
    // A byte each half second: never silent for long, and not done in the ten seconds that HELLO may take.
    wait_until("it is cut off", || {
        let _ = bytes.next().map(|byte| peer.write_all(&[*byte]));
        std::thread::sleep(Duration::from_millis(400));
        is_closed(&mut peer)
    });
    wait_until("it is reported", || {
        receiver.process().words().contains("took more than 10 s")
    });
}

#[test]
fn bodies_that_decompress_to_more_than_they_say_are_refused_and_take_no_memory() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let stream = StreamId::random();
    let zeros = vec![0; 512 << 20];
    let bomb = zstd::bulk::compress(&zeros, 1).unwrap();
    drop(zeros);
    assert!(bomb.len() < 1 << 20);
    for kind in [Kind::Data, Kind::Attach, Kind::Gap, Kind::End] {
        for (codec, raw_len) in [(Codec::Zstd, 1 << 20), (Codec::Zstd, 8), (Codec::Lz4, 1 << 20)] {
            let (sender, mut bytes) = hello(GROUP);
            bytes.extend(attach(sender, stream));
            let end = match kind {
                Kind::Attach => 0,
                Kind::Data => u64::from(raw_len),
                _ => 8,
            };
            let header = FrameHeader {
                codec,
                raw_len,
                ..plain(kind, &[]).of_stream(stream, 0, end)
            };
            bytes.extend(frame(header, &bomb));
            let mut peer = send(&receiver.address, &bytes);
            wait_until("it is cut off", || is_closed(&mut peer));
        }
    }
    let peak = receiver.process().peak_kib();
    eprintln!("12 bodies of 512 MiB: at most {peak} KiB");
    assert!(peak < OWN_KIB, "{peak} KiB");
    let (streams, total) = scene.verify(&receiver.archive);
    assert!(streams.len() <= 1 && total["records"] == 0, "{streams:?}");
    let recorded = recorded(&scene, receiver);
    assert_eq!(recorded, [("sent what does not decompress".to_owned(), 12)]);
}

#[test]
fn valid_frames_in_the_wrong_order_cost_their_connection_and_harm_nobody_else() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let bytes = scene.lines(1 << 20);
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_acked();
    let stream = StreamId::random();
    let gap = Gap::because(GapReason::SpoolDamaged).encode();
    let gap = |from, to| frame(plain(Kind::Gap, &gap).of_stream(stream, from, to), &gap);
    let end = End { records: 0, bytes: 0 }.encode();
    let end = |from| frame(plain(Kind::End, &end).of_stream(stream, from, from + 8), &end);
    let forget = wire::encode_forget(&(0..1000).map(|_| StreamId::random()).collect::<Vec<_>>());
    let forget = frame(plain(Kind::Forget, &forget), &forget);
    let (sender, greeting) = hello(GROUP);
    let attach = attach(sender, stream);
    // What cuts a connection off, and what is passed over.
    let cut: Vec<Vec<u8>> = vec![
        gap(0, 8),                                            // of a stream that nobody attached
        end(0),                                               // the same
        [&attach[..], &gap(1 << 40, (1 << 40) + 8)].concat(), // far behind its end
        [&attach[..], &end(0), &gap(8, 16)].concat(),         // after its end
        hello(GROUP).1,                                       // a second HELLO
        frame(plain(Kind::Ack, &[]), &[]),                    // what a receiver says
    ];
    for (count, frames) in cut.iter().enumerate() {
        let greeting = renewed(&greeting, sender, count as u64 + 2);
        let mut peer = send(&receiver.address, &[greeting, frames.clone()].concat());
        wait_until("it is cut off", || is_closed(&mut peer));
    }
    let flood = [
        renewed(&greeting, sender, 100),
        forget.repeat(50),
        frame(plain(Kind::Ping, &[]), &[]).repeat(1000),
    ];
    let mut peer = send(&receiver.address, &flood.concat());
    peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    peer.read_exact(&mut [0; 72]).unwrap();
    let more = scene.lines(1 << 20);
    scene.log(&[&scene.file("more.log", &more)]);
    scene.wait_acked();
    let words = receiver.process().words();
    assert!(words.lines().count() < 40 && !words.contains("panicked"), "{words}");
    let raw = scene.run(
        "cat",
        &["cat".as_ref(), "--format=raw".as_ref(), receiver.archive.as_os_str()],
    );
    crate::arrived::assert_equal(&raw.output, &[bytes, more].concat());
}

/// HELLO of the same sender over another connection.
fn renewed(_first: &[u8], sender: OwnerId, count: u64) -> Vec<u8> {
    let body = wire::Hello {
        sender,
        epoch: 1,
        start_id: 7,
        count,
        group: GROUP.to_owned(),
    }
    .encode();
    frame(plain(Kind::Hello, &body), &body)
}

#[test]
fn a_group_for_each_connection_is_stored_up_to_a_bound_and_then_refused() {
    let scene = Scene::new();
    // On tmpfs: each archive is synced some times.
    let archive = scene.shm_dir().join("archive");
    let store = scene.path("store-of-recv");
    let mut arguments = crate::scene::words(&["batchrecv", "--listen", "127.0.0.1:0", "-d"]);
    let pattern = archive.join("$GROUP");
    arguments.extend([pattern.as_os_str(), "-m".as_ref(), store.as_os_str()]);
    let mut receiver = scene.start("recv", &arguments);
    wait_until("the receiver says where it listens", || receiver.first_line().is_some());
    let address = receiver.first_line().unwrap();
    let bound = hog::limits::GROUPS_MAX;
    let answer = |group: &str| {
        let mut peer = send(&address, &hello(group).1);
        peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut header = [0; 72];
        peer.read_exact(&mut header).unwrap();
        let mut rest = Vec::new();
        peer.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        if header[68] == Kind::Refuse as u8 {
            peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let _ = peer.read_to_end(&mut rest); // a reset comes after what was answered
        }
        String::from_utf8_lossy(&rest).into_owned()
    };
    for group in 0..bound {
        assert_eq!(answer(&format!("group-{group}")), "");
    }
    for group in bound..bound + 20 {
        assert!(answer(&format!("group-{group}")).contains("groups are stored here already"));
    }
    assert_eq!(answer("group-7"), "", "those that are stored are served");
    let peak = receiver.peak_kib();
    eprintln!("{bound} groups: at most {peak} KiB");
    assert!(peak < OWN_KIB + bound as u64 * 256, "{peak} KiB");
    let made = std::fs::read_dir(&archive).unwrap().count();
    assert_eq!(made, bound + 1, "a directory for each, and the lock");
    let words = receiver.words();
    assert!(words.lines().count() < 100, "{words}");
    let asked = std::time::Instant::now();
    receiver.terminate();
    receiver.succeed();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
