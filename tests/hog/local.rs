//! One host: rings straight to an archive, under the same promise and the same locks as with a network in between.

use crate::arrived::{assert_equal, assert_stored_once, segments};
use crate::groups::log_to_two_groups;
use crate::roles::{Finished, Process};
use crate::scene::{GROUP, Scene, wait_until, words, words_of};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where locals keep what they keep.
const NAME: &str = "recv";

fn engine(scene: &Scene, input: &Path, ring_size: &str) -> Process {
    let mut arguments = scene.engine_arguments(GROUP, &[input]);
    arguments.extend(words(&["--ring-size", ring_size]));
    scene.start("engine", &arguments)
}

#[test]
fn what_an_engine_logs_is_in_the_archive_of_this_host() {
    let scene = Scene::new();
    let bytes = scene.lines(6 << 20);
    let input = scene.file("input.log", &bytes);
    let mut local = scene.local(NAME);
    scene.log(&[&input]);
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), &bytes);
    let status = scene.status_in(&scene.local_store()).unwrap();
    let group = &status["groups"][0];
    let directory = scene.archive(NAME).join(GROUP);
    assert_eq!(status["running"], local.pid().to_string());
    assert_eq!(status["sessions"][0]["role"], "local");
    assert_eq!(group["archive"], directory.to_str().unwrap());
    assert_eq!(group["destinations"].as_array().map(Vec::len), Some(0), "{group}");
    assert!(group["spool"].is_null());
    local.terminate();
    local.succeed();
    scene.assert_stored(&scene.archive(NAME), &bytes);
}

/// Kills the local, and perhaps the engine, at twenty positions of each of two files.
fn survive_kills(with_engine: bool) {
    for ring_size in ["64KiB", "1MiB"] {
        let scene = Scene::new();
        let size = scene.draw(|chance| chance.usize(3 << 20..7 << 20));
        let bytes = scene.lines(size);
        let input = scene.file("input.log", &bytes);
        let mut moments: Vec<u64> = (0..20)
            .map(|_| scene.draw(|chance| chance.u64(..bytes.len() as u64)))
            .collect();
        moments.sort_unstable();
        let mut local = scene.local(NAME);
        let mut logging = engine(&scene, &input, ring_size);
        for moment in moments {
            wait_until("the drainer gets on", || {
                scene.progress().1 >= moment || !logging.is_running()
            });
            spin(scene.draw(|chance| chance.u64(..4000)));
            local.kill();
            if with_engine {
                logging.kill();
                logging = engine(&scene, &input, ring_size);
            }
            local = scene.local(NAME);
        }
        logging.succeed();
        // One more, after a clean end: it has nothing to add.
        scene.log(&[&input]);
        scene.wait_stored();
        scene.assert_stored(&scene.archive(NAME), &bytes);
    }
}

/// Microseconds are shorter than what sleeping can tell apart.
fn spin(microseconds: u64) {
    let until = Instant::now() + Duration::from_micros(microseconds);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

#[test]
fn local_killed_at_random_moments_loses_and_doubles_nothing() {
    survive_kills(false);
}

#[test]
fn engine_and_local_killed_together_lose_and_double_nothing() {
    survive_kills(true);
}

#[test]
fn run_after_run_is_in_the_archive_in_order_though_local_is_killed() {
    let scene = Scene::new();
    let mut expected = Vec::new();
    let mut local = scene.local(NAME);
    for run in 0..12 {
        let bytes = format!("{}\n", "x".repeat(run)).repeat(500).into_bytes();
        scene.pipe(&scene.file("piped", &bytes)).succeed();
        expected.extend(bytes);
        if run % 3 == 0 {
            local.kill();
            local = scene.local(NAME);
        }
    }
    wait_until("every ring is gone", || scene.rings().is_empty());
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), &expected);
    let (streams, _) = scene.verify(&scene.archive(NAME));
    assert!(
        streams.len() == 12 && streams.iter().all(|stream| stream["ended"] == true),
        "{streams:?}"
    );
}

#[test]
fn two_groups_of_one_local_do_not_mix() {
    let scene = Scene::new();
    let _local = scene.start("local", &words_of(&scene.local_arguments(&["web", "db"], NAME, &[])));
    let logs = log_to_two_groups(&scene);
    wait_until("the local knows both groups", || {
        let status = scene.status_in(&scene.local_store());
        status.is_some_and(|status| status["groups"].as_array().unwrap().len() == 2)
    });
    scene.wait_stored();
    for (group, bytes) in logs {
        assert_equal(&scene.raw(&scene.archive(NAME).join(group)), &bytes);
    }
    scene.verify(&scene.archive(NAME));
}

