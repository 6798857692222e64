//! A program of the original, as far as hog sees it: a queue in shared memory, and a few bytes on a socket.

use crate::roles::Process;
use crate::scene::{GROUP, PATIENCE, Scene, wait_until};
use hog::formats::classic::statements::{Commit, Declaration, Quality, Statements};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use hog_ring::v2::WaitPolicy;
use hog_ring::v2::producer::Producer;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The statement that most tests log: `(long, [char])`, called `counted`.
pub(crate) const COUNTED: u32 = 3;
/// Another: `unit`, called `case`.
pub(crate) const UNIT: u32 = 0;

/// What programs declare.
pub(crate) fn metadata() -> Vec<u8> {
    let definition = |id, name: &str, format: &str, payload_type| Definition {
        id,
        name: name.to_owned(),
        flags: 1,
        format: format.to_owned(),
        file: "prod.cpp".to_owned(),
        line: 18,
        payload_type,
    };
    let list = vec![
        definition(UNIT, "case", "nothing", Type::unit()),
        definition(
            COUNTED,
            "counted",
            "$1 counts $0",
            Type::tuple([Type::long(), Type::text()]),
        ),
    ];
    let declaration = Declaration {
        quality: Quality::Reliable,
        commit: Commit::Manual,
        statements: Statements::new(list).unwrap(),
    };
    let mut metadata = Vec::new();
    declaration.encode_queue(&mut metadata);
    metadata
}

/// A record of [`COUNTED`].
pub(crate) fn counted(number: u64, who: &str) -> Vec<u8> {
    let len = who.len() as u64;
    [
        &COUNTED.to_le_bytes()[..],
        &number.to_le_bytes(),
        &len.to_le_bytes(),
        who.as_bytes(),
    ]
    .concat()
}

/// Where the thread `tid` of the process `pid` has its queue.
pub(crate) fn queue_path(shm_dir: &Path, group: &str, pid: u32, tid: u32) -> PathBuf {
    shm_dir.join(format!("{group}.{pid}.{tid}"))
}

