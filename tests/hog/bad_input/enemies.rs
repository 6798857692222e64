//! Rings whose owners write whatever they like into them, while a sender drains them: it costs those rings, and nobody else.
//!
//! An enemy has a ring of its own, in the group of the others, and writes into its file while it is mapped: bytes change while they are read,
//! positions jump, owners come and go, the file shrinks and grows. Each goes on until the records of all others have arrived; one whose ring was given
//! up takes another, a few times.

use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until};
use hog_ring::record::{Kind, first_word};
use hog_ring::{Group, GroupOptions, RingReader, Statement, Writer, layout, statement};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static COUNTED: Statement<(u64,)> = statement!("counted", "$number", number);

const CAPACITY: u64 = 64 << 10;
/// Rings that one enemy has, one after the other.
const RINGS_MAX: usize = 4;
/// More memory than a sender needs for all that happens here, in KiB.
const MEMORY_MAX: u64 = 400 << 10;
/// More lines than are said of one ring: that it was given up, and bad records at the first, second, fourth time and so on.
const LINES_FOR_A_RING: usize = 24;

/// One thing that an enemy does to its ring's file, again and again.
type Blow = fn(&File, &mut fastrand::Rng);

const ENEMIES: [(&str, Blow); 10] = [
    ("scribbles over its records", |ring, chance| {
        for _ in 0..64 {
            put(ring, DATA + (chance.u64(..CAPACITY) & !7), chance.u64(..));
        }
        forward(ring, chance.u64(1..=CAPACITY / 8) * 8);
    }),
    ("claims records of any kind and length", |ring, chance| {
        let tail = word(ring, layout::TAIL);
        put(ring, DATA + tail % CAPACITY, chance.u64(..) & 0xffff_ffff | 1 << 32);
        forward(ring, chance.u64(1..64) * 8);
    }),
    ("is adopted all the time", |ring, chance| {
        let born = [0, 1, chance.u64(..), u64::MAX][chance.usize(..4)];
        append(ring, first_word(Kind::Abort, 16, 0), 1, &born.to_le_bytes());
    }),
    ("defines nonsense", |ring, chance| {
        let definition: Vec<u8> = (0..chance.usize(..200) * 8).map(|_| chance.u8(..3)).collect();
        let id = chance.u32(1..);
        append(ring, first_word(Kind::Stmt, 8 + definition.len(), 0), id, &definition);
    }),
    ("begins transactions and fragments", |ring, chance| {
        let kind = [Kind::Record, Kind::Fragment][chance.usize(..2)];
        let more = if kind == Kind::Record { layout::MORE } else { 0 };
        append(ring, first_word(kind, 72, more), chance.u32(..4), &[7; 64]);
    }),
    ("moves its tail", |ring, chance| {
        put_word(
            ring,
            layout::TAIL,
            [0, 8, 4096, chance.u64(..CAPACITY), u64::MAX][chance.usize(..5)],
        );
    }),
    ("moves its head", |ring, chance| {
        put_word(ring, layout::HEAD, chance.u64(..));
        put_word(ring, layout::SYNCED, chance.u64(..));
        forward(ring, 8);
    }),
    ("changes its owner", |ring, chance| {
        // Nobody, nobody for good, the first process, one that never was.
        let owner = [0, u64::MAX, 1, (1 << 22) - 1, chance.u64(..)][chance.usize(..5)];
        put_word(ring, layout::OWNER, owner);
        append(ring, first_word(Kind::Record, 16, 0), 1, &[1; 8]);
    }),
    ("changes its header", |ring, chance| {
        let _ = ring.write_all_at(&chance.u64(..).to_le_bytes(), chance.u64(..layout::IDENTITY_LEN as u64));
        for offset in [
            layout::OWNER_NAMESPACE,
            layout::ADOPTED,
            layout::STATEMENT_HIGHEST,
            layout::DROPPED_BYTES,
        ] {
            put_word(ring, offset, chance.u64(..));
        }
        append(ring, first_word(Kind::Record, 16, 0), 1, &[1; 8]);
    }),
    ("cuts its file", |ring, chance| {
        let _ = ring.set_len([0, 4096, layout::HEADER_AREA as u64, DATA + CAPACITY][chance.usize(..4)]);
    }),
];

