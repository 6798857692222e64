//! Situations in which programs of the original die, spin, or lose records, as far as no other file here has them. `docs/HOBBES.md` lists all of them.

use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words};
use crate::v2::producer::{Program, connect, numbers, queue_path, register, wait_read};
use hog::formats::classic::statements::{Commit, Declaration, Quality, Statements};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use hog_ring::v2::WaitPolicy;
use hog_ring::v2::producer::Producer;
use hog_ring::{GroupOptions, Statement, statement};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

static COUNTED: Statement<(&str, u64)> = statement!("counted", "$who counts $number", who, number);

/// Of the program that is interrupted by signals: the directory of its rings.
const SHM_DIR: &str = "HOG_TEST_SIGNALLED_SHM";
/// As many records it logs: more than its ring holds.
const RECORDS: u64 = 4_000;

/// Ticks of the clock, a hundredth of a second each, that the process spent.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The share of a core that the process takes for a second and a half.
fn share(pid: u32) -> f64 {
    let (before, began) = (ticks(pid), Instant::now());
    wait_until("some time has passed", || began.elapsed().as_millis() >= 1_500);
    (ticks(pid) - before) as f64 / (began.elapsed().as_secs_f64() * 100.0)
}

/// P1: there, the thread would end the program by SIGPIPE, as it registers with a process that is dead.
#[test]
fn a_thread_that_begins_to_log_after_the_sender_was_killed_logs_as_all_others() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let group = GroupOptions::new(GROUP).shm_dir(scene.shm_dir()).open().unwrap();
    let mut first = group.writer().unwrap();
    first.log(&COUNTED, ("first", 0)).unwrap();
    wait_until("the sender serves the program", || scene.acked());
    sender.kill();
    let second = group.clone();
    std::thread::spawn(move || second.writer().unwrap().log(&COUNTED, ("second", 0)).unwrap())
        .join()
        .unwrap();
    first.log(&COUNTED, ("first", 1)).unwrap();
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("all arrived", || scene.json(&receiver.archive).len() == 3);
}

#[test]
#[ignore = "a program that another test starts"]
fn program_that_is_interrupted_by_signals() {
    let Some(shm_dir) = std::env::var_os(SHM_DIR) else {
        return;
    };
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::default()).unwrap();
    let options = GroupOptions::new(GROUP)
        .shm_dir(Path::new(&shm_dir))
        .ring_size(64 << 10);
    let mut writer = options.open().unwrap().writer().unwrap();
    // To the thread itself: the kernel would take another of the process.
    let logging = pthread_self();
    std::thread::spawn(move || {
        for _ in 0..400 {
            std::thread::sleep(Duration::from_millis(1));
            pthread_kill(logging, Signal::SIGUSR1).unwrap();
        }
        println!("interrupted");
    });
    for number in 0..RECORDS {
        writer.log(&COUNTED, ("signalled", number)).unwrap();
    }
}

/// P2: there, a writer that a signal interrupts while it waits for room takes all of a core from then on, and never registers again.
#[test]
fn a_program_that_signals_interrupt_while_it_waits_for_room_waits_on_and_logs_all() {
    let scene = Scene::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "original::program_that_is_interrupted_by_signals"])
        .args(["--ignored", "--nocapture"])
        .env(SHM_DIR, scene.shm_dir());
    let mut program = Process::start_command(scene.directory(), "program", command, Stdio::null());
    wait_until("it was interrupted often", || {
        assert!(program.is_running(), "{}", program.words());
        std::fs::read_to_string(scene.path("program.stdout"))
            .unwrap()
            .contains("interrupted")
    });
    assert!(scene.progress().0 > 60_000, "its ring is full");
    let share = share(program.pid());
    assert!(share < 0.1, "{share} of a core, to wait");
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    wait_until("it has logged all", || !program.is_running());
    assert_eq!(program.finish().code, Some(0));
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    let numbers: Vec<_> = records
        .iter()
        .filter_map(|record| record["value"]["number"].as_u64())
        .collect();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
}

