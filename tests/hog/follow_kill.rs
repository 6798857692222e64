//! `hog engine --follow` under fire: killed at random moments while its file grows and is rotated.

use crate::arrived::assert_equal;
use crate::follow_growth::{Following, append, end_in_order};
use crate::follow_rotation::rotate;
use crate::scene::wait_until;
use std::time::Duration;

/// Kills of the engine in one run of a test.
const KILLS: usize = 25;

/// Writes numbered lines and rotates, kills the engine now and then, and compares.
fn survive(inputs: &[&str], is_in_order: bool) {
    let following = Following::new();
    let (directory, log) = (following.scene.path("logs"), following.log("app.log"));
    let draw = |max: u64| following.scene.draw(|chance| chance.u64(..max));
    let mut written = Vec::new();
    let mut engine = following.engine_with(inputs, &["--ring-size", "64KiB"]);
    // Once an engine has seen the name, the next one looks for what it showed meanwhile.
    append(&log, "the beginning\n");
    written.extend(b"the beginning\n");
    following.wait_for(&written);
    let mut number = 0;
    for _ in 0..KILLS {
        for _ in 0..draw(6) {
            let mut text = Vec::new();
            for _ in 0..draw(400) {
                let width = usize::try_from(draw(120)).unwrap();
                text.extend(format!("{number:07} {:x<width$}\n", "").into_bytes());
                number += 1;
            }
            // In two writes, cut anywhere.
            let cut = usize::try_from(draw(text.len() as u64 + 1)).unwrap();
            append(&log, &text[..cut]);
            std::thread::sleep(Duration::from_micros(draw(20_000)));
            append(&log, &text[cut..]);
            written.extend(text);
            if draw(2) == 0 {
                rotate(&directory);
            }
        }
        // Some time for what follows a rotation, and mostly none: kills within it are what counts.
        let longest = if draw(4) == 0 { 3_000_000 } else { 300_000 };
        std::thread::sleep(Duration::from_micros(draw(longest)));
        engine.kill();
        engine = following.engine_with(inputs, &["--ring-size", "64KiB"]);
    }
    append(&log, "the end\n");
    written.extend(b"the end\n");
    let arrived = || following.scene.raw(&following.receiver.archive);
    wait_until("all arrived", || {
        following.scene.acked() && arrived().len() >= written.len()
    });
    end_in_order(engine, 0);
    if is_in_order {
        assert_equal(&arrived(), &written);
        return;
    }
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|c| *c == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort();
        lines.concat()
    };
    assert_equal(&sorted(&arrived()), &sorted(&written));
}

#[test]
fn killed_while_its_file_is_rotated_the_engine_loses_and_doubles_nothing_and_keeps_the_order() {
    survive(&["app.log"], true);
}

#[test]
fn killed_while_a_pattern_s_files_are_rotated_the_engine_loses_and_doubles_nothing() {
    survive(&["app.log*"], false);
}
