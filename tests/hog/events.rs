//! Programs that log through `tracing`: this test's own binary, run again as one of them, and what arrives of its events.

use crate::scene::{GROUP, Scene, wait_until};
use hog_ring::GroupOptions;
use hog_ring::tracing::HogLayer;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use tracing::{info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt;

/// Names the directory of the rings to a program that was started by a test.
const SHM_DIR: &str = "HOG_TEST_SHM";

/// Counts for ever, two events for each number, in two spans.
fn count(shm_dir: std::ffi::OsString) {
    let options = GroupOptions::new(GROUP).shm_dir(shm_dir).ring_size(64 << 10);
    let subscriber = tracing_subscriber::registry().with(HogLayer::new(options.open().unwrap()));
    tracing::subscriber::with_default(subscriber, || {
        let run = info_span!("run", pid = std::process::id());
        let _run = run.enter();
        for number in 0_u64.. {
            let step = info_span!("step", number);
            let _step = step.enter();
            info!(
                number,
                half = f64::from(u32::try_from(number).unwrap()) / 2.0,
                "counted"
            );
            warn!(target: "parity", even = number.is_multiple_of(2), name = ?Some("n"), "known");
        }
    });
}

/// A program that does not outlive its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The two events of a number, as they must arrive from the program `pid`.
fn events_of(number: u64, pid: u32) -> [(Value, Value, String); 2] {
    let field = |name: &str, value: u64| json!({ "name": name, "value": { "u64": value } });
    let spans = json!([
        { "name": "run", "fields": [field("pid", pid.into())] },
        { "name": "step", "fields": [field("number", number)] },
    ]);
    let (half, even) = (number as f64 / 2.0, number.is_multiple_of(2));
    let counted = json!({
        "level": "INFO", "target": module_path!(), "message": "counted", "number": number, "half": half, "spans": spans,
    });
    let known = json!({
        "level": "WARN", "target": "parity", "message": "known", "even": even, "name": "Some(\"n\")", "spans": spans,
    });
    [
        (
            json!(module_path!()),
            counted,
            format!("INFO counted number={number} half={half:?}"),
        ),
        (
            json!("parity"),
            known,
            format!("WARN known even={even} name=Some(\"n\")"),
        ),
    ]
}

#[test]
fn events_of_a_program_that_is_killed_arrive_once_and_in_order_with_their_fields_and_spans() {
    if let Some(shm_dir) = std::env::var_os(SHM_DIR) {
        return count(shm_dir);
    }
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let itself = "events::events_of_a_program_that_is_killed_arrive_once_and_in_order_with_their_fields_and_spans";
    let mut pids = Vec::new();
    for _ in 0..2 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", itself, "--nocapture"])
            .env(SHM_DIR, scene.shm_dir());
        let program = Started(command.stdout(Stdio::null()).spawn().unwrap());
        pids.push(program.0.id());
        wait_until("it has logged enough", || scene.progress().1 > 200_000);
        drop(program);
        wait_until("the ring is gone", || scene.rings().is_empty());
    }
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    let second = records
        .iter()
        .rposition(|record| record["value"]["number"] == 0)
        .unwrap();
    for (run, pid) in [&records[..second], &records[second..]].into_iter().zip(pids) {
        assert!(run.len() > 1000, "{}", run.len());
        let expected = (0..).flat_map(|number| events_of(number, pid));
        for (record, (statement, value, text)) in run.iter().zip(expected) {
            assert_eq!(
                (&record["statement"], &record["value"], &record["text"]),
                (&statement, &value, &json!(text))
            );
        }
    }
    scene.verify(&receiver.archive);
}
