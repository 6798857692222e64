//! What is lost or spoilt without a kill: a ring, a spool that was copied, lines for which there was no room.

use crate::arrived::assert_equal;
use crate::scene::{GROUP, Scene, wait_until, words};
use std::os::unix::fs::FileExt;

/// Offset of the tail in a ring's file: `docs/FORMATS.md`, section 1.
const TAIL_AT: u64 = 384;

#[test]
fn a_spoilt_ring_costs_no_other_ring_anything() {
    let scene = Scene::new();
    let bytes = scene.lines(2 << 20);
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let spoilt = scene.file("spoilt.log", b"before\n");
    scene.log(&[&spoilt]);
    scene.wait_acked();
    let ring = scene.rings().remove(0);
    std::fs::write(ring.with_file_name("foreign.ring"), b"no ring").unwrap();
    let file = std::fs::File::options().write(true).open(&ring).unwrap();
    file.write_all_at(&(1_u64 << 40).to_le_bytes(), TAIL_AT).unwrap();
    scene.log(&[&scene.file("sound.log", &bytes)]);
    wait_until("the spoilt ring is given up", || !ring.exists());
    // From here on its file is one that nobody logged yet.
    scene.log(&[&spoilt]);
    scene.wait_acked();
    let cat = scene.run(
        "cat",
        &["cat".as_ref(), "--format=raw".as_ref(), receiver.archive.as_os_str()],
    );
    assert_equal(&cat.output, &[b"before\n", &bytes[..], b"before\n"].concat());
    assert!(cat.code == Some(0) && cat.words.contains("condemned"), "{}", cat.words);
    let verify = scene.run("verify", &["verify".as_ref(), receiver.archive.as_os_str()]);
    assert_eq!(verify.code, Some(5), "{}", verify.words);
    let status = scene.status().unwrap();
    let faults: Vec<_> = status["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(faults.iter().any(|fault| fault.contains("condemned")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("foreign.ring")), "{faults:?}");
}

#[test]
fn a_sender_on_a_copied_spool_is_refused_as_unsafe() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", b"line\n")]);
    scene.wait_acked();
    sender.kill();
    let (spool, copy) = (scene.path("spool").join(GROUP), scene.path("copy").join(GROUP));
    std::fs::create_dir_all(&copy).unwrap();
    for entry in std::fs::read_dir(spool).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("other.log", b"other\n")]);
    scene.wait_acked();
    // Rings and store of its own, as on another machine.
    let elsewhere = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let (copy, store) = (scene.path("copy"), scene.path("store-of-copy"));
    let mut arguments = words(&["batchsend", "-g", GROUP, "--to", &receiver.address, "-d"]);
    arguments.extend([copy.as_os_str(), "-m".as_ref(), store.as_os_str()]);
    arguments.extend(["--shm-dir".as_ref(), elsewhere.path().as_os_str()]);
    let refused = scene.run("copy", &arguments);
    assert_eq!(refused.code, Some(6), "{}", refused.words);
    assert!(sender.is_running());
    scene.assert_arrived(&receiver, b"line\nother\n");
}

#[test]
fn lines_that_were_dropped_are_counted_and_the_others_arrive_in_order() {
    let scene = Scene::new();
    let bytes = scene.lines(2 << 20);
    let input = scene.file("input.log", &bytes);
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.extend(words(&["--unreliable", "--ring-size", "64KiB"]));
    // Nobody drains the ring: what it does not hold is dropped.
    let engine = scene.run("engine", &arguments);
    assert_eq!(engine.code, Some(5), "{}", engine.words);
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    scene.wait_acked();
    let raw = scene.raw(&receiver.archive);
    let mut arrived = raw.split_inclusive(|byte| *byte == b'\n').peekable();
    let mut dropped = 0_u64;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if arrived.next_if_eq(&line).is_none() {
            dropped += 1;
        }
    }
    assert_eq!(
        arrived.next(),
        None,
        "lines that the input does not have, or in another order"
    );
    assert!(dropped > 0 && !raw.is_empty());
    assert_eq!(scene.status().unwrap()["dropped_records"], dropped);
    assert!(
        engine.words.contains(&dropped.to_string()),
        "not {dropped}: {}",
        engine.words
    );
}
