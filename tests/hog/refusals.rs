//! What hog refuses to do, and with which status: two of one kind, rings on a disk, what is no archive. Bad input besides is in `bad_input`.

use crate::scene::{GROUP, Scene, wait_until, words};
use std::ffi::OsStr;
use std::path::Path;

#[test]
fn a_second_sender_names_the_first_whatever_they_share() {
    let scene = Scene::new();
    let sender = scene.sender(&["127.0.0.1:9"]);
    wait_until("the sender has its store, rings and spool", || {
        scene.status().is_some() && !scene.spooled().is_empty()
    });
    let first = sender.pid().to_string();
    let own = |name: &str| scene.path(name).into_os_string();
    let (spool, store, rings) = (
        scene.path("spool").into_os_string(),
        scene.store().into_os_string(),
        scene.shm_dir(),
    );
    let elsewhere = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let second = |spool: &OsStr, store: &OsStr, rings: &Path| {
        let mut arguments = words(&["batchsend", "-g", GROUP, "--to", "127.0.0.1:9", "-d"]);
        arguments.extend([
            spool,
            OsStr::new("-m"),
            store,
            OsStr::new("--shm-dir"),
            rings.as_os_str(),
        ]);
        scene.run("second", &arguments)
    };
    second(&own("spool-b"), &store, elsewhere.path()).assert_refused(3, &[&first]);
    second(&own("spool-c"), &own("store-c"), rings).assert_refused(3, &[&first]);
    second(&spool, &own("store-d"), elsewhere.path()).assert_refused(3, &[&first]);
}

#[test]
fn a_second_receiver_names_the_first_whatever_they_share() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let first = receiver.process().pid().to_string();
    let (archive, store) = (receiver.archive.join("$GROUP"), scene.path("recv").join("store"));
    let second = |archive: &Path, store: &Path| {
        let mut arguments = words(&["batchrecv", "--listen", "127.0.0.1:0", "-d"]);
        arguments.extend([archive.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
        scene.run("second", &arguments)
    };
    second(&archive, &scene.path("store-b")).assert_refused(3, &[&first]);
    second(&scene.path("archive-b").join("$GROUP"), &store).assert_refused(3, &[&first]);
}

#[test]
fn an_engine_is_refused_where_no_tmpfs_is() {
    let scene = Scene::new();
    let input = scene.file("input.log", b"line\n");
    let mut engine = words(&["engine", "-g", GROUP, "--shm-dir", "/proc"]);
    engine.push(input.as_os_str());
    scene.run("engine", &engine).assert_refused(6, &["/proc"]);
}

#[test]
fn an_engine_that_must_resume_refuses_to_begin_anew() {
    let scene = Scene::new();
    let input = scene.file("input.log", b"line\n");
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.extend(words(&["--resume", "require"]));
    scene.run("engine", &arguments).assert_refused(4, &["resume"]);
    scene.log(&[&input]);
    assert_eq!(scene.run("engine", &arguments).code, Some(0));
}

#[test]
fn status_of_nothing_is_not_running() {
    let scene = Scene::new();
    let store = scene.store();
    let mut arguments = words(&["status", "-m"]);
    arguments.push(store.as_os_str());
    scene.run("status", &arguments).assert_refused(3, &["store"]);
}

#[test]
fn status_of_a_killed_sender_is_printed_and_says_that_it_does_not_run() {
    let scene = Scene::new();
    let mut sender = scene.sender(&["127.0.0.1:9"]);
    let mut running = None;
    wait_until("the sender runs", || {
        running = scene.status();
        running.is_some()
    });
    assert_eq!(running.unwrap()["running"], sender.pid().to_string());
    sender.kill();
    let status = scene.status().unwrap();
    for member in [
        "unacked_bytes",
        "dropped_records",
        "groups",
        "sessions",
        "regions",
        "faults",
    ] {
        assert!(
            status.get(member).is_some_and(|value| !value.is_null()),
            "no {member} in {status}"
        );
    }
    assert!(status["running"].is_null());
    assert_eq!(status["groups"][0]["destinations"][0]["address"], "127.0.0.1:9");
}

#[test]
fn what_is_no_archive_is_not_printed() {
    let scene = Scene::new();
    let (empty, foreign) = (
        scene.file("empty.hog", b""),
        scene.file("foreign.hog", b"something else\n".repeat(100)),
    );
    for mode in ["cat", "verify"] {
        let run = |path: &Path| scene.run(mode, &[OsStr::new(mode), path.as_os_str()]);
        assert_eq!(run(&scene.path("missing")).code, Some(1), "{mode}");
        assert_eq!(run(&empty).code, Some(4), "{mode}");
        assert_eq!(run(&foreign).code, Some(4), "{mode}");
    }
}
