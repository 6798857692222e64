//! How much a spool takes, and what becomes of records, segments and destinations when it, or its disk, has no more room.

use crate::arrived::{assert_stored_once, segments};
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words};
use crate::small_disk::SmallDisk;
use std::path::Path;

/// What `--spool-max` bounds: segments and reserve. The lock file of a page comes on top.
fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name() != "lock")
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// A receiver that has an address and does not run.
fn absent(scene: &Scene) -> Receiver {
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    receiver
}

fn wait_until_full(sender: &mut Process) {
    wait_until("the spool is full", || {
        assert!(sender.is_running(), "{}", sender.words());
        sender.words().contains("is full (")
    });
}

const MIB: u64 = 1 << 20;

#[test]
fn a_spool_at_its_bound_holds_producers_up_and_goes_on_once_it_is_delivered() {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let input = scene.file("input.log", &bytes);
    let mut receiver = absent(&scene);
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--spool-max", "8MiB"]);
    let mut engine = scene.engine(&[&input]);
    wait_until_full(&mut sender);
    let spool = scene.path("spool").join(GROUP);
    assert!(size_of(&spool) <= 8 * MIB, "{}", size_of(&spool));
    assert!(scene.spooled().len() >= 3, "segments are an eighth of the bound");
    assert!(engine.is_running());
    let group = &scene.status().unwrap()["groups"][0];
    let (used, max) = (
        group["spool_used"].as_u64().unwrap(),
        group["spool_max"].as_u64().unwrap(),
    );
    assert!((2 * MIB..4 * MIB).contains(&used) && max == 8 * MIB, "{group}");
    assert_eq!(group["retained_bytes"], 0);
    receiver.start(&scene);
    engine.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    assert!(size_of(&spool) <= 8 * MIB, "{}", size_of(&spool));
    let said = sender.words();
    assert_eq!(said.matches("is full (").count(), 1, "{said}");
    assert_eq!(said.matches("when it is full, producers wait").count(), 1, "{said}");
}

#[test]
fn a_full_disk_holds_producers_up_and_costs_nothing() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("spool"), 16) else {
        return;
    };
    let bytes = scene.lines(20 << 20);
    let input = scene.file("input.log", &bytes);
    let mut receiver = absent(&scene);
    // More than the disk has: it is the disk that bounds.
    let more = ["--spool-max", "1GiB"];
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &more);
    let mut engine = scene.engine(&[&input]);
    wait_until_full(&mut sender);
    assert!(engine.is_running());
    // All of it lies in one segment of 64 MiB: to be rid of it, a new one has to be begun while nothing is free.
    assert!(disk.free() < 4 * MIB, "{}", disk.free());
    sender.kill();
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &more);
    wait_until_full(&mut sender);
    receiver.start(&scene);
    engine.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    assert_stored_once(&scene.spooled());
    wait_until("the reserve is there again", || {
        std::fs::metadata(scene.path("spool").join(GROUP).join("reserve")).is_ok_and(|file| file.len() >= 4 * MIB)
    });
}

#[test]
fn a_sender_that_starts_on_a_full_disk_ships_what_it_has_and_makes_room_so() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("spool"), 16) else {
        return;
    };
    let (first, second) = (scene.lines(4 << 20), scene.lines(6 << 20));
    let mut receiver = absent(&scene);
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("first.log", &first)]);
    wait_until("all is in the spool", || {
        let (tail, head) = scene.progress();
        tail == head
    });
    sender.kill();
    let _ = std::fs::remove_file(scene.path("spool").join(GROUP).join("reserve"));
    let _filling = disk.fill_but(0);
    let mut sender = scene.sender(&[&receiver.address]);
    let second_input = scene.file("second.log", &second);
    let engine = scene.engine(&[&second_input]);
    wait_until_full(&mut sender);
    receiver.start(&scene);
    engine.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &[first, second].concat());
}

#[test]
fn a_sender_that_is_killed_again_and_again_on_a_full_disk_loses_and_doubles_nothing() {
    let scene = Scene::new();
    let Some(_disk) = SmallDisk::new(scene.path("spool"), 16) else {
        return;
    };
    let bytes = scene.lines(20 << 20);
    let input = scene.file("input.log", &bytes);
    let mut receiver = absent(&scene);
    let mut sender = scene.sender(&[&receiver.address]);
    let engine = scene.engine(&[&input]);
    for _ in 0..8 {
        wait_until_full(&mut sender);
        std::thread::sleep(std::time::Duration::from_micros(
            scene.draw(|chance| chance.u64(..200_000)),
        ));
        sender.kill();
        sender = scene.sender(&[&receiver.address]);
    }
    receiver.start(&scene);
    engine.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    assert_stored_once(&segments(&scene.path("spool").join(GROUP)));
}

