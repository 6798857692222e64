//! What `SAFETY.md` names is there: each test in its third column, each file in its second. The same of `docs/HOBBES.md`, whose tests stand with their files,
//! and which has a row for each defect of the original that we know. Whoever renames or deletes a test that guards the promise has to say in these documents what guards
//! it now.

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
        .filter(|cells: &Vec<&str>| !matches!(cells.last(), Some(&"tests" | &"shown by")))
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

/// The defects of the original: how they are numbered, and how many there are of each kind.
const DEFECTS: [(char, u32); 5] = [('P', 7), ('C', 10), ('N', 17), ('R', 10), ('F', 10)];

#[test]
fn every_defect_of_the_original_has_a_row_and_each_row_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/HOBBES.md")).unwrap();
    let rows = rows(&text);
    let ids: Vec<&str> = rows.iter().map(|cells| cells[0]).collect();
    let expected: Vec<String> = DEFECTS
        .iter()
        .flat_map(|(kind, count)| (1..=*count).map(move |number| format!("{kind}{number}")))
        .collect();
    assert_eq!(ids, expected);
    for cells in rows {
        assert_eq!(cells.len(), 4, "{cells:?}");
        let mut named = quoted(cells[3]).filter(|word| word.contains("::")).peekable();
        assert!(named.peek().is_some(), "{} names no test", cells[0]);
        for test in named {
            let (path, name) = test.split_once("::").unwrap();
            let source = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let declared = source.find(&format!("fn {name}("));
            let is_test = declared.is_some_and(|at| source[..at].trim_end().ends_with("#[test]"));
            assert!(is_test, "{}: {path} has no test {name}", cells[0]);
        }
    }
}
