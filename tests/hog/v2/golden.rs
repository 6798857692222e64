//! The queue that a program of the original left, as it was captured.

use super::producer::{connect, queue_path, register, wait_read};
use crate::scene::{GROUP, Scene};
use serde_json::Value;
use std::path::Path;

#[test]
fn the_captured_queue_is_read_as_its_records_were_logged() {
    let captured = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    let (Ok(queue), Ok(expected)) = (
        std::fs::read(captured.join("ring.shm")),
        std::fs::read(captured.join("expected.json")),
    ) else {
        eprintln!("skipped: there is no capture at {}", captured.display());
        return;
    };
    let scene = Scene::new();
    let mut local = scene.local("here");
    let pid = std::process::id();
    let path = queue_path(scene.shm_dir(), GROUP, pid, pid);
    std::fs::write(&path, queue).unwrap();
    register(&mut connect(&scene.local_store(), GROUP), 0, pid, pid);
    wait_read(&mut local, &path);
    scene.wait_stored();
    let records = scene.json(&scene.archive("here"));
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let mut found = records.iter();
    for transaction in expected.as_array().unwrap() {
        let mut marks = Vec::new();
        for expected in transaction.as_array().unwrap() {
            let record = found.next().expect("all of them");
            assert_eq!(record["statement"], expected["statement"]);
            assert_eq!(record["value"], expected["value"], "{}", record["statement"]);
            marks.push(record["transaction"].clone());
        }
        marks.dedup();
        assert_eq!(marks.len(), 1, "one transaction");
    }
    assert!(found.next().is_none());
}
