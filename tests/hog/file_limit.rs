//! Roles that may write no larger files: a full disk that needs no file system of its own, and no root.

use crate::roles::Process;
use crate::scene::{Scene, wait_until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Lets files of a process grow to so many bytes, or as far as they will.
fn limit(process: &Process, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

const MIB: u64 = 1 << 20;

#[test]
fn a_sender_that_may_write_no_more_holds_producers_up_and_goes_on_once_it_may() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let sender = scene.sender(&[&receiver.address]);
    wait_until("there is a spool", || !scene.spooled().is_empty());
    limit(&sender, Some(2 * MIB));
    let bytes = scene.lines(6 << 20);
    let mut engine = scene.engine(&[&scene.file("input.log", &bytes)]);
    wait_until("the sender says that it takes nothing", || {
        sender.words().contains("takes nothing") || sender.words().contains("is full")
    });
    let (tail, head) = scene.progress();
    assert!(tail > head && engine.is_running());
    limit(&sender, None);
    engine.succeed();
    receiver.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn a_receiver_that_may_write_no_more_acknowledges_nothing_that_is_not_stored() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    limit(receiver.process(), Some(2 * MIB));
    let _sender = scene.sender(&[&receiver.address]);
    let bytes = scene.lines(6 << 20);
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_until("the receiver says that it cannot store", || {
        receiver.process().words().contains("File too large")
    });
    assert!(receiver.process().is_running() && !scene.acked());
    limit(receiver.process(), None);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}
