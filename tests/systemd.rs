//! The files for systemd in `scripts/systemd/`: units, tmpfiles, sysusers, and samples of what an operator sets. Their command
//! lines must be ones that this hog understands, what they promise of restarts must follow from the exit statuses, and
//! systemd's own tools must find nothing to complain of. Where a tool is missing, its test is skipped with a word.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test: what fails is to be seen where it fails

use clap::Parser;
use hog::cli::Cli;
use hog::exit::ExitStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Roles with a unit, and an instance as an operator would name it.
const ROLES: [(&str, &str); 3] = [("batchsend", "web"), ("batchrecv", "7070"), ("engine", "web")];
/// Where the package puts the program.
const PROGRAM: &str = "/usr/bin/hog";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/systemd")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap()
}

/// The unit's settings, in order.
fn settings(role: &str) -> Vec<(String, String)> {
    let unit = read(&format!("hog-{role}@.service"));
    let lines = unit.lines().filter(|line| !line.starts_with(['#', '[']));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn setting(role: &str, name: &str) -> Option<String> {
    let mut values = settings(role).into_iter().filter(|(found, _)| found == name);
    values.next().map(|(_, value)| value)
}

/// `NAME=VALUE` lines of a sample; with `all`, those that are commented out as well.
fn sample(role: &str, all: bool) -> BTreeMap<String, String> {
    let text = read(&format!("{role}.env"));
    let lines = text
        .lines()
        .map(|line| if all { line.trim_start_matches('#') } else { line });
    lines
        .filter(|line| line.starts_with("HOG_"))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The command line of an instance, as systemd makes it: `${NAME}` is one word, `$NAME` as many as it has.
fn command_line(role: &str, instance: &str, file: &BTreeMap<String, String>) -> Vec<String> {
    let mut variables = BTreeMap::new();
    for assignment in setting(role, "Environment").unwrap_or_default().split(' ') {
        if let Some((name, value)) = assignment.split_once('=') {
            variables.insert(name.to_owned(), value.replace("%i", instance));
        }
    }
    variables.extend(file.clone());
    let value = |name: &str| variables.get(name).cloned().unwrap_or_default();
    let line = setting(role, "ExecStart").unwrap().replace("%i", instance);
    line.split(' ')
        .flat_map(
            |word| match word.strip_prefix("${").and_then(|word| word.strip_suffix('}')) {
                Some(name) => vec![value(name)],
                None => match word.strip_prefix('$') {
                    Some(name) => value(name).split_whitespace().map(str::to_owned).collect(),
                    None => vec![word.to_owned()],
                },
            },
        )
        .collect()
}

#[test]
fn each_unit_starts_its_role_with_a_command_line_that_hog_understands() {
    for (role, instance) in ROLES {
        for all in [false, true] {
            let mut file = sample(role, all);
            // A group of this machine, wherever the test runs.
            file.insert("HOG_SHM_GROUP".to_owned(), "0".to_owned());
            let line = command_line(role, instance, &file);
            assert_eq!((line[0].as_str(), line[1].as_str()), (PROGRAM, role));
            if let Err(error) = Cli::try_parse_from(&line) {
                panic!("{line:?}: {error}");
            }
        }
    }
}

#[test]
fn each_variable_of_a_unit_is_in_its_sample_and_no_other() {
    for (role, _) in ROLES {
        let line = setting(role, "ExecStart").unwrap();
        let used: BTreeSet<_> = line
            .split(' ')
            .filter_map(|word| word.strip_prefix('$'))
            .map(|word| word.trim_matches(['{', '}']).to_owned())
            .collect();
        assert_eq!(used, sample(role, true).into_keys().collect(), "{role}");
    }
}

#[test]
fn restarts_follow_from_the_exit_statuses_and_stopping_has_its_time() {
    for (role, _) in ROLES {
        let for_good = [ExitStatus::Usage, ExitStatus::Unsafe].map(|status| (status as u8).to_string());
        assert_eq!(
            setting(role, "RestartPreventExitStatus"),
            Some(for_good.join(" ")),
            "{role}"
        );
        for (name, value) in [
            ("Type", "notify"),
            ("Restart", "always"),
            ("StartLimitIntervalSec", "0"),
            ("WatchdogSec", "2min"),
            ("TimeoutStopSec", "30s"),
            ("User", "hog"),
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("RemoveIPC", "no"),
        ] {
            assert_eq!(setting(role, name).as_deref(), Some(value), "{role}: {name}");
        }
    }
}

#[test]
fn what_would_hide_rings_or_their_writers_is_not_set() {
    let hides = [
        "PrivateIPC",
        "RestrictSUIDSGID",
        "PrivateUsers",
        "ProtectProc",
        "ProcSubset",
        "RootDirectory",
        "ReadWritePaths",
    ];
    for role in ["batchsend", "engine"] {
        for name in hides {
            assert_eq!(setting(role, name), None, "{role}: {name}");
        }
    }
}

/// Whether `tool` is there; says so if it is not.
fn is_there(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: there is no {tool}");
    }
    found
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if !is_there("systemd-analyze") {
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    for (role, instance) in ROLES {
        // It looks for the program of each unit.
        let unit = read(&format!("hog-{role}@.service")).replace(PROGRAM, env!("CARGO_BIN_EXE_hog"));
        let path = scene.path().join(format!("hog-{role}@{instance}.service"));
        std::fs::write(&path, unit).unwrap();
        let checked = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&path)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&checked.stderr);
        let about_it: Vec<_> = words.lines().filter(|line| line.contains("hog-")).collect();
        assert!(checked.status.success() && about_it.is_empty(), "{role}: {words}");
    }
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: users and owners can only be made by root");
    }
    is_root
}

#[test]
fn tmpfiles_make_the_directory_of_rings_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    if !is_there("systemd-tmpfiles") || !is_root() {
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    let made = Command::new("systemd-tmpfiles")
        .arg("--create")
        .arg(format!("--root={}", scene.path().display()))
        .arg(directory().join("hog.tmpfiles"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mode = std::fs::metadata(scene.path().join("dev/shm/hog"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o1777);
}

#[test]
fn sysusers_make_the_user_of_the_services_a_member_of_the_group_that_shares_rings() {
    if !is_there("systemd-sysusers") || !is_root() {
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    std::fs::create_dir(scene.path().join("etc")).unwrap();
    let made = Command::new("systemd-sysusers")
        .arg(format!("--root={}", scene.path().display()))
        .arg(directory().join("hog.sysusers"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(scene.path().join("etc").join(name)).unwrap();
    assert!(read("passwd").lines().any(|line| line.starts_with("hog:")));
    let group = setting("batchsend", "Environment")
        .unwrap()
        .replace("HOG_SHM_GROUP=", "");
    let members = read("group")
        .lines()
        .find(|line| line.starts_with(&format!("{group}:")))
        .map(str::to_owned);
    assert!(
        members.as_ref().is_some_and(|line| line.ends_with(":hog")),
        "{members:?}"
    );
}
