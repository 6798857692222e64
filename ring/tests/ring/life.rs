//! What a reader finds out about a ring and its owner, and what it does not believe.

use crate::scene::{NUMBER, SMALLEST, Scene, drain, group_of_parent, wait_until};
use hog_ring::layout::{CONDEMNED, HEAD, HEADER_AREA, IDENTITY_BOOT, IDENTITY_CRC, OWNER, OWNER_NAMESPACE, TAIL};
use hog_ring::owner::FoundLiving;
use hog_ring::{Condemnation, Error, Liveness, OpenError, OwnerWord, Resume, RingFault, RingReader};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn overwrite(ring: &Path, offset: usize, bytes: &[u8]) {
    File::options()
        .write(true)
        .open(ring)
        .unwrap()
        .write_all_at(bytes, offset as u64)
        .unwrap();
}

#[test]
#[ignore = "a role in the tests below"]
fn logs_once_and_stays() {
    let mut writer = group_of_parent().writer().unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    println!("logged");
    loop {
        std::thread::park();
    }
}

#[test]
fn killed_owner_is_dead_and_its_ring_can_be_retired() {
    let scene = Scene::new();
    let mut role = scene.spawn("life::logs_once_and_stays");
    role.line_with("logged");
    let mut reader = scene.reader();
    assert_eq!(
        (reader.liveness(), reader.owner().pid()),
        (Liveness::Living, Some(role.child.id()))
    );
    role.child.kill().unwrap();
    // Dead before anyone has reaped it.
    wait_until("the owner is dead", || reader.liveness() == Liveness::Dead);
    role.kill();
    assert_eq!(RingReader::open(reader.path()).unwrap().liveness(), Liveness::Dead);
    assert!(!reader.is_adoptable());
    assert!(!reader.retire(OwnerWord::CLOSED));
    assert!(reader.retire(reader.owner()));
    assert_eq!(reader.liveness(), Liveness::Retired);
    reader.unlink().unwrap();
    assert!(scene.rings().is_empty());
}

#[test]
fn who_was_found_living_is_asked_after_once_in_a_walk_and_again_in_the_next() {
    let scene = Scene::new();
    let mut role = scene.spawn("life::logs_once_and_stays");
    role.line_with("logged");
    let mut readers = [scene.reader(), scene.reader()];
    let mut first = FoundLiving::default();
    for reader in &mut readers {
        assert_eq!(reader.liveness_unless_found(&mut first), Liveness::Living);
    }
    let mut found = FoundLiving::default();
    assert_eq!(readers[0].liveness_unless_found(&mut found), Liveness::Living);
    role.kill();
    assert_eq!(readers[1].liveness_unless_found(&mut found), Liveness::Living);
    assert_eq!(
        scene.reader().liveness_unless_found(&mut found),
        Liveness::Dead,
        "it was not watched yet"
    );
    let mut next = FoundLiving::default();
    for reader in &mut readers {
        assert_eq!(reader.liveness_unless_found(&mut next), Liveness::Dead);
        assert_eq!(reader.liveness_unless_found(&mut next), Liveness::Dead);
    }
}

#[test]
fn what_a_lock_tells_is_asked_each_time() {
    let scene = Scene::new();
    let mut role = scene.spawn("life::logs_once_and_stays");
    role.line_with("logged");
    let mut reader = scene.reader();
    overwrite(reader.path(), OWNER_NAMESPACE, &1_u64.to_le_bytes());
    let mut found = FoundLiving::default();
    assert_eq!(reader.liveness_unless_found(&mut found), Liveness::Living);
    role.kill();
    assert_eq!(reader.liveness_unless_found(&mut found), Liveness::Dead);
}

#[test]
fn owner_of_another_pid_namespace_is_judged_by_its_lock() {
    let scene = Scene::new();
    let mut role = scene.spawn("life::logs_once_and_stays");
    role.line_with("logged");
    let mut reader = scene.reader();
    overwrite(reader.path(), OWNER_NAMESPACE, &1_u64.to_le_bytes());
    // A pid that names nobody here, as pids of other namespaces may.
    overwrite(reader.path(), OWNER, &(7_u64 << 22 | 0x003f_ffff).to_le_bytes());
    assert_eq!(reader.liveness(), Liveness::Living);
    role.kill();
    assert_eq!(reader.liveness(), Liveness::Dead);
}

