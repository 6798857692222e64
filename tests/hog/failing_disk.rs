//! A disk that fails for a while, below a sender and below a receiver: calls on it give EIO, one by one or for some time, and are well again. Nothing is lost
//! or doubled, nothing is acknowledged that is not on disk, a failed sync is never tried again on its file, and nobody has to be started anew.
//!
//! `strace` makes the calls of a running role fail, for as long as it is attached. Without strace, or where it may not trace, that is said, and the tests pass.

use crate::arrived::assert_equal;
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// A running role of which some calls fail while this lives.
pub(crate) struct Failing {
    strace: Child,
    log: PathBuf,
}

impl Failing {
    /// Has `calls` of `process` fail, on the files in `on` if there are any, in the way that strace's `how` says. `None`, and a word why, where that cannot be done.
    pub(crate) fn begin(scene: &Scene, process: &Process, calls: &str, on: &[PathBuf], how: &str) -> Option<Self> {
        let (log, words) = (scene.path("failing.calls"), scene.path("failing.words"));
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &process.pid().to_string(), "-o"]).arg(&log);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{how}")]);
        for file in on {
            command.arg("-P").arg(file);
        }
        let started = command.stderr(File::create(&words).unwrap()).spawn();
        let Ok(strace) = started else {
            eprintln!("skipped: strace is not installed");
            return None;
        };
        let mut failing = Self { strace, log };
        let mut is_over = false;
        wait_until("strace is attached", || {
            is_over = failing.strace.try_wait().unwrap().is_some();
            is_over || std::fs::read_to_string(&words).unwrap().contains("attached")
        });
        if is_over {
            eprintln!("skipped: strace may not trace here");
            return None;
        }
        Some(failing)
    }

    /// How many calls failed so far.
    pub(crate) fn failed(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.matches("(INJECTED)").count()
    }

    /// The disk is well again.
    pub(crate) fn end(mut self) {
        let pid = i32::try_from(self.strace.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.strace.wait().unwrap();
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let _ = self.strace.kill(); // what it traces goes on
        let _ = self.strace.wait();
    }
}

/// A sender and a receiver that have shipped something already, and a file that grows.
struct Play {
    sender: Process,
    receiver: Receiver,
    input: PathBuf,
    lines: Vec<u8>,
    scene: Scene, // goes last: all others lie in its directory
}

impl Play {
    fn begin() -> Self {
        let scene = Scene::new();
        let receiver = scene.receiver("recv");
        let sender = start_sender(&scene, &receiver);
        let input = scene.file("input.log", b"");
        let mut play = Self {
            sender,
            receiver,
            input,
            lines: Vec::new(),
            scene,
        };
        play.log();
        play.scene.wait_acked();
        play
    }

    /// Logs some more lines; the engine ends once they are in its ring.
    fn log(&mut self) {
        let more = self.scene.lines(50_000);
        File::options()
            .append(true)
            .open(&self.input)
            .unwrap()
            .write_all(&more)
            .unwrap();
        self.scene.log(&[&self.input]);
        self.lines.extend(more);
    }

    fn spool(&self) -> PathBuf {
        self.scene.path("spool").join(GROUP)
    }

    /// That all arrived, once and in order, and both roles run still.
    fn assert_whole(&mut self) {
        self.scene.wait_acked();
        assert!(self.sender.is_running() && self.receiver.process().is_running());
        let words = self.sender.words();
        assert!(
            !words.contains("though it acknowledged"),
            "an acknowledgement was untrue: {words}"
        );
        assert_equal(&self.scene.raw(&self.receiver.archive), &self.lines);
        self.scene.verify(&self.receiver.archive);
    }
}

/// A sender whose spool keeps what was delivered.
fn start_sender(scene: &Scene, receiver: &Receiver) -> Process {
    scene.sender_with(&[GROUP], &[&receiver.address], &["--retain", "1h"])
}

/// The segments in a directory that there are, and some that there will be.
fn segments_to_come(directory: &Path) -> Vec<PathBuf> {
    (1..20)
        .map(|number| directory.join(format!("seg-{number:020}.hog")))
        .collect()
}

/// Two syncs of one file after the other of which the first failed.
fn retried_syncs(strace_log: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(strace_log).unwrap();
    let mut failed = Vec::new();
    let mut retried = Vec::new();
    for line in log.lines().filter(|line| line.contains("fdatasync(")) {
        let descriptor = line
            .split("fdatasync(")
            .nth(1)
            .and_then(|rest| rest.split(')').next())
            .unwrap_or_default();
        if failed.contains(&descriptor) {
            retried.push(line.to_owned());
        }
        if line.contains("(INJECTED)") {
            failed.push(descriptor);
        }
    }
    retried
}

