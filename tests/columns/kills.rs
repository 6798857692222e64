//! Exports that are killed, at every call by which something is made durable or gets its name, and then run again.

use crate::logged::{drain, log_some};
use crate::roles::Finished;
use crate::scene::{Scene, words};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls between two of which an export stands in each of its steps.
const CALLS: &[&str] = &["fdatasync", "fsync", "rename", "unlink", "mkdir"];

/// The command line of an export that commits behind every frame.
fn arguments<'a>(archive: &'a Path, to: &'a Path) -> Vec<&'a OsStr> {
    let mut arguments = words(&["export", "--format", "csv", "--file-size", "1", "-o"]);
    arguments.extend([to.as_os_str(), archive.as_os_str()]);
    arguments
}

/// The rows of each table, in the order of its files.
fn rows(directory: &Path) -> Vec<(String, String)> {
    let mut tables = Vec::new();
    for table in entries(&entries(directory)[0]) {
        let files = entries(&table);
        let rows: Vec<String> = files
            .iter()
            .flat_map(|file| {
                let text = fs::read_to_string(file).unwrap();
                text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let name = table.file_name().unwrap().to_str().unwrap().to_owned();
        tables.push((name, rows.join("\n")));
    }
    tables
}

/// What is in a directory and not hog's own, sorted.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut entries: Vec<_> = entries.filter(|path| !path.ends_with(".hog")).collect();
    entries.sort();
    entries
}

fn assert_done(finished: &Finished) {
    assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
}

fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: there is no strace here, or it may not trace");
    }
    can
}

#[test]
fn an_export_that_is_killed_anywhere_and_run_again_has_the_rows_of_one_that_was_not() {
    if !can_trace() {
        return;
    }
    let scene = Scene::new();
    log_some(&scene);
    let archive = drain(&scene);
    let undisturbed = scene.path("undisturbed");
    assert_done(&scene.run("export", &arguments(&archive, &undisturbed)));
    let expected = rows(&undisturbed);
    assert_eq!(expected.len(), 3);
    let all: usize = expected.iter().map(|(_, rows)| rows.lines().count()).sum();
    assert_eq!(all, 80);
    let mut kills = 0;
    for call in CALLS {
        for n in 1.. {
            let to = scene.path(&format!("{call}-{n}"));
            let log = scene.path("strace");
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let trace = format!("trace={call}");
            let mut under = words(&["strace", "-D", "-f", "-qq", "-e", &trace, "-e", &inject, "-o"]);
            under.push(log.as_os_str());
            let killed = scene.start_under(&under, "export", &arguments(&archive, &to)).finish();
            if killed.code == Some(0) {
                break;
            }
            kills += 1;
            assert_done(&scene.run("export", &arguments(&archive, &to)));
            assert!(rows(&to) == expected, "killed at {call} number {n}");
            let unfinished = fs::read_dir(to.join(".hog")).unwrap().count();
            assert_eq!(
                unfinished, 2,
                "killed at {call} number {n}: more than the lock and the state is left"
            );
            fs::remove_dir_all(to).unwrap();
        }
    }
    assert!(kills > 15, "only {kills} kills");
}
