//! `--recover off` and `--no-recovery`: what dead producers left is not touched, what living ones log goes on whole.

use super::{NOBODY, contents};
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until};
use hog_ring::{GroupOptions, Resume, Statement, statement};

static LINE: Statement<(u32,)> = statement!("line", "$number", number);

/// Waits until a sender has seen who is dead: whatever is logged from then on is its own.
fn wait_until_left(sender: &Process) {
    wait_until("the sender says what it leaves", || {
        sender.words().contains("recovery: leave ring")
    });
}

#[test]
fn without_recovery_rings_and_backlog_of_the_dead_stay_byte_for_byte_and_a_later_run_delivers_them() {
    let scene = Scene::new();
    let (first, second, third) = (scene.lines(1 << 20), scene.lines(1 << 18), scene.lines(1 << 16));
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("first.log", &first)]);
    scene.wait_spooled();
    sender.kill();
    // Logged while nobody drains: what the ring holds is in no spool.
    let unspooled = scene.file("second.log", &second);
    scene.log(&[&unspooled]);
    let (spool, rings) = (scene.path("spool").join(GROUP), scene.ring_directory());
    let before = contents(&[&spool, &rings]);
    assert!(before.len() >= 3, "{:?}", before.keys());

    receiver.start(&scene);
    for (run, way) in [&["--no-recovery"][..], &["--recover", "off"]].into_iter().enumerate() {
        let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], way);
        wait_until_left(&sender);
        scene.pipe(&scene.file("piped", &third)).succeed();
        wait_until("what is logged now has arrived", || {
            scene.raw(&receiver.archive) == third.repeat(run + 1)
        });
        sender.terminate();
        sender.succeed();
        let after = contents(&[&spool, &rings]);
        for (path, bytes) in &before {
            assert!(after.get(path) == Some(bytes), "{} was touched", path.display());
        }
    }

    scene
        .sender_with(&[GROUP], &[&receiver.address], &["--drain-and-exit"])
        .succeed();
    scene.assert_arrived(&receiver, &[third.repeat(2), first, second].concat());
}

#[test]
fn without_recovery_the_stream_of_a_living_producer_goes_on_whole() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let group = GroupOptions::new(GROUP).shm_dir(scene.shm_dir()).open().unwrap();
    let mut writer = group.named_writer("lives", Resume::Auto).unwrap();
    let mut sender = scene.sender(&[NOBODY, &receiver.address]);
    for number in 0..1000 {
        writer.log(&LINE, (number,)).unwrap();
    }
    scene.wait_spooled();
    sender.kill();
    for number in 1000..2000 {
        writer.log(&LINE, (number,)).unwrap();
    }
    // A destination that is new gets the stream from its beginning: a stream is never cut.
    let new = scene.receiver("new");
    let _sender = scene.sender_with(&[GROUP], &[&new.address], &["--no-recovery"]);
    for number in 2000..3000 {
        writer.log(&LINE, (number,)).unwrap();
    }
    wait_until("all has arrived", || scene.json(&new.archive).len() == 3000);
    for (number, record) in scene.json(&new.archive).iter().enumerate() {
        assert_eq!(record["value"]["number"], number, "{record}");
    }
}

#[test]
fn a_ring_that_was_left_goes_on_whole_once_its_producer_runs_again() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let mut sender = scene.sender(&[&receiver.address]);
    let input = scene.file("input.log", &bytes[..bytes.len() / 3]);
    scene.log(&[&input]);
    scene.wait_spooled();
    sender.kill();
    receiver.start(&scene);
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--no-recovery"]);
    wait_until_left(&sender);
    let other = scene.file("other", b"something else\n");
    scene.pipe(&other).succeed();
    wait_until("what is logged now has arrived", || {
        scene.raw(&receiver.archive) == b"something else\n"
    });
    // Its first part lies in the spool, in front of what the shipper has passed over.
    std::fs::write(&input, &bytes).unwrap();
    scene.log(&[&input]);
    let expected = [b"something else\n", &bytes[..]].concat();
    wait_until("all has arrived", || {
        scene.raw(&receiver.archive).len() == expected.len()
    });
    scene.assert_arrived(&receiver, &expected);
}
