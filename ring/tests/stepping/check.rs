//! What must hold of a ring whose producer was killed at any instant.

use crate::scenes::{CAPACITY, GROUP, Kind, NUMBER, RING, Scene, log_with_state, options};
use hog_ring::{Liveness, Resume, RingReader, Walk, cut, group_dir, layout, ring_files};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Room is made for a full ring this many instructions after it was seen waiting: it is asleep by then.
const ASLEEP: u64 = 2000;

/// A ring that a scene writes, and what was drained of it.
pub(crate) struct Checker {
    scene: &'static Scene,
    shm: TempDir,
    ring: Option<File>,
    /// The file as it was when it was last checked.
    seen: Vec<u8>,
    now: Vec<u8>,
    /// What was drained while the child ran.
    drained: Vec<u8>,
    waiting_since: Option<u64>,
    /// Distinct states of the shared memory that were checked.
    checked: u64,
}

fn shm() -> TempDir {
    tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap()
}

impl Checker {
    /// A directory for `scene`, with the ring that it inherits.
    pub(crate) fn new(scene: &'static Scene) -> Checker {
        let checker = Checker {
            scene,
            shm: shm(),
            ring: None,
            seen: Vec::new(),
            now: Vec::new(),
            drained: Vec::new(),
            waiting_since: None,
            checked: 0,
        };
        if scene.kind == Kind::Inherited {
            leave_ring_of_killed_producer(checker.shm.path());
        }
        checker
    }

    pub(crate) fn shm(&self) -> &Path {
        self.shm.path()
    }

    /// Checks what a kill would leave now, if that has changed.
    pub(crate) fn after_instruction(&mut self, step: u64, returned: u64) {
        self.make_room(step);
        if !self.look() {
            assert_eq!(returned, 0, "step {step}: a call returned, and there is no ring");
            return;
        }
        if self.now == self.seen {
            // Nothing new for a drainer, but more calls may have returned since.
            return;
        }
        self.checked += 1;
        let name = ring_files(&group_dir(self.shm.path(), GROUP)).unwrap().remove(0);
        let copy = Copied::of(&self.now, name.file_name().unwrap().as_ref());
        let what = format!("{}, step {step}", self.scene.name);
        self.check(&what, copy.shm.path(), &copy.ring, returned);
        std::mem::swap(&mut self.seen, &mut self.now);
    }

    /// The scene is over: everything must have returned, and something must have been checked.
    pub(crate) fn after_end(&mut self) {
        assert!(
            self.checked > 1,
            "{}: memory changed {} times",
            self.scene.name,
            self.checked
        );
    }

    /// Checks the ring itself, whose producer is dead.
    pub(crate) fn after_kill(&mut self, step: u64, returned: u64) {
        let what = format!("{}, killed after step {step}", self.scene.name);
        let Some(ring) = ring_files(&group_dir(self.shm.path(), GROUP)).unwrap().pop() else {
            assert_eq!(returned, 0, "{what}: a call returned, and there is no ring");
            return;
        };
        let mut reader = RingReader::open(&ring).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while reader.liveness() == Liveness::Living {
            assert!(Instant::now() < deadline, "{what}: its owner is thought to live");
            std::thread::yield_now();
        }
        drop(reader);
        let shm = self.shm.path().to_owned();
        self.check(&what, &shm, &ring, returned);
    }

    /// Drains the ring of a child that has been waiting for room for long enough.
    pub(crate) fn make_room(&mut self, step: u64) {
        if !matches!(self.scene.name, "full" | "drops") || !self.look() {
            return;
        }
        let word = |at: usize| u32::from_le_bytes(self.now[at..at + 4].try_into().unwrap());
        let dropped = self.now[layout::DROPPED_RECORDS] >= 3;
        if word(layout::WAITING) == 0 && !dropped {
            return;
        }
        let since = *self.waiting_since.get_or_insert(step);
        if self.drained.is_empty() && (dropped || step - since > ASLEEP) {
            let ring = ring_files(&group_dir(self.shm.path(), GROUP)).unwrap().remove(0);
            self.drained = drain(&RingReader::open(&ring).unwrap());
        }
    }

    /// Reads the ring's file; `false` while there is none.
    fn look(&mut self) -> bool {
        if self.ring.is_none() {
            let rings = ring_files(&group_dir(self.shm.path(), GROUP)).unwrap();
            self.ring = rings.first().and_then(|path| File::open(path).ok());
        }
        let Some(ring) = &self.ring else { return false };
        self.now
            .resize(layout::HEADER_AREA + usize::try_from(CAPACITY).unwrap(), 0);
        ring.read_exact_at(&mut self.now, 0).unwrap();
        // What lies above the tail nobody sees.
        let tail = u64::from_le_bytes(self.now[layout::TAIL..layout::TAIL + 8].try_into().unwrap());
        if tail < CAPACITY {
            self.now[layout::HEADER_AREA + usize::try_from(tail).unwrap()..].fill(0);
        }
        true
    }

    /// What must hold of `ring` in `shm`, whose owner is dead or CLOSED.
    fn check(&self, what: &str, shm: &Path, ring: &Path, returned: u64) {
        let reader = RingReader::open(ring).unwrap();
        let mut bytes = self.drained.clone();
        bytes.extend(drain(&reader));
        let found = numbers(&bytes);
        let (dropped, _) = reader.drops();
        drop(reader);
        if self.scene.kind == Kind::Unreliable {
            self.check_dropped(what, &found, dropped, returned);
            return;
        }
        for (expected, found) in (0..).zip(&found) {
            assert_eq!(*found, expected, "{what}: out of order");
        }
        let count = found.len() as u64;
        assert!(
            count >= returned,
            "{what}: {count} records, and {returned} calls returned"
        );
        let commits = self.scene.commits;
        assert!(
            commits.is_empty() || commits.contains(&count),
            "{what}: {count} records are a transaction in part"
        );
        if matches!(self.scene.kind, Kind::Named | Kind::Inherited) {
            check_heirs(what, self.scene.kind, shm, ring, count);
        }
    }

