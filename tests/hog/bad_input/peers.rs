//! Peers that do not speak the protocol: each kind is reported once, none keeps others from being served, none makes anything.

use crate::scene::{GROUP, Scene, wait_until};
use hog::formats::frame::{FrameHeader, Kind};
use hog::formats::wire::Hello;
use hog::ids::OwnerId;
use hog::os::net::WIRE_SALT;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// As many come at once.
const PEERS: usize = 60;
/// The most memory that the receiver may have taken then, in KiB: for some KiB each, the batches of one sender that is served, and the program.
const PEAK_KIB_MAX: u64 = 100 << 10;

/// What the peers send before they wait.
fn nonsense(scene: &Scene) -> Vec<Vec<u8>> {
    let hello = hello("web").1;
    let mut half_hello = hello.clone();
    half_hello.truncate(hello.len() - 5);
    let sealed = |header: FrameHeader| header.seal(WIRE_SALT).to_vec();
    let plain = FrameHeader::plain(Kind::Hello, &[]);
    vec![
        scene.draw(|chance| (0..1 << 16).map(|_| chance.u8(..)).collect()),
        b"GET / HTTP/1.1\r\nHost: hog\r\n\r\n".to_vec(),
        sealed(FrameHeader {
            body_len: u32::MAX,
            ..plain
        }),
        sealed(FrameHeader {
            raw_len: u32::MAX,
            ..plain
        }),
        // A frame of a length that is allowed, and of a kind that nobody begins with.
        sealed(FrameHeader {
            kind: Kind::Data,
            body_len: 1 << 20,
            ..plain
        }),
        hello[..40].to_vec(),
        half_hello,
        Vec::new(),
        // The original's protocol begins with the length of a group's name.
        [&3_u64.to_le_bytes()[..], b"web"].concat(),
        [&sealed(FrameHeader::plain(Kind::Hello, &[0xff; 64]))[..], &[0xff; 64]].concat(),
    ]
}

/// A HELLO for `group`, of a sender that nobody knows: its identity, and the frame.
pub(super) fn hello(group: &str) -> (OwnerId, Vec<u8>) {
    let sender = OwnerId::random();
    let body = Hello {
        sender,
        epoch: 1,
        start_id: 7,
        count: 1,
        group: group.to_owned(),
    }
    .encode();
    (
        sender,
        [&FrameHeader::plain(Kind::Hello, &body).seal(WIRE_SALT)[..], &body].concat(),
    )
}

/// Sends as much of `bytes` as the receiver takes.
pub(super) fn send(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let _ = stream.write_all(bytes); // it may have closed already
    stream
}

/// Whether the receiver has closed this connection.
pub(super) fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 256];
    match stream.read(&mut bytes) {
        Ok(read) => read == 0,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

#[test]
fn of_sixty_peers_that_do_not_speak_the_protocol_each_kind_is_reported_once_and_they_hold_up_nobody() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    let mut receiver = scene.receiver("recv");
    let nonsense = nonsense(&scene);
    let mut peers: Vec<TcpStream> = (0..PEERS)
        .map(|peer| send(&receiver.address, &nonsense[peer % nonsense.len()]))
        .collect();
    let addresses: Vec<SocketAddr> = peers.iter().map(|peer| peer.local_addr().unwrap()).collect();

    // All of them are there, and wait, while this one is served.
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);

    for peer in &mut peers {
        wait_until("the receiver gives a peer up", || is_closed(peer));
    }
    // Silent, of another protocol, of another version of ours.
    let kinds = 3;
    wait_until("each kind is reported", || {
        receiver.process().words().matches("connection from").count() >= kinds
    });
    let words = receiver.process().words();
    assert_eq!(words.matches("connection from").count(), kinds, "{words}");
    let addresses = addresses.iter().map(ToString::to_string);
    let reported = addresses.filter(|address| words.contains(&format!(" {address}: ")));
    assert_eq!(reported.count(), kinds, "{words}");
    assert!(!words.contains("panicked") && receiver.process().is_running());
    let peak = receiver.process().peak_kib();
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    let mut made: Vec<_> = std::fs::read_dir(&receiver.archive)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    made.sort();
    assert_eq!(made, [OsStr::new("lock"), OsStr::new(GROUP)]);
}

