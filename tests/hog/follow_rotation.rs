//! `hog engine --follow`: files that are renamed, truncated, deleted and made anew, while it runs and while it is down.

use crate::follow_growth::{Following, append, end_in_order};
use crate::scene::wait_until;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Renames `app.log` to `app.log.1`, that to `app.log.2`, and so on, as logrotate does.
pub(crate) fn rotate(directory: &Path) {
    let name = |number: u32| match number {
        0 => directory.join("app.log"),
        number => directory.join(format!("app.log.{number}")),
    };
    let last = (0..).find(|number| !name(*number).exists()).unwrap();
    for number in (0..last).rev() {
        fs::rename(name(number), name(number + 1)).unwrap();
    }
}

/// What logrotate's copytruncate does.
fn copy_and_truncate(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    OpenOptions::new().write(true).truncate(true).open(from).unwrap();
}

#[test]
fn a_renamed_file_is_finished_before_the_new_one_of_its_name() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    fs::rename(&log, following.log("app.log.1")).unwrap();
    // Its writer still has it open, and goes on; the new one is there already.
    append(&log, "new\n");
    append(&following.log("app.log.1"), "two\nunfinished");
    following.wait_for(b"one\ntwo\nunfinishednew\n");
    append(&log, "newer\n");
    following.wait_for(b"one\ntwo\nunfinishednew\nnewer\n");
    following.end(engine, b"one\ntwo\nunfinishednew\nnewer\n");
    let records = following.scene.json(&following.receiver.archive);
    assert_eq!(
        records.len(),
        5,
        "the unfinished line is a record of its own: {records:?}"
    );
}

#[test]
fn what_a_writer_adds_late_to_a_file_that_was_left_is_logged_too() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    fs::rename(&log, following.log("app.log.1")).unwrap();
    append(&log, "new\n");
    following.wait_for(b"one\nnew\n");
    append(&following.log("app.log.1"), "late\n");
    following.wait_for(b"one\nnew\nlate\n");
    end_in_order(engine, 0);
    append(&following.log("app.log.1"), "later\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\nnew\nlate\nlater\n");
    append(&log, "newer\n");
    following.wait_for(b"one\nnew\nlate\nlater\nnewer\n");
    following.end(engine, b"one\nnew\nlate\nlater\nnewer\n");
}

#[test]
fn a_truncated_file_is_logged_from_its_beginning_and_the_line_it_had_begun_is_kept() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\nbegin");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    // Longer than what was there, and cut in the middle of a line.
    wait_until("the line was seen", || seen(engine.pid(), &log));
    copy_and_truncate(&log, &following.log("app.log.1"));
    append(&log, "ning and end\nafter\n");
    following.wait_for(b"one\nbeginning and end\nafter\n");
    copy_and_truncate(&log, &following.log("app.log.1"));
    append(&log, "again\n");
    following.wait_for(b"one\nbeginning and end\nafter\nagain\n");
    following.end(engine, b"one\nbeginning and end\nafter\nagain\n");
}

/// Whether process `pid` has a file open.
fn is_open(pid: u32, inode: u64) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    open.filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|metadata| metadata.ino() == inode)
}

/// Whether process `pid` has read `path` since it was changed, as far as that can be told: it has it open, and looked at it again.
fn seen(pid: u32, path: &Path) -> bool {
    let is_open = is_open(pid, fs::metadata(path).unwrap().ino());
    std::thread::sleep(std::time::Duration::from_millis(600)); // longer than its longest pause: nothing else tells
    is_open
}

#[test]
fn a_deleted_file_is_finished_and_the_next_one_of_its_name_is_another() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    append(&log, "two\n");
    fs::remove_file(&log).unwrap();
    append(&log, "new\n");
    following.wait_for(b"one\ntwo\nnew\n");
    following.end(engine, b"one\ntwo\nnew\n");
}

