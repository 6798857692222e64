//! Whether the scenes would notice: with each mutant of the ring, one of them must fail.
//!
//! The mutants are built once, in a target directory of their own, into a program that is like this one but for the feature.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A mutant, and the scene that must fail with it.
const MUTANTS: &[(&str, &str)] = &[
    ("publish-before-write", "killed_while_it_logs_records"),
    ("state-after-commit", "killed_while_it_logs_records_with_a_state"),
    ("stale-resume-copy", "killed_while_it_adopts_a_ring"),
];

pub(crate) fn all_are_caught() {
    let unharmed = play("none", MUTANTS[0].1);
    assert!(unharmed.status.success(), "without a mutant it must pass: {unharmed:?}");
    if String::from_utf8_lossy(&unharmed.stderr).contains("skipped:") {
        eprintln!("skipped: without tracing nothing is noticed");
        return;
    }
    for (mutant, scene) in MUTANTS {
        let output = play(mutant, scene);
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{mutant} was not caught by {scene}");
        assert!(
            words.contains("panicked"),
            "{mutant}: {scene} failed otherwise: {output:?}"
        );
        println!("{mutant}: caught by {scene}");
    }
}

/// Plays `scene` with `mutant`.
fn play(mutant: &str, scene: &str) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    Command::new(cargo)
        .args([
            "test",
            "--quiet",
            "--locked",
            "--features",
            "mutants",
            "--test",
            "stepping",
        ])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(["--", "--exact", scene])
        .env("HOG_MUTANT", mutant)
        .output()
        .expect("cargo runs")
}
