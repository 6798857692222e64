//! What is sent again: stored again, unless it is known to be the segment whose answer was under way when the connection before ended.

use super::sender::{Answer, Classic, counted, counting, gzip, segment_of};
use super::{streams, values};
use crate::failing_disk::Failing;
use crate::scene::{GROUP, Scene, wait_until};
use crate::small_disk::SmallDisk;
use serde_json::Value;

/// A sender that goes away before it hears the answer: its kernel acknowledges none.
fn leave_in_doubt(address: &str, file: &[u8]) {
    let mut sender = Classic::start(address, GROUP, &counting());
    sender.say(file);
}

#[test]
fn a_segment_whose_answer_was_under_way_when_its_connection_ended_is_stored_once() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let file = gzip(&segment_of(&counted([1, 2])));
    leave_in_doubt(&receiver.address, &file);
    wait_until("the segment is stored, and its stream over", || {
        streams(&scene, &receiver) == [(true, 2)]
    });
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    sender.say(&file);
    assert_eq!(sender.answer(), Answer::Stored);
    assert_eq!(values(&scene, &receiver).len(), 2, "it is the same segment");
    // The second on this connection is another one that happens to be equal.
    sender.say(&file);
    assert_eq!(sender.answer(), Answer::Stored);
    assert_eq!(values(&scene, &receiver).len(), 4);
    drop(sender);
    let mut next = Classic::start(&receiver.address, GROUP, &counting());
    next.say(&file);
    assert_eq!(next.answer(), Answer::Stored);
    assert_eq!(
        values(&scene, &receiver).len(),
        6,
        "whoever had the answer sends something new"
    );
}

#[test]
fn another_segment_or_group_is_never_taken_for_the_one_in_doubt() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let file = gzip(&segment_of(&counted([1])));
    leave_in_doubt(&receiver.address, &file);
    wait_until("the segment is stored, and its stream over", || {
        streams(&scene, &receiver) == [(true, 1)]
    });
    let mut other_group = Classic::start(&receiver.address, "other", &counting());
    other_group.say(&file);
    assert_eq!(other_group.answer(), Answer::Stored);
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    sender.ship(&counted([2]));
    sender.say(&file);
    assert_eq!(sender.answer(), Answer::Stored);
    assert_eq!(streams(&scene, &receiver), [(false, 1), (false, 2), (true, 1)]);
}

#[test]
fn a_receiver_that_is_killed_between_segments_loses_nothing_that_is_sent_until_it_is_answered() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let segments: Vec<_> = (0..30).map(|number| gzip(&segment_of(&counted([number])))).collect();
    let kills: Vec<usize> = (0..3)
        .map(|_| scene.draw(|chance| chance.usize(..segments.len())))
        .collect();
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    let mut in_doubt = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        sender.say(segment);
        if kills.contains(&number) {
            // Before, while or after it stores it.
            std::thread::sleep(std::time::Duration::from_micros(
                scene.draw(|chance| chance.u64(..3000)),
            ));
            receiver.kill();
            receiver.start(&scene);
            let answer = sender.answer();
            assert_ne!(answer, Answer::Closed, "an original sender would wait forever");
            if answer != Answer::Stored {
                in_doubt.push(number as u64);
                sender = Classic::start(&receiver.address, GROUP, &counting());
                sender.say(segment);
                assert_eq!(sender.answer(), Answer::Stored);
            } else {
                sender = Classic::start(&receiver.address, GROUP, &counting());
            }
            continue;
        }
        assert_eq!(sender.answer(), Answer::Stored);
    }
    let mut found: Vec<u64> = values(&scene, &receiver).iter().filter_map(Value::as_u64).collect();
    let doubled: Vec<u64> = found
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
        .collect();
    assert!(
        doubled.iter().all(|number| in_doubt.contains(number)),
        "{doubled:?} of {in_doubt:?}"
    );
    found.dedup();
    assert_eq!(found, (0..30).collect::<Vec<_>>());
    drop(sender);
    wait_until("all streams have ended, those of killed receivers too", || {
        streams(&scene, &receiver).iter().all(|(has_ended, _)| *has_ended)
    });
}

#[test]
fn original_senders_hear_of_a_killed_receiver_as_of_a_failure() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut silent = Classic::start(&receiver.address, GROUP, &counting());
    let mut nobody = Classic::connect(&receiver.address);
    nobody.say(GROUP.as_bytes());
    silent.ship(&counted([1]));
    receiver.kill();
    assert_eq!((silent.answer(), nobody.answer()), (Answer::Reset, Answer::Reset));
}

#[test]
fn a_receiver_that_is_asked_to_end_answers_what_it_stored() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    sender.ship(&counted([1]));
    receiver.process().terminate();
    assert_eq!(sender.answer(), Answer::Reset);
    wait_until("it has ended", || !receiver.process().is_running());
    assert_eq!(streams(&scene, &receiver), [(true, 1)]);
}

#[test]
fn what_cannot_be_synced_is_not_answered_and_may_be_sent_again() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    sender.ship(&counted([1]));
    let Some(failing) = Failing::begin(&scene, receiver.process(), "fdatasync", &[], "error=EIO") else {
        return;
    };
    let file = gzip(&segment_of(&counted([2])));
    sender.say(&file);
    assert_eq!(sender.answer(), Answer::Reset);
    assert!(failing.failed() > 0);
    failing.end();
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    sender.say(&file);
    assert_eq!(sender.answer(), Answer::Stored);
    sender.ship(&counted([3]));
    scene.verify(&receiver.archive); // nothing is wrong with it
    let mut found: Vec<u64> = values(&scene, &receiver).iter().filter_map(Value::as_u64).collect();
    found.dedup(); // it may be there twice: nobody knows what a failed sync left
    assert_eq!(found, [1, 2, 3]);
}

#[test]
fn what_finds_no_room_is_not_answered_and_is_stored_once_there_is_some() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::new(scene.path("recv").join("archive"), 24) else {
        return;
    };
    let mut receiver = scene.receiver("recv");
    let noise: Vec<u64> = scene.draw(|chance| (0..100_000).map(|_| chance.u64(..1 << 63)).collect());
    let (few, many) = noise.split_at(5_000);
    let files = [few, many].map(|numbers| gzip(&segment_of(&counted(numbers.iter().copied()))));
    // No room for a short one where it is to be stored, and none for a long one while it comes.
    for (file, room) in files.iter().zip([0, 256 << 10]) {
        let mut sender = Classic::start(&receiver.address, GROUP, &counting());
        let filling = disk.fill_but(room);
        sender.say(file);
        assert_eq!(sender.answer(), Answer::Reset);
        filling.remove();
        let mut sender = Classic::start(&receiver.address, GROUP, &counting());
        sender.say(file);
        assert_eq!(sender.answer(), Answer::Stored);
    }
    let expected: Vec<_> = noise.into_iter().map(Value::from).collect();
    assert!(values(&scene, &receiver) == expected);
    assert!(receiver.process().words().contains("No space left"));
}
