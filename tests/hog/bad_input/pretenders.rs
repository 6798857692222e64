//! Receivers that mean harm: what they say to a sender costs them what they are sent, and nobody else anything.

use crate::scene::{GROUP, Scene, wait_until};
use hog::formats::frame::{self, FrameHeader, Kind};
use hog::formats::table::StreamState;
use hog::formats::wire::{self, Held};
use hog::ids::StreamId;
use hog::os::net::{self, FrameReader, Patience};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A receiver in name alone.
struct Pretender {
    listener: TcpListener,
    address: String,
    is_over: AtomicBool,
    met: AtomicUsize,
}

impl Pretender {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self {
            listener,
            address,
            is_over: AtomicBool::new(false),
            met: AtomicUsize::new(0),
        }
    }

    /// Does `play` with whoever comes, after their HELLO, until it is over.
    fn run(&self, play: &dyn Fn(&TcpStream, &mut FrameReader)) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            net::prepare(&stream).unwrap();
            let mut reader = FrameReader::new(stream.try_clone().unwrap());
            if self
                .read(&mut reader)
                .is_some_and(|(header, _)| header.kind == Kind::Hello)
            {
                self.met.fetch_add(1, Ordering::SeqCst);
                play(&stream, &mut reader);
            }
        }
    }

    fn read(&self, reader: &mut FrameReader) -> Option<(FrameHeader, Vec<u8>)> {
        let mut body = Vec::new();
        let stop = || self.is_over.load(Ordering::SeqCst);
        let header = reader.read(&mut body, Patience::of_shipping(), &stop).ok()?;
        Some((header, body))
    }

    /// Says so, unless it is over, or nobody listens any more.
    fn say(&self, stream: &TcpStream, header: &FrameHeader, body: &[u8]) -> bool {
        !self.is_over.load(Ordering::SeqCst) && net::send_frame(stream, header, body).is_ok()
    }

    fn welcome(&self, stream: &TcpStream, held: &[Held], is_last: bool) -> bool {
        let body = wire::encode_welcome(held);
        let flags = if is_last { frame::LAST } else { 0 };
        let header = FrameHeader::plain(Kind::Welcome, &body).with_flags(flags);
        self.say(stream, &header, &body)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address)); // so that it looks
    }
}

/// Ends a pretender also when its test fails.
struct Ending<'a>(&'a Pretender);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn held(position: u64) -> Held {
    Held {
        stream: StreamId::random(),
        position,
        state: StreamState::Open,
    }
}

fn acked(streams: &[(StreamId, u64)]) -> (FrameHeader, Vec<u8>) {
    let body = wire::encode_ack(streams);
    (FrameHeader::plain(Kind::Ack, &body), body)
}

/// The most memory that a sender may take, whatever a receiver says, in KiB.
const PEAK_KIB_MAX: u64 = 120 << 10;

/// Has a sender ship to a receiver and to a pretender that does `play`, until the pretender was met `times` times. The receiver has everything, in order, and
/// the log has a line or two about the pretender.
fn ship_beside(times: usize, play: impl Fn(&Pretender, &TcpStream, &mut FrameReader) + Sync) {
    ship_more_beside(1 << 20, times, play);
}

