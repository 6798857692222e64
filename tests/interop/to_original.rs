//! `batchsend --to hobbes://HOST:PORT` and an original receiver, each of which may be killed.

use crate::journal::arrived;
use crate::peers::{ClassicReceiver, can_play};
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words};
use hog_ring::statement::{Definition, RuntimeStatement};
use hog_ring::types::Type;
use hog_ring::{Group, GroupOptions, Statement, Writer, statement};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write as _;

/// What the peers log as well, so that it is judged alike.
static NUMBERED: Statement<(&str, i64, i32, i32, &str)> = statement!(
    "numbered",
    "$queue: $transaction, $place of $of: $text",
    queue,
    transaction,
    place,
    of,
    text
);

fn group(scene: &Scene) -> Group {
    GroupOptions::new(GROUP).shm_dir(scene.shm_dir()).open().unwrap()
}

/// A program that logs numbered transactions.
pub(crate) struct Producer {
    writer: Writer,
    name: String,
    next: i64,
}

impl Producer {
    pub(crate) fn new(scene: &Scene, name: &str) -> Self {
        Self {
            writer: group(scene).writer().unwrap(),
            name: name.to_owned(),
            next: 0,
        }
    }

    /// Logs so many transactions, each of several records whose texts are up to so long.
    pub(crate) fn log(&mut self, scene: &Scene, count: i64, longest: usize) {
        for number in self.next..self.next + count {
            let (of, length) = scene.draw(|chance| (chance.i32(1..4), chance.usize(longest / 2..longest)));
            let mut transaction = self.writer.transaction();
            for place in 0..of {
                let text: String = format!("{number}.{place} ").chars().cycle().take(length).collect();
                transaction
                    .log(&NUMBERED, (&self.name, number, place, of, &text))
                    .unwrap();
            }
            transaction.commit().unwrap();
        }
        self.next += count;
    }
}

fn hobbes(receiver: &ClassicReceiver) -> String {
    format!("hobbes://{}", receiver.address)
}

/// What the receiver accepted, in the order of its connections, and how often it accepted something again. A segment that comes again has
/// the same bytes; it counts once, where it came first.
pub(crate) fn accepted(receiver: &ClassicReceiver) -> (Vec<Value>, usize) {
    let (mut transactions, mut known, mut again) = (Vec::new(), HashMap::new(), 0);
    for lines in receiver.connections() {
        for segment in lines.iter().skip(1) {
            assert!(segment["refused"].is_null(), "{segment}");
            assert_eq!(segment["behind"], json!(0), "one member a segment");
            let count = known.entry(segment["digest"].to_string()).or_insert(0);
            *count += 1;
            if *count > 1 {
                again += 1;
                continue;
            }
            let found = segment["transactions"].as_array().unwrap();
            assert!(!found.is_empty(), "an empty segment");
            transactions.extend(found.iter().cloned());
        }
    }
    (transactions, again)
}

pub(crate) fn values(transactions: &[Value]) -> Vec<Value> {
    let records = transactions
        .iter()
        .flat_map(|transaction| transaction.as_array().unwrap());
    records.map(|record| record["value"].clone()).collect()
}

/// That all transactions of `producers` came, whole, in order, and each once but for what came again as the same segment.
fn assert_numbered(receiver: &ClassicReceiver, producers: &[&Producer]) -> usize {
    let (transactions, again) = accepted(receiver);
    let arrived = arrived(values(&transactions).iter());
    for producer in producers {
        let expected: Vec<u64> = (0..u64::try_from(producer.next).unwrap()).collect();
        assert!(
            arrived[&producer.name] == expected,
            "{} of {}",
            arrived[&producer.name].len(),
            expected.len()
        );
    }
    assert_eq!(arrived.len(), producers.len());
    again
}

fn drain(scene: &Scene, to: &[&str]) -> Process {
    scene.sender_with(&[GROUP], to, &["--drain-and-exit", "--batch-size", "4KiB"])
}

