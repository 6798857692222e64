//! Runs of `hog` that see a mount of their own: a file system that is read-only, or small. Nobody else sees it, and it is gone with them.

use crate::roles::{Finished, Process};
use crate::scene::Scene;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

/// Prepares the place with `$MOUNT`, runs `hog` with the rest, notes what is below the place then, and ends as `hog` did.
const SCRIPT: &str = r#"
place=$1 left=$2
set -- "$place" "${@:3}"
eval "$MOUNT" || exit 99
timeout 50 "$HOG" "${@:2}"
code=$?
find "$place" > "$left"
exit $code
"#;

/// Runs `hog` after the command `mount`, in which `$1` is `place`. Gives what became of it, and all paths that were below `place` at its end;
/// none, with a word on stderr, where this process may not mount anything.
pub(super) fn run_mounted(
    scene: &Scene,
    place: &Path,
    mount: &str,
    arguments: &[&OsStr],
) -> Option<(Finished, Vec<String>)> {
    let unshare = if rustix::process::geteuid().is_root() {
        &["--mount"][..]
    } else {
        &["--mount", "--map-root-user"]
    };
    let may_mount = Command::new("unshare")
        .args(unshare)
        .args(["mount", "-t", "tmpfs", "none", "/mnt"])
        .stderr(Stdio::null())
        .status();
    if !may_mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: nothing can be mounted here");
        return None;
    }
    let left = scene.path("left");
    let mut line: Vec<OsString> = unshare.iter().map(OsString::from).collect();
    line.extend(["bash", "-c", SCRIPT, "bash"].map(OsString::from));
    line.extend([place.into(), left.clone().into()]);
    line.extend(arguments.iter().map(OsString::from));
    let mut command = Command::new("unshare");
    command
        .args(line)
        .env("MOUNT", mount)
        .env("HOG", env!("CARGO_BIN_EXE_hog"));
    let finished = Process::start_command(scene.directory(), "mounted", command, Stdio::null()).finish();
    let left = std::fs::read_to_string(left).unwrap_or_default();
    Some((finished, left.lines().map(str::to_owned).collect()))
}
