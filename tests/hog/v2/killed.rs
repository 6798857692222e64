//! Senders and locals are killed at random moments, and nothing that was published is lost or doubled.

use super::producer::{Logging, numbers};
use crate::scene::{GROUP, Scene, wait_until};
use std::time::Duration;

/// How often a role is killed in each test.
const KILLS: usize = 12;

fn assert_once(scene: &Scene, archive: &std::path::Path, programs: &[Logging]) {
    let mut all = numbers(scene, archive);
    all.sort_by_key(Vec::len);
    let mut published: Vec<_> = programs.iter().map(Logging::published).collect();
    published.sort_unstable();
    assert_eq!(all.len(), programs.len());
    for (numbers, published) in all.iter().zip(published) {
        let count = numbers.len() as u64;
        assert!(count == published || count == published + 1, "{count} of {published}");
        assert!(numbers.iter().copied().eq(0..count), "doubled, lost or out of order");
    }
}

#[test]
fn a_sender_killed_at_random_moments_loses_and_doubles_no_transaction() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut programs: Vec<_> = ["one", "two"]
        .map(|name| Logging::start(&scene, &scene.store(), name))
        .into();
    for _ in 0..KILLS {
        let before: u64 = programs.iter().map(Logging::published).sum();
        wait_until("they log", || {
            programs.iter().map(Logging::published).sum::<u64>() > before + 10
        });
        std::thread::sleep(Duration::from_micros(scene.draw(|chance| chance.u64(..60_000))));
        sender.kill();
        sender = scene.sender(&[&receiver.address]);
    }
    programs.iter_mut().for_each(Logging::kill);
    wait_until("their queues are deleted", || {
        let path =
            |program: &Logging| super::producer::queue_path(scene.shm_dir(), GROUP, program.pid(), program.pid());
        programs.iter().all(|program| !path(program).exists())
    });
    scene.wait_acked();
    sender.terminate();
    sender.succeed();
    assert_once(&scene, &receiver.archive, &programs);
    scene.verify(&receiver.archive);
}

#[test]
fn a_local_killed_at_random_moments_loses_and_doubles_no_transaction() {
    let scene = Scene::new();
    let mut local = scene.local("here");
    let mut programs = vec![Logging::start(&scene, &scene.local_store(), "one")];
    for _ in 0..KILLS {
        let before = programs[0].published();
        wait_until("it logs", || programs[0].published() > before + 10);
        std::thread::sleep(Duration::from_micros(scene.draw(|chance| chance.u64(..30_000))));
        local.kill();
        local = scene.local("here");
    }
    programs[0].kill();
    let path = super::producer::queue_path(scene.shm_dir(), GROUP, programs[0].pid(), programs[0].pid());
    wait_until("its queue is deleted", || !path.exists());
    scene.wait_stored();
    assert_once(&scene, &scene.archive("here"), &programs);
    drop(local);
}
