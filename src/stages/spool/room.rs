//! Room: how much a spool may take, and what to do when that is reached. Decisions only; the spool acts on them.
//!
//! Two things bound a spool: the number that `--spool-max` gives, and the disk. Of the number a reserve is kept free, and on the disk a file of that
//! size ([`crate::stages::spool::reserve`]); records are taken only while both are there. So what has to be written in order to make room (the
//! head of a new segment, the word about one that was dropped) always finds some.
//!
//! Room is made in the order of what it costs: delivered segments that are merely retained; then, by beginning a new segment, the
//! active one, which can be deleted only when it is not active any more; and at last, if `--on-full drop-oldest` says so, records that nobody has.
//!
//! `--retain` gives way to room, though section 5 of the design has segments go only once it has passed: otherwise a spool of which everything was
//! delivered would stop its producers, or drop what is not delivered in favour of what is.

use crate::limits::{SPOOL_MIN, SPOOL_SEGMENTS, segment_bytes};
use std::time::Duration;

/// What becomes of records when the spool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// They wait in their rings, and then their producers wait.
    Block,
    /// They take the place of the oldest, which are lost to those who had not got them.
    DropOldest,
}

/// What a spool is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of all its segments and of its reserve.
    pub max: u64,
    /// What to do there.
    pub on_full: OnFull,
    /// How long a delivered segment stays after its last record was drained.
    pub retain: Duration,
}

impl Bounds {
    /// The bound of a spool on a file system of `total` bytes that it shares with the spools of as many groups, when none is given: 80 %. Never less
    /// than [`SPOOL_MIN`]: on so small a disk it is the disk that bounds.
    #[must_use]
    pub fn default_max(total: u64, groups: usize) -> u64 {
        (total / 5 * 4 / groups.max(1) as u64).max(SPOOL_MIN)
    }

    /// Size at which a segment is finished.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        segment_bytes().min(self.max / SPOOL_SEGMENTS)
    }
}

/// How full a spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of its segments, and of deleted ones that a shipper still has open.
    pub used: u64,
    /// Of these, bytes that will be free as soon as shippers let go.
    pub leaving: u64,
    /// Of these, bytes of segments that were delivered and are retained.
    pub retained: u64,
}

/// What there is to be decided upon.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// How full it is.
    pub usage: Usage,
    /// Bytes that are to be appended, with the head of the segment that has to be begun for them.
    pub wanted: u64,
    /// Bytes of the reserve.
    pub reserve: u64,
    /// Whether the disk holds the reserve.
    pub has_reserve: bool,
    /// Whether the oldest segment was delivered and is only retained.
    pub can_release: bool,
    /// Whether there are segments behind which the active one stands.
    pub has_others: bool,
    /// Whether the active segment holds any frames.
    pub active_has_frames: bool,
    /// Whether a segment other than the active one holds records that may be dropped now.
    pub can_drop: bool,
}

/// What to do before an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Append.
    Take,
    /// Delete the oldest segment, which was delivered, before its time.
    Release,
    /// Begin a new segment, so that the one that was active can be deleted.
    Roll,
    /// Drop the records of the oldest segment.
    Drop,
    /// Nothing can be done but to wait for deliveries, or for somebody else to make room on the disk.
    Wait,
}

/// Whether the append fits without further ado.
#[must_use]
pub fn fits(bounds: &Bounds, used: u64, wanted: u64, reserve: u64, has_reserve: bool) -> bool {
    has_reserve && used.saturating_add(wanted).saturating_add(reserve) <= bounds.max
}

/// What to do before an append.
#[must_use]
pub fn next_step(bounds: &Bounds, fill: &Fill) -> Step {
    let Usage { used, leaving, .. } = fill.usage;
    if fits(bounds, used, fill.wanted, fill.reserve, fill.has_reserve) {
        return Step::Take;
    }
    if fill.can_release {
        return Step::Release;
    }
    let is_alone = !fill.has_others && leaving == 0;
    if is_alone && !fill.active_has_frames && fill.has_reserve {
        // There is nothing that could go. A bound below one append and the head of a segment must not stop everything for ever.
        return Step::Take;
    }
    if fill.active_has_frames && (is_alone || !fill.has_reserve) {
        return Step::Roll;
    }
    // What shippers are about to let go of need not be dropped a second time. How much the disk lacks nobody knows, so there it is waited for.
    let is_coming = if fill.has_reserve {
        fits(bounds, used - leaving.min(used), fill.wanted, fill.reserve, true)
    } else {
        leaving > 0
    };
    if bounds.on_full == OnFull::DropOldest && fill.can_drop && !is_coming {
        return Step::Drop;
    }
    Step::Wait
}

/// The share of the bound, in percent, at which the one warning comes.
pub const WARN_AT: u64 = 80;
/// The share below which the matter is over, and may be warned of again.
pub const CALM_AT: u64 = 70;

/// How full a spool was said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is room.
    #[default]
    Calm,
    /// It is filling: four fifths are taken.
    Filling,
    /// Nothing more is taken.
    Full,
}

