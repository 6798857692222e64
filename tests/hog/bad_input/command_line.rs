//! Command lines that make no sense, and inputs that are not there: refused before anything was touched.

use crate::scene::{GROUP, Scene, wait_until, words};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

/// Command lines, and what is said of each.
const LINES: &[(&[&str], &[&str])] = &[
    (&["ship"], &["unrecognized subcommand 'ship'", "try 'hog --help'"]),
    (&["verfy"], &["a similar subcommand exists: 'verify'"]),
    (&["--nonsense"], &["'--nonsense'", "try 'hog --help'"]),
    (&["engine"], &["--group <GROUP>", "try 'hog engine --help'"]),
    (
        &["engine", "-g", "web", "--unrelaible"],
        &["'--unrelaible'", "a similar argument exists: '--unreliable'"],
    ),
    (&["engine", "-g", "web", "--unreliable=yes"], &["'yes'", "--unreliable"]),
    (&["engine", "-g", "web", "-x"], &["'-x'"]),
    (&["engine", "-g"], &["--group <GROUP>"]),
    (
        &["engine", "-g", "web", "-g", "db"],
        &["--group <GROUP>", "multiple times"],
    ),
    (
        &["engine", "-g", "web", "--resume", "perhaps"],
        &["'perhaps'", "auto, require, off"],
    ),
    (
        &["batchsend", "-g", "web"],
        &["--to <HOST:PORT>", "try 'hog batchsend --help'"],
    ),
    (
        &["send", "-g", "web"],
        &["--to <HOST:PORT>", "try 'hog batchsend --help'"],
    ),
    (
        &["batchsend", "-g", "web", "--to", "h:1", "more"],
        &["unexpected argument 'more'"],
    ),
    (
        &["batchsend", "-g", "web", "--to", "h:1", "--compress", "zip"],
        &["'zip'", "--compress"],
    ),
    (
        &["batchsend", "-g", "web", "--to", "h:1", "--compress", "zstd:99"],
        &["'zstd:99'", "--compress"],
    ),
    (&["batchrecv"], &["--listen <ADDR:PORT>"]),
    (
        &["batchrecv", "--listen", "127.0.0.1:0", "-d", "/nowhere/$DATE"],
        &["$GROUP"],
    ),
    (
        &["batchrecv", "--listen", "127.0.0.1:0", "-d", "/nowhere/$GROUP/$HOST"],
        &["$GROUP/$HOST"],
    ),
    (
        &["batchrecv", "--listen", "127.0.0.1:0", "-d", ""],
        &["--dir", "no name"],
    ),
    (&["local", "-g", "web", "-d", ""], &["--dir", "no name"]),
    (
        &["batchsend", "-g", "web", "--to", "h:0"],
        &["--to <HOST:PORT>", "1 to 65535"],
    ),
    (&["cat"], &["PATH", "try 'hog cat --help'"]),
    (&["cat", "--format", "xml", "/nowhere"], &["'xml'", "json"]),
    (&["verify"], &["PATH"]),
    (&["status", "--format", "xml"], &["'xml'", "json"]),
];

/// What is no name of a group.
const GROUPS: [&str; 10] = [
    "", ".web", "..", "../web", "web/db", "/web", "web db", "wéb", "web\n", "web$",
];
/// What is no destination, and no address to listen on.
const DESTINATIONS: [&str; 8] = [
    "",
    "host",
    "host:",
    ":7070",
    "host:port",
    "host:65536",
    "host:-1",
    "::1",
];
/// What is no size.
const SIZES: [&str; 8] = [
    "",
    "much",
    "-1",
    "1XiB",
    "MiB",
    "1 parsec",
    "0x10",
    "99999999999999999999",
];
/// What is no time.
const TIMES: [&str; 7] = ["", "soon", "5", "-1s", "1 fortnight", "s", "99999999999999999999s"];

/// Runs `hog` with `line`, which it must refuse with status 2 and one line of these words.
fn assert_no_sense(scene: &Scene, line: &[&str], said: &[&str]) {
    scene.run("hog", &words(line)).assert_refused(2, said);
}

#[test]
fn a_command_line_without_sense_is_refused_in_one_line() {
    let scene = Scene::new();
    for (line, said) in LINES {
        assert_no_sense(&scene, line, said);
    }
}

#[test]
fn a_group_that_is_no_name_is_refused_by_every_mode() {
    let scene = Scene::new();
    let long = "g".repeat(65);
    for group in GROUPS.into_iter().chain([long.as_str()]) {
        assert_no_sense(
            &scene,
            &["engine", "-g", group],
            &["--group <GROUP>", "a group is 1 to 64 of"],
        );
        assert_no_sense(
            &scene,
            &["batchsend", "--to", "h:1", "-g", "web", "-g", group],
            &["--group <GROUP>", "a group is 1 to 64 of"],
        );
    }
}

