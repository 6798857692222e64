//! Any sequence of calls, any of which may be the last of its process, held against the model.

use crate::model::{Machine, cases, steps};
use crate::processes::{World, run_as};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_committed_before_any_kill_is_read_once_and_heirs_know_how_much(
        unreliable: bool,
        steps in steps(80),
        kills in vec(option::weighted(0.3, 0..40_u64), 80),
        heir_kills in vec(0..20_u64, 0..3),
    ) {
        let _world = World::begin(1);
        let mut machine = Machine::new(unreliable);
        // One process at a time has both ends of the ring: a kill takes its writer, and what its reader was doing.
        let mut pid = 1;
        for (step, kill) in steps.iter().zip(kills) {
            if run_as(pid, kill, || machine.take(step)).is_some() {
                continue;
            }
            // Its heirs are killed too.
            let mut heirs = heir_kills.iter();
            loop {
                pid += 1;
                if run_as(pid, heirs.next().copied(), || machine.go_on_after_kill(step)).is_some() {
                    break;
                }
            }
        }
        machine.check();
    }
}
