//! Moments as people write them: `--since` and `--until`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::time::Duration;

/// The moment that `text` names, in nanoseconds since 1970: RFC 3339 (`2026-11-21T10:00:00Z`), a local date with or without
/// a time (`2026-11-21 10:00`), or how long before `now` (`2h`, `90s ago`). Moments before 1970 are 0.
///
/// # Errors
/// What was expected.
pub fn parse(text: &str, now: u64, zone: &TimeZone) -> Result<u64, String> {
    let text = text.trim();
    let moment = relative(text, now)
        .or_else(|| text.parse::<Timestamp>().ok().map(nanoseconds))
        .or_else(|| local(text, zone).map(|time| nanoseconds(time.timestamp())));
    moment.ok_or_else(|| {
        "expected a moment: 2026-11-21T10:00:00Z, a local 2026-11-21 or '2026-11-21 10:00', or how long ago, as 90s, 2h, 3d"
            .to_owned()
    })
}

fn relative(text: &str, now: u64) -> Option<u64> {
    let ago = text.strip_suffix("ago").map_or(text, str::trim_end);
    let ago: Duration = humantime::parse_duration(ago).ok()?;
    Some(now.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX)))
}

fn local(text: &str, zone: &TimeZone) -> Option<Zoned> {
    text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()
}

fn nanoseconds(time: Timestamp) -> u64 {
    let nanoseconds = time.as_nanosecond().max(0);
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    const SECOND: u64 = 1_000_000_000;
    /// 2026-11-21T10:00:00Z.
    const TEN: u64 = 1_795_255_200 * SECOND;

    fn moment(text: &str) -> Option<u64> {
        parse(text, TEN, &TimeZone::fixed(Offset::constant(2))).ok()
    }

    #[test]
    fn moments_are_absolute_local_or_before_now() {
        let same = [
            "2026-11-21T10:00:00Z",
            "2026-11-21T10:00:00.000000000Z",
            "2026-11-21T11:00:00+01:00",
            "2026-11-21 10:00Z",
            "2026-11-21 12:00",
            "2026-11-21T12:00:00",
            " 0s ",
        ];
        for text in same {
            assert_eq!(moment(text), Some(TEN), "{text}");
        }
        assert_eq!(moment("2026-11-21"), Some(TEN - 12 * 3600 * SECOND));
        for text in ["2h", "2h ago", "2 hours ago", "120m", "1h 60m ago"] {
            assert_eq!(moment(text), Some(TEN - 7200 * SECOND), "{text}");
        }
        assert_eq!(moment("500ms"), Some(TEN - SECOND / 2));
        assert_eq!(moment("1969-01-01"), Some(0));
        assert_eq!(moment("1000y"), Some(0));
    }

    #[test]
    fn what_is_no_moment_is_refused_with_what_would_be_one() {
        for text in [
            "",
            "ago",
            "soon",
            "5",
            "2026",
            "2026-13-01",
            "2026-11-21 25:00",
            "10:00",
            "-2h",
            "2h2",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
        assert!(parse("soon", 0, &TimeZone::UTC).unwrap_err().contains("2h"));
    }
}
