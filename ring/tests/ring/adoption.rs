//! Named rings: taken over by the next run, by one heir only, from the state that holds.

use crate::scene::{NUMBER, SMALLEST, Scene, TEXT, drain, group_of_parent, kinds, logged, numbers, records};
use hog_ring::layout::{STATE_COPIES, STATE_HEADER};
use hog_ring::limits::STATE_MAX;
use hog_ring::{Error, Kind, Liveness, OwnerWord, Resume, RingReader};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier};

/// A copy of the resume state, as the format document has it.
fn state_copy(tail: u64, state: &[u8]) -> Vec<u8> {
    let mut checked = u32::try_from(state.len()).unwrap().to_le_bytes().to_vec();
    checked.extend(tail.to_le_bytes());
    checked.extend(state);
    [&crc32c::crc32c(&checked).to_le_bytes()[..], &checked].concat()
}

fn read_copy(ring: &Path, copy: usize) -> Vec<u8> {
    let mut bytes = vec![0; STATE_HEADER + STATE_MAX];
    File::open(ring)
        .unwrap()
        .read_exact_at(&mut bytes, STATE_COPIES[copy] as u64)
        .unwrap();
    bytes
}

/// Which of the two copies has the greater tail.
fn newer_copy(ring: &Path) -> usize {
    let tail = |copy| u64::from_le_bytes(read_copy(ring, copy)[8..16].try_into().unwrap());
    usize::from(tail(1) > tail(0))
}

#[test]
fn heir_goes_on_with_the_state_and_with_ids_above_the_highest() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    assert_eq!(writer.recovered(), None);
    writer.set_state(b"one").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    writer.log(&TEXT, ("x",)).unwrap();
    let (uuid, tail) = (writer.ring_uuid(), writer.tail());
    writer.close();

    let mut heir = scene.group().named_writer("n", Resume::Auto).unwrap();
    let recovered = heir.recovered().unwrap();
    assert_eq!((recovered.state.as_slice(), recovered.tail), (&b"one"[..], tail));
    assert_eq!(heir.ring_uuid(), uuid);
    heir.log(&TEXT, ("y",)).unwrap();

    let reader = scene.reader();
    assert!(reader.adopted() >= reader.identity().created);
    let bytes = drain(&reader, &mut 0);
    let abort = &records(&bytes)[4].payload;
    assert_eq!(hog_ring::record::adoption_time(abort), Some(reader.adopted()));
    assert_eq!(kinds(&bytes)[4..], [Kind::Abort, Kind::Stmt, Kind::Record]);
    assert_eq!(
        records(&bytes)[4..]
            .iter()
            .map(|seen| seen.statement)
            .collect::<Vec<_>>(),
        [3, 3, 3]
    );
}

#[test]
fn heir_repeats_the_state_until_it_sets_its_own() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    writer.set_state(b"kept").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    for run in 0..3 {
        drop(writer);
        writer = scene.group().named_writer("n", Resume::Require).unwrap();
        assert_eq!(writer.recovered().unwrap().state, b"kept");
        (0..run).for_each(|number| writer.log(&NUMBER, (number,)).unwrap());
    }
}

#[test]
fn copy_above_the_tail_does_not_hold() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    for (number, state) in [b"one", b"two"].into_iter().enumerate() {
        writer.set_state(state).unwrap();
        writer.log(&NUMBER, (number as u64,)).unwrap();
    }
    let tail = writer.tail();
    drop(writer);
    // As if it had been killed between the copy for its next record and the tail.
    let path = &scene.rings()[0];
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(
        &state_copy(tail + 16, b"six"),
        STATE_COPIES[1 - newer_copy(path)] as u64,
    )
    .unwrap();

    let mut heir = scene.group().named_writer("n", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"two");
    heir.log(&NUMBER, (2,)).unwrap();
    assert!(heir.tail() > tail + 16);
    drop(heir);
    let heir = scene.group().named_writer("n", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"two");
}

