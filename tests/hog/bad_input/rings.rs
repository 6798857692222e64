//! Rings that are not what they should be: what is wrong with one is said of that one, once, and the records of all others flow.

use crate::roles::{Finished, Process};
use crate::scene::{GROUP, Scene, wait_until};
use hog_ring::{GroupOptions, Statement, statement};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

static COUNTED: Statement<(u64,)> = statement!("counted", "$number", number);

/// Offsets of `docs/FORMATS.md`, section 1.
const UUID_AT: u64 = 16;
const BOOT_AT: u64 = 32;
const CREATED_AT: u64 = 48;
const CAPACITY_AT: u64 = 56;
const NAME_LEN_AT: u64 = 64;
const IDENTITY_CRC_AT: u64 = 136;
const TAIL_AT: u64 = 384;
const HEAD_AT: u64 = 512;
const DATA_AT: u64 = 65536;

/// How to spoil a ring that is whole.
type Spoil = fn(&File);

/// Writes into the identity of a ring, and its CRC anew: it is damaged on purpose.
fn forge(ring: &File, at: u64, bytes: &[u8]) {
    ring.write_all_at(bytes, at).unwrap();
    let mut identity = [0; 136];
    ring.read_exact_at(&mut identity, 0).unwrap();
    ring.write_all_at(&crc32c::crc32c(&identity).to_le_bytes(), IDENTITY_CRC_AT)
        .unwrap();
}

/// A ring that nobody has, with records that nobody has drained; `spoil` it.
fn spoilt_ring(scene: &Scene, name: &str, spoil: Spoil) -> PathBuf {
    let elsewhere = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let group = GroupOptions::new(GROUP).shm_dir(elsewhere.path()).open().unwrap();
    let mut writer = group.writer().unwrap();
    (0..1000).for_each(|number| writer.log(&COUNTED, (number,)).unwrap());
    drop(writer);
    let [ring] = &hog_ring::ring_files(group.directory()).unwrap()[..] else {
        panic!("one ring")
    };
    spoil(&File::options().read(true).write(true).open(ring).unwrap());
    let here = hog_ring::group_dir(scene.shm_dir(), GROUP).join(format!("{name}.ring"));
    std::fs::rename(ring, &here).unwrap();
    here
}

/// That `sender` has said one thing of each of `places`, and goes on saying nothing more of them.
fn assert_reported_once(sender: &mut Process, places: &[PathBuf]) {
    let reports = |sender: &Process, place: &Path| {
        let words = sender.words();
        words
            .lines()
            .filter(|line| line.contains(place.to_str().unwrap()))
            .count()
    };
    for place in places {
        wait_until(&format!("{} is reported", place.display()), || {
            reports(sender, place) > 0
        });
    }
    for place in places {
        assert_eq!(reports(sender, place), 1, "{}: {}", place.display(), sender.words());
    }
    assert!(
        sender.is_running() && !sender.words().contains("panicked"),
        "{}",
        sender.words()
    );
}

#[test]
fn files_that_are_no_sound_rings_are_reported_once_and_left_alone() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    scene.log(&[&scene.file("before.log", b"before\n")]); // makes the directory
    let spoils: [(&str, Spoil); 9] = [
        ("magic", |ring| ring.write_all_at(b"HOGRUNG3", 0).unwrap()),
        ("version", |ring| forge(ring, 8, &9_u32.to_le_bytes())),
        ("flipped", |ring| ring.write_all_at(&[0x5a], CAPACITY_AT).unwrap()),
        ("huge", |ring| forge(ring, CAPACITY_AT, &(1_u64 << 62).to_le_bytes())),
        ("odd", |ring| forge(ring, CAPACITY_AT, &100_000_u64.to_le_bytes())),
        ("longer-than-its-file", |ring| {
            forge(ring, CAPACITY_AT, &(64_u64 << 20).to_le_bytes());
        }),
        ("truncated", |ring| ring.set_len(70_000).unwrap()),
        ("name", |ring| forge(ring, NAME_LEN_AT, &[255])),
        ("other-boot", |ring| forge(ring, BOOT_AT, &[7; 16])),
    ];
    let mut places: Vec<PathBuf> = spoils
        .iter()
        .map(|(name, spoil)| spoilt_ring(&scene, name, *spoil))
        .collect();
    let beside = |name: &str| places[0].with_file_name(name);
    let (empty, directory, link) = (beside("empty.ring"), beside("directory.ring"), beside("link.ring"));
    std::fs::write(&empty, b"").unwrap();
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    places.extend([empty, directory, link]);

    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_acked();
    assert_reported_once(&mut sender, &places);
    scene.assert_arrived(&receiver, &[b"before\n", &bytes[..]].concat());
    for place in &places {
        assert!(place.symlink_metadata().is_ok(), "{} is gone", place.display());
    }
    let faults = scene.status().unwrap()["faults"].to_string();
    for place in &places {
        assert!(
            faults.contains(place.file_name().unwrap().to_str().unwrap()),
            "{}: {faults}",
            place.display()
        );
    }
}

