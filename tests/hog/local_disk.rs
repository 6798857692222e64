//! What the disk below a local does: it fills up, its syncs fail, a day on it ends.

use crate::arrived::{assert_equal, segments};
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words, words_of};
use crate::small_disk::SmallDisk;
use hog::formats::table::Table;
use hog::seglog::reader::{Head, Next, SegmentReader};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;
use std::process::Command;

const NAME: &str = "recv";

fn start_on(scene: &Scene, archive: &Path) -> Process {
    let mut arguments: Vec<OsString> = ["local", "-g", GROUP, "-d"].map(OsString::from).into();
    arguments.push(archive.join("$GROUP").into());
    arguments.extend(["-m".into(), scene.local_store().into()]);
    arguments.extend(["--shm-dir".into(), scene.shm_dir().into()]);
    scene.start("local", &words_of(&arguments))
}

#[test]
fn a_full_disk_makes_producers_wait_is_said_once_and_room_lets_all_go_on() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("disk"), 16) else {
        return;
    };
    let bytes = scene.lines(6 << 20);
    let input = scene.file("input.log", &bytes);
    let filling = disk.fill_but(2 << 20);
    let archive = scene.path("disk").join("archive");
    let local = start_on(&scene, &archive);
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.extend(words(&["--ring-size", "64KiB"]));
    let mut engine = scene.start("engine", &arguments);
    let complaints = |process: &Process| process.words().matches("takes nothing").count();
    wait_until("the disk is full", || complaints(&local) == 1);
    let (tail, head) = scene.progress();
    assert!(tail > head && engine.is_running());
    filling.remove();
    engine.succeed();
    scene.wait_stored();
    assert_eq!(complaints(&local), 1, "{}", local.words());
    scene.assert_stored(&archive, &bytes);
}

#[test]
fn a_local_that_starts_on_a_full_disk_waits_for_room() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("disk"), 4) else {
        return;
    };
    let bytes = scene.lines(100_000);
    scene.log(&[&scene.file("input.log", &bytes)]);
    let archive = scene.path("disk").join("archive");
    // The directories and the lock file are there from an earlier run; not a block is left for a segment.
    std::fs::create_dir_all(archive.join(GROUP)).unwrap();
    std::fs::write(archive.join("lock"), format!("{:<31}\n", 1)).unwrap();
    let filling = disk.fill_but(0);
    let mut local = start_on(&scene, &archive);
    wait_until("it says what it waits for", || {
        assert!(local.is_running(), "{}", local.words());
        local.words().contains("waiting for room")
    });
    filling.remove();
    scene.wait_stored();
    scene.assert_stored(&archive, &bytes);
}

/// Has every sync of a file by `process` fail from now on, as long as what it returns lives. `None`, and a word why, where
/// that cannot be done.
fn fail_syncs_of(process: &Process, scene: &Scene) -> Option<Ended> {
    let words = scene.path("strace.stderr");
    let pid = process.pid().to_string();
    let started = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-p", &pid])
        .args(["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1+"])
        .stderr(File::create(&words).unwrap())
        .spawn();
    let Ok(child) = started else {
        eprintln!("skipped: strace is not installed");
        return None;
    };
    let mut strace = Ended(child);
    let mut is_over = false;
    wait_until("strace is attached", || {
        is_over = strace.0.try_wait().unwrap().is_some();
        is_over || std::fs::read_to_string(&words).unwrap().contains("attached")
    });
    if is_over {
        eprintln!("skipped: strace may not trace here");
        return None;
    }
    Some(strace)
}

