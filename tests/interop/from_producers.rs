//! Applications that log into queues of version 2, and `batchsend`, which takes the queues in and may be killed.

use crate::journal::{arrived, assert_arrived_once, logged};
use crate::peers::{can_play, finish, producer_arguments, start};
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Starts a sender of `groups`, and waits until producers can register.
fn sender(scene: &Scene, groups: &[&str], receiver: &Receiver) -> Process {
    for group in groups {
        let _ = std::fs::remove_file(socket(scene, group)); // of one that was killed
    }
    let sender = scene.sender_with(groups, &[&receiver.address], &["--batch-time", "5ms"]);
    wait_until("producers can register", || {
        groups.iter().all(|group| socket(scene, group).exists())
    });
    sender
}

fn socket(scene: &Scene, group: &str) -> PathBuf {
    scene.store().join(format!("hstore.{group}.sk"))
}

/// Starts a producer of `groups`.
fn producer(scene: &Scene, groups: &[&str], journal: &Path, options: &[&str]) -> Process {
    let mut arguments = producer_arguments(scene, groups[0], journal);
    for group in &groups[1..] {
        arguments.extend(["--group", group].map(OsString::from));
    }
    arguments.extend(options.iter().map(OsString::from));
    start(scene, "producer", "v2_producer.py", &arguments)
}

/// The records in the archive of `receiver`, while it is written.
fn stored(scene: &Scene, receiver: &Receiver) -> Vec<Value> {
    if receiver.archive.exists() {
        scene.json(&receiver.archive)
    } else {
        Vec::new()
    }
}

fn values(records: &[Value]) -> impl Iterator<Item = &Value> {
    records.iter().map(|record| &record["value"])
}

/// Waits until as many transactions as were published are stored, and then that they are those.
fn assert_stored_once(scene: &Scene, receiver: &Receiver, journal: &Path) {
    let logged = logged(journal);
    let published: usize = logged.values().map(|queue| queue.published.len()).sum();
    assert!(published > 0, "nothing was published");
    let mut records = Vec::new();
    wait_until("what was published is stored", || {
        records = stored(scene, receiver);
        let last = |record: &&Value| record["value"]["place"] == 0;
        records.iter().filter(last).count() >= published
    });
    scene.wait_acked();
    let records = stored(scene, receiver);
    assert_arrived_once(&logged, &arrived(values(&records)));
    assert_transactions(&records);
    scene.verify(&receiver.archive);
}

/// That equal numbers within a stream are one transaction of the producer.
fn assert_transactions(records: &[Value]) {
    let mut numbers: BTreeMap<(String, String), (Value, u64)> = BTreeMap::new();
    for record in records.iter().filter(|record| record["value"]["of"].as_u64() > Some(1)) {
        let number = record["transaction"].as_u64().expect("it has a number");
        let key = (record["stream"].to_string(), number.to_string());
        let logged = (&record["value"]["queue"], &record["value"]["transaction"]);
        let known = numbers.entry(key).or_insert_with(|| (serde_json::json!(logged), 0));
        assert_eq!(known.0, serde_json::json!(logged));
        known.1 += 1;
        assert!(known.1 <= record["value"]["of"].as_u64().unwrap());
    }
}

#[test]
fn values_of_every_type_that_an_application_logs_arrive_as_they_were() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = sender(&scene, &[GROUP], &receiver);
    let journal = scene.path("journal");
    for options in [
        &["--typed", "--transactions", "3"][..],
        &["--typed", "--transactions", "2", "--spin"],
    ] {
        finish(producer(&scene, &[GROUP], &journal, options), "producer");
    }
    let logged = logged(&journal);
    let expected: Vec<Value> = logged
        .values()
        .flat_map(|queue| queue.records.values())
        .flat_map(|records| records.as_array().unwrap().clone())
        .collect();
    let mut found = Vec::new();
    wait_until("all is stored", || {
        found = stored(&scene, &receiver);
        found.len() >= expected.len()
    });
    let order = |record: &Value| (record["statement"].to_string(), record["value"].to_string());
    let of = |records: &[Value]| {
        let mut all: Vec<_> = records.iter().map(order).collect();
        all.sort();
        all
    };
    assert_eq!(of(&found), of(&expected));
}

#[test]
fn threads_of_an_application_in_two_groups_lose_and_double_nothing_and_what_they_roll_back_never_comes() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let groups = [GROUP, "db"];
    let _sender = sender(&scene, &groups, &receiver);
    let journal = scene.path("journal");
    let options = [
        "--threads",
        "4",
        "--transactions",
        "60",
        "--rollback-every",
        "5",
        "--large-every",
        "7",
    ];
    let more = [&options[..], &["--large", "60000"]].concat();
    finish(producer(&scene, &groups, &journal, &more), "producer");
    assert_stored_once(&scene, &receiver, &journal);
}

