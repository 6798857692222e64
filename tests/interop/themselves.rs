//! The peers alone: held against the captures of the original, and each against its counterpart. What fails here is
//! wrong with a peer, and not with hog.

use crate::journal::{Logged, arrived, assert_arrived_once, json_of, logged};
use crate::peers::{ClassicReceiver, can_play, finish, line, producer_arguments, start};
use crate::scene::{GROUP, Scene, wait_until};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[test]
fn peers_read_the_captures_of_the_original_and_make_the_same_bytes_of_them() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if !captures.is_dir() {
        eprintln!("nothing compared: {} is missing", captures.display());
        return;
    }
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let golden = start(&scene, "golden", "golden.py", &line(&[&captures]));
    assert_eq!(finish(golden, "golden"), "all as captured\n");
}

/// Runs a producer of these options with a consumer for so many transactions: what the producer said, and what came.
fn pass_through(scene: &Scene, count: usize, options: &[&str]) -> (PathBuf, Vec<Value>) {
    std::fs::create_dir_all(scene.store()).unwrap();
    let journal = scene.path("journal");
    let store = scene.store();
    let shm = scene.shm_dir();
    let arguments = line(&[
        &"--group",
        &GROUP,
        &"--store",
        &store,
        &"--shm",
        &shm,
        &"--transactions",
        &count.to_string(),
    ]);
    let consumer = start(scene, "consumer", "v2_consumer.py", &arguments);
    let socket = store.join(format!("hstore.{GROUP}.sk"));
    wait_until("the consumer listens", || socket.exists());
    let mut arguments = producer_arguments(scene, GROUP, &journal);
    arguments.extend(options.iter().map(OsString::from));
    let mut producer = start(scene, "producer", "v2_producer.py", &arguments);
    wait_until("the producer ends", || !producer.is_running());
    let came = json_of(finish(consumer, "consumer").as_bytes());
    (journal, came)
}

fn values(transactions: &[Value]) -> impl Iterator<Item = &Value> {
    let records = transactions
        .iter()
        .flat_map(|transaction| transaction["records"].as_array().unwrap());
    records.map(|record| &record["value"])
}

#[test]
fn what_threads_of_a_producer_publish_a_consumer_gets_once_and_what_they_roll_back_never() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let options = [
        "--threads",
        "3",
        "--transactions",
        "100",
        "--rollback-every",
        "5",
        "--large-every",
        "7",
    ];
    let (journal, came) = pass_through(&scene, 240, &[&options[..], &["--large", "60000"]].concat());
    let logged = logged(&journal);
    let published: Vec<_> = logged.values().map(|queue| queue.published.len()).collect();
    assert_eq!(published, [80, 80, 80]);
    assert_arrived_once(&logged, &arrived(values(&came)));
}

#[test]
fn a_producer_that_commits_by_itself_publishes_pages_of_several_records() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    // 60 records of 109 bytes, and a few more for long process ids, are two pages.
    let (journal, came) = pass_through(&scene, 2, &["--auto", "--transactions", "60", "--bytes", "60-60"]);
    assert!(came.iter().all(|page| page["records"].as_array().unwrap().len() > 10));
    assert_arrived_once(&logged(&journal), &arrived(values(&came)));
}

#[test]
fn an_unreliable_producer_says_what_it_dropped_and_the_rest_comes() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let journal = scene.path("journal");
    let mut arguments = producer_arguments(&scene, GROUP, &journal);
    // Nobody reads: 10 pages of room, and none for more.
    arguments.extend(["--unreliable", "--transactions", "15", "--large-every", "4"].map(OsString::from));
    let output = finish(start(&scene, "producer", "v2_producer.py", &arguments), "producer");
    assert_eq!(output, "logged\n");
    let logged = logged(&journal);
    let Logged {
        published, in_doubt, ..
    } = logged.values().next().unwrap();
    assert!(
        (1..10).contains(&published.len()) && in_doubt.is_empty(),
        "{published:?} {in_doubt:?}"
    );
}

#[test]
fn values_of_every_type_pass_from_a_producer_to_a_consumer() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let (journal, came) = pass_through(&scene, 3, &["--typed", "--transactions", "3", "--spin"]);
    let logged = logged(&journal);
    let expected: Vec<_> = logged.values().flat_map(|queue| queue.records.values()).collect();
    let found: Vec<_> = came.iter().map(|transaction| &transaction["records"]).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_a_producer_published_before_its_death_is_there() {
    if !can_play() {
        return;
    }
    for (point, come) in [
        ("published:7", 8),
        ("marked:7", 7),
        ("continued:7", 7),
        ("tentative:7", 7),
    ] {
        let scene = Scene::new();
        let mut options = vec!["--die", point, "--large-every", "8", "--transactions", "9"];
        if point.starts_with("tentative") {
            options.push("--unreliable");
        }
        let (journal, came) = pass_through(&scene, come, &options);
        let logged = logged(&journal);
        // Dead before it could say that the last was published.
        let said = logged.values().next().unwrap();
        assert_eq!((said.published.len(), said.in_doubt.len()), (7, 1), "{point}");
        assert_arrived_once(&logged, &arrived(values(&came)));
    }
}

#[test]
fn an_original_sender_sends_again_what_was_not_answered_and_its_receiver_has_it_all() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let failures = ["--at", "drop-ack:3", "--at", "nonsense:6", "--at", "drop-segment:8"];
    let receiver = ClassicReceiver::start_new(&scene, "received", &failures);
    let journal = scene.path("journal");
    let arguments = line(&[
        &"--to",
        &receiver.address,
        &"--group",
        &GROUP,
        &"--segments",
        &"10",
        &"--hang-up-every",
        &"5",
        &"--journal",
        &journal,
    ]);
    finish(
        start(&scene, "classic_sender", "classic_sender.py", &arguments),
        "sender",
    );
    let connections = receiver.connections();
    assert!(connections.len() >= 4, "{}", connections.len());
    // Segments that came twice have the same bytes; without them all are there, in order.
    let segments = connections.iter().flat_map(|lines| &lines[1..]);
    let mut digests: Vec<&Value> = Vec::new();
    let mut once: Vec<&Value> = Vec::new();
    for segment in segments {
        assert_eq!(segment["behind"], json!(0));
        if !digests.contains(&&segment["digest"]) {
            digests.push(&segment["digest"]);
            once.extend(segment["transactions"].as_array().unwrap());
        }
    }
    assert_eq!(digests.len(), 10);
    let values = once.iter().flat_map(|transaction| transaction.as_array().unwrap());
    let arrived = arrived(values.map(|record| &record["value"]));
    assert_eq!(arrived["classic"], (0..40).collect::<Vec<u64>>());
}