#[test]
fn lines_of_a_file_reach_an_original_receiver_in_order() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    let lines = scene.lines(200_000);
    let path = scene.file("input", &lines);
    scene.log(&[&path]);
    drain(&scene, &[&hobbes(&receiver)]).succeed();
    let (transactions, again) = accepted(&receiver);
    let texts = values(&transactions).iter().fold(String::new(), |mut texts, value| {
        writeln!(texts, "{}", value["text"].as_str().unwrap()).unwrap();
        texts
    });
    crate::arrived::assert_equal(texts.as_bytes(), &lines);
    assert_eq!((again, receiver.connections().len()), (0, 1));
    assert_eq!(receiver.connections()[0][0]["group"], json!(GROUP));
    assert!(scene.acked(), "and the sender knows");
}

#[test]
fn transactions_of_several_programs_have_a_connection_each_and_long_ones_arrive_whole() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    let mut sender = scene.sender_with(
        &[GROUP],
        &[&hobbes(&receiver)],
        &["--batch-size", "4KiB", "--batch-time", "5ms"],
    );
    let mut producers: Vec<_> = ["one", "two", "three"].map(|name| Producer::new(&scene, name)).into();
    for _ in 0..5 {
        for producer in &mut producers {
            producer.log(&scene, 20, 300);
            producer.log(&scene, 1, 600_000); // more than a quarter of the ring: it goes in fragments
        }
    }
    scene.wait_acked();
    sender.terminate();
    sender.succeed();
    let again = assert_numbered(&receiver, &producers.iter().collect::<Vec<_>>());
    assert_eq!((again, receiver.connections().len()), (0, 3));
}

#[test]
fn a_statement_that_comes_later_begins_a_connection_with_a_longer_init() {
    static LATER: Statement<(u8, &str)> = statement!("later", "$0 $1");
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    let _sender = scene.sender_with(&[GROUP], &[&hobbes(&receiver)], &["--batch-time", "5ms"]);
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 3, 50);
    scene.wait_acked();
    producer.writer.log(&LATER, (7, "seven")).unwrap();
    scene.wait_acked();
    let connections = receiver.connections();
    let named: Vec<Vec<_>> = connections
        .iter()
        .map(|lines| {
            lines[0]["statements"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one[0].clone())
                .collect()
        })
        .collect();
    assert_eq!(
        named,
        [vec![json!("numbered")], vec![json!("later"), json!("numbered")]]
    );
    let record = &connections[1][1]["transactions"][0][0];
    assert_eq!(*record, json!({ "statement": "later", "value": [7, "seven"] }));
}

#[test]
fn what_an_original_does_not_answer_for_goes_again_as_the_same_bytes() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let failures = [
        "--at",
        "drop-ack:2",
        "--at",
        "drop-segment:4",
        "--at",
        "nonsense:6",
        "--at",
        "drop-ack:7",
    ];
    let receiver = ClassicReceiver::start_new(&scene, "received", &failures);
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 100, 300);
    drain(&scene, &[&hobbes(&receiver)]).succeed();
    // Two were stored without an answer, and one with another answer than there is.
    assert_eq!(assert_numbered(&receiver, &[&producer]), 3);
    assert_eq!(receiver.connections().len(), 5);
}

#[test]
fn an_original_receiver_that_is_killed_before_or_after_it_stored_a_segment_lacks_nothing() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = ClassicReceiver::start_new(&scene, "received", &["--at", "die-before:3"]);
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 200, 100);
    let sender = drain(&scene, &[&hobbes(&receiver)]);
    for failure in ["die-after:2", "die-before:1", "die-after:1"] {
        wait_until("the receiver dies", || !receiver.is_running());
        receiver.start_again(&scene, &["--at", failure]);
    }
    wait_until("the receiver dies", || !receiver.is_running());
    receiver.start_again(&scene, &[]);
    sender.succeed();
    assert_eq!(assert_numbered(&receiver, &[&producer]), 2);
}