#[test]
fn delivered_segments_stay_as_long_as_they_are_to_be_retained_and_give_way_to_new_ones() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let bounds = ["--spool-max", "16MiB", "--retain", "1h"];
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &bounds);
    let first = scene.lines(6 << 20);
    scene.log(&[&scene.file("first.log", &first)]);
    scene.wait_acked();
    assert!(scene.spooled().len() >= 3);
    assert!(
        scene.raw(&scene.path("spool").join(GROUP)) == first,
        "hog cat reads them"
    );
    let retained = |scene: &Scene| scene.status().unwrap()["groups"][0]["retained_bytes"].as_u64().unwrap();
    wait_until("the status says so", || retained(&scene) > 3 * MIB);
    sender.kill();
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &bounds);
    let second = scene.lines(18 << 20);
    scene.log(&[&scene.file("second.log", &second)]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &[first, second].concat());
    let spool = scene.path("spool").join(GROUP);
    assert!(size_of(&spool) <= 16 * MIB, "{}", size_of(&spool));
    drop(sender);
    let _sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--retain", "1ms"]);
    wait_until("their time is over", || scene.spooled().len() == 1);
}

/// The lines that arrived, held against `bytes`: each once and in order, with a hole. Says how many are missing.
fn assert_arrived_but_for_a_hole(raw: &[u8], bytes: &[u8]) -> u64 {
    let mut arrived = raw.split_inclusive(|byte| *byte == b'\n').peekable();
    let mut missing = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if arrived.next_if_eq(&line).is_none() {
            missing += 1;
        }
    }
    assert_eq!(
        arrived.next(),
        None,
        "a line that the input does not have, or has before others"
    );
    missing
}

/// How many records the archive says were dropped, by those of its GAPs that say how many, and how many GAPs do not; it has no other fault.
fn dropped_at(scene: &Scene, receiver: &Receiver) -> (u64, usize) {
    let arguments = [
        "verify".as_ref(),
        "--format=json".as_ref(),
        receiver.archive.as_os_str(),
    ];
    let verify = scene.run("verify", &arguments);
    assert_eq!(verify.code, Some(5), "{}", verify.words);
    let lines = String::from_utf8(verify.output).unwrap();
    let total: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(total["total"]["faults"], 0, "{lines}");
    assert_stored_once(&receiver.segments());
    let (gaps, told) = ("dropped to make room", "dropped to make room (");
    let uncounted = verify.words.matches(gaps).count() - verify.words.matches(told).count();
    let told = verify.words.split(told).skip(1);
    let counts = told.map(|told| told.split_once(" records)").unwrap().0.parse::<u64>().unwrap());
    (counts.sum(), uncounted)
}

/// A text in parts of whole lines, of 4 MiB or a little less.
fn parts_of(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let most = &bytes[..bytes.len().min(4 << 20)];
        let end = most.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        parts.push(&bytes[..end]);
        bytes = &bytes[end..];
    }
    parts
}

#[test]
fn the_oldest_records_are_dropped_for_the_newest_and_counted_and_marked() {
    let scene = Scene::new();
    let bytes = scene.lines(18 << 20);
    let mut receiver = absent(&scene);
    let up = scene.receiver("up");
    let bounds = ["--spool-max", "12MiB", "--on-full", "drop-oldest"];
    let to = [&*receiver.address, &*up.address];
    let mut sender = scene.sender_with(&[GROUP], &to, &bounds);
    // Slowly enough for the one that is up.
    for (number, part) in parts_of(&bytes).into_iter().enumerate() {
        scene.log(&[&scene.file(&format!("part-{number}.log"), part)]);
        wait_until("the one that is up has it", || scene.unacked_by(&up.address) == Some(0));
    }
    scene.assert_arrived(&up, &bytes);
    assert!(size_of(&scene.path("spool").join(GROUP)) <= 12 * MIB);
    receiver.start(&scene);
    scene.wait_acked();
    let raw = scene.raw_with_gaps(&receiver.archive);
    let missing = assert_arrived_but_for_a_hole(&raw, &bytes);
    assert!(
        missing > 0 && raw.len() > 4 << 20,
        "{missing} missing, {} bytes are there",
        raw.len()
    );
    assert!(raw.ends_with(&bytes[bytes.len() - (2 << 20)..]), "the newest are there");
    assert_eq!(dropped_at(&scene, &receiver), (missing, 0));
    let words = sender.words();
    assert!(
        words.contains("dropped to make room") && words.contains(&receiver.address),
        "{words}"
    );
    assert!(!words.contains(&format!("missing at {}", up.address)), "{words}");
    let faults = scene.status().unwrap()["faults"].to_string();
    assert!(faults.contains("dropped to make room"), "{faults}");
    // Who asks for an end hears that it is not a good one.
    sender.terminate();
    assert_eq!(sender.finish().code, Some(0));
}

