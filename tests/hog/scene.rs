//! The stage of a test: directories, rings and chance of its own, the command lines of the roles, and the questions that
//! are asked of what they did.
//!
//! Whatever a process says on stderr is kept in a file; when a test fails, all of it is shown, and the seed with it.

use crate::arrived::{assert_equal, assert_stored_once, segments};
use crate::roles::{Finished, Process, Receiver};
use hog_ring::RingReader;
use serde_json::Value;
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition: the shortest, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));
/// A look that starts a process takes long, and the time of those that are waited for: it is followed by a pause of twice its length, up to this.
const REST_MAX: Duration = Duration::from_millis(200);
/// Of a process's words, as many lines are shown.
const WORDS: usize = 60;

/// The group, where a test needs one.
pub(crate) const GROUP: &str = "web";

/// Directories, rings and a source of chance, all of one test.
pub(crate) struct Scene {
    directory: TempDir,
    rings: TempDir,
    engine_store: PathBuf,
    seed: u64,
    chance: RefCell<fastrand::Rng>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let seed = match std::env::var("HOG_TEST_SEED") {
            Ok(seed) => seed.parse().expect("HOG_TEST_SEED is a number"),
            Err(_) => fastrand::u64(..),
        };
        let prefix = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("hog-test-");
            builder
        };
        let directory = prefix().tempdir().unwrap();
        Self {
            engine_store: directory.path().join("engine-store"),
            directory,
            rings: prefix().tempdir_in("/dev/shm").unwrap(),
            seed,
            chance: RefCell::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// Draws from the test's chance.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.chance.borrow_mut())
    }

    /// The test's directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A place in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the test's rings are: what `--shm-dir` names.
    pub(crate) fn shm_dir(&self) -> &Path {
        self.rings.path()
    }

    /// Whether anybody made a directory of rings.
    pub(crate) fn has_rings_directory(&self) -> bool {
        self.shm_dir().join("hog").exists()
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Starts `hog`, its output going to files that are called `name`.
    pub(crate) fn start(&self, name: &str, arguments: &[&OsStr]) -> Process {
        Process::start(self.directory.path(), name, arguments, Stdio::null())
    }

    /// The same, as an argument of the command `under`.
    pub(crate) fn start_under(&self, under: &[&OsStr], name: &str, arguments: &[&OsStr]) -> Process {
        Process::start_under(under, self.directory.path(), name, arguments, Stdio::null())
    }

    /// Runs `hog` to its end.
    pub(crate) fn run(&self, name: &str, arguments: &[&OsStr]) -> Finished {
        self.start(name, arguments).finish()
    }

    /// Starts an engine on `inputs`.
    pub(crate) fn engine(&self, inputs: &[&Path]) -> Process {
        self.start("engine", &self.engine_arguments(GROUP, inputs))
    }

    /// The command line of an engine.
    pub(crate) fn engine_arguments<'a>(&'a self, group: &'a str, inputs: &[&'a Path]) -> Vec<&'a OsStr> {
        let mut arguments = words(&["engine", "-g", group, "--shm-dir"]);
        arguments.push(self.shm_dir().as_os_str());
        arguments.extend([OsStr::new("-m"), self.engine_store().as_os_str()]);
        arguments.extend(inputs.iter().map(|path| path.as_os_str()));
        arguments
    }

    /// Runs an engine on `inputs` to its end, which must be a good one.
    pub(crate) fn log(&self, inputs: &[&Path]) {
        self.engine(inputs).succeed();
    }

    /// Starts an engine that reads `input` as its standard input.
    pub(crate) fn pipe(&self, input: &Path) -> Process {
        let stdin = File::open(input).unwrap().into();
        let arguments = self.engine_arguments(GROUP, &[]);
        Process::start(self.directory.path(), "engine", &arguments, stdin)
    }

    /// Starts a receiver whose archive and store are called `name`.
    pub(crate) fn receiver(&self, name: &str) -> Receiver {
        Receiver::start_new(self, name)
    }

    /// Starts a sender of [`GROUP`].
    pub(crate) fn sender(&self, to: &[&str]) -> Process {
        self.sender_with(&[GROUP], to, &[])
    }

    pub(crate) fn sender_with(&self, groups: &[&str], to: &[&str], more: &[&str]) -> Process {
        let (spool, store) = (self.path("spool"), self.store());
        let mut arguments = words(&["batchsend"]);
        for group in groups {
            arguments.extend(words(&["-g", group]));
        }
        for destination in to {
            arguments.extend(words(&["--to", destination]));
        }
        arguments.extend([OsStr::new("-d"), spool.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
        arguments.extend([OsStr::new("--shm-dir"), self.shm_dir().as_os_str()]);
        arguments.extend(words(more));
        self.start("batchsend", &arguments)
    }

    /// Where the archive of `name` is: of a receiver that is called so, or of a local.
    pub(crate) fn archive(&self, name: &str) -> PathBuf {
        self.path(name).join("archive")
    }

    /// Starts a local of [`GROUP`] with the archive of `name`.
    pub(crate) fn local(&self, name: &str) -> Process {
        self.start("local", &words_of(&self.local_arguments(&[GROUP], name, &[])))
    }

    /// The command line of a local whose archive is that of `name`.
    pub(crate) fn local_arguments(&self, groups: &[&str], name: &str, more: &[&str]) -> Vec<OsString> {
        let (archive, store) = (self.archive(name).join("$GROUP"), self.local_store());
        let mut arguments = vec![OsString::from("local")];
        for group in groups {
            arguments.extend(["-g".into(), group.into()]);
        }
        arguments.extend(["-d".into(), archive.into(), "-m".into(), store.into()]);
        arguments.extend(["--shm-dir".into(), self.shm_dir().into()]);
        arguments.extend(more.iter().map(OsString::from));
        arguments
    }

    /// The store of a local.
    pub(crate) fn local_store(&self) -> PathBuf {
        self.path("local-store")
    }

    /// Waits until the local has all that was logged in its archive, on the disk.
    pub(crate) fn wait_stored(&self) {
        wait_until("all is in the archive and synced", || {
            self.status_in(&self.local_store())
                .is_some_and(|status| status["unacked_bytes"] == 0)
        });
    }

    /// The sender's store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Where engines keep their places.
    pub(crate) fn engine_store(&self) -> &Path {
        &self.engine_store
    }

    /// The segments in the sender's spool of [`GROUP`].
    pub(crate) fn spooled(&self) -> Vec<PathBuf> {
        segments(&self.path("spool").join(GROUP))
    }

    /// What `hog status` says of the sender, once there is anything to say.
    pub(crate) fn status(&self) -> Option<Value> {
        self.status_in(&self.store())
    }

    /// What it says of the role whose store is in `store`.
    pub(crate) fn status_in(&self, store: &Path) -> Option<Value> {
        let mut arguments = words(&["status", "--format", "json", "-m"]);
        arguments.extend([store.as_os_str(), OsStr::new("--shm-dir"), self.shm_dir().as_os_str()]);
        let finished = self.run("status", &arguments);
        // It prints the same whether the sender runs (0) or does not (3).
        assert!(
            matches!(finished.code, Some(0 | 3)),
            "status ended with {:?}: {}",
            finished.code,
            finished.words
        );
        let status: Value = serde_json::from_slice(&finished.output).ok()?;
        let is_known = status["groups"].as_array().is_some_and(|groups| !groups.is_empty());
        is_known.then_some(status)
    }

    /// Whether every destination has acknowledged all that was logged.
    pub(crate) fn acked(&self) -> bool {
        self.status().is_some_and(|status| status["unacked_bytes"] == 0)
    }

    /// Bytes that `address` has not acknowledged, as the status has it.
    pub(crate) fn unacked_by(&self, address: &str) -> Option<u64> {
        let status = self.status()?;
        let destinations = status["groups"]
            .as_array()?
            .iter()
            .flat_map(|group| group["destinations"].as_array().unwrap());
        let lacks: Vec<u64> = destinations
            .filter(|destination| destination["address"] == *address)
            .map(|destination| destination["unacked_bytes"].as_u64().unwrap())
            .collect();
        (!lacks.is_empty()).then(|| lacks.iter().sum())
    }

    pub(crate) fn wait_acked(&self) {
        wait_until("all is acknowledged", || self.acked());
    }

    /// The lines in `archive`.
    pub(crate) fn raw(&self, archive: &Path) -> Vec<u8> {
        self.cat("raw", archive)
    }

    /// The lines in `archive`, from which some are missing for good: that is said, and no fault.
    pub(crate) fn raw_with_gaps(&self, archive: &Path) -> Vec<u8> {
        let mut arguments = words(&["cat", "--format", "raw"]);
        arguments.push(archive.as_os_str());
        let finished = self.run("cat", &arguments);
        assert!(
            finished.code == Some(0) && finished.words.contains("are missing"),
            "{:?}: {}",
            finished.code,
            finished.words
        );
        finished.output
    }

    /// The records in `archive`.
    pub(crate) fn json(&self, archive: &Path) -> Vec<Value> {
        let output = self.cat("json", archive);
        output
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    fn cat(&self, format: &str, archive: &Path) -> Vec<u8> {
        let mut arguments = words(&["cat", "--format", format]);
        arguments.push(archive.as_os_str());
        let finished = self.run("cat", &arguments);
        assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
        finished.output
    }

    /// What `hog verify` says of `archive`, streams and total, after it passed.
    pub(crate) fn verify(&self, archive: &Path) -> (Vec<Value>, Value) {
        let mut arguments = words(&["verify", "--format", "json"]);
        arguments.push(archive.as_os_str());
        let finished = self.run("verify", &arguments);
        assert_eq!((finished.code, finished.words.as_str()), (Some(0), ""));
        let mut lines: Vec<Value> = finished
            .output
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let total = lines.pop().expect("a total")["total"].take();
        assert_eq!(
            (&total["gaps"], &total["faults"]),
            (&Value::from(0), &Value::from(0)),
            "{total}"
        );
        (lines, total)
    }

    /// That `receiver` has these bytes, once, in this order, and that all checks of its archive pass.
    pub(crate) fn assert_arrived(&self, receiver: &Receiver, expected: &[u8]) {
        self.assert_stored(&receiver.archive, expected);
    }

    /// The same of an archive, whoever writes it.
    pub(crate) fn assert_stored(&self, archive: &Path, expected: &[u8]) {
        assert_equal(&self.raw(archive), expected);
        self.verify(archive);
        assert_stored_once(&segments(&archive.join(GROUP)));
    }

    /// The files of the rings that are there.
    pub(crate) fn rings(&self) -> Vec<PathBuf> {
        hog_ring::ring_files(&hog_ring::group_dir(self.shm_dir(), GROUP)).unwrap()
    }

    /// Bytes published in the rings that are there, and how many of them were taken.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let readers = self.rings().into_iter().filter_map(|path| RingReader::open(&path).ok());
        let of_ring = |reader: RingReader| {
            let head = reader.head();
            (reader.tail(head).unwrap_or(head), head)
        };
        readers
            .map(of_ring)
            .fold((0, 0), |(tails, heads), (tail, head)| (tails + tail, heads + head))
    }

    /// Lines of which no two are the same, `bytes` of them or a few more.
    pub(crate) fn lines(&self, bytes: usize) -> Vec<u8> {
        self.draw(|chance| {
            let mut lines = Vec::with_capacity(bytes + 256);
            let mut number = 0;
            while lines.len() < bytes {
                lines.extend_from_slice(format!("{number:08} ").as_bytes());
                lines.extend((0..chance.usize(..200)).map(|_| chance.alphanumeric() as u8));
                lines.push(b'\n');
                number += 1;
            }
            lines
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("HOG_TEST_SEED={}", self.seed);
        let mut files: Vec<_> = std::fs::read_dir(self.directory.path())
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        for path in files
            .iter()
            .map(std::fs::DirEntry::path)
            .filter(|path| path.extension() == Some("stderr".as_ref()))
        {
            let words = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<_> = words.lines().collect();
            let shown = &lines[lines.len().saturating_sub(WORDS)..];
            eprintln!(
                "--- {} ({} of {} lines)\n{}",
                path.display(),
                shown.len(),
                lines.len(),
                shown.join("\n")
            );
        }
    }
}

/// Words that are owned by somebody else.
pub(crate) fn words_of(words: &[OsString]) -> Vec<&OsStr> {
    words.iter().map(OsString::as_os_str).collect()
}

/// Words of a command line.
pub(crate) fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let (mut pause, longest) = LOOK;
    loop {
        let began = Instant::now();
        if condition() {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(pause.max(began.elapsed() * 2).min(REST_MAX));
        pause = (pause * 2).min(longest);
    }
}
