//! A receiver on a disk that is full.

use crate::scene::{Scene, wait_until};
use crate::small_disk::SmallDisk;

#[test]
fn a_receiver_whose_disk_is_full_acknowledges_nothing_that_is_not_stored_and_has_all_once_there_is_room() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("recv").join("archive"), 16) else {
        return;
    };
    let mut receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let bytes = scene.lines(6 << 20);
    let filling = disk.fill_but(2 << 20);
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_until("the receiver says that its disk is full", || {
        receiver.process().words().contains("No space left")
    });
    assert!(receiver.process().is_running() && !scene.acked());
    // Killed on the full disk, it is no worse off.
    receiver.kill();
    filling.remove();
    receiver.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn a_receiver_goes_on_by_itself_when_its_full_disk_has_room_again() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("recv").join("archive"), 16) else {
        return;
    };
    let mut receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let bytes = scene.lines(6 << 20);
    let filling = disk.fill_but(0);
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_until("the receiver says that its disk is full", || {
        receiver.process().words().contains("No space left")
    });
    filling.remove();
    scene.wait_acked();
    assert!(receiver.process().is_running());
    scene.assert_arrived(&receiver, &bytes);
}
