//! A process is never known by its pid alone: what a killed one left is not its successor's because that has its number.

use crate::scene::{GROUP, Scene, wait_until};
use hog::formats::lock_record::PID_LEN;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Offset of the owner in a ring's file, and how many of its lowest bits are the pid: `docs/FORMATS.md`, section 1.
const OWNER_AT: u64 = 256;
const PID_BITS: u32 = 22;

/// Lets the kernel give the pid of the dead owner of `ring` out again: to this test, which lives.
fn give_pid_out_again(ring: &Path) {
    let file = File::options().read(true).write(true).open(ring).unwrap();
    let mut owner = [0; 8];
    file.read_exact_at(&mut owner, OWNER_AT).unwrap();
    let start_time = u64::from_le_bytes(owner) >> PID_BITS;
    assert!(
        start_time > 0 && start_time < u64::MAX >> PID_BITS,
        "the ring has no owner"
    );
    let owner = start_time << PID_BITS | u64::from(std::process::id());
    file.write_all_at(&owner.to_le_bytes(), OWNER_AT).unwrap();
}

#[test]
fn rings_of_killed_programs_whose_pids_were_given_out_again_are_drained_and_taken_over() {
    let scene = Scene::new();
    // More than a ring holds: both engines are killed while they wait for room.
    let (lines, piped) = (scene.lines(4 << 20), scene.lines(4 << 20));
    let (input, pipe) = (scene.file("input.log", &lines), scene.file("piped", &piped));
    let mut one_off = scene.pipe(&pipe);
    wait_until("its ring is full", || scene.progress().0 > 900_000);
    let mut engine = scene.engine(&[&input]);
    wait_until("both rings are full", || scene.progress().0 > 1_800_000);
    one_off.kill();
    engine.kill();
    let rings = scene.rings();
    assert_eq!(rings.len(), 2);
    rings.iter().for_each(|ring| give_pid_out_again(ring));
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("the ring of the program that does not come back is gone", || {
        scene.rings().len() == 1
    });
    scene.rings().iter().for_each(|ring| give_pid_out_again(ring));
    scene.log(&[&input]); // and the other one has an heir
    scene.wait_acked();
    let arrived = scene.raw(&receiver.archive);
    let of_pipe = arrived.len() - lines.len();
    assert!(of_pipe > 500_000 && arrived[..of_pipe] == piped[..of_pipe], "{of_pipe}");
    assert!(
        arrived[of_pipe..] == lines,
        "the heir's lines are not those of its file"
    );
    scene.verify(&receiver.archive);
}

#[test]
fn locks_of_killed_roles_whose_pids_were_given_out_again_hold_up_nobody() {
    let scene = Scene::new();
    let lines = scene.lines(100_000);
    let input = scene.file("input.log", &lines);
    let mut receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&input]);
    scene.wait_acked();
    sender.kill();
    receiver.kill();
    let locks = [
        scene.store(),
        scene.path("spool").join(GROUP),
        hog_ring::group_dir(scene.shm_dir(), GROUP),
        scene.path("recv").join("store"),
        receiver.archive.clone(),
    ]
    .map(|directory: PathBuf| directory.join("lock"));
    let words = format!("{:<width$}\n", std::process::id(), width = PID_LEN - 1);
    for lock in &locks {
        let file = File::options().write(true).open(lock).unwrap();
        file.write_all_at(words.as_bytes(), 0).unwrap();
    }
    assert!(scene.status().unwrap()["running"].is_null());
    receiver.start(&scene);
    let sender = scene.sender(&[&receiver.address]);
    let pid = sender.pid().to_string();
    wait_until("the sender runs", || {
        scene.status().is_some_and(|status| status["running"] == pid)
    });
    scene.wait_acked();
    for lock in &locks {
        // It runs before it has all of them.
        wait_until(&format!("somebody has {}", lock.display()), || {
            flock(File::open(lock).unwrap(), FlockOperation::NonBlockingLockShared)
                == Err(rustix::io::Errno::WOULDBLOCK)
        });
    }
    scene.assert_arrived(&receiver, &lines);
}
