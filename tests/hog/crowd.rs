//! Hundreds of rings in which nothing happens: they are looked after in turn, and what happens beside them is seen all the same.

use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until};
use hog_ring::{GroupOptions, Statement, Writer, statement};
use std::io::{PipeWriter, Write};
use std::process::Stdio;

static IDLE: Statement<(u64,)> = statement!("idle", "idle $number", number);

/// Many more than are looked at each time.
const IDLE_RINGS: usize = 300;

/// Rings of this process, with a record in each, all of which are taken.
fn idle_rings(scene: &Scene) -> Vec<Writer> {
    let group = GroupOptions::new(GROUP)
        .shm_dir(scene.shm_dir())
        .ring_size(64 << 10)
        .open()
        .unwrap();
    let writers = (0..IDLE_RINGS as u64).map(|number| {
        let mut writer = group.writer().unwrap();
        writer.log(&IDLE, (number,)).unwrap();
        writer
    });
    let writers = writers.collect();
    wait_until("all of the idle rings is taken", || {
        let (tails, heads) = scene.progress();
        tails == heads
    });
    writers
}

/// An engine that reads its input from a pipe, and has logged a line.
fn engine_on_a_pipe(scene: &Scene, number: usize) -> (Process, PipeWriter) {
    let (stdin, mut pipe) = std::io::pipe().unwrap();
    let rings = scene.rings().len();
    let (name, arguments) = (format!("engine-{number}"), scene.engine_arguments(GROUP, &[]));
    let engine = Process::start(scene.directory(), &name, &arguments, Stdio::from(stdin));
    writeln!(pipe, "run {number}").unwrap();
    wait_until("the engine's line is taken", || {
        let (tails, heads) = scene.progress();
        scene.rings().len() == rings + 1 && tails == heads
    });
    (engine, pipe)
}

#[test]
fn each_program_that_is_killed_beside_hundreds_of_idle_rings_is_noticed_in_its_turn() {
    let scene = Scene::new();
    let _sender = scene.sender(&["127.0.0.1:9"]);
    let _idle = idle_rings(&scene);
    let mut engines: Vec<_> = (0..4).map(|number| engine_on_a_pipe(&scene, number)).collect();
    while let Some((engine, _)) = engines.last_mut() {
        // Its last words are in a ring of which nobody announces the end.
        engine.kill();
        engines.pop();
        wait_until("the ring of the killed one is gone", || {
            scene.rings().len() == IDLE_RINGS + engines.len()
        });
    }
}

#[test]
fn runs_of_short_lived_programs_beside_hundreds_of_idle_rings_arrive_in_order() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let _idle = idle_rings(&scene);
    let mut expected = Vec::new();
    for run in 0..20 {
        let bytes: Vec<u8> = (0..200)
            .flat_map(|line| format!("run {run} line {line}\n").into_bytes())
            .collect();
        scene.pipe(&scene.file("piped", &bytes)).succeed();
        expected.extend(bytes);
    }
    wait_until("the rings of all runs are gone", || scene.rings().len() == IDLE_RINGS);
    scene.wait_acked();
    let raw = scene.raw(&receiver.archive);
    let is_of_a_run = |line: &&[u8]| !line.starts_with(b"idle");
    let arrived: Vec<u8> = raw
        .split_inclusive(|byte| *byte == b'\n')
        .filter(is_of_a_run)
        .flatten()
        .copied()
        .collect();
    crate::arrived::assert_equal(&arrived, &expected);
}
