//! A role killed at its n-th system call.
//!
//! `strace` kills the role with SIGKILL as it enters its n-th call of one kind, before the kernel does anything: so between what the calls before did
//! and what this one would have done. n grows until a run ends untouched, thus no call of that kind is left. Then the role is run again as
//! it was, and what arrived is compared. strace counts the calls of each thread by themselves: the first thread to come to its n-th call dies
//! there, and all others wherever they are.
//!
//! Within the project's tests n grows by a half each time; with `HOG_EVERY_SYSCALL=1` no call is left out. Without strace, or where it may not
//! trace, that is said, and the tests pass.

use crate::arrived::{assert_equal, assert_stored_once};
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Kinds of calls by which something is made, read, changed, moved, locked, made durable or told.
const CALLS: &[&str] = &[
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "fdatasync",
    "fsync",
    "renameat2",
    "rename",
    "unlink",
    "openat",
    "ftruncate",
    "fallocate",
    "mkdir",
    "futex",
    "sendto",
    "recvfrom",
    "read",
    "pread64",
    "mmap",
    "fcntl",
];

/// What is killed and shipped: a file that is logged in two runs, and the output of a program that has ended.
struct Play {
    scene: Scene,
    file: PathBuf,
    lines: Vec<u8>,
    /// Each of its lines begins with a `p`, and none of the file's does.
    piped: Vec<u8>,
}

impl Play {
    /// With the first half of the file, and the pipe, logged each to its end.
    fn begin() -> Self {
        let scene = Scene::new();
        let lines = scene.lines(60_000);
        let piped = scene.lines(20_000);
        let piped: Vec<u8> = piped
            .split_inclusive(|byte| *byte == b'\n')
            .flat_map(|line| [b"p", line].concat())
            .collect();
        let half = lines[..30_000].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let play = Self {
            file: scene.file("input.log", &lines[..half]),
            scene,
            lines,
            piped,
        };
        play.scene.log(&[&play.file]);
        play.scene.pipe(&play.scene.file("piped", &play.piped)).succeed();
        play
    }

    /// Lets the file grow to all of it.
    fn grow(&self) {
        self.scene.file("input.log", &self.lines);
    }

    /// Starts a sender that ends when all is drained and acknowledged.
    fn drain(&self, receiver: &Receiver, killer: &[&OsStr]) -> Process {
        let (spool, store) = (self.scene.path("spool"), self.scene.store());
        let mut arguments = words(&["batchsend", "-g", GROUP, "--to", &receiver.address, "-d"]);
        arguments.extend([spool.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
        arguments.extend([OsStr::new("--shm-dir"), self.scene.shm_dir().as_os_str()]);
        arguments.extend(words(&["--sync", "10ms", "--batch-time", "1ms", "--drain-and-exit"]));
        self.scene.start_under(killer, "batchsend", &arguments)
    }

    /// That the archive has the pipe's lines, and the file's and then `more`, each once and in order, and nothing else; and that the pipe's
    /// stream, whose program is gone, has ended.
    fn assert_arrived(&self, receiver: &Receiver, more: &[u8]) {
        let found = self.scene.raw(&receiver.archive);
        let (piped, lines): (Vec<_>, Vec<_>) = found
            .split_inclusive(|byte| *byte == b'\n')
            .partition(|line| line.starts_with(b"p"));
        assert_equal(&piped.concat(), &self.piped);
        assert_equal(&lines.concat(), &[&self.lines, more].concat());
        let (streams, _) = self.scene.verify(&receiver.archive);
        let ended = streams.iter().filter(|stream| stream["ended"] == true).count();
        assert_eq!(ended, 1, "{streams:?}");
        assert_stored_once(&receiver.segments());
    }
}

/// The command that becomes what it runs (`-D`), and kills that at its `n`-th `call`; its own words go to `log`.
fn killer(call: &str, n: u32, log: &Path) -> Vec<String> {
    let inject = format!("inject={call}:signal=KILL:when={n}");
    ["strace", "-D", "-f", "-qq", "-o"]
        .into_iter()
        .map(str::to_owned)
        .chain([
            log.display().to_string(),
            "-e".into(),
            format!("trace={call}"),
            "-e".into(),
            inject,
        ])
        .collect()
}

/// Whether strace is there and may trace.
fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: there is no strace here, or it may not trace");
    }
    can
}

/// Plays `act` with a killer of each kind of call and growing n, until it says that nobody was killed.
fn at_every_call(act: impl Fn(&[&OsStr]) -> bool) {
    if !can_trace() {
        return;
    }
    let every = std::env::var_os("HOG_EVERY_SYSCALL").is_some();
    let logs = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for call in CALLS {
        let mut n = 1;
        loop {
            println!("killed at {call} number {n}:"); // shown if it fails
            let killer = killer(call, n, &logs.path().join("strace"));
            let killer: Vec<_> = killer.iter().map(OsStr::new).collect();
            if !act(&killer) {
                break;
            }
            kills += 1;
            n += if every { 1 } else { 1 + n / 2 };
        }
        println!("{call}: nobody is killed from number {n} on");
    }
    assert!(kills > 10, "only {kills} kills");
}

#[test]
fn an_engine_killed_at_any_system_call_loses_and_doubles_nothing() {
    at_every_call(|killer| {
        let play = Play::begin();
        let scene = &play.scene;
        let receiver = scene.receiver("recv");
        play.grow();
        // One ring is taken over, and one made.
        let inputs: [&Path; 2] = [&play.file, &scene.file("new.log", b"new\n")];
        let arguments = scene.engine_arguments(GROUP, &inputs);
        let was_killed = scene.start_under(killer, "engine", &arguments).finish().code != Some(0);
        scene.log(&inputs);
        play.drain(&receiver, &[]).succeed();
        play.assert_arrived(&receiver, b"new\n");
        was_killed
    });
}

#[test]
fn a_sender_killed_at_any_system_call_loses_and_doubles_nothing() {
    at_every_call(|killer| {
        let play = Play::begin();
        let scene = &play.scene;
        let receiver = scene.receiver("recv");
        let was_killed = play.drain(&receiver, killer).finish().code != Some(0);
        play.grow();
        scene.log(&[&play.file]);
        play.drain(&receiver, &[]).succeed();
        play.assert_arrived(&receiver, b"");
        was_killed
    });
}

#[test]
fn a_receiver_killed_at_any_system_call_loses_and_doubles_nothing() {
    at_every_call(|killer| {
        let play = Play::begin();
        let scene = &play.scene;
        let mut receiver = scene.receiver("recv");
        // Something is stored already, so that it matters what a start finds.
        play.drain(&receiver, &[]).succeed();
        receiver.kill();
        play.grow();
        scene.log(&[&play.file]);
        receiver.start_under(scene, killer);
        let mut sender = play.drain(&receiver, &[]);
        wait_until("the sender or the receiver ends", || {
            !sender.is_running() || !receiver.process().is_running()
        });
        let was_killed = !receiver.process().is_running();
        if was_killed {
            receiver.start(scene);
        } else {
            receiver.process().terminate();
            wait_until("the receiver ends", || !receiver.process().is_running());
        }
        sender.succeed();
        play.assert_arrived(&receiver, b"");
        was_killed
    });
}
