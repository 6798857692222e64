//! What `SAFETY.md` names is there: each test in its third column, each file in its second. Whoever renames or deletes a test that guards the promise
//! has to say in that document what guards it now.

#![allow(clippy::unwrap_used)] // a test: what fails is to be seen where it fails

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of each row of each table, without the lines that are no rows.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect())
        .filter(|cells: &Vec<&str>| cells.last() != Some(&"tests"))
        .collect()
}

/// What stands in backquotes in `cell`.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// All files below `directory`, as paths from there, but for what is built or not ours.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                directories.push(path);
            } else if path.is_file() {
                files.push(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    files
}

#[test]
fn every_test_that_the_safety_table_names_exists() {
    let safety = fs::read_to_string(root().join("SAFETY.md")).unwrap();
    let sources: String = files_below(&root())
        .iter()
        .filter(|path| path.extension() == Some("rs".as_ref()))
        .map(|path| fs::read_to_string(root().join(path)).unwrap())
        .collect();
    let is_name = |word: &&str| {
        word.contains('_')
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let rows = rows(&safety);
    let named: BTreeSet<&str> = rows
        .iter()
        .flat_map(|cells| quoted(cells[cells.len() - 1]))
        .filter(is_name)
        .collect();
    assert!(named.len() > 100, "only {} tests were found", named.len());
    // Tests of a harness of their own are named in its table.
    let is_there = |name: &&str| {
        sources.contains(&format!("fn {name}("))
            || sources
                .lines()
                .any(|line| line.contains("scene!(") && line.contains(&format!("\"{name}\"")))
    };
    let missing: Vec<_> = named.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

#[test]
fn every_row_of_the_safety_table_names_a_test_or_says_why_none() {
    let safety = fs::read_to_string(root().join("SAFETY.md")).unwrap();
    for cells in rows(&safety) {
        assert_eq!(cells.len(), 3, "{cells:?}");
        let tests = cells[2];
        let is_said = ["none yet", "as of ", "Not prevented"]
            .iter()
            .any(|words| tests.contains(words));
        assert!(is_said || quoted(tests).next().is_some(), "{cells:?}");
    }
}

#[test]
fn every_file_that_the_safety_table_names_exists() {
    let safety = fs::read_to_string(root().join("SAFETY.md")).unwrap();
    let files = files_below(&root());
    let is_there = |name: &str| root().join(name).exists() || files.iter().any(|file| file.ends_with(name));
    let rows = rows(&safety);
    let named = rows.iter().flat_map(|cells| quoted(cells[1]));
    let missing: BTreeSet<&str> = named
        .filter(|name| (name.ends_with(".rs") || name.ends_with('/')) && !is_there(name))
        .collect();
    assert!(missing.is_empty(), "no such files: {missing:?}");
}