/// The same with so many bytes.
fn ship_more_beside(bytes: usize, times: usize, play: impl Fn(&Pretender, &TcpStream, &mut FrameReader) + Sync) {
    let scene = Scene::new();
    let bytes = scene.lines(bytes);
    let receiver = scene.receiver("recv");
    let pretender = Pretender::new();
    let mut sender = scene.sender(&[&pretender.address, &receiver.address]);
    std::thread::scope(|threads| {
        let ending = Ending(&pretender);
        threads.spawn(|| pretender.run(&|stream, reader| play(&pretender, stream, reader)));
        scene.log(&[&scene.file("input.log", &bytes)]);
        wait_until("the pretender is met again", || {
            pretender.met.load(Ordering::SeqCst) >= times
        });
        wait_until("the other destination has all", || {
            scene.unacked_by(&receiver.address) == Some(0)
        });
        drop(ending);
    });
    scene.assert_arrived(&receiver, &bytes);
    let words = sender.words();
    let said: Vec<_> = words.lines().filter(|line| line.contains(&pretender.address)).collect();
    assert!(said.len() <= 4, "not once: {said:?}");
    assert!(!words.contains("panicked") && sender.is_running(), "{words}");
    assert!(scene.unacked_by(&pretender.address).is_some_and(|bytes| bytes > 0));
    let peak = sender.peak_kib();
    eprintln!("a sender beside a pretender: at most {peak} KiB");
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn a_welcome_that_makes_no_sense_is_not_believed() {
    ship_beside(3, |pretender, stream, _| {
        pretender.welcome(stream, &[held(u64::MAX)], true);
    });
}

#[test]
fn a_welcome_without_end_is_given_up() {
    ship_beside(3, |pretender, stream, _| while pretender.welcome(stream, &[], false) {});
}

#[test]
fn a_welcome_of_more_streams_than_there_can_be_is_given_up() {
    let streams: Vec<_> = (0..wire::PER_FRAME).map(|_| held(8)).collect();
    ship_beside(
        2,
        |pretender, stream, _| while pretender.welcome(stream, &streams, false) {},
    );
}

#[test]
fn what_nobody_asked_for_ends_the_connection() {
    ship_beside(3, |pretender, stream, reader| {
        pretender.welcome(stream, &[], true);
        let has = |_| {
            let header = FrameHeader::plain(Kind::Has, &[]).of_stream(StreamId::random(), 8, 8);
            pretender.say(stream, &header, &[])
        };
        (0..100_000).all(has);
        while pretender.read(reader).is_some() {}
    });
}

#[test]
fn acknowledgements_of_streams_that_there_are_not_are_passed_over_and_take_no_memory() {
    let streams: Vec<_> = (0..40_000).map(|_| (StreamId::random(), u64::MAX)).collect();
    let (header, body) = acked(&streams);
    let mut bytes = Vec::new();
    net::put_frame(&mut bytes, &header, &body);
    ship_more_beside(12 << 20, 1, |pretender, mut stream, reader| {
        pretender.welcome(stream, &[], true);
        // It asks for everything and reads nothing more, so that the sender waits for room in its socket, and hears nothing meanwhile.
        while let Some((header, _)) = pretender.read(reader) {
            if header.kind == Kind::Attach {
                let has = FrameHeader::plain(Kind::Has, &[]).of_stream(header.stream, 0, 0);
                pretender.say(stream, &has, &[]);
                break;
            }
        }
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        for _ in 0..300 {
            if stream.write_all(&bytes).is_err() {
                break; // the sender takes no more
            }
        }
    });
}

#[test]
fn frames_that_no_receiver_sends_end_the_connection() {
    ship_beside(3, |pretender, stream, _| {
        pretender.welcome(stream, &[], true);
        pretender.say(
            stream,
            &FrameHeader::plain(Kind::Data, &[0; 64]).of_stream(StreamId::random(), 0, 64),
            &[0; 64],
        );
    });
}

/// A receiver that claims to have what it was not sent. What it was not sent stays in the spool, and goes to the one that comes after it.
#[test]
fn an_acknowledgement_of_what_was_not_sent_counts_no_further_than_what_was() {
    let scene = Scene::new();
    let bytes = scene.lines(24 << 20);
    let pretender = Pretender::new();
    let sender = scene.sender(&[&pretender.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    let spooled = |status: &serde_json::Value| status["groups"][0]["ring_bytes"] == 0;
    wait_until("all is spooled", || {
        scene.status().is_some_and(|status| spooled(&status))
    });
    let has_lied = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let ending = Ending(&pretender);
        threads.spawn(|| {
            pretender.run(&|stream, reader| {
                pretender.welcome(stream, &[], true);
                while let Some((header, _)) = pretender.read(reader) {
                    if header.kind == Kind::Attach && !has_lied.load(Ordering::SeqCst) {
                        let has = FrameHeader::plain(Kind::Has, &[]).of_stream(header.stream, 0, 0);
                        pretender.say(stream, &has, &[]);
                        let (ack, body) = acked(&[(header.stream, hog::limits::POSITION_MAX)]);
                        pretender.say(stream, &ack, &body);
                        has_lied.store(true, Ordering::SeqCst);
                    }
                }
            });
        });
        wait_until("it lied", || has_lied.load(Ordering::SeqCst));
        // It waits for acknowledgements of what is on its way, of which none come any more.
        let mut last = 0;
        wait_until("the sender waits", || {
            std::thread::sleep(Duration::from_millis(100));
            let unacked = scene.unacked_by(&pretender.address).unwrap();
            std::mem::replace(&mut last, unacked) == unacked
        });
        assert!(last > 8 << 20, "{last} bytes are still owed");
        drop(ending);
    });
    let address = pretender.address.clone();
    drop(pretender);
    // An honest one at the same address: what the other one claimed is found to be missing there, and sent again.
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    receiver.address = address;
    receiver.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    assert!(sender.words().contains(GROUP));
}
