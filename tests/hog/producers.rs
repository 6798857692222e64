//! Programs that log through the library: this test's own binary, run again as one of them.

use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until};
use hog_ring::{Group, GroupOptions, Statement, statement};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

static COUNTED: Statement<(&str, u64)> = statement!("counted", "$who counts $number", who, number);

/// Of each process in the test, how many records it logs before and after it forked.
const RECORDS: u64 = 20_000;
/// Names the directory of the rings to a program that was started by a test.
const SHM_DIR: &str = "HOG_TEST_SHM";

/// Starts the ignored test `program` in a process of its own.
fn start(scene: &Scene, program: &str) -> Started {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("producers::{program}"), "--ignored", "--nocapture"])
        .env(SHM_DIR, scene.shm_dir())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Started(child)
}

/// A program that does not outlive its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In a program that was started by a test: the group to log to. Otherwise somebody runs all ignored tests, and there
/// is nothing to do.
fn group_of_test() -> Option<Group> {
    let shm_dir = std::env::var_os(SHM_DIR)?;
    Some(
        GroupOptions::new(GROUP)
            .shm_dir(Path::new(&shm_dir))
            .ring_size(64 << 10)
            .open()
            .unwrap(),
    )
}

/// `fork` and `_exit` of the C library: the ring's library has handlers there that a bare system call would pass by.
#[allow(unsafe_code)]
mod process {
    unsafe extern "C" {
        fn fork() -> i32;
        fn _exit(status: i32) -> !;
    }

    /// Whether this is the child.
    pub(super) fn fork_here() -> bool {
        // SAFETY: the child goes on with one thread and ends by `leave`; all it uses is the allocator, which is
        // fork-safe in the C library.
        let forked = unsafe { fork() };
        assert!(forked >= 0, "{}", std::io::Error::last_os_error());
        forked == 0
    }

    /// Ends without a word to anybody, as a killed process does.
    pub(super) fn leave(status: i32) -> ! {
        // SAFETY: it takes any status and does not return.
        unsafe { _exit(status) }
    }
}

#[test]
#[ignore = "a program that other tests start"]
fn program_that_forks() {
    let Some(group) = group_of_test() else { return };
    let mut writer = group.writer().unwrap();
    for number in 0..RECORDS {
        writer.log(&COUNTED, ("before", number)).unwrap();
    }
    let is_child = process::fork_here();
    let who = if is_child { "child" } else { "parent" };
    let logged = (0..RECORDS).all(|number| writer.log(&COUNTED, (who, number)).is_ok());
    process::leave(i32::from(!logged))
}

#[test]
fn a_program_that_forks_logs_every_record_once_from_both_processes() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let mut program = start(&scene, "program_that_forks");
    wait_until("the parent ends", || program.0.try_wait().unwrap().is_some());
    assert!(program.0.wait().unwrap().success());
    // The child may live on for a while, and its ring with it.
    wait_until("the records of both have arrived", || {
        scene.acked() && scene.rings().is_empty() && scene.verify(&receiver.archive).1["records"] == 3 * RECORDS
    });
    let mut numbers: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for record in scene.json(&receiver.archive) {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let key = (text(&record["value"]["who"]), text(&record["stream"]));
        numbers
            .entry(key)
            .or_default()
            .push(record["value"]["number"].as_u64().unwrap());
    }
    let all: Vec<u64> = (0..RECORDS).collect();
    let streams: BTreeMap<&str, &str> = numbers
        .keys()
        .map(|(who, stream)| (who.as_str(), stream.as_str()))
        .collect();
    assert_eq!(numbers.len(), 3, "{:?}", numbers.keys());
    assert!(numbers.values().all(|found| *found == all));
    assert!(streams["before"] == streams["parent"] && streams["parent"] != streams["child"]);
    let (ended, _) = scene.verify(&receiver.archive);
    assert!(ended.iter().all(|stream| stream["ended"] == true), "{ended:?}");
}

#[test]
#[ignore = "a program that other tests start"]
fn program_that_is_killed_in_a_transaction() {
    let Some(group) = group_of_test() else { return };
    let mut writer = group.writer().unwrap();
    for number in 0.. {
        let mut transaction = writer.transaction();
        transaction.log(&COUNTED, ("first", number)).unwrap();
        transaction.log(&COUNTED, ("second", number)).unwrap();
        transaction.commit().unwrap();
    }
}

#[test]
fn a_transaction_arrives_whole_or_not_at_all() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let drain = || scene.sender(&[&receiver.address]);
    kill_programs_in_transactions(&scene, &drain, &|| scene.wait_acked());
    assert_whole_transactions(&scene, &receiver.archive);
}

#[test]
fn a_transaction_is_in_the_archive_of_a_local_whole_or_not_at_all() {
    let scene = Scene::new();
    kill_programs_in_transactions(&scene, &|| scene.local("recv"), &|| scene.wait_stored());
    assert_whole_transactions(&scene, &scene.archive("recv"));
}

/// Kills five programs in a transaction, two of them together with the process that `drain` starts.
fn kill_programs_in_transactions(scene: &Scene, drain: &dyn Fn() -> Process, wait: &dyn Fn()) {
    let mut drainer = drain();
    for run in 1..=5_u64 {
        let program = start(scene, "program_that_is_killed_in_a_transaction");
        let enough = scene.draw(|chance| chance.u64(100_000..500_000));
        wait_until("it has logged enough", || scene.progress().1 > enough);
        if run % 2 == 0 {
            drainer.kill();
            drop(program);
            drainer = drain();
        } else {
            drop(program);
        }
        wait_until("the ring is gone", || scene.rings().is_empty());
    }
    wait();
}

/// That `archive` has whole transactions of five programs.
fn assert_whole_transactions(scene: &Scene, archive: &Path) {
    let mut streams: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for record in scene.json(archive) {
        let value = &record["value"];
        let logged = (
            value["who"].as_str().unwrap().to_owned(),
            value["number"].as_u64().unwrap(),
        );
        streams
            .entry(record["stream"].as_str().unwrap().to_owned())
            .or_default()
            .push(logged);
    }
    assert_eq!(streams.len(), 5);
    for found in streams.values() {
        assert!(found.len() > 1000 && found.len() % 2 == 0, "{}", found.len());
        let both = |number| [("first".to_owned(), number), ("second".to_owned(), number)];
        assert!(found.chunks(2).zip(0..).all(|(pair, number)| *pair == both(number)));
    }
    scene.verify(archive);
}
