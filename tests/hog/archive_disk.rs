//! A receiver on a disk that is full.

use crate::roles::{Process, Receiver};
use crate::scene::{Scene, wait_until};
use crate::small_disk::{Filling, SmallDisk};

/// A receiver that has said that its disk is full, and the lines that are on their way to it.
struct OnFullDisk {
    _sender: Process,
    receiver: Receiver,
    lines: Vec<u8>,
    filling: Filling,
    _disk: SmallDisk,
    scene: Scene, // goes last: all others lie in its directory
}

impl OnFullDisk {
    /// `None`, and words on stderr, for whoever may not mount.
    fn new(room: u64) -> Option<Self> {
        let scene = Scene::new();
        let disk = SmallDisk::new(scene.path("recv").join("archive"), 16)?;
        let mut receiver = scene.receiver("recv");
        let sender = scene.sender(&[&receiver.address]);
        let lines = scene.lines(6 << 20);
        let filling = disk.fill_but(room);
        scene.log(&[&scene.file("input.log", &lines)]);
        wait_until("the receiver says that its disk is full", || {
            receiver.process().words().contains("No space left")
        });
        assert!(receiver.process().is_running() && !scene.acked());
        Some(Self {
            scene,
            receiver,
            _sender: sender,
            lines,
            filling,
            _disk: disk,
        })
    }
}

#[test]
fn a_receiver_whose_disk_is_full_acknowledges_nothing_that_is_not_stored_and_has_all_once_there_is_room() {
    let Some(mut full) = OnFullDisk::new(2 << 20) else {
        return;
    };
    // Killed on the full disk, it is no worse off.
    full.receiver.kill();
    full.filling.remove();
    full.receiver.start(&full.scene);
    full.scene.wait_acked();
    full.scene.assert_arrived(&full.receiver, &full.lines);
}

#[test]
fn a_receiver_goes_on_by_itself_when_its_full_disk_has_room_again() {
    let Some(mut full) = OnFullDisk::new(0) else {
        return;
    };
    full.filling.remove();
    full.scene.wait_acked();
    assert!(full.receiver.process().is_running());
    full.scene.assert_arrived(&full.receiver, &full.lines);
}