#[test]
fn what_a_failed_sync_leaves_in_doubt_is_written_to_a_new_segment() {
    let scene = Scene::new();
    let mut bytes = scene.lines(400_000);
    scene.log(&[&scene.file("input.log", &bytes)]);
    let mut local = scene.local(NAME);
    scene.wait_stored();
    let directory = scene.archive(NAME).join(GROUP);
    let first = segments(&directory).remove(0);
    let Some(failing) = fail_syncs_of(&local, &scene) else {
        return;
    };
    let more = scene.lines(3 << 20);
    let engine = scene.engine(&[&scene.file("more.log", &more)]); // it waits where the sync fails before all is drained
    bytes.extend(more);
    wait_until("a sync has failed, and that of the new segment", || {
        local.words().contains("cannot sync") && local.words().contains("trying again")
    });
    let status = scene.status_in(&scene.local_store()).unwrap();
    assert!(status["unacked_bytes"].as_u64() > Some(0), "{status}");
    drop(failing);
    engine.succeed();
    wait_until("what was not synced is in a new segment", || {
        segments(&directory).len() > 1
    });
    scene.wait_stored();
    local.terminate();
    let said = local.words();
    local.succeed();
    assert_eq!(said.matches("cannot sync").count(), 2, "{said}");
    assert_equal(&scene.raw(&scene.archive(NAME)), &bytes);
    scene.verify(&scene.archive(NAME));
    // What the disk was not known to hold of the failed one may be lost with the power: it is in the next, whole.
    let second = &segments(&directory)[1];
    let table = match SegmentReader::open(second).unwrap().checkpoint().unwrap() {
        Head::Whole(table) => table,
        other => panic!("{other:?}"),
    };
    let file = File::options().write(true).open(&first).unwrap();
    file.set_len(end_of(&first, &table)).unwrap();
    assert_equal(&scene.raw(&scene.archive(NAME)), &bytes);
    scene.verify(&scene.archive(NAME));
}

/// Offset of the first frame in `segment` of which `table` does not know.
fn end_of(segment: &Path, table: &Table) -> u64 {
    let mut reader = SegmentReader::open(segment).unwrap();
    reader.checkpoint().unwrap();
    loop {
        let Next::Frame(found) = reader.next_frame().unwrap() else {
            panic!("the table knows all of it");
        };
        let known = table.streams.get(&found.header.stream).map_or(0, |stream| stream.end);
        if found.header.kind.takes_positions() && found.header.start >= known {
            return found.offset;
        }
    }
}

/// A `TZ` in which it is `seconds` before midnight now.
fn zone_before_midnight(seconds: u64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let ahead = (86_400 - seconds + 86_400 - now % 86_400) % 86_400;
    // POSIX counts westward: what is added to local time to get UTC. Beyond a day it may not go.
    let (sign, offset) = if ahead <= 43_200 {
        ("-", ahead)
    } else {
        ("", 86_400 - ahead)
    };
    format!("HOG{sign}{}:{:02}:{:02}", offset / 3600, offset / 60 % 60, offset % 60)
}

#[test]
fn a_new_day_begins_a_new_directory_though_nothing_is_logged() {
    let scene = Scene::new();
    scene.log(&[&scene.file("input.log", b"yesterday\n")]);
    let archive = scene.path("archive");
    let store = scene.local_store();
    let mut arguments = words(&["local", "-g", GROUP, "-d"]);
    arguments.extend([archive.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
    arguments.extend([OsStr::new("--shm-dir"), scene.shm_dir().as_os_str()]);
    let child = Command::new(env!("CARGO_BIN_EXE_hog"))
        .args(&arguments)
        .env("TZ", zone_before_midnight(6))
        .stderr(File::create(scene.path("local.stderr")).unwrap())
        .spawn()
        .unwrap();
    let mut local = Ended(child);
    let days = || {
        let entries = std::fs::read_dir(archive.join(GROUP)).into_iter().flatten();
        let mut days: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        days.sort();
        days
    };
    scene.wait_stored();
    wait_until("the next day has a directory", || days().len() == 2);
    wait_until("and a segment in it", || !segments(&days()[1]).is_empty());
    scene.log(&[&scene.file("later.log", b"today\n")]);
    scene.wait_stored();
    assert!(local.0.try_wait().unwrap().is_none());
    assert_equal(&scene.raw(&days()[0]), b"yesterday\n");
    assert_equal(&scene.raw(&days()[1]), b"today\n");
    scene.verify(&archive);
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