const DATA: u64 = layout::HEADER_AREA as u64;

fn put(ring: &File, at: u64, value: u64) {
    let _ = ring.write_all_at(&value.to_le_bytes(), at);
}

fn put_word(ring: &File, offset: usize, value: u64) {
    put(ring, offset as u64, value);
}

fn word(ring: &File, offset: usize) -> u64 {
    let mut bytes = [0; 8];
    let _ = ring.read_exact_at(&mut bytes, offset as u64); // it may be cut
    u64::from_le_bytes(bytes)
}

/// Moves the tail on, as far as the reader allows.
fn forward(ring: &File, bytes: u64) {
    let (head, tail) = (word(ring, layout::HEAD), word(ring, layout::TAIL));
    put_word(
        ring,
        layout::TAIL,
        tail.wrapping_add(bytes).min(head.wrapping_add(CAPACITY)),
    );
}

/// Publishes a record, if there is room for it.
fn append(ring: &File, first: u32, statement: u32, payload: &[u8]) {
    let (head, tail) = (word(ring, layout::HEAD), word(ring, layout::TAIL));
    let end = tail.wrapping_add(8 + payload.len() as u64);
    if end.wrapping_sub(head) > CAPACITY {
        return;
    }
    let words = [&first.to_le_bytes(), &statement.to_le_bytes(), payload].concat();
    for (at, chunk) in (tail..).step_by(8).zip(words.chunks(8)) {
        let _ = ring.write_all_at(chunk, DATA + at % CAPACITY);
    }
    put_word(ring, layout::TAIL, end);
}

/// A ring of `group` that is sound so far.
fn new_ring(group: &Group) -> (Writer, PathBuf) {
    let mut writer = group.writer().unwrap();
    writer.log(&COUNTED, (1,)).unwrap();
    let path = group.directory().join(format!("{}.ring", writer.ring_uuid()));
    (writer, path)
}

/// Strikes until `peace`, and says in `places` which rings it had.
fn fight(group: &Group, blow: Blow, chance: &mut fastrand::Rng, peace: &AtomicBool, blows: &AtomicU64) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for _ in 0..RINGS_MAX {
        let (writer, path) = new_ring(group);
        let ring = File::options().read(true).write(true).open(&path).unwrap();
        places.push(path);
        while !peace.load(Ordering::Relaxed) && word(&ring, layout::CONDEMNED) & 0xffff_ffff == 0 {
            blow(&ring, chance);
            blows.fetch_add(1, Ordering::Relaxed);
            if chance.u8(..) == 0 {
                std::thread::yield_now();
            }
        }
        // Its memory may be gone, and its lock is not given up: whoever has a ring keeps it.
        std::mem::forget(writer);
        if peace.load(Ordering::Relaxed) {
            break;
        }
    }
    places
}

/// That the lines of `log` are in `archive`, whatever else is.
fn has_arrived(scene: &Scene, archive: &Path, log: &Path, bytes: &[u8]) -> bool {
    let arguments = ["cat", "--format=raw", "--source"].map(std::ffi::OsStr::new);
    let output = scene.run(
        "cat",
        &[&arguments[..], &[log.as_os_str(), archive.as_os_str()]].concat(),
    );
    assert!(matches!(output.code, Some(0 | 4 | 5)), "{}", output.words);
    assert!(!output.words.contains("panicked"), "{}", output.words);
    assert!(bytes.starts_with(&output.output), "other lines than were logged");
    output.output == bytes
}

fn assert_calm(sender: &mut Process, places: &[PathBuf]) {
    let words = sender.words();
    assert!(
        sender.is_running() && !words.contains("panicked") && !words.contains("anew"),
        "{words}"
    );
    for place in places {
        let name = place.file_stem().unwrap().to_str().unwrap();
        let lines = words.lines().filter(|line| line.contains(name)).count();
        assert!(lines <= LINES_FOR_A_RING, "{lines} lines of {name}: {words}");
    }
    assert!(sender.peak_kib() < MEMORY_MAX, "{} KiB", sender.peak_kib());
}

