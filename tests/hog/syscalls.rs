//! A role killed at its n-th system call.
//!
//! `strace` kills the role with SIGKILL as it enters its n-th call of one kind, before the kernel does anything: so between what the calls before did
//! and what this one would have done. n grows until a run ends untouched, thus no call of that kind is left. Then the role is run again as
//! it was, and what arrived is compared. strace counts the calls of each thread by themselves: the first thread to come to its n-th call dies
//! there, and all others wherever they are.
//!
//! Within the project's tests n grows by a half each time, and doubles for calls that change nothing which outlives the role. On segments no call is left
//! out. Of the writes to hogstat.db, of which each of its transactions is some, a run of the test takes every third, from one on that is drawn.
//! With `HOG_EVERY_SYSCALL=1` no call at all is left out. Some plays go on at a time, each with a scene of its own. Without strace, or where it may not trace, that is said, and the tests pass.

use crate::arrived::{assert_equal, assert_stored_once, segments};
use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words, words_of};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

/// Those of them that leave everything as it is: whoever dies there leaves what is left between the two changes around it.
const CALLS_THAT_CHANGE_NOTHING: &[&str] = &["futex", "recvfrom", "read", "pread64", "mmap", "fcntl"];

/// What the archive of the local is called.
const LOCAL: &str = "local";

/// Runs of the engine in which the second half of the file is logged.
const PARTS: usize = 3;

/// Those of them that matter on the segments of a log, where n leaves nothing out: whole logs of the calls that the database makes would else drown them.
const CALLS_ON_SEGMENTS: &[&str] = &["pwrite64", "fdatasync", "openat"];

/// Those by which hogstat.db, its log and its index are written: n leaves nothing out either, so the role is killed between any two writes.
const CALLS_ON_DATABASE: &[&str] = &["pwrite64", "ftruncate", "fdatasync", "unlink"];

/// What is shipped: a file that is logged in several runs, and the output of a program that has ended.
struct Play {
    scene: Scene,
    file: PathBuf,
    lines: Vec<u8>,
    /// So many bytes of them are logged before the play begins.
    begun: usize,
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
            begun: half,
            scene,
            lines,
            piped,
        };
        play.scene.log(&[&play.file]);
        play.scene.pipe(&play.scene.file("piped", &play.piped)).succeed();
        play
    }

    /// Lets the file grow to so many of its [`PARTS`], and the rest of a line.
    fn grow(&self, parts: usize) {
        let least = self.begun + (self.lines.len() - self.begun) * parts / PARTS;
        let rest = self.lines[least..].iter().position(|byte| *byte == b'\n');
        let end = rest.map_or(self.lines.len(), |rest| least + rest + 1);
        self.scene.file("input.log", &self.lines[..end]);
    }

    /// Starts a sender that ends when all is drained and acknowledged.
    fn drain(&self, receiver: &Receiver) -> Process {
        self.sender(receiver, &[], &["--drain-and-exit"])
    }

    fn sender(&self, receiver: &Receiver, under: &[&OsStr], more: &[&str]) -> Process {
        let (spool, store) = (self.scene.path("spool"), self.scene.store());
        let mut arguments = words(&["batchsend", "-g", GROUP, "--to", &receiver.address, "-d"]);
        arguments.extend([spool.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
        arguments.extend([OsStr::new("--shm-dir"), self.scene.shm_dir().as_os_str()]);
        arguments.extend(words(&["--sync", "10ms", "--batch-time", "1ms"]));
        arguments.extend(words(more));
        self.scene.start_under(under, "batchsend", &arguments)
    }

    fn local(&self, under: &[&OsStr], more: &[&str]) -> Process {
        let more = [&["--sync", "10ms"], more].concat();
        let arguments = self.scene.local_arguments(&[GROUP], LOCAL, &more);
        self.scene.start_under(under, "local", &words_of(&arguments))
    }

    /// Lets the rest of the file be logged part by part, so that the drainer of `role` appends more often than its main thread does; then waits
    /// until the pipe's ring is unlinked. Or until the role is dead.
    fn log_in_parts(&self, role: &mut Process) {
        let scene = &self.scene;
        for part in 1..=PARTS {
            self.grow(part);
            scene.log(&[&self.file]);
            wait_until("the rings are drained or the role is dead", || {
                let (tails, heads) = scene.progress();
                !role.is_running() || tails == heads
            });
        }
        wait_until("the pipe's ring is gone or the role is dead", || {
            !role.is_running() || scene.rings().len() == 1
        });
    }

    /// That the archive has the pipe's lines, and the file's and then `more`, each once and in order, and nothing else; and that the pipe's
    /// stream, whose program is gone, has ended.
    fn assert_arrived(&self, receiver: &Receiver, more: &[u8]) {
        self.assert_stored(&receiver.archive, more);
    }

    /// The same of an archive, whoever wrote it.
    fn assert_stored(&self, archive: &Path, more: &[u8]) {
        let found = self.scene.raw(archive);
        let (piped, lines): (Vec<_>, Vec<_>) = found
            .split_inclusive(|byte| *byte == b'\n')
            .partition(|line| line.starts_with(b"p"));
        assert_equal(&piped.concat(), &self.piped);
        assert_equal(&lines.concat(), &[&self.lines, more].concat());
        let (streams, _) = self.scene.verify(archive);
        let ended = streams.iter().filter(|stream| stream["ended"] == true).count();
        assert_eq!(ended, 1, "{streams:?}");
        assert_stored_once(&segments(&archive.join(GROUP)));
    }
}

/// The death of a role.
#[derive(Clone, Copy)]
struct Death {
    call: &'static str,
    /// At which of these calls.
    n: u32,
    /// Of calls on which files.
    on: On,
}

/// Files whose calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    All,
    /// The segments of the log.
    Segments,
    /// hogstat.db and what belongs to it.
    Database,
}

