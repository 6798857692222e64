//! Many senders at one receiver, and what it syncs with.

use crate::roles::Process;
use crate::scene::{GROUP, PATIENCE, Scene, wait_until};
use hog::formats::body::{Attach, End};
use hog::formats::definitions::Definitions;
use hog::formats::frame::{FrameHeader, Kind};
use hog::formats::wire::{self, Hello};
use hog::ids::{OwnerId, StreamId};
use hog::limits::ROOMS_MAX;
use hog::os::net::{self, FrameReader, Patience, WIRE_SALT};
use hog_ring::record::{self, first_word};
use std::ffi::OsStr;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

/// What a receiver takes by itself, as it is built for tests.
const OWN_KIB: u64 = 60 << 10;

/// A sender that was welcomed.
struct Sender {
    socket: TcpStream,
    reader: FrameReader,
    stream: StreamId,
    /// Up to where it was acknowledged.
    shipped: u64,
}

impl Sender {
    fn connect(address: &str) -> Self {
        let socket = net::connect(address).unwrap();
        net::prepare(&socket).unwrap();
        let mut sender = Self {
            reader: FrameReader::new(socket.try_clone().unwrap()),
            socket,
            stream: StreamId::random(),
            shipped: 0,
        };
        let id = OwnerId::random();
        let hello = Hello {
            sender: id,
            epoch: 1,
            start_id: 1,
            count: 1,
            group: GROUP.to_owned(),
        };
        sender.say(FrameHeader::plain, Kind::Hello, &hello.encode());
        sender.hear(Kind::Welcome);
        let attach = Attach {
            producer: "peer".to_owned(),
            created: 1,
            boot: uuid::Uuid::nil(),
            sender: id,
            definitions: Definitions::default(),
        };
        let stream = sender.stream;
        let at_start = |kind, body: &[u8]| FrameHeader::plain(kind, body).of_stream(stream, 0, 0);
        sender.say(at_start, Kind::Attach, &attach.encode());
        sender.hear(Kind::Has);
        sender
    }

    fn say(&self, header: impl Fn(Kind, &[u8]) -> FrameHeader, kind: Kind, body: &[u8]) {
        net::send_frame(&self.socket, &header(kind, body), body).unwrap();
    }

    /// The next frame, of this kind; acknowledgements may come before it, of what was synced meanwhile.
    fn hear(&mut self, kind: Kind) -> Vec<u8> {
        loop {
            let mut body = Vec::new();
            let header = self.reader.read(&mut body, Patience::of_shipping(), &|| false).unwrap();
            if header.kind == kind {
                return body;
            }
            assert_eq!(header.kind, Kind::Ack, "{}", String::from_utf8_lossy(&body));
        }
    }

    /// Ships END, which takes 8 positions, and waits until they are acknowledged.
    fn ship(&mut self) {
        let (stream, start) = (self.stream, self.shipped);
        let of_eight = |kind, body: &[u8]| FrameHeader::plain(kind, body).of_stream(stream, start, start + 8);
        self.say(of_eight, Kind::End, &End::default().encode());
        self.hear_of(start + 8);
    }

    fn hear_of(&mut self, position: u64) {
        while !wire::decode_ack(&self.hear(Kind::Ack))
            .unwrap()
            .contains(&(self.stream, position))
        {}
    }

    /// Ships one fragment of `len` bytes, and waits until it is acknowledged.
    fn ship_fragment(&mut self, len: usize) {
        let (stream, start, body) = (self.stream, self.shipped, fragment_of(len));
        let end = start + body.len() as u64;
        let of_fragment = |kind, body: &[u8]| FrameHeader::plain(kind, body).of_stream(stream, start, end);
        self.say(of_fragment, Kind::Data, &body);
        self.hear_of(end);
        self.shipped = end;
    }

    /// Sends the header of a long frame.
    fn begin_long(&mut self) {
        let body = fragment_of(LONG);
        let header = FrameHeader::plain(Kind::Data, &body).of_stream(self.stream, 0, body.len() as u64);
        self.socket.write_all(&header.seal(WIRE_SALT)).unwrap();
    }
}

/// A body that takes room that is lent.
const LONG: usize = 64 << 10;

