//! Files as the original's recorder writes them, and as hog does: read by a reader in Python that was written from the
//! facts about the format.

use crate::peers::{can_play, finish, line, start};
use crate::scene::Scene;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const READER: &str = "fregion_reader.py";

/// Puts the file that the original's recorder wrote into the scene, if there is one: its path, and what was logged, as JSON.
fn capture(scene: &Scene) -> Option<(PathBuf, Value)> {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if !captures.is_dir() {
        eprintln!("nothing compared: {} is missing", captures.display());
        return None;
    }
    let path = scene.path("local.log");
    let compressed = std::fs::File::open(captures.join("local.log.zst")).unwrap();
    zstd::stream::copy_decode(compressed, std::fs::File::create(&path).unwrap()).unwrap();
    let expected = std::fs::read(captures.join("expected.json")).unwrap();
    Some((path, serde_json::from_slice(&expected).unwrap()))
}

#[test]
fn the_reader_finds_in_a_file_of_the_original_what_was_logged() {
    let scene = Scene::new();
    let Some((path, expected)) = capture(&scene) else {
        return;
    };
    if !can_play() {
        return;
    }
    let output = finish(
        start(&scene, "reader", READER, &line(&[&path, &"--transactions"])),
        "reader",
    );
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), expected);
}

#[test]
fn hog_finds_in_a_file_of_the_original_what_was_logged() {
    let scene = Scene::new();
    let Some((path, expected)) = capture(&scene) else {
        return;
    };
    // Records of a transaction follow one another, and say at which position it begins.
    let mut found: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for record in scene.json(&path) {
        assert_eq!(record["group"], "local");
        assert!(
            record["time"].as_str().unwrap().starts_with("2026-11-21T07:26:5"),
            "{record}"
        );
        let transaction = record["transaction"].as_u64().unwrap();
        let logged = serde_json::json!({"statement": record["statement"], "value": record["value"]});
        found.entry(transaction).or_default().push(logged);
    }
    assert_eq!(Value::from_iter(found.into_values().map(Value::from)), expected);
}
