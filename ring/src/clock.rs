//! What time it is, for records: the kernel's wall clock, carried on between its readings by the processor's counter of ticks.
//!
//! Asking the kernel costs as much as the rest of a log call. So a [`Clock`] asks now and then, at a tick that it remembers (the anchor), and adds to
//! that what the ticks since are worth. What a tick is worth is measured between two anchors, so that the kernel's slewing of its clock
//! is followed. An anchor holds for [`SPAN`] ticks, about a millisecond, and no error outlives it: none adds up, whatever
//! becomes of counter or clock. Where the ticks do not run evenly ([`sys::has_even_ticks`]), or a program wants it so, the
//! kernel is asked each time.
//!
//! - **How far off.** An anchor is off by half the ticks that its reading took, [`WIDTH_MAX`] at most; the rate by a thousandth at most; and the kernel
//!   slews by half of that. With a counter of 1 GHz that is below 4 us in all; what is seen is 6 ns in the middle and 0.3 us at most.
//! - **Steps.** A clock that is set is followed at the next anchor. The same holds for ticks that jump, after a suspension or when a virtual machine moves: a
//!   difference that is no span asks the kernel. A rate that is not like the former one means such a jump, and is not believed: the kernel is
//!   asked each time until two spans in a row agree, as at the beginning.
//! - **Order.** Times of one clock do not run backwards, unless the wall clock itself was set back by [`STEP_NS`] or more.
//!
//! Each writer has its own clock, so that nothing is shared and a fork finds nothing half changed. Two threads may differ by as much as said above.

use crate::owner::realtime_ns;
use crate::{simulation, sys};

/// For how many ticks an anchor holds, and the least between two of which a rate is measured. 1 ms at 2.1 GHz.
const SPAN: u64 = 1 << 21;
/// A reading that took more ticks was interrupted, and is no anchor.
const WIDTH_MAX: u64 = 1 << 10;
/// So often an interrupted reading is repeated at once.
const READINGS: u32 = 4;
/// Fractional bits of a rate.
const RATE_BITS: u32 = 32;
/// Rates that no processor has lie above, in ns a tick: counters run at 250 MHz and more.
const RATE_MAX: u64 = 4 << RATE_BITS;
/// The wall clock was set back if it is this far behind what was told last, in ns. Below, it was only met at another place, and is waited for.
const STEP_NS: u64 = 10_000;

const _: () = {
    assert!(SPAN.checked_mul(RATE_MAX).is_some(), "what a span is worth");
    assert!(WIDTH_MAX < SPAN);
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Whether ticks may be used at all.
    has_ticks: bool,
    course: Course,
}

impl Clock {
    /// A clock that goes by the processor's ticks, which run evenly, or asks the kernel each time.
    pub(crate) fn new(has_ticks: bool) -> Clock {
        Clock {
            has_ticks: has_ticks && !simulation::is_on(),
            course: Course::default(),
        }
    }

    /// Nanoseconds since 1970.
    #[inline]
    pub(crate) fn now(&mut self) -> u64 {
        if self.has_ticks {
            match self.course.at(sys::ticks()) {
                Some(now) => now,
                None => self.ask(),
            }
        } else {
            realtime_ns()
        }
    }

    #[cold]
    fn ask(&mut self) -> u64 {
        let mut reading = Reading::take();
        for _ in 1..READINGS {
            if reading.is_anchor() {
                break;
            }
            reading = Reading::take();
        }
        self.course.meet(reading)
    }
}

/// The wall clock, and the ticks before and after it was asked.
#[derive(Clone, Copy, Debug)]
struct Reading {
    before: u64,
    ns: u64,
    after: u64,
}

impl Reading {
    fn take() -> Reading {
        let before = sys::ticks();
        let ns = realtime_ns();
        Reading {
            before,
            ns,
            after: sys::ticks(),
        }
    }

    fn width(self) -> u64 {
        self.after.wrapping_sub(self.before)
    }

    fn is_anchor(self) -> bool {
        self.width() <= WIDTH_MAX
    }

    /// The tick at which it was most likely that late.
    fn middle(self) -> u64 {
        self.before.wrapping_add(self.width() / 2)
    }
}

/// The arithmetic of a [`Clock`]: of ticks and readings alone.
#[derive(Debug, Default)]
struct Course {
    /// The anchor: at these ticks it was that late.
    ticks: u64,
    ns: u64,
    /// Whether there is one.
    is_anchored: bool,
    /// What a tick was worth between the last two anchors, in ns, with [`RATE_BITS`] fractional bits; 0 where that cannot be said.
    rate: u64,
    /// For how many ticks anchor and rate hold; 0 while the rate has to prove itself.
    holds: u64,
    /// The latest time that was told.
    told: u64,
}

impl Course {
    /// The time at a tick, if the anchor holds for it.
    #[inline]
    fn at(&mut self, ticks: u64) -> Option<u64> {
        let passed = ticks.wrapping_sub(self.ticks);
        if passed >= self.holds {
            return None;
        }
        self.told = self.told.max(self.ns.wrapping_add((passed * self.rate) >> RATE_BITS));
        Some(self.told)
    }

    /// Takes a reading for the next anchor, if it can be one, and tells its time.
    fn meet(&mut self, reading: Reading) -> u64 {
        let passed = reading.middle().wrapping_sub(self.ticks);
        if !reading.is_anchor() {
            self.is_anchored = false;
            (self.rate, self.holds) = (0, 0);
        } else if !self.is_anchored {
            self.is_anchored = true;
            (self.ticks, self.ns) = (reading.middle(), reading.ns);
        } else if passed >= SPAN {
            let former = self.rate;
            self.rate = rate(passed, reading.ns.wrapping_sub(self.ns));
            // A thousandth is twice what the kernel slews by.
            let is_proven = self.rate != 0 && self.rate.abs_diff(former) <= former >> 10;
            self.holds = if is_proven { SPAN } else { 0 };
            (self.ticks, self.ns) = (reading.middle(), reading.ns);
        }
        self.told = if self.told.saturating_sub(reading.ns) < STEP_NS {
            self.told.max(reading.ns)
        } else {
            reading.ns
        };
        self.told
    }
}

/// What a tick is worth when so much passed; 0 if that cannot be, as when the clock was set back.
fn rate(ticks: u64, ns: u64) -> u64 {
    let rate = (u128::from(ns) << RATE_BITS) / u128::from(ticks.max(1));
    u64::try_from(rate).ok().filter(|&rate| rate < RATE_MAX).unwrap_or(0)
}

#[cfg(test)]
mod tests;
