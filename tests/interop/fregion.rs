//! Files as the original's recorder writes them, and as hog does: read by a reader in Python that was written from the
//! facts about the format.

use crate::journal::{json_of, logged};
use crate::peers::{can_play, finish, line, producer_arguments, start};
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const READER: &str = "fregion_reader.py";

/// Puts the file that the original's recorder wrote into the scene, if there is one: its path, and what was logged, as JSON.
fn capture(scene: &Scene) -> Option<(PathBuf, Value)> {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
    if !captures.is_dir() {
        eprintln!("nothing compared: {} is missing", captures.display());
        return None;
    }
    let path = scene.path("local.log");
    let compressed = std::fs::File::open(captures.join("local.log.zst")).unwrap();
    zstd::stream::copy_decode(compressed, std::fs::File::create(&path).unwrap()).unwrap();
    let expected = std::fs::read(captures.join("expected.json")).unwrap();
    Some((path, serde_json::from_slice(&expected).unwrap()))
}

#[test]
fn the_reader_finds_in_a_file_of_the_original_what_was_logged() {
    let scene = Scene::new();
    let Some((path, expected)) = capture(&scene) else {
        return;
    };
    if !can_play() {
        return;
    }
    let output = finish(
        start(&scene, "reader", READER, &line(&[&path, &"--transactions"])),
        "reader",
    );
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), expected);
}

#[test]
fn hog_finds_in_a_file_of_the_original_what_was_logged() {
    let scene = Scene::new();
    let Some((path, expected)) = capture(&scene) else {
        return;
    };
    // Records of a transaction follow one another, and say at which position it begins.
    let mut found: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for record in scene.json(&path) {
        assert_eq!(record["group"], "local");
        assert!(
            record["time"].as_str().unwrap().starts_with("2026-11-21T07:26:5"),
            "{record}"
        );
        let transaction = record["transaction"].as_u64().unwrap();
        let logged = serde_json::json!({"statement": record["statement"], "value": record["value"]});
        found.entry(transaction).or_default().push(logged);
    }
    assert_eq!(Value::from_iter(found.into_values().map(Value::from)), expected);
}

/// Starts a local that writes `.log` files beside the archive of `name`, and waits until producers can register.
fn local(scene: &Scene, more: &[&str]) -> Process {
    let socket = scene.local_store().join(format!("hstore.{GROUP}.sk"));
    let _ = std::fs::remove_file(&socket); // of one that was killed
    let more = [&["--format", "hobbes", "--sync", "20ms"], more].concat();
    let local = scene.start("local", &words_of(&scene.local_arguments(&[GROUP], "here", &more)));
    wait_until("producers can register", || socket.exists());
    local
}

/// The `.log` file of that number beside the archive.
fn file(scene: &Scene, number: usize) -> PathBuf {
    scene.archive("here").join(format!("{GROUP}-{number}.log"))
}

/// What the reader in Python finds in a file.
fn read_by_others(scene: &Scene, path: &Path) -> Vec<Value> {
    json_of(finish(start(scene, "reader", READER, &line(&[&path])), "reader").as_bytes())
}

/// Has the local drain all, write its files, and end.
fn drain_all(scene: &Scene, more: &[&str]) {
    let more = [more, &["--drain-and-exit"]].concat();
    let mut local = scene.start(
        "local",
        &words_of(&scene.local_arguments(&[GROUP], "here", &[&["--format", "hobbes"][..], &more].concat())),
    );
    wait_until("all is drained", || !local.is_running());
    local.succeed();
}

#[test]
fn values_of_every_type_are_read_from_our_files_as_they_were_logged() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let local = local(&scene, &[]);
    let journal = scene.path("journal");
    let mut arguments = producer_arguments(&scene, GROUP, &journal);
    let store = arguments.iter().position(|word| word == "--store").unwrap();
    arguments[store + 1] = scene.local_store().into();
    arguments.extend(["--typed", "--transactions", "3"].map(OsString::from));
    let mut producer = start(&scene, "producer", "v2_producer.py", &arguments);
    wait_until("the producer ends", || !producer.is_running());
    wait_until("there is a file", || file(&scene, 0).exists());
    drop(local);
    drain_all(&scene, &["--consolidate"]);
    let found = read_by_others(&scene, &file(&scene, 0));
    let mut transactions: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for record in &found {
        let logged = serde_json::json!({"statement": record["statement"], "value": record["value"]});
        let transaction = record["transaction"].as_u64().unwrap();
        transactions.entry(transaction).or_default().push(logged);
    }
    let logged = logged(&journal);
    let expected: Vec<_> = logged
        .values()
        .flat_map(|queue| queue.records.values().cloned())
        .collect();
    let transactions: Vec<_> = transactions.into_values().map(Value::from).collect();
    assert_eq!(transactions, expected);
    // And hog reads what the other reader does.
    let ours = scene.json(&file(&scene, 0));
    let values = |records: &[Value]| records.iter().map(|record| record["value"].clone()).collect::<Vec<_>>();
    assert_eq!(values(&ours), values(&found));
}

