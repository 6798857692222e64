//! Segments that are damaged while their owner does not run, or while it does: set aside, reported, and gone on with, exactly once.

use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words};
use hog::formats::frame::{HEADER_LEN, Kind};
use hog::seglog::reader::{Next, SegmentReader};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that are logged one after the other, each into frames of its own.
struct Play {
    scene: Scene,
    receiver: Receiver,
    parts: Vec<Vec<u8>>,
}

impl Play {
    fn begin() -> Self {
        let scene = Scene::new();
        let receiver = scene.receiver("recv");
        Self {
            scene,
            receiver,
            parts: Vec::new(),
        }
    }

    fn sender(&self, more: &[&str]) -> Process {
        let more = [&["--sync", "10ms", "--retain", "1h"], more].concat();
        self.scene.sender_with(&[GROUP], &[&self.receiver.address], &more)
    }

    /// Logs another file, and waits until it is in the spool, on disk.
    fn log(&mut self) {
        self.log_bytes(30_000);
    }

    /// The same, of so many bytes.
    fn log_bytes(&mut self, bytes: usize) {
        let lines = self.scene.lines(bytes);
        let number = self.parts.len();
        self.scene.log(&[&self.scene.file(&format!("part.{number}"), &lines)]);
        self.parts.push(lines);
        wait_until("it is in the spool, on disk", || {
            let status = self.scene.status();
            status.is_some_and(|status| {
                let group = &status["groups"][0];
                group["ring_bytes"] == 0 && group["unsynced_bytes"] == 0
            })
        });
    }

    /// All that was logged.
    fn lines(&self) -> Vec<u8> {
        self.parts.concat()
    }

    /// Has the receiver get all but the second part, whose frame is damaged in `segment`, which has these `bytes` and is set aside.
    fn ship_all_but_the_second_part(&mut self, segment: &Path, bytes: &[u8]) {
        self.receiver.start(&self.scene);
        let sender = self.sender(&["--drain-and-exit"]).finish();
        assert_eq!(sender.code, Some(5), "{}", sender.words);
        assert!(
            sender.words.contains("was set aside as *.quarantined"),
            "{}",
            sender.words
        );
        assert_eq!(fs::read(aside(segment)).unwrap(), bytes);
        assert_eq!(self.faults(&self.scene.store()), (true, 1));
        let (code, said) = self.verify(&self.receiver.archive);
        assert_eq!(code, Some(5), "{said}");
        self.assert_all_but_of(1);
    }

    /// That all of it arrived in order, but for the last lines of one part.
    fn assert_all_but_of(&self, part: usize) {
        let (found, before) = (self.raw().1, self.parts[..part].concat());
        let behind = self.parts[part + 1..].concat();
        assert!(found.starts_with(&before) && found.ends_with(&behind));
        let of_part = &found[before.len()..found.len() - behind.len()];
        assert!(of_part.len() < self.parts[part].len() && self.parts[part].starts_with(of_part));
    }

    fn raw(&self) -> (Option<i32>, Vec<u8>) {
        let mut arguments = words(&["cat", "--format", "raw"]);
        arguments.push(self.receiver.archive.as_os_str());
        let finished = self.scene.run("cat", &arguments);
        (finished.code, finished.output)
    }

    fn verify(&self, path: &Path) -> (Option<i32>, String) {
        let mut arguments = words(&["verify"]);
        arguments.push(path.as_os_str());
        let finished = self.scene.run("verify", &arguments);
        (finished.code, finished.words)
    }

    /// Whether the status says that something is lost, and how many faults tell of what was set aside.
    fn faults(&self, store: &Path) -> (bool, usize) {
        let mut arguments = words(&["status", "--format", "json", "-m"]);
        let shm_dir = self.scene.shm_dir();
        arguments.extend([store.as_os_str(), "--shm-dir".as_ref(), shm_dir.as_os_str()]);
        let status: Value = serde_json::from_slice(&self.scene.run("status", &arguments).output).unwrap();
        let faults = status["faults"].as_array().unwrap().iter();
        let set_aside = faults.filter(|fault| fault["what"].to_string().contains("quarantined"));
        (status["is_degraded"] == true, set_aside.count())
    }
}

/// Where the last frame of DATA of each stream begins in a segment, in the order of the streams.
fn data(segment: &Path) -> Vec<u64> {
    let mut reader = SegmentReader::open(segment).unwrap();
    let mut frames: Vec<(_, u64)> = Vec::new();
    while let Next::Frame(found) = reader.next_frame().unwrap() {
        if found.header.kind == Kind::Data {
            let stream = found.header.stream;
            match frames.iter_mut().find(|(id, _)| *id == stream) {
                Some(frame) => frame.1 = found.offset,
                None => frames.push((stream, found.offset)),
            }
        }
    }
    frames.into_iter().map(|(_, offset)| offset).collect()
}

fn flip(path: &Path, at: u64) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, &bytes).unwrap();
    bytes
}

fn aside(segment: &Path) -> PathBuf {
    PathBuf::from(format!("{}.quarantined", segment.display()))
}