/// Offset of the head in a ring's file: `docs/FORMATS.md`, section 1.
const HEAD_AT: u64 = 512;

#[test]
fn a_local_that_was_killed_between_append_and_advance_appends_nothing_twice() {
    let scene = Scene::new();
    // All of it fits into the ring, and so is still there when the head goes back.
    let bytes = scene.lines(400_000);
    let input = scene.file("input.log", &bytes);
    let mut local = scene.local(NAME);
    scene.log(&[&input]);
    let (tail, _) = scene.progress();
    wait_until("the ring is drained", || scene.progress().1 == tail);
    let ring = File::options().write(true).open(&scene.rings()[0]).unwrap();
    for kept in [0, 2, 4] {
        local.kill();
        ring.write_all_at(&(tail * kept / 4 / 8 * 8).to_le_bytes(), HEAD_AT)
            .unwrap();
        local = scene.local(NAME);
        wait_until("the head is where it was", || scene.progress() == (tail, tail));
    }
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), &bytes);
}

#[test]
fn a_local_that_was_killed_between_end_and_unlink_only_unlinks() {
    let scene = Scene::new();
    let bytes = scene.lines(400_000);
    scene.pipe(&scene.file("piped", &bytes)).succeed();
    let (ring, again) = (scene.rings().remove(0), scene.shm_dir().join("again"));
    std::fs::hard_link(&ring, &again).unwrap();
    let mut local = scene.local(NAME);
    for _ in 0..3 {
        wait_until("the ring is gone", || scene.rings().is_empty());
        local.kill();
        std::fs::hard_link(&again, &ring).unwrap();
        local = scene.local(NAME);
    }
    wait_until("the ring is gone", || scene.rings().is_empty());
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), &bytes);
    let (streams, _) = scene.verify(&scene.archive(NAME));
    assert!(streams.len() == 1 && streams[0]["ended"] == true, "{streams:?}");
}

#[test]
fn a_dead_ring_that_was_drained_before_local_was_killed_is_ended_by_the_next() {
    let scene = Scene::new();
    let bytes = scene.lines(4 << 20);
    let input = scene.file("piped", &bytes);
    // It blocks once the ring is full, and is killed while nobody looks.
    let mut engine = scene.pipe(&input);
    wait_until("the ring is full", || scene.progress().0 > 500_000);
    let mut local = scene.local(NAME);
    wait_until("some of it is drained", || scene.progress().1 > 500_000);
    local.kill();
    engine.kill();
    let _local = scene.local(NAME);
    wait_until("the ring is gone", || scene.rings().is_empty());
    scene.wait_stored();
    let raw = scene.raw(&scene.archive(NAME));
    assert!(bytes.starts_with(&raw) && raw.ends_with(b"\n"), "{} bytes", raw.len());
    let (streams, _) = scene.verify(&scene.archive(NAME));
    assert!(streams.len() == 1 && streams[0]["ended"] == true, "{streams:?}");
}

#[test]
fn drain_and_exit_ends_a_local_when_all_that_was_there_is_synced() {
    let scene = Scene::new();
    let bytes = scene.lines(400_000);
    scene.log(&[&scene.file("input.log", &bytes)]);
    let arguments = scene.local_arguments(&[GROUP], NAME, &["--drain-and-exit"]);
    scene.start("local", &words_of(&arguments)).succeed();
    let status = scene.status_in(&scene.local_store()).unwrap();
    assert_eq!(
        (&status["unacked_bytes"], &status["running"]),
        (&0.into(), &serde_json::Value::Null)
    );
    scene.assert_stored(&scene.archive(NAME), &bytes);
}

#[test]
fn local_ends_within_five_seconds_of_sigterm_while_programs_log_on() {
    let scene = Scene::new();
    let bytes = scene.lines(8 << 20);
    let input = scene.file("input.log", &bytes);
    let mut local = scene.local(NAME);
    let logging = engine(&scene, &input, "64KiB");
    wait_until("some of it is drained", || scene.progress().1 > 1 << 20);
    let asked = Instant::now();
    local.terminate();
    local.succeed();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let _local = scene.local(NAME);
    logging.succeed();
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), &bytes);
}

