//! What is printed as JSON, held against docs/JSON.md: names, types, and what may be null or absent.
//!
//! The structures below know what the document knows and refuse everything else, so that a member that is printed and not
//! described turns a test red, and so does one that is described and gone.
#![allow(dead_code)] // members are there to be read into

use crate::scene::{GROUP, Scene, wait_until, words, words_of};
use hog_ring::payload::Text;
use hog_ring::{GroupOptions, Statement, statement};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../docs/JSON.md");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    group: String,
    stream: String,
    position: u64,
    time: Option<String>,
    #[serde(default)]
    transaction: Option<u64>,
    statement: String,
    value: Value,
    text: Option<String>,
    #[serde(default)]
    continued: Option<bool>,
    #[serde(default)]
    bytes: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    group: String,
    stream: String,
    producer: String,
    records: u64,
    first: u64,
    last: u64,
    gaps: u64,
    gap_bytes: u64,
    dropped: u64,
    ended: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LastLine {
    total: Total,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Total {
    segments: u64,
    frames: u64,
    bytes: u64,
    streams: u64,
    records: u64,
    gaps: u64,
    gap_bytes: u64,
    faults: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    running: Option<String>,
    is_degraded: bool,
    unacked_bytes: u64,
    dropped_records: u64,
    groups: Vec<Group>,
    sessions: Vec<Session>,
    regions: Vec<Region>,
    recoveries: Vec<Recovery>,
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    group: String,
    spool: Option<String>,
    archive: Option<String>,
    sender: Option<String>,
    epoch: Option<u64>,
    ring_bytes: u64,
    unsynced_bytes: u64,
    spool_bytes: u64,
    spool_used: u64,
    retained_bytes: u64,
    spool_max: Option<u64>,
    dropped_records: u64,
    dropped_bytes: u64,
    destinations: Vec<Destination>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Destination {
    address: String,
    state: Option<String>,
    unacked_bytes: u64,
    oldest_unsent_age: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    id: String,
    role: String,
    pid: u32,
    started: String,
    ended: Option<String>,
    synced_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Region {
    ring: String,
    group: String,
    name: String,
    state: String,
    position: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recovery {
    ring: String,
    group: String,
    destination: String,
    left_by: String,
    session: String,
    from: u64,
    to: u64,
    outcome: String,
    began: String,
    ended: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    group: String,
    bytes: u64,
    steps: Vec<Step>,
    losses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    action: String,
    bytes: u64,
    #[serde(default)]
    session: Option<i64>,
    #[serde(default)]
    spool: Option<String>,
    #[serde(default)]
    destination: Option<String>,
    #[serde(default)]
    streams: Option<u64>,
    #[serde(default)]
    ring: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    from: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    time: String,
    last: String,
    count: u64,
    session: String,
    kind: String,
    worker: Option<String>,
    object: String,
    what: String,
}

/// The members of the object under a heading of the document, with their types.
fn described(heading: &str) -> BTreeMap<&'static str, &'static str> {
    let (_, section) = DOCUMENT
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("docs/JSON.md has no {heading:?}"));
    let table = section.split("\n#").next().unwrap();
    let members: BTreeMap<_, _> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    assert!(!members.is_empty(), "{heading}");
    members
}

/// Whether `value` is what the document calls `kind`.
fn is(value: &Value, kind: &str) -> bool {
    let is_like = |pattern: &str| {
        let fits = |(one, pattern): (char, char)| match pattern {
            '9' => one.is_ascii_digit(),
            'f' => matches!(one, '0'..='9' | 'a'..='f'),
            _ => one == pattern,
        };
        let like = |text: &str| text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits);
        value.as_str().is_some_and(like)
    };
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        "any" => true,
        "time" => is_like("9999-99-99T99:99:99.999999999Z"),
        "uuid" => is_like("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        other => panic!("docs/JSON.md has a type {other:?}"),
    }
}

/// Holds objects that were printed against the document. Each member that may be null, absent or neither has to be met as
/// such, except those in `unmet`.
fn hold<T: DeserializeOwned>(heading: &str, printed: &[&Value], unmet: &[&str]) {
    assert!(!printed.is_empty(), "no {heading} was printed");
    let described = described(heading);
    let mut met = BTreeMap::new();
    for value in printed {
        let members = value.as_object().unwrap();
        if let Err(error) = T::deserialize(*value) {
            panic!("{heading}: {error}: {value}");
        }
        for name in members.keys() {
            assert!(
                described.contains_key(name.as_str()),
                "{heading}: {name} is not in docs/JSON.md"
            );
        }
        for (name, kinds) in &described {
            let (kinds, or_absent) = (kinds.trim_end_matches(" or absent"), kinds.ends_with(" or absent"));
            let kind = match members.get(*name) {
                None if or_absent => "absent",
                None => panic!("{heading}: {name} is missing in {value}"),
                Some(value) => kinds
                    .split(" or ")
                    .find(|kind| is(value, kind))
                    .unwrap_or_else(|| panic!("{heading}: {name} is no {kinds}: {value}")),
            };
            met.insert((*name, kind), ());
        }
    }
    for (name, kinds) in described {
        for kind in kinds.split(" or ") {
            assert!(
                met.contains_key(&(name, kind)) || unmet.contains(&name),
                "{heading}: {name} was never {kind}, so it is not known whether it can be"
            );
        }
    }
}

fn objects(output: &[u8]) -> Vec<Value> {
    assert!(output.ends_with(b"\n"));
    output
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn printed(scene: &Scene, mode: &str, path: &Path) -> Vec<Value> {
    let mut arguments = words(&[mode, "--format", "json"]);
    arguments.push(path.as_os_str());
    objects(&scene.run(mode, &arguments).output)
}

static PLAIN: Statement<(i32,)> = statement!("plain", "n is $n", n);
static BAD: Statement<(Text<'static>,)> = statement!("bad", "$0", text);

/// A sender that ships what an engine and a program log, killed once, to a receiver and to nobody; and a spoilt ring.
#[test]
fn what_is_printed_as_json_is_what_is_described() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    scene.sender(&["127.0.0.1:9"]).kill();
    let sender = scene.sender(&[&receiver.address, "127.0.0.1:9"]);
    scene.log(&[&scene.file("input.log", b"line\nno newline \xff")]);
    {
        let group = GroupOptions::new(GROUP)
            .shm_dir(scene.shm_dir())
            .timestamps(false)
            .open()
            .unwrap();
        let mut writer = group.writer().unwrap();
        writer.log(&PLAIN, (7,)).unwrap();
        let mut both = writer.transaction();
        both.log(&BAD, (Text(b"\xfe"),)).unwrap();
        both.log(&PLAIN, (8,)).unwrap();
        both.commit().unwrap();
    }
    let foreign = scene.rings()[0].with_file_name("foreign.ring");
    std::fs::write(&foreign, b"no ring").unwrap();
    wait_until("the receiver has everything, and a fault is known", || {
        scene.unacked_by(&receiver.address) == Some(0)
            && scene.raw(&receiver.archive).ends_with(b"\xff")
            && scene.json(&receiver.archive).len() == 5
            && scene
                .status()
                .is_some_and(|status| status["faults"] != serde_json::json!([]))
    });
    let records = printed(&scene, "cat", &receiver.archive);
    // A payload that is no value of its type cannot be had from a sound producer: cat/tests.rs makes one.
    hold::<Record>("Record of cat", &records.iter().collect::<Vec<_>>(), &["text"]);

    let mut verified = printed(&scene, "verify", &receiver.archive);
    let last = verified.pop().unwrap();
    hold::<Stream>("Stream of verify", &verified.iter().collect::<Vec<_>>(), &[]);
    hold::<LastLine>("Last line of verify", &[&last], &[]);
    hold::<Total>("Total of verify", &[&last["total"]], &[]);

    let running = scene.status().unwrap();
    drop(sender);
    let stopped = scene.status().unwrap();
    let all = |member: &str| -> Vec<Value> {
        let of = |status: &Value| status[member].as_array().unwrap().clone();
        [of(&running), of(&stopped)].concat()
    };
    let mut groups = all("groups");
    // It takes over rings that the sender drained.
    let arguments = scene.local_arguments(&[GROUP], "local", &["--accept-gaps"]);
    let _local = scene.start("local", &words_of(&arguments));
    wait_until("the local has its archive", || {
        let status = scene.status_in(&scene.local_store());
        status.is_some_and(|status| status["groups"] != serde_json::json!([]))
    });
    let of_local = scene.status_in(&scene.local_store()).unwrap();
    hold::<Status>("Status", &[&running, &of_local, &stopped], &[]);
    groups.extend(of_local["groups"].as_array().unwrap().clone());
    hold::<Group>("Group of status", &groups.iter().collect::<Vec<_>>(), &[]);
    let destinations: Vec<_> = groups
        .iter()
        .flat_map(|group| group["destinations"].as_array().unwrap())
        .collect();
    // A destination is without state for a moment alone.
    hold::<Destination>("Destination of status", &destinations, &["state"]);
    // Of sessions that ended in order, see below; and one that was just begun has not said what syncs its files.
    hold::<Session>(
        "Session of status",
        &all("sessions").iter().collect::<Vec<_>>(),
        &["ended", "synced_by"],
    );
    hold::<Region>("Region of status", &all("regions").iter().collect::<Vec<_>>(), &[]);
    // Those of workers: supervision.rs.
    hold::<Fault>("Fault", &all("faults").iter().collect::<Vec<_>>(), &["worker"]);
    let store = scene.store();
    let faults = scene.run(
        "faults",
        &[
            "faults".as_ref(),
            "--format=json".as_ref(),
            "-m".as_ref(),
            store.as_os_str(),
        ],
    );
    assert_eq!(faults.code, Some(0), "{}", faults.words);
    let faults = objects(&faults.output);
    hold::<Fault>("Fault", &faults.iter().collect::<Vec<_>>(), &["worker"]);
}

/// What one sender left for a receiver that was away, and for nobody.
#[test]
fn recoveries_are_printed_as_described_while_they_last_and_when_they_are_over() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let to = [receiver.address.clone(), "127.0.0.1:9".to_owned()];
    let to = to.each_ref().map(String::as_str);
    let mut sender = scene.sender(&to);
    scene.log(&[&scene.file("input.log", b"line\n")]);
    wait_until("it is spooled", || {
        scene
            .status()
            .is_some_and(|status| status["groups"][0]["spool_bytes"] != 0)
    });
    sender.kill();
    receiver.start(&scene);
    let _sender = scene.sender(&to);
    let recoveries = || scene.status().unwrap()["recoveries"].as_array().unwrap().clone();
    wait_until("one of two recoveries is over", || {
        let recoveries = recoveries();
        let delivered = |recovery: &&Value| recovery["outcome"] == "delivered";
        recoveries.len() == 2 && recoveries.iter().filter(delivered).count() == 1
    });
    hold::<Recovery>("Recovery of status", &recoveries().iter().collect::<Vec<_>>(), &[]);
}

#[test]
fn a_plan_of_recovery_is_printed_as_described() {
    let scene = Scene::new();
    let mut sender = scene.sender(&["127.0.0.1:9"]);
    scene.log(&[&scene.file("input.log", b"line\n")]);
    wait_until("it is spooled", || {
        scene
            .status()
            .is_some_and(|status| status["groups"][0]["spool_bytes"] != 0)
    });
    sender.kill();
    let (store, mut arguments) = (scene.store(), words(&["recover", "--dry-run", "--format=json", "-m"]));
    arguments.extend([store.as_os_str(), "--shm-dir".as_ref(), scene.shm_dir().as_os_str()]);
    let plans = objects(&scene.run("recover", &arguments).output);
    hold::<Plan>("Plan of recover", &plans.iter().collect::<Vec<_>>(), &[]);
    let steps = plans[0]["steps"].as_array().unwrap();
    hold::<Step>("Step of recover", &steps.iter().collect::<Vec<_>>(), &[]);
}

#[test]
fn a_session_that_ended_in_order_says_when() {
    let scene = Scene::new();
    let mut sender = scene.sender(&["127.0.0.1:9"]);
    wait_until("the sender runs", || scene.status().is_some());
    sender.terminate();
    sender.succeed();
    let status = scene.status().unwrap();
    let ended = &status["sessions"][0]["ended"];
    assert!(is(ended, "time"), "{status}");
}

#[test]
fn every_table_of_the_document_is_held_against_something() {
    let here = include_str!("contract.rs");
    for heading in DOCUMENT.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(here.contains(&format!("\"{heading}\",")), "no test for {heading:?}");
    }
}