    fn check_dropped(&self, what: &str, found: &[u64], dropped: u64, returned: u64) {
        assert!(found.is_sorted_by(|a, b| a < b), "{what}: out of order");
        let missing = found.last().map_or(0, |last| last + 1 - found.len() as u64);
        assert!(
            missing <= dropped,
            "{what}: {missing} are missing, and {dropped} are counted"
        );
        let accounted = found.len() as u64 + dropped;
        assert!(
            accounted >= returned,
            "{what}: {accounted} accounted for, and {returned} calls returned"
        );
    }
}

/// An heir takes the ring over and logs; at each instant at which it could die, its own heir goes on there.
fn check_heirs(what: &str, kind: Kind, shm: &Path, ring: &Path, count: u64) {
    let group = options(kind, shm).open().unwrap();
    let mut heir = group.named_writer(RING, Resume::Auto).unwrap();
    let state = heir.recovered().map(|recovered| number(&recovered.state));
    assert_eq!(state, (count > 0).then_some(count), "{what}: the heir's state");
    let next = |when: &str, expected: u64| {
        let copy = Copied::of(&std::fs::read(ring).unwrap(), ring.file_name().unwrap().as_ref());
        let group = options(kind, copy.shm.path()).open().unwrap();
        let writer = group.named_writer(RING, Resume::Auto).unwrap();
        let state = writer.recovered().map(|recovered| number(&recovered.state));
        assert_eq!(state, Some(expected), "{what}: the state of the heir's heir, {when}");
    };
    if count > 0 {
        next("before the heir logged", count);
    }
    for logged in count..count + 2 {
        log_with_state(&mut heir, logged);
        next("after the heir logged", logged + 1);
    }
    heir.log(&NUMBER, (count + 2,)).unwrap();
    next("after the heir logged without a state", count + 2);
}

/// A ring's file in a directory of its own, its owner gone as after a kill.
struct Copied {
    shm: TempDir,
    ring: PathBuf,
}

impl Copied {
    fn of(bytes: &[u8], name: &Path) -> Copied {
        let shm = shm();
        let directory = group_dir(shm.path(), GROUP);
        std::fs::create_dir_all(&directory).unwrap();
        let ring = directory.join(name);
        let file = File::create_new(&ring).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.write_all_at(&0u64.to_le_bytes(), layout::OWNER as u64).unwrap();
        Copied { shm, ring }
    }
}

/// Logs 0, 1, 2 with their states, and leaves a copy of the state for number 3, which was never committed.
fn leave_ring_of_killed_producer(shm: &Path) {
    let group = options(Kind::Inherited, shm).open().unwrap();
    let mut writer = group.named_writer(RING, Resume::Auto).unwrap();
    for number in 0..3 {
        log_with_state(&mut writer, number);
    }
    let tail = writer.tail();
    drop(writer);
    let ring = ring_files(&group_dir(shm, GROUP)).unwrap().remove(0);
    let file = File::options().read(true).write(true).open(ring).unwrap();
    let stamp = |at: usize| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, (at + layout::STATE_TAIL) as u64)
            .unwrap();
        u64::from_le_bytes(bytes)
    };
    let older = layout::STATE_COPIES.into_iter().min_by_key(|at| stamp(*at)).unwrap();
    // The position that the next record would have reached, and that the heir's ABORT will reach.
    let mut copy = Vec::new();
    copy.extend(8u32.to_le_bytes());
    copy.extend((tail + 16).to_le_bytes());
    copy.extend(999u64.to_le_bytes());
    let mut bytes = crc32c::crc32c(&copy).to_le_bytes().to_vec();
    bytes.extend(copy);
    file.write_all_at(&bytes, older as u64).unwrap();
}

/// Takes everything published, as a drainer does.
fn drain(reader: &RingReader) -> Vec<u8> {
    let head = reader.head();
    let tail = reader.tail(head).unwrap();
    let mut bytes = vec![0; usize::try_from(tail - head).unwrap()];
    reader.copy(head, &mut bytes).unwrap();
    let found = cut(&bytes, true, CAPACITY);
    assert_eq!(
        (found.bad, found.len),
        (None, bytes.len()),
        "records below the tail are whole"
    );
    reader.advance(tail);
    bytes
}

/// The numbers that were logged, fragments joined.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    use hog_ring::Kind::{Abort, Fragment, Gap, Record, Stmt};
    let mut found = Vec::new();
    let mut run: Vec<u8> = Vec::new();
    let mut pieces = 0;
    for item in Walk::new(bytes) {
        let (_, header, payload) = item.unwrap();
        match header.kind {
            Record => found.push(number(payload)),
            Fragment => {
                if header.statement == 0 {
                    run.clear();
                    pieces = 0;
                }
                assert_eq!(header.statement, pieces, "fragments follow one another");
                run.extend_from_slice(payload);
                pieces += 1;
                if header.last {
                    found.extend(numbers(&std::mem::take(&mut run)));
                    pieces = 0;
                }
            }
            Gap | Abort => run.clear(),
            Stmt => {}
        }
    }
    found
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}
