//! What programs log arrives: typed, transaction by transaction, and what was rolled back does not.

use super::producer::{Program, UNIT, connect, counted, numbers, register, wait_read};
use crate::scene::{GROUP, Scene, wait_until};
use hog_ring::v2::WaitPolicy;

#[test]
fn typed_records_and_transactions_of_many_pages_arrive_and_those_rolled_back_do_not() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut program = Program::start(&scene, &scene.store(), 1);
    program.log(1, 1, "alice");
    program.log(2, 3, "bob");
    program.producer.write(&counted(u64::MAX, "nobody"));
    program.producer.rollback();
    // Longer than the queue: it goes through the stash.
    let long = "l".repeat(100_000);
    program.log(5, 4, &long);
    program.producer.write(&counted(u64::MAX, &long));
    program.producer.rollback();
    program.producer.commit(); // a transaction of nothing
    program.producer.write(&UNIT.to_le_bytes());
    program.producer.commit();
    wait_read(&mut sender, &program.path);
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    let counted: Vec<_> = records
        .iter()
        .filter(|record| record["statement"] == "counted")
        .collect();
    assert_eq!((records.len(), counted.len()), (9, 8));
    for (number, record) in (1..).zip(&counted) {
        assert_eq!(record["value"][0], number);
        assert_eq!(record["group"], GROUP);
        assert!(record["time"].is_string(), "when it was taken in");
    }
    assert_eq!(counted[1]["value"][1], "bob");
    assert_eq!(counted[1]["text"], "bob counts 2");
    assert_eq!(counted[7]["value"][1], long);
    let of = |number: usize| counted[number]["transaction"].clone();
    assert!(of(0).is_null(), "alone");
    assert!(of(1).is_number() && of(1) == of(2) && of(2) == of(3));
    assert!(of(4).is_number() && of(4) == of(7) && of(4) != of(1));
    let last = &records[8];
    assert_eq!(
        (&last["statement"], &last["value"]),
        (&"case".into(), &serde_json::Value::Null)
    );
    scene.verify(&receiver.archive);
    sender.terminate();
    sender.succeed();
}

#[test]
fn a_local_takes_queues_of_every_policy_and_quality_in() {
    let scene = Scene::new();
    let mut local = scene.local("here");
    let mut socket = connect(&scene.local_store(), GROUP);
    let mut programs = Vec::new();
    for (tid, policy, reliable) in [
        (1, WaitPolicy::Futex, true),
        (2, WaitPolicy::Spin, true),
        (3, WaitPolicy::Futex, false),
    ] {
        let program = Program::unregistered(scene.shm_dir(), tid, 4, policy, reliable);
        let command = if policy == WaitPolicy::Spin { 2 } else { 0 };
        register(&mut socket, command, std::process::id(), tid);
        // Some say it again and again.
        register(&mut socket, command | 1, std::process::id(), tid);
        programs.push((program, reliable));
    }
    std::thread::scope(|scope| {
        for (program, reliable) in &mut programs {
            scope.spawn(move || {
                for number in 0..300 {
                    program.log(number, 1, &"y".repeat(usize::try_from(number % 40 * 100).unwrap()));
                    if !*reliable {
                        // It drops what finds no room.
                        while hog_ring::v2::Queue::open(&program.path)
                            .unwrap()
                            .indices()
                            .is_ok_and(|(ri, wi)| ri != wi)
                        {
                            std::thread::yield_now();
                        }
                    }
                }
            });
        }
    });
    for (program, _) in &programs {
        wait_read(&mut local, &program.path);
    }
    scene.wait_stored();
    let all: Vec<u64> = (0..300).collect();
    assert_eq!(numbers(&scene, &scene.archive("here")), [all.clone(), all.clone(), all]);
    local.terminate();
    local.succeed();
}

#[test]
fn a_sender_that_drains_and_exits_takes_what_queues_held_when_it_came() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut program = Program::start(&scene, &scene.store(), 1);
    program.log(0, 1, "first");
    wait_read(&mut sender, &program.path);
    sender.kill();
    program.log(1, 9, "then");
    scene
        .sender_with(&[GROUP], &[&receiver.address], &["--drain-and-exit"])
        .succeed();
    assert_eq!(numbers(&scene, &receiver.archive), [(0..10).collect::<Vec<u64>>()]);
    assert!(
        !scene.store().join(format!("hstore.{GROUP}.sk")).exists(),
        "it ended in order"
    );
}

#[test]
fn two_groups_of_one_process_are_two_logs() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let _sender = scene.sender_with(&["web", "db"], &[&receiver.address], &[]);
    let pid = std::process::id();
    let mut producers = Vec::new();
    for (group, number) in [("web", 1), ("db", 2)] {
        let path = super::producer::queue_path(scene.shm_dir(), group, pid, 1);
        let metadata = super::producer::metadata();
        let mut producer =
            hog_ring::v2::producer::Producer::create(&path, &metadata, 11, WaitPolicy::Futex, true).unwrap();
        let mut socket = connect(&scene.store(), group);
        register(&mut socket, 0, pid, 1);
        producer.write(&counted(number, group));
        producer.commit();
        producers.push((producer, socket));
    }
    wait_until("both arrived", || scene.json(&receiver.archive).len() == 2);
    for record in scene.json(&receiver.archive) {
        assert_eq!(record["value"][1], record["group"]);
    }
}
