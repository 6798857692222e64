//! Moments between two instructions of the sender, which a kill at random hardly ever hits: made by hand, as the kill
//! would have left them.

use crate::arrived::assert_stored_once;
use crate::scene::{Scene, wait_until};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Offset of the head in a ring's file: `docs/FORMATS.md`, section 1.
const HEAD_AT: u64 = 512;

#[test]
fn a_sender_that_was_killed_between_append_and_advance_appends_nothing_twice() {
    let scene = Scene::new();
    // All of it fits into the ring, and so is still there when the head goes back.
    let bytes = scene.lines(400_000);
    let input = scene.file("input.log", &bytes);
    let mut receiver = scene.receiver("recv");
    // As long as nothing is acknowledged, all of it stays in the spool.
    receiver.kill();
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&input]);
    let (tail, _) = scene.progress();
    wait_until("the ring is drained", || scene.progress().1 == tail);
    let ring = File::options().write(true).open(&scene.rings()[0]).unwrap();
    for kept in [0, 2, 4] {
        sender.kill();
        ring.write_all_at(&(tail * kept / 4 / 8 * 8).to_le_bytes(), HEAD_AT)
            .unwrap();
        sender = scene.sender(&[&receiver.address]);
        wait_until("the head is where it was", || scene.progress() == (tail, tail));
    }
    assert_stored_once(&scene.spooled());
    receiver.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn a_sender_that_was_killed_between_end_and_unlink_only_unlinks() {
    let scene = Scene::new();
    let bytes = scene.lines(400_000);
    let mut receiver = scene.receiver("recv");
    // As long as nothing is acknowledged, the stream stays in the spool.
    receiver.kill();
    scene.pipe(&scene.file("piped", &bytes)).succeed();
    let (ring, again) = (scene.rings().remove(0), scene.shm_dir().join("again"));
    std::fs::hard_link(&ring, &again).unwrap();
    let mut sender = scene.sender(&[&receiver.address]);
    for _ in 0..3 {
        wait_until("the ring is gone", || scene.rings().is_empty());
        sender.kill();
        std::fs::hard_link(&again, &ring).unwrap();
        sender = scene.sender(&[&receiver.address]);
    }
    wait_until("the ring is gone", || scene.rings().is_empty());
    receiver.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    let (streams, _) = scene.verify(&receiver.archive);
    assert!(streams.len() == 1 && streams[0]["ended"] == true, "{streams:?}");
}
