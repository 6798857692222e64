//! What hogstat.db says of recoveries.

use crate::scene::{GROUP, Scene, wait_until, words};
use hogstat::RecoveryOutcome;

#[test]
fn what_a_killed_sender_left_is_recorded_as_recovered_once_to_each_destination() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    let mut receivers = [scene.receiver("one"), scene.receiver("two")];
    for receiver in &mut receivers {
        receiver.kill();
    }
    let to = receivers.each_ref().map(|receiver| receiver.address.clone());
    let to = to.each_ref().map(String::as_str);
    let mut sender = scene.sender(&to);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_spooled();
    // Three sessions work at it, and the first two never reach anybody.
    for _ in 0..2 {
        sender.kill();
        sender = scene.sender(&to);
        wait_until("the recovery is begun", || {
            scene
                .database()
                .unfinished_recoveries(GROUP)
                .is_ok_and(|begun| begun.len() >= 2)
        });
    }
    for receiver in &mut receivers {
        receiver.start(&scene);
    }
    scene.wait_acked();
    wait_until("the recoveries are over", || {
        scene.database().unfinished_recoveries(GROUP).unwrap().is_empty()
    });
    let recorded = scene.database().overview().unwrap().recoveries;
    let stream = scene.database().unfinished_regions(GROUP).unwrap()[0].ring;
    let mut pairs = std::collections::HashSet::new();
    for recovery in &recorded {
        assert_eq!((recovery.outcome, recovery.ring), (RecoveryOutcome::Delivered, stream));
        assert!(recovery.to >= bytes.len() as u64 && recovery.from == 0, "{recovery:?}");
        assert!(recovery.original_session < recovery.session);
        assert!(
            pairs.insert((recovery.original_session, recovery.address.clone())),
            "{recorded:?}"
        );
    }
    // The second session may have been killed before it looked at the ring: it left nothing then.
    assert!(recorded.len() == 2 || recorded.len() == 4, "{recorded:?}");
    for receiver in &receivers {
        scene.assert_arrived(receiver, &bytes);
    }
    let (store, mut arguments) = (scene.store(), words(&["status", "-m"]));
    arguments.push(store.as_os_str());
    let shown = String::from_utf8(scene.run("status", &arguments).output).unwrap();
    assert!(
        shown.contains(&format!("recovery of ring {stream} of group {GROUP} to {}", to[0])),
        "{shown}"
    );
}

#[test]
fn a_ring_is_kept_adopted_and_ended_in_the_record_as_it_is_in_memory() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let counts = || scene.database().overview().unwrap().region_counts;
    let input = scene.file("input.log", b"one\n");
    scene.log(&[&input]);
    wait_until("the ring is kept", || counts().kept == 1);
    std::fs::write(&input, b"one\ntwo\n").unwrap();
    scene.log(&[&input]);
    wait_until("it was adopted and is kept again", || {
        let database = scene.database();
        let regions = database.unfinished_regions(GROUP).unwrap();
        regions.len() == 1 && scene.raw(&receiver.archive) == b"one\ntwo\n" && counts().kept == 1
    });
    // An unnamed ring ends with its program.
    scene.pipe(&input).succeed();
    wait_until("the other one ended", || counts().ended == 1);
}
