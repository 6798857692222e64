//! Any sequence of calls, held against the model.

use crate::model::{Machine, cases, steps};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reader_gets_what_was_committed_and_heirs_know_how_much(unreliable: bool, steps in steps(80)) {
        let mut machine = Machine::new(unreliable);
        for step in &steps {
            machine.take(step);
        }
        machine.check();
    }
}