#[test]
fn a_spool_damaged_while_its_sender_is_down_ships_what_is_sound_and_says_what_is_not() {
    let mut play = Play::begin();
    play.receiver.kill();
    let mut sender = play.sender(&[]);
    for _ in 0..4 {
        play.log();
    }
    sender.kill();
    let segment = play.scene.spooled().remove(0);
    let bytes = flip(&segment, data(&segment)[1] + 30); // the header of the second part's frame
    let (code, said) = play.verify(&play.scene.path("spool"));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("is damaged from byte"), "{said}");

    play.ship_all_but_the_second_part(&segment, &bytes);
    // A second start does nothing of that again.
    let sender = play.sender(&["--drain-and-exit"]).finish();
    assert_eq!(sender.code, Some(0), "{}", sender.words);
    assert!(!sender.words.contains("quarantined"), "{}", sender.words);
    let names = fs::read_dir(play.scene.path("spool").join(GROUP)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("quarantined")).count(), 1);
}

#[test]
fn a_header_that_is_damaged_further_back_in_a_spool_is_met_by_the_shipper_who_has_the_segment_replaced() {
    let mut play = Play::begin();
    play.receiver.kill();
    let mut sender = play.sender(&["--spool-max", "8MiB"]);
    play.log();
    play.log();
    play.log_bytes(2 << 20); // two segments more
    sender.kill();
    let segment = play.scene.spooled().remove(0);
    let bytes = flip(&segment, data(&segment)[1] + 30); // nothing follows it in its stream that is shipped later
    play.ship_all_but_the_second_part(&segment, &bytes);
}

#[test]
fn a_spool_whose_segment_s_own_header_is_damaged_loses_nothing_and_is_degraded_all_the_same() {
    let mut play = Play::begin();
    play.receiver.kill();
    let mut sender = play.sender(&[]);
    play.log();
    sender.kill();
    let segment = play.scene.spooled().remove(0);
    let bytes = flip(&segment, 20);
    play.receiver.start(&play.scene);
    let sender = play.sender(&["--drain-and-exit"]).finish();
    assert_eq!(sender.code, Some(5), "{}", sender.words);
    assert_eq!(fs::read(aside(&segment)).unwrap(), bytes);
    assert_eq!(play.faults(&play.scene.store()), (true, 1));
    assert_eq!(play.raw(), (Some(0), play.lines()));
    assert_eq!(play.verify(&play.receiver.archive).0, Some(0));
}

#[test]
fn a_body_that_is_damaged_in_a_spool_is_met_by_the_shipper_and_its_segment_is_kept() {
    let mut play = Play::begin();
    play.receiver.kill();
    let mut sender = play.sender(&[]);
    for _ in 0..4 {
        play.log();
    }
    sender.kill();
    sender = play.sender(&[]); // its segment is not the last any more
    play.log();
    let segment = play.scene.spooled().remove(0);
    let bytes = flip(&segment, data(&segment)[2] + HEADER_LEN as u64 + 300);
    play.receiver.start(&play.scene);
    play.scene.wait_acked();
    assert_eq!(fs::read(aside(&segment)).unwrap(), bytes);
    play.assert_all_but_of(2);
    assert_eq!(play.verify(&play.receiver.archive).0, Some(5));
    wait_until("it is recorded", || play.faults(&play.scene.store()) == (true, 1));
    sender.terminate();
}

#[test]
fn what_is_damaged_at_the_end_of_an_archive_is_asked_for_again_and_read_in_its_place() {
    let mut play = Play::begin();
    let _sender = play.sender(&[]);
    for _ in 0..4 {
        play.log();
        play.scene.wait_acked();
    }
    play.receiver.kill();
    let segment = play.receiver.segments().remove(0);
    let bytes = flip(&segment, data(&segment)[1] + HEADER_LEN as u64 + 300);
    let (code, said) = play.verify(&play.receiver.archive);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("it held positions"), "{said}");
    play.receiver.start(&play.scene);
    play.log();
    play.scene.wait_acked();
    wait_until("what was damaged is there again", || play.raw().1 == play.lines());
    assert_eq!(play.raw().0, Some(0));
    let (code, said) = play.verify(&play.receiver.archive);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(fs::read(aside(&segment)).unwrap(), bytes);
    let store = play.scene.path("recv").join("store");
    assert_eq!(play.faults(&store), (true, 1));
}

#[test]
fn a_receiver_goes_on_over_damage_where_files_cannot_be_renamed() {
    let traced = std::process::Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .status();
    if !traced.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: there is no strace here, or it may not trace");
    }
    let mut play = Play::begin();
    let mut sender = play.sender(&[]);
    for _ in 0..4 {
        play.log();
        play.scene.wait_acked();
    }
    play.receiver.kill();
    let segment = play.receiver.segments().remove(0);
    flip(&segment, data(&segment)[1] + HEADER_LEN as u64 + 300);
    let log = play.scene.path("strace");
    let mut strace = words(&[
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        log.to_str().unwrap(),
        "-e",
        "trace=rename,renameat2",
    ]);
    strace.extend(words(&["-e", "inject=rename,renameat2:error=EIO"]));
    play.receiver.start_under(&play.scene, &strace);
    play.log();
    play.scene.wait_acked();
    assert!(play.receiver.process().words().contains("cannot be set aside"));
    play.receiver.kill();
    play.receiver.start(&play.scene);
    play.log();
    play.scene.wait_acked();
    // What was damaged came again, behind what it stood before.
    let found = play.raw().1;
    assert_eq!(found.len(), play.lines().len());
    for part in &play.parts {
        assert!(memchr::memmem::find(&found, part).is_some());
    }
    sender.terminate();
}
