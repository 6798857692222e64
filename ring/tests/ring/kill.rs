//! SIGKILL: a record whose call returned is in the ring, once, and the next run goes on right after it.

use crate::scene::{NUMBER, Scene, drain, group_of_parent, logged, numbers, sequence, wait_until};
use hog_ring::{Liveness, Resume};

/// Logs numbers from where the state says, by every way there is, and tells how far it came.
#[test]
#[ignore = "a role in the test below"]
fn logs_numbers_until_killed() {
    let mut writer = group_of_parent().named_writer("numbers", Resume::Auto).unwrap();
    let mut next = writer.recovered().map_or(0, |recovered| {
        u64::from_le_bytes(recovered.state[..].try_into().unwrap())
    });
    println!("began {next}");
    loop {
        writer.set_state(&(next + 1).to_le_bytes()).unwrap();
        writer.log(&NUMBER, (next,)).unwrap();
        let mut batch = writer.batch();
        for number in next + 1..next + 10 {
            assert!(batch.log(&NUMBER, (number,)).unwrap());
        }
        batch.set_state(&(next + 10).to_le_bytes()).unwrap();
        batch.commit().unwrap();
        drop(batch);
        // Every seventh transaction is too long for one piece.
        let end = next + if next.is_multiple_of(7) { 1500 } else { 20 };
        let mut transaction = writer.transaction();
        for number in next + 10..end {
            transaction.log(&NUMBER, (number,)).unwrap();
        }
        transaction.set_state(&end.to_le_bytes()).unwrap();
        transaction.commit().unwrap();
        next = end;
        println!("committed {next}");
    }
}

#[test]
fn killed_runs_leave_every_number_once_and_in_order() {
    let scene = Scene::new();
    let mut bytes = Vec::new();
    let mut position = 0;
    for run in 0..12 {
        let mut role = scene.spawn("kill::logs_numbers_until_killed");
        role.line_with("began");
        let mut reader = scene.reader();
        let mut reported = 0;
        // The first at least: a ring whose state nobody saw committed is not taken over.
        for _ in 0..=run * 5 {
            bytes.extend(drain(&reader, &mut position));
            reported = role.line_with("committed").parse().unwrap();
        }
        role.kill();
        wait_until("it is dead", || reader.liveness() == Liveness::Dead);
        bytes.extend(drain(&reader, &mut position));
        let found = numbers(&logged(&bytes));
        sequence(&found);
        assert!(
            found.len() as u64 >= reported,
            "run {run}: {} of {reported}",
            found.len()
        );
    }
    assert!(scene.reader().is_adoptable());
}
