//! What the child does: a scene is prepared at full speed, and then played step by step.
//!
//! The records are numbers from 0 on, so that a gap, a double or a change of order shows. A scene whose ring is named sets the resume state
//! to the count of numbers with each commit.

use hog_ring::{Group, GroupOptions, Resume, Statement, Writer, statement};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that makes a process play a scene.
pub(crate) const ROLE: &str = "HOG_STEPPING_SCENE";
/// And the one that says where.
pub(crate) const SHM: &str = "HOG_STEPPING_SHM";

/// The group of all scenes, and the name of their ring.
pub(crate) const GROUP: &str = "g";
pub(crate) const RING: &str = "numbers";
/// The smallest ring there is, so that little has to be copied.
pub(crate) const CAPACITY: u64 = 64 << 10;

pub(crate) static NUMBER: Statement<(u64,)> = statement!("number", "$0");
pub(crate) static LONG: Statement<(u64, &str)> = statement!("long", "$0 $1");

/// A record that goes as two fragments in the smallest ring.
static TEXT: [u8; 20_000] = [b'x'; 20_000];

/// What the tracer reads in the child's memory.
#[repr(C)]
pub(crate) struct Mark {
    /// 0 while the scene is prepared, 1 while it is played, 2 after that.
    phase: AtomicU64,
    /// How many numbers are logged by calls that returned.
    returned: AtomicU64,
}

pub(crate) static MARK: Mark = Mark {
    phase: AtomicU64::new(0),
    returned: AtomicU64::new(0),
};

/// How the ring of a scene is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unnamed.
    Unnamed,
    /// Named, with a resume state.
    Named,
    /// Unnamed, dropping when full.
    Unreliable,
    /// Named, and left by a run that died while it committed number 3: the scene begins with its adoption.
    Inherited,
}

/// One scene.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) sentence: &'static str,
    pub(crate) kind: Kind,
    /// Counts of numbers that may be seen: those after which something was committed. Empty: all.
    pub(crate) commits: &'static [u64],
    play: fn(&Group),
}

macro_rules! scene {
    ($name:ident, $sentence:literal, $kind:ident, $commits:expr) => {
        Scene {
            name: stringify!($name),
            sentence: $sentence,
            kind: Kind::$kind,
            commits: &$commits,
            play: $name,
        }
    };
}

pub(crate) const SCENES: &[Scene] = &[
    scene!(log, "killed_while_it_logs_records", Unnamed, []),
    scene!(create, "killed_while_it_makes_its_ring", Named, []),
    scene!(state, "killed_while_it_logs_records_with_a_state", Named, []),
    scene!(transaction, "killed_while_it_commits_transactions", Named, [0, 1, 4, 7]),
    scene!(rollback, "killed_while_it_rolls_a_transaction_back", Named, [0, 1, 2]),
    scene!(batch, "killed_while_it_commits_a_batch", Named, [0, 1, 4]),
    scene!(fragments, "killed_while_it_logs_a_record_in_fragments", Named, []),
    scene!(adopt, "killed_while_it_adopts_a_ring", Inherited, []),
    scene!(full, "killed_while_it_waits_for_room", Unnamed, []),
    scene!(drops, "killed_while_it_drops_and_counts", Unreliable, []),
    scene!(close, "killed_while_it_closes_its_ring", Named, []),
];

/// Options for groups in `shm`.
pub(crate) fn options(kind: Kind, shm: &Path) -> GroupOptions {
    let options = GroupOptions::new(GROUP)
        .shm_dir(shm)
        .ring_size(CAPACITY)
        .timestamps(false);
    if kind == Kind::Unreliable {
        options.unreliable()
    } else {
        options
    }
}

/// Plays the scene `name`: says where [`MARK`] is, waits for the tracer's go, and begins.
pub(crate) fn play(name: &str) {
    let scene = SCENES.iter().find(|scene| scene.name == name).expect("a scene");
    let shm = std::env::var_os(SHM).expect("the tracer names a directory");
    let group = options(scene.kind, Path::new(&shm)).open().unwrap();
    (scene.play)(&group);
}

/// The stage: from here on every instruction counts.
fn curtain() {
    println!("{}", &raw const MARK as usize);
    let mut go = [0];
    std::io::stdin().read_exact(&mut go).unwrap();
    // Relaxed: the tracer reads between instructions, in the order in which they were executed.
    MARK.phase.store(1, Ordering::Relaxed);
}

