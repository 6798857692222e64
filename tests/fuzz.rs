//! The fuzz targets, as far as an ordinary test goes: the bytes of each corpus, whole, cut at every byte or so, and changed at random.
//!
//! `HOG_FUZZ_ROUNDS` says how many changes of each; `HOG_FUZZ_SEED` repeats those of a run. `HOG_UPDATE_CORPUS=1` makes the corpora anew, from what hog writes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/recording.rs"]
mod recording;
#[allow(clippy::panic)]
#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use targets::Judge;

fn directory_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().unwrap())
}

/// The files of a corpus, by name.
fn files_of(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(directory_of(target))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Some bytes changed as damage and enemies do it.
fn changed(bytes: &[u8], other: &[u8], chance: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..chance.usize(1..6) {
        let at = chance.usize(..=bytes.len());
        match chance.u8(..8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, chance.u8(..)),
            2 if !other.is_empty() => {
                let from = chance.usize(..other.len());
                let len = chance.usize(..=(other.len() - from).min(64));
                bytes.splice(at..at, other[from..from + len].iter().copied());
            }
            3 => {
                let word = [0, 1, 7, 8, 255, 0xffff, 1 << 20, 1 << 31, 1 << 62, u64::MAX][chance.usize(..10)];
                let len = chance.usize(1..=8).min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&word.to_le_bytes()[..len]);
            }
            4 => {
                let len = chance.usize(..=(bytes.len() - at).min(16));
                bytes.drain(at..at + len);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << chance.u8(..8),
            _ => {}
        }
    }
    bytes
}

fn judge(target: &str, name: &str, judge: Judge, bytes: &[u8]) {
    if catch_unwind(|| judge(bytes)).is_err() {
        let place = std::env::temp_dir().join(format!("hog-fuzz-{target}-{}", std::process::id()));
        std::fs::write(&place, bytes).unwrap();
        panic!("{target}: what was made of {name} is in {}", place.display());
    }
}

fn all_of(target: &str) {
    let (_, function) = targets::ALL.into_iter().find(|(name, _)| *name == target).unwrap();
    let files = files_of(target);
    assert!(files.len() >= 3, "the corpus of {target} is missing");
    let seed = number("HOG_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("HOG_FUZZ_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let rounds = number("HOG_FUZZ_ROUNDS").unwrap_or(300);
    for (name, bytes) in &files {
        judge(target, name, function, bytes);
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            judge(target, name, function, &bytes[..cut]);
        }
        for _ in 0..rounds {
            let (_, other) = &files[chance.usize(..files.len())];
            judge(target, name, function, &changed(bytes, other, &mut chance));
        }
    }
}

#[test]
fn any_bytes_of_an_original_sender_are_judged_without_harm() {
    all_of("classic");
}

#[test]
fn any_bytes_of_a_frame_are_judged_without_harm() {
    all_of("frame");
}

#[test]
fn any_bytes_of_a_segment_are_judged_without_harm() {
    all_of("segment");
}

#[test]
fn any_bytes_of_the_wire_are_judged_without_harm() {
    all_of("wire");
}

#[test]
fn any_bytes_of_a_ring_are_judged_without_harm() {
    all_of("ring_region");
}

#[test]
fn any_bytes_of_a_statement_are_judged_without_harm() {
    all_of("statement");
}

#[test]
fn any_bytes_of_a_recording_are_judged_without_harm() {
    all_of("recording");
}

#[test]
fn any_bytes_of_a_resume_state_are_judged_without_harm() {
    all_of("resume_state");
}

/// What hog writes today is in the corpora, or a change of format would leave them behind.
#[test]
fn the_corpora_are_what_hog_writes() {
    let made = corpus::made();
    let update = std::env::var_os("HOG_UPDATE_CORPUS").is_some();
    for (target, name, bytes) in made {
        let path = directory_of(target).join(name);
        if update {
            std::fs::create_dir_all(directory_of(target)).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_default();
        assert!(
            found == bytes,
            "{} is another: HOG_UPDATE_CORPUS=1 writes it anew",
            path.display()
        );
    }
}
