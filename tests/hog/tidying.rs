//! Archives that somebody tidies up: old segments and whole dates are deleted under receivers and readers.

use crate::arrived::{assert_equal, segments};
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// Two zones in which it is never the same date.
const YESTERDAY: &str = "TZ=AAA11";
const TODAY: &str = "TZ=BBB-14";

/// A file that an engine is run on again and again: one stream, whatever happens to the archive.
struct Growing<'s> {
    scene: &'s Scene,
    path: PathBuf,
    logged: Vec<u8>,
}

impl<'s> Growing<'s> {
    fn new(scene: &'s Scene) -> Self {
        let path = scene.file("input.log", b"");
        let logged = Vec::new();
        Self { scene, path, logged }
    }

    /// Appends some lines, logs them, and waits until they are stored.
    fn grow(&mut self) {
        let lines = self.scene.lines(50_000);
        let mut file = fs::File::options().append(true).open(&self.path).unwrap();
        file.write_all(&lines).unwrap();
        self.logged.extend(lines);
        self.scene.log(&[&self.path]);
        self.scene.wait_acked();
    }
}

/// A receiver in a place of which the date is `zone`'s.
fn restart(receiver: &mut Receiver, scene: &Scene, zone: &str) {
    receiver.kill();
    receiver.start_under(scene, &words(&["env", zone]));
    assert!(receiver.process().is_running());
}

/// The dates of the archive, oldest first.
fn dates(receiver: &Receiver) -> Vec<PathBuf> {
    let entries = fs::read_dir(receiver.archive.join(GROUP)).unwrap();
    let mut dates: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    dates.sort();
    dates
}

fn all_segments(receiver: &Receiver) -> Vec<PathBuf> {
    dates(receiver).iter().flat_map(|date| segments(date)).collect()
}

/// A `verify` of the archive that runs while something else is done.
fn verifying(scene: &Scene, receiver: &Receiver) -> Process {
    let mut arguments = words(&["verify", "--format", "json"]);
    arguments.push(receiver.archive.as_os_str());
    scene.start("verifying", &arguments)
}

/// The last line that `verify` printed, after it passed.
fn total(verifying: Process) -> Value {
    let finished = verifying.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.words);
    let last = finished
        .output
        .trim_ascii_end()
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap();
    serde_json::from_slice::<Value>(last).unwrap()["total"].take()
}

/// That what is left of the archive is the end of what was logged, and whole; says how long it is.
fn assert_rest_is_whole(scene: &Scene, receiver: &Receiver, logged: &[u8]) -> usize {
    let rest = scene.raw(&receiver.archive);
    assert_equal(&rest, &logged[logged.len() - rest.len()..]);
    let (streams, _) = scene.verify(&receiver.archive);
    assert_eq!(streams.len(), 1, "{streams:?}");
    assert_eq!(streams[0]["first"] == 0, rest.len() == logged.len(), "{streams:?}");
    rest.len()
}

