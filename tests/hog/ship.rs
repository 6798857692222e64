//! What goes in comes out: files of every awkward shape, through engine, sender and receiver.

use crate::arrived::assert_equal;
use crate::roles::{Process, Receiver};
use crate::scene::{Scene, wait_until, words};
use base64::Engine;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A receiver and a sender that ships to it.
fn roles(scene: &Scene) -> (Receiver, Process) {
    let receiver = scene.receiver("recv");
    let sender = scene.sender(&[&receiver.address]);
    (receiver, sender)
}

/// Ships a file of these bytes, and holds what arrived against it.
fn ship(scene: &Scene, bytes: &[u8]) -> Receiver {
    let input = scene.file("input.log", bytes);
    let (receiver, _sender) = roles(scene);
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, bytes);
    receiver
}

fn append(path: &Path, bytes: &[u8]) {
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[test]
fn empty_lines_arrive() {
    ship(&Scene::new(), b"\n\n\nbetween\n\n");
}

#[test]
fn lines_of_a_mebibyte_pass_through_the_default_ring() {
    let scene = Scene::new();
    let mut bytes = Vec::new();
    for length in [
        1 << 20,
        (1 << 20) - 1,
        3,
        1 << 20,
        0,
        (1 << 20) + 1,
        256 << 10,
        (256 << 10) - 64,
    ] {
        bytes.extend(scene.draw(|chance| (0..length).map(|_| chance.alphanumeric() as u8).collect::<Vec<_>>()));
        bytes.push(b'\n');
    }
    ship(&scene, &bytes);
}

#[test]
fn a_line_above_sixteen_mebibytes_arrives_in_pieces_that_raw_joins() {
    let scene = Scene::new();
    let mut bytes = scene.lines(1000);
    let before = bytes.iter().filter(|byte| **byte == b'\n').count();
    bytes.extend(scene.draw(|chance| (0..17 << 20).map(|_| chance.alphanumeric() as u8).collect::<Vec<_>>()));
    bytes.extend_from_slice(b"\nafter\n");
    let receiver = ship(&scene, &bytes);
    let continued: Vec<_> = scene
        .json(&receiver.archive)
        .iter()
        .map(|record| record["continued"] == true)
        .collect();
    assert_eq!(continued[before..], [true, false, false]);
    assert!(!continued[..before].contains(&true));
}

#[test]
fn nul_and_invalid_utf8_arrive_byte_for_byte() {
    let scene = Scene::new();
    let lines: [&[u8]; 5] = [
        b"\0",
        b"a\0b\0\0",
        b"\xff\xfe",
        b"caf\xc3",
        b"\xed\xa0\x80 \x1b[0m \x7f",
    ];
    let mut bytes = lines.join(&b'\n');
    bytes.push(b'\n');
    bytes.extend(scene.draw(|chance| (0..200_000).map(|_| chance.u8(..)).collect::<Vec<_>>()));
    let receiver = ship(&scene, &bytes);
    let records = scene.json(&receiver.archive);
    // What JSON cannot say stands beside it in base64: the payload, which ends with the text.
    assert_eq!(records[0]["value"]["text"], "\0");
    assert!(records[1].get("bytes").is_none());
    for (record, line) in records[2..].iter().zip(&lines[2..]) {
        assert!(record["value"]["text"].as_str().unwrap().contains('\u{fffd}'));
        let payload = base64::engine::general_purpose::STANDARD
            .decode(record["bytes"].as_str().unwrap())
            .unwrap();
        assert!(payload.ends_with(line), "{record}");
    }
}

#[test]
fn carriage_returns_stay_where_they_were() {
    ship(&Scene::new(), b"one\r\n\r\ntwo\r\r\nthree\n\r");
}

#[test]
fn a_last_line_without_a_newline_arrives_without_one() {
    ship(&Scene::new(), b"one\ntwo");
}

#[test]
fn an_empty_file_adds_nothing_until_it_is_filled() {
    let scene = Scene::new();
    let (input, full) = (scene.file("empty.log", b""), scene.file("full.log", b"full\n"));
    let (receiver, _sender) = roles(&scene);
    scene.log(&[&input]);
    scene.log(&[&full]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"full\n");
    append(&input, b"filled\n");
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"full\nfilled\n");
}