#[test]
fn a_sender_that_is_killed_at_any_moment_sends_only_what_was_in_doubt_again() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    let to = hobbes(&receiver);
    let mut producers: Vec<_> = ["one", "two"].map(|name| Producer::new(&scene, name)).into();
    // What is cut otherwise in each run is cut as before where it is in doubt.
    let start = || {
        let size = scene.draw(|chance| format!("{}KiB", chance.u32(1..5)));
        scene.sender_with(
            &[GROUP],
            &[&to],
            &["--batch-size", &size, "--batch-time", "1ms", "--sync", "10ms"],
        )
    };
    let mut sender = start();
    let mut kills = 0;
    for _ in 0..8 {
        let wanted = receiver.segments() + scene.draw(|chance| chance.usize(1..16));
        for producer in &mut producers {
            producer.log(&scene, 50, 200);
        }
        // All may have gone in fewer segments than that.
        wait_until("it has sent enough", || receiver.segments() >= wanted || scene.acked());
        kills += usize::from(sender.kill());
        sender = start();
    }
    scene.wait_acked();
    sender.terminate();
    sender.succeed();
    let again = assert_numbered(&receiver, &producers.iter().collect::<Vec<_>>());
    assert!(again <= kills, "{again} segments came again after {kills} kills");
}

#[test]
fn what_was_answered_for_is_not_sent_again_by_later_runs_though_it_is_still_spooled() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    let mut producer = Producer::new(&scene, "one");
    for _ in 0..3 {
        producer.log(&scene, 30, 200);
        let more = ["--drain-and-exit", "--batch-size", "4KiB", "--retain", "1h"];
        scene.sender_with(&[GROUP], &[&hobbes(&receiver)], &more).succeed();
        assert_eq!(assert_numbered(&receiver, &[&producer]), 0);
    }
}

#[test]
fn an_original_and_a_receiver_of_ours_both_get_everything() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let original = ClassicReceiver::start_new(&scene, "received", &["--at", "drop-ack:2"]);
    let ours = scene.receiver("recv");
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 50, 300);
    drain(&scene, &[&hobbes(&original), &ours.address]).succeed();
    assert_eq!(assert_numbered(&original, &[&producer]), 1);
    let stored: Vec<Value> = scene
        .json(&ours.archive)
        .iter()
        .map(|record| record["value"].clone())
        .collect();
    assert_eq!(arrived(stored.iter())["one"].len(), 50);
}

/// A sender of the original that is started again with unequal backlogs sends one of its receivers an init for a segment, and nobody anything after that.
#[test]
fn two_originals_of_which_one_was_away_each_get_everything_though_the_sender_is_killed() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let one = ClassicReceiver::start_new(&scene, "one", &[]);
    let mut other = ClassicReceiver::start_new(&scene, "other", &[]);
    let to = [hobbes(&one), hobbes(&other)];
    let to = to.each_ref().map(String::as_str);
    let start = || scene.sender_with(&[GROUP], &to, &["--batch-size", "4KiB", "--batch-time", "5ms"]);
    let mut sender = start();
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 20, 300);
    scene.wait_acked();
    other.kill();
    producer.log(&scene, 20, 300);
    wait_until("the one that is there has all", || {
        scene.unacked_by(&hobbes(&one)) == Some(0)
    });
    sender.kill();
    producer.log(&scene, 20, 300);
    sender = start();
    other.start_again(&scene, &[]);
    scene.wait_acked();
    sender.terminate();
    sender.succeed();
    assert_numbered(&one, &[&producer]);
    assert_numbered(&other, &[&producer]);
    for receiver in [&one, &other] {
        let connections = receiver.connections();
        assert!(
            connections.iter().all(|lines| lines[0]["group"] == json!(GROUP)),
            "{connections:?}"
        );
    }
}

