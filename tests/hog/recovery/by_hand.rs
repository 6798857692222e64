//! `hog recover`: what would be done, what a person gives up, and a copied spool that becomes a sender of its own.

use super::{NOBODY, contents};
use crate::scene::{GROUP, Scene, wait_until};
use hogstat::RecoveryOutcome;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

fn output(finished: &crate::roles::Finished) -> String {
    String::from_utf8(finished.output.clone()).unwrap()
}

#[test]
fn a_dry_run_says_what_a_sender_then_does_in_this_order_and_touches_nothing() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 18);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let to = [receiver.address.clone()];
    let to = to.each_ref().map(String::as_str);
    for (spool, name) in [("one", "first.log"), ("two", "second.log")] {
        let mut sender = scene.sender_in(spool, &to, &[]);
        scene.log(&[&scene.file(name, &bytes)]);
        scene.wait_spooled_in(spool);
        sender.kill();
    }
    scene.log(&[&scene.file("third.log", &bytes)]);
    let (one, two) = (scene.path("one").join(GROUP), scene.path("two").join(GROUP));
    let before = contents(&[&one, &two, &scene.ring_directory()]);
    let said = scene.recover(&["--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.words);
    assert!(
        contents(&[&one, &two, &scene.ring_directory()]) == before,
        "a dry run touched something"
    );
    let said = output(&said);
    let at = |words: &str| said.find(words).unwrap_or_else(|| panic!("no {words:?} in {said}"));
    let places = [
        at(one.to_str().unwrap()),
        at(two.to_str().unwrap()),
        at("ring first.log"),
        at("ring second.log"),
        at("ring third.log"),
    ];
    assert!(places.is_sorted(), "{said}");
    assert!(
        said.starts_with("group web: ") && said.contains(&bytes.len().to_string()[..1]),
        "{said}"
    );

    receiver.start(&scene);
    scene.sender_in("two", &to, &["--drain-and-exit"]).succeed();
    scene.assert_arrived(&receiver, &bytes.repeat(3));
    let said = output(&scene.recover(&["--dry-run"]));
    assert!(said.starts_with("group web: 0 bytes"), "{said}");
}

#[test]
fn a_destination_that_is_given_up_holds_nothing_up_any_more() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 18);
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[NOBODY, &receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_until("one has all", || scene.unacked_by(&receiver.address) == Some(0));
    let running = scene.recover(&["--abandon", NOBODY]);
    assert_eq!(running.code, Some(3), "{}", running.words);
    sender.kill();
    let unknown = scene.recover(&["--abandon", "127.0.0.1:8"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.words);
    // Its recovery has begun, and is over with this.
    let mut sender = scene.sender(&[NOBODY, &receiver.address]);
    wait_until("its recovery has begun", || {
        let overview = scene.database().overview();
        overview.is_ok_and(|overview| overview.recoveries.iter().any(|one| one.address == NOBODY))
    });
    sender.kill();
    let given_up = scene.recover(&["--abandon", NOBODY]);
    assert_eq!(given_up.code, Some(0), "{}", given_up.words);
    assert!(output(&given_up).contains(NOBODY));
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--drain-and-exit"]);
    sender.succeed();
    scene.assert_arrived(&receiver, &bytes);
    let recovered = scene.database().overview().unwrap().recoveries;
    assert!(
        recovered
            .iter()
            .any(|one| one.address == NOBODY && one.outcome == RecoveryOutcome::Abandoned),
        "{recovered:?}"
    );
}

#[test]
fn a_ring_that_is_given_up_is_no_obstacle_any_more() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", b"one\n")]);
    scene.wait_acked();
    sender.kill();
    let ring = scene.database().unfinished_regions(GROUP).unwrap()[0].ring.to_string();
    std::fs::remove_file(scene.rings().pop().unwrap()).unwrap();
    let said = scene.recover(&["--dry-run"]);
    assert_eq!(said.code, Some(4), "{}", output(&said));
    assert!(
        output(&said).contains(&format!("--abandon {ring}")),
        "{}",
        output(&said)
    );
    let given_up = scene.recover(&["--abandon", &ring]);
    assert_eq!(given_up.code, Some(0), "{}", given_up.words);
    scene
        .sender_with(
            &[GROUP],
            &[&receiver.address],
            &["--recover", "require", "--drain-and-exit"],
        )
        .succeed();
    assert_eq!(scene.recover(&["--dry-run"]).code, Some(0));
}