/// An engine that has logged one line of its pipe and waits for another.
fn waiting_engine(scene: &Scene, name: &str, line: &[u8]) -> (Process, std::io::PipeWriter) {
    let (stdin, mut pipe) = std::io::pipe().unwrap();
    let arguments = scene.engine_arguments(GROUP, &[]);
    let engine = Process::start(scene.directory(), name, &arguments, stdin.into());
    pipe.write_all(line).unwrap();
    (engine, pipe)
}

/// A ring is spoilt while the drainer has it mapped and its producer lives. The producer's next line must not be taken for logged.
fn spoil_while_mapped(spoil: Spoil, producer_ends: fn(Finished)) {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let (mut engine, mut pipe) = waiting_engine(&scene, "producer", b"before\n");
    wait_until("the line is drained", || {
        let (tail, head) = scene.progress();
        tail > 0 && tail == head
    });
    let ring = scene.rings().remove(0);
    spoil(&File::options().read(true).write(true).open(&ring).unwrap());
    // Something to drain wakes the drainer.
    scene.log(&[&scene.file("sound.log", &bytes)]);
    wait_until("the ring is condemned", || sender.words().contains("condemned"));
    let words = sender.words();
    assert_eq!(
        words.lines().filter(|line| line.contains("condemned")).count(),
        1,
        "{words}"
    );
    assert!(sender.is_running() && engine.is_running());

    // The producer learns of it, and does not pretend to have logged.
    let _ = pipe.write_all(b"after\n");
    drop(pipe);
    producer_ends(engine.finish());

    scene.wait_acked();
    let cat = scene.run(
        "cat",
        &["cat".as_ref(), "--format=raw".as_ref(), receiver.archive.as_os_str()],
    );
    crate::arrived::assert_equal(&cat.output, &[b"before\n", &bytes[..]].concat());
    assert!(sender.is_running(), "{}", sender.words());
}

#[test]
fn a_ring_that_is_truncated_while_it_is_mapped_costs_itself_alone() {
    // Its producer writes to memory that is gone, which the kernel answers with SIGBUS.
    let by_signal = |finished: Finished| assert_eq!(finished.code, None, "{}", finished.words);
    spoil_while_mapped(|ring| ring.set_len(0).unwrap(), by_signal);
}

#[test]
fn a_ring_with_a_wild_tail_costs_itself_alone() {
    let with_words = |finished: Finished| finished.assert_refused(1, &["condemned", "positions make no sense"]);
    spoil_while_mapped(
        |ring| ring.write_all_at(&u64::MAX.to_le_bytes(), TAIL_AT).unwrap(),
        with_words,
    );
    spoil_while_mapped(
        |ring| ring.write_all_at(&0_u64.to_le_bytes(), TAIL_AT).unwrap(),
        with_words,
    );
}

