//! `--recover require`, and what is lost for good: said, recorded, and never passed over.

use crate::scene::{GROUP, Scene, wait_until};
use hogstat::{RecoveryOutcome, RegionState};

#[test]
fn a_ring_whose_memory_is_gone_stops_a_sender_that_must_recover_all_and_is_recorded_as_lost_by_another() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", b"one\n")]);
    scene.wait_acked();
    sender.kill();
    scene.log(&[&scene.file("input.log", b"one\ntwo\n")]);
    let ring = scene.rings().pop().unwrap();
    std::fs::remove_file(&ring).unwrap();
    let before = scene.database().unfinished_regions(GROUP).unwrap();

    let refused = scene.sender_with(&[GROUP], &[&receiver.address], &["--recover", "require"]);
    let refused = refused.finish();
    let path = ring.to_str().unwrap();
    assert_eq!(refused.code, Some(4), "{}", refused.words);
    for words in ["cannot be recovered", path, "position"] {
        assert!(refused.words.contains(words), "no {words:?} in {}", refused.words);
    }
    assert_eq!(scene.database().unfinished_regions(GROUP).unwrap(), before);

    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--drain-and-exit"]);
    let finished = sender.finish();
    assert_eq!(finished.code, Some(5), "{}", finished.words);
    assert!(finished.words.contains(path), "{}", finished.words);
    let overview = scene.database().overview().unwrap();
    let position = before[0].position;
    let lost: Vec<_> = overview
        .regions
        .iter()
        .map(|region| (region.state, region.position))
        .collect();
    assert_eq!(lost, [(RegionState::Lost, position)]);
    let recovered: Vec<_> = overview.recoveries.iter().map(|one| (one.outcome, one.to)).collect();
    assert_eq!(recovered, [(RecoveryOutcome::Lost, position)]);

    // It is said once.
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--recover", "require"]);
    wait_until("it is connected", || sender.words().contains("connected to"));
    assert!(!sender.words().contains(path), "{}", sender.words());
}

#[test]
fn a_sender_that_must_recover_all_recovers_what_a_killed_one_left() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    sender.kill();
    receiver.start(&scene);
    scene
        .sender_with(
            &[GROUP],
            &[&receiver.address],
            &["--recover", "require", "--drain-and-exit"],
        )
        .succeed();
    scene.assert_arrived(&receiver, &bytes);
}
