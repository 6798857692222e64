//! Many at once: groups in one sender, engines in one group, destinations of one sender.

use crate::arrived::assert_equal;
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until};
use std::path::PathBuf;

/// Logs to the groups `web` and `db` at once, and says what.
pub(crate) fn log_to_two_groups(scene: &Scene) -> [(&'static str, Vec<u8>); 2] {
    let logs = ["web", "db"].map(|group| {
        let bytes = scene.lines(2 << 20);
        let input = scene.file(group, &bytes);
        let engine = scene.start(&format!("engine-{group}"), &scene.engine_arguments(group, &[&input]));
        (group, bytes, engine)
    });
    logs.map(|(group, bytes, engine)| {
        engine.succeed();
        (group, bytes)
    })
}

#[test]
fn two_groups_of_one_sender_do_not_mix() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender_with(&["web", "db"], &[&receiver.address], &[]);
    let logs = log_to_two_groups(&scene);
    scene.wait_acked();
    for (group, bytes) in logs {
        assert_equal(&scene.raw(&receiver.archive.join(group)), &bytes);
    }
    let (streams, _) = scene.verify(&receiver.archive);
    let mut groups: Vec<_> = streams.iter().map(|stream| stream["group"].as_str().unwrap()).collect();
    groups.sort_unstable();
    assert_eq!(groups, ["db", "web"]);
}

#[test]
fn four_engines_at_once_keep_each_file_whole_and_in_order() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let logs: Vec<(PathBuf, Vec<u8>)> = (0..4)
        .map(|number| {
            let bytes = scene.lines(2 << 20);
            (scene.file(&format!("{number}.log"), &bytes), bytes)
        })
        .collect();
    let start = |(input, _): &(PathBuf, Vec<u8>)| {
        let name = format!("engine-{}", input.file_name().unwrap().display());
        scene.start(&name, &scene.engine_arguments(GROUP, &[input]))
    };
    let engines: Vec<Process> = logs.iter().map(start).collect();
    wait_until("some of it is drained", || scene.progress().1 > 2 << 20);
    sender.kill();
    let _sender = scene.sender(&[&receiver.address]);
    engines.into_iter().for_each(Process::succeed);
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    for (input, bytes) in &logs {
        let source = input.canonicalize().unwrap();
        let mut arrived = Vec::new();
        for record in records
            .iter()
            .filter(|record| record["value"]["source"] == source.to_str().unwrap())
        {
            arrived.extend_from_slice(record["value"]["text"].as_str().unwrap().as_bytes());
            arrived.push(b'\n');
        }
        assert_equal(&arrived, bytes);
    }
    assert_eq!(
        scene.raw(&receiver.archive).len(),
        logs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    );
    scene.verify(&receiver.archive);
}

/// Two receivers, one of them down, and its address.
fn one_up_one_down(scene: &Scene) -> (Receiver, Receiver) {
    let up = scene.receiver("up");
    let mut down = scene.receiver("down");
    down.kill();
    (up, down)
}

/// That `living` got `bytes` and said so, while `other` lacks some of them.
fn assert_not_delayed(scene: &Scene, living: &Receiver, other: &Receiver, bytes: &[u8]) {
    wait_until("the living destination has acknowledged all", || {
        scene.progress().0 == scene.progress().1 && scene.unacked_by(&living.address) == Some(0)
    });
    scene.assert_arrived(living, bytes);
    assert!(scene.unacked_by(&other.address) > Some(0));
    assert!(!scene.acked());
}

#[test]
fn a_destination_that_is_down_delays_no_other_and_gets_all_later() {
    let scene = Scene::new();
    let bytes = scene.lines(6 << 20);
    let input = scene.file("input.log", &bytes);
    let (up, mut down) = one_up_one_down(&scene);
    let _sender = scene.sender(&[&down.address, &up.address]);
    scene.log(&[&input]);
    assert_not_delayed(&scene, &up, &down, &bytes);
    down.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&down, &bytes);
    scene.assert_arrived(&up, &bytes);
}

#[test]
fn a_destination_that_is_killed_midway_gets_the_rest_when_it_is_back() {
    let scene = Scene::new();
    let mut bytes = scene.lines(10 << 20);
    let input = scene.file("input.log", &bytes);
    let (first, mut second) = (scene.receiver("first"), scene.receiver("second"));
    let _sender = scene.sender(&[&first.address, &second.address]);
    let engine = scene.engine(&[&input]);
    let held = |receiver: &Receiver| {
        receiver
            .segments()
            .iter()
            .map(|segment| std::fs::metadata(segment).unwrap().len())
            .sum::<u64>()
    };
    wait_until("the second destination has some", || held(&second) > 1 << 20);
    second.kill();
    engine.succeed();
    let more = scene.lines(1 << 20);
    let later = scene.file("later.log", &more);
    scene.log(&[&later]);
    bytes.extend(more);
    assert_not_delayed(&scene, &first, &second, &bytes);
    second.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&second, &bytes);
    scene.assert_arrived(&first, &bytes);
}

#[test]
fn what_a_destination_missed_outlives_senders_that_are_killed() {
    let scene = Scene::new();
    let mut bytes = scene.lines(3 << 20);
    let input = scene.file("input.log", &bytes);
    let (up, mut down) = one_up_one_down(&scene);
    let mut sender = scene.sender(&[&up.address, &down.address]);
    scene.log(&[&input]);
    assert_not_delayed(&scene, &up, &down, &bytes);
    for number in 0..3 {
        sender.kill();
        let more = scene.lines(500_000);
        let input = scene.file(&format!("more-{number}.log"), &more);
        bytes.extend(more);
        sender = scene.sender(&[&up.address, &down.address]);
        scene.log(&[&input]);
        assert_not_delayed(&scene, &up, &down, &bytes);
    }
    // This session names the one alone; the other is owed what earlier ones drained.
    sender.kill();
    let _sender = scene.sender(&[&up.address]);
    down.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&down, &bytes);
    scene.assert_arrived(&up, &bytes);
}