#[test]
fn a_ring_with_a_wild_head_costs_itself_alone() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    scene.log(&[&scene.file("before.log", b"before\n")]);
    let heads: Vec<PathBuf> = [5, 1 << 20, 1 << 61, u64::MAX - 7, u64::MAX]
        .iter()
        .map(|head: &u64| {
            let ring = spoilt_ring(&scene, &format!("head-{head}"), |_| {});
            let file = File::options().write(true).open(&ring).unwrap();
            file.write_all_at(&head.to_le_bytes(), HEAD_AT).unwrap();
            ring
        })
        .collect();
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("sound.log", &bytes)]);
    wait_until("the rings are given up", || scene.rings().len() == 2);
    scene.wait_acked();
    assert_reported_once(&mut sender, &heads);
    assert_all_but_gaps_arrived(
        &scene,
        &receiver.archive,
        &[b"before\n", &bytes[..]].concat(),
        heads.len(),
    );
}

#[test]
fn a_ring_that_claims_to_be_nobodys_or_of_the_end_of_time_is_drained_like_any_other() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    scene.log(&[&scene.file("before.log", b"before\n")]);
    spoilt_ring(&scene, "nobody", |ring| forge(ring, UUID_AT, &[0; 16]));
    spoilt_ring(&scene, "future", |ring| {
        forge(ring, CREATED_AT, &u64::MAX.to_le_bytes());
    });
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("sound.log", &bytes)]);
    wait_until("the rings are drained", || scene.rings().len() == 2);
    scene.wait_acked();
    crate::arrived::assert_equal(&scene.raw(&receiver.archive), &[b"before\n", &bytes[..]].concat());
    let (streams, _) = scene.verify(&receiver.archive);
    assert_eq!(streams.len(), 4, "{streams:?}");
    assert!(
        sender.is_running() && !sender.words().contains("WARN"),
        "{}",
        sender.words()
    );
}

/// That the archive has the lines of `expected`, and says that it lacks `gaps` parts of other streams.
fn assert_all_but_gaps_arrived(scene: &Scene, archive: &Path, expected: &[u8], gaps: usize) {
    crate::arrived::assert_equal(&scene.raw_with_gaps(archive), expected);
    let verify = scene.run(
        "verify",
        &["verify".as_ref(), "--format=json".as_ref(), archive.as_os_str()],
    );
    assert_eq!(verify.code, Some(5), "{}", verify.words);
    let output = String::from_utf8(verify.output).unwrap();
    let total: serde_json::Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!(total["total"]["gaps"], gaps, "{total}");
}

#[test]
fn a_record_of_a_wild_length_costs_what_its_ring_holds_and_no_other() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    scene.log(&[&scene.file("before.log", b"before\n")]);
    let lengths = [0_u32, 1, 7, 1 << 25, (1 << 26) - 1];
    for length in lengths {
        let ring = spoilt_ring(&scene, &format!("length-{length}"), |_| {});
        let file = File::options().write(true).open(ring).unwrap();
        // Kind RECORD.
        file.write_all_at(&(length | 1 << 26).to_le_bytes(), DATA_AT).unwrap();
    }
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("sound.log", &bytes)]);
    wait_until("the rings are drained", || scene.rings().len() == 2);
    scene.wait_acked();
    assert_all_but_gaps_arrived(
        &scene,
        &receiver.archive,
        &[b"before\n", &bytes[..]].concat(),
        lengths.len(),
    );
    let words = sender.words();
    let reports = words.lines().filter(|line| line.contains("WARN")).count();
    assert!(sender.is_running() && reports == lengths.len(), "{words}");
}

#[test]
fn a_sender_that_drains_and_exits_does_not_wait_for_the_living_producer_of_a_condemned_ring() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let (_engine, _pipe) = waiting_engine(&scene, "producer", b"a line\n");
    wait_until("the line is logged", || scene.progress().0 > 0);
    let ring = File::options().write(true).open(scene.rings().remove(0)).unwrap();
    ring.write_all_at(&5_u64.to_le_bytes(), HEAD_AT).unwrap();
    let sender = scene.sender_with(&[GROUP], &[&receiver.address], &["--drain-and-exit"]);
    let finished = sender.finish();
    assert!(finished.words.contains("condemned"), "{}", finished.words);
}
