//! The places that an engine keeps on disk, and what a reboot makes of them. A reboot is played: rings go, and the place files
//! that stay are made to name another boot.

use crate::follow_growth::{Following, append, end_in_order};
use crate::scene::{GROUP, Scene, wait_until, words};
use hog::modes::engine::place_file::PlaceFile;
use std::path::PathBuf;

/// The only place file there is, and what it says.
fn place(scene: &Scene) -> Option<(PathBuf, PlaceFile)> {
    let directory = scene.engine_store().join("places").join(GROUP);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some("place".as_ref()))
        .collect();
    let path = files.pop()?;
    assert!(files.is_empty(), "{files:?}");
    let place = PlaceFile::decode(&std::fs::read(&path).ok()?).unwrap();
    Some((path, place))
}

/// Up to where the kept place says that the file was logged.
fn kept(scene: &Scene) -> u64 {
    place(scene).map_or(0, |(_, place)| place.state.current.unwrap().offset)
}

/// Takes the rings away, and makes the place file one of another boot.
fn reboot(scene: &Scene) {
    for ring in scene.rings() {
        std::fs::remove_file(ring).unwrap();
    }
    if let Some((path, mut place)) = place(scene) {
        place.boot = uuid::Uuid::from_u128(7);
        std::fs::write(path, place.encode().unwrap()).unwrap();
    }
}

#[test]
fn after_a_reboot_only_what_was_not_synced_is_logged_again() {
    for more in [&["--follow"][..], &[]] {
        let scene = Scene::new();
        let log = scene.file("app.log", "one\ntwo\n");
        let mut receiver = scene.receiver("recv");
        let mut sender = scene.sender(&[&receiver.address]);
        let mut arguments = scene.engine_arguments(GROUP, &[&log]);
        arguments.extend(words(&["--follow"]));
        let mut engine = scene.start("engine", &arguments);
        wait_until("the place is kept", || kept(&scene) == 8);
        scene.wait_acked();
        // Without a sender nothing is synced: the place on disk stays where it is.
        sender.kill();
        append(&log, "three\n");
        wait_until("it is in the ring", || {
            let (tail, head) = scene.progress();
            tail > head
        });
        end_in_order(engine, 0);
        assert_eq!(kept(&scene), 8);
        reboot(&scene);
        append(&log, "four\n");
        let mut arguments = scene.engine_arguments(GROUP, &[&log]);
        arguments.extend(words(more));
        engine = scene.start("engine", &arguments);
        let sender = scene.sender(&[&receiver.address]);
        wait_until("it arrives", || scene.raw(&receiver.archive).ends_with(b"four\n"));
        assert_eq!(scene.raw(&receiver.archive), b"one\ntwo\nthree\nfour\n");
        assert!(engine.words().contains("from before the reboot"), "{}", engine.words());
        drop((engine, sender));
        receiver.kill();
    }
}

#[test]
fn a_place_is_kept_only_once_the_sender_has_it_on_disk() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    let engine = following.engine(&["app.log"]);
    wait_until("the place is kept", || kept(&following.scene) == 4);
    let (_, place) = place(&following.scene).unwrap();
    let ring = hog_ring::RingReader::open(&following.scene.rings()[0]).unwrap();
    assert_eq!(place.ring, ring.identity().uuid);
    assert!(place.position <= ring.head() && place.position > 0);
    assert_eq!(place.boot, hog_ring::boot_id().unwrap());
    following.end(engine, b"one\n");
}

#[test]
fn within_a_boot_a_place_on_disk_counts_for_nothing() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    let engine = following.engine(&["app.log"]);
    wait_until("the place is kept", || kept(&following.scene) == 4);
    following.end(engine, b"one\n");
    for ring in following.scene.rings() {
        std::fs::remove_file(ring).unwrap();
    }
    // Someone took the ring away: what it had in it may be lost, so the file is logged anew.
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\none\n");
    following.end(engine, b"one\none\n");
}

#[test]
fn a_spoilt_place_is_said_and_not_believed() {
    let following = Following::new();
    let log = following.log("app.log");
    append(&log, "one\n");
    let engine = following.engine(&["app.log"]);
    wait_until("the place is kept", || kept(&following.scene) == 4);
    following.end(engine, b"one\n");
    reboot(&following.scene);
    let (path, _) = place(&following.scene).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let engine = following.engine(&["app.log"]);
    following.wait_for(b"one\none\n");
    assert!(engine.words().contains("is not gone on from"), "{}", engine.words());
    following.end(engine, b"one\none\n");
}

#[test]
fn a_store_that_was_asked_for_must_be_usable_and_the_default_one_need_not() {
    let scene = Scene::new();
    let log = scene.file("app.log", "one\n");
    let no_directory = scene.file("no-directory", "");
    let shm_dir = scene.shm_dir().as_os_str();
    let mut arguments = words(&["engine", "-g", GROUP, "--shm-dir"]);
    arguments.extend([shm_dir, log.as_os_str()]);
    let mut asked = arguments.clone();
    asked.extend(["-m".as_ref(), no_directory.as_os_str()]);
    let finished = scene.run("engine", &asked);
    assert_eq!(finished.code, Some(1), "{}", finished.words);
    assert!(finished.words.contains("no-directory"), "{}", finished.words);
    assert!(scene.rings().is_empty());
    let default_store = format!("HOBBES_STORE_DIR={}", no_directory.display());
    let default = scene
        .start_under(&words(&["env", &default_store]), "engine", &arguments)
        .finish();
    assert_eq!(default.code, Some(0), "{}", default.words);
    assert_eq!(default.words.matches("after a reboot").count(), 1, "{}", default.words);
    assert_eq!(scene.rings().len(), 1);
}