/// Connects to whoever serves the group, as soon as somebody does, and says the version.
pub(crate) fn connect(store: &Path, group: &str) -> UnixStream {
    let path = store.join(format!("hstore.{group}.sk"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut stream) = UnixStream::connect(&path)
            && stream.write_all(&[0, 0, 2, 0]).is_ok()
        {
            return stream;
        }
        assert!(Instant::now() < deadline, "nobody listens at {}", path.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Registers a queue.
pub(crate) fn register(stream: &mut UnixStream, command: u8, pid: u32, tid: u32) {
    let record = [
        &[command][..],
        &u64::from(pid).to_le_bytes(),
        &u64::from(tid).to_le_bytes(),
    ]
    .concat();
    stream.write_all(&record).unwrap();
}

/// The highest number that a process can have, and that none has.
const NOBODY: u32 = 1 << 22;

/// A thread that logs, of this process.
pub(crate) struct Program {
    pub(crate) producer: Producer,
    pub(crate) path: PathBuf,
    pub(crate) socket: Option<UnixStream>,
}

impl Program {
    /// One that registered itself in `store`.
    pub(crate) fn start(scene: &Scene, store: &Path, tid: u32) -> Program {
        let mut program = Program::unregistered(scene.shm_dir(), tid, 11, WaitPolicy::Futex, true);
        let mut socket = connect(store, GROUP);
        register(&mut socket, 0, std::process::id(), tid);
        program.socket = Some(socket);
        program
    }

    pub(crate) fn unregistered(shm_dir: &Path, tid: u32, slots: u32, policy: WaitPolicy, reliable: bool) -> Program {
        let path = queue_path(shm_dir, GROUP, std::process::id(), tid);
        Program {
            producer: Producer::create(&path, &metadata(), slots, policy, reliable).unwrap(),
            path,
            socket: None,
        }
    }

    /// A thread of a process that is not there, and never registered.
    pub(crate) fn of_nobody(shm_dir: &Path, tid: u32) -> Program {
        let path = queue_path(shm_dir, GROUP, NOBODY, tid);
        Program {
            producer: Producer::create(&path, &metadata(), 11, WaitPolicy::Futex, true).unwrap(),
            path,
            socket: None,
        }
    }

    /// Logs a transaction of so many records from `first` on.
    pub(crate) fn log(&mut self, first: u64, count: u64, who: &str) {
        for number in first..first + count {
            self.producer.write(&counted(number, who));
        }
        self.producer.commit();
    }
}

/// Names the directories to a program that a test starts.
const SHM_DIR: &str = "HOG_TEST_V2_SHM";
const STORE: &str = "HOG_TEST_V2_STORE";
const SAYS: &str = "HOG_TEST_V2_SAYS";

/// A process that logs until it is killed, and says what it has published. It does not outlive its test.
pub(crate) struct Logging {
    child: Child,
    says: PathBuf,
}

impl Logging {
    pub(crate) fn start(scene: &Scene, store: &Path, name: &str) -> Logging {
        let says = scene.path(&format!("{name}.says"));
        std::fs::write(&says, "").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "v2::producer::program_that_logs_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(SHM_DIR, scene.shm_dir())
            .env(STORE, store)
            .env(SAYS, &says)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Logging { child, says }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As many transactions it said that it has published.
    pub(crate) fn published(&self) -> u64 {
        std::fs::metadata(&self.says).unwrap().len()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
#[ignore = "a program that other tests start"]
fn program_that_logs_until_it_is_killed() {
    let (Some(shm_dir), Some(store), Some(says)) = (
        std::env::var_os(SHM_DIR),
        std::env::var_os(STORE),
        std::env::var_os(SAYS),
    ) else {
        return;
    };
    let pid = std::process::id();
    let path = queue_path(Path::new(&shm_dir), GROUP, pid, pid);
    let mut producer = Producer::create(&path, &metadata(), 11, WaitPolicy::Futex, true).unwrap();
    std::thread::spawn(move || stay_registered(Path::new(&store), pid));
    let mut says = std::fs::File::options().append(true).open(says).unwrap();
    for number in 0.. {
        // Of every length up to several pages, some longer than the queue, and some that never count.
        let len = if number % 11 == 5 { 60_000 } else { number * 37 % 9_000 };
        let who = "x".repeat(usize::try_from(len).unwrap());
        if number % 7 == 3 {
            producer.write(&counted(u64::MAX, &who));
            producer.rollback();
        }
        producer.write(&counted(number, &who));
        producer.commit();
        says.write_all(b".").unwrap();
    }
}

/// Registers, and again whenever nobody listens any more, as programs of the original do while they wait for room.
fn stay_registered(store: &Path, pid: u32) {
    for command in std::iter::once(0).chain(std::iter::repeat(1)) {
        let mut socket = connect(store, GROUP);
        let record = [
            &[command][..],
            &u64::from(pid).to_le_bytes(),
            &u64::from(pid).to_le_bytes(),
        ]
        .concat();
        // Whoever does not take it is gone, and so is the socket.
        let _ = socket.write_all(&record);
        let _ = socket.read(&mut [0]);
    }
}

/// The numbers that `counted` records in `archive` carry, stream by stream.
pub(crate) fn numbers(scene: &Scene, archive: &Path) -> Vec<Vec<u64>> {
    let mut streams: Vec<(String, Vec<u64>)> = Vec::new();
    for record in scene.json(archive) {
        assert_eq!(record["statement"], "counted", "{record}");
        let stream = record["stream"].as_str().unwrap();
        let number = record["value"][0].as_i64().unwrap().cast_unsigned();
        match streams.iter_mut().find(|(found, _)| found == stream) {
            Some((_, numbers)) => numbers.push(number),
            None => streams.push((stream.to_owned(), vec![number])),
        }
    }
    streams.into_iter().map(|(_, numbers)| numbers).collect()
}

/// Waits until the queue at `path` is read.
pub(crate) fn wait_read(process: &mut Process, path: &Path) {
    wait_until("the queue is read", || {
        assert!(process.is_running(), "{}", process.words());
        let queue = hog_ring::v2::Queue::open(path).unwrap();
        let (ri, wi) = queue.indices().unwrap();
        ri == wi
    });
}