#[test]
fn what_a_ring_holds_that_is_given_up_becomes_a_gap_and_its_producer_begins_anew() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let input = scene.file("input.log", b"one\n");
    scene.log(&[&input]);
    scene.wait_acked();
    sender.kill();
    std::fs::write(&input, b"one\ntwo\n").unwrap();
    scene.log(&[&input]);
    let ring = scene.database().unfinished_regions(GROUP).unwrap()[0].ring.to_string();
    assert_eq!(scene.recover(&["--abandon", &ring]).code, Some(0));
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--drain-and-exit"]);
    let finished = sender.finish();
    assert_eq!(finished.code, Some(5), "{}", finished.words);
    assert!(finished.words.contains("given up"), "{}", finished.words);
    assert_eq!(scene.raw_with_gaps(&receiver.archive), b"one\n");
    assert!(scene.rings().is_empty(), "{:?}", scene.rings());
}

#[test]
fn forgotten_acknowledgements_are_given_again() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", b"one\n")]);
    scene.wait_acked();
    drop(sender);
    let forgotten = scene.recover(&["--forget", &receiver.address]);
    assert_eq!(forgotten.code, Some(0), "{}", forgotten.words);
    assert!(!scene.acked(), "what is forgotten is still believed");
    let _sender = scene.sender(&[&receiver.address]);
    scene.wait_acked();
    assert_eq!(scene.raw(&receiver.archive), b"one\n");
}

/// Copies all files of `from`, a directory without others in it, to `to`; not its sockets.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_socket() {
            continue;
        }
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_copied_spool_is_refused_until_it_is_another_sender_and_then_doubles_nothing_that_goes_on() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 18);
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender_in("spool", &[NOBODY, &receiver.address], &[]);
    let input = scene.file("input.log", &bytes[..bytes.len() / 2]);
    scene.log(&[&input]);
    wait_until("half is there", || {
        scene.raw(&receiver.archive).len() == bytes.len() / 2
    });
    sender.kill();
    let (spool, copied) = (scene.path("spool").join(GROUP), scene.path("copy").join(GROUP));
    copy(&spool, &copied);
    // The original goes on: its run is newer than what the copy thinks it is.
    for _ in 0..2 {
        let mut sender = scene.sender_in("spool", &[NOBODY, &receiver.address], &[]);
        std::fs::write(&input, &bytes).unwrap();
        scene.log(&[&input]);
        // To the last byte, also of what is no line: the copy does not have that.
        wait_until("all is there", || {
            let (tail, head) = scene.progress();
            tail == head && scene.unacked_by(&receiver.address) == Some(0)
        });
        assert_eq!(scene.raw(&receiver.archive).len(), bytes.len());
        sender.kill();
    }
    let restore = || {
        std::fs::remove_dir_all(scene.path("store")).unwrap();
        scene
            .sender_in("copy", &[&receiver.address], &["--drain-and-exit"])
            .finish()
    };
    let refused = restore();
    assert_eq!(refused.code, Some(6), "{}", refused.words);
    let again = restore();
    assert_eq!(again.code, Some(6), "{}", again.words);
    assert!(again.words.contains("--new-identity"), "{}", again.words);
    let renewed = scene.recover(&["--new-identity", copied.to_str().unwrap()]);
    assert_eq!(renewed.code, Some(0), "{}", renewed.words);
    assert!(output(&renewed).contains("a second time"), "{}", output(&renewed));
    let shipped = restore();
    assert!(matches!(shipped.code, Some(0 | 5)), "{}", shipped.words);
    scene.assert_arrived(&receiver, &bytes);
}
