//! The original's command line: what ran under the original runs on, word for word.

use crate::roles::Process;
use crate::scene::{Scene, wait_until, words};
use crate::v2::producer::{Program, wait_read};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// `hog -s PORT -d in -m state -c`, and the port that it has.
fn receive(scene: &Scene, port: u16) -> (Process, u16) {
    let (archive, state, port) = (archive(scene), scene.path("state"), port.to_string());
    let mut line = words(&["-s", &port, "-d"]);
    line.extend([
        archive.as_os_str(),
        OsStr::new("-m"),
        state.as_os_str(),
        OsStr::new("-c"),
    ]);
    let receiver = scene.start("receiver", &line);
    wait_until("it says where it listens", || receiver.first_line().is_some());
    let address = receiver.first_line().unwrap();
    (receiver, address.rsplit_once(':').unwrap().1.parse().unwrap())
}

fn archive(scene: &Scene) -> PathBuf {
    scene.path("in")
}

/// The `.log` files in a directory.
fn log_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension() == Some(OsStr::new("log")))
        .collect()
}

/// `hog -g web -p 10ms 10MB to -d spool -m store`, with rings of the test's own.
fn ship(scene: &Scene, to: &str) -> Process {
    let (spool, store) = (scene.path("spool"), scene.store());
    let mut line = words(&["-g", "web", "-p", "10ms", "10MB", to, "-d"]);
    line.extend([spool.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
    line.extend([OsStr::new("--shm-dir"), scene.shm_dir().as_os_str()]);
    scene.start("sender", &line)
}

#[test]
fn what_programs_of_the_original_log_is_shipped_and_received_by_its_command_lines() {
    let scene = Scene::new();
    let (receiver, port) = receive(&scene, 0);
    let mut sender = ship(&scene, &format!("localhost:{port}"));
    let mut program = Program::start(&scene, &scene.store(), 1);
    for number in 0..20 {
        program.log(number, 1, "alice");
    }
    wait_read(&mut sender, &program.path);
    scene.wait_acked();
    let numbers: Vec<_> = scene
        .json(&archive(&scene))
        .into_iter()
        .map(|record| record["value"][0].clone())
        .collect();
    assert_eq!(numbers, (0..20).map(serde_json::Value::from).collect::<Vec<_>>());
    // And in a file such as the original's receiver writes.
    let mut files = Vec::new();
    wait_until("they are in a .log file", || {
        files = log_files(&archive(&scene).join("web"));
        files.len() == 1 && scene.json(&files[0]).len() == 20
    });
    assert_eq!(scene.json(&files[0])[19]["value"][0], 19);
    let said = sender.words();
    for word in [
        "that is taken for the 10MB of -p",
        "in its own words, this is: hog batchsend --batch-time 10ms",
    ] {
        assert!(said.contains(word), "{said}");
    }
    assert!(
        receiver.words().contains("--format hobbes --consolidate"),
        "{}",
        receiver.words()
    );
    for mut role in [sender, receiver] {
        role.terminate();
        role.succeed();
    }
}

#[test]
fn its_command_lines_lose_and_double_nothing_when_sender_and_receiver_are_killed() {
    let scene = Scene::new();
    let (mut receiver, port) = receive(&scene, 0);
    let to = format!("localhost:{port}");
    let mut sender = ship(&scene, &to);
    let mut program = Program::start(&scene, &scene.store(), 1);
    for round in 0..6 {
        for number in 0..10 {
            program.log(round * 10 + number, 1, "carol");
        }
        if scene.draw(fastrand::Rng::bool) {
            scene.wait_acked();
        }
        if round % 2 == 0 {
            sender.kill();
            sender = ship(&scene, &to);
        } else {
            receiver.kill();
            receiver = receive(&scene, port).0;
        }
    }
    wait_read(&mut sender, &program.path);
    scene.wait_acked();
    let records = scene.json(&archive(&scene));
    let numbers: Vec<_> = records.iter().map(|record| record["value"][0].clone()).collect();
    assert_eq!(numbers, (0..60).map(serde_json::Value::from).collect::<Vec<_>>());
    wait_until("they are in the .log files", || {
        let mut files = log_files(&archive(&scene).join("web"));
        files.sort();
        let records: Vec<_> = files.iter().flat_map(|path| scene.json(path)).collect();
        let in_files: Vec<_> = records.iter().map(|record| record["value"][0].clone()).collect();
        assert_eq!(in_files, numbers[..in_files.len()]);
        in_files.len() == 60
    });
    assert!(
        sender.words().contains("connected to either://localhost"),
        "{}",
        sender.words()
    );
    for mut role in [sender, receiver] {
        role.terminate();
        role.succeed();
    }
}

#[test]
fn a_local_of_the_original_s_command_line_archives_where_it_is_started() {
    let scene = Scene::new();
    let here = scene.path("here");
    std::fs::create_dir(&here).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hog"));
    command
        .current_dir(&here)
        .args(["-g", "web", "-m", ".", "-z", "--shm-dir"])
        .arg(scene.shm_dir());
    let mut local = Process::start_command(scene.directory(), "local", command, std::process::Stdio::null());
    let mut program = Program::start(&scene, &here, 1);
    program.log(7, 1, "bob");
    wait_read(&mut local, &program.path);
    wait_until("it is in the archive", || scene.json(&here.join("web")).len() == 1);
    assert!(here.join("hogstat/hogstat.db").exists());
    assert!(local.words().contains("-z: there are archives"), "{}", local.words());
    local.terminate();
    local.succeed();
}

#[test]
fn command_lines_that_make_no_sense_are_refused_in_one_line() {
    let scene = Scene::new();
    for (line, said) in [
        (&["-g", "web", "-p", "1s", "10MB"][..], "3 values required"),
        (&["-g", "web", "-s", "1"], "cannot be used with"),
        (&["-g", "we\nb", "-p", "1s", "10MB", "a:1"], "a group is 1 to 64"),
        (&["-s", "port"], "invalid digit"),
    ] {
        scene.run("refused", &words(line)).assert_refused(2, &[said]);
    }
}