#[test]
fn a_file_that_was_made_anew_while_nobody_looked_is_another_even_with_the_same_inode() {
    let following = Following::new();
    let log = following.log("app.log");
    let mut same_inode = false;
    let mut expected = b"one and only\n".to_vec();
    append(&log, "one and only\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(&expected);
    end_in_order(engine, 0);
    for _ in 0..4 {
        let inode = fs::metadata(&log).unwrap().ino();
        fs::remove_file(&log).unwrap();
        // The same beginning, and more of it: only its birth tells it from the one before.
        append(&log, "one and only\nand more\n");
        same_inode |= fs::metadata(&log).unwrap().ino() == inode;
        expected.extend(b"one and only\nand more\n");
        let engine = following.engine(&["app.log"]);
        following.wait_for(&expected);
        // What the deleted one had beyond its place nobody knows: that is said, by words and by status.
        assert!(engine.words().contains("is not logged"), "{}", engine.words());
        end_in_order(engine, 5);
    }
    eprintln!("the file system gave the inode out again: {same_inode}");
}

#[test]
fn rotations_while_nobody_looked_lose_and_double_nothing() {
    for inputs in [&["app.log"][..], &["app.log*"]] {
        let following = Following::new();
        let (directory, log) = (following.scene.path("logs"), following.log("app.log"));
        append(&log, "1a\n");
        let engine = following.engine(inputs);
        following.wait_for_lines(&["1a"]);
        end_in_order(engine, 0);
        append(&log, "1b\n");
        for text in ["2\n", "3\n", "4\n"] {
            rotate(&directory);
            append(&log, text);
        }
        let engine = following.engine(inputs);
        following.wait_for_lines(&["1a", "1b", "2", "3", "4"]);
        rotate(&directory);
        append(&log, "5\n");
        following.wait_for_lines(&["1a", "1b", "2", "3", "4", "5"]);
        end_in_order(engine, 0);
        let engine = following.engine(inputs);
        append(&log, "6\n");
        following.wait_for_lines(&["1a", "1b", "2", "3", "4", "5", "6"]);
        end_in_order(engine, 0);
        if inputs.len() == 1 && inputs[0] == "app.log" {
            assert_eq!(
                following.scene.raw(&following.receiver.archive),
                b"1a\n1b\n2\n3\n4\n5\n6\n"
            );
        }
    }
}

#[test]
fn files_that_appear_and_are_renamed_between_two_looks_are_logged_oldest_first() {
    let following = Following::new();
    let directory = following.scene.path("logs");
    append(&following.log("old.log.1"), "from before\n");
    append(&following.log("sign.log"), "it looks\n");
    let engine = following.engine(&["app.log", "sign.log"]);
    following.wait_for_lines(&["it looks"]);
    // Faster than births can be told apart.
    let texts: Vec<String> = (0..12).map(|number| format!("line {number}\n")).collect();
    for text in &texts {
        append(&following.log("app.log"), text);
        rotate(&directory);
    }
    append(&following.log("app.log"), "last\n");
    following.wait_for_lines(
        &[
            &["it looks", "last"][..],
            &texts.iter().map(|text| text.trim_end()).collect::<Vec<_>>(),
        ]
        .concat(),
    );
    end_in_order(engine, 0);
    let arrived = following.scene.raw(&following.receiver.archive);
    assert_eq!(
        String::from_utf8(arrived).unwrap(),
        format!("it looks\n{}last\n", texts.concat())
    );
}

#[test]
fn a_pattern_that_matches_rotated_names_logs_no_file_twice() {
    let following = Following::new();
    let (directory, log) = (following.scene.path("logs"), following.log("app.log"));
    append(&following.log("app.log.1"), "old\n");
    append(&log, "first\n");
    let mut engine = following.engine(&["app.log*"]);
    let mut expected = vec!["old".to_owned(), "first".to_owned()];
    let all = |expected: &[String]| following.wait_for_lines(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    all(&expected);
    for round in 0..8 {
        append(&log, format!("before {round}\n"));
        rotate(&directory);
        append(&log, format!("after {round}\n"));
        expected.extend([format!("before {round}"), format!("after {round}")]);
        all(&expected);
        if round % 3 == 2 {
            end_in_order(engine, 0);
            engine = following.engine(&["app.log*"]);
        }
    }
    end_in_order(engine, 0);
    // A run that knows nothing of what the former logged still finds it in the rings.
    let engine = following.engine(&["app.log.*"]);
    append(&log, "last\n");
    rotate(&directory);
    expected.push("last".to_owned());
    all(&expected);
    end_in_order(engine, 0);
}

#[test]
fn a_link_that_is_switched_to_another_file_is_a_rotation() {
    let following = Following::new();
    let current = following.log("current");
    let switch = |to: &str| {
        let new = following.log("new-link");
        std::os::unix::fs::symlink(to, &new).unwrap();
        fs::rename(&new, &current).unwrap();
    };
    append(&following.log("log-20"), "one\n");
    switch("log-20");
    let engine = following.engine(&["current"]);
    following.wait_for(b"one\n");
    append(&following.log("log-20"), "two\n");
    append(&following.log("log-21"), "three\n");
    switch("log-21");
    following.wait_for(b"one\ntwo\nthree\n");
    end_in_order(engine, 0);
    append(&following.log("log-21"), "four\n");
    append(&following.log("log-22"), "five\n");
    switch("log-22");
    let engine = following.engine(&["current"]);
    following.wait_for(b"one\ntwo\nthree\nfour\nfive\n");
    following.end(engine, b"one\ntwo\nthree\nfour\nfive\n");
}

#[test]
fn the_ring_of_a_file_that_is_gone_for_good_goes_too() {
    let following = Following::new();
    append(&following.log("a.log"), "a\n");
    let engine = following.engine(&["*.log"]);
    following.wait_for_lines(&["a"]);
    fs::rename(following.log("a.log"), following.log("a.txt")).unwrap();
    append(&following.log("a.txt"), "more\n");
    following.wait_for_lines(&["a", "more"]);
    assert_eq!(following.scene.rings().len(), 1);
    end_in_order(engine, 0);
    fs::rename(following.log("a.txt"), following.log("a.log")).unwrap();
    append(&following.log("a.log"), "again\n");
    let engine = following.engine(&["*.log"]);
    following.wait_for_lines(&["a", "again", "more"]);
    end_in_order(engine, 0);
}

#[test]
fn files_that_are_rotated_away_while_the_ring_is_full_are_held_until_it_is_their_turn() {
    let scene = crate::scene::Scene::new();
    fs::create_dir(scene.path("logs")).unwrap();
    let (log, rotated) = (scene.path("logs").join("app.log"), scene.path("logs").join("app.log.1"));
    let mut expected = scene.lines(1 << 20);
    append(&log, &expected);
    let mut arguments = scene.engine_arguments(crate::scene::GROUP, &[&log]);
    arguments.extend(crate::scene::words(&["--follow", "--ring-size", "64KiB"]));
    let engine = scene.start("engine", &arguments);
    wait_until("the ring is full", || scene.progress().0 > 30_000);
    for text in ["second\n", "third\n", "fourth\n"] {
        // As with logrotate's "rotate 1" and compression: nothing but an open descriptor has it any more.
        fs::rename(&log, &rotated).unwrap();
        fs::remove_file(&rotated).unwrap();
        append(&log, text);
        expected.extend(text.as_bytes());
        let inode = fs::metadata(&log).unwrap().ino();
        wait_until("it is held", || is_open(engine.pid(), inode));
    }
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("all arrives", || scene.raw(&receiver.archive).len() >= expected.len());
    end_in_order(engine, 0);
    crate::arrived::assert_equal(&scene.raw(&receiver.archive), &expected);
}
