//! Files as the original's recorder writes them, and as hog does: read by a reader in Python that was written from the
//! facts about the format.

use crate::peers::{can_play, finish, line, start};
use crate::scene::Scene;
use serde_json::Value;
use std::path::Path;

const READER: &str = "fregion_reader.py";

#[test]
fn the_reader_finds_in_a_file_of_the_original_what_was_logged() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if !captures.is_dir() {
        eprintln!("nothing compared: {} is missing", captures.display());
        return;
    }
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let path = scene.path("local.log");
    let compressed = std::fs::File::open(captures.join("local.log.zst")).unwrap();
    zstd::stream::copy_decode(compressed, std::fs::File::create(&path).unwrap()).unwrap();
    let output = finish(
        start(&scene, "reader", READER, &line(&[&path, &"--transactions"])),
        "reader",
    );
    let found: Value = serde_json::from_str(&output).unwrap();
    let expected: Value = serde_json::from_slice(&std::fs::read(captures.join("expected.json")).unwrap()).unwrap();
    assert_eq!(found, expected);
}
