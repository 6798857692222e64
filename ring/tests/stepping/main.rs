//! A producer killed after every instruction.
//!
//! A child process logs under `ptrace`, one instruction at a time. After each, what lies in shared memory is exactly what a SIGKILL at that
//! instant would leave there: a kill takes the process and nothing of what it stored. So each time that memory has changed, a copy of
//! the ring is drained and checked, adopted by an heir, logged to, and adopted once more. That this stands for a kill is checked too: some runs of
//! each scene are killed for good, at instants spread over it, and the ring itself is checked then.
//!
//! What must hold of each copy, for a child that logs 0, 1, 2, ...:
//! - no record whose call had returned is missing, none is there twice or out of order, and no transaction is there in part;
//! - the resume state is that of the last record there, for this heir and for the next.
//!
//! Without permission to trace processes there is nothing to be seen; that is said, and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Everything here is test code.

mod check;
mod mutants;
mod scenes;
mod tracer;

use check::Checker;
use libtest_mimic::{Arguments, Failed, Trial};
use scenes::{SCENES, Scene};
use tracer::{Stepped, Tracing};

/// How many runs of a scene are killed, if that does not take more than so many instructions.
const KILLS: u64 = 16;
const KILLED_STEPS: u64 = 60_000;

fn main() {
    if let Some(scene) = std::env::var_os(scenes::ROLE) {
        scenes::play(&scene.into_string().expect("the name of a scene"));
        return;
    }
    let mut trials: Vec<_> = SCENES
        .iter()
        .map(|scene| {
            Trial::test(scene.sentence, || {
                // A panic tells more than an error would: where in the check it was.
                kill_everywhere(scene);
                Ok::<(), Failed>(())
            })
        })
        .collect();
    if cfg!(not(feature = "mutants")) {
        trials.push(Trial::test("each_mutant_of_the_ring_is_caught", || {
            mutants::all_are_caught();
            Ok(())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Runs `scene` step by step, and then again and again with a kill.
fn kill_everywhere(scene: &'static Scene) {
    let steps = match step_through(scene) {
        Tracing::Done(steps) => steps,
        Tracing::Forbidden(error) => {
            eprintln!("skipped: this process may not trace another one: {error}");
            return;
        }
    };
    assert!(steps > 100, "{}: only {steps} instructions", scene.name);
    let kills = KILLS.min(2 * KILLED_STEPS / steps).max(2);
    for kill in 0..kills {
        kill_after(scene, steps * kill / kills);
    }
    println!("{}: {steps} instructions, {kills} kills", scene.name);
}

/// Checks what is in shared memory after each instruction of `scene`; says how many there are.
fn step_through(scene: &'static Scene) -> Tracing<u64> {
    let mut checker = Checker::new(scene);
    let mut stepped = match Stepped::start(scene.name, checker.shm()) {
        Tracing::Done(stepped) => stepped,
        Tracing::Forbidden(error) => return Tracing::Forbidden(error),
    };
    let mut steps = 0;
    while let Some(returned) = stepped.step() {
        steps += 1;
        checker.after_instruction(steps, returned);
    }
    checker.after_end();
    Tracing::Done(steps)
}

/// Kills `scene` after `steps` instructions, and checks the ring.
fn kill_after(scene: &'static Scene, steps: u64) {
    let mut checker = Checker::new(scene);
    let Tracing::Done(mut stepped) = Stepped::start(scene.name, checker.shm()) else {
        panic!("tracing was allowed before");
    };
    let mut returned = 0;
    for step in 0..steps {
        match stepped.step() {
            Some(now) => returned = now,
            None => break,
        }
        checker.make_room(step);
    }
    stepped.kill();
    checker.after_kill(steps, returned);
}
