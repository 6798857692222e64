//! The arithmetic, on counters and clocks that are made up; and a real clock beside the kernel's.

use super::*;
use proptest::prelude::*;

/// A machine: its counter, what the wall clock gains by a tick (in ns, 2^-32), and how long a reading takes.
struct Machine {
    ticks: u64,
    /// The wall clock, in ns with 32 fractional bits.
    wall: u128,
    rate: u64,
    width: u64,
    course: Course,
    /// How often the kernel was asked.
    asked: u32,
}

/// 2.5 GHz.
const RATE: u64 = (1 << RATE_BITS) * 2 / 5;
const YEAR_2026: u64 = 1_770_000_000_000_000_000;

impl Machine {
    fn new() -> Machine {
        Machine {
            ticks: 77_000_000_000,
            wall: u128::from(YEAR_2026) << RATE_BITS,
            rate: RATE,
            width: 60,
            course: Course::default(),
            asked: 0,
        }
    }

    /// One whose clock no longer asks the kernel each time.
    fn calibrated() -> Machine {
        let mut machine = Machine::new();
        machine.run(20, 2_000_000);
        let before = machine.asked;
        machine.now();
        machine.pass(1000);
        machine.now();
        assert!(machine.asked <= before + 1);
        machine
    }

    fn pass(&mut self, ticks: u64) {
        self.ticks = self.ticks.wrapping_add(ticks);
        self.wall += u128::from(ticks) * u128::from(self.rate);
    }

    fn wall_ns(&self) -> u64 {
        u64::try_from(self.wall >> RATE_BITS).unwrap()
    }

    fn step(&mut self, ns: i64) {
        self.wall = self.wall.wrapping_add_signed(i128::from(ns) << RATE_BITS);
    }

    fn now(&mut self) -> u64 {
        if let Some(now) = self.course.at(self.ticks) {
            return now;
        }
        self.asked += 1;
        let before = self.ticks;
        self.pass(self.width / 2);
        let ns = self.wall_ns();
        self.pass(self.width - self.width / 2);
        self.course.meet(Reading {
            before,
            ns,
            after: self.ticks,
        })
    }

    /// How far off the clock is, in ns.
    fn error(&mut self) -> u64 {
        let now = self.now();
        now.abs_diff(self.wall_ns())
    }

    /// Asks for the time `times` times, `ticks` apart; the greatest error, in ns.
    fn run(&mut self, times: u32, ticks: u64) -> u64 {
        let mut greatest = 0;
        for _ in 0..times {
            self.pass(ticks);
            greatest = greatest.max(self.error());
        }
        greatest
    }
}

#[test]
fn kernel_is_asked_about_once_a_span() {
    let mut machine = Machine::calibrated();
    machine.asked = 0;
    assert!(machine.run(10_000, SPAN / 100) < 100);
    assert!((95..=101).contains(&machine.asked), "asked {} times", machine.asked);
}

#[test]
fn no_drift_adds_up_when_the_kernel_slews_its_clock() {
    let mut machine = Machine::calibrated();
    machine.rate += machine.rate / 2000; // 500 millionths, the most that NTP slews by
    assert!(
        machine.run(100_000, SPAN / 50) < 1000,
        "off by more than a rate that is a span old"
    );
    machine.rate -= machine.rate / 1000;
    assert!(machine.run(100_000, SPAN / 50) < 1500);
}

#[test]
fn clock_that_is_set_is_followed_within_a_span() {
    for step in [
        3_600_000_000_000,
        -3_600_000_000_000,
        1_000_000,
        -1_000_000,
        50_000,
        -50_000,
    ] {
        let mut machine = Machine::calibrated();
        machine.step(step);
        machine.pass(SPAN);
        assert!(machine.run(10_000, SPAN / 100) < 1000, "after a step by {step} ns");
    }
}

#[test]
fn counter_that_jumps_or_stops_is_followed() {
    for jump in [-1_i64 << 40, -5_000_000, 1 << 40, i64::MIN] {
        let mut machine = Machine::calibrated();
        machine.ticks = machine.ticks.wrapping_add_signed(jump);
        assert!(machine.run(10_000, SPAN / 100) < 1000, "after a jump by {jump} ticks");
    }
    let mut machine = Machine::calibrated();
    machine.step(3_600_000_000_000); // an hour in which the counter stood still
    machine.pass(SPAN);
    assert!(machine.run(10_000, SPAN / 100) < 1000);
}

#[test]
fn counter_may_wrap() {
    let mut machine = Machine::new();
    machine.ticks = u64::MAX - 30 * SPAN;
    assert!(machine.run(10_000, SPAN / 100) < 100);
    assert!(machine.ticks < 100 * SPAN);
}

#[test]
fn idle_clock_is_right_when_it_is_asked_again() {
    let mut machine = Machine::calibrated();
    for ticks in [SPAN - 1, SPAN, SPAN + 1, 1 << 34, 1 << 45, 1 << 52] {
        machine.pass(ticks);
        assert!(machine.error() < 100, "after {ticks} ticks");
        machine.pass(SPAN / 2);
        assert!(machine.error() < 100, "after {ticks} ticks, and half a span");
    }
}

#[test]
fn reading_that_was_interrupted_is_no_anchor() {
    let mut machine = Machine::calibrated();
    machine.width = 4_000_000;
    machine.pass(SPAN);
    machine.now();
    machine.width = 60;
    assert!(machine.run(10_000, SPAN / 100) < 100);
}

#[test]
fn rate_over_which_the_clock_was_set_is_not_believed() {
    // At the beginning there is nothing to hold it against but the next.
    let mut machine = Machine::new();
    machine.now();
    machine.step(700_000);
    machine.pass(SPAN);
    machine.now();
    assert!(machine.run(10_000, SPAN / 100) < 100);
}

#[test]
fn times_stand_still_where_they_were_ahead_of_the_next_anchor() {
    let mut machine = Machine::calibrated();
    machine.rate -= machine.rate / 2000;
    let mut told = 0;
    for _ in 0..50_000 {
        machine.pass(SPAN / 20_000);
        let now = machine.now();
        assert!(now >= told);
        told = now;
    }
}

proptest! {
    /// What may happen between two questions: ticks, a step, a change of the rate in thousandths of what NTP may, a jump of the counter.
    #[test]
    fn times_run_backwards_only_if_the_clock_was_set(
        moves in prop::collection::vec((0..3 * SPAN, -500_i64..=500, prop::bool::weighted(0.02), 20_u64..3000), 1..400)
    ) {
        let mut machine = Machine::new();
        let mut last = 0;
        for (ticks, slew, jumps, width) in moves {
            machine.rate = RATE.saturating_add_signed(i64::try_from(RATE).unwrap() / 1_000_000 * slew);
            machine.width = width;
            if jumps {
                machine.ticks = machine.ticks.wrapping_mul(31);
            }
            machine.pass(ticks);
            let now = machine.now();
            prop_assert!(now >= last);
            prop_assert!(jumps || now.abs_diff(machine.wall_ns()) < 4000, "off by {} ns", now.abs_diff(machine.wall_ns()));
            last = now;
        }
    }
}

#[test]
fn clock_and_kernel_agree() {
    for has_ticks in [sys::has_even_ticks(), false] {
        let mut clock = Clock::new(has_ticks);
        let mut last = 0;
        for _ in 0..200_000 {
            let before = realtime_ns();
            let now = clock.now();
            let after = realtime_ns();
            // No closer: while this runs, the clock may be slewed, or this machine moved.
            assert!(now + 1_000_000 > before && now < after + 1_000_000);
            assert!(now >= last);
            last = now;
        }
    }
}