fn assert_refused(finished: &Finished, code: i32, word: &str) {
    assert_eq!(finished.code, Some(code), "{}", finished.words);
    assert!(finished.words.contains(word), "no {word:?} in {:?}", finished.words);
}

/// Runs a local with these directories.
fn run_local(scene: &Scene, archive: &Path, store: &Path, rings: &Path) -> Finished {
    let mut arguments: Vec<OsString> = ["local", "-g", GROUP, "-d"].map(OsString::from).into();
    arguments.extend([
        archive.into(),
        "-m".into(),
        store.into(),
        "--shm-dir".into(),
        rings.into(),
    ]);
    scene.run("second", &words_of(&arguments))
}

/// All that is below `directory`, and when it was changed.
fn everything_below(directory: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            all.extend(everything_below(&path));
        }
        all.push((path, metadata.modified().unwrap()));
    }
    all.sort();
    all
}

#[test]
fn a_second_local_names_the_first_whatever_they_share_and_leaves_no_trace() {
    let scene = Scene::new();
    let mut first = scene.local(NAME);
    wait_until("the first has all its locks", || {
        scene.status_in(&scene.local_store()).is_some() && !segments(&scene.archive(NAME).join(GROUP)).is_empty()
    });
    let pid = first.pid().to_string();
    let rings = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let (archive, store) = (scene.archive(NAME).join("$GROUP"), scene.local_store());
    let (other, other_store) = (scene.archive("other").join("$GROUP"), scene.path("other-store"));
    for (archive, store, rings) in [
        (&archive, &other_store, rings.path()),
        (&other, &store, rings.path()),
        (&other, &other_store, scene.shm_dir()),
    ] {
        assert_refused(&run_local(&scene, archive, store, rings), 3, &pid);
        assert!(
            everything_below(rings.parent().unwrap().join(rings.file_name().unwrap()).as_path()).is_empty()
                || rings == scene.shm_dir()
        );
        assert!(!scene.archive("other").exists() && !other_store.exists());
    }
    assert!(first.is_running());
}

#[test]
fn local_and_batchsend_refuse_each_other_the_rings() {
    let scene = Scene::new();
    let mut local = scene.local(NAME);
    wait_until("local has the rings", || {
        scene.status_in(&scene.local_store()).is_some()
    });
    let refused = scene.sender(&["127.0.0.1:9"]).finish();
    assert_refused(&refused, 3, &local.pid().to_string());
    local.kill();
    let sender = scene.sender(&["127.0.0.1:9"]);
    wait_until("the sender has the rings", || scene.status().is_some());
    let refused = run_local(&scene, &scene.archive("b"), &scene.path("store-b"), scene.shm_dir());
    assert_refused(&refused, 3, &sender.pid().to_string());
}

#[test]
fn local_and_batchrecv_refuse_each_other_the_archive() {
    let scene = Scene::new();
    let mut receiver = scene.receiver(NAME);
    let refused = scene.local(NAME).finish();
    assert_refused(&refused, 3, &receiver.process().pid().to_string());
    receiver.kill();
    let local = scene.local(NAME);
    wait_until("local has the archive", || {
        scene.status_in(&scene.local_store()).is_some()
    });
    let archive = receiver.archive.join("$GROUP");
    let mut arguments = words(&["batchrecv", "--listen", "127.0.0.1:0", "-m"]);
    let store = scene.path("store-c");
    arguments.extend([store.as_os_str(), "-d".as_ref(), archive.as_os_str()]);
    assert_refused(&scene.run("second", &arguments), 3, &local.pid().to_string());
}

#[test]
fn a_local_that_makes_no_sense_is_refused() {
    let scene = Scene::new();
    for (line, code) in [
        (&["local"][..], 2),
        (&["local", "-g", ".web"], 2),
        (&["local", "-g", "web", "-d", "/nowhere/$DATE"], 2),
        (&["local", "-g", "web", "--sync", "soon"], 2),
        (&["local", "-g", "lock", "-d", "/nowhere/a"], 2),
    ] {
        let mut arguments = words(line);
        arguments.extend(["--shm-dir".as_ref(), scene.shm_dir().as_os_str()]);
        let finished = scene.run("hog", &arguments);
        assert_eq!(finished.code, Some(code), "{line:?}: {}", finished.words);
        assert!(finished.output.is_empty() && !finished.words.is_empty(), "{line:?}");
    }
}