/// What a role writes: the directories of its log, and of its store.
struct Written {
    log: PathBuf,
    store: PathBuf,
}

impl Death {
    /// The command that becomes what it runs (`-D`) and kills that.
    fn strace(self, scene: &Scene, written: &Written) -> Vec<OsString> {
        let Self { call, n, on } = self;
        let mut words: Vec<OsString> = ["strace", "-D", "-f", "-qq", "-o"].map(OsString::from).to_vec();
        words.push(scene.path("strace").into());
        for words_of_e in [format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}")] {
            words.extend(["-e".into(), words_of_e.into()]);
        }
        let files: Vec<PathBuf> = match on {
            On::All => Vec::new(),
            On::Segments => (1..=SEGMENTS)
                .map(|number| written.log.join(format!("seg-{number:020}.hog")))
                .collect(),
            On::Database => ["", "-wal", "-shm"]
                .map(|suffix| written.store.join(format!("hogstat.db{suffix}")))
                .to_vec(),
        };
        words.extend(files.into_iter().flat_map(|file| ["-P".into(), file.into()]));
        words
    }
}

fn borrowed(words: &[OsString]) -> Vec<&OsStr> {
    words.iter().map(OsString::as_os_str).collect()
}

/// More than any role begins here.
const SEGMENTS: u32 = 6;

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

/// The deaths at calls of one kind, one after the other, until one is left over: a run of the role in which nobody died.
#[derive(Clone, Copy)]
struct Series {
    call: &'static str,
    on: On,
    /// The first n.
    first: u32,
    /// How far the next is, where n does not grow ever faster.
    step: u32,
    /// No n is left out, whatever the calls.
    every: bool,
}

/// So many plays go on at a time: most of each is waiting for processes and the disk.
const AT_ONCE: u32 = 3;