/// C1 and C2: there, each of these ends the recorder, or is compiled as a part of its program.
#[test]
fn statements_of_whatever_names_and_types_and_programs_without_any_are_served() {
    let scene = Scene::new();
    let mut local = scene.local("here");
    let text = Type::text();
    let declared = [
        ("log", text.clone()),
        ("transactions", text.clone()),
        ("statements", text.clone()),
        ("a.b", text.clone()),
        ("a\"b", text.clone()),
        ("x = 1; y\nwhere {", text.clone()),
        ("", text.clone()),
        ("named", Type::alias("name", text.clone())),
        ("match", Type::tuple([text.clone(), Type::array(text)])),
    ];
    let list: Vec<Definition> = (0..)
        .zip(&declared)
        .map(|(id, (name, payload_type))| Definition {
            id,
            name: (*name).to_owned(),
            flags: 1,
            format: "$0".to_owned(),
            file: "prod.cpp".to_owned(),
            line: 1,
            payload_type: payload_type.clone(),
        })
        .collect();
    let declaration = Declaration {
        quality: Quality::Reliable,
        commit: Commit::Manual,
        statements: Statements::new(list).unwrap(),
    };
    let mut metadata = Vec::new();
    declaration.encode_queue(&mut metadata);
    let pid = std::process::id();
    let queue = |tid: u32, metadata: &[u8]| {
        let path = queue_path(scene.shm_dir(), GROUP, pid, tid);
        Producer::create(&path, metadata, 11, WaitPolicy::Futex, true).unwrap()
    };
    let mut none = queue(1, b"");
    let mut producer = queue(2, &metadata);
    let mut socket = connect(&scene.local_store(), GROUP);
    register(&mut socket, 0, pid, 1);
    register(&mut socket, 0, pid, 2);
    none.commit();
    for id in 0..9_u32 {
        let length = [&1_u64.to_le_bytes()[..], b"v"].concat();
        let more: &[u8] = if id == 8 { &[0; 8] } else { &[] };
        producer.write(&[&id.to_le_bytes()[..], &length, more].concat());
        producer.commit();
    }
    wait_read(&mut local, &queue_path(scene.shm_dir(), GROUP, pid, 1));
    wait_read(&mut local, &queue_path(scene.shm_dir(), GROUP, pid, 2));
    scene.wait_stored();
    let records = scene.json(&scene.archive("here"));
    let named: Vec<_> = records
        .iter()
        .map(|record| record["statement"].as_str().unwrap())
        .collect();
    assert_eq!(named, declared.each_ref().map(|(name, _)| *name));
    assert!(records[..8].iter().all(|record| record["value"] == "v"), "{records:?}");
    assert_eq!(records[8]["value"], serde_json::json!(["v", []]));
    assert!(!local.words().contains("quarantined"), "{}", local.words());
    local.terminate();
    local.succeed();
}

/// C4: there, whoever disconnects is waited for by the thread that hears of all others, forever where a batch has no time.
#[test]
fn programs_that_come_and_go_hold_up_no_other_though_a_batch_has_no_time() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--batch-time", "0s"]);
    let mut stays = Program::start(&scene, &scene.store(), 100);
    for tid in 1..6 {
        let mut goes = Program::start(&scene, &scene.store(), tid);
        goes.log(u64::from(tid), 1, "goes");
        goes.socket = None;
        stays.log(100 + u64::from(tid), 1, "stays");
        wait_read(&mut sender, &goes.path);
    }
    wait_read(&mut sender, &stays.path);
    scene.wait_acked();
    let mut found = numbers(&scene, &receiver.archive);
    found.sort();
    assert_eq!(
        found,
        [vec![1], vec![2], vec![3], vec![4], vec![5], (101..106).collect()]
    );
    sender.terminate();
    sender.succeed();
}

/// C5: there, a transaction of more than a mebibyte whose pages are so many that a byte counts them as one is written behind the end of a file, which ends the recorder.
#[test]
fn transactions_of_a_mebibyte_and_as_many_pages_as_a_byte_has_values_arrive() {
    /// Bytes of a page that carry records, and of those that are not text in one of them.
    const PAGE: usize = 4092;
    const HEAD: usize = 4 + 8 + 8;
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut program = Program::start(&scene, &scene.store(), 1);
    let lengths = [256 * PAGE + 1, 257 * PAGE - 1, 257 * PAGE, 1 << 20];
    for (number, length) in (0..).zip(lengths) {
        program.log(number, 1, &"l".repeat(length - HEAD));
    }
    wait_read(&mut sender, &program.path);
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    let found: Vec<_> = records
        .iter()
        .map(|record| record["value"][1].as_str().unwrap().len() + HEAD)
        .collect();
    assert_eq!(found, lengths);
}

/// N14: there, a sender looks for files all the time, and one destination that is away has the others wait for it.
#[test]
fn a_sender_that_has_nothing_to_send_takes_next_to_no_time_though_a_destination_is_away() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let sender = scene.sender(&[&receiver.address, "127.0.0.1:9"]);
    let input = scene.file("input.log", scene.lines(10_000));
    scene.log(&[&input]);
    wait_until("the one that is there has all", || {
        scene.unacked_by(&receiver.address) == Some(0)
    });
    let share = share(sender.pid());
    assert!(share < 0.1, "{share} of a core, though nothing happens");
}

/// N17: there, spools and half-read transactions lie where the process was started, and another one looks for them where it is.
#[test]
fn what_a_sender_left_is_found_though_it_named_its_spool_from_another_directory() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let to = receiver.address.clone();
    let start = |here: &str, more: &[&str]| {
        std::fs::create_dir_all(scene.path(here)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hog"));
        command
            .current_dir(scene.path(here))
            .args(["batchsend", "-g", GROUP, "--to", &to, "-d", "spool", "-m"])
            .arg(scene.store())
            .arg("--shm-dir")
            .arg(scene.shm_dir())
            .args(words(more));
        Process::start_command(scene.directory(), "batchsend", command, Stdio::null())
    };
    let mut sender = start("one", &[]);
    let bytes = scene.lines(100_000);
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_until("all is in the spool", || {
        let (tail, head) = scene.progress();
        tail == head
    });
    sender.kill();
    receiver.start(&scene);
    start("two", &["--drain-and-exit"]).succeed();
    assert!(scene.path("two/spool").is_dir());
    scene.assert_arrived(&receiver, &bytes);
}