#[test]
fn old_segments_and_dates_are_deleted_while_the_stream_goes_on() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    receiver.pattern = "$GROUP/$DATE";
    restart(&mut receiver, &scene, YESTERDAY);
    let _sender = scene.sender(&[&receiver.address]);
    let mut input = Growing::new(&scene);
    input.grow();
    let mut follower = {
        let mut arguments = words(&["cat", "--follow", "--format", "raw"]);
        arguments.push(receiver.archive.as_os_str());
        scene.start("follower", &arguments)
    };
    let followed = || fs::read(scene.path("follower.stdout")).unwrap();
    restart(&mut receiver, &scene, YESTERDAY);
    input.grow();
    for _ in 0..2 {
        restart(&mut receiver, &scene, TODAY);
        input.grow();
    }
    wait_until("the follower is up to date", || followed().len() == input.logged.len());
    assert_eq!((dates(&receiver).len(), all_segments(&receiver).len()), (2, 4));
    assert_eq!(
        assert_rest_is_whole(&scene, &receiver, &input.logged),
        input.logged.len()
    );

    // A whole date, under a living receiver.
    let verify = verifying(&scene, &receiver);
    fs::remove_dir_all(&dates(&receiver)[0]).unwrap();
    assert_eq!(total(verify)["faults"], 0);
    let half = assert_rest_is_whole(&scene, &receiver, &input.logged);
    assert!(half < input.logged.len());
    input.grow();

    // All but the last segment, under a receiver that is down.
    let all = assert_rest_is_whole(&scene, &receiver, &input.logged);
    receiver.kill();
    let verify = verifying(&scene, &receiver);
    let mut older = all_segments(&receiver);
    older.pop();
    older.iter().for_each(|segment| fs::remove_file(segment).unwrap());
    assert_eq!(total(verify)["faults"], 0);
    assert!(assert_rest_is_whole(&scene, &receiver, &input.logged) < all);
    restart(&mut receiver, &scene, TODAY);
    input.grow();
    input.grow();
    assert_rest_is_whole(&scene, &receiver, &input.logged);

    wait_until("the follower has all of it", || followed().len() >= input.logged.len());
    assert!(follower.is_running());
    follower.terminate();
    let finished = follower.finish();
    assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
    assert_equal(&finished.output, &input.logged);
}

#[test]
fn readers_pass_over_segments_that_are_deleted_while_they_read() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    let mut input = Growing::new(&scene);
    for _ in 0..12 {
        input.grow();
        receiver.kill();
        receiver.start(&scene);
    }
    input.grow();
    // In any order, as `find -delete` does, but the last.
    let mut older = receiver.segments();
    older.pop();
    scene.draw(|chance| chance.shuffle(&mut older));
    let readers: Vec<_> = (0..4)
        .map(|number| {
            let mode = if number % 2 == 0 { "verify" } else { "cat" };
            let mut arguments = words(&[mode]);
            arguments.push(receiver.archive.as_os_str());
            scene.start(&format!("reader-{number}"), &arguments)
        })
        .collect();
    for segment in older {
        fs::remove_file(segment).unwrap();
    }
    for reader in readers {
        let finished = reader.finish();
        assert_eq!(finished.code, Some(0), "{}", finished.words);
    }
    assert_rest_is_whole(&scene, &receiver, &input.logged);
}

/// What only the last segment held is gone, and is said to be: the receiver stands where the one before it ends, and the
/// sender, which was told that all was stored, has it no more.
#[test]
fn what_the_last_segment_held_is_lost_when_it_is_deleted_and_the_loss_is_marked() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let mut input = Growing::new(&scene);
    input.grow();
    let kept = input.logged.len();
    receiver.kill();
    receiver.start(&scene);
    input.grow();
    let lost = input.logged.len();
    // So that the spool has nothing left of it either.
    let delivered = scene.spooled();
    sender.kill();
    sender = scene.sender(&[&receiver.address]);
    wait_until("what was delivered is deleted", || {
        delivered.iter().all(|segment| !segment.exists())
    });
    receiver.kill();
    fs::remove_file(receiver.segments().pop().unwrap()).unwrap();
    receiver.start(&scene);
    input.grow();
    let cat = scene.run(
        "cat",
        &[
            OsStr::new("cat"),
            "--format".as_ref(),
            "raw".as_ref(),
            receiver.archive.as_os_str(),
        ],
    );
    assert_eq!(cat.code, Some(0), "{}", cat.words);
    assert!(cat.words.contains("are missing"), "{:?}", cat.words);
    assert_equal(&cat.output, &[&input.logged[..kept], &input.logged[lost..]].concat());
    let verify = scene.run("verify", &[OsStr::new("verify"), receiver.archive.as_os_str()]);
    assert_eq!(verify.code, Some(5), "{}", verify.words);
    assert!(sender.is_running());
}
