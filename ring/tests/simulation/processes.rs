//! Simulated processes: something done as one of them, up to its end or to the point at which it is killed.

use hog_ring::simulation::{self, Killed};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A simulated world, until it is dropped.
pub(crate) struct World;

impl World {
    pub(crate) fn begin(seed: u64) -> World {
        simulation::begin(seed);
        World
    }
}

impl Drop for World {
    fn drop(&mut self) {
        simulation::end();
    }
}

/// Does `act` as process `pid`, which is killed at its `kill`th point, counted from 0. `None`: it was killed.
pub(crate) fn run_as<T>(pid: u32, kill: Option<u64>, act: impl FnOnce() -> T) -> Option<T> {
    simulation::become_process(pid);
    simulation::kill_after(kill);
    let outcome = catch_unwind(AssertUnwindSafe(act));
    simulation::kill_after(None);
    match outcome {
        Ok(value) => Some(value),
        Err(payload) => match payload.downcast::<Killed>() {
            Ok(killed) => {
                assert_eq!(*killed, Killed { pid });
                None
            }
            Err(payload) => resume_unwind(payload),
        },
    }
}

/// Does `scene` with a kill at its first point, then at its second, and so on, until it says that nobody was killed any more. Says how many kills there were.
pub(crate) fn kill_at_each_point(mut scene: impl FnMut(u64) -> bool) -> u64 {
    for kill in 0..10_000 {
        if !scene(kill) {
            return kill;
        }
    }
    panic!("the scene does not end");
}
