//! Places that cannot be used: ports, hosts, stores, spools, archives and rings. A role that is refused has made nothing, anywhere.

use super::mounts::run_mounted;
use crate::roles::Finished;
use crate::scene::{GROUP, Scene, wait_until, words};
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Runs a receiver that listens on `address`, with its store and archive at these places.
fn receiver(scene: &Scene, address: &str, store: &Path, archive: &Path) -> Finished {
    let pattern = archive.join("$GROUP");
    let mut arguments = words(&["-qq", "batchrecv", "--listen", address, "-d"]);
    arguments.extend([pattern.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
    scene.run("batchrecv", &arguments)
}

/// The command line of a sender to nobody, with its store and spool at these places.
fn sender<'a>(scene: &'a Scene, store: &'a Path, spool: &'a Path) -> Vec<&'a OsStr> {
    let mut arguments = words(&["-qq", "batchsend", "-g", GROUP, "--to", "127.0.0.1:9", "-d"]);
    arguments.extend([spool.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
    arguments.extend([OsStr::new("--shm-dir"), scene.shm_dir().as_os_str()]);
    arguments
}

/// That there is nothing at any of these places, and that nobody made a directory of rings.
fn assert_nothing_made(scene: &Scene, places: &[&Path]) {
    for place in places {
        assert!(!place.exists(), "{} was made", place.display());
    }
    assert!(!scene.has_rings_directory(), "a directory of rings was made");
}

#[test]
fn an_address_that_cannot_be_had_ends_the_receiver() {
    let scene = Scene::new();
    let (store, archive) = (scene.path("store"), scene.path("archive"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    receiver(&scene, &taken, &store, &archive).assert_refused(1, &["listen", &taken, "Address already in use"]);
    receiver(&scene, "no-such-host.invalid:0", &store, &archive).assert_refused(1, &["listen", "no-such-host.invalid"]);
    // Kept for documentation: no host has it.
    receiver(&scene, "192.0.2.1:0", &store, &archive)
        .assert_refused(1, &["listen", "192.0.2.1", "Cannot assign requested address"]);
    assert_nothing_made(&scene, &[&store, &archive]);
}

#[test]
fn a_host_that_does_not_resolve_is_tried_again_and_spoken_of_once() {
    let scene = Scene::new();
    let host = "no-such-host.invalid:7070";
    let bytes = scene.lines(1 << 16);
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[host, &receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_until("the other destination has all", || {
        scene.unacked_by(&receiver.address) == Some(0)
    });
    wait_until("the host is spoken of", || sender.words().contains(host));
    // By then it was tried at least four times more.
    let enough = Instant::now() + Duration::from_secs(2);
    wait_until("it was tried again", || Instant::now() > enough);
    let words = sender.words();
    let said: Vec<&str> = words.lines().filter(|line| line.contains(host)).collect();
    assert!(said.len() == 1 && said[0].contains("WARN"), "{said:?}");
    assert!(sender.is_running() && scene.unacked_by(host).is_some_and(|bytes| bytes > 0));
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn directories_that_are_missing_are_made() {
    let scene = Scene::new();
    let (store, spool) = (scene.path("a/b/store"), scene.path("c/d/spool"));
    let mut running = scene.start("batchsend", &sender(&scene, &store, &spool));
    wait_until("store and spool are made", || {
        store.join("hogstat.db").exists() && spool.join(GROUP).join("lock").exists()
    });
    assert!(running.is_running());
}

#[test]
fn a_directory_that_is_none_ends_the_role_before_it_makes_another() {
    let scene = Scene::new();
    let (file, other) = (scene.file("file", b"no directory"), scene.path("other"));
    let below = file.join("below");
    for place in [&file, &below] {
        let name = file.to_str().unwrap();
        receiver(&scene, "127.0.0.1:0", place, &other).assert_refused(1, &[name, "not a directory"]);
        receiver(&scene, "127.0.0.1:0", &other, place).assert_refused(1, &[name, "not a directory"]);
        scene
            .run("batchsend", &sender(&scene, place, &other))
            .assert_refused(1, &[name, "not a directory"]);
        scene
            .run("batchsend", &sender(&scene, &other, place))
            .assert_refused(1, &[name, "not a directory"]);
    }
    assert_nothing_made(&scene, &[&other]);
    assert_eq!(std::fs::read(&file).unwrap(), b"no directory");
}

#[test]
fn a_read_only_directory_ends_the_role_before_it_makes_another() {
    let scene = Scene::new();
    let (locked, other) = (scene.path("read-only"), scene.path("other"));
    std::fs::create_dir(&locked).unwrap();
    let (name, reason) = (locked.to_str().unwrap(), "Read-only file system");
    let refused = |arguments: &[&OsStr]| {
        let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1""#;
        let finished = run_mounted(&scene, &locked, script, arguments);
        finished
            .map(|(finished, _)| finished.assert_refused(1, &[name, reason]))
            .is_some()
    };
    for place in [&locked, &locked.join("deeper")] {
        if !refused(&sender(&scene, place, &other)) || !refused(&sender(&scene, &other, place)) {
            return;
        }
        let pattern = |directory: &PathBuf| directory.join("$GROUP");
        let receive = |store: &PathBuf, archive: &PathBuf| {
            let archive = pattern(archive);
            let mut arguments = words(&["-qq", "batchrecv", "--listen", "127.0.0.1:0", "-d"]);
            arguments.extend([archive.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
            refused(&arguments)
        };
        assert!(receive(place, &other) && receive(&other, place));
    }
    assert_nothing_made(&scene, &[&other]);
    assert_eq!(std::fs::read_dir(&locked).unwrap().count(), 0);
}

#[test]
fn a_sender_whose_rings_would_not_be_on_tmpfs_makes_nothing() {
    let scene = Scene::new();
    let (store, spool) = (scene.path("store"), scene.path("spool"));
    let mut arguments = words(&[
        "-qq",
        "batchsend",
        "-g",
        GROUP,
        "--to",
        "127.0.0.1:9",
        "--shm-dir",
        "/proc",
        "-d",
    ]);
    arguments.extend([spool.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
    scene
        .run("batchsend", &arguments)
        .assert_refused(6, &["/proc", "tmpfs"]);
    arguments[7] = OsStr::new("/no/such/directory");
    scene
        .run("batchsend", &arguments)
        .assert_refused(1, &["/no/such/directory", "No such file"]);
    let mut arguments = words(&["-qq", "engine", "-g", GROUP, "--shm-dir", "/no/such/directory"]);
    let input = scene.file("input.log", b"line\n");
    arguments.push(input.as_os_str());
    scene
        .run("engine", &arguments)
        .assert_refused(1, &["/no/such/directory", "No such file"]);
    assert_nothing_made(&scene, &[&store, &spool]);
}

#[test]
fn rings_that_find_no_room_end_the_engine_and_leave_no_file() {
    let scene = Scene::new();
    let (mount, input) = (scene.path("small"), scene.file("input.log", b"line\n"));
    std::fs::create_dir(&mount).unwrap();
    let mut arguments = words(&["-qq", "engine", "-g", GROUP, "--shm-dir"]);
    arguments.extend([mount.as_os_str(), input.as_os_str()]);
    let Some((finished, left)) = run_mounted(&scene, &mount, r#"mount -t tmpfs -o size=256k tmpfs "$1""#, &arguments)
    else {
        return;
    };
    finished.assert_refused(1, &[mount.to_str().unwrap(), "no room for a ring of"]);
    let files: Vec<&String> = left
        .iter()
        .filter(|name| name.contains(".ring") || name.contains(".new"))
        .collect();
    assert!(files.is_empty(), "{files:?}");
}
