//! Queues that are put to rest, and go on; that have more than is taken at once, or than there is room for; that are understood in part.

use super::*;
use crate::formats::classic::statements::{Commit, Declaration, Quality, Statements};
use hog_ring::RingReader;
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use hog_ring::v2::WaitPolicy;
use hog_ring::v2::producer::Producer;
use names::Claimed;
use tempfile::TempDir;

/// No thread of this process.
const NO_THREAD: u32 = 1 << 22;

fn metadata() -> Vec<u8> {
    let definition = Definition {
        id: 0,
        name: "n".to_owned(),
        flags: 0,
        format: String::new(),
        file: String::new(),
        line: 0,
        payload_type: Type::int(),
    };
    let declaration = Declaration {
        quality: Quality::Reliable,
        commit: Commit::Manual,
        statements: Statements::new(vec![definition]).unwrap(),
    };
    let mut metadata = Vec::new();
    declaration.encode_queue(&mut metadata);
    metadata
}

/// Directories of a test, and what an intake has around it.
struct Play {
    shm: TempDir,
    _store: TempDir,
    around: Surroundings,
}

impl Play {
    fn new() -> Play {
        let shm = tempfile::Builder::new()
            .prefix("hog-test-")
            .tempdir_in("/dev/shm")
            .unwrap();
        let store = tempfile::tempdir().unwrap();
        let around = Surroundings {
            orphans: Orphans::TakeIn,
            place: RingPlace {
                group: "g".to_owned(),
                shm_dir: shm.path().to_owned(),
                shm_group: None,
            },
            socket: socket_path(store.path(), "g"),
            recorder: Recorder::to_nowhere(),
            report: Arc::default(),
            known: KnownStatements::default(),
            handed: Handed::default(),
        };
        Play {
            shm,
            _store: store,
            around,
        }
    }

    fn intake(&self) -> Intake<'_> {
        let stop = Stop::default();
        let group = open_group(&self.around.place, &stop).unwrap().unwrap();
        Intake::new(&self.around, group, Duration::ZERO).unwrap()
    }

    fn producer(&self, tid: u32) -> Producer {
        self.producer_with(tid, 4)
    }

    fn producer_with(&self, tid: u32, slots: u32) -> Producer {
        let path = self.shm.path().join(format!("g.{}.{tid}", std::process::id()));
        Producer::create(&path, &metadata(), slots, WaitPolicy::Futex, true).unwrap()
    }

    /// Does what a drainer does; says how many records it found.
    fn drain(&self) -> usize {
        let mut records = 0;
        for path in hog_ring::ring_files(&hog_ring::group_dir(self.shm.path(), "g")).unwrap() {
            let ring = RingReader::open(&path).unwrap();
            let head = ring.sound_head().unwrap();
            let tail = ring.tail(head).unwrap();
            let mut bytes = vec![0; usize::try_from(tail - head).unwrap()];
            ring.copy(head, &mut bytes).unwrap();
            records += hog_ring::Walk::new(&bytes)
                .filter(|record| record.as_ref().unwrap().1.kind == hog_ring::Kind::Record)
                .count();
            ring.advance(tail);
            if ring.owner() == hog_ring::OwnerWord::RETIRED {
                ring.unlink().unwrap();
            }
        }
        records
    }
}

fn log(producer: &mut Producer) {
    producer.write(&[0; 8]);
    producer.commit();
}

fn register(intake: &mut Intake<'_>, tid: u32, is_again: bool) {
    let pid = std::process::id();
    let registration = Registration {
        claimed: Claimed { pid, tid },
        policy: WaitPolicy::Futex,
        is_again,
    };
    intake.register(registration, Peer { pid, user: 0 });
}

/// A turn that looks at lives.
fn turn(intake: &mut Intake<'_>) -> Pace {
    intake.lives_due = Instant::now();
    intake.turn(Instant::now())
}

#[test]
fn a_queue_whose_thread_cannot_be_seen_rests_without_a_ring_and_goes_on_when_more_comes() {
    let play = Play::new();
    let mut intake = play.intake();
    let mut producer = play.producer(NO_THREAD);
    register(&mut intake, NO_THREAD, false);
    let mut found = 0;
    for expected in 1..4 {
        log(&mut producer);
        intake.scan();
        assert_eq!(intake.queues.len(), 1);
        turn(&mut intake);
        turn(&mut intake);
        assert_eq!(intake.queues.len(), 1, "it is not drained");
        found += play.drain();
        assert_eq!(found, expected);
        turn(&mut intake);
        assert!(intake.queues.is_empty() && intake.taking.is_empty(), "it rests");
        found += play.drain();
        let left: Vec<_> = links::list(intake.group.directory()).unwrap();
        assert_eq!((left.len(), found), (1, expected));
        assert!(!links::has_more(intake.group.directory(), &left[0]));
        intake.scan();
        register(&mut intake, NO_THREAD, true);
        assert!(intake.queues.is_empty(), "nothing came");
    }
}

#[test]
fn a_queue_of_a_thread_that_is_there_and_one_with_an_open_transaction_do_not_rest() {
    let play = Play::new();
    let mut intake = play.intake();
    // The first thread of a process has its number.
    let mine = std::process::id();
    let (mut seen, mut open) = (play.producer(mine), play.producer(NO_THREAD));
    register(&mut intake, mine, false);
    register(&mut intake, NO_THREAD, false);
    log(&mut seen);
    open.write(&[0; 5000]);
    for _ in 0..3 {
        turn(&mut intake);
        play.drain();
    }
    assert_eq!(intake.queues.len(), 2);
}

#[test]
fn a_turn_says_whether_more_is_there_and_whether_there_is_room_for_it() {
    let play = Play::new();
    let mut intake = play.intake();
    let mine = std::process::id();
    let mut producer = play.producer_with(mine, 128);
    register(&mut intake, mine, false);
    assert_eq!(turn(&mut intake), Pace::Nothing);
    for _ in 0..100 {
        log(&mut producer);
    }
    let paces = [turn(&mut intake), turn(&mut intake), turn(&mut intake)];
    assert_eq!(paces, [Pace::More, Pace::Took, Pace::Nothing]);
    assert_eq!(play.drain(), 100);
    // Each record of 8 bytes takes 24 in the ring, so these are more than it takes.
    for _ in 0..100 {
        producer.write(&[0; 4000]);
        producer.commit();
    }
    let paces = [turn(&mut intake), turn(&mut intake), turn(&mut intake)];
    assert_eq!(paces, [Pace::Took, Pace::Full, Pace::Full]);
    let mut found = 0;
    while turn(&mut intake) != Pace::Nothing {
        found += play.drain();
    }
    assert_eq!(found + play.drain(), 100 * 500);
}

#[test]
fn of_a_transaction_that_is_understood_in_part_nothing_is_logged_and_its_queue_stays_as_it_is() {
    let play = Play::new();
    let mut intake = play.intake();
    let mine = std::process::id();
    let mut producer = play.producer(mine);
    register(&mut intake, mine, false);
    log(&mut producer);
    turn(&mut intake);
    assert_eq!(play.drain(), 1);
    producer.write(&[0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0]); // a number, and a statement that nobody declared
    producer.commit();
    let path = play.shm.path().join(format!("g.{mine}.{mine}"));
    let before = Queue::open(&path).unwrap().indices().unwrap();
    assert!(turn(&mut intake) == Pace::Nothing && intake.queues.is_empty());
    assert_eq!(play.drain(), 0);
    assert_eq!(Queue::open(&path).unwrap().indices().unwrap(), before);
}
