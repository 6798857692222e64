//! `hog engine --follow`: files that grow, appear, and are found by patterns; and how it begins and ends.

use crate::arrived::assert_equal;
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, PATIENCE, Scene, wait_until, words};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An engine that follows, with a sender and a receiver behind it.
pub(crate) struct Following {
    pub(crate) scene: Scene,
    pub(crate) receiver: Receiver,
    _sender: Process,
}

impl Following {
    pub(crate) fn new() -> Self {
        let scene = Scene::new();
        std::fs::create_dir(scene.path("logs")).unwrap();
        let receiver = scene.receiver("recv");
        let sender = scene.sender(&[&receiver.address]);
        Self {
            scene,
            receiver,
            _sender: sender,
        }
    }

    /// A file in the directory of logs.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.scene.path("logs").join(name)
    }

    /// Starts an engine that follows `inputs` in the directory of logs.
    pub(crate) fn engine(&self, inputs: &[&str]) -> Process {
        self.engine_with(inputs, &[])
    }

    pub(crate) fn engine_with(&self, inputs: &[&str], more: &[&str]) -> Process {
        let inputs: Vec<PathBuf> = inputs.iter().map(|input| self.log(input)).collect();
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        let mut arguments: Vec<&OsStr> = self.scene.engine_arguments(GROUP, &inputs);
        arguments.extend(words(&["--follow"]));
        arguments.extend(words(more));
        self.scene.start("engine", &arguments)
    }

    /// Waits until exactly these bytes arrived.
    pub(crate) fn wait_for(&self, expected: &[u8]) {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2000)..]).into_owned();
        wait_until_same(
            &expected.to_vec(),
            || self.scene.raw(&self.receiver.archive),
            |bytes| shown(bytes),
        );
    }

    /// Waits until exactly these lines arrived, in any order.
    pub(crate) fn wait_for_lines(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        expected.sort();
        wait_until_same(&expected, || self.lines(), |lines| lines.join(" "));
    }

    /// The lines that arrived, sorted.
    pub(crate) fn lines(&self) -> Vec<String> {
        let raw = self.scene.raw(&self.receiver.archive);
        let mut lines: Vec<String> = String::from_utf8(raw).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Ends the engine in order, and checks that nothing more arrived than `expected`.
    pub(crate) fn end(&self, engine: Process, expected: &[u8]) {
        end_in_order(engine, 0);
        self.scene.wait_acked();
        assert_equal(&self.scene.raw(&self.receiver.archive), expected);
        self.scene.verify(&self.receiver.archive);
    }
}

/// Waits until `look` finds what is expected; shows what it found instead.
fn wait_until_same<T: PartialEq>(expected: &T, mut look: impl FnMut() -> T, show: impl Fn(&T) -> String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = look();
        if found == *expected {
            return;
        }
        let (expected, found) = (show(expected), show(&found));
        assert!(Instant::now() < deadline, "expected {expected:?}\nfound    {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// SIGTERM, and an end within 5 s.
pub(crate) fn end_in_order(mut engine: Process, code: i32) {
    let asked = Instant::now();
    engine.terminate();
    wait_until("the engine ends", || !engine.is_running());
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    assert_eq!(engine.ended().unwrap().code(), Some(code), "{}", engine.words());
}

/// Appends to a file, which is made if there is none.
pub(crate) fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

#[test]
fn a_file_is_logged_as_it_grows_and_gone_on_with_by_the_next_run() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    append(&log, "two\nthree\n");
    following.wait_for(b"one\ntwo\nthree\n");
    following.end(engine, b"one\ntwo\nthree\n");
    append(&log, "four\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\ntwo\nthree\nfour\n");
    // A run that does not follow has the same ring.
    following.end(engine, b"one\ntwo\nthree\nfour\n");
    append(&log, "five\n");
    following.scene.log(&[&log]);
    following.wait_for(b"one\ntwo\nthree\nfour\nfive\n");
    assert_eq!(following.scene.rings().len(), 1);
}

#[test]
fn a_line_waits_for_its_newline() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\nbegin");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    append(&log, "ning");
    append(&following.log("other.log"), "other\n");
    end_in_order(engine, 0);
    let engine = following.engine(&["app.log", "other.log"]);
    following.wait_for(b"one\nother\n");
    append(&log, " and end\n");
    following.wait_for(b"one\nother\nbeginning and end\n");
    following.end(engine, b"one\nother\nbeginning and end\n");
}

#[test]
fn a_long_line_that_grows_slowly_is_one_line() {
    let following = Following::new();
    let log = following.log("app.log");
    let engine = following.engine(&["app.log"]);
    let mut expected = Vec::new();
    for _ in 0..40 {
        let piece = following.scene.draw(|chance| {
            (0..chance.usize(1..40_000))
                .map(|_| chance.alphanumeric() as u8)
                .collect::<Vec<_>>()
        });
        append(&log, &piece);
        expected.extend(piece);
        std::thread::yield_now();
    }
    append(&log, "\nnext\n");
    expected.extend(b"\nnext\n");
    following.wait_for(&expected);
    following.end(engine, &expected);
    let records = following.scene.json(&following.receiver.archive);
    assert_eq!(records.len(), 2, "the long line is one record");
}