#[test]
fn what_enemies_write_into_their_rings_costs_no_other_ring_of_the_group() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let logs: Vec<(PathBuf, Vec<u8>)> = (0..3)
        .map(|number| {
            let bytes = scene.lines(1_200_000); // more than a ring holds
            (scene.file(&format!("sound-{number}.log"), &bytes), bytes)
        })
        .collect();
    let options = || GroupOptions::new(GROUP).shm_dir(scene.shm_dir()).ring_size(CAPACITY);
    let group = options().open().unwrap();
    let (peace, blows) = (AtomicBool::new(false), AtomicU64::new(0));
    let places = std::thread::scope(|scope| {
        let enemies: Vec<_> = ENEMIES
            .iter()
            .map(|(_, blow)| {
                let mut chance = scene.draw(fastrand::Rng::fork);
                let (group, peace, blows) = (&group, &peace, &blows);
                scope.spawn(move || fight(group, *blow, &mut chance, peace, blows))
            })
            .collect();
        wait_until("all enemies fight", || blows.load(Ordering::Relaxed) > 10_000);
        let engines: Vec<_> = logs.iter().map(|(log, _)| scene.engine(&[log])).collect();
        engines.into_iter().for_each(Process::succeed);
        for (log, bytes) in &logs {
            wait_until(&format!("{} has arrived", log.display()), || {
                has_arrived(&scene, &receiver.archive, log, bytes)
            });
        }
        peace.store(true, Ordering::Relaxed);
        let places = enemies.into_iter().map(|enemy| enemy.join().unwrap());
        places.collect::<Vec<_>>()
    });
    let places: Vec<_> = places.concat();
    assert!(places.len() > ENEMIES.len(), "some were given up: {places:?}");
    assert_calm(&mut sender, &places);

    // What they left does not keep the next sender from its work.
    sender.kill();
    let mut sender = scene.sender(&[&receiver.address]);
    let bytes = scene.lines(1 << 20);
    let log = scene.file("after.log", &bytes);
    scene.log(&[&log]);
    wait_until("what was logged after that has arrived", || {
        has_arrived(&scene, &receiver.archive, &log, &bytes)
    });
    assert_calm(&mut sender, &places);
    sender.terminate();
    sender.succeed();
}

/// The same of a reader alone, whose every step meets bytes that change: it says what is wrong, and neither dies nor believes.
#[test]
fn a_reader_of_an_enemys_ring_takes_whole_records_or_gives_it_up() {
    let scene = Scene::new();
    let group = GroupOptions::new(GROUP)
        .shm_dir(scene.shm_dir())
        .ring_size(CAPACITY)
        .open()
        .unwrap();
    for (name, blow) in ENEMIES {
        let (_writer, path) = new_ring(&group);
        let ring = File::options().read(true).write(true).open(&path).unwrap();
        let mut reader = RingReader::open(&path).unwrap();
        let (peace, mut chance) = (AtomicBool::new(false), scene.draw(fastrand::Rng::fork));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !peace.load(Ordering::Relaxed) {
                    blow(&ring, &mut chance);
                }
            });
            let (mut position, mut taken) = (0, 0);
            for _ in 0..20_000 {
                let Ok(tail) = reader.tail(position) else { break };
                assert!(tail - position <= CAPACITY, "{name}");
                let mut bytes = vec![0; usize::try_from(tail - position).unwrap()];
                if reader.copy(position, &mut bytes).is_err() {
                    break;
                }
                let cut = hog_ring::cut(&bytes, true, CAPACITY);
                let walked = hog_ring::Walk::new(&bytes[..cut.len]).map(Result::unwrap).count();
                assert_eq!(walked as u64, cut.records, "{name}");
                taken += cut.records;
                position = tail;
                reader.advance(position);
                let _ = (
                    reader.liveness(),
                    reader.is_adoptable(),
                    reader.state(),
                    reader.sound_head(),
                );
            }
            println!("{name}: {taken} records up to {position}");
            peace.store(true, Ordering::Relaxed);
        });
        std::mem::forget(_writer);
        std::fs::remove_file(&path).unwrap();
    }
}
