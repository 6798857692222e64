//! What becomes of events when their ring is full, given up, full of definitions, or cannot be made.

use crate::scene::{NO_SPANS, Scene, encoded, head};
use hog_ring::tracing::HogLayer;
use hog_ring::{Condemnation, GroupOptions, RingReader, ring_files};
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tracing::info;
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

#[test]
fn what_cannot_be_logged_is_counted_and_a_full_ring_waits_no_longer_than_its_group_says() {
    let scene = Scene::new();
    let stop = Arc::new(AtomicBool::new(true));
    let stopped = HogLayer::new(scene.options().stop_flag(Arc::clone(&stop)).open().unwrap());
    let lost: Arc<AtomicU64> = stopped.lost();
    with_default(registry().with(stopped), || {
        let text = "x".repeat(1000);
        for _ in 0..100 {
            info!(text);
        }
    });
    let logged = scene.only().len() as u64;
    assert!(logged > 30 && logged + lost.load(Ordering::Relaxed) == 100, "{logged}");

    let scene = Scene::new();
    let unreliable = HogLayer::new(scene.options().unreliable().open().unwrap());
    let lost = unreliable.lost();
    with_default(registry().with(unreliable), || {
        let text = "x".repeat(1000);
        for _ in 0..100 {
            info!(text);
        }
    });
    assert_eq!(lost.load(Ordering::Relaxed), 0);
    let (records, _) = RingReader::open(&scene.rings()[0]).unwrap().drops();
    assert_eq!(records + scene.only().len() as u64, 100);
}

#[test]
fn events_are_counted_while_no_ring_can_be_made_and_logged_once_one_can() {
    let scene = Scene::new();
    let group = scene.options().open().unwrap();
    let layer = HogLayer::new(group.clone());
    let lost = layer.lost();
    std::fs::remove_dir_all(group.directory()).unwrap();
    with_default(registry().with(layer), || {
        info!("lost");
        info!("lost too");
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        std::fs::create_dir(group.directory()).unwrap();
        info!("logged");
    });
    assert_eq!(lost.load(Ordering::Relaxed), 2);
    let [logged] = scene.only().try_into().unwrap();
    assert_eq!(logged.payload, encoded((head(2), "logged", NO_SPANS)));
}

#[test]
fn a_thread_goes_on_in_another_ring_when_its_reader_gave_the_first_one_up() {
    let scene = Scene::new();
    let layer = scene.layer();
    let lost = layer.lost();
    with_default(registry().with(layer), || {
        info!("first");
        RingReader::open(&scene.rings()[0])
            .unwrap()
            .condemn(Condemnation::Header);
        info!("second");
        info!("third");
    });
    assert_eq!(lost.load(Ordering::Relaxed), 0);
    let mut logged: Vec<usize> = scene.logged().iter().map(Vec::len).collect();
    logged.sort_unstable();
    assert_eq!(logged, [1, 2]);
}

/// Names the directory of the rings to this test's binary, run again as a program.
const DIRECTORY: &str = "HOG_TEST_SHM";

/// Runs the test `name` again, as the program [`lose_and_leave`] with its errors at `errors`; what it said, if that is a pipe to
/// here.
fn run_again(name: &str, errors: impl Into<Stdio>) -> String {
    let scene = Scene::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("losses::{name}"), "--nocapture"]);
    command
        .env(DIRECTORY, scene.shm.path())
        .stdout(Stdio::null())
        .stderr(errors);
    let ended = command.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    assert_eq!(scene.logged().iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    said
}

/// Loses two events and leaves two rings.
fn lose_and_leave(directory: &OsStr) {
    let group = GroupOptions::new("g").shm_dir(directory).open().unwrap();
    std::fs::remove_dir_all(group.directory()).unwrap();
    let layer = HogLayer::new(group.clone());
    let lost = layer.lost();
    with_default(registry().with(layer), || {
        info!("lost");
        info!("lost too");
        std::fs::create_dir(group.directory()).unwrap();
        for _ in 0..3 {
            info!("logged");
            for ring in ring_files(group.directory()).unwrap() {
                RingReader::open(&ring).unwrap().condemn(Condemnation::Header);
            }
        }
    });
    assert_eq!(lost.load(Ordering::Relaxed), 2);
}

#[test]
fn lost_events_and_given_up_rings_are_told_once_each() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return lose_and_leave(&directory);
    }
    let said = run_again("lost_events_and_given_up_rings_are_told_once_each", Stdio::piped());
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("hog: group g: an event was not logged") && lines[0].contains("No such file or directory"),
        "{said}"
    );
    assert!(
        lines[1].starts_with("hog: group g: a thread goes on in another ring"),
        "{said}"
    );
}

#[test]
fn a_program_whose_errors_nobody_reads_goes_on_when_an_event_is_lost() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return lose_and_leave(&directory);
    }
    let (unread, errors) = std::io::pipe().unwrap();
    drop(unread);
    run_again(
        "a_program_whose_errors_nobody_reads_goes_on_when_an_event_is_lost",
        errors,
    );
}

/// More callsites' definitions than one ring takes, by one callsite with very many shapes.
#[test]
fn a_thread_goes_on_in_another_ring_when_one_has_all_the_definitions_that_it_can_have() {
    let scene = Scene::new();
    let layer = HogLayer::new(scene.options().ring_size(4 << 20).open().unwrap());
    let lost = layer.lost();
    with_default(registry().with(layer), || {
        for shape in 0..2048u32 {
            let field = |bit: u32| (shape >> bit & 1 == 1).then_some(bit);
            info!(
                a = field(0),
                b = field(1),
                c = field(2),
                d = field(3),
                e = field(4),
                f = field(5),
                g = field(6),
                h = field(7),
                i = field(8),
                j = field(9),
                k = field(10),
            );
        }
    });
    assert_eq!(lost.load(Ordering::Relaxed), 0);
    let logged = scene.logged();
    assert!(logged.len() > 1);
    assert_eq!(logged.iter().map(Vec::len).sum::<usize>(), 2048);
}
