//! The scripts of `scripts/chaos/`, each in a short form: the four failures that the original's manual promises to survive, and whether a script
//! would notice if something were lost, doubled or out of order.

use crate::roles::{Finished, Process};
use crate::scene::Scene;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FAILURES: &str = "3";
/// What is shipped for them.
const BYTES: usize = 6 << 20;

/// A script with everything that it started. Killed alone, it could not tidy up.
struct Script {
    group: Pid,
}

impl Script {
    /// Runs a script to its end, with `hog` as the program.
    fn run(scene: &Scene, name: &str, hog: &Path, file: &Path) -> Finished {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/chaos").join(name);
        let mut command = Command::new(script);
        command.args(["-n", FAILURES]).arg(file).process_group(0);
        command.env("HOG", hog);
        command.env("TMPDIR", scene.directory()).env("SHM_DIR", scene.shm_dir());
        let process = Process::start_command(scene.directory(), name, command, Stdio::null());
        let _script = Self {
            group: Pid::from_raw(i32::try_from(process.pid()).unwrap()).unwrap(),
        };
        process.finish()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL); // all of it has ended, if all went well
    }
}

/// Its last line, as words.
fn verdict(finished: &Finished) -> Vec<String> {
    let output = String::from_utf8_lossy(&finished.output).into_owned();
    let last = output.lines().last().unwrap_or_else(|| panic!("{}", finished.words));
    last.split(' ').map(ToOwned::to_owned).collect()
}

fn survive(name: &str, kills: &str) {
    let scene = Scene::new();
    let file = scene.file("input.log", scene.lines(BYTES));
    let finished = Script::run(&scene, name, Path::new(env!("CARGO_BIN_EXE_hog")), &file);
    assert_eq!(
        verdict(&finished)[..4],
        [kills, "lost=0", "doubled=0", "out_of_order=0"],
        "{}",
        finished.words
    );
    assert_eq!(finished.code, Some(0), "{}", finished.words);
    let left: Vec<_> = std::fs::read_dir(scene.shm_dir()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_script_of_send_failure_finds_nothing_lost_doubled_or_out_of_order() {
    survive("send-failure.sh", "kills=3");
}

#[test]
fn the_script_of_engine_failure_finds_nothing_lost_doubled_or_out_of_order() {
    survive("engine-failure.sh", "kills=3");
}

#[test]
fn the_script_of_receive_failure_finds_nothing_lost_doubled_or_out_of_order() {
    survive("receive-failure.sh", "kills=3");
}

#[test]
fn the_script_of_logging_process_and_send_failure_finds_nothing_lost_doubled_or_out_of_order() {
    survive("logging-process-and-send-failure.sh", "kills=6");
}

/// A program that is hog, but `cat` passes over one line, prints one twice and two in the wrong order.
fn spoilt_hog(scene: &Scene) -> PathBuf {
    let spoil = format!(
        "#!/bin/sh\n\
         if [ \"$1\" = cat ]; then '{hog}' \"$@\" | LC_ALL=C sed -e 2d -e 5p -e '7{{h;d}}' -e 8G; else exec '{hog}' \"$@\"; fi\n",
        hog = env!("CARGO_BIN_EXE_hog")
    );
    let path = scene.file("spoilt-hog", spoil);
    std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn a_line_that_is_lost_one_that_is_doubled_and_one_out_of_order_are_each_counted() {
    let scene = Scene::new();
    let file = scene.file("input.log", scene.lines(BYTES));
    let finished = Script::run(&scene, "send-failure.sh", &spoilt_hog(&scene), &file);
    assert_eq!(
        verdict(&finished)[1..4],
        ["lost=1", "doubled=1", "out_of_order=1"],
        "{}",
        finished.words
    );
    assert_eq!(finished.code, Some(1), "{}", finished.words);
}