#[test]
fn a_sender_of_what_no_sender_sends_is_cut_off_and_stores_nothing() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let frame = |header: FrameHeader, body: &[u8]| [&header.seal(WIRE_SALT)[..], body].concat();
    let after_hello: Vec<Vec<u8>> = vec![
        frame(FrameHeader::plain(Kind::Attach, &[0xff; 100]), &[0xff; 100]),
        frame(FrameHeader::plain(Kind::Welcome, &[]), &[]),
        frame(
            FrameHeader::plain(Kind::Data, &[0x5a; 64]).of_stream(hog::ids::StreamId::random(), 0, 64),
            &[0x5a; 64],
        ),
        frame(FrameHeader::plain(Kind::Checkpoint, &[1; 64]), &[1; 64]),
    ];
    for bytes in after_hello {
        let mut peer = send(&receiver.address, &[hello(GROUP).1, bytes].concat());
        wait_until("it is cut off", || is_closed(&mut peer));
    }
    wait_until("each kind is reported", || {
        receiver.process().words().matches("connection from").count() == 3
    });
    let (streams, total) = scene.verify(&receiver.archive);
    assert!(streams.is_empty() && total["records"] == 0, "{streams:?}");
    assert!(receiver.process().is_running());
}

#[test]
fn a_group_that_is_no_name_makes_no_directory() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    for group in ["../evil", "a/b", "", ".hidden", "lock", "sp ace", "\0"] {
        let mut peer = send(&receiver.address, &hello(group).1);
        let mut answer = Vec::new();
        peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let _ = peer.read_to_end(&mut answer); // a reset comes after what was answered
        assert!(
            String::from_utf8_lossy(&answer).contains("no group can be called that here"),
            "{group:?}: {answer:?}"
        );
    }
    let made: Vec<_> = std::fs::read_dir(&receiver.archive)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(made, [OsStr::new("lock")]);
    assert!(!scene.path("recv").join("evil").exists() && receiver.process().is_running());
}

#[test]
fn a_receiver_that_does_not_speak_the_protocol_is_tried_again_and_reported_once() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 16);
    let tried = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign = listener.local_addr().unwrap().to_string();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&foreign, &receiver.address]);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.write_all(&b"220 mail.example ESMTP\r\n".repeat(100));
                tried.fetch_add(1, Ordering::SeqCst);
            }
        });
        wait_until("it is tried again", || tried.load(Ordering::SeqCst) == 3);
    });
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_until("the other destination has all", || {
        scene.unacked_by(&receiver.address) == Some(0)
    });
    let words = sender.words();
    let said: Vec<&str> = words.lines().filter(|line| line.contains(&foreign)).collect();
    assert!(
        said.len() == 1 && said[0].contains("does not speak hog's protocol"),
        "{said:?}"
    );
    assert!(sender.is_running() && scene.unacked_by(&foreign).is_some_and(|bytes| bytes > 0));
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn a_port_that_is_looked_at_and_left_is_not_worth_a_word() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let before = receiver.process().words();
    for _ in 0..5 {
        drop(TcpStream::connect(&receiver.address).unwrap());
    }
    // Connections are accepted in order: this one comes after those.
    let mut last = send(&receiver.address, b"GET / HTTP/1.1\r\n\r\n".repeat(10).as_slice());
    let address = last.local_addr().unwrap();
    wait_until("the last is cut off", || is_closed(&mut last));
    wait_until("the last is reported", || {
        receiver.process().words().contains(&address.to_string())
    });
    let words = receiver.process().words();
    let warnings = words[before.len()..]
        .lines()
        .filter(|line| line.contains("WARN"))
        .count();
    assert_eq!(warnings, 1, "{words}");
}