#[test]
fn a_stream_that_was_dropped_with_its_end_ends_at_the_destination_that_missed_it() {
    let scene = Scene::new();
    let mut receiver = absent(&scene);
    let bounds = ["--spool-max", "8MiB", "--on-full", "drop-oldest", "--drain-and-exit"];
    let short = scene.file("short", b"one line of a short run\n");
    scene.pipe(&short).succeed();
    let bytes = scene.lines(10 << 20);
    let input = scene.file("input.log", &bytes);
    // All of it is in rings when the sender starts: it does not end before that is through.
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.extend(words(&["--ring-size", "32MiB"]));
    scene.start("engine", &arguments).succeed();
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &bounds);
    wait_until("all is drained", || {
        assert!(sender.is_running(), "{}", sender.words());
        scene.progress().0 == scene.progress().1
    });
    receiver.start(&scene);
    let finished = sender.finish();
    assert_eq!(finished.code, Some(5), "{}", finished.words);
    let missing = assert_arrived_but_for_a_hole(
        &scene.raw_with_gaps(&receiver.archive),
        &[&b"one line of a short run\n"[..], &bytes].concat(),
    );
    assert_eq!(dropped_at(&scene, &receiver), (missing, 0));
    let arguments = [
        "verify".as_ref(),
        "--format=json".as_ref(),
        receiver.archive.as_os_str(),
    ];
    let verify = String::from_utf8(scene.run("verify", &arguments).output).unwrap();
    assert_eq!(verify.matches("\"ended\":true").count(), 1, "{verify}");
}

#[test]
fn a_sender_that_is_killed_while_it_drops_leaves_records_or_the_word_that_they_are_gone() {
    let scene = Scene::new();
    let bytes = scene.lines(20 << 20);
    let input = scene.file("input.log", &bytes);
    let mut receiver = absent(&scene);
    let bounds = ["--spool-max", "8MiB", "--on-full", "drop-oldest"];
    let mut engine = scene.engine(&[&input]);
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &bounds);
    for _ in 0..3 {
        wait_until("it drops", || {
            assert!(sender.is_running(), "{}", sender.words());
            sender.words().contains("dropped to make room") || !engine.is_running()
        });
        std::thread::sleep(std::time::Duration::from_micros(
            scene.draw(|chance| chance.u64(..50_000)),
        ));
        sender.kill();
        sender = scene.sender_with(&[GROUP], &[&receiver.address], &bounds);
    }
    engine.succeed();
    receiver.start(&scene);
    scene.wait_acked();
    let raw = scene.raw_with_gaps(&receiver.archive);
    let missing = assert_arrived_but_for_a_hole(&raw, &bytes);
    assert!(missing > 0);
    // Of a GAP that the receiver had in part before the kill, the rest has no count.
    let (counted, uncounted) = dropped_at(&scene, &receiver);
    assert!(
        if uncounted == 0 {
            counted == missing
        } else {
            counted < missing
        },
        "{counted} counted of {missing}, {uncounted} GAPs without a count"
    );
    let left = std::fs::read_dir(scene.path("spool").join(GROUP)).unwrap().flatten();
    assert!(
        left.map(|entry| entry.path())
            .all(|path| path.extension() != Some("new".as_ref()))
    );
}

#[test]
fn a_full_disk_drops_the_oldest_records_if_that_is_asked_for() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("spool"), 24) else {
        return;
    };
    let bytes = scene.lines(20 << 20);
    let input = scene.file("input.log", &bytes);
    let mut receiver = absent(&scene);
    // The bound is not met: a stranger has taken what it counts upon.
    let filling = disk.fill_but(12 * MIB);
    let bounds = ["--spool-max", "24MiB", "--on-full", "drop-oldest"];
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &bounds);
    scene.log(&[&input]);
    wait_until("all is drained", || scene.progress().0 == scene.progress().1);
    assert!(sender.words().contains("dropped to make room"), "{}", sender.words());
    receiver.start(&scene);
    scene.wait_acked();
    let missing = assert_arrived_but_for_a_hole(&scene.raw_with_gaps(&receiver.archive), &bytes);
    assert_eq!(dropped_at(&scene, &receiver), (missing, 0));
    filling.remove();
}
