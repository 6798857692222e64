//! What went wrong is kept, and said: `hog faults`. Workers that fail, stall, and are replaced.

#[cfg(feature = "mutants")]
mod provoked;

use crate::scene::{Scene, wait_until, words};
use serde_json::Value;
use std::path::Path;

/// What `hog faults` prints of `store`.
fn faults(scene: &Scene, store: &Path, more: &[&str]) -> Vec<u8> {
    let mut arguments = words(&["faults"]);
    arguments.extend(words(more));
    arguments.extend(["-m".as_ref(), store.as_os_str()]);
    let finished = scene.run("faults", &arguments);
    assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
    finished.output
}

/// The same, as JSON.
fn faults_of(scene: &Scene, store: &Path) -> Vec<Value> {
    let output = faults(scene, store, &["--format", "json"]);
    output
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn faults_are_printed_with_their_kind_for_people_and_for_programs_and_by_their_time() {
    let scene = Scene::new();
    let sender = scene.sender(&["127.0.0.1:9"]);
    wait_until("there is a directory of rings", || scene.has_rings_directory());
    scene.log(&[&scene.file("input.log", b"line\n")]);
    let foreign = scene.rings()[0].with_file_name("fore\nign.ring");
    std::fs::write(&foreign, b"no ring").unwrap();
    wait_until("the fault is recorded", || {
        !faults_of(&scene, &scene.store()).is_empty()
    });
    let found = faults_of(&scene, &scene.store());
    assert_eq!(found.len(), 1, "{found:?}");
    let fault = &found[0];
    assert_eq!(
        (&fault["kind"], &fault["count"], &fault["worker"]),
        (&"loss".into(), &1.into(), &Value::Null)
    );
    let text = String::from_utf8(faults(&scene, &scene.store(), &[])).unwrap();
    assert!(text.lines().count() == 1 && text.contains("fore\\nign.ring"), "{text}");
    assert!(!faults(&scene, &scene.store(), &["--since", "1h"]).is_empty());
    assert_eq!(faults(&scene, &scene.store(), &["--since", "9999-01-01"]), b"");
    assert_eq!(scene.status().unwrap()["is_degraded"], true);
    drop(sender);
    let empty = scene.path("no-store");
    let refused = scene.run("faults", &["faults".as_ref(), "-m".as_ref(), empty.as_os_str()]);
    refused.assert_refused(3, &["no-store", "nothing has run"]);
}