#[test]
fn heir_overwrites_the_copy_it_did_not_choose() {
    let scene = Scene::new();
    let stop = Arc::new(AtomicBool::new(true));
    let group = scene.options().stop_flag(stop).open().unwrap();
    let mut writer = group.named_writer("n", Resume::Auto).unwrap();
    writer.set_state(b"held").unwrap();
    while writer.log(&NUMBER, (1,)).is_ok() {}
    let tail = writer.tail();
    drop(writer);
    let path = &scene.rings()[0];
    let other = 1 - newer_copy(path);
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&state_copy(tail + 8, b"stale"), STATE_COPIES[other] as u64)
        .unwrap();

    // The ring is full, so that the heir cannot publish anything that would overwrite the copy by the way.
    let heir = group.named_writer("n", Resume::Require).unwrap();
    assert_eq!(
        (heir.recovered().unwrap().state.as_slice(), heir.tail()),
        (&b"held"[..], tail)
    );
    assert!(read_copy(path, other).iter().all(|&byte| byte == 0));
}

#[test]
fn heir_of_a_full_ring_writes_abort_once_there_is_room() {
    let scene = Scene::new();
    let stop = Arc::new(AtomicBool::new(true));
    let group = scene.options().stop_flag(stop).open().unwrap();
    let mut writer = group.named_writer("n", Resume::Auto).unwrap();
    writer.set_state(b"s").unwrap();
    while writer.log(&NUMBER, (1,)).is_ok() {}
    drop(writer);
    let mut heir = group.named_writer("n", Resume::Require).unwrap();
    let reader = scene.reader();
    let mut position = 0;
    assert!(!kinds(&drain(&reader, &mut position)).contains(&Kind::Abort));
    heir.log(&NUMBER, (2,)).unwrap();
    assert_eq!(
        kinds(&drain(&reader, &mut position)),
        [Kind::Abort, Kind::Stmt, Kind::Record]
    );
}

#[test]
fn living_owner_keeps_its_ring() {
    let scene = Scene::new();
    let mut role = scene.spawn("adoption::holds_a_ring");
    role.line_with("holding");
    let held = scene.group().named_writer("held", Resume::Auto).unwrap_err();
    assert!(
        matches!(held, Error::Held { pid, .. } if pid == role.child.id()),
        "{held:?}"
    );
    role.kill();
    let heir = scene.group().named_writer("held", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, b"mine");
}

#[test]
#[ignore = "a role in the tests above"]
fn holds_a_ring() {
    let mut writer = group_of_parent().named_writer("held", Resume::Auto).unwrap();
    writer.set_state(b"mine").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    println!("holding");
    loop {
        std::thread::park();
    }
}

#[test]
fn of_two_heirs_one_has_the_ring() {
    let scene = Scene::new();
    let group = scene.group();
    let mut writer = group.named_writer("n", Resume::Auto).unwrap();
    writer.set_state(b"s").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    drop(writer);
    for _ in 0..20 {
        let start = Arc::new(Barrier::new(2));
        let heirs = [0, 1].map(|_| {
            let (group, start) = (group.clone(), start.clone());
            std::thread::spawn(move || {
                start.wait();
                group.named_writer("n", Resume::Auto)
            })
        });
        let mut outcomes = heirs.map(|heir| heir.join().unwrap());
        outcomes.sort_by_key(Result::is_err);
        let [Ok(heir), Err(Error::Held { pid, .. })] = &outcomes else {
            panic!("{outcomes:?}")
        };
        assert_eq!(
            (heir.recovered().unwrap().state.as_slice(), *pid),
            (&b"s"[..], std::process::id())
        );
    }
    assert_eq!(scene.rings().len(), 1);
}

#[test]
fn require_refuses_where_there_is_nothing_to_resume() {
    let scene = Scene::new();
    let group = scene.group();
    assert!(matches!(
        group.named_writer("n", Resume::Require),
        Err(Error::NothingToResume { .. })
    ));
    assert!(scene.rings().is_empty());
    group
        .named_writer("n", Resume::Auto)
        .unwrap()
        .log(&NUMBER, (1,))
        .unwrap();
    let before = std::fs::read(&scene.rings()[0]).unwrap();
    assert!(matches!(
        group.named_writer("n", Resume::Require),
        Err(Error::NothingToResume { .. })
    ));
    assert!(std::fs::read(&scene.rings()[0]).unwrap() == before);
}