fn end() {
    MARK.phase.store(2, Ordering::Relaxed);
}

fn returned(count: u64) {
    MARK.returned.store(count, Ordering::Relaxed);
}

fn named(group: &Group) -> Writer {
    group.named_writer(RING, Resume::Auto).unwrap()
}

/// Logs `number` with the state that goes with it.
pub(crate) fn log_with_state(writer: &mut Writer, number: u64) {
    writer.set_state(&(number + 1).to_le_bytes()).unwrap();
    writer.log(&NUMBER, (number,)).unwrap();
}

fn log(group: &Group) {
    let mut writer = group.writer().unwrap();
    curtain();
    for number in 0..3 {
        writer.log(&NUMBER, (number,)).unwrap();
        returned(number + 1);
    }
    end();
}

fn create(group: &Group) {
    curtain();
    let mut writer = named(group);
    log_with_state(&mut writer, 0);
    returned(1);
    end();
}

fn state(group: &Group) {
    let mut writer = named(group);
    curtain();
    for number in 0..3 {
        log_with_state(&mut writer, number);
        returned(number + 1);
    }
    end();
}

fn transaction(group: &Group) {
    let mut writer = named(group);
    curtain();
    log_with_state(&mut writer, 0);
    returned(1);
    for first in [1, 4] {
        let mut transaction = writer.transaction();
        for number in first..first + 3 {
            transaction.log(&NUMBER, (number,)).unwrap();
        }
        transaction.set_state(&(first + 3).to_le_bytes()).unwrap();
        transaction.commit().unwrap();
        returned(first + 3);
    }
    end();
}

fn rollback(group: &Group) {
    let mut writer = named(group);
    log_with_state(&mut writer, 0);
    curtain();
    returned(1);
    let mut transaction = writer.transaction();
    for number in [70, 71] {
        transaction.log(&NUMBER, (number,)).unwrap();
    }
    transaction.set_state(&72u64.to_le_bytes()).unwrap();
    transaction.rollback();
    log_with_state(&mut writer, 1);
    returned(2);
    end();
}

fn batch(group: &Group) {
    let mut writer = named(group);
    log_with_state(&mut writer, 0);
    curtain();
    returned(1);
    let mut batch = writer.batch();
    for number in 1..4 {
        assert!(batch.log(&NUMBER, (number,)).unwrap());
    }
    batch.set_state(&4u64.to_le_bytes()).unwrap();
    batch.commit().unwrap();
    returned(4);
    end();
}

fn fragments(group: &Group) {
    let mut writer = named(group);
    log_with_state(&mut writer, 0);
    curtain();
    returned(1);
    let text = std::str::from_utf8(&TEXT).unwrap();
    writer.set_state(&2u64.to_le_bytes()).unwrap();
    writer.log(&LONG, (1, text)).unwrap();
    returned(2);
    log_with_state(&mut writer, 2);
    returned(3);
    end();
}

fn adopt(group: &Group) {
    curtain();
    let mut writer = named(group);
    let from = writer.recovered().map_or(0, |recovered| {
        u64::from_le_bytes(recovered.state[..].try_into().unwrap())
    });
    for number in from..from + 2 {
        log_with_state(&mut writer, number);
        returned(number + 1);
    }
    end();
}

/// Logs numbers until fewer than `left` bytes are free.
fn fill(writer: &mut Writer, left: u64) -> u64 {
    let mut next = 0;
    while writer.tail() + 16 + left <= CAPACITY {
        writer.log(&NUMBER, (next,)).unwrap();
        next += 1;
    }
    next
}

fn full(group: &Group) {
    let mut writer = group.writer().unwrap();
    let next = fill(&mut writer, 16);
    curtain();
    for number in next..next + 3 {
        returned(number);
        writer.log(&NUMBER, (number,)).unwrap();
    }
    returned(next + 3);
    end();
}

fn drops(group: &Group) {
    let mut writer = group.writer().unwrap();
    let next = fill(&mut writer, 16);
    curtain();
    for number in next..next + 6 {
        returned(number);
        writer.log(&NUMBER, (number,)).unwrap();
    }
    returned(next + 6);
    end();
}

fn close(group: &Group) {
    let mut writer = named(group);
    log_with_state(&mut writer, 0);
    curtain();
    returned(1);
    writer.close();
    end();
}