#[test]
fn a_local_whose_places_cannot_be_used_makes_nothing() {
    let scene = Scene::new();
    let (archive, store, file) = (scene.path("a"), scene.path("b"), scene.file("file", b""));
    for (archive, store, rings, code, word) in [
        (Path::new("/proc/a"), store.as_path(), scene.shm_dir(), 1, "/proc"),
        (&file, &store, scene.shm_dir(), 1, "not a directory"),
        (&archive, &file, scene.shm_dir(), 1, "not a directory"),
        (&archive, &store, Path::new("/proc"), 6, "/proc"),
    ] {
        let finished = run_local(&scene, archive, store, rings);
        assert_refused(&finished, code, word);
        assert_eq!(finished.words.lines().count(), 1, "{}", finished.words);
        assert!(!scene.path("a").exists() && !scene.path("b").exists() && !scene.has_rings_directory());
    }
}

#[test]
fn a_damaged_archive_is_gone_on_with_and_costs_what_is_damaged_alone() {
    let scene = Scene::new();
    let (first, more, last) = (scene.lines(100_000), scene.lines(400_000), scene.lines(100_000));
    let input = scene.file("input.log", &first);
    let mut local = scene.local(NAME);
    scene.log(&[&input]);
    scene.wait_stored();
    let segment = segments(&scene.archive(NAME).join(GROUP)).remove(0);
    let end_of_first = std::fs::metadata(&segment).unwrap().len();
    // Each of these knows of those before that they are on the disk.
    let parts = more.split_at(200_000);
    for part in [parts.0, parts.1] {
        let mut file = File::options().append(true).open(&input).unwrap();
        std::io::Write::write_all(&mut file, part).unwrap();
        scene.log(&[&input]);
        scene.wait_stored();
    }
    local.kill();
    let file = File::options().write(true).open(&segment).unwrap();
    file.write_all_at(b"damage", end_of_first - 1000).unwrap();

    let mut local = scene.local(NAME);
    scene.log(&[&scene.file("last.log", &last)]);
    scene.wait_stored();
    let status = scene.status_in(&scene.local_store()).unwrap();
    assert!(
        status["faults"].to_string().contains("was set aside as *.quarantined"),
        "{status}"
    );
    assert_eq!(status["is_degraded"], true);
    local.terminate();
    local.succeed();
    let mut cat = words(&["cat", "--format", "raw"]);
    let archive = scene.archive(NAME);
    cat.push(archive.as_os_str());
    let found = scene.run("cat", &cat);
    assert_eq!(found.code, Some(0), "{}", found.words);
    assert!(found.words.contains("damaged in the archive"), "{}", found.words);
    let aside = format!("{}.quarantined", segment.display());
    assert!(
        std::fs::read(aside).unwrap()[..]
            .windows(6)
            .any(|bytes| bytes == b"damage")
    );
    let rest = [more, last].concat();
    assert!(
        found.output.ends_with(&rest),
        "{} bytes of {}",
        found.output.len(),
        rest.len()
    );
    assert!(first.starts_with(&found.output[..found.output.len() - rest.len()]));
}

#[test]
fn an_archive_forgets_the_streams_of_rings_that_ended_once_it_rolls() {
    let scene = Scene::new();
    let _local = scene.local(NAME);
    scene.pipe(&scene.file("piped", b"ended\n")).succeed();
    wait_until("the ring is gone", || scene.rings().is_empty());
    // More than a segment, so that a checkpoint is written while local runs.
    let mut line = vec![b'x'; 1 << 20];
    *line.last_mut().unwrap() = b'\n';
    let filling = line.repeat(66);
    scene.log(&[&scene.file("filling.log", &filling)]);
    scene.wait_stored();
    let stored = segments(&scene.archive(NAME).join(GROUP));
    assert_eq!(stored.len(), 2, "{stored:?}");
    assert_stored_once(&stored);
    let table = |segment: &Path| {
        let mut reader = hog::seglog::reader::SegmentReader::open(segment).unwrap();
        match reader.checkpoint().unwrap() {
            hog::seglog::reader::Head::Whole(table) => table,
            other => panic!("{other:?}"),
        }
    };
    let last = table(&stored[1]);
    assert_eq!(last.streams.len(), 1, "of the file alone, whose ring is kept");
    assert_eq!(last.senders.len(), 1, "itself");
    assert!(
        last.streams
            .values()
            .all(|stream| last.senders.contains_key(&stream.sender))
    );
    assert_equal(&scene.raw(&scene.archive(NAME)), &[&b"ended\n"[..], &filling].concat());
}
