//! Logs typed records, a transaction, and a state from which the next run goes on.
//!
//! Run it, kill it at any time, and run it again: it goes on right after the last number that it committed. What it
//! logs waits in its ring until `hog batchsend -g example` drains it.

use hog_ring::{Error, Group, Resume, Statement, statement};
use std::io::{self, Write};

static STARTED: Statement<(&str, u32)> = statement!("started", "$program runs as process $pid", program, pid);
static SQUARE: Statement<(u64, u64)> = statement!("square", "the square of $number is $square", number, square);
static CUBE: Statement<(u64, u64)> = statement!("cube", "the cube of $number is $cube", number, cube);

fn main() -> Result<(), Error> {
    // A named ring is taken over by the next run; `Group::writer` would make one that is not.
    let mut writer = Group::open("example")?.named_writer("squares", Resume::Auto)?;
    let first = match writer.recovered() {
        Some(recovered) => recovered.state.as_slice().try_into().map_or(0, u64::from_le_bytes),
        None => 0,
    };
    say(&format!("goes on with {first}"));

    // Committed when the call returns, whatever happens to this process.
    writer.log(&STARTED, ("the example", std::process::id()))?;

    for number in first..first + 1000 {
        // Both records and the state appear together, or none of them.
        let mut transaction = writer.transaction();
        transaction.log(&SQUARE, (number, number * number))?;
        transaction.log(&CUBE, (number, number * number * number))?;
        transaction.set_state(&(number + 1).to_le_bytes())?;
        transaction.commit()?;
    }
    // Not needed for safety: it only saves a sleeping drainer a few milliseconds.
    writer.commit();
    say(&format!("stopped before {}", first + 1000));
    Ok(())
}

/// Words for whoever watches; if nobody does, so be it.
fn say(words: &str) {
    let _ = writeln!(io::stdout(), "{words}");
}
