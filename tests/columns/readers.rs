//! Tables that hog wrote, read by pyarrow, and held against what `hog cat` prints of the same records.

use crate::logged::{drain, log_every_kind, log_golden};
use crate::scene::{Scene, words};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// A Python that has pyarrow; words where there is none.
fn python() -> Option<Command> {
    let python = std::env::var_os("HOG_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&python);
    command.arg("-B");
    let has_pyarrow = Command::new(&python).args(["-B", "-c", "import pyarrow"]).output();
    if has_pyarrow.is_ok_and(|output| output.status.success()) {
        return Some(command);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{} has no pyarrow, and in CI it must: see .ci/run",
        python.display()
    );
    eprintln!(
        "skipped: {} has no pyarrow (`pip install -r tests/columns/requirements.txt`, then HOG_PYTHON)",
        python.display()
    );
    None
}

/// Exports `archive` and says with which status.
fn export(scene: &Scene, archive: &Path, to: &Path, more: &[&str]) -> Option<i32> {
    let mut arguments = words(&["export", "-o"]);
    arguments.extend([to.as_os_str(), archive.as_os_str()]);
    arguments.extend(words(more));
    scene.run("export", &arguments).code
}

/// That the tables of `format` in `directory` hold what `lines` say.
fn assert_same(mut python: Command, format: &str, directory: &Path, lines: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/columns/compare.py");
    python.arg(script).arg(format).arg(directory).arg(lines);
    let output = python.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{format}: {words}");
}

#[test]
fn every_kind_of_value_reads_back_from_parquet_and_arrow_as_cat_prints_it() {
    let scene = Scene::new();
    log_every_kind(&scene);
    log_golden(&scene);
    let archive = drain(&scene);
    let mut cat = words(&["cat", "--format", "json"]);
    cat.push(archive.as_os_str());
    let printed = scene.run("cat", &cat);
    // One payload is no value of its statement's type, and is told.
    assert_eq!(printed.code, Some(4), "{}", printed.words);
    let lines = scene.file("lines.json", &printed.output);
    // In one go; and in many small files, row groups and batches.
    let small = &["--file-size", "2KiB", "--row-group", "1KiB"][..];
    for (format, more) in [("parquet", &[][..]), ("parquet", small), ("arrow", small)] {
        let to = scene.path(&format!("{format}-{}", more.len()));
        let arguments = [&["--format", format], more].concat();
        assert_eq!(export(&scene, &archive, &to, &arguments), Some(4));
        if let Some(python) = python() {
            assert_same(python, format, &to, &lines);
        }
    }
    let again = export(&scene, &archive, &scene.path("parquet-0"), &["--format", "parquet"]);
    assert_eq!(again, Some(0), "it told nothing new");
}

#[test]
fn a_path_that_is_missing_is_refused_in_one_line() {
    let scene = Scene::new();
    let nowhere = scene.path("nowhere");
    let to = scene.path("to");
    let arguments = [
        OsStr::new("export"),
        OsStr::new("--format"),
        OsStr::new("csv"),
        nowhere.as_os_str(),
        OsStr::new("-o"),
        to.as_os_str(),
    ];
    scene.run("export", &arguments).assert_refused(1, &["nowhere"]);
}