#[test]
fn a_sender_whose_sync_fails_once_writes_that_segment_anew_and_syncs_it_no_more() {
    let mut play = Play::begin();
    let on = [play.scene.spooled().pop().unwrap()];
    let Some(failing) = Failing::begin(&play.scene, &play.sender, "fdatasync", &on, "error=EIO:when=1") else {
        return;
    };
    play.log();
    wait_until("the failed segment was written anew", || {
        play.sender.words().contains("was written anew")
    });
    play.log();
    play.assert_whole();
    assert_eq!((failing.failed(), retried_syncs(&failing.log)), (1, vec![]));
    failing.end();
    assert_eq!(play.sender.words().matches("cannot sync").count(), 1);
    // What is in the spool is what was logged, also for a sender that starts on it.
    assert_equal(&play.scene.raw(&play.spool()), &play.lines);
    play.scene.verify(&play.spool());
    play.sender.kill();
    play.sender = start_sender(&play.scene, &play.receiver);
    play.log();
    play.assert_whole();
}

#[test]
fn a_sender_whose_syncs_fail_for_a_while_ships_on_and_has_all_on_disk_once_they_do_not() {
    let mut play = Play::begin();
    let Some(failing) = Failing::begin(&play.scene, &play.sender, "fdatasync", &[], "error=EIO") else {
        return;
    };
    for _ in 0..3 {
        play.log();
        play.scene.wait_acked();
        let failures = failing.failed();
        wait_until("more syncs fail", || failing.failed() > failures);
    }
    failing.end();
    play.log();
    wait_until("what was in doubt was written anew", || {
        play.sender.words().contains("was written anew")
    });
    play.assert_whole();
    assert_equal(&play.scene.raw(&play.spool()), &play.lines);
    play.scene.verify(&play.spool());
}

#[test]
fn a_sender_whose_writes_fail_for_a_while_makes_producers_wait_and_goes_on_by_itself() {
    let mut play = Play::begin();
    let on = segments_to_come(&play.spool());
    let Some(failing) = Failing::begin(&play.scene, &play.sender, "pwrite64", &on, "error=EIO") else {
        return;
    };
    play.log();
    wait_until("appends fail again and again", || failing.failed() > 3);
    assert!(!play.scene.acked());
    failing.end();
    play.assert_whole();
}

#[test]
fn a_sender_that_cannot_read_its_spool_for_a_while_goes_on_by_itself() {
    let mut play = Play::begin();
    let on = segments_to_come(&play.spool());
    let Some(failing) = Failing::begin(&play.scene, &play.sender, "pread64", &on, "error=EIO") else {
        return;
    };
    play.log();
    wait_until("it cannot read what it is to ship", || failing.failed() > 2);
    assert!(!play.scene.acked());
    failing.end();
    play.assert_whole();
}

#[test]
fn a_receiver_whose_sync_fails_acknowledges_nothing_of_it_and_stores_all_in_a_new_segment() {
    let mut play = Play::begin();
    let on = [play.receiver.segments().pop().unwrap()];
    let known = std::fs::metadata(&on[0]).unwrap().len();
    let Some(failing) = Failing::begin(
        &play.scene,
        play.receiver.process(),
        "fdatasync",
        &on,
        "error=EIO:when=1",
    ) else {
        return;
    };
    play.log();
    play.log();
    play.assert_whole();
    assert_eq!((failing.failed(), retried_syncs(&failing.log)), (1, vec![]));
    failing.end();
    assert_eq!(play.receiver.segments().len(), 2);
    // What the disk was not known to hold of the failed segment may go with the power: all of it was sent again.
    play.receiver.kill();
    File::options()
        .write(true)
        .open(&on[0])
        .unwrap()
        .set_len(known)
        .unwrap();
    assert_equal(&play.scene.raw(&play.receiver.archive), &play.lines);
    play.scene.verify(&play.receiver.archive);
}

#[test]
fn a_receiver_whose_syncs_fail_for_a_while_acknowledges_nothing_and_goes_on_by_itself() {
    let mut play = Play::begin();
    let Some(failing) = Failing::begin(
        &play.scene,
        play.receiver.process(),
        "fdatasync,fsync",
        &[],
        "error=EIO",
    ) else {
        return;
    };
    play.log();
    wait_until("syncs fail again and again", || failing.failed() > 5);
    assert!(!play.scene.acked(), "what could not be synced was acknowledged");
    failing.end();
    play.assert_whole();
}

#[test]
fn a_receiver_whose_writes_fail_for_a_while_acknowledges_nothing_and_goes_on_by_itself() {
    let mut play = Play::begin();
    let on = segments_to_come(&play.receiver.archive.join(GROUP));
    let Some(failing) = Failing::begin(&play.scene, play.receiver.process(), "pwrite64", &on, "error=EIO") else {
        return;
    };
    play.log();
    wait_until("appends fail again and again", || failing.failed() > 3);
    assert!(!play.scene.acked(), "what could not be written was acknowledged");
    failing.end();
    play.assert_whole();
}