#[test]
fn two_files_of_one_run_arrive_one_after_the_other() {
    let scene = Scene::new();
    let (mut first, second) = (scene.lines(3 << 20), scene.lines(2 << 20));
    first.extend_from_slice(b"no newline here>");
    let inputs = [scene.file("first.log", &first), scene.file("second.log", &second)];
    let (receiver, _sender) = roles(&scene);
    scene.log(&[&inputs[0], &inputs[1]]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &[first, second].concat());
}

#[test]
fn standard_input_arrives() {
    let scene = Scene::new();
    let bytes = scene.lines(3 << 20);
    let input = scene.file("piped", &bytes);
    let (receiver, _sender) = roles(&scene);
    scene.pipe(&input).succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    assert_eq!(scene.json(&receiver.archive)[0]["value"]["source"], "-");
}

#[test]
fn of_a_file_that_grew_only_the_growth_is_added() {
    let scene = Scene::new();
    let (mut bytes, growth) = (scene.lines(1 << 20), scene.lines(1 << 20));
    let input = scene.file("growing.log", &bytes);
    let (receiver, _sender) = roles(&scene);
    scene.log(&[&input]);
    append(&input, &growth);
    scene.log(&[&input]);
    bytes.extend(growth);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn a_line_that_was_finished_between_two_runs_is_one_line() {
    let scene = Scene::new();
    let input = scene.file("growing.log", b"first\nhalf of ");
    let (receiver, _sender) = roles(&scene);
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"first\nhalf of ");
    append(&input, b"the second\nthird\n");
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"first\nhalf of the second\nthird\n");
}

#[test]
fn a_rerun_after_a_clean_end_adds_nothing() {
    let scene = Scene::new();
    let bytes = scene.lines(2 << 20);
    let input = scene.file("input.log", &bytes);
    let (receiver, mut sender) = roles(&scene);
    scene.log(&[&input]);
    scene.log(&[&input]);
    scene.wait_acked();
    sender.kill();
    scene.log(&[&input]);
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn a_file_that_was_renamed_is_finished_before_the_new_one_of_its_name() {
    let scene = Scene::new();
    let input = scene.file("app.log", b"old one\nold ");
    let (receiver, _sender) = roles(&scene);
    scene.log(&[&input]);
    append(&input, b"two\nold three\n");
    std::fs::rename(&input, scene.path("app.log.1")).unwrap();
    scene.file("app.log", b"new one\nnew two\n");
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"old one\nold two\nold three\nnew one\nnew two\n");
    // From now on the new one is the one to go on with.
    append(&input, b"new three\n");
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"old one\nold two\nold three\nnew one\nnew two\nnew three\n");
}

#[test]
fn a_file_that_was_overwritten_is_logged_anew_and_reported() {
    let scene = Scene::new();
    let input = scene.file("app.log", b"old one\nold two\n");
    let (receiver, _sender) = roles(&scene);
    scene.log(&[&input]);
    scene.file("app.log", b"new\n");
    let finished = scene.engine(&[&input]).finish();
    assert_eq!(finished.code, Some(5), "{}", finished.words);
    assert!(finished.words.contains("app.log"), "{}", finished.words);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"old one\nold two\nnew\n");
}

#[test]
fn records_as_json_have_the_documented_members() {
    let scene = Scene::new();
    let receiver = ship(&scene, b"one \"quoted\"\nnot ended");
    let input = scene.path("input.log").canonicalize().unwrap();
    let records = scene.json(&receiver.archive);
    assert_eq!(records.len(), 2);
    let mut last = None;
    for (record, text) in records.iter().zip(["one \"quoted\"", "not ended"]) {
        assert_eq!(record["group"], "web");
        uuid::Uuid::parse_str(record["stream"].as_str().unwrap()).unwrap();
        let position = record["position"].as_u64();
        assert!(position.is_some() && position > last, "{record}");
        last = position;
        let time = record["time"].as_str().unwrap();
        time.parse::<jiff::Timestamp>().unwrap();
        assert_eq!(
            time.split_once('.')
                .unwrap()
                .1
                .trim_end_matches(|end: char| !end.is_ascii_digit())
                .len(),
            9,
            "{time}"
        );
        assert_eq!(record["statement"], "line");
        assert_eq!(
            record["value"],
            serde_json::json!({"source": input.to_str().unwrap(), "text": text})
        );
        assert_eq!(record["text"], text);
    }
    assert_eq!(records[0].get("continued"), None);
    assert_eq!(records[1]["continued"], Value::Bool(true));
}