impl Series {
    /// Those of a kind of call. Where no n is left out there are many, for whoever plays at the same time to share.
    fn of(call: &'static str, on: On) -> Vec<Self> {
        let every = std::env::var_os("HOG_EVERY_SYSCALL").is_some();
        // Where all n are shared out: the first of them, and how far apart those are that are taken.
        let (first, apart) = match on {
            On::Database if call == "pwrite64" && !every => (fastrand::u32(1..=3), 3),
            On::All | On::Segments | On::Database => (1, 1),
        };
        let shares = if on == On::All { 1 } else { AT_ONCE };
        let share = |place| Self {
            call,
            on,
            first: first + place * apart,
            step: shares * apart,
            every,
        };
        (0..shares).map(share).collect()
    }

    /// The n behind another.
    fn behind(self, n: u32) -> u32 {
        match self.on {
            On::All if self.every => n + 1,
            On::All if CALLS_THAT_CHANGE_NOTHING.contains(&self.call) => n * 2,
            On::All => n + 1 + n / 2,
            On::Segments | On::Database => n + self.step,
        }
    }

    /// Plays it with `act`, which says whether somebody died, unless a play has failed. How often somebody died.
    fn play(self, has_failed: &AtomicBool, act: impl Fn(Death) -> bool) -> usize {
        let Self { call, on, first, .. } = self;
        let (mut n, mut kills) = (first, 0);
        let _failing = Failing(has_failed);
        loop {
            if has_failed.load(Ordering::Relaxed) {
                return kills;
            }
            println!("killed at {call} number {n}, on {on:?}"); // shown if it fails
            if !act(Death { call, n, on }) {
                return kills;
            }
            kills += 1;
            n = self.behind(n);
        }
    }
}

/// Says that a play has failed: others need not go on.
struct Failing<'a>(&'a AtomicBool);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Plays `act` with one death after the other, until it says that nobody died.
fn at_every_call(act: impl Fn(Death) -> bool + Sync) {
    let everywhere = CALLS.iter().map(|call| (*call, On::All));
    let on_segments = CALLS_ON_SEGMENTS.iter().map(|call| (*call, On::Segments));
    at_each(everywhere.chain(on_segments), act);
}

fn at_each(calls: impl Iterator<Item = (&'static str, On)>, act: impl Fn(Death) -> bool + Sync) {
    if !can_trace() {
        return;
    }
    let mut series: Vec<Series> = calls.flat_map(|(call, on)| Series::of(call, on)).collect();
    // The longest first.
    series.reverse();
    let (series, kills) = (Mutex::new(series.into_iter()), AtomicUsize::new(0));
    let has_failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = series.lock().unwrap().next();
                    let Some(next) = next else { break };
                    kills.fetch_add(next.play(&has_failed, &act), Ordering::Relaxed);
                }
            });
        }
    });
    let kills = kills.into_inner();
    println!("{kills} kills");
    assert!(kills > 10, "only {kills} kills");
}

#[test]
fn an_engine_killed_at_any_system_call_loses_and_doubles_nothing() {
    at_every_call(|death| {
        let play = Play::begin();
        let scene = &play.scene;
        let receiver = scene.receiver("recv");
        play.grow(PARTS);
        // One ring is taken over, and one made.
        let inputs: [&Path; 2] = [&play.file, &scene.file("new.log", b"new\n")];
        let arguments = scene.engine_arguments(GROUP, &inputs);
        let nothing = Written {
            log: scene.path("none"),
            store: scene.path("none"),
        };
        let strace = death.strace(scene, &nothing);
        let was_killed = scene
            .start_under(&borrowed(&strace), "engine", &arguments)
            .finish()
            .code
            != Some(0);
        scene.log(&inputs);
        play.drain(&receiver).succeed();
        play.assert_arrived(&receiver, b"new\n");
        was_killed
    });
}

/// A play in which the sender dies; whether it did.
fn kill_a_sender(death: Death) -> bool {
    let play = Play::begin();
    let scene = &play.scene;
    let receiver = scene.receiver("recv");
    let written = Written {
        log: scene.path("spool").join(GROUP),
        store: scene.store(),
    };
    let strace = death.strace(scene, &written);
    let mut sender = play.sender(&receiver, &borrowed(&strace), &[]);
    play.log_in_parts(&mut sender);
    let was_killed = end(&mut sender);
    play.drain(&receiver).succeed();
    play.assert_arrived(&receiver, b"");
    was_killed
}

