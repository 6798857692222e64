//! New producers beside an old backlog: what they log is in the spool though the destination takes nothing of what came before.

use crate::scene::{GROUP, Scene, wait_until};
use rustix::process::Signal;

/// A backlog of `bytes` for `receiver`, by a sender that was killed.
fn leave_backlog(scene: &Scene, address: &str, bytes: &[u8]) {
    let mut sender = scene.sender(&[address]);
    scene.log(&[&scene.file("backlog.log", bytes)]);
    wait_until("the backlog is in the spool", || {
        let (tail, head) = scene.progress();
        tail == head && !scene.spooled().is_empty()
    });
    sender.kill();
}

/// That a new producer's records come to the spool, while the destination lacks the whole backlog.
fn assert_newcomer_is_spooled(scene: &Scene, address: &str, name: &str, backlog: u64) -> Vec<u8> {
    let lines = scene.lines(100_000);
    scene.log(&[&scene.file(name, &lines)]);
    wait_until("the newcomer's ring is drained", || {
        let (tail, head) = scene.progress();
        tail == head
    });
    let lacks = scene.unacked_by(address);
    assert!(lacks > Some(backlog), "{lacks:?} of {backlog}");
    lines
}

#[test]
fn a_new_producer_is_served_while_a_backlog_waits_for_a_destination_that_is_not_there() {
    let scene = Scene::new();
    let bytes = scene.lines(8 << 20);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    leave_backlog(&scene, &receiver.address, &bytes);
    let _sender = scene.sender(&[&receiver.address]);
    let newcomer = assert_newcomer_is_spooled(&scene, &receiver.address, "newcomer.log", bytes.len() as u64);
    receiver.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &[bytes, newcomer].concat());
}

#[test]
fn new_producers_are_served_while_a_backlog_is_sent_to_a_destination_that_takes_nothing() {
    let scene = Scene::new();
    let bytes = scene.lines(8 << 20);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    leave_backlog(&scene, &receiver.address, &bytes);
    receiver.start(&scene);
    // It accepts what its sockets hold, and answers nothing.
    receiver.process().signal(Signal::STOP);
    let _sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--compress", "none"]);
    let mut expected = bytes.clone();
    for newcomer in 0..3 {
        let name = format!("{newcomer}.log");
        expected.extend(assert_newcomer_is_spooled(
            &scene,
            &receiver.address,
            &name,
            bytes.len() as u64,
        ));
    }
    receiver.process().signal(Signal::CONT);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &expected);
}
