//! What a bad network does to what is shipped: acknowledgements that get lost, connections that are cut at any byte.

use crate::arrived::assert_equal;
use crate::proxy::{Cut, Proxy};
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until};

/// A stream that has ended, is in the archive with its END, and whose sender knows nothing of that: it was killed
/// before it heard.
struct Unheard {
    bytes: Vec<u8>,
    receiver: Receiver,
    proxy: Proxy,
}

impl Unheard {
    fn new(scene: &Scene) -> Self {
        let bytes = scene.lines(1 << 20);
        let receiver = scene.receiver("recv");
        let proxy = Proxy::new(&receiver.address);
        proxy.swallow_acks(true);
        let mut sender = scene.sender(&[&proxy.address]);
        scene.pipe(&scene.file("piped", &bytes)).succeed();
        wait_until("the archive has the stream's end", || {
            !receiver.segments().is_empty()
                && scene
                    .verify(&receiver.archive)
                    .0
                    .iter()
                    .any(|stream| stream["ended"] == true)
        });
        wait_until("an acknowledgement got lost", || proxy.swallowed() > 0);
        assert!(!scene.acked());
        sender.kill();
        Self { bytes, receiver, proxy }
    }

    /// Makes the receiver begin a new segment, by way of a new connection; the sender does not hear of anything.
    fn roll(&mut self, scene: &Scene) {
        self.receiver.kill();
        self.receiver.start(scene);
        let (segments, swallowed) = (self.receiver.segments().len(), self.proxy.swallowed());
        let mut sender = scene.sender(&[&self.proxy.address]);
        wait_until("the receiver acknowledges what it had", || {
            self.proxy.swallowed() > swallowed
        });
        assert!(self.receiver.segments().len() > segments);
        sender.kill();
    }

    /// Starts a sender that hears.
    fn send(&self, scene: &Scene) -> Process {
        self.proxy.swallow_acks(false);
        scene.sender(&[&self.proxy.address])
    }
}

#[test]
fn an_ended_stream_whose_acknowledgement_was_lost_is_not_shipped_again_after_a_roll() {
    let scene = Scene::new();
    let mut unheard = Unheard::new(&scene);
    for _ in 0..3 {
        unheard.roll(&scene);
    }
    unheard.receiver.kill();
    unheard.receiver.start(&scene);
    let mut sender = unheard.send(&scene);
    scene.wait_acked();
    scene.assert_arrived(&unheard.receiver, &unheard.bytes);
    let (streams, total) = scene.verify(&unheard.receiver.archive);
    let lines = unheard.bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((streams.len(), total["records"].as_u64()), (1, Some(lines as u64)));

    // What is acknowledged leaves the spool once a later segment explains itself.
    let delivered = scene.spooled();
    sender.kill();
    let mut sender = unheard.send(&scene);
    wait_until("the delivered segments are deleted", || {
        delivered.iter().all(|segment| !segment.exists())
    });

    // The stream is forgotten now, on both sides, and does not come back.
    sender.kill();
    unheard.receiver.kill();
    unheard.receiver.start(&scene);
    let _sender = unheard.send(&scene);
    scene.pipe(&scene.file("piped", b"more\n")).succeed();
    scene.wait_acked();
    scene.assert_arrived(&unheard.receiver, &[&unheard.bytes[..], b"more\n"].concat());
}

#[test]
fn an_ended_stream_is_remembered_when_the_archive_rolls_by_its_size() {
    let scene = Scene::new();
    let unheard = Unheard::new(&scene);
    // Another sender fills a segment of the same archive, 64 MiB.
    let other = Scene::new();
    let _other_sender = other.sender_with(&[GROUP], &[&unheard.receiver.address], &["--compress", "none"]);
    let mut line = vec![b'x'; 1 << 20];
    *line.last_mut().unwrap() = b'\n';
    let filling = line.repeat(66);
    other.log(&[&other.file("filling.log", &filling)]);
    other.wait_acked();
    assert_eq!(unheard.receiver.segments().len(), 2);
    let _sender = unheard.send(&scene);
    scene.wait_acked();
    scene.assert_arrived(&unheard.receiver, &[unheard.bytes.clone(), filling].concat());
}

#[test]
fn a_checkpoint_alone_remembers_an_ended_stream() {
    let scene = Scene::new();
    let mut unheard = Unheard::new(&scene);
    unheard.roll(&scene);
    unheard.receiver.kill();
    // An operator may take old segments away: the last one says what there was.
    let segments = unheard.receiver.segments();
    let (_, old) = segments.split_last().unwrap();
    let away = scene.path("away");
    std::fs::create_dir(&away).unwrap();
    for segment in old {
        std::fs::rename(segment, away.join(segment.file_name().unwrap())).unwrap();
    }
    unheard.receiver.start(&scene);
    let _sender = unheard.send(&scene);
    scene.wait_acked();
    scene.assert_arrived(&unheard.receiver, b"");
    assert_equal(&scene.raw(&away), &unheard.bytes);
}

#[test]
fn connections_cut_at_random_bytes_lose_and_double_nothing() {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let input = scene.file("input.log", &bytes);
    let receiver = scene.receiver("recv");
    let proxy = Proxy::new(&receiver.address);
    // Together less than the input, so that all of them are made.
    proxy.cut((0..60).map(|_| {
        scene.draw(|chance| {
            let (sent, answered) = (chance.u64(1..300_000), u64::MAX);
            match chance.u8(..8) {
                // Within HELLO, or what comes right after it.
                0 => Cut {
                    sent: chance.u64(1..300),
                    answered,
                    is_late: false,
                },
                1 | 2 => Cut {
                    sent,
                    answered: chance.u64(1..500),
                    is_late: false,
                },
                3 => Cut {
                    sent,
                    answered,
                    is_late: true,
                },
                _ => Cut {
                    sent,
                    answered,
                    is_late: false,
                },
            }
        })
    }));
    // Uncompressed and in small batches: many frames, and many places to cut.
    let _sender = scene.sender_with(
        &["web"],
        &[&proxy.address],
        &["--compress", "none", "--batch-size", "64KiB"],
    );
    scene.log(&[&input]);
    scene.wait_acked();
    assert_eq!(
        proxy.cuts_left(),
        0,
        "the shipment was through before all cuts were made"
    );
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn receivers_that_hang_up_and_read_no_more_hold_nobody_up() {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let input = scene.file("input.log", &bytes);
    let receiver = scene.receiver("recv");
    // It hangs up while megabytes are on their way, and does not close its end: the sender waits for room in the sockets then.
    let proxy = Proxy::new(&receiver.address);
    proxy.rest_before_cuts();
    proxy.cut([300_000, 700_000, 10_000, 1_500_000].map(|sent| Cut {
        sent,
        answered: u64::MAX,
        is_late: false,
    }));
    let mut sender = scene.sender_with(&["web"], &[&proxy.address], &["--compress", "none"]);
    scene.log(&[&input]);
    scene.wait_acked();
    assert_eq!(proxy.cuts_left(), 0);
    scene.assert_arrived(&receiver, &bytes);
    sender.terminate();
    sender.succeed();
}
