//! Forks: the child leaves its parent's rings alone. A program of its own, since a fork copies every thread's mess.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used)]

use hog_ring::{Error, Group, GroupOptions, Resume, RingReader, Statement, Walk, Writer, ring_files, statement};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

static NUMBER: Statement<(u64,)> = statement!("number", "$0");

fn group() -> (TempDir, Group) {
    let shm = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let group = GroupOptions::new("g")
        .shm_dir(shm.path())
        .ring_size(64 << 10)
        .timestamps(false)
        .open()
        .unwrap();
    (shm, group)
}

/// Runs `child` in a forked child, which ends with status 0 if it returns true; the parent waits for that.
fn fork(child: impl FnOnce() -> bool) {
    // SAFETY: the child runs only `child` and `_exit`; the allocator that it uses is fork-safe in the C library.
    unsafe {
        match libc::fork() {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false);
                libc::_exit(i32::from(!good));
            }
            pid => {
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                assert!(
                    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
                    "the child ended with {status:#x}"
                );
            }
        }
    }
}

/// The numbers logged into each ring, by the ring's uuid.
fn rings(group: &Group) -> BTreeMap<uuid::Uuid, Vec<u64>> {
    let read = |path: &std::path::PathBuf| {
        let reader = RingReader::open(path).unwrap();
        let mut bytes = vec![0; usize::try_from(reader.tail(0).unwrap()).unwrap()];
        reader.copy(0, &mut bytes).unwrap();
        let records = Walk::new(&bytes).filter_map(|item| {
            let (_, header, payload) = item.unwrap();
            (header.kind == hog_ring::Kind::Record).then(|| u64::from_le_bytes(payload.try_into().unwrap()))
        });
        (reader.identity().uuid, records.collect())
    };
    ring_files(group.directory()).unwrap().iter().map(read).collect()
}

/// Held by each test: what another one's thread locks at the moment of a fork would stay locked in the child for ever.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn child_logs_into_a_ring_of_its_own() {
    let _alone = alone();
    let (_shm, group) = group();
    let mut writer = group.writer().unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let (parent, tail) = (writer.ring_uuid(), writer.tail());
    fork(|| {
        writer.log(&NUMBER, (2,)).is_ok()
            && writer.log(&NUMBER, (3,)).is_ok()
            && writer.ring_uuid() != parent
            && writer.drops() == (0, 0)
            && writer.synced() == 0
    });
    assert_eq!((writer.ring_uuid(), writer.tail()), (parent, tail));
    writer.log(&NUMBER, (4,)).unwrap();
    let mut found = rings(&group);
    assert_eq!(found.remove(&parent), Some(vec![1, 4]));
    assert_eq!(found.into_values().collect::<Vec<_>>(), [[2, 3]]);
}

#[test]
fn child_that_drops_a_writer_touches_nothing() {
    let _alone = alone();
    let (_shm, group) = group();
    let mut writer = group.writer().unwrap();
    writer.log(&NUMBER, (1,)).unwrap();
    let path = ring_files(group.directory()).unwrap().remove(0);
    let before = std::fs::read(&path).unwrap();
    let mut writer = Some(writer);
    fork(|| {
        writer.take();
        true
    });
    assert!(std::fs::read(&path).unwrap() == before);
    writer.as_mut().unwrap().log(&NUMBER, (2,)).unwrap();
    assert_eq!(rings(&group).into_values().collect::<Vec<_>>(), [[1, 2]]);
}

#[test]
fn child_cannot_go_on_with_a_named_ring_or_a_transaction() {
    let _alone = alone();
    let (_shm, group) = group();
    let mut named = group.named_writer("n", Resume::Auto).unwrap();
    let mut other = group.writer().unwrap();
    let mut transaction = other.transaction();
    transaction.log(&NUMBER, (1,)).unwrap();
    fork(|| {
        let refused = matches!(named.log(&NUMBER, (2,)), Err(Error::ForkedNamed { .. }));
        let held = matches!(group.named_writer("n", Resume::Auto), Err(Error::Held { .. }));
        refused && held && matches!(transaction.log(&NUMBER, (3,)), Err(Error::ForkedTransaction))
    });
    transaction.log(&NUMBER, (4,)).unwrap();
    transaction.commit().unwrap();
    let found = rings(&group);
    assert_eq!(found[&other.ring_uuid()], [1, 4]);
    assert_eq!(found[&named.ring_uuid()], [0; 0]);
}

#[test]
fn lock_does_not_outlive_the_owner_in_its_child() {
    let _alone = alone();
    let (_shm, group) = group();
    let mut pipe = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    fork(|| {
        let mut writer: Writer = group.named_writer("n", Resume::Auto).unwrap();
        writer.set_state(b"s").unwrap();
        writer.log(&NUMBER, (1,)).unwrap();
        // SAFETY: the grandchild only waits for its standard input of a pipe to end.
        unsafe {
            if libc::fork() == 0 {
                libc::close(pipe[1]);
                libc::read(pipe[0], [0_u8; 1].as_mut_ptr().cast(), 1);
                libc::_exit(0);
            }
        }
        std::mem::forget(writer); // As if killed: the ring is not closed.
        true
    });
    let heir = group.named_writer("n", Resume::Require);
    // SAFETY: descriptors of this test; closing the last writing end lets the grandchild go.
    unsafe {
        libc::close(pipe[1]);
        libc::close(pipe[0]);
    }
    assert_eq!(heir.unwrap().recovered().unwrap().state, b"s");
}

#[test]
fn children_forked_at_any_moment_do_not_keep_the_lock_of_a_ring_that_was_set_aside() {
    let _alone = alone();
    let (_shm, group) = group();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fork(|| {
                    std::thread::sleep(Duration::from_millis(2));
                    true
                });
            }
        });
        let unlinked = (0..300).try_for_each(|_| {
            drop(group.named_writer("n", Resume::Off)?);
            let reader = RingReader::open(&group.directory().join("n.ring"))?;
            drop(group.named_writer("n", Resume::Off)?);
            reader.unlink().map_err(Box::<dyn std::error::Error>::from)
        });
        done.store(true, Ordering::Relaxed); // before anything may panic here: the scope waits for the other
        unlinked.unwrap();
    });
}