/// A fragment of so many bytes, which END voids, and which needs no definition.
fn fragment_of(len: usize) -> Vec<u8> {
    let mut body = vec![b'x'; len];
    body[..4].copy_from_slice(&first_word(record::Kind::Fragment, len, 0).to_le_bytes());
    body[4..8].copy_from_slice(&0_u32.to_le_bytes()); // the first of its run
    body
}

#[test]
fn senders_that_are_slow_within_a_frame_do_not_hold_up_one_that_is_not() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut slow: Vec<Sender> = (0..ROOMS_MAX).map(|_| Sender::connect(&receiver.address)).collect();
    slow.iter_mut().for_each(Sender::begin_long);
    let mut sender = Sender::connect(&receiver.address);
    let deadline = Instant::now() + PATIENCE;
    for frame in 0..100 {
        // A byte of each of the bodies that are to come: they are not given up.
        slow.iter_mut().for_each(|slow| slow.socket.write_all(b"x").unwrap());
        sender.ship_fragment(LONG);
        assert!(
            Instant::now() < deadline,
            "waited in vain for the end of {frame} frames"
        );
    }
}

#[test]
fn three_hundred_senders_are_served_at_once_and_take_little_memory() {
    hog::os::process::raise_open_files();
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut senders: Vec<Sender> = (0..300).map(|_| Sender::connect(&receiver.address)).collect();
    senders.iter_mut().for_each(|sender| sender.ship_fragment(4 * LONG));
    senders.iter_mut().for_each(Sender::ship);
    let peak = receiver.process().peak_kib();
    eprintln!("300 senders: at most {peak} KiB");
    assert!(peak < OWN_KIB + 300 * 150, "{peak} KiB");
    let (streams, _) = scene.verify(&receiver.archive);
    assert_eq!(streams.len(), 300);
}

/// Starts a receiver that is to sync through io_uring, as an argument of the command `under`. `None` where that cannot be run.
fn receiver_with_rings(scene: &Scene, name: &str, under: &[&OsStr]) -> Option<(Process, String)> {
    let (archive, store) = (scene.path(name).join("archive"), scene.path(name).join("store"));
    let mut arguments = ["batchrecv", "--sync-with", "io-uring", "--listen", "127.0.0.1:0", "-d"]
        .map(OsStr::new)
        .to_vec();
    arguments.extend([archive.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
    let mut process = scene.start_under(under, name, &arguments);
    wait_until("the receiver says where it listens, or ended", || {
        process.first_line().is_some() || !process.is_running()
    });
    let address = process.first_line()?;
    Some((process, address))
}

fn synced_by(scene: &Scene, store: &Path) -> String {
    let arguments = ["status", "--format", "json", "-m"].map(OsStr::new);
    let output = scene
        .run("status", &[&arguments[..], &[store.as_os_str()]].concat())
        .output;
    let status: serde_json::Value = serde_json::from_slice(&output).unwrap();
    status["sessions"][0]["synced_by"].as_str().unwrap().to_owned()
}

#[test]
fn a_receiver_syncs_through_io_uring_where_it_is_asked_to_and_by_threads_where_the_kernel_refuses() {
    let scene = Scene::new();
    let (_receiver, address) = receiver_with_rings(&scene, "rings", &[]).unwrap();
    Sender::connect(&address).ship();
    let words = synced_by(&scene, &scene.path("rings").join("store"));
    if words != "io_uring" {
        eprintln!("not all of it: {words}");
        assert!(words.starts_with("threads, as the kernel refuses"), "{words}");
    }
    let log = scene.path("calls");
    let inject = "inject=io_uring_setup:error=EPERM";
    // With -D the receiver is this process's child, and ends with its test.
    let mut under = ["strace", "-D", "-f", "-e", "trace=io_uring_setup", "-e", inject, "-o"]
        .map(OsStr::new)
        .to_vec();
    under.push(log.as_os_str());
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let Some((_receiver, address)) = receiver_with_rings(&scene, "refused", &under) else {
        eprintln!("skipped: strace may not trace here");
        return;
    };
    Sender::connect(&address).ship();
    let words = synced_by(&scene, &scene.path("refused").join("store"));
    assert!(words.starts_with("threads, as the kernel refuses"), "{words}");
}