#[test]
fn ring_without_state_is_retired_and_set_aside() {
    let scene = Scene::new();
    let mut first = scene.group().named_writer("n", Resume::Auto).unwrap();
    first.log(&NUMBER, (1,)).unwrap();
    let uuid = first.ring_uuid();
    drop(first);
    let second = scene.group().named_writer("n", Resume::Auto).unwrap();
    assert_ne!(second.ring_uuid(), uuid);
    let mut aside = RingReader::open(&scene.directory().join(format!("{uuid}.ring"))).unwrap();
    assert_eq!(
        (aside.liveness(), aside.owner()),
        (Liveness::Retired, OwnerWord::RETIRED)
    );
    assert_eq!(numbers(&logged(&drain(&aside, &mut 0))), [1]);
}

#[test]
fn resume_off_begins_anew_and_keeps_what_is_not_drained() {
    let scene = Scene::new();
    let mut first = scene.group().named_writer("n", Resume::Auto).unwrap();
    first.set_state(b"s").unwrap();
    first.log(&NUMBER, (1,)).unwrap();
    let uuid = first.ring_uuid();
    drop(first);
    let second = scene.group().named_writer("n", Resume::Off).unwrap();
    assert_eq!(second.recovered(), None);
    let mut aside = RingReader::open(&scene.directory().join(format!("{uuid}.ring"))).unwrap();
    assert_eq!(aside.liveness(), Liveness::Retired);
    assert_eq!(numbers(&logged(&drain(&aside, &mut 0))), [1]);
}

#[test]
fn ring_retired_under_its_name_gives_the_name_up() {
    let scene = Scene::new();
    let mut first = scene.group().named_writer("n", Resume::Auto).unwrap();
    first.set_state(b"s").unwrap();
    first.log(&NUMBER, (1,)).unwrap();
    drop(first);
    let reader = scene.reader();
    assert!(reader.is_adoptable() && reader.retire(OwnerWord::CLOSED));
    let second = scene.group().named_writer("n", Resume::Auto).unwrap();
    assert_eq!(second.recovered(), None);
    assert_eq!(scene.rings().len(), 2);
    // The reader still finds its file, under the ring's uuid, and removes that one alone.
    reader.unlink().unwrap();
    assert_eq!(scene.reader().identity().uuid, second.ring_uuid());
}

#[test]
fn heir_keeps_the_size_and_says_so() {
    let scene = Scene::new();
    let mut first = scene.group().named_writer("n", Resume::Auto).unwrap();
    assert!(!first.adopted_size_differs());
    first.set_state(b"s").unwrap();
    first.log(&NUMBER, (1,)).unwrap();
    drop(first);
    let group = scene.options().ring_size(2 * SMALLEST).open().unwrap();
    let heir = group.named_writer("n", Resume::Auto).unwrap();
    assert_eq!((heir.capacity(), heir.adopted_size_differs()), (SMALLEST, true));
}

#[test]
fn foreign_file_under_the_name_is_left_alone() {
    let scene = Scene::new();
    let path = scene.group().directory().join("n.ring");
    std::fs::write(&path, b"not a ring").unwrap();
    assert!(matches!(
        scene.group().named_writer("n", Resume::Auto),
        Err(Error::NotARing { .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"not a ring");
}

#[test]
fn state_that_is_too_long_is_refused() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    writer.set_state(&[1; STATE_MAX]).unwrap();
    assert!(matches!(
        writer.set_state(&[1; STATE_MAX + 1]),
        Err(Error::StateTooLong { .. })
    ));
    writer.log(&NUMBER, (1,)).unwrap();
    drop(writer);
    let heir = scene.group().named_writer("n", Resume::Require).unwrap();
    assert_eq!(heir.recovered().unwrap().state, [1; STATE_MAX]);
}