impl Level {
    /// The level that follows, when `percent` of the bound are taken and `is_full` says whether an append had to wait. A level is left only
    /// for calm: between its first word and its last there is no other.
    #[must_use]
    pub fn next(self, percent: u64, is_full: bool) -> Self {
        if is_full {
            Self::Full
        } else if percent < CALM_AT {
            Self::Calm
        } else if percent >= WARN_AT {
            self.max(Self::Filling)
        } else {
            self
        }
    }
}

/// The share of the bound that is taken by what was not delivered, with the reserve, in percent.
#[must_use]
pub fn percent(bounds: &Bounds, usage: &Usage, reserve: u64) -> u64 {
    let taken = usage.used.saturating_sub(usage.retained).saturating_add(reserve);
    u64::try_from(u128::from(taken) * 100 / u128::from(bounds.max.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn bounds(on_full: OnFull) -> Bounds {
        Bounds {
            max: 16 * MIB,
            on_full,
            retain: Duration::ZERO,
        }
    }

    /// A spool of several segments, none of them delivered, that is full to the last byte.
    fn full() -> Fill {
        let used = 12 * MIB;
        Fill {
            usage: Usage {
                used,
                ..Usage::default()
            },
            wanted: MIB,
            reserve: 4 * MIB,
            has_reserve: true,
            can_release: false,
            has_others: true,
            active_has_frames: true,
            can_drop: true,
        }
    }

    fn step(on_full: OnFull, change: impl FnOnce(&mut Fill)) -> Step {
        let mut fill = full();
        change(&mut fill);
        next_step(&bounds(on_full), &fill)
    }

    #[test]
    fn records_are_taken_up_to_the_bound_less_the_reserve() {
        let at = |used| step(OnFull::Block, |fill| fill.usage.used = used);
        assert_eq!(at(11 * MIB), Step::Take);
        assert_eq!(at(11 * MIB + 1), Step::Wait);
    }

    #[test]
    fn no_record_is_taken_while_the_disk_does_not_hold_the_reserve() {
        let without = |fill: &mut Fill| {
            (fill.usage.used, fill.has_reserve, fill.active_has_frames) = (0, false, false);
        };
        assert_eq!(step(OnFull::Block, without), Step::Wait);
    }

    #[test]
    fn what_is_retained_goes_before_anything_waits_or_is_dropped() {
        for on_full in [OnFull::Block, OnFull::DropOldest] {
            assert_eq!(step(on_full, |fill| fill.can_release = true), Step::Release);
        }
    }

    #[test]
    fn an_active_segment_that_stands_alone_makes_way_for_another() {
        let alone = |fill: &mut Fill| (fill.has_others, fill.can_drop) = (false, false);
        assert_eq!(step(OnFull::Block, alone), Step::Roll);
        assert_eq!(step(OnFull::Block, |fill| fill.has_reserve = false), Step::Roll);
    }

    #[test]
    fn a_bound_that_nothing_can_meet_stops_nobody() {
        let hopeless = |fill: &mut Fill| {
            (fill.has_others, fill.active_has_frames, fill.can_drop) = (false, false, false);
            fill.usage.used = 100 * MIB;
        };
        assert_eq!(step(OnFull::Block, hopeless), Step::Take);
    }

    #[test]
    fn records_are_dropped_only_where_that_was_asked_for_and_only_as_many_as_it_takes() {
        assert_eq!(step(OnFull::Block, |_| ()), Step::Wait);
        assert_eq!(step(OnFull::DropOldest, |_| ()), Step::Drop);
        assert_eq!(step(OnFull::DropOldest, |fill| fill.can_drop = false), Step::Wait);
        let leaving = |bytes| step(OnFull::DropOldest, |fill| fill.usage.leaving = bytes);
        assert_eq!(leaving(MIB), Step::Wait, "a shipper is about to let go of enough");
        assert_eq!(leaving(MIB - 1), Step::Drop);
    }

    #[test]
    fn fullness_is_said_once_until_there_is_room_again() {
        let mut level = Level::default();
        let mut said = Vec::new();
        for (percent, is_full) in [
            (79, false),
            (80, false),
            (79, false),
            (85, false),
            (100, true),
            (88, false),
            (100, true),
            (69, false),
            (80, false),
        ] {
            let next = level.next(percent, is_full);
            if next != level {
                said.push(next);
            }
            level = next;
        }
        assert_eq!(said, [Level::Filling, Level::Full, Level::Calm, Level::Filling]);
    }

    #[test]
    fn what_is_retained_fills_nothing() {
        let usage = Usage {
            used: 12 * MIB,
            leaving: 0,
            retained: 8 * MIB,
        };
        assert_eq!(percent(&bounds(OnFull::Block), &usage, 4 * MIB), 50);
    }

    #[test]
    fn segments_are_an_eighth_of_the_bound_or_64_mib() {
        let of = |max| {
            Bounds {
                max,
                ..bounds(OnFull::Block)
            }
            .segment_bytes()
        };
        assert_eq!((of(16 * MIB), of(1 << 40)), (2 * MIB, crate::limits::SEGMENT_BYTES));
        assert_eq!(Bounds::default_max(100 * MIB, 1), 80 * MIB);
        assert_eq!(Bounds::default_max(100 * MIB, 2), 40 * MIB);
        assert_eq!(Bounds::default_max(MIB, 1), SPOOL_MIN);
    }
}