#[test]
fn verify_says_of_each_stream_what_it_holds() {
    let scene = Scene::new();
    let inputs = [scene.file("a.log", b"1\n2\n3\n"), scene.file("b.log", b"4\n")];
    let (receiver, _sender) = roles(&scene);
    scene.log(&[&inputs[0], &inputs[1]]);
    scene.wait_acked();
    let (streams, total) = scene.verify(&receiver.archive);
    assert_eq!(
        (&total["streams"], &total["records"]),
        (&Value::from(2), &Value::from(4))
    );
    let mut held: Vec<_> = streams
        .iter()
        .map(|stream| stream["records"].as_u64().unwrap())
        .collect();
    held.sort_unstable();
    assert_eq!(held, [1, 3]);
    for stream in &streams {
        assert_eq!(
            (&stream["first"], &stream["gaps"], &stream["dropped"]),
            (&Value::from(0), &Value::from(0), &Value::from(0))
        );
        assert!(
            stream["last"].as_u64() > Some(0) && stream["group"] == "web",
            "{stream}"
        );
    }
}

#[test]
fn every_codec_and_the_smallest_batches_carry_the_same_bytes() {
    for more in [
        ["--compress", "lz4"],
        ["--compress", "none"],
        ["--compress", "zstd:7"],
        ["--compress", "auto"],
        ["--batch-size", "1"],
    ] {
        let scene = Scene::new();
        let bytes = scene.lines(1 << 20);
        let input = scene.file("input.log", &bytes);
        let receiver = scene.receiver("recv");
        let _sender = scene.sender_with(&["web"], &[&receiver.address], &more);
        scene.log(&[&input]);
        scene.wait_acked();
        scene.assert_arrived(&receiver, &bytes);
    }
}

#[test]
fn the_smallest_ring_and_the_largest_carry_the_same_bytes() {
    for size in ["64KiB", "64MiB"] {
        let scene = Scene::new();
        let bytes = scene.lines(2 << 20);
        let input = scene.file("input.log", &bytes);
        let (receiver, _sender) = roles(&scene);
        let mut arguments = scene.engine_arguments("web", &[&input]);
        arguments.extend(words(&["--ring-size", size]));
        scene.start("engine", &arguments).succeed();
        scene.wait_acked();
        scene.assert_arrived(&receiver, &bytes);
    }
}

#[test]
fn a_sender_that_is_asked_to_ends_once_all_is_delivered() {
    let scene = Scene::new();
    // Less than a ring, so that the engine ends before any sender runs.
    let bytes = scene.lines(400_000);
    let input = scene.file("input.log", &bytes);
    scene.log(&[&input]);
    let receiver = scene.receiver("recv");
    scene
        .sender_with(&["web"], &[&receiver.address], &["--drain-and-exit"])
        .succeed();
    scene.assert_arrived(&receiver, &bytes);
    assert!(scene.acked());
    // A second one finds nothing to do.
    scene
        .sender_with(&["web"], &[&receiver.address], &["--drain-and-exit"])
        .succeed();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn what_cat_reads_while_it_is_written_is_a_beginning_of_the_input() {
    let scene = Scene::new();
    let bytes = scene.lines(8 << 20);
    let input = scene.file("input.log", &bytes);
    let (receiver, _sender) = roles(&scene);
    let mut engine = scene.engine(&[&input]);
    wait_until("the archive exists", || !receiver.segments().is_empty());
    loop {
        let is_last = !engine.is_running();
        let raw = scene.raw(&receiver.archive);
        assert_equal(&raw, &bytes[..raw.len().min(bytes.len())]);
        scene.verify(&receiver.archive);
        if is_last {
            break;
        }
    }
    engine.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn real_logs_arrive() {
    // Real logs of a dozen systems lie beside a working copy, not in it.
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/loghub.log.zst");
    let Ok(file) = File::open(logs) else { return };
    let bytes = zstd::decode_all(file).unwrap();
    ship(&Scene::new(), &bytes);
}

#[test]
fn a_sender_that_is_to_drain_and_exit_waits_for_no_batch() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let bytes = scene.lines(1 << 12);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene
        .sender_with(
            &["web"],
            &[&receiver.address],
            &["--drain-and-exit", "--batch-time", "1h"],
        )
        .succeed();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn what_was_logged_waits_for_no_batch_once_nobody_logs() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender_with(&["web"], &[&receiver.address], &["--batch-time", "1h"]);
    let bytes = scene.lines(1 << 12);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}
