//! A clock that stands until it is moved, for harnesses that replay a run from a seed. It belongs to the thread that set it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// When simulated time begins: 2026-01-01, nanoseconds since 1970.
const BEGIN_NS: u64 = 1_767_225_600_000_000_000;

thread_local! {
    static PASSED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Lets `passed` have passed since simulated time began; `None` gives the thread the kernel's clocks again.
pub fn set(passed: Option<Duration>) {
    let began = PASSED.get().map_or_else(Instant::now, |(began, _)| began);
    PASSED.set(passed.map(|passed| (began, passed)));
}

pub(super) fn moment() -> Option<Instant> {
    PASSED.get().map(|(began, passed)| began + passed)
}

pub(super) fn now_ns() -> Option<u64> {
    let (_, passed) = PASSED.get()?;
    Some(BEGIN_NS + u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX - BEGIN_NS))
}

pub(super) fn date() -> Option<String> {
    let now = Timestamp::from_nanosecond(i128::from(now_ns()?)).ok()?;
    Some(now.to_zoned(TimeZone::UTC).strftime("%Y.%m.%d").to_string())
}
