//! The one door to the clocks.

#[cfg(feature = "simulation")]
pub mod simulated;

use jiff::Zoned;
use jiff::tz::TimeZone;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The present moment, of which no clock that is set knows: for what is due after a while.
#[must_use]
pub fn moment() -> Instant {
    #[cfg(feature = "simulation")]
    if let Some(moment) = simulated::moment() {
        return moment;
    }
    Instant::now()
}

/// How long ago `moment` was.
#[must_use]
pub fn since(earlier: Instant) -> Duration {
    moment().saturating_duration_since(earlier)
}

/// Nanoseconds since 1970; 0 for a clock that is set before that.
#[must_use]
pub fn now_ns() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(now) = simulated::now_ns() {
        return now;
    }
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The same, as hogstat.db stores it.
#[must_use]
pub fn now_db() -> i64 {
    i64::try_from(now_ns()).unwrap_or(i64::MAX)
}

/// Today's local date as `$DATE` has it: `2026.11.21`.
#[must_use]
pub fn local_date() -> String {
    #[cfg(feature = "simulation")]
    if let Some(date) = simulated::date() {
        return date;
    }
    Zoned::now().strftime("%Y.%m.%d").to_string()
}

/// The zone of local times: `$TZ`, or the host's.
#[must_use]
pub fn local_zone() -> TimeZone {
    TimeZone::system()
}

/// A time as RFC 3339 in UTC with nanoseconds.
#[must_use]
pub fn rfc3339(ns: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| format!("{time:.9}"))
}
