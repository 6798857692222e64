//! Local and the pair of sender and receiver take turns with the same rings and the same archive: positions decide, so
//! that a stream which both had is in the archive once.

use crate::arrived::assert_equal;
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words, words_of};
use hog::formats::table::StreamState;
use hog::seglog::recovery::{SegmentFile, recover};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::PathBuf;

/// Where the archive is that both write.
const NAME: &str = "recv";

/// An engine on a file that is far too long for its ring. It rests while the ring changes hands, so that it lasts for
/// all of them.
struct Engine<'s> {
    scene: &'s Scene,
    process: Process,
}

impl<'s> Engine<'s> {
    fn start(scene: &'s Scene, bytes: &[u8]) -> Self {
        let input = scene.file("input.log", bytes);
        let mut arguments = scene.engine_arguments(GROUP, &[&input]);
        arguments.extend(words(&["--ring-size", "64KiB"]));
        let process = scene.start("engine", &arguments);
        wait_until("there is something to drain", || scene.progress().0 > 0);
        let engine = Self { scene, process };
        engine.signal(Signal::STOP);
        engine
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Goes on until a megabyte more of it is drained, and rests.
    fn log_a_while(&self) {
        let before = self.scene.progress().1;
        self.signal(Signal::CONT);
        wait_until("the drainer gets on", || self.scene.progress().1 >= before + (1 << 20));
        self.signal(Signal::STOP);
    }

    fn finish(self) {
        self.signal(Signal::CONT);
        self.process.succeed();
    }
}

fn end(mut process: Process) {
    process.terminate();
    process.succeed();
}

fn faults(status: &Value) -> Vec<String> {
    let faults = status["faults"].as_array().unwrap();
    let what = faults.iter().map(|fault| fault["what"].as_str().unwrap());
    what.map(str::to_owned).collect()
}

/// Ships while the engine logs on, until nothing is left to be shipped.
fn ship_a_while(scene: &Scene, receiver: &Receiver, engine: &Engine<'_>) {
    let sender = scene.sender(&[&receiver.address]);
    engine.log_a_while();
    scene.wait_acked();
    end(sender);
}

#[test]
fn a_stream_that_local_and_batchsend_drained_in_turns_is_in_the_archive_once() {
    let scene = Scene::new();
    let bytes = scene.lines(20 << 20);
    let engine = Engine::start(&scene, &bytes);
    let mut local = scene.local(NAME);
    engine.log_a_while();
    local.kill();

    let mut receiver = scene.receiver(NAME);
    ship_a_while(&scene, &receiver, &engine);
    receiver.kill();

    let local = scene.local(NAME);
    engine.log_a_while();
    end(local);

    // The spool knows the stream from before, and lacks what local took; its receiver has it.
    receiver.start(&scene);
    ship_a_while(&scene, &receiver, &engine);
    let said = faults(&scene.status().unwrap());
    assert!(
        said.iter().any(|what| what.contains("are not in this spool")),
        "{said:?}"
    );
    assert!(!said.iter().any(|what| what.contains("missing at")), "{said:?}");
    receiver.kill();

    let _local = scene.local(NAME);
    engine.finish();
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), &bytes);
    let (streams, _) = scene.verify(&scene.archive(NAME));
    assert_eq!(streams.len(), 1, "{streams:?}");
}

#[test]
fn a_gap_in_a_spool_is_a_loss_only_where_the_destination_lacks_it() {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let engine = Engine::start(&scene, &bytes);
    let (one, other) = (scene.receiver("one"), scene.receiver("other"));
    let sender = scene.sender(&[&one.address, &other.address]);
    engine.log_a_while();
    scene.wait_acked();
    end(sender);
    let arguments = scene.local_arguments(&[GROUP], NAME, &["--accept-gaps"]);
    let local = scene.start("local", &words_of(&arguments));
    engine.log_a_while();
    end(local);
    let _sender = scene.sender(&[&one.address, &other.address]);
    engine.finish();
    scene.wait_acked();
    let said = faults(&scene.status().unwrap());
    for receiver in [&one, &other] {
        let lacks = format!("missing at {}", receiver.address);
        assert!(said.iter().any(|what| what.contains(&lacks)), "{said:?}");
    }
}

/// What a sender drained while nobody received it is missing in the archive, whether it has the beginning of the stream or does not know it.
fn refuse_until_it_is_delivered(has_beginning: bool) {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let engine = Engine::start(&scene, &bytes);
    let mut receiver = scene.receiver(NAME);
    if has_beginning {
        ship_a_while(&scene, &receiver, &engine);
    }
    receiver.kill();
    let sender = scene.sender(&[&receiver.address]);
    engine.log_a_while();
    end(sender);
    let refused = scene.local(NAME).finish();
    assert_eq!(refused.code, Some(6), "{}", refused.words);
    assert!(refused.words.contains("--accept-gaps"), "{}", refused.words);

    receiver.start(&scene);
    ship_a_while(&scene, &receiver, &engine);
    receiver.kill();
    let _local = scene.local(NAME);
    engine.finish();
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), &bytes);
}

