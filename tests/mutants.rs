//! Whether the tests would notice: with each mutant of the program, a test that guards the promise must fail.
//!
//! A mutant is one fault that the feature `mutants` compiles in and the environment variable `HOG_MUTANT` switches on. The program and its
//! end-to-end tests are built with it once, in a target directory of their own, and each mutant meets the test that SAFETY.md names for it. Simulated runs
//! (`tests/simulate/`) meet them as well. Those of the ring are in `ring/tests/stepping/mutants.rs` too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A mutant, and the test that must fail with it.
const MUTANTS: &[(&str, &str)] = &[
    (
        "advance-before-append",
        "syscalls::a_sender_killed_at_any_system_call_loses_and_doubles_nothing",
    ),
    ("ack-before-sync", "syscalls::what_cannot_be_synced_is_not_acknowledged"),
    (
        "no-recovery",
        "syscalls::a_sender_killed_at_any_system_call_loses_and_doubles_nothing",
    ),
    (
        "receiver-without-dedup",
        "syscalls::a_receiver_killed_at_any_system_call_loses_and_doubles_nothing",
    ),
    (
        "ended-stream-forgotten",
        "ended::an_ended_stream_whose_acknowledgement_was_lost_is_not_shipped_again_after_a_roll",
    ),
    (
        "gap-over-older-backlog",
        "recovery::spools::a_sender_that_is_killed_and_given_another_spool_ships_what_the_former_holds_first",
    ),
    (
        "unlink-before-end",
        "syscalls::a_sender_killed_at_any_system_call_loses_and_doubles_nothing",
    ),
    (
        "advance-before-append",
        "syscalls::a_local_killed_at_any_system_call_loses_and_doubles_nothing",
    ),
    (
        "heir-takes-its-time",
        "order::runs_that_follow_one_another_while_the_sender_stands_still_arrive_in_order",
    ),
    (
        "stalled-worker-writes-on",
        "supervision::provoked::a_drainer_that_stalls_is_replaced_and_does_no_harm_when_it_wakes_up",
    ),
];

/// Tests of workers that fail on purpose, which the program can do with the feature alone.
const PROVOKED: &str = "supervision::provoked::";

#[test]
fn each_mutant_of_the_program_is_caught() {
    let unharmed = run("none", MUTANTS[1].1);
    assert!(unharmed.status.success(), "without a mutant it must pass: {unharmed:?}");
    let can_trace = !String::from_utf8_lossy(&unharmed.stderr).contains("skipped:");
    // All at once: what a mutant breaks is mostly waited for in vain.
    std::thread::scope(|scope| {
        for (mutant, test) in MUTANTS {
            if test.starts_with("syscalls::") && !can_trace {
                eprintln!("skipped: {mutant} is noticed only where strace is");
                continue;
            }
            scope.spawn(move || assert_caught(mutant, test));
        }
    });
}

/// Mutants of exports to tables, and the test that must fail with each.
const OF_EXPORTS: [&str; 2] = ["export-delivers-before-state", "export-forgets-deliveries"];
const KILLED_EXPORT: &str = "kills::an_export_that_is_killed_anywhere_and_run_again_has_the_rows_of_one_that_was_not";

#[test]
fn each_mutant_of_the_export_is_caught() {
    let run = |mutant| cargo_test("columns", mutant, &["--exact", "--nocapture", KILLED_EXPORT]);
    let unharmed = run("none");
    assert!(unharmed.status.success(), "without a mutant it must pass: {unharmed:?}");
    if String::from_utf8_lossy(&unharmed.stderr).contains("skipped:") {
        eprintln!("skipped: exports are killed only where strace is");
        return;
    }
    for mutant in OF_EXPORTS {
        let output = run(mutant);
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{mutant} was not noticed: {output:?}");
        assert!(words.contains("1 failed"), "{mutant}: {output:?}");
    }
}

#[test]
fn workers_that_fail_on_purpose_harm_nobody() {
    let output = tests_with("none", &[PROVOKED]);
    assert!(output.status.success(), "{output:?}");
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(!words.contains("running 0 tests"), "{words}");
}

/// Mutants that simulated runs meet, with those of the ring.
const SIMULATED: &[&str] = &[
    "publish-before-write",
    "state-after-commit",
    "stale-resume-copy",
    "advance-before-append",
    "unlink-before-end",
    "append-after-torn-frame",
    "no-recovery",
    "gap-over-older-backlog",
    "ended-stream-forgotten",
    "receiver-without-dedup",
    "ack-before-sync",
    "checkpoint-before-sync",
    "retried-fsync",
    "heir-takes-its-time",
    "stalled-worker-writes-on",
];

/// Seeds within which each of them must be caught.
const SEEDS_TO_CATCH: &str = "1000";

#[test]
fn simulated_runs_deliver_everything_once_and_in_order_and_with_each_mutant_they_do_not() {
    let unharmed = simulate("none", &["--twice", "--seeds", "150"]);
    assert!(unharmed.status.success(), "{unharmed:?}");
    // Seeds that once failed: docs/evidence has what each of them found.
    for once_failed in [
        &["--each-sync", "--from", "8", "--seeds", "1"][..],
        &["--from", "63", "--seeds", "1"],
        &["--from", "717", "--seeds", "1"],
        &["--from", "5520", "--seeds", "1"],
        &["--from", "6925", "--seeds", "1"],
        &["--from", "12474", "--seeds", "1"],
        &["--from", "14286", "--seeds", "1"],
        &["--from", "60291", "--seeds", "1"],
    ] {
        let again = simulate("none", once_failed);
        assert!(again.status.success(), "{again:?}");
    }
    for mutant in SIMULATED {
        let output = simulate(mutant, &["--seeds", SEEDS_TO_CATCH]);
        let words = String::from_utf8_lossy(&output.stdout);
        let caught = words.lines().find(|line| line.contains(" fails: "));
        let caught = caught.unwrap_or_else(|| panic!("{mutant} was not caught: {output:?}"));
        println!("{mutant}: {caught}");
    }
}

/// Simulates runs with `mutant`, until one fails.
fn simulate(mutant: &str, which: &[&str]) -> Output {
    cargo_test("simulate", mutant, &[&["--no-shorten"], which].concat())
}

/// That `test` fails with `mutant`.
fn assert_caught(mutant: &str, test: &str) {
    let output = run(mutant, test);
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{mutant} was not caught by {test}");
    assert!(
        words.contains("panicked") || words.contains("FAILED"),
        "{mutant}: {test} failed otherwise: {output:?}"
    );
    println!("{mutant}: caught by {test}");
}

/// Runs `test` against the program with `mutant`.
fn run(mutant: &str, test: &str) -> Output {
    tests_with(mutant, &["--nocapture", "--exact", test])
}

/// Runs the tests that `which` says against the program with `mutant`.
fn tests_with(mutant: &str, which: &[&str]) -> Output {
    cargo_test("hog", mutant, which)
}

/// Runs the tests called `name` with `mutant`.
fn cargo_test(name: &str, mutant: &str, arguments: &[&str]) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    Command::new(cargo)
        // What is compiled on the way is shared with the tests that run now; the program they execute is not, for this one takes another place.
        .env("CARGO_BUILD_BUILD_DIR", build_directory())
        .args([
            "test",
            "--quiet",
            "--locked",
            "--features",
            "mutants,simulation",
            "--test",
            name,
        ])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .arg("--")
        .args(arguments)
        .env("HOG_MUTANT", mutant)
        .output()
        .expect("cargo runs")
}

/// Where cargo compiles these tests.
fn build_directory() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("cargo has its directory for tests below the one that it builds in")
}