#[test]
fn records_that_an_original_cannot_take_are_counted_and_the_others_arrive() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 5, 50);
    let named = RuntimeStatement::new(Definition {
        id: 1,
        name: "named".to_owned(),
        flags: 1,
        format: "$0".to_owned(),
        file: file!().to_owned(),
        line: line!(),
        payload_type: Type::alias("name", Type::text()),
    });
    let named = named.unwrap();
    for name in ["Ada", "Grace", "Edsger"] {
        producer.writer.log_payload(&named, &(name,)).unwrap();
    }
    producer.log(&scene, 5, 50);
    let finished = drain(&scene, &[&hobbes(&receiver)]).finish();
    assert_eq!(finished.code, Some(5), "{}", finished.words);
    assert_eq!(assert_numbered(&receiver, &[&producer]), 0);
    let arguments = words(&["faults", "--format", "json", "-m"]);
    let store = scene.store();
    let faults = scene.run("faults", &[&arguments[..], &[store.as_os_str() as &OsStr]].concat());
    let faults = crate::journal::json_of(&faults.output);
    let fault = faults.iter().find(|fault| fault["kind"] == "loss").unwrap();
    assert!(fault["what"].as_str().unwrap().contains("\"named\""), "{fault}");
    assert_eq!(fault["count"], json!(3));
    assert_eq!(finished.words.matches("\"named\"").count(), 1, "{}", finished.words);
}

#[test]
fn whoever_answers_an_init_with_nonsense_is_tried_again_and_reported_once() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = ClassicReceiver::start_new(&scene, "received", &["--at-init", "nonsense"]);
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 5, 50);
    let sender = drain(&scene, &[&hobbes(&receiver)]);
    wait_until("it was tried again", || receiver.connections().len() > 2);
    assert_eq!(sender.words().matches("does not take").count(), 1, "{}", sender.words());
    receiver.start_again(&scene, &["--at-init", "hang-up"]);
    let before = receiver.connections().len();
    wait_until("it was tried again", || receiver.connections().len() > before);
    receiver.start_again(&scene, &[]);
    sender.succeed();
    assert_eq!(assert_numbered(&receiver, &[&producer]), 0);
}

#[test]
fn what_was_dropped_to_make_room_is_missing_at_an_original_and_all_else_arrives_whole() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    receiver.kill();
    let more = ["--spool-max", "8MiB", "--on-full", "drop-oldest"];
    let mut sender = scene.sender_with(&[GROUP], &[&hobbes(&receiver)], &more);
    let lines = scene.lines(10 << 20);
    let path = scene.file("input", &lines);
    scene.log(&[&path]);
    receiver.start_again(&scene, &[]);
    scene.wait_acked();
    sender.terminate();
    assert_eq!(sender.finish().code, Some(0));
    let (transactions, again) = accepted(&receiver);
    let found = values(&transactions);
    let found: Vec<&str> = found.iter().map(|value| value["text"].as_str().unwrap()).collect();
    let logged: Vec<&str> = std::str::from_utf8(&lines).unwrap().lines().collect();
    assert_eq!((again, found.last()), (0, logged.last()));
    // Lines begin with their number.
    assert!(found.is_sorted() && found.windows(2).all(|pair| pair[0] != pair[1]));
    let known: std::collections::HashSet<&str> = logged.iter().copied().collect();
    assert!(found.len() < logged.len() && found.iter().all(|line| known.contains(line)));
}