#[test]
fn many_files_are_followed_side_by_side_and_a_full_ring_stops_no_other() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("logs")).unwrap();
    let (large, small) = (scene.path("logs").join("large"), scene.path("logs").join("small"));
    append(&large, scene.lines(4 << 20));
    append(&small, "one\n");
    let mut arguments = scene.engine_arguments(GROUP, &[&large, &small]);
    arguments.extend(words(&["--follow"]));
    // Nobody drains: the ring of the large file is full, and stays so.
    let engine = scene.start("engine", &arguments);
    wait_until("the ring is full", || scene.progress().0 > 1_000_000);
    let ring_of_small = || {
        let ring = scene.rings().into_iter().find(|ring| {
            let name = ring.file_name().unwrap().to_str().unwrap().to_owned();
            name.starts_with("small-")
        })?;
        let reader = hog_ring::RingReader::open(&ring).ok()?;
        reader.tail(0).ok()
    };
    wait_until("the other is logged", || ring_of_small().is_some());
    let before = ring_of_small().unwrap();
    append(&small, "two\n");
    wait_until("the other is still logged", || ring_of_small().unwrap() > before);
    end_in_order(engine, 0);
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let engine = scene.start("engine", &arguments);
    let expected = std::fs::metadata(&large).unwrap().len() + 8;
    wait_until("all arrives", || scene.raw(&receiver.archive).len() as u64 >= expected);
    end_in_order(engine, 0);
    let mut lines: Vec<_> = scene
        .raw(&receiver.archive)
        .split(|c| *c == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let mut wanted: Vec<_> = [std::fs::read(&large).unwrap(), b"one\ntwo\n".to_vec()]
        .concat()
        .split(|c| *c == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    lines.sort();
    wanted.sort();
    assert!(lines == wanted);
}

#[test]
fn a_file_that_does_not_exist_yet_is_waited_for_and_said_once() {
    let following = Following::new();
    let engine = following.engine(&["app.log", "later/app.log"]);
    wait_until("it says so", || {
        engine.words().contains("app.log, which does not exist")
    });
    append(&following.log("app.log"), "one\n");
    following.wait_for(b"one\n");
    std::fs::create_dir(following.log("later")).unwrap();
    append(&following.log("later/app.log"), "two\n");
    following.wait_for(b"one\ntwo\n");
    assert_eq!(
        engine.words().matches("does not exist").count(),
        2,
        "{}",
        engine.words()
    );
    following.end(engine, b"one\ntwo\n");
}

#[test]
fn an_unreadable_file_is_said_once_and_tried_again() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    std::fs::set_permissions(&log, PermissionsExt::from_mode(0o000)).unwrap();
    if File::open(&log).is_ok() {
        // Root may read everything; a directory in the file's place is as unreadable to anybody.
        std::fs::remove_file(&log).unwrap();
        std::fs::create_dir(&log).unwrap();
    }
    append(&following.log("other.log"), "other\n");
    let engine = following.engine(&["app.log", "other.log"]);
    following.wait_for(b"other\n");
    wait_until("it says so", || engine.words().contains("app.log: "));
    if log.is_dir() {
        std::fs::remove_dir(&log).unwrap();
        append(&log, "one\n");
    }
    std::fs::set_permissions(&log, PermissionsExt::from_mode(0o600)).unwrap();
    following.wait_for(b"other\none\n");
    assert_eq!(engine.words().matches("app.log: ").count(), 1, "{}", engine.words());
    following.end(engine, b"other\none\n");
}

#[test]
fn files_that_a_pattern_matches_later_are_logged_from_their_beginning() {
    let following = Following::new();
    append(&following.log("a.log"), "a1\n");
    append(&following.log("unmatched.txt"), "never\n");
    let engine = following.engine(&["*.log"]);
    following.wait_for_lines(&["a1"]);
    append(&following.log("b.log"), "b1\nb2\n");
    following.wait_for_lines(&["a1", "b1", "b2"]);
    append(&following.log("a.log"), "a2\n");
    append(&following.log("b.log"), "b3\n");
    following.wait_for_lines(&["a1", "b1", "b2", "a2", "b3"]);
    end_in_order(engine, 0);
    append(&following.log("c.log"), "c1\n");
    append(&following.log("b.log"), "b4\n");
    let engine = following.engine(&["*.log"]);
    following.wait_for_lines(&["a1", "b1", "b2", "a2", "b3", "b4", "c1"]);
    end_in_order(engine, 0);
}

