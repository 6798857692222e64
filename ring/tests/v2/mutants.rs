//! The model in a build that has the mutants, with each of them. That it passes without one is shown beside.

use std::path::PathBuf;
use std::process::{Command, Output};

const MUTANTS: [&str; 3] = ["v2-advance-before-log", "v2-ignores-state", "v2-releases-before-stash"];
const TEST: &str = "model::a_queue_is_taken_in_once_and_in_order_whatever_is_killed_when";

#[test]
fn each_mutant_of_the_reader_of_queues_is_caught_by_the_model() {
    for mutant in MUTANTS {
        let output = run(mutant);
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{mutant} was not caught");
        assert!(words.contains("panicked"), "{mutant}: it failed otherwise: {output:?}");
        println!("{mutant}: caught");
    }
}

/// Runs the model with `mutant`.
fn run(mutant: &str) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The build of the simulated rings, so that the library is built once.
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    Command::new(cargo)
        .args(["test", "--quiet", "--locked", "--features", "simulation,mutants"])
        .args(["--test", "v2"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(["--", "--exact", TEST])
        .env("HOG_MUTANT", mutant)
        .output()
        .expect("cargo runs")
}