#[test]
fn a_sender_killed_at_any_system_call_loses_and_doubles_nothing() {
    at_every_call(kill_a_sender);
}

#[test]
fn a_sender_killed_between_any_two_writes_to_its_database_loses_and_doubles_nothing() {
    at_each(
        CALLS_ON_DATABASE.iter().map(|call| (*call, On::Database)),
        kill_a_sender,
    );
}

#[test]
fn a_local_killed_at_any_system_call_loses_and_doubles_nothing() {
    at_every_call(|death| {
        let play = Play::begin();
        let scene = &play.scene;
        let written = Written {
            log: scene.archive(LOCAL).join(GROUP),
            store: scene.local_store(),
        };
        let strace = death.strace(scene, &written);
        let mut local = play.local(&borrowed(&strace), &[]);
        play.log_in_parts(&mut local);
        let was_killed = end(&mut local);
        play.local(&[], &["--drain-and-exit"]).succeed();
        play.assert_stored(&scene.archive(LOCAL), b"");
        was_killed
    });
}

#[test]
fn a_receiver_killed_at_any_system_call_loses_and_doubles_nothing() {
    at_every_call(|death| {
        let play = Play::begin();
        let scene = &play.scene;
        let mut receiver = scene.receiver("recv");
        // Something is stored already, so that it matters what a start finds.
        play.drain(&receiver).succeed();
        receiver.kill();
        let written = Written {
            log: receiver.archive.join(GROUP),
            store: scene.path("recv").join("store"),
        };
        let strace = death.strace(scene, &written);
        receiver.start_under(scene, &borrowed(&strace));
        play.grow(PARTS);
        scene.log(&[&play.file]);
        let mut sender = play.drain(&receiver);
        wait_until("the sender or the receiver ends", || {
            !sender.is_running() || !receiver.process().is_running()
        });
        let was_killed = end(receiver.process());
        receiver.start(scene);
        sender.succeed();
        play.assert_arrived(&receiver, b"");
        was_killed
    });
}

/// Ends a process as a service manager would; whether it had been killed.
fn end(process: &mut Process) -> bool {
    if process.is_running() {
        process.terminate();
        wait_until("it ends", || !process.is_running());
    }
    process.ended().and_then(|status| status.code()) != Some(0)
}

#[test]
fn what_cannot_be_synced_is_not_acknowledged() {
    if !can_trace() {
        return;
    }
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let log = scene.path("strace");
    // The first two syncs of each thread succeed: a connection needs them for the new segment and for who its sender is.
    let mut strace = words(&["strace", "-D", "-f", "-qq", "-o", log.to_str().unwrap()]);
    strace.extend(words(&[
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=3+",
    ]));
    receiver.start_under(&scene, &strace);
    let lines = scene.lines(400_000);
    let file = scene.file("input.log", b"");
    let _sender = scene.sender(&[&receiver.address]);
    // Bit by bit, so that much is synced apart.
    let mut end = 0;
    let failed = |receiver: &mut Receiver| receiver.process().words().contains("sync");
    while !failed(&mut receiver) && end < lines.len() {
        end = (end + 20_000).min(lines.len());
        std::fs::write(&file, &lines[..end]).unwrap();
        scene.log(&[&file]);
        wait_until("it is acknowledged or the receiver cannot sync", || {
            scene.acked() || failed(&mut receiver)
        });
    }
    assert!(
        failed(&mut receiver),
        "all was acknowledged, and nothing could be synced"
    );
    assert!(!scene.acked(), "what could not be synced was acknowledged");
    receiver.kill();
    receiver.start(&scene);
    std::fs::write(&file, &lines).unwrap();
    scene.log(&[&file]);
    scene.wait_acked();
    // What was written and could not be synced lies in its segment still, and what was sent again behind it: readers take the first.
    assert_equal(&scene.raw(&receiver.archive), &lines);
}