#[test]
fn what_earlier_runs_left_in_other_directories_reaches_an_original_first_and_once() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = ClassicReceiver::start_new(&scene, "received", &["--at", "drop-ack:3"]);
    let to = hobbes(&receiver);
    let start = |spool: &str, more: &[&str]| {
        let (spool, store) = (scene.path(spool), scene.store());
        let mut arguments = words(&["batchsend", "-g", GROUP, "--to", &to, "--batch-size", "4KiB", "-d"]);
        arguments.extend([spool.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
        arguments.extend([OsStr::new("--shm-dir"), scene.shm_dir().as_os_str()]);
        arguments.extend(words(more));
        scene.start("batchsend", &arguments)
    };
    let mut producer = Producer::new(&scene, "one");
    for spool in ["first", "second"] {
        producer.log(&scene, 50, 200);
        let mut sender = start(spool, &[]);
        let sent = receiver.segments() + 2;
        wait_until("some of it is sent", || {
            receiver.segments() >= sent || !receiver.is_running()
        });
        receiver.kill();
        producer.log(&scene, 50, 200);
        wait_until("the rest is spooled", || {
            let (tail, head) = scene.progress();
            tail == head
        });
        sender.kill();
        receiver.start_again(&scene, &[]);
    }
    start("third", &["--drain-and-exit"]).succeed();
    let again = assert_numbered(&receiver, &[&producer]);
    assert!(again <= 3, "{again} segments came again");
}

#[test]
fn without_recovery_an_original_gets_the_backlog_of_the_living_first_and_that_of_the_dead_in_a_later_run() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    receiver.kill();
    let to = hobbes(&receiver);
    let (mut lives, mut dies) = (Producer::new(&scene, "lives"), Producer::new(&scene, "dies"));
    let mut sender = scene.sender(&[&to]);
    dies.log(&scene, 20, 200);
    lives.log(&scene, 20, 200);
    wait_until("all is spooled", || {
        let (tail, head) = scene.progress();
        tail == head
    });
    let Producer { writer, next, .. } = dies;
    drop(writer);
    wait_until("the ring of the dead is gone", || scene.rings().len() == 1);
    sender.kill();
    receiver.start_again(&scene, &[]);
    lives.log(&scene, 20, 200);
    let mut sender = scene.sender_with(&[GROUP], &[&to], &["--recover", "off", "--batch-time", "5ms"]);
    let numbers = |name: &str| {
        arrived(values(&accepted(&receiver).0).iter())
            .remove(name)
            .unwrap_or_default()
    };
    wait_until("all of the living has arrived", || numbers("lives").len() == 40);
    assert_eq!((numbers("lives"), numbers("dies")), ((0..40).collect(), Vec::new()));
    sender.terminate();
    sender.succeed();
    drain(&scene, &[&to]).succeed();
    assert_eq!(numbers("dies"), (0..u64::try_from(next).unwrap()).collect::<Vec<_>>());
    assert_eq!(accepted(&receiver).1, 0);
}

#[test]
fn a_receiver_that_may_be_either_kind_is_asked_and_may_be_replaced_by_the_other() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut ours = scene.receiver("receiver");
    let destination = format!("either://{}", ours.address);
    let mut sender = scene.sender_with(&[GROUP], &[&destination], &["--batch-time", "5ms"]);
    let mut producer = Producer::new(&scene, "one");
    producer.log(&scene, 20, 300);
    scene.wait_acked();
    ours.kill();

    let mut original = ClassicReceiver::start_at(&scene, "original", &ours.address);
    producer.log(&scene, 20, 300);
    scene.wait_acked();
    // It gets all that the spool still has, and never a word that no original sender says.
    assert_eq!(assert_numbered(&original, &[&producer]), 0);
    let connections = original.connections();
    assert!(
        connections.iter().all(|lines| lines[0]["group"] == json!(GROUP)),
        "{connections:?}"
    );
    assert_eq!(connections[0].len(), 1, "it was asked first, and told nothing");
    assert_eq!(connections.len(), 2);
    original.kill();

    ours.start(&scene);
    producer.log(&scene, 20, 300);
    let came = |scene: &Scene| {
        let records = scene.json(&ours.archive);
        arrived(records.iter().map(|record| &record["value"]))
    };
    wait_until("all is in our archive", || came(&scene)["one"].len() == 60);
    assert_eq!(came(&scene)["one"], (0..60).collect::<Vec<u64>>(), "each once");
    scene.wait_acked();
    sender.terminate();
    sender.succeed();
}

#[test]
fn an_original_receiver_that_was_asked_gets_everything_when_both_sides_are_killed() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = ClassicReceiver::start_new(&scene, "received", &[]);
    let destination = format!("either://{}", receiver.address);
    let start = || {
        scene.sender_with(
            &[GROUP],
            &[&destination],
            &["--batch-time", "5ms", "--batch-size", "4KiB"],
        )
    };
    let mut sender = start();
    let mut producer = Producer::new(&scene, "one");
    for round in 0..4 {
        producer.log(&scene, 40, 300);
        if round % 2 == 0 {
            sender.kill();
            sender = start();
        } else {
            receiver.start_again(&scene, &[]);
        }
    }
    scene.wait_acked();
    assert_numbered(&receiver, &[&producer]);
    sender.terminate();
    sender.succeed();
}
