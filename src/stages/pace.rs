//! Pace: how often what does nothing is looked at, by how much there is of it. Decisions only, no IO.
//!
//! Looking at one ring is cheap, and a group has a thousand. So what is looked at though nobody announced anything is spread out: so many
//! a second, however many there are, each in its turn. The price is delay, and each delay has its bound here. None of it is on the way of a record: a
//! producer wakes the drainer when it logs, announces that a ring was made, taken over or closed, and before a younger life begins the drainer looks at all
//! older ones ([`super::drain`]). What waits for its turn is the end of a ring whose owner was killed, and whatever a killed producer
//! had no time to announce.

use std::time::Duration;

/// How often owners are looked at, a share of them each time.
pub const OWNERS_EVERY: Duration = Duration::from_millis(20);
/// Within this time the owner of each ring has its turn.
pub const OWNERS_ROUND: Duration = Duration::from_secs(1);
/// As many owners are looked at each time at least: in groups of so few rings each one is.
const OWNERS_MIN: usize = 16;

/// How often the directory of a small group is looked through though no change was announced.
const SCAN_MIN: Duration = Duration::from_millis(250);
/// How often that of any group is.
const SCAN_MAX: Duration = Duration::from_secs(5);
/// What one file more adds.
const SCAN_EACH: Duration = Duration::from_millis(5);

/// The first sleep of an idle drainer.
pub const SLEEP_MIN: Duration = Duration::from_millis(1);
/// The longest sleep of an idle drainer of a few rings.
const SLEEP_FEW: Duration = Duration::from_millis(20);
/// The longest sleep of any drainer; a producer's doorbell ends it.
const SLEEP_MAX: Duration = Duration::from_millis(200);
/// What one ring more adds, beyond so many as [`SLEEP_FEW`] is for.
const SLEEP_EACH: Duration = Duration::from_micros(200);

const _: () =
    assert!(SLEEP_FEW.as_millis() <= SLEEP_MAX.as_millis() && SLEEP_MAX.as_millis() < OWNERS_ROUND.as_millis());

/// Of how many of `rings` rings the owners are looked at, when the last look was `elapsed` ago.
#[must_use]
pub fn owners_share(rings: usize, elapsed: Duration) -> usize {
    let due = (rings as u128 * elapsed.as_nanos()).div_ceil(OWNERS_ROUND.as_nanos());
    usize::try_from(due).unwrap_or(rings).max(OWNERS_MIN).min(rings)
}

/// How long after it was looked through a directory of `rings` rings is looked through again, though no change was announced.
#[must_use]
pub fn scan_after(rings: usize) -> Duration {
    times(SCAN_EACH, rings).clamp(SCAN_MIN, SCAN_MAX)
}

/// The longest sleep of an idle drainer of `rings` rings.
#[must_use]
pub fn sleep_max(rings: usize) -> Duration {
    times(SLEEP_EACH, rings).clamp(SLEEP_FEW, SLEEP_MAX)
}

fn times(each: Duration, rings: usize) -> Duration {
    each.saturating_mul(u32::try_from(rings).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_of_any_number_has_its_turn_within_a_round() {
        for rings in [0, 1, 16, 17, 50, 999, 1000, 100_000] {
            for pause in [OWNERS_EVERY, SLEEP_MAX, Duration::from_micros(20_001)] {
                let looks = OWNERS_ROUND.as_nanos().div_ceil(pause.as_nanos());
                let share = owners_share(rings, pause);
                assert!(
                    share as u128 * looks >= rings as u128,
                    "{share} of {rings} each {pause:?}"
                );
                assert!(share <= rings);
            }
        }
        assert_eq!(owners_share(3, Duration::ZERO), 3, "each of a few, each time");
        assert_eq!(owners_share(1000, OWNERS_EVERY), 20);
        assert_eq!(owners_share(1000, Duration::from_secs(60)), 1000);
    }

    #[test]
    fn what_is_looked_at_in_a_second_does_not_grow_with_the_number_of_rings() {
        for rings in [50, 100, 1000] {
            let a_second = rings as f64 / scan_after(rings).as_secs_f64();
            assert!(a_second <= 200.0, "{a_second} files");
        }
        assert_eq!([0, 1, 50].map(scan_after), [SCAN_MIN; 3]);
        assert_eq!(scan_after(usize::MAX), SCAN_MAX);
    }

    #[test]
    fn a_drainer_of_few_rings_sleeps_for_no_longer_than_one_of_none() {
        assert_eq!([0, 1, 100].map(sleep_max), [SLEEP_FEW; 3]);
        assert_eq!([1000, usize::MAX].map(sleep_max), [SLEEP_MAX; 2]);
    }
}
