//! The life of a ring: who may take it over, who drains the dead, and when its file goes.

use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words};
use std::path::Path;

/// Starts two engines on `input` at once; says which has it, and what the other said when it gave up.
fn race(scene: &Scene, input: &Path) -> (Process, Process) {
    let arguments = scene.engine_arguments(GROUP, &[input]);
    let mut heirs = ["heir-a", "heir-b"].map(|name| scene.start(name, &arguments));
    wait_until("one of two heirs gives up", || {
        heirs.iter_mut().any(|heir| !heir.is_running())
    });
    let [one, other] = heirs;
    let mut heirs = [one, other];
    if !heirs[1].is_running() {
        heirs.swap(0, 1);
    }
    let [loser, winner] = heirs;
    (winner, loser)
}

/// That `loser` left the ring to `winner` and said so.
fn assert_left_to(winner: &mut Process, loser: Process) {
    let finished = loser.finish();
    finished.assert_refused(3, &[&winner.pid().to_string()]);
    assert!(winner.is_running(), "both gave up: {}", winner.words());
}

#[test]
fn of_two_heirs_that_race_for_a_ring_one_ships_and_the_other_names_it() {
    let scene = Scene::new();
    // More than the ring holds: as long as nobody drains it, whoever has it keeps it.
    let bytes = scene.lines(4 << 20);
    let input = scene.file("input.log", &bytes);
    let (mut winner, loser) = race(&scene, &input);
    assert_left_to(&mut winner, loser);
    for _ in 0..10 {
        wait_until("the ring is full", || scene.progress().0 > 500_000);
        winner.kill();
        let (heir, loser) = race(&scene, &input);
        winner = heir;
        assert_left_to(&mut winner, loser);
    }
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    winner.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    let (streams, _) = scene.verify(&receiver.archive);
    assert_eq!(streams.len(), 1, "{streams:?}");
}

#[test]
fn heirs_that_race_while_the_ring_is_drained_double_nothing() {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let input = scene.file("input.log", &bytes);
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let arguments = scene.engine_arguments(GROUP, &[&input]);
    let mut reached = 0;
    for _ in 0..10 {
        let mut heirs = ["heir-a", "heir-b"].map(|name| scene.start(name, &arguments));
        reached += scene.draw(|chance| chance.u64(..1 << 20));
        wait_until("the drainer gets on", || {
            scene.progress().1 >= reached || heirs.iter_mut().all(|heir| !heir.is_running())
        });
        // Both, the one that has the ring and the one that may be about to say that it has not.
        scene.draw(|chance| chance.shuffle(&mut heirs));
        for mut heir in heirs {
            if !heir.kill() {
                let finished = heir.finish();
                assert!(
                    matches!(finished.code, Some(0 | 3)),
                    "{:?}: {}",
                    finished.code,
                    finished.words
                );
            }
        }
    }
    scene.log(&[&input]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn an_ended_ring_leaves_shared_memory_and_a_kept_one_stays_for_its_heir() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let input = scene.file("kept.log", b"kept\n");
    scene.log(&[&input]);
    assert_eq!(scene.rings().len(), 1);
    scene.pipe(&scene.file("piped", b"ended\n")).succeed();
    scene.wait_acked();
    wait_until("the ring of the pipe is gone", || scene.rings().len() == 1);
    assert!(
        scene.rings()[0]
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("kept.log-")
    );
    let (streams, _) = scene.verify(&receiver.archive);
    let of = |ended: bool| streams.iter().filter(|stream| stream["ended"] == ended).count();
    assert_eq!((of(true), of(false)), (1, 1));
}

#[test]
fn the_ring_of_a_killed_program_is_drained_and_removed() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    let input = scene.file("piped", &bytes);
    // It blocks once the ring is full, having logged what fits.
    let mut engine = scene.pipe(&input);
    wait_until("the ring is full", || scene.progress().0 > 500_000);
    engine.kill();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("the ring is gone", || scene.rings().is_empty());
    scene.wait_acked();
    let raw = scene.raw(&receiver.archive);
    assert!(
        raw.len() > 400_000 && bytes.starts_with(&raw) && raw.ends_with(b"\n"),
        "{} bytes",
        raw.len()
    );
    let (streams, _) = scene.verify(&receiver.archive);
    assert!(streams.iter().all(|stream| stream["ended"] == true), "{streams:?}");
}

#[test]
fn a_ring_that_was_begun_anew_leaves_the_old_one_to_be_drained() {
    let scene = Scene::new();
    let input = scene.file("input.log", b"one\ntwo\n");
    scene.log(&[&input]);
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.extend(words(&["--resume", "off"]));
    scene.start("engine", &arguments).succeed();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, b"one\ntwo\none\ntwo\n");
    wait_until("the retired ring is gone", || scene.rings().len() == 1);
}

#[test]
fn every_role_ends_in_order_when_asked_to() {
    let scene = Scene::new();
    let bytes = scene.lines(4 << 20);
    let input = scene.file("input.log", &bytes);
    let mut receiver = scene.receiver("recv");
    let mut nobody = scene.receiver("nobody");
    nobody.kill();
    let mut sender = scene.sender(&[&receiver.address, &nobody.address]);
    wait_until("the sender runs", || scene.status().is_some());
    let end = |process: &mut Process| {
        let asked = std::time::Instant::now();
        process.terminate();
        wait_until("it ends", || !process.is_running());
        assert_eq!(process.ended().unwrap().code(), Some(0), "{}", process.words());
        assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    };
    end(&mut sender);
    // With nobody to drain it, the engine waits for room in its ring.
    let mut engine = scene.engine(&[&input]);
    wait_until("the ring is full", || scene.progress().0 > 500_000);
    end(&mut engine);
    let mut sender = scene.sender(&[&receiver.address, &nobody.address]);
    scene.log(&[&input]);
    wait_until("the archive has some of it", || !receiver.segments().is_empty());
    end(receiver.process());
    end(&mut sender);
    receiver.start(&scene);
    nobody.start(&scene);
    let _sender = scene.sender(&[&receiver.address, &nobody.address]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    scene.assert_arrived(&nobody, &bytes);
}

#[test]
fn an_engine_whose_fifo_nobody_writes_to_ends_in_order_and_one_that_is_written_to_logs_all() {
    let scene = Scene::new();
    let fifo = scene.path("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut engine = scene.engine(&[&fifo]);
    wait_until("the engine reads", || !scene.rings().is_empty());
    engine.terminate();
    wait_until("it ends", || !engine.is_running());
    assert_eq!(engine.ended().unwrap().code(), Some(0), "{}", engine.words());

    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let engine = scene.engine(&[&fifo]);
    let bytes = scene.lines(1 << 20);
    std::fs::write(&fifo, &bytes).unwrap(); // waits for the reader
    engine.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}
