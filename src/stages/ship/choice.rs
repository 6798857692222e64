//! How the next load is compressed under `--compress auto`. Decisions only: what things take is told.
//!
//! What counts is how long a byte of log keeps those behind it waiting: threads compress side by side, and send one at a time. Where the network is slow that is least with
//! zstd, for there is least to send; where it is faster than zstd, with lz4 or with none. A line tells how fast it is only when more is
//! put on it than it takes, so the others are tried now and then, for some loads in a row: what the kernel takes at once and sends later must not deceive. What is
//! not better by a [`MARGIN`] is left again, and tried less and less often. What turned out worse at its first loads is not tried to the end.

use crate::formats::codec::{Compress, Compression};
use std::time::Duration;

/// What there is to choose from, the first to begin with.
const LADDER: [Compression; 3] = [Compression::Zstd(1), Compression::Lz4, Compression::None];
/// Loads with fewer raw bytes say nothing: they leave because time has passed, and nobody waits for them.
const TELLING_BYTES: u64 = 128 << 10;
/// So many raw bytes a trial has.
const TRIAL_BYTES: u64 = 8 << 20;
/// So many pass before the first trial, and after one that something came of.
const REST_BYTES: u64 = 16 << 20;
/// The most that pass between two trials.
const REST_BYTES_MAX: u64 = 4 << 30;
/// By so much another one must be better to be taken: it may take at most this part of what the present one takes.
const MARGIN: f64 = 0.8;
/// One that takes so many times what the present one takes is given up at once.
const HOPELESS: f64 = 2.0;
/// What the present one takes has changed when it is so many times what it was when it was taken.
const CHANGED: f64 = 1.5;
/// How much the newest load counts against all before it.
const WEIGHT: f64 = 0.1;

/// How loads are compressed, now.
#[derive(Debug)]
pub enum Chooser {
    /// Always alike.
    Fixed(Compression),
    /// As the line and the processor have it.
    Auto(Choice),
}

impl Chooser {
    /// What `--compress` asks for.
    #[must_use]
    pub fn new(compress: Compress) -> Self {
        match compress {
            Compress::Always(compression) => Self::Fixed(compression),
            Compress::Auto => Self::Auto(Choice::default()),
        }
    }

    /// How the next load is compressed.
    #[must_use]
    pub fn next(&self) -> Compression {
        match self {
            Self::Fixed(compression) => *compression,
            Self::Auto(choice) => choice.next(),
        }
    }

    /// A load that was compressed by `compression` had `raw_bytes`, and kept those behind it waiting for `time` until it was compressed and sent.
    pub fn took(&mut self, compression: Compression, raw_bytes: u64, time: Duration) {
        if let Self::Auto(choice) = self
            && choice.next() == compression
        // not begun before that was chosen
        {
            choice.took(raw_bytes, time);
        }
    }
}

/// What is chosen, and why.
#[derive(Debug)]
pub struct Choice {
    /// Of [`LADDER`].
    present: usize,
    /// What a raw byte takes with it, in nanoseconds, once that is known.
    cost: Option<f64>,
    /// The same when it was taken, or when it was last compared.
    cost_then: Option<f64>,
    trial: Option<Trial>,
    /// The one that was tried last.
    last_tried: usize,
    /// Raw bytes until the next trial, and how many there were before the last one.
    rest: u64,
    rest_length: u64,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    candidate: usize,
    bytes: u64,
    nanoseconds: f64,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            present: 0,
            cost: None,
            cost_then: None,
            trial: None,
            last_tried: 0,
            rest: REST_BYTES,
            rest_length: REST_BYTES,
        }
    }
}

impl Choice {
    /// How the next load is compressed.
    #[must_use]
    pub fn next(&self) -> Compression {
        LADDER[self.trial.map_or(self.present, |trial| trial.candidate)]
    }

    /// A load that was compressed as [`Choice::next`] said had `raw_bytes`, and kept those behind it waiting for `time`.
    pub fn took(&mut self, raw_bytes: u64, time: Duration) {
        if raw_bytes < TELLING_BYTES {
            return;
        }
        let nanoseconds = time.as_secs_f64() * 1e9;
        if let Some(trial) = self.trial {
            let trial = Trial {
                bytes: trial.bytes + raw_bytes,
                nanoseconds: trial.nanoseconds + nanoseconds,
                ..trial
            };
            self.trial = Some(trial);
            return self.judge(trial);
        }
        let newest = nanoseconds / raw_bytes as f64;
        let cost = self.cost.map_or(newest, |cost| cost + WEIGHT * (newest - cost));
        self.cost = Some(cost);
        self.rest = self.rest.saturating_sub(raw_bytes);
        if self.cost_then.is_some_and(|then| cost > CHANGED * then) {
            // It is another line than it was: what was found out holds no more.
            self.cost = Some(newest);
            (self.cost_then, self.rest, self.rest_length) = (self.cost, 0, REST_BYTES);
        }
        if self.rest == 0 {
            self.begin_trial();
        }
    }

