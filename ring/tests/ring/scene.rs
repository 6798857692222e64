//! What the tests share: a shm directory of their own, a drain, and child processes that can be killed.

use hog_ring::{Group, GroupOptions, Header, Kind, RingReader, Statement, Walk, cut, ring_files, statement};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SMALLEST: u64 = 64 << 10;

pub(crate) static NUMBER: Statement<(u64,)> = statement!("number", "$0");
pub(crate) static TEXT: Statement<(&str,)> = statement!("text", "$0");

pub(crate) struct Scene {
    shm: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene {
            shm: tempfile::Builder::new()
                .prefix("hog-test-")
                .tempdir_in("/dev/shm")
                .unwrap(),
        }
    }

    /// A group with the smallest rings, whose records have no times.
    pub(crate) fn options(&self) -> GroupOptions {
        options_in(self.shm.path())
    }

    pub(crate) fn group(&self) -> Group {
        self.options().open().unwrap()
    }

    pub(crate) fn rings(&self) -> Vec<PathBuf> {
        let mut files = ring_files(&self.directory()).unwrap();
        files.sort();
        files
    }

    pub(crate) fn directory(&self) -> PathBuf {
        hog_ring::group_dir(self.shm.path(), "g")
    }

    /// Opens the only ring there is.
    pub(crate) fn reader(&self) -> RingReader {
        let rings = self.rings();
        assert_eq!(rings.len(), 1, "{rings:?}");
        RingReader::open(&rings[0]).unwrap()
    }

    /// Runs the ignored test `role` in a process of its own.
    pub(crate) fn spawn(&self, role: &str) -> Role {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", role, "--ignored", "--nocapture"])
            .env("HOG_TEST_SHM", self.shm.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Role { child, output }
    }
}

pub(crate) fn options_in(shm: &Path) -> GroupOptions {
    GroupOptions::new("g")
        .shm_dir(shm)
        .ring_size(SMALLEST)
        .timestamps(false)
}

/// In a child process: the group of the test that spawned it.
pub(crate) fn group_of_parent() -> Group {
    options_in(Path::new(
        &std::env::var_os("HOG_TEST_SHM").expect("only run by other tests"),
    ))
    .open()
    .unwrap()
}

/// A child process; killed at the latest when the test ends.
pub(crate) struct Role {
    pub(crate) child: Child,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Role {
    /// The rest of the next line that begins with `word`.
    pub(crate) fn line_with(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "the child ended without saying {word}"
            );
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes everything published from `position` on, as a drainer does, and moves `position`.
pub(crate) fn drain(reader: &RingReader, position: &mut u64) -> Vec<u8> {
    let tail = reader.tail(*position).unwrap();
    let mut bytes = vec![0; usize::try_from(tail - *position).unwrap()];
    reader.copy(*position, &mut bytes).unwrap();
    let found = cut(&bytes, true, reader.identity().capacity);
    assert_eq!((found.bad, found.len), (None, bytes.len()));
    for item in Walk::new(&bytes) {
        let (at, header, _) = item.unwrap();
        assert!(
            bytes[at + header.len..at + header.padded_len()]
                .iter()
                .all(|&byte| byte == 0),
            "padding is not zero"
        );
    }
    *position = tail;
    reader.advance(tail);
    bytes
}

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) statement: u32,
    pub(crate) more: bool,
    pub(crate) time: Option<u64>,
    pub(crate) payload: Vec<u8>,
}

impl Seen {
    fn new(header: &Header, payload: &[u8]) -> Seen {
        let Header {
            kind,
            statement,
            more,
            time,
            ..
        } = *header;
        Seen {
            kind,
            statement,
            more,
            time,
            payload: payload.to_vec(),
        }
    }
}

/// Every record as it stands.
pub(crate) fn records(bytes: &[u8]) -> Vec<Seen> {
    let seen = Walk::new(bytes).map(|item| {
        let (_, header, payload) = item.unwrap();
        Seen::new(&header, payload)
    });
    seen.collect()
}

/// The application's records: fragments joined, everything else left out.
pub(crate) fn logged(bytes: &[u8]) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut run: Option<(u32, Vec<u8>)> = None;
    for item in Walk::new(bytes) {
        let (_, header, payload) = item.unwrap();
        match header.kind {
            Kind::Fragment if header.statement == 0 => run = Some((0, payload.to_vec())),
            Kind::Fragment => match &mut run {
                Some((last, joined)) if *last + 1 == header.statement => {
                    *last += 1;
                    joined.extend_from_slice(payload);
                }
                _ => run = None,
            },
            Kind::Gap | Kind::Abort => run = None,
            Kind::Record | Kind::Stmt => assert!(run.is_none(), "a record within a run"),
        }
        if header.last {
            found.extend(run.take().iter().flat_map(|(_, joined)| records(joined)));
        } else if header.kind == Kind::Record {
            found.push(Seen::new(&header, payload));
        }
    }
    found
}

/// The numbers that [`NUMBER`] records carry.
pub(crate) fn numbers(seen: &[Seen]) -> Vec<u64> {
    seen.iter()
        .map(|record| u64::from_le_bytes(record.payload[..8].try_into().unwrap()))
        .collect()
}

pub(crate) fn kinds(bytes: &[u8]) -> Vec<Kind> {
    records(bytes).iter().map(|record| record.kind).collect()
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn sequence(numbers: &[u64]) {
    for (expected, &found) in (0..).zip(numbers) {
        assert_eq!(found, expected);
    }
}
