//! Original senders, and `batchrecv`, which takes them for what they are; either may be killed.

use crate::journal::{arrived, json_lines};
use crate::peers::{can_play, finish, line, start};
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until};
use crate::to_original::Producer;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

/// Starts an original sender, whose state and journal are called `name`.
pub(crate) fn original(scene: &Scene, name: &str, receiver: &Receiver, options: &[&str]) -> Process {
    let (journal, state) = (journal(scene, name), scene.path(&format!("{name}.state")));
    let mut arguments = line(&[
        &"--to",
        &receiver.address,
        &"--group",
        &GROUP,
        &"--name",
        &name,
        &"--journal",
        &journal,
        &"--state",
        &state,
    ]);
    arguments.extend(options.iter().map(OsString::from));
    start(scene, name, "classic_sender.py", &arguments)
}

pub(crate) fn journal(scene: &Scene, name: &str) -> std::path::PathBuf {
    scene.path(&format!("{name}.journal"))
}

/// What a sender said: the transactions that were acknowledged, and those that it sent more than once.
pub(crate) fn said(journal: &Path) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut acked, mut sent): (BTreeSet<u64>, BTreeMap<u64, u32>) = Default::default();
    for line in json_lines(journal) {
        let numbers = line["transactions"].as_array().into_iter().flatten();
        for number in numbers.map(|number| number.as_u64().unwrap()) {
            match line["state"].as_str() {
                Some("acked") => {
                    acked.insert(number);
                }
                _ => *sent.entry(number).or_default() += 1,
            }
        }
    }
    let again = sent
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(number, _)| number);
    (acked, again.collect())
}

/// How often each transaction of `name` is stored. Within a stream, which is a connection, everything is whole and in order.
pub(crate) fn stored(scene: &Scene, receiver: &Receiver, name: &str) -> BTreeMap<u64, usize> {
    let records = scene.json(&receiver.archive);
    let mut streams: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for record in records.iter().filter(|record| record["value"]["queue"] == *name) {
        let stream = streams.entry(record["stream"].to_string()).or_default();
        stream.push(&record["value"]);
    }
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for values in streams.into_values() {
        let found: Vec<u64> = arrived(values.into_iter()).into_values().flatten().collect();
        assert!(found.is_sorted(), "a connection out of order: {found:?}");
        for number in found {
            *counts.entry(number).or_default() += 1;
        }
    }
    scene.verify(&receiver.archive);
    counts
}

/// That all that was acknowledged is stored, and nothing is twice there but what was sent twice.
fn assert_stored(scene: &Scene, receiver: &Receiver, name: &str) {
    let counts = stored(scene, receiver, name);
    let (acked, again) = said(&journal(scene, name));
    assert!(!acked.is_empty());
    let lost: Vec<_> = acked.iter().filter(|number| !counts.contains_key(number)).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    let is_unexpected = |(number, count): &(&u64, &usize)| **count > 1 && !again.contains(number);
    let doubled: Vec<_> = counts.iter().filter(is_unexpected).collect();
    assert!(doubled.is_empty(), "doubled {doubled:?}");
}

#[test]
fn values_of_every_type_from_an_original_sender_are_stored_as_they_were() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    for (name, members) in [("one", "1"), ("two", "3")] {
        let options = ["--typed", "--segments", "2", "--members", members];
        finish(original(&scene, name, &receiver, &options), name);
    }
    let expected: Vec<Value> = ["one", "two"]
        .iter()
        .flat_map(|name| json_lines(&journal(&scene, name)))
        .filter_map(|line| line["records"].as_array().cloned())
        .flatten()
        .collect();
    let found: Vec<Value> = scene
        .json(&receiver.archive)
        .iter()
        .map(|record| serde_json::json!({ "statement": record["statement"], "value": record["value"] }))
        .collect();
    assert_eq!((found.len(), found), (2 * 2 * 4 * 36, expected));
}

#[test]
fn original_senders_that_hang_up_before_the_answer_lose_nothing() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let options = ["--segments", "20", "--hang-up-every", "4"];
    let senders = ["one", "two", "three"].map(|name| (name, original(&scene, name, &receiver, &options)));
    for (name, sender) in senders {
        finish(sender, name);
        assert_stored(&scene, &receiver, name);
    }
}

#[test]
fn a_receiver_that_is_killed_while_an_original_sends_has_all_that_it_acknowledged() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut sender = original(&scene, "one", &receiver, &["--segments", "150", "--pace", "0.002"]);
    let acked = || {
        json_lines(&journal(&scene, "one"))
            .iter()
            .filter(|line| line["state"] == "acked")
            .count()
    };
    for _ in 0..5 {
        let wanted = acked() + scene.draw(|chance| chance.usize(1..20));
        wait_until("enough is acknowledged", || acked() >= wanted || !sender.is_running());
        receiver.kill();
        receiver.start(&scene);
    }
    finish(sender, "one");
    assert_stored(&scene, &receiver, "one");
    assert_eq!(said(&journal(&scene, "one")).0.len(), 600);
}

#[test]
fn an_original_sender_that_is_killed_goes_on_and_only_what_was_in_doubt_may_be_doubled() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let options = ["--segments", "100", "--pace", "0.002"];
    let lines = || json_lines(&journal(&scene, "one")).len();
    for _ in 0..4 {
        let mut sender = original(&scene, "one", &receiver, &options);
        let wanted = lines() + scene.draw(|chance| chance.usize(3..30));
        wait_until("it has sent enough", || lines() >= wanted || !sender.is_running());
        sender.kill();
    }
    finish(original(&scene, "one", &receiver, &options), "one");
    assert_stored(&scene, &receiver, "one");
}

#[test]
fn a_sender_of_ours_that_speaks_as_an_original_reaches_a_receiver_of_ours() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let lines = scene.lines(100_000);
    let path = scene.file("input", &lines);
    scene.log(&[&path]);
    let to = format!("hobbes://{}", receiver.address);
    scene.sender_with(&[GROUP], &[&to], &["--drain-and-exit"]).succeed();
    let texts: Vec<u8> = scene
        .json(&receiver.archive)
        .iter()
        .flat_map(|record| format!("{}\n", record["value"]["text"].as_str().unwrap()).into_bytes())
        .collect();
    crate::arrived::assert_equal(&texts, &lines);
}

#[test]
fn ours_that_speak_as_originals_lose_nothing_whichever_is_killed() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let to = format!("hobbes://{}", receiver.address);
    let start = || scene.sender_with(&[GROUP], &[&to], &["--batch-size", "1KiB", "--batch-time", "1ms"]);
    let mut sender = start();
    let mut producer = Producer::new(&scene, "one");
    let kills = 8;
    for round in 0..kills {
        producer.log(&scene, 40, 200);
        let wanted = scene.draw(|chance| chance.usize(1..40)) + 40 * round;
        wait_until("enough is stored", || {
            receiver.archive.exists() && scene.json(&receiver.archive).len() >= wanted
        });
        if scene.draw(fastrand::Rng::bool) {
            sender.kill();
            sender = start();
        } else {
            receiver.kill();
            receiver.start(&scene);
        }
    }
    scene.wait_acked();
    let counts = stored(&scene, &receiver, "one");
    assert_eq!(counts.len(), 40 * kills);
    assert!(counts.values().all(|count| *count <= 1 + kills), "{counts:?}");
    // A segment is a kibibyte and one transaction at most.
    let again = counts.values().filter(|count| **count > 1).count();
    assert!(
        again <= kills * 8,
        "{again} transactions came again after {kills} kills"
    );
}