#[test]
fn pid_given_out_again_is_not_the_owner() {
    let scene = Scene::new();
    let writer = scene.group().writer().unwrap();
    let mut reader = scene.reader();
    assert_eq!(reader.liveness(), Liveness::Living);
    let owner = u64::from(std::process::id()) | 1 << 22;
    overwrite(reader.path(), OWNER, &owner.to_le_bytes());
    assert_eq!(reader.liveness(), Liveness::Dead);
    drop(writer);
}

#[test]
fn closed_ring_says_so() {
    let scene = Scene::new();
    let writer = scene.group().writer().unwrap();
    let mut reader = scene.reader();
    writer.close();
    assert_eq!(
        (reader.liveness(), reader.owner()),
        (Liveness::Closed, OwnerWord::CLOSED)
    );
}

#[test]
fn changes_ring_the_doorbell() {
    let scene = Scene::new();
    let group = scene.group();
    let doorbell = hog_ring::Doorbell::open(group.directory()).unwrap();
    let before = doorbell.changes();
    let mut writer = group.named_writer("n", Resume::Auto).unwrap();
    assert_eq!(doorbell.changes(), before + 1);
    writer.set_state(b"s").unwrap();
    doorbell.prepare_sleep();
    writer.log(&NUMBER, (1,)).unwrap();
    doorbell.sleep(crate::scene::PATIENCE);
    drop(writer);
    assert_eq!(doorbell.changes(), before + 2);
    let _heir = group.named_writer("n", Resume::Require).unwrap();
    assert_eq!(doorbell.changes(), before + 3);
}

#[test]
fn wild_tail_is_not_believed() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let reader = scene.reader();
    let position = reader.tail(0).unwrap();
    for tail in [position - 8, position + 4, position + SMALLEST + 8, u64::MAX] {
        overwrite(reader.path(), TAIL, &tail.to_le_bytes());
        assert_eq!(reader.tail(position), Err(RingFault::Wild { tail, position }));
    }
}

#[test]
fn tail_that_moves_back_is_not_believed() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    (0..9).for_each(|number| writer.log(&NUMBER, (number,)).unwrap());
    let seen = reader.tail(0).unwrap();
    overwrite(reader.path(), TAIL, &(seen - 16).to_le_bytes());
    let tail = seen - 16;
    assert_eq!(reader.tail(0), Err(RingFault::Backwards { tail, seen }));
    assert_eq!(reader.tail(8), Err(RingFault::Backwards { tail, seen }));
}

#[test]
fn head_that_cannot_be_one_is_not_gone_on_from() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let reader = scene.reader();
    let tail = reader.tail(0).unwrap();
    for (head, sound) in [
        (0, true),
        (tail, true),
        (4, false),
        (tail + 8, false),
        (u64::MAX - 7, false),
    ] {
        overwrite(reader.path(), HEAD, &head.to_le_bytes());
        let expected = if sound {
            Ok(head)
        } else {
            Err(RingFault::WildHead { head })
        };
        assert_eq!(reader.sound_head(), expected);
    }
    // Both in vain: no ring gets that far.
    overwrite(reader.path(), HEAD, &(1_u64 << 61).to_le_bytes());
    overwrite(reader.path(), TAIL, &(1_u64 << 61).to_le_bytes());
    assert_eq!(reader.sound_head(), Err(RingFault::WildHead { head: 1 << 61 }));
}

#[test]
fn wild_head_is_not_believed() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    writer.log(&NUMBER, (0,)).unwrap();
    overwrite(&scene.rings()[0], HEAD, &(1_u64 << 40).to_le_bytes());
    let error = loop {
        if let Err(error) = writer.log(&NUMBER, (1,)) {
            break error;
        }
    };
    assert!(matches!(error, Error::WildHead { .. }));
}