    fn begin_trial(&mut self) {
        let after = |place: usize| (place + 1) % LADDER.len();
        let mut candidate = after(self.last_tried);
        if candidate == self.present {
            candidate = after(candidate);
        }
        self.last_tried = candidate;
        self.trial = Some(Trial {
            candidate,
            bytes: 0,
            nanoseconds: 0.0,
        });
    }

    fn judge(&mut self, trial: Trial) {
        let Some(present) = self.cost else { return };
        let candidate = trial.nanoseconds / trial.bytes as f64;
        if candidate > HOPELESS * present {
            self.end_trial(None);
        } else if trial.bytes >= TRIAL_BYTES {
            self.end_trial((candidate < MARGIN * present).then_some((trial.candidate, candidate)));
        }
    }

    fn end_trial(&mut self, taken: Option<(usize, f64)>) {
        self.trial = None;
        if let Some((candidate, cost)) = taken {
            (self.present, self.cost) = (candidate, Some(cost));
            self.rest_length = REST_BYTES;
        } else {
            self.rest_length = (2 * self.rest_length).min(REST_BYTES_MAX);
        }
        self.cost_then = self.cost;
        self.rest = self.rest_length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: u64 = 1 << 20;

    /// What a load takes over a line of so many nanoseconds a byte, where one thread compresses and then waits for the line.
    fn takes(compression: Compression, line: f64) -> Duration {
        let (press, left) = match compression {
            Compression::Zstd(_) => (1.6, 0.2),
            Compression::Lz4 => (0.8, 0.35),
            Compression::None => (0.0, 1.0),
        };
        Duration::from_secs_f64((press + left * line) * LOAD as f64 / 1e9)
    }

    /// Sends `loads` over such a line; says how many left with which of the ladder.
    fn send(choice: &mut Choice, loads: u64, line: f64) -> [u64; 3] {
        let mut counts = [0; 3];
        for _ in 0..loads {
            let next = choice.next();
            let place = LADDER.iter().position(|other| *other == next).unwrap();
            counts[place] += 1;
            choice.took(LOAD, takes(next, line));
        }
        counts
    }

    #[test]
    fn a_line_that_is_faster_than_zstd_gets_bodies_as_they_are() {
        let mut choice = Choice::default();
        let [_, _, plain] = send(&mut choice, 1000, 0.5);
        assert_eq!(choice.present, 2);
        assert!(plain > 900, "{plain}");
    }

    #[test]
    fn a_slow_line_gets_zstd_and_is_hardly_bothered_by_trials() {
        let mut choice = Choice::default();
        let [zstd, lz4, plain] = send(&mut choice, 10_000, 80.0);
        assert_eq!(choice.present, 0);
        assert!(plain <= 10 && lz4 <= 100, "{zstd} {lz4} {plain}");
    }

    #[test]
    fn a_line_between_the_two_gets_lz4() {
        let mut choice = Choice::default();
        send(&mut choice, 1000, 2.0);
        assert_eq!(LADDER[choice.present], Compression::Lz4);
    }

    #[test]
    fn a_line_that_becomes_slow_gets_zstd_again_soon() {
        let mut choice = Choice::default();
        send(&mut choice, 100_000, 0.5);
        assert_eq!(choice.present, 2);
        send(&mut choice, 100, 80.0);
        assert_eq!(choice.present, 0);
    }

    #[test]
    fn costs_that_are_about_the_same_change_nothing() {
        let mut choice = Choice::default();
        for load in 0..10_000 {
            let time = if load % 2 == 0 { 1000 } else { 900 };
            choice.took(LOAD, Duration::from_micros(time));
            assert_eq!(choice.present, 0);
        }
    }

    #[test]
    fn short_loads_say_nothing() {
        let mut choice = Choice::default();
        for _ in 0..1_000_000 {
            choice.took(TELLING_BYTES - 1, Duration::from_secs(1));
        }
        assert_eq!(choice.next(), Compression::Zstd(1));
        assert!(choice.cost.is_none());
    }
}
