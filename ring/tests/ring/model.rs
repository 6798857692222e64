//! Any sequence of calls against a model: a list of what was committed.

use crate::scene::{Scene, TEXT, drain, logged};
use hog_ring::{Error, Resume, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Clone, Debug)]
enum Step {
    Log(usize),
    Transaction(Vec<usize>, bool),
    Batch(Vec<usize>, bool),
    Drain,
    /// The program ends and the next run takes its ring over.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Together at most half of the smallest ring, so that an empty one has room for any step; often more than may stand
    // unfragmented.
    let length = || prop_oneof![8 => 0..40_usize, 2 => 0..3_000_usize, 1 => 14_000..18_000_usize];
    let long = prop_oneof![9 => 0..200_usize, 1 => 15_000..40_000_usize];
    let lengths = move || vec(length(), 0..12).prop_filter("room", |lengths| lengths.iter().sum::<usize>() < 30_000);
    let step = prop_oneof![
        4 => long.prop_map(Step::Log),
        2 => (lengths(), any::<bool>()).prop_map(|(lengths, commits)| Step::Transaction(lengths, commits)),
        2 => (lengths(), any::<bool>()).prop_map(|(lengths, commits)| Step::Batch(lengths, commits)),
        1 => Just(Step::Drain),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..60)
}

/// Text number `number`, which no other number has.
fn text(number: usize, len: usize) -> String {
    format!("{number}:{}", "x".repeat(len))
}

/// Takes one step and adds what it committed to `committed`; the state says how many that are.
fn take(writer: &mut Writer, step: &Step, committed: &mut Vec<String>) -> Result<(), Error> {
    let begin = committed.len();
    let new = |lengths: &[usize]| {
        (begin..)
            .zip(lengths)
            .map(|(number, &len)| text(number, len))
            .collect::<Vec<_>>()
    };
    let state = |count: usize| ((begin + count) as u64).to_le_bytes();
    match step {
        Step::Log(len) => {
            writer.set_state(&state(1))?;
            writer.log(&TEXT, (&text(begin, *len),))?;
            committed.extend(new(&[*len]));
        }
        Step::Transaction(lengths, commits) if !lengths.is_empty() => {
            let mut transaction = writer.transaction();
            for text in new(lengths) {
                transaction.log(&TEXT, (&text,))?;
            }
            transaction.set_state(&state(lengths.len()))?;
            if *commits {
                transaction.commit()?;
                committed.extend(new(lengths));
            }
        }
        Step::Batch(lengths, commits) => {
            let mut batch = writer.batch();
            let mut pending = 0;
            for (text, count) in new(lengths).iter().zip(0..) {
                if !batch.log(&TEXT, (text,))? {
                    batch.set_state(&state(count))?;
                    batch.commit()?;
                    committed.extend(new(&lengths[..count]).split_off(count - pending));
                    pending = 0;
                    assert!(batch.log(&TEXT, (text,))?);
                }
                pending += 1;
            }
            if *commits && pending > 0 {
                batch.set_state(&state(lengths.len()))?;
                batch.commit()?;
                committed.extend(new(lengths).split_off(lengths.len() - pending));
            }
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reader_gets_what_was_committed_and_heirs_know_how_much(steps in steps()) {
        let scene = Scene::new();
        // Raised for good: a full ring is an error at once, after which this test drains and tries again.
        let stop = Arc::new(AtomicBool::new(true));
        let group = scene.options().stop_flag(stop).open().unwrap();
        let mut writer = group.named_writer("n", Resume::Auto).unwrap();
        writer.set_state(&0_u64.to_le_bytes()).unwrap();
        writer.log(&TEXT, ("0:",)).unwrap();
        let mut committed = vec![text(0, 0)];
        let reader = scene.reader();
        let (mut position, mut bytes) = (0, Vec::new());
        // A state that was set for a record which then found no room goes with the next, as its caller said; so it is
        // checked only after steps that went through at once.
        let mut is_state_known = false;
        for step in &steps {
            match step {
                Step::Drain => bytes.extend(drain(&reader, &mut position)),
                Step::Restart => {
                    drop(writer);
                    writer = group.named_writer("n", Resume::Require).unwrap();
                    let state = &writer.recovered().unwrap().state;
                    prop_assert!(!is_state_known || state[..] == (committed.len() as u64).to_le_bytes());
                }
                step => {
                    let before = committed.len();
                    let mut outcome = take(&mut writer, step, &mut committed);
                    if matches!(outcome, Err(Error::Stopped)) && committed.len() == before {
                        bytes.extend(drain(&reader, &mut position));
                        outcome = take(&mut writer, step, &mut committed);
                    }
                    prop_assert!(matches!(outcome, Ok(()) | Err(Error::Stopped)), "{outcome:?}");
                    is_state_known |= committed.len() > before;
                }
            }
        }
        bytes.extend(drain(&reader, &mut position));
        let found = logged(&bytes).into_iter().map(|seen| String::from_utf8(seen.payload[8..].to_vec()).unwrap());
        prop_assert_eq!(found.collect::<Vec<_>>(), committed);
    }
}