#[test]
fn a_name_that_a_living_engine_has_is_refused_with_its_pid() {
    let following = Following::new();
    append(&following.log("app.log"), "one\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    let second = following.engine(&["app.log"]).finish();
    assert_eq!(second.code, Some(3), "{}", second.words);
    assert!(second.words.contains(&engine.pid().to_string()), "{}", second.words);
    following.end(engine, b"one\n");
}

#[test]
fn what_cannot_be_followed_is_refused_before_anything_is_made() {
    let scene = Scene::new();
    let input = scene.file("a.log", b"a\n");
    let cases: [(&[&Path], &[&str], i32); 4] = [
        (&[], &["--follow"], 2),
        (&[Path::new("-")], &["--follow"], 2),
        (&[&input, &input], &["--follow", "--name", "x"], 2),
        (&[&input], &["--follow", "--resume", "require"], 4),
    ];
    for (inputs, more, code) in cases {
        let mut arguments = scene.engine_arguments(GROUP, inputs);
        arguments.extend(words(more));
        let finished = scene.run("engine", &arguments);
        assert_eq!(finished.code, Some(code), "{more:?}: {}", finished.words);
        assert_eq!(finished.words.lines().count(), 1, "{}", finished.words);
        assert!(scene.rings().is_empty());
    }
}

#[test]
fn an_idle_engine_takes_next_to_no_time() {
    let following = Following::new();
    for number in 0..200 {
        append(&following.log(&format!("{number}.log")), "line\n");
    }
    let engine = following.engine_with(&["*.log"], &["--ring-size", "64KiB"]);
    wait_until("all arrived", || following.lines().len() == 200);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", engine.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (before, began) = (ticks(), Instant::now());
    wait_until("some time has passed", || began.elapsed().as_secs() >= 4);
    let share = (ticks() - before) as f64 / (began.elapsed().as_secs_f64() * 100.0);
    eprintln!("200 idle files take {:.2} % of a core", share * 100.0);
    assert!(share < 0.2, "{share}: it is busy although nothing happens");
    end_in_order(engine, 0);
}

#[test]
fn lines_that_were_dropped_are_counted_and_logged_by_no_later_run() {
    let scene = Scene::new();
    let log = scene.file("app.log", scene.lines(1 << 20));
    let mut arguments = scene.engine_arguments(GROUP, &[&log]);
    arguments.extend(words(&["--follow", "--unreliable", "--ring-size", "64KiB"]));
    let engine = scene.start("engine", &arguments);
    wait_until("the ring is full", || scene.progress().0 > 30_000);
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("it is drained", || {
        let (tail, head) = scene.progress();
        tail == head
    });
    append(&log, "after the drops\n");
    wait_until("it is logged", || {
        scene.raw(&receiver.archive).ends_with(b"after the drops\n")
    });
    let dropped = {
        let ring = hog_ring::RingReader::open(&scene.rings()[0]).unwrap();
        ring.drops().0
    };
    assert!(dropped > 0);
    end_in_order(engine, 5);
    let arrived = scene.raw(&receiver.archive);
    scene.log(&[&log]);
    scene.wait_acked();
    assert_equal(&scene.raw(&receiver.archive), &arrived);
}

#[test]
fn drops_at_the_end_of_a_run_are_marked_with_the_place_behind_them() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let sender = scene.sender(&[&receiver.address]);
    let log = scene.file("app.log", "first\n");
    scene.log(&[&log]);
    scene.wait_acked();
    drop(sender);
    // The ring is full when the file ends. A drainer that comes within the engine's last two seconds makes room for the mark.
    append(&log, scene.lines(1 << 20));
    let mut arguments = scene.engine_arguments(GROUP, &[&log]);
    arguments.extend(words(&["--unreliable", "--follow"]));
    let engine = scene.start("engine", &arguments);
    wait_until("lines are dropped", || {
        hog_ring::RingReader::open(&scene.rings()[0]).unwrap().drops().0 > 0
    });
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("the mark is in the stream", || {
        let ring = hog_ring::RingReader::open(&scene.rings()[0]).unwrap();
        let state = hog::modes::engine::state::State::decode(&ring.state().unwrap()).unwrap();
        state.current.unwrap().offset == std::fs::metadata(&log).unwrap().len()
    });
    end_in_order(engine, 5);
    scene.wait_acked();
    let arrived = scene.raw(&receiver.archive);
    scene.log(&[&log]);
    scene.wait_acked();
    assert_equal(&scene.raw(&receiver.archive), &arrived);
}

#[test]
fn resume_off_logs_what_there_is_anew() {
    let following = Following::new();
    append(&following.log("app.log"), "one\n");
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\n");
    end_in_order(engine, 0);
    let engine = following.engine_with(&["app.log"], &["--resume", "off"]);
    following.wait_for(b"one\none\n");
    append(&following.log("app.log"), "two\n");
    following.wait_for(b"one\none\ntwo\n");
    end_in_order(engine, 0);
    let engine = following.engine_with(&["app.log"], &["--resume", "require"]);
    append(&following.log("app.log"), "three\n");
    following.wait_for(b"one\none\ntwo\nthree\n");
    following.end(engine, b"one\none\ntwo\nthree\n");
}
