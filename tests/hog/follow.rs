//! `hog cat` that follows a log, and readers that have had enough.

use crate::arrived::assert_equal;
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{PipeWriter, Read, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A `hog` that writes into a pipe, and does not outlive its test.
struct Piped {
    child: Child,
    words: PathBuf,
}

impl Piped {
    fn start(scene: &Scene, arguments: &[&OsStr], output: PipeWriter) -> Self {
        let words = scene.path(&format!("piped-{}.stderr", fastrand::u64(..)));
        let child = Command::new(env!("CARGO_BIN_EXE_hog"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(File::create(&words).unwrap())
            .spawn()
            .unwrap();
        Self { child, words }
    }

    /// Asks it to end, as Ctrl-C does or as a service manager does.
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its end must be a good one, without a word.
    fn assert_ends_in_peace(&mut self, what: &str) {
        wait_until(&format!("{what} ends"), || self.child.try_wait().unwrap().is_some());
        let said = std::fs::read_to_string(&self.words).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{what}");
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A follower of `path` whose output goes to a file.
fn follow(scene: &Scene, name: &str, format: &str, path: &Path) -> Process {
    let mut arguments = words(&["cat", "--follow", "--format", format]);
    arguments.push(path.as_os_str());
    scene.start(name, &arguments)
}

fn output_of(scene: &Scene, name: &str) -> Vec<u8> {
    std::fs::read(scene.path(&format!("{name}.stdout"))).unwrap()
}

#[test]
fn a_follower_prints_each_record_once_while_receivers_are_killed() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let followers = ["raw", "text", "json"].map(|format| follow(&scene, format, format, &receiver.archive));
    let mut sender = scene.sender(&[&receiver.address]);
    let mut expected = Vec::new();
    for part in 0..4 {
        let bytes = scene.lines(300_000);
        scene.log(&[&scene.file(&format!("{part}.log"), &bytes)]);
        expected.extend(bytes);
        if part % 2 == 0 {
            sender.kill();
            sender = scene.sender(&[&receiver.address]);
        } else {
            receiver.kill();
            receiver.start(&scene);
        }
    }
    scene.wait_acked();
    wait_until("all lines are printed", || {
        output_of(&scene, "raw").len() >= expected.len()
    });
    scene.assert_arrived(&receiver, &expected);
    let archive = receiver.archive.as_os_str();
    let plain = |format: &str| {
        scene.run(
            "cat",
            &[OsStr::new("cat"), "--format".as_ref(), format.as_ref(), archive],
        )
    };
    for (format, mut follower) in ["raw", "text", "json"].into_iter().zip(followers) {
        let expected = plain(format).output;
        wait_until("all of it is printed", || {
            output_of(&scene, format).len() >= expected.len()
        });
        assert!(follower.is_running());
        follower.terminate();
        let finished = follower.finish();
        assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
        assert_equal(&finished.output, &expected);
    }
}

#[test]
fn a_follower_of_a_spool_sees_what_is_spooled_though_it_is_deleted_once_delivered() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let spool = scene.path("spool");
    wait_until("there is a spool", || !scene.spooled().is_empty());
    let mut follower = follow(&scene, "follower", "raw", &spool);
    let mut expected = Vec::new();
    for run in 0..3 {
        let bytes = scene.lines(100_000);
        scene.log(&[&scene.file(&format!("{run}.log"), &bytes)]);
        expected.extend(bytes);
        scene.wait_acked();
        wait_until("it is printed", || {
            output_of(&scene, "follower").len() >= expected.len()
        });
        // A new run begins a new segment, and the ones before it go.
        let former = scene.spooled();
        sender.kill();
        sender = scene.sender(&[&receiver.address]);
        wait_until("delivered segments are deleted", || {
            former.iter().all(|segment| !segment.exists())
        });
    }
    follower.terminate();
    let finished = follower.finish();
    assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
    assert_equal(&finished.output, &expected);
}

#[test]
fn a_follower_ends_when_it_is_asked_to_and_when_its_reader_is_gone() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    // More than a pipe holds.
    let bytes = scene.lines(400_000);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_acked();
    let mut arguments = words(&["cat", "--follow", "--format", "raw"]);
    arguments.push(receiver.archive.as_os_str());

    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let (reader, writer) = pipe().unwrap();
        let mut idle = Piped::start(&scene, &arguments, writer);
        let mut lines = vec![0; bytes.len()];
        (&reader).read_exact(&mut lines).unwrap();
        idle.signal(signal);
        idle.assert_ends_in_peace("a follower with nothing to print");
        assert_equal(&lines, &bytes);
    }
    let (reader, writer) = pipe().unwrap();
    let mut stuck = Piped::start(&scene, &arguments, writer);
    let mut first = [0];
    (&reader).read_exact(&mut first).unwrap();
    stuck.signal(rustix::process::Signal::TERM);
    stuck.assert_ends_in_peace("a follower whose reader takes nothing");

    let (reader, writer) = pipe().unwrap();
    let mut left = Piped::start(&scene, &arguments, writer);
    let mut lines = vec![0; bytes.len()];
    (&reader).read_exact(&mut lines).unwrap();
    drop(reader);
    left.assert_ends_in_peace("a follower with nothing to print whose reader is gone");
}

#[test]
fn groups_and_archives_that_come_later_are_followed() {
    let scene = Scene::new();
    let archive = scene.path("recv").join("archive");
    std::fs::create_dir_all(&archive).unwrap();
    let mut follower = follow(&scene, "follower", "raw", &archive);
    let receiver = scene.receiver("recv");
    let _sender = scene.sender_with(&[GROUP, "db"], &[&receiver.address], &[]);
    for group in [GROUP, "db"] {
        let input = scene.file(&format!("{group}.log"), format!("of {group}\n"));
        scene.run("engine", &scene.engine_arguments(group, &[&input]));
    }
    let lines = || {
        let output = String::from_utf8(output_of(&scene, "follower")).unwrap();
        let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    wait_until("both groups are printed", || lines() == ["of db", "of web"]);
    follower.terminate();
    follower.succeed();
    assert_eq!(lines(), ["of db", "of web"]);
}

#[test]
fn whoever_closes_a_pipe_ends_any_mode_in_peace() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let bytes = scene.lines(2 << 20);
    let input = scene.file("input.log", &bytes);
    scene.log(&[&input]);
    scene.wait_acked();
    let (archive, store) = (receiver.archive.as_os_str(), scene.store());
    let (store, rings, input) = (store.as_os_str(), scene.shm_dir().as_os_str(), input.as_os_str());
    let mut lines: Vec<Vec<&OsStr>> = Vec::new();
    for mode in [
        &["cat"][..],
        &["cat", "--format", "raw"],
        &["cat", "--format", "json"],
        &["cat", "--follow"],
        &["verify"],
        &["verify", "--format", "json"],
    ] {
        lines.push([words(mode), vec![archive]].concat());
    }
    for mode in [&["status", "-m"][..], &["status", "--format", "json", "-m"]] {
        lines.push([words(mode), vec![store, OsStr::new("--shm-dir"), rings]].concat());
    }
    lines.extend([words(&["--help"]), words(&["help", "cat"]), words(&["--version"])]);
    lines.push([words(&["demo"]), vec![input]].concat());
    for line in lines {
        // As by `head`: a reader that leaves, here before the first byte.
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        Piped::start(&scene, &line, writer).assert_ends_in_peace(&format!("{line:?}"));
    }
    for format in ["text", "json", "raw"] {
        let (reader, writer) = pipe().unwrap();
        let line = [words(&["cat", "--format", format]), vec![archive]].concat();
        let mut cat = Piped::start(&scene, &line, writer);
        let mut some = [0; 100];
        (&reader).read_exact(&mut some).unwrap();
        drop(reader);
        cat.assert_ends_in_peace(&format!("{line:?}"));
    }
}