#[test]
fn a_destination_without_a_host_or_a_port_is_refused() {
    let scene = Scene::new();
    for destination in DESTINATIONS {
        assert_no_sense(
            &scene,
            &["batchsend", "-g", "web", "--to", "h:1", "--to", destination],
            &["--to <HOST:PORT>"],
        );
        assert_no_sense(
            &scene,
            &["batchrecv", "--listen", destination],
            &["--listen <ADDR:PORT>"],
        );
    }
}

#[test]
fn sizes_and_times_that_are_none_are_refused() {
    let scene = Scene::new();
    for size in SIZES {
        let flag = |flag: &str| format!("{flag}={size}");
        assert_no_sense(
            &scene,
            &["engine", "-g", "web", &flag("--ring-size")],
            &["--ring-size <SIZE>"],
        );
        assert_no_sense(
            &scene,
            &["batchsend", "-g", "web", "--to", "h:1", &flag("--batch-size")],
            &["--batch-size <SIZE>"],
        );
    }
    for time in TIMES {
        for flag in ["--batch-time", "--sync"] {
            let flag = format!("{flag}={time}");
            assert_no_sense(
                &scene,
                &["batchsend", "-g", "web", "--to", "h:1", &flag],
                &["<TIME>", "expected a time"],
            );
        }
    }
}

#[test]
fn sizes_out_of_bounds_are_refused_with_the_bounds() {
    let scene = Scene::new();
    let input = scene.file("input.log", b"line\n");
    for size in ["0", "32KiB", "100000", "2GiB"] {
        let mut arguments = scene.engine_arguments(GROUP, &[&input]);
        arguments.extend(words(&["--ring-size", size]));
        scene
            .run("engine", &arguments)
            .assert_refused(2, &["power of two", "65536 to 1073741824"]);
    }
    for size in ["0", "9MiB"] {
        assert_no_sense(
            &scene,
            &["batchsend", "-g", "web", "--to", "h:1", "--batch-size", size],
            &["--batch-size", "8 MiB"],
        );
    }
    assert!(!scene.has_rings_directory() && !scene.path("spool").exists() && !scene.store().exists());
}

#[test]
fn arguments_that_are_not_text_are_refused_in_one_line() {
    let scene = Scene::new();
    let foreign = OsString::from_vec(b"we\xffb".to_vec());
    scene
        .run("hog", &[OsStr::new("engine"), OsStr::new("-g"), &foreign])
        .assert_refused(2, &["UTF-8"]);
    // Control characters neither break the line nor reach the terminal.
    scene
        .run("hog", &words(&["engine", "-g", "a\n\nUsage: \x1b[31m"]))
        .assert_refused(2, &["--group <GROUP>"]);
}

#[test]
fn an_input_that_cannot_be_read_ends_the_engine_before_it_logs_anything() {
    let scene = Scene::new();
    let (good, missing, below) = (
        scene.file("good.log", b"line\n"),
        scene.path("missing.log"),
        scene.path("good.log/below"),
    );
    let looped = scene.path("loop.log");
    std::os::unix::fs::symlink(&looped, &looped).unwrap();
    let bad: [(&Path, &str); 4] = [
        (&missing, "No such file"),
        (&scene.path(""), "directory"),
        (&below, "Not a directory"),
        (&looped, "symbolic links"),
    ];
    for (input, reason) in bad {
        let name = input.to_str().unwrap().trim_end_matches('/');
        scene
            .engine(&[&good, input])
            .finish()
            .assert_refused(1, &[name, reason]);
    }
    assert!(scene.rings().is_empty());
}

#[test]
fn an_output_that_takes_nothing_is_named() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("the sender runs", || scene.status().is_some());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_hog"))
        .args(["status", "-m"])
        .arg(scene.store())
        .stdout(full)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{words}");
    assert!(
        words.starts_with("hog: cannot write the output: No space left"),
        "{words}"
    );
}

#[test]
fn a_path_that_is_not_there_ends_its_readers() {
    let scene = Scene::new();
    let missing = scene.path("miss\ning");
    for mode in ["cat", "verify", "demo"] {
        scene
            .run(mode, &[OsStr::new(mode), missing.as_os_str()])
            .assert_refused(1, &["miss\\ning", "No such file"]);
    }
}

#[test]
fn a_name_with_a_line_end_is_in_one_line_of_the_log() {
    let scene = Scene::new();
    let mut arguments = scene.engine_arguments(GROUP, &[]);
    let missing = scene.path("miss\n\x1b[31ming.log");
    arguments.extend([OsStr::new("--follow"), missing.as_os_str()]);
    let mut engine = scene.start("engine", &arguments);
    wait_until("the name is spoken of", || engine.words().contains("ing.log"));
    engine.terminate();
    let finished = engine.finish();
    finished.assert_one_line(&["miss\\n\\u{1b}[31ming.log"]);
}
