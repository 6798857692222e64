//! Files as the original's recorder writes them, made from archives: killed at any moment, and read while they are written.

use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAME: &str = "recv";

/// Kills of one export.
const KILLS: usize = 6;

/// Starts an export of the scene's archive to `output`.
fn export(scene: &Scene, output: &Path, more: &[&str]) -> Process {
    let archive = scene.archive(NAME).join(GROUP);
    let mut arguments = vec!["export", "--format", "hobbes", "-o"];
    arguments.extend(more);
    let mut arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
    arguments.insert(4, output.into());
    arguments.push(archive.into());
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    scene.start("export", &arguments)
}

/// An archive of so many bytes of lines.
fn stored(bytes: usize) -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let lines = scene.lines(bytes);
    let input = scene.file("input.log", &lines);
    let mut local = scene.local(NAME);
    scene.log(&[&input]);
    scene.wait_stored();
    local.terminate();
    local.succeed();
    (scene, lines)
}

/// The files that one export made, in order.
fn files(scene: &Scene) -> Vec<PathBuf> {
    let names = std::iter::once("out.log".to_owned()).chain((1..).map(|number| format!("out-{number}.log")));
    names
        .map(|name| scene.path(&name))
        .take_while(|path| path.exists())
        .collect()
}

/// The lines in them.
fn lines_in(scene: &Scene) -> Vec<u8> {
    files(scene).iter().flat_map(|file| scene.raw(file)).collect()
}

#[test]
fn an_export_that_is_killed_again_and_again_ends_as_one_that_was_not() {
    let (scene, lines) = stored(6 << 20);
    let output = scene.path("out.log");
    let begun = Instant::now();
    export(&scene, &scene.path("whole.log"), &[]).succeed();
    let whole = begun.elapsed();
    assert!(scene.raw(&scene.path("whole.log")) == lines, "undisturbed");
    let mut ended = 0;
    for _ in 0..KILLS {
        let moment = scene.draw(|chance| whole.mul_f64(chance.f64() / 2.0));
        let mut export = export(&scene, &output, &[]);
        std::thread::sleep(moment.max(Duration::from_millis(1)));
        ended += usize::from(!export.kill());
        if output.exists() {
            assert!(lines.starts_with(&lines_in(&scene)), "after a kill");
        }
    }
    export(&scene, &output, &[]).succeed();
    assert!(
        lines_in(&scene) == lines,
        "{ended} of {KILLS} had ended before they were killed"
    );
    assert!(!scene.path(".tmp.out.log").exists());
}

#[test]
fn an_export_that_follows_may_be_read_and_killed_while_it_writes() {
    let scene = Scene::new();
    let lines = scene.lines(300_000);
    let half = lines[..150_000].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let input = scene.file("input.log", &lines[..half]);
    let _local = scene.local(NAME);
    let output = scene.path("out.log");
    let archive = scene.archive(NAME).join(GROUP);
    wait_until("there is an archive", || archive.exists());
    let mut known = 0;
    let mut has_at_least = |least: usize| {
        if !output.exists() {
            return false;
        }
        let found = lines_in(&scene);
        assert!(known <= found.len() && lines.starts_with(&found));
        known = found.len();
        known >= least
    };
    let mut first = export(&scene, &output, &["--follow"]);
    let engine = scene.engine(&[&input]);
    wait_until("some lines are exported", || has_at_least(1));
    first.kill();
    engine.succeed();
    // What is logged from now on is the second one's, so it follows once that is there.
    let mut second = export(&scene, &output, &["--follow"]);
    scene.file("input.log", &lines);
    let engine = scene.engine(&[&input]);
    wait_until("all lines are exported", || has_at_least(lines.len()));
    engine.succeed();
    second.terminate();
    second.succeed();
    assert!(lines_in(&scene) == lines);
}
