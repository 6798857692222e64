//! What one run of a program logged comes wholly before what the next one logged, whatever becomes of the sender
//! meanwhile.

use crate::scene::{Scene, wait_until};
use rustix::process::Signal;

const RUNS: usize = 50;

#[test]
fn run_after_run_of_a_short_lived_program_arrives_in_order() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut expected = Vec::new();
    for run in 0..RUNS {
        let lines = scene.draw(|chance| chance.usize(..2000));
        let bytes: Vec<u8> = (0..lines)
            .flat_map(|line| format!("run {run} line {line}\n").into_bytes())
            .collect();
        let input = scene.file("piped", &bytes);
        let engine = scene.pipe(&input);
        if scene.draw(|chance| chance.u8(..3)) == 0 {
            let taken = scene.draw(|chance| chance.u64(..bytes.len() as u64 + 1));
            // The ring may come and go between two looks.
            let mut engine = engine;
            wait_until("the run is drained so far, or over", || {
                scene.progress().1 >= taken || !engine.is_running()
            });
            sender.kill();
            sender = scene.sender(&[&receiver.address]);
            engine.succeed();
        } else {
            engine.succeed();
        }
        expected.extend(bytes);
    }
    scene.wait_acked();
    scene.assert_arrived(&receiver, &expected);
    wait_until("the rings of all runs are gone", || scene.rings().is_empty());
}

#[test]
fn runs_that_ended_before_any_sender_began_arrive_in_order() {
    let scene = Scene::new();
    let mut expected = Vec::new();
    for run in 0..20 {
        let bytes: Vec<u8> = (0..100)
            .flat_map(|line| format!("run {run} line {line}\n").into_bytes())
            .collect();
        scene.pipe(&scene.file("piped", &bytes)).succeed();
        expected.extend(bytes);
    }
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &expected);
    wait_until("the rings of all runs are gone", || scene.rings().is_empty());
}

#[test]
fn runs_on_two_files_in_turn_arrive_in_order() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut expected = Vec::new();
    let mut contents = [Vec::new(), Vec::new()];
    for run in 0..20 {
        // Either ring is taken over again and again, and each time it is the youngest.
        let growth = format!("file {} run {run}\n", run % 2).into_bytes();
        contents[run % 2].extend_from_slice(&growth);
        expected.extend(growth);
        let input = scene.file(&format!("{}.log", run % 2), &contents[run % 2]);
        if run % 5 == 4 {
            sender.kill();
        }
        scene.log(&[&input]);
        if run % 5 == 4 {
            sender = scene.sender(&[&receiver.address]);
        }
    }
    scene.wait_acked();
    scene.assert_arrived(&receiver, &expected);
}

#[test]
fn runs_that_follow_one_another_while_the_sender_stands_still_arrive_in_order() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let sender = scene.sender(&[&receiver.address]);
    let (mut expected, mut contents) = (Vec::new(), Vec::new());
    for round in 0..4 {
        // The second time, the sender has known the ring of the file at rest, and learns of its next run and of another program's at once.
        for half in ["drained", "found"] {
            if half == "found" {
                wait_until("the sender has all", || scene.progress().0 == scene.progress().1);
                sender.stand_still();
            }
            let growth = format!("round {round} {half} in a file\n").into_bytes();
            contents.extend_from_slice(&growth);
            scene.log(&[&scene.file("0.log", &contents)]);
            let piped = format!("round {round} {half} by a pipe\n").into_bytes();
            scene.pipe(&scene.file("piped", &piped)).succeed();
            expected.extend([growth, piped].concat());
        }
        sender.signal(Signal::CONT);
    }
    scene.wait_acked();
    scene.assert_arrived(&receiver, &expected);
}

/// What becomes of the roles while a program runs.
#[derive(Clone, Copy)]
enum Blow {
    None,
    Sender,
    /// And it stays away for a while.
    SenderForLong,
    Destination(usize),
    AllButTheLogger,
}

#[test]
fn runs_in_many_rings_arrive_in_order_at_two_destinations_though_all_are_killed_and_one_is_away_for_long() {
    let scene = Scene::new();
    let mut receivers = [scene.receiver("first"), scene.receiver("second")];
    let addresses = receivers.each_ref().map(|receiver| receiver.address.clone());
    let start = || scene.sender(&[&addresses[0], &addresses[1]]);
    let mut sender = Some(start());
    let mut expected = Vec::new();
    let mut files = [Vec::new(), Vec::new(), Vec::new()];
    for run in 0..40 {
        match run {
            10 => receivers[1].kill(),
            26 => receivers[1].start(&scene),
            _ => {}
        }
        let count = scene.draw(|chance| chance.usize(1..1500));
        let bytes: Vec<u8> = (0..count)
            .flat_map(|line| format!("run {run} line {line}\n").into_bytes())
            .collect();
        expected.extend_from_slice(&bytes);
        // A ring of its own for this run, or the one that its file has had.
        let mut engine = match scene.draw(|chance| chance.usize(..files.len() * 2)) {
            file if file < files.len() => {
                files[file].extend_from_slice(&bytes);
                let input = scene.file(&format!("{file}.log"), &files[file]);
                scene.engine(&[&input])
            }
            _ => scene.pipe(&scene.file("piped", &bytes)),
        };
        let blow = scene.draw(|chance| {
            chance
                .choice([
                    Blow::None,
                    Blow::None,
                    Blow::Sender,
                    Blow::SenderForLong,
                    Blow::Destination(0),
                    Blow::Destination(1),
                    Blow::AllButTheLogger,
                ])
                .unwrap()
        });
        let taken = scene.draw(|chance| chance.u64(..bytes.len() as u64 + 1));
        wait_until("the run is drained so far, or over", || {
            scene.progress().1 >= taken || !engine.is_running() || sender.is_none()
        });
        let is_away = (10..26).contains(&run);
        if !matches!(blow, Blow::None | Blow::Destination(_)) {
            sender = None; // which kills it
        }
        for (number, receiver) in receivers.iter_mut().enumerate() {
            let is_struck =
                matches!(blow, Blow::AllButTheLogger) || matches!(blow, Blow::Destination(struck) if struck == number);
            if is_struck && !(is_away && number == 1) {
                receiver.kill();
                receiver.start(&scene);
            }
        }
        if !matches!(blow, Blow::SenderForLong) && sender.is_none() {
            sender = Some(start());
        }
        engine.succeed();
    }
    let _sender = sender.unwrap_or_else(start);
    scene.wait_acked();
    for receiver in &receivers {
        scene.assert_arrived(receiver, &expected);
    }
    wait_until("the rings of all runs are gone", || scene.rings().len() <= files.len());
}