#[test]
fn local_does_not_go_on_with_a_ring_whose_records_are_in_a_spool_that_was_not_delivered() {
    refuse_until_it_is_delivered(true);
}

#[test]
fn local_does_not_begin_a_stream_whose_beginning_is_in_a_spool_that_was_not_delivered() {
    refuse_until_it_is_delivered(false);
}

#[test]
fn a_stream_that_its_sender_forgot_while_the_ring_was_out_of_sight_is_known_again() {
    let scene = Scene::new();
    let bytes = scene.lines(8 << 20);
    let engine = Engine::start(&scene, &bytes);
    let mut receiver = scene.receiver(NAME);
    ship_a_while(&scene, &receiver, &engine);
    // With rings somewhere else the sender has nothing of it any more, and says so.
    let elsewhere = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let (spool, store) = (scene.path("spool"), scene.store());
    let mut arguments = words(&["batchsend", "-g", GROUP, "--to", &receiver.address, "-d"]);
    arguments.extend([spool.as_os_str(), "-m".as_ref(), store.as_os_str()]);
    arguments.extend(["--shm-dir".as_ref(), elsewhere.path().as_os_str()]);
    let sender = scene.start("batchsend", &arguments);
    wait_until("the sender forgets it", || {
        state_of_the_stream(&receiver.segments()) == StreamState::Forgotten
    });
    end(sender);
    receiver.kill();

    // Each start begins a segment that has to say how it stands. The first takes nothing from it.
    let archive = scene.archive(NAME);
    let before = receiver.segments().len();
    let mut local = scene.local(NAME);
    wait_until("it has begun a segment", || {
        receiver.segments().len() > before && scene.status_in(&scene.local_store()).is_some()
    });
    local.kill();
    assert_eq!(state_of_the_stream(&receiver.segments()), StreamState::Open);
    let local = scene.local(NAME);
    engine.log_a_while();
    end(local);
    let _local = scene.local(NAME);
    engine.finish();
    scene.wait_stored();
    scene.assert_stored(&archive, &bytes);
}

/// How the one stream of an archive stands after all of its segments.
fn state_of_the_stream(archive: &[PathBuf]) -> StreamState {
    let segments = archive.iter().enumerate().map(|(number, path)| SegmentFile {
        number: number as u64,
        path: path.clone(),
    });
    let table = recover(&segments.collect::<Vec<_>>()).unwrap().table;
    assert_eq!(table.streams.len(), 1);
    table.streams.values().next().unwrap().state
}

#[test]
fn with_accept_gaps_local_marks_what_went_elsewhere_and_goes_on() {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let engine = Engine::start(&scene, &bytes);
    let mut local = scene.local(NAME);
    engine.log_a_while();
    local.kill();
    let elsewhere = scene.receiver("elsewhere");
    ship_a_while(&scene, &elsewhere, &engine);
    let arguments = scene.local_arguments(&[GROUP], NAME, &["--accept-gaps"]);
    let _local = scene.start("local", &words_of(&arguments));
    engine.finish();
    scene.wait_stored();
    let archive = scene.archive(NAME);
    let mut cat = words(&["cat", "--format", "raw"]);
    cat.push(archive.as_os_str());
    let found = scene.run("cat", &cat);
    assert!(
        found.code == Some(0) && found.words.contains("are missing"),
        "{}",
        found.words
    );
    // All but what lies between two lines of the input, which went elsewhere.
    let same = bytes
        .iter()
        .zip(&found.output)
        .take_while(|(one, other)| one == other)
        .count();
    let missing = bytes.len() - found.output.len();
    assert!(
        missing > 500_000 && same > 500_000,
        "{missing} bytes are missing behind {same}"
    );
    assert_equal(&found.output[same..], &bytes[same + missing..]);
}

#[test]
fn rings_that_ended_under_the_one_are_no_business_of_the_other() {
    let scene = Scene::new();
    let local = scene.local(NAME);
    scene.pipe(&scene.file("piped", b"one\n")).succeed();
    wait_until("the ring is gone", || scene.rings().is_empty());
    end(local);
    let mut receiver = scene.receiver(NAME);
    let sender = scene.sender(&[&receiver.address]);
    scene.pipe(&scene.file("piped", b"two\n")).succeed();
    wait_until("the ring is gone", || scene.rings().is_empty());
    scene.wait_acked();
    end(sender);
    receiver.kill();
    let _local = scene.local(NAME);
    scene.pipe(&scene.file("piped", b"three\n")).succeed();
    wait_until("the ring is gone", || scene.rings().is_empty());
    scene.wait_stored();
    scene.assert_stored(&scene.archive(NAME), b"one\ntwo\nthree\n");
}
