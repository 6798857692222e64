//! Queues and clients that mean harm cost themselves alone.

use super::producer::{Program, connect, counted, metadata, numbers, queue_path, register, wait_read};
use crate::scene::{GROUP, Scene, wait_until, words};
use hog_ring::v2::WaitPolicy;
use hog_ring::v2::producer::Producer;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

#[test]
fn queues_that_cannot_be_understood_are_quarantined_and_reported_once_and_others_go_on() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut good = Program::start(&scene, &scene.store(), 1);
    good.log(0, 1, "before");
    let pid = std::process::id();
    let path = |tid| queue_path(scene.shm_dir(), GROUP, pid, tid);
    let make = |tid: u32, metadata: &[u8]| Producer::create(&path(tid), metadata, 4, WaitPolicy::Futex, true).unwrap();
    let log = |producer: &mut Producer, bytes: &[u8]| {
        producer.write(bytes);
        producer.commit();
    };
    let mut bad = Vec::new();
    // An unknown id; a payload cut short; one whose length is absurd.
    for (tid, bytes) in [(2, vec![9, 0, 0, 0]), (3, counted(1, "short")[..20].to_vec())] {
        let mut producer = make(tid, &metadata());
        log(&mut producer, &bytes);
        bad.push(producer);
    }
    let mut absurd = counted(1, "");
    absurd[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut producer = make(4, &metadata());
    log(&mut producer, &absurd);
    bad.push(producer);
    // Statements that are none, and a header whose sizes cannot be.
    bad.push(make(5, &[0xff; 64]));
    bad.push(make(6, &metadata()));
    let spoil = |tid, offset, bytes: &[u8]| {
        let file = std::fs::File::options().write(true).open(path(tid)).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    };
    spoil(6, 16, &u64::MAX.to_le_bytes());
    // A footer that is none, an index beyond the slots.
    for (tid, offset, word) in [(7, 16 + 4092, 0x0900_0000_u32), (8, 8, 4)] {
        let mut producer = make(tid, &metadata());
        log(&mut producer, b"");
        spoil(tid, 4096 + offset, &word.to_le_bytes());
        bad.push(producer);
    }
    let before: Vec<_> = (2..9).map(|tid| std::fs::read(path(tid)).unwrap()).collect();
    let mut socket = connect(&scene.store(), GROUP);
    for tid in 2..9 {
        register(&mut socket, 0, pid, tid);
        register(&mut socket, 1, pid, tid);
    }
    good.log(1, 1, "after");
    wait_read(&mut sender, &good.path);
    wait_until("they are reported", || {
        sender.words().matches("is quarantined").count() >= 6
    });
    wait_until("the good one arrived", || {
        numbers(&scene, &receiver.archive) == [[0, 1]]
    });
    let words = sender.words();
    assert_eq!(words.matches("is quarantined").count(), 6, "{words}");
    assert!(words.contains("is not a queue of version 2"), "{words}");
    for (tid, before) in (2..9).zip(before) {
        assert!(std::fs::read(path(tid)).unwrap() == before, "queue {tid} was touched");
    }
    sender.terminate();
    sender.succeed();
}

#[test]
fn a_queue_that_is_cut_short_while_it_is_mapped_costs_itself_alone() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut good = Program::start(&scene, &scene.store(), 1);
    let mut other = Program::start(&scene, &scene.store(), 2);
    other.log(100, 1, "other");
    good.log(0, 1, "before");
    wait_read(&mut sender, &good.path);
    wait_read(&mut sender, &other.path);
    std::fs::File::options()
        .write(true)
        .open(&other.path)
        .unwrap()
        .set_len(0)
        .unwrap();
    wait_until("it is reported", || sender.words().contains("the queue's file shrank"));
    good.log(1, 1, "after");
    wait_until("the good one arrived", || {
        numbers(&scene, &receiver.archive)
            .iter()
            .any(|numbers| *numbers == [0, 1])
    });
    assert!(sender.is_running());
}

#[test]
fn silent_and_garbage_clients_and_impostors_harm_nobody() {
    let scene = Scene::new();
    let receiver = scene.receiver("receiver");
    let mut sender = scene.sender(&[&receiver.address]);
    let silent: Vec<_> = (0..100)
        .map(|_| {
            let mut client = connect(&scene.store(), GROUP);
            client.write_all(&[0; 3]).unwrap();
            client
        })
        .collect();
    let socket = scene.store().join(format!("hstore.{GROUP}.sk"));
    for _ in 0..100 {
        let mut client = UnixStream::connect(&socket).unwrap();
        let _ = client.write_all(b"GET / HTTP/1.1\r\n\r\n");
    }
    let mut client = connect(&scene.store(), GROUP);
    // Nobody's queue, no process, and a path.
    register(&mut client, 0, 1, 1);
    let mut client = connect(&scene.store(), GROUP);
    register(&mut client, 0, 0, 1);
    let mut program = Program::start(&scene, &scene.store(), 1);
    program.log(0, 3, "heard");
    wait_read(&mut sender, &program.path);
    wait_until("it arrived", || numbers(&scene, &receiver.archive) == [[0, 1, 2]]);
    let words = sender.words();
    assert_eq!(words.matches("its connection is closed").count(), 1, "{words}");
    drop(silent);
}

#[test]
fn a_store_whose_name_is_too_long_for_a_socket_is_reported_and_everything_else_goes_on() {
    let scene = Scene::new();
    let (store, archive) = (scene.path(&"s".repeat(110)), scene.archive("here"));
    let mut arguments = words(&["local", "-g", GROUP, "-m"]);
    arguments.extend([store.as_os_str(), "-d".as_ref(), archive.as_os_str()]);
    arguments.extend(["--shm-dir".as_ref(), scene.shm_dir().as_os_str()]);
    let mut local = scene.start("local", &arguments);
    wait_until("it is reported", || local.words().contains("name a shorter store"));
    let input = scene.file("app.log", "one\n");
    scene.log(&[&input]);
    wait_until("it arrived", || archive.exists() && scene.raw(&archive) == b"one\n");
    local.terminate();
    local.succeed();
}
