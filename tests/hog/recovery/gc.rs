//! `hog gc`: nothing that is not delivered goes, and what somebody may come for only by force.

use crate::roles::Finished;
use crate::scene::{Scene, wait_until, words};

impl Scene {
    fn gc(&self, arguments: &[&str]) -> Finished {
        let (store, mut all) = (self.store(), words(&["gc"]));
        all.extend(words(arguments));
        all.extend([
            "-m".as_ref(),
            store.as_os_str(),
            "-m".as_ref(),
            self.engine_store().as_os_str(),
        ]);
        all.extend(["--shm-dir".as_ref(), self.shm_dir().as_os_str()]);
        self.run("gc", &all)
    }

    /// What it says when it has done all.
    fn gc_says(&self, arguments: &[&str]) -> String {
        let finished = self.gc(arguments);
        assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
        String::from_utf8(finished.output).unwrap()
    }
}

#[test]
fn a_ring_that_waits_for_its_program_is_given_up_by_force_alone_and_then_drained_and_deleted() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 18);
    let receiver = scene.receiver("recv");
    let input = scene.file("input.log", &bytes);
    // Nobody has drained it: what is in it is in no spool.
    scene.log(&[&input]);
    let ring = scene.rings().pop().unwrap();
    let path = ring.to_str().unwrap();
    let is_kept = |said: &str| said.starts_with("kept: ring input.log") && said.contains(path);
    assert!(is_kept(&scene.gc_says(&[])));
    assert_eq!(scene.gc_says(&["--force", "--older-than", "1h"]), "");
    let said = scene.gc_says(&["--force", "--dry-run"]);
    assert!(said.starts_with("would be given up: ring input.log"), "{said}");
    assert!(is_kept(&scene.gc_says(&["--dry-run"])), "a dry run did something");
    // The next run of the program goes on with it.
    scene.log(&[&input]);

    let said = scene.gc_says(&["--force"]);
    assert!(
        said.starts_with("given up: ring input.log") && said.contains(path),
        "{said}"
    );
    assert!(ring.exists(), "what it holds is drained first");
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("the ring is drained and deleted", || scene.rings().is_empty());
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    // The engine knows nothing of what it logged: that is the price.
    scene.log(&[&input]);
    wait_until("all of it came again", || {
        scene.raw(&receiver.archive).len() == 2 * bytes.len()
    });
}

#[test]
fn a_kept_ring_that_is_given_up_while_a_sender_runs_ends_and_a_living_one_stays() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("kept.log", b"kept\n")]);
    let living = scene.file("living.log", b"living\n");
    let mut arguments = scene.engine_arguments(crate::scene::GROUP, &[&living]);
    arguments.push("--follow".as_ref());
    let _engine = scene.start("follower", &arguments);
    wait_until("both have arrived", || {
        scene.json(&receiver.archive).len() == 2 && scene.acked()
    });
    let said = scene.gc_says(&["--force"]);
    assert!(
        said.contains("given up: ring kept.log") && !said.contains("living.log"),
        "{said}"
    );
    wait_until("one ring is gone", || scene.rings().len() == 1);
    let (streams, _) = scene.verify(&receiver.archive);
    wait_until("its end has arrived", || {
        scene
            .verify(&receiver.archive)
            .0
            .iter()
            .any(|stream| stream["ended"] == true)
    });
    assert_eq!(streams.len(), 2);
    std::fs::write(&living, b"living\nand well\n").unwrap();
    wait_until("the other goes on", || scene.json(&receiver.archive).len() == 3);
}

#[test]
fn a_file_that_is_no_ring_is_deleted_by_force_alone() {
    let scene = Scene::new();
    scene.log(&[&scene.file("input.log", b"one\n")]);
    let foreign = scene.ring_directory().join("foreign.ring");
    std::fs::write(&foreign, b"no ring").unwrap();
    assert!(scene.gc_says(&[]).contains("foreign.ring: it cannot be read"));
    assert!(foreign.exists());
    assert_eq!(scene.gc_says(&["--force", "--older-than=1d"]), "");
    assert!(scene.gc_says(&["--force"]).contains("deleted: "));
    assert!(!foreign.exists());
}

#[test]
fn what_is_left_of_a_spool_directory_that_was_emptied_goes() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let mut sender = scene.sender_in("one", &[&receiver.address], &[]);
    scene.log(&[&scene.file("input.log", b"one\n")]);
    scene.wait_spooled_in("one");
    sender.kill();
    receiver.start(&scene);
    let reserve = scene.path("one").join(crate::scene::GROUP).join("reserve");
    assert!(reserve.exists());
    scene.gc_says(&[]);
    assert!(reserve.exists(), "of a spool that holds something");
    scene
        .sender_in("two", &[&receiver.address], &["--drain-and-exit"])
        .succeed();
    scene.gc_says(&["--dry-run"]);
    assert!(reserve.exists());
    let said = scene.gc_says(&[]);
    assert!(said.contains(reserve.to_str().unwrap()) && !reserve.exists(), "{said}");
    assert_eq!(scene.raw(&receiver.archive), b"one\n");
}