#[test]
fn shrunk_file_is_noticed() {
    let scene = Scene::new();
    let mut role = scene.spawn("life::logs_once_and_stays");
    role.line_with("logged");
    let mut reader = scene.reader();
    let file = File::options().write(true).open(reader.path()).unwrap();
    role.kill();
    file.set_len(HEADER_AREA as u64).unwrap();
    let tail = reader.tail(0).unwrap();
    let mut bytes = vec![1; usize::try_from(tail).unwrap()];
    assert_eq!(reader.copy(0, &mut bytes), Err(RingFault::Shrunk));
    reader.condemn(Condemnation::Shrunk);
    assert!(RingReader::open(reader.path()).is_err());

    file.set_len(0).unwrap();
    assert_eq!(reader.tail(0), Err(RingFault::Shrunk));
    // Whatever else is asked, the process survives.
    let _ = (reader.liveness(), reader.drops(), reader.is_adoptable(), reader.head());
    reader.advance(8);
    reader.unlink().unwrap();
}

#[test]
fn condemned_ring_fails_its_producer() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let reader = scene.reader();
    reader.condemn(Condemnation::Header);
    reader.condemn(Condemnation::Shrunk);
    assert!(reader.is_condemned());
    assert!(matches!(
        writer.log(&NUMBER, (2,)),
        Err(Error::Condemned { reason: 1, .. })
    ));
    let mut transaction = writer.transaction();
    assert!(transaction.log(&NUMBER, (2,)).is_err());
}

#[test]
fn waiting_producer_learns_that_its_ring_is_condemned() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let logging = std::thread::spawn(move || (0..).find_map(|number| writer.log(&NUMBER, (number,)).err()).unwrap());
    wait_until("the ring is full", || reader.tail(0).unwrap() > SMALLEST - 32);
    reader.condemn(Condemnation::Header);
    assert!(matches!(logging.join().unwrap(), Error::Condemned { .. }));
}

#[test]
fn condemned_ring_is_not_adopted() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    writer.set_state(b"s").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    drop(writer);
    overwrite(&scene.rings()[0], CONDEMNED, &1_u32.to_le_bytes());
    assert!(matches!(
        scene.group().named_writer("n", Resume::Require),
        Err(Error::NothingToResume { .. })
    ));
    assert_eq!(scene.group().named_writer("n", Resume::Auto).unwrap().recovered(), None);
}

#[test]
fn file_that_is_no_ring_of_this_boot_is_not_opened() {
    let scene = Scene::new();
    let _writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    let path = &scene.rings()[0];
    let mut identity = std::fs::read(path).unwrap()[..IDENTITY_CRC].to_vec();
    identity[IDENTITY_BOOT] ^= 1;
    overwrite(path, 0, &identity);
    assert!(matches!(RingReader::open(path), Err(OpenError::NotARing { .. })));
    overwrite(path, IDENTITY_CRC, &crc32c::crc32c(&identity).to_le_bytes());
    let Err(OpenError::OtherBoot { identity, .. }) = RingReader::open(path) else {
        panic!("opened")
    };
    assert_eq!(identity.name, "n");
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(HEADER_AREA as u64 + SMALLEST - 4096)
        .unwrap();
    assert!(matches!(RingReader::open(path), Err(OpenError::NotARing { .. })));
    let missing = RingReader::open(Path::new("/dev/shm/hog-test-no-such-ring")).unwrap_err();
    assert!(matches!(missing, OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound));
}

#[test]
fn ring_of_another_boot_gives_its_name_up() {
    let scene = Scene::new();
    let mut writer = scene.group().named_writer("n", Resume::Auto).unwrap();
    writer.set_state(b"s").unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    drop(writer);
    let path = &scene.rings()[0];
    let mut identity = std::fs::read(path).unwrap()[..IDENTITY_CRC].to_vec();
    identity[IDENTITY_BOOT] ^= 1;
    overwrite(path, 0, &identity);
    overwrite(path, IDENTITY_CRC, &crc32c::crc32c(&identity).to_le_bytes());
    assert_eq!(scene.group().named_writer("n", Resume::Auto).unwrap().recovered(), None);
    assert_eq!(scene.rings().len(), 2);
}

#[test]
fn synced_position_reaches_the_producer_and_never_falls() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let reader = scene.reader();
    let mut position = 0;
    drain(&reader, &mut position);
    reader.publish_synced(position);
    reader.publish_synced(8);
    reader.advance(8);
    assert_eq!((writer.synced(), reader.head()), (position, position));
}
