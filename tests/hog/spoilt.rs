//! Paths and segments that are not what they should be, under `cat` and `verify`: one line for each on stderr, that names it and
//! the reason; the status; and everything else read.

use crate::arrived::assert_equal;
use crate::roles::{Finished, Receiver};
use crate::scene::{Scene, words};
use hog::formats::frame::Kind;
use hog::seglog::reader::{Next, SegmentReader};
use std::fs;
use std::path::{Path, PathBuf};

const MODES: [&[&str]; 5] = [
    &["cat", "--format", "raw"],
    &["cat", "--format", "text"],
    &["cat", "--format", "json"],
    &["verify"],
    &["verify", "--format", "json"],
];

fn run(scene: &Scene, mode: &[&str], paths: &[&Path]) -> Finished {
    let mut arguments = words(mode);
    arguments.extend(paths.iter().map(|path| path.as_os_str()));
    scene.run("reader", &arguments)
}

/// That every mode says one line about `path`, with `reason` in it, and ends with `code`; and that it reads on behind it,
/// if `code` is not 1.
fn assert_told(scene: &Scene, path: &Path, reason: &str, code: i32, sound: &Path) {
    for mode in MODES {
        let alone = run(scene, mode, &[path]);
        assert_eq!(alone.code, Some(code), "{mode:?}: {}", alone.words);
        assert_eq!(alone.words.lines().count(), 1, "{mode:?}: {}", alone.words);
        let names_it = alone.words.contains(&path.display().to_string());
        assert!(
            names_it && alone.words.contains(reason),
            "no {reason:?} in {:?}",
            alone.words
        );
        let both = run(scene, mode, &[path, sound]);
        assert_eq!(both.code, Some(code), "{mode:?}: {}", both.words);
        assert_eq!(both.words, alone.words, "{mode:?}");
        let printed = String::from_utf8_lossy(&both.output).into_owned();
        let shows_it = if mode[0] == "cat" { "the line" } else { "worker.log" };
        // Nothing is begun on a path that is wrong.
        assert_eq!(printed.contains(shows_it), code != 1, "{mode:?}: {printed}");
    }
}

/// A receiver that was killed and has two segments; what each holds was logged in several pieces, stored one after the
/// other.
fn two_segments(scene: &Scene) -> (Receiver, [Vec<Vec<u8>>; 2]) {
    let mut receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let mut pieces = [Vec::new(), Vec::new()];
    for (segment, pieces) in pieces.iter_mut().enumerate() {
        for piece in 0..4 {
            let lines = scene.lines(20_000);
            scene.log(&[&scene.file(&format!("worker.log.{segment}.{piece}"), &lines)]);
            scene.wait_acked();
            pieces.push(lines);
        }
        receiver.kill();
        if segment == 0 {
            receiver.start(scene);
        }
    }
    assert_eq!(receiver.segments().len(), 2);
    (receiver, pieces)
}

/// Where the bodies of the frames of DATA in a segment are.
fn bodies(segment: &Path) -> Vec<u64> {
    let mut reader = SegmentReader::open(segment).unwrap();
    let mut bodies = Vec::new();
    while let Next::Frame(found) = reader.next_frame().unwrap() {
        if found.header.kind == Kind::Data {
            bodies.push(found.end() - u64::from(found.header.body_len));
        }
    }
    bodies
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn paths_that_are_nothing_to_read_are_named_with_the_reason() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("worker.log", b"the line\n")]);
    scene.wait_acked();
    let sound = receiver.segments().remove(0);

    assert_told(&scene, &scene.path("missing"), "No such file", 1, &sound);
    let endless = scene.path("endless");
    std::os::unix::fs::symlink(&endless, &endless).unwrap();
    assert_told(&scene, &endless, "symbolic links", 1, &sound);

    assert_told(&scene, &scene.file("empty.hog", b""), "0 bytes long", 4, &sound);
    let foreign = scene.file("foreign.hog", b"something else\n".repeat(100));
    assert_told(&scene, &foreign, "not a segment", 4, &sound);
    let pipe = scene.path("seg-00000000000000000007.hog");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_told(&scene, &pipe, "neither a file nor a directory", 4, &sound);
    let mut bytes = fs::read(&sound).unwrap();
    bytes[20] ^= 1;
    assert_told(&scene, &scene.file("header.hog", bytes), "CRC", 4, &sound);

    // In a directory the pipe is not asked, and files that are called otherwise are not looked at.
    let directory = scene.path("");
    let listed = run(&scene, &["cat", "--format", "raw"], &[&directory]);
    assert_eq!(
        (listed.code, listed.output),
        (Some(0), b"the line\n".to_vec()),
        "{}",
        listed.words
    );
}

