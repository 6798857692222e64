//! How often a worker is started anew, and when: decisions without clock or chance, which are arguments.
//!
//! What a worker says itself (a disk that refuses, a directory that is gone) is no fault of the worker: it is tried again as long as it takes, for the
//! disk may be well again tomorrow. A panic or a stall is a fault of hog, or of what it stands on, and may come again at once; of these there is a limit.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The pause after a first failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

/// So many restarts within so long are borne with: what `--max-restarts` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    /// So many.
    pub restarts: usize,
    /// Within so long.
    pub within: Duration,
}

/// Most restarts that may be asked for.
const RESTARTS_MAX: usize = 1000;

impl FromStr for RestartLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (restarts, within) = text.split_once('/')?;
            let (restarts, within) = (restarts.parse().ok()?, humantime::parse_duration(within).ok()?);
            (restarts <= RESTARTS_MAX && !within.is_zero()).then_some(Self { restarts, within })
        };
        parse().ok_or_else(|| {
            format!("expected N/TIME, such as 5/30s: a number of at most {RESTARTS_MAX}, and a time with us, ms, s, m, h or d")
        })
    }
}

/// Why a worker ended that was not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It said that it cannot go on.
    Error,
    /// It panicked.
    Panic,
    /// It did not move.
    Stall,
}

/// What becomes of a worker that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is started anew after a pause.
    Again(Duration),
    /// It failed too often.
    GiveUp,
}

/// What is remembered of a worker's failures.
#[derive(Clone, Debug)]
pub struct Restarts {
    limit: RestartLimit,
    /// When it failed by its own fault, within the limit's time.
    faults: VecDeque<Instant>,
    /// The next pause, before chance has its say.
    pause: Duration,
}

impl Restarts {
    /// Of a worker that has not failed.
    #[must_use]
    pub fn new(limit: RestartLimit) -> Self {
        Self {
            limit,
            faults: VecDeque::new(),
            pause: PAUSE_MIN,
        }
    }

    /// It failed at `now`, having run for `ran`. `chance` is drawn from 0 to 1: the pause is half to once of what it is about, so that workers which fail for
    /// one reason do not come back in step.
    pub fn judge(&mut self, failure: Failure, now: Instant, ran: Duration, chance: f64) -> Verdict {
        if failure != Failure::Error {
            let within = self.limit.within;
            self.faults
                .retain(|fault| now.saturating_duration_since(*fault) < within);
            self.faults.push_back(now);
            if self.faults.len() > self.limit.restarts {
                return Verdict::GiveUp;
            }
        }
        // One that ran for longer than the longest pause was well meanwhile.
        if ran > PAUSE_MAX && failure != Failure::Stall {
            self.pause = PAUSE_MIN;
        }
        let pause = self.pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Verdict::Again(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RestartLimit = RestartLimit {
        restarts: 5,
        within: Duration::from_secs(30),
    };
    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn a_worker_that_panics_more_often_than_the_limit_says_is_given_up() {
        let (mut restarts, now) = (Restarts::new(LIMIT), Instant::now());
        for _ in 0..5 {
            assert!(matches!(
                restarts.judge(Failure::Panic, now, AT_ONCE, 0.0),
                Verdict::Again(_)
            ));
        }
        assert_eq!(restarts.judge(Failure::Stall, now, AT_ONCE, 0.0), Verdict::GiveUp);
    }

    #[test]
    fn panics_that_are_further_apart_than_the_limit_says_are_borne_with_for_ever() {
        let (mut restarts, mut now) = (Restarts::new(LIMIT), Instant::now());
        for _ in 0..100 {
            now += Duration::from_secs(6);
            let verdict = restarts.judge(Failure::Panic, now, AT_ONCE, 1.0);
            assert!(matches!(verdict, Verdict::Again(_)), "{verdict:?}");
        }
        assert!(restarts.faults.len() <= LIMIT.restarts);
    }

    #[test]
    fn what_a_worker_says_itself_is_tried_again_however_often() {
        let (mut restarts, now) = (Restarts::new(LIMIT), Instant::now());
        for _ in 0..100 {
            assert!(matches!(
                restarts.judge(Failure::Error, now, AT_ONCE, 0.5),
                Verdict::Again(_)
            ));
        }
    }

    #[test]
    fn with_a_limit_of_none_the_first_panic_is_the_last() {
        let limit = "0/1s".parse().unwrap();
        let verdict = Restarts::new(limit).judge(Failure::Panic, Instant::now(), AT_ONCE, 0.0);
        assert_eq!(verdict, Verdict::GiveUp);
    }

    #[test]
    fn pauses_double_up_to_a_longest_are_jittered_and_begin_anew_after_a_time_that_was_well() {
        let (mut restarts, now) = (Restarts::new(LIMIT), Instant::now());
        let mut pause = |ran, chance| match restarts.judge(Failure::Error, now, ran, chance) {
            Verdict::Again(pause) => pause,
            Verdict::GiveUp => panic!("errors are no reason to give up"),
        };
        assert_eq!(
            [pause(AT_ONCE, 1.0), pause(AT_ONCE, 1.0), pause(AT_ONCE, 0.0)],
            [100, 200, 200].map(Duration::from_millis)
        );
        for _ in 0..20 {
            pause(AT_ONCE, 1.0);
        }
        assert_eq!((pause(AT_ONCE, 1.0), pause(AT_ONCE, 0.0)), (PAUSE_MAX, PAUSE_MAX / 2));
        assert_eq!(pause(PAUSE_MAX * 2, 1.0), PAUSE_MIN);
    }

    #[test]
    fn limits_are_a_number_and_a_time() {
        assert_eq!("5/30s".parse(), Ok(LIMIT));
        assert!("0/1h".parse::<RestartLimit>().is_ok());
        for bad in ["5", "5/", "/30s", "5/30", "-1/30s", "1001/1s", "5/0s", "many/1s"] {
            assert!(bad.parse::<RestartLimit>().is_err(), "{bad}");
        }
    }
}
