//! The log that is shipped where none is named: made up, and always the same.

use super::Outcome;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Makes up a log of at least `bytes` bytes, the same for the same size, that compresses about as logs do.
pub(crate) fn make_up(path: &Path, bytes: u64) -> Outcome<()> {
    const LEVELS: [&str; 5] = ["INFO", "INFO", "INFO", "WARN", "ERROR"];
    const EVENTS: [&str; 4] = [
        "request served",
        "cache miss, fetched from origin",
        "connection closed by peer before the answer was sent",
        "retry scheduled",
    ];
    let mut chance = fastrand::Rng::with_seed(1);
    let mut out = BufWriter::new(File::create(path)?);
    let mut line = Vec::new();
    let (mut written, mut number) = (0, 0_u64);
    while written < bytes {
        line.clear();
        let (second, level, event) = (number / 1000, LEVELS[chance.usize(..5)], EVENTS[chance.usize(..4)]);
        let (user, latency, address) = (chance.u32(..50_000), chance.u32(..10_000), chance.u16(..));
        writeln!(
            line,
            "2026-11-21T{:02}:{:02}:{:02}.{:03}Z {level} [worker-{}] {event}: id={number} user={user} \
             from=10.0.{}.{} latency_us={latency}",
            second / 3600 % 24,
            second / 60 % 60,
            second % 60,
            number % 1000,
            number % 16,
            address >> 8,
            address & 0xff,
        )?;
        out.write_all(&line)?;
        written += line.len() as u64;
        number += 1;
    }
    out.into_inner()?.sync_all()?;
    Ok(())
}