/// Records for three batches, logged in so many rounds.
const RECORDS: usize = 25_000;
const ROUNDS: usize = 5;

/// Logs the lines of a round: an engine reads on in the same file.
fn log_round(scene: &Scene, round: usize) {
    let path = scene.path("input");
    let mut input = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap();
    let numbers = round * RECORDS / ROUNDS..(round + 1) * RECORDS / ROUNDS;
    let text: String = numbers.map(|number| format!("{number}\n")).collect();
    input.write_all(text.as_bytes()).unwrap();
    scene.log(&[&path]);
}

/// Kills a local at some moment, and starts another.
fn kill_and_start(scene: &Scene, local: &mut Process, more: &[&str]) {
    std::thread::sleep(scene.draw(|chance| Duration::from_millis(chance.u64(..200))));
    local.kill();
    *local = self::local(scene, more);
}

/// That these are all lines, in order and once.
fn assert_lines(records: &[Value]) {
    let found: Vec<_> = records
        .iter()
        .map(|record| record["value"]["text"].as_str().unwrap())
        .collect();
    let expected: Vec<_> = (0..RECORDS).map(|number| number.to_string()).collect();
    assert_eq!(found.len(), RECORDS);
    assert!(found == expected, "other lines, or in another order");
}

#[test]
fn a_file_is_whole_whenever_it_is_read_while_a_local_writes_it_that_is_killed_again_and_again() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut local = local(&scene, &["--consolidate"]);
    let arguments = line(&[&file(&scene, 0), &"--watch", &RECORDS.to_string()]);
    let watcher = start(&scene, "watcher", READER, &arguments);
    for round in 0..ROUNDS {
        log_round(&scene, round);
        kill_and_start(&scene, &mut local, &["--consolidate"]);
    }
    assert_lines(&json_of(finish(watcher, "watcher").as_bytes()));
    local.terminate();
    local.succeed();
    assert!(!file(&scene, 1).exists());
}

#[test]
fn each_run_begins_a_file_and_all_of_them_hold_each_record_once() {
    let scene = Scene::new();
    // One of the original is there already, and stays as it is.
    let original = b"\x0d\xdb\xa1\x10 and so on";
    std::fs::create_dir_all(scene.archive("here")).unwrap();
    std::fs::write(file(&scene, 0), original).unwrap();
    let mut local = local(&scene, &[]);
    for round in 0..ROUNDS {
        log_round(&scene, round);
        if round == 1 {
            wait_until("there is a file", || file(&scene, 1).exists());
        }
        kill_and_start(&scene, &mut local, &[]);
    }
    local.terminate();
    local.succeed();
    drain_all(&scene, &[]);
    assert_eq!(std::fs::read(file(&scene, 0)).unwrap(), original);
    let files = (1..=ROUNDS + 2)
        .map(|number| file(&scene, number))
        .filter(|path| path.exists());
    let each: Vec<Vec<Value>> = files.map(|path| scene.json(&path)).collect();
    assert!(each.len() > 1, "{} files", each.len());
    assert_lines(&each.concat());
}

#[test]
fn files_of_another_date_go_on_where_those_of_the_newest_end() {
    let scene = Scene::new();
    let group = scene.path("dated").join(GROUP);
    let mut arguments = scene.local_arguments(&[GROUP], "here", &["--format", "hobbes", "--drain-and-exit"]);
    let place = arguments.iter().position(|word| word == "-d").unwrap() + 1;
    arguments[place] = scene.path("dated/$GROUP/$DATE/data").into();
    let input = scene.path("input");
    let mut logged = String::new();
    for day in ["2020.01.01", "2020.01.02", "today"] {
        logged.push_str(day);
        logged.push('\n');
        std::fs::write(&input, &logged).unwrap();
        scene.log(&[&input]);
        let local = scene.run("local", &words_of(&arguments));
        assert_eq!(local.code, Some(0), "{}", local.words);
        if day != "today" {
            // It was not today that this was stored.
            let dates = std::fs::read_dir(&group).unwrap().map(|entry| entry.unwrap().path());
            let newest = dates.max().unwrap();
            std::fs::rename(newest, group.join(day)).unwrap();
        }
    }
    let mut dates: Vec<PathBuf> = std::fs::read_dir(&group)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    dates.sort();
    let found = dates.iter().map(|date| {
        let records = scene.json(&date.join("data-0.log"));
        records
            .iter()
            .map(|record| record["value"]["text"].clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(found.collect::<Vec<_>>(), [["2020.01.01"], ["2020.01.02"], ["today"]]);
}
