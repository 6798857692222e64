//! The real queue: files, mappings, futexes.

use hog_ring::v2::producer::Producer;
use hog_ring::v2::{Act, Course, OpenQueueError, Progress, Queue, QueueFault, StashHead, WaitPolicy, resolve};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

fn scene() -> TempDir {
    tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap()
}

/// A reader that takes what it is given into memory.
struct Taker {
    queue: Queue,
    course: Course,
    policy: WaitPolicy,
    open: Vec<u8>,
    stash: Vec<Vec<u8>>,
    taken: Vec<Vec<u8>>,
}

impl Taker {
    fn of(path: &Path, state: Option<Progress>, policy: WaitPolicy) -> Taker {
        let queue = Queue::open(path).unwrap();
        let slots = queue.layout().slots;
        let resolved = resolve(slots, state, StashHead::default(), queue.indices().unwrap()).unwrap();
        Taker {
            course: Course::begin(queue.inode().unwrap(), slots, &resolved),
            queue,
            policy,
            open: Vec::new(),
            stash: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Does all that can be done now.
    fn turn(&mut self, is_dead: bool) -> Result<(), QueueFault> {
        loop {
            let (_, wi) = self.queue.indices()?;
            match self.course.next(wi, is_dead) {
                Act::Rest => return Ok(()),
                Act::Judge { slot } => {
                    let footer = self.queue.footer(slot)?;
                    if !self.course.judged(footer.kind, is_dead) {
                        return Ok(());
                    }
                    self.queue.copy(slot, footer.len, &mut self.open)?;
                    continue;
                }
                Act::Log(_) => self.taken.push(std::mem::take(&mut self.open)),
                Act::Forget(_) => self.open.clear(),
                Act::Release { ri } => self.queue.release(ri)?,
                Act::Wake => self.queue.wake(self.policy),
                Act::StashPage { number, slot } => {
                    self.stash.truncate(number as usize);
                    let mut page = Vec::new();
                    self.queue.copy(slot, 4096, &mut page)?;
                    self.stash.push(page);
                }
                Act::StashHead(_) => {}
            }
            self.course.did();
        }
    }
}

/// A transaction whose bytes are its own.
fn transaction(number: usize) -> Vec<u8> {
    let len = [0, 1, 5, 4091, 4092, 4093, 12_276, 50_000][number % 8];
    (0..len)
        .map(|at| u8::try_from((at * 7 + number) % 251).unwrap())
        .collect()
}

#[test]
fn transactions_of_every_length_go_through_queues_of_any_size_while_their_producer_waits() {
    for (slots, policy) in [
        (2, WaitPolicy::Futex),
        (3, WaitPolicy::Spin),
        (4, WaitPolicy::Futex),
        (11, WaitPolicy::Futex),
    ] {
        let scene = scene();
        let path = scene.path().join("g.1.1");
        let mut producer = Producer::create(&path, b"metadata", slots, policy, true).unwrap();
        let mut taker = Taker::of(&path, None, policy);
        assert_eq!(taker.queue.metadata().unwrap(), b"metadata");
        const COUNT: usize = 200;
        let logging = std::thread::spawn(move || {
            for number in 0..COUNT {
                producer.write(&transaction(number));
                if number % 5 == 4 {
                    producer.rollback();
                } else {
                    producer.commit();
                }
            }
            producer
        });
        let expected: Vec<_> = (0..COUNT).filter(|number| number % 5 != 4).map(transaction).collect();
        let deadline = Instant::now() + PATIENCE;
        while taker.taken.len() < expected.len() {
            assert!(
                Instant::now() < deadline,
                "{} of {} came",
                taker.taken.len(),
                expected.len()
            );
            taker.turn(false).unwrap();
        }
        assert_eq!(taker.taken, expected);
        assert!(slots == 11 || !taker.stash.is_empty(), "the longest do not fit");
        // The last one is a rollback that may come later, and that nobody need wait for.
        while !logging.is_finished() {
            assert!(Instant::now() < deadline, "the producer waits in vain");
            taker.turn(false).unwrap();
        }
        drop(logging.join().unwrap());
        taker.turn(true).unwrap();
        assert_eq!((taker.taken.len(), taker.course.has_open()), (expected.len(), false));
    }
}

#[test]
fn a_tentative_page_waits_for_its_producer_and_not_for_a_dead_one() {
    let scene = scene();
    let path = scene.path().join("g.1.1");
    let mut producer = Producer::create(&path, b"", 11, WaitPolicy::Futex, false).unwrap();
    let mut taker = Taker::of(&path, None, WaitPolicy::Futex);
    producer.write(b"one");
    producer.leave_tentative();
    taker.turn(false).unwrap();
    producer.decide(hog_ring::v2::PageKind::Continued);
    producer.write(b"two");
    producer.commit();
    taker.turn(false).unwrap();
    assert_eq!(taker.taken, [b"onetwo"]);
    producer.write(b"three");
    producer.leave_tentative();
    taker.turn(false).unwrap();
    let (ri, wi) = taker.queue.indices().unwrap();
    assert_eq!((ri + 1, taker.taken.len()), (wi, 1), "it may still count");
    taker.turn(true).unwrap();
    assert_eq!(taker.queue.indices().unwrap(), (wi, wi));
    assert_eq!(taker.taken.len(), 1);
}

#[test]
fn a_queue_that_shrinks_while_it_is_mapped_is_a_fault_and_no_end_of_the_process() {
    let scene = scene();
    let path = scene.path().join("g.1.1");
    let mut producer = Producer::create(&path, b"", 11, WaitPolicy::Spin, true).unwrap();
    producer.write(b"one");
    producer.commit();
    let mut taker = Taker::of(&path, None, WaitPolicy::Spin);
    File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    assert_eq!(taker.turn(false), Err(QueueFault::Shrunk));
}

#[test]
fn files_that_are_no_queues_and_indices_and_footers_that_are_none_are_refused() {
    let scene = scene();
    let path = scene.path().join("g.1.1");
    for bytes in [&b""[..], &[1; 31], &[0; 8192], &[0xff; 8192]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Queue::open(&path), Err(OpenQueueError::NotAQueue { .. })));
    }
    assert!(matches!(Queue::open(scene.path()), Err(OpenQueueError::Io { .. })));
    std::os::unix::fs::symlink(&path, scene.path().join("link")).unwrap();
    assert!(Queue::open(&scene.path().join("link")).is_err());
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    assert!(matches!(
        Queue::open(&scene.path().join("fifo")),
        Err(OpenQueueError::NotAFile { .. })
    ));

    let mut producer = Producer::create(&path, b"", 4, WaitPolicy::Spin, true).unwrap();
    producer.write(b"one");
    producer.commit();
    let spoil = |offset: u64, word: u32| {
        use std::os::unix::fs::FileExt;
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&word.to_le_bytes(), offset).unwrap();
    };
    let mut taker = Taker::of(&path, None, WaitPolicy::Spin);
    spoil(4096 + 16 + 4092, 0x0400_0001);
    assert!(matches!(
        taker.turn(false),
        Err(QueueFault::Footer {
            slot: 0,
            found: 0x0400_0001
        })
    ));
    spoil(4096 + 8, 4);
    assert!(matches!(taker.queue.indices(), Err(QueueFault::Index(_))));
}
