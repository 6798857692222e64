//! The simulation's tests in a build that has it, without a mutant and with each.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A mutant, and the test that must fail with it.
const MUTANTS: &[(&str, &str)] = &[
    (
        "publish-before-write",
        "producers::a_producer_killed_at_any_point_leaves_whole_records_and_their_state",
    ),
    (
        "state-after-commit",
        "producers::a_producer_killed_at_any_point_leaves_whole_records_and_their_state",
    ),
    (
        "stale-resume-copy",
        "producers::an_heir_killed_at_any_point_leaves_what_both_runs_committed",
    ),
];

#[test]
fn rings_survive_kills_at_each_point_and_each_mutant_does_not() {
    let unharmed = run("none", "");
    assert!(
        unharmed.status.success(),
        "without a mutant all must pass: {unharmed:?}"
    );
    for (mutant, test) in MUTANTS {
        let output = run(mutant, test);
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{mutant} was not caught by {test}");
        assert!(
            words.contains("panicked"),
            "{mutant}: {test} failed otherwise: {output:?}"
        );
        println!("{mutant}: caught by {test}");
    }
}

/// Runs `test`, or all of them, with `mutant`.
fn run(mutant: &str, test: &str) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    Command::new(cargo)
        .args(["test", "--quiet", "--locked", "--features", "simulation,mutants"])
        .args(["--test", "simulation"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(["--", test])
        .env("HOG_MUTANT", mutant)
        .output()
        .expect("cargo runs")
}