#[test]
fn an_application_that_commits_by_itself_loses_and_doubles_nothing() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = sender(&scene, &[GROUP], &receiver);
    let journal = scene.path("journal");
    finish(
        producer(&scene, &[GROUP], &journal, &["--auto", "--transactions", "1500"]),
        "producer",
    );
    let logged = logged(&journal);
    let published: usize = logged.values().map(|queue| queue.published.len()).sum();
    let mut found = Vec::new();
    wait_until("what was published is stored", || {
        found = stored(&scene, &receiver);
        found.len() >= published
    });
    assert_arrived_once(&logged, &arrived(values(&found)));
}

#[test]
fn a_sender_that_is_killed_at_any_moment_loses_and_doubles_nothing_that_an_application_published() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let groups = [GROUP, "db"];
    let mut sending = sender(&scene, &groups, &receiver);
    let journal = scene.path("journal");
    let options = [
        "--threads",
        "2",
        "--large-every",
        "9",
        "--large",
        "50000",
        "--rollback-every",
        "11",
        "--pace",
        "0",
    ];
    let mut application = producer(&scene, &groups, &journal, &options);
    for _ in 0..10 {
        let size = || std::fs::metadata(&journal).map_or(0, |file| file.len());
        let wanted = size() + scene.draw(|chance| chance.u64(500..20_000));
        wait_until("it has logged enough", || size() >= wanted);
        sending.kill();
        sending = sender(&scene, &groups, &receiver);
    }
    assert!(application.is_running(), "{}", application.words());
    application.kill();
    assert_stored_once(&scene, &receiver, &journal);
    wait_until("queues of the dead are gone", || {
        let entries = std::fs::read_dir(scene.shm_dir()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count() == 0
    });
}

#[test]
fn what_a_dying_application_published_arrives_and_what_it_did_not_does_not() {
    if !can_play() {
        return;
    }
    for point in ["published:5", "marked:5", "continued:5", "tentative:5"] {
        let scene = Scene::new();
        let receiver = scene.receiver("recv");
        let _sender = sender(&scene, &[GROUP], &receiver);
        let journal = scene.path("journal");
        let mut options = vec!["--die", point, "--large-every", "6", "--transactions", "9"];
        if point.starts_with("tentative") {
            options.push("--unreliable");
        }
        let mut dies = producer(&scene, &[GROUP], &journal, &options);
        wait_until("it dies", || !dies.is_running());
        let published = if point.starts_with("published") { 6 } else { 5 };
        let mut found = Vec::new();
        wait_until("what was published is stored", || {
            found = stored(&scene, &receiver);
            found.iter().filter(|record| record["value"]["place"] == 0).count() >= published
        });
        wait_until("its queue is gone", || {
            let entries = std::fs::read_dir(scene.shm_dir()).unwrap();
            entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count() == 0
        });
        let found = arrived(values(&stored(&scene, &receiver)));
        assert_eq!(found.values().next().unwrap().len(), published, "{point}");
        assert_arrived_once(&logged(&journal), &found);
    }
}

#[test]
fn an_idle_application_whose_sender_was_killed_is_drained_without_registering_again() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sending = sender(&scene, &[GROUP], &receiver);
    let journal = scene.path("journal");
    // Registered with the first, and logs on while nobody is there.
    let mut idle = producer(
        &scene,
        &[GROUP],
        &journal,
        &["--transactions", "6", "--pace", "0.2", "--linger"],
    );
    wait_until("it has published", || {
        logged(&journal).values().any(|queue| queue.published.len() >= 2)
    });
    sending.kill();
    wait_until("it is idle", || idle.first_line().is_some());
    assert!(idle.is_running(), "{}", idle.words());
    let _sending = sender(&scene, &[GROUP], &receiver);
    assert_stored_once(&scene, &receiver, &journal);
    assert!(idle.is_running());
}

#[test]
fn an_application_that_began_before_its_sender_waits_for_it_or_drops_and_says_so() {
    if !can_play() {
        return;
    }
    for options in [
        &["--transactions", "300"][..],
        &["--transactions", "120", "--unreliable", "--large-every", "5"],
    ] {
        let scene = Scene::new();
        std::fs::create_dir_all(scene.store()).unwrap();
        let receiver = scene.receiver("recv");
        let journal = scene.path("journal");
        let mut early = producer(&scene, &[GROUP], &journal, &[options, &["--linger"]].concat());
        // Full: a reliable one says nothing more, another one that it drops.
        wait_until("its queue is full", || {
            let said = std::fs::read_to_string(&journal).unwrap_or_default();
            said.contains("dropped") || said.matches("published").count() >= 9
        });
        let _sender = sender(&scene, &[GROUP], &receiver);
        wait_until("it has logged all", || early.first_line().is_some());
        assert!(early.is_running(), "{}", early.words());
        early.kill();
        assert_stored_once(&scene, &receiver, &journal);
    }
}
