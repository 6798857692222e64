//! Programs in other languages: compiled here, run as producers, and what they logged read as JSON at the receiver.
//!
//! cargo puts the static library of `hog-ring-capi` beside this test's binary, since this package's tests depend on it.

use crate::scene::{GROUP, Scene};
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The example in C, compiled; `None`, and words, where there is no compiler.
fn example_in_c(scene: &Scene) -> Option<PathBuf> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("nothing compiled: there is no compiler {}", compiler.display());
        return None;
    }
    let capi = Path::new(env!("CARGO_MANIFEST_DIR")).join("ring/capi");
    let library = std::env::current_exe().unwrap().with_file_name("libhog_ring_capi.a");
    let program = scene.path("log");
    let made = Command::new(compiler)
        .arg("-I")
        .arg(capi.join("include"))
        .arg(capi.join("examples/log.c"))
        .arg(library)
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(program)
}

#[test]
fn what_a_program_in_c_logs_arrives_once_and_in_order_over_two_runs() {
    let scene = Scene::new();
    let Some(program) = example_in_c(&scene) else { return };
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    for _ in 0..2 {
        let ended = Command::new(&program).arg(GROUP).arg(scene.shm_dir()).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    let program = program.to_str().unwrap();
    let mut expected = Vec::new();
    for (run, numbers) in [0..1000u64, 1000..2000].into_iter().enumerate() {
        let started = json!({ "program": program, "share": 0.5, "again": run == 1 });
        expected.push((
            json!("started"),
            started,
            format!("{program} runs, again: {}", run == 1),
        ));
        for number in numbers {
            let (square, cube) = (number.pow(2), number.pow(3));
            let value = |power: u64| json!({ "number": number, "square": power });
            let text = format!("the square of {number} is {square}");
            expected.push((json!("square"), value(square), text));
            expected.push((json!("cube"), value(cube), format!("the cube of {number} is {cube}")));
        }
    }
    assert_eq!(records.len(), expected.len());
    for (record, (statement, value, text)) in records.iter().zip(expected) {
        assert_eq!(
            (&record["statement"], &record["value"], &record["text"]),
            (&statement, &value, &json!(text))
        );
        assert!(record["time"].is_string());
    }
    scene.verify(&receiver.archive);
}