#[test]
fn what_may_not_be_read_fails_and_the_rest_is_read() {
    let scene = Scene::new();
    let (receiver, pieces) = two_segments(&scene);
    let [first, _] = &receiver.segments()[..] else { panic!() };
    // A file that opens and cannot be read, whoever asks; and one that only root may open.
    let unreadable = PathBuf::from("/proc/self/mem");
    for mode in MODES {
        let finished = run(&scene, mode, &[&unreadable]);
        assert_eq!(
            (finished.code, finished.words.lines().count()),
            (Some(1), 1),
            "{}",
            finished.words
        );
        assert!(finished.words.contains("/proc/self/mem"), "{}", finished.words);
    }
    if rustix::process::geteuid().is_root() {
        eprintln!("root may read everything, so that part is not tested");
        return;
    }
    fs::set_permissions(first, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    let finished = run(&scene, &["cat", "--format", "raw"], &[&receiver.archive]);
    assert_eq!(
        (finished.code, finished.words.lines().count()),
        (Some(1), 1),
        "{}",
        finished.words
    );
    assert_equal(&finished.output, &pieces[1].concat());
}

#[test]
fn a_flipped_bit_costs_its_frame_and_what_follows_is_read() {
    let scene = Scene::new();
    let (receiver, [first, second]) = two_segments(&scene);
    let segment = &receiver.segments()[0];
    flip(segment, bodies(segment)[1] + 5);
    for (mode, ends_with) in MODES.iter().zip([Some(&second), None, None, None, None]) {
        let finished = run(&scene, mode, &[&receiver.archive]);
        assert_eq!(finished.code, Some(4), "{mode:?}: {}", finished.words);
        // The damage, and the positions that are missing for it.
        assert_eq!(finished.words.lines().count(), 2, "{mode:?}: {}", finished.words);
        assert!(finished.words.contains("is damaged from byte"), "{}", finished.words);
        assert!(
            finished.words.contains(&segment.display().to_string()),
            "{}",
            finished.words
        );
        if let Some(second) = ends_with {
            let rest = [&[first[0].clone()], &first[2..], &second[..]].concat().concat();
            assert_equal(&finished.output, &rest);
        }
    }
}

#[test]
fn a_segment_cut_short_costs_what_is_behind_the_cut_and_the_next_one_tells() {
    let scene = Scene::new();
    let (receiver, [first, second]) = two_segments(&scene);
    let [cut, last] = &receiver.segments()[..] else {
        panic!()
    };
    let file = fs::File::options().write(true).open(cut).unwrap();
    file.set_len(bodies(cut)[2] + 5).unwrap();
    for mode in MODES {
        let finished = run(&scene, mode, &[&receiver.archive]);
        assert_eq!(finished.code, Some(4), "{mode:?}: {}", finished.words);
        assert!(
            finished.words.contains("are missing, and there is no GAP"),
            "{}",
            finished.words
        );
    }
    let raw = run(&scene, MODES[0], &[&receiver.archive]).output;
    assert_equal(&raw, &[&first[..2], &second[..]].concat().concat());

    // Where nothing follows, a cut is what a killed receiver leaves.
    let file = fs::File::options().write(true).open(last).unwrap();
    file.set_len(bodies(last)[3] + 5).unwrap();
    let alone = run(&scene, MODES[0], &[last]);
    assert_eq!((alone.code, alone.words.as_str()), (Some(0), ""));
    assert_equal(&alone.output, &second[..3].concat());
}
