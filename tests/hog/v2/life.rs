//! Producers live, idle and die; their queues are found, and in the end deleted.

use super::producer::{Logging, Program, numbers, wait_read};
use crate::scene::{GROUP, Scene, wait_until, words};
use hog_ring::v2::WaitPolicy;
use std::path::PathBuf;

/// What lies beside the rings of the group and is no ring's.
fn beside_rings(scene: &Scene) -> Vec<PathBuf> {
    let directory = hog_ring::group_dir(scene.shm_dir(), GROUP);
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let names = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("v2-");
    paths.filter(names).collect()
}

#[test]
fn an_idle_living_producer_is_found_by_the_next_sender_though_it_says_nothing() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut program = Program::start(&scene, &scene.store(), 1);
    program.log(0, 5, "before");
    wait_read(&mut sender, &program.path);
    sender.kill();
    program.log(5, 5, "between");
    // Another thread of that number has taken the name since.
    std::fs::remove_file(&program.path).unwrap();
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("it is found", || {
        scene.acked() && numbers(&scene, &receiver.archive).concat().len() == 10
    });
    program.log(10, 5, "after");
    wait_until("it is served", || {
        numbers(&scene, &receiver.archive).concat().len() == 15
    });
    assert_eq!(numbers(&scene, &receiver.archive), [(0..15).collect::<Vec<u64>>()]);
}

#[test]
fn the_queue_of_a_dead_producer_is_drained_and_everything_of_it_is_deleted() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let _sender = scene.sender(&[&receiver.address]);
    let mut logging = Logging::start(&scene, &scene.store(), "logging");
    wait_until("it logs", || logging.published() > 200);
    let path = super::producer::queue_path(scene.shm_dir(), GROUP, logging.pid(), logging.pid());
    assert!(path.exists());
    logging.kill();
    wait_until("its queue is deleted", || !path.exists());
    wait_until("its link and ring are deleted", || beside_rings(&scene).is_empty());
    scene.wait_acked();
    let published = logging.published();
    let [numbers] = &numbers(&scene, &receiver.archive)[..] else {
        panic!()
    };
    // One more may have been published than it came to say.
    let count = numbers.len() as u64;
    assert!(count == published || count == published + 1, "{count} of {published}");
    assert_eq!(*numbers, (0..count).collect::<Vec<_>>());
}

#[test]
fn a_tentative_page_of_a_living_producer_waits_and_one_of_a_sender_that_was_killed_counts_once() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut program = Program::unregistered(scene.shm_dir(), 1, 11, WaitPolicy::Futex, false);
    let mut socket = super::producer::connect(&scene.store(), GROUP);
    super::producer::register(&mut socket, 0, std::process::id(), 1);
    program.log(0, 1, "first");
    wait_read(&mut sender, &program.path);
    program.producer.write(&super::producer::counted(1, "second"));
    program.producer.leave_tentative();
    wait_until("the first arrived", || {
        numbers(&scene, &receiver.archive).concat() == [0]
    });
    sender.kill();
    let mut sender = scene.sender(&[&receiver.address]);
    program.producer.decide(hog_ring::v2::PageKind::Continued);
    program.log(2, 1, "third");
    wait_read(&mut sender, &program.path);
    wait_until("all arrived", || {
        numbers(&scene, &receiver.archive).concat() == [0, 1, 2]
    });
}

#[test]
fn a_sender_that_recovers_nothing_leaves_queues_of_the_dead_to_the_next() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut logging = Logging::start(&scene, &scene.store(), "logging");
    wait_until("it logs", || logging.published() > 20);
    sender.kill();
    wait_until("its queue is full", || {
        let before = logging.published();
        std::thread::sleep(std::time::Duration::from_millis(50));
        before == logging.published()
    });
    logging.kill();
    let path = super::producer::queue_path(scene.shm_dir(), GROUP, logging.pid(), logging.pid());
    let left = std::fs::read(&path).unwrap();
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--no-recovery"]);
    let mut other = Program::start(&scene, &scene.store(), 1);
    other.log(1_000_000, 1, "other");
    wait_read(&mut sender, &other.path);
    assert!(std::fs::read(&path).unwrap() == left, "it is untouched");
    sender.terminate();
    sender.succeed();
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("its queue is deleted", || !path.exists());
    scene.wait_acked();
    let all = numbers(&scene, &receiver.archive);
    let of_dead = all.iter().find(|numbers| numbers[0] == 0).unwrap();
    let count = of_dead.len() as u64;
    assert!(count == logging.published() || count == logging.published() + 1);
    assert_eq!(*of_dead, (0..count).collect::<Vec<_>>());
}

#[test]
fn the_ring_of_a_queue_that_is_not_finished_is_not_given_up_by_force() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut program = Program::start(&scene, &scene.store(), 1);
    program.log(0, 1, "before");
    wait_read(&mut sender, &program.path);
    sender.kill();
    let mut arguments = words(&["gc", "--force", "--older-than", "0s", "--shm-dir"]);
    arguments.push(scene.shm_dir().as_os_str());
    let finished = scene.run("gc", &arguments);
    let output = String::from_utf8_lossy(&finished.output).into_owned();
    assert!(
        finished.code == Some(0) && output.contains("goes on with the queue"),
        "{output}{}",
        finished.words
    );
    assert!(!output.contains("given up"), "{output}");
}

#[test]
fn what_a_program_left_that_never_registered_is_taken_in_once_it_is_dead_and_nobody_has_it() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut program = Program::of_nobody(scene.shm_dir(), 7);
    program.log(0, 5, "nobody listens");
    let drained = Program::of_nobody(scene.shm_dir(), 8);
    let run = |more: &[&str]| scene.sender_with(&[GROUP], &[&receiver.address], more).succeed();
    // It is mapped here: whoever has it may read it, or log on.
    run(&["--drain-and-exit"]);
    assert!(program.path.exists() && drained.path.exists());
    assert!(beside_rings(&scene).is_empty());
    let paths = [program.path.clone(), drained.path.clone()];
    drop((program, drained));
    // A run without recovery leaves what is of the dead.
    run(&["--drain-and-exit", "--no-recovery"]);
    assert!(paths.iter().all(|path| path.exists()));
    let mut sender = scene.sender(&[&receiver.address]);
    wait_until("it is taken in, and deleted", || {
        assert!(sender.is_running(), "{}", sender.words());
        paths.iter().all(|path| !path.exists()) && beside_rings(&scene).is_empty()
    });
    scene.wait_acked();
    assert_eq!(numbers(&scene, &receiver.archive), [(0..5).collect::<Vec<u64>>()]);
}
