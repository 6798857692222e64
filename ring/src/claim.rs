//! How a writer comes by its ring: it makes a new one, or takes over the one that an earlier run left under its name.
//!
//! A new ring is whole before it has its name: the file gets its size (a full tmpfs says so here, not by SIGBUS in the
//! middle of a record), its lock, its identity and its owner, and only then is renamed, never over another.
//!
//! An existing ring is judged under its lock, which its owner keeps for life, and with its path looked at again, since
//! until the lock was had the name could have become another file's. What can be resumed is adopted by swapping
//! the owner word from CLOSED or a proven dead process; whoever loses that swap begins anew. What cannot be resumed is
//! retired, and renamed to its uuid; there the drainer finds it and takes what it still holds.

use crate::cursor::{Cursor, WhenFull};
use crate::error::{Error, io_error};
use crate::fork::HeldFile;
use crate::group::{Group, Resume, UNBORN, rename_new};
use crate::header::{self, Identity};
use crate::layout::{ADOPTED, CONDEMNED, HEAD, HEADER_AREA, OWNER, OWNER_NAMESPACE, STATE_COPIES, TAIL};
use crate::limits::POSITION_END;
use crate::owner::{self, Liveness, OwnerWord, Watch};
use crate::shm::{Mapping, RingMemory};
use crate::simulation::{self, new_uuid, point};
use crate::state::{self, COPY_MAX, Choice};
use crate::{mutant, sys};
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long to wait for a lock whose holder is not a living owner: another heir, or a drainer that removes the file.
const CONTENDED: Duration = Duration::from_millis(500);

/// What an heir found of the state that the ring's last run published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The state.
    pub state: Vec<u8>,
    /// What was published when the ring was taken over: the position up to which that state holds.
    pub tail: u64,
    /// When the ring was taken over: CLOCK_BOOTTIME, ns.
    pub adopted: u64,
}

/// A ring that this process owns.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) cursor: Cursor,
    pub(crate) file: HeldFile,
    pub(crate) identity: Identity,
    pub(crate) owner: OwnerWord,
    pub(crate) recovered: Option<Recovered>,
}

/// Makes an unnamed ring.
pub(crate) fn unnamed(group: &Group) -> Result<Claim, Error> {
    let uuid = new_uuid();
    let path = group.directory().join(format!("{uuid}.ring"));
    match create(group, uuid, producer_name(), false, &path)? {
        Some(claim) => Ok(claim),
        None => Err(io_error("name the new ring", &path)(Errno::EXIST)),
    }
}

/// This program and process, as something to tell unnamed rings apart by.
fn producer_name() -> String {
    if let Some(pid) = simulation::pid() {
        return format!("simulated.{pid}");
    }
    let program = std::env::current_exe().ok();
    let program = program
        .as_deref()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let plain = |symbol: char| {
        if symbol.is_ascii_alphanumeric() || "_-".contains(symbol) {
            symbol
        } else {
            '_'
        }
    };
    let program: String = program.unwrap_or_default().chars().map(plain).take(48).collect();
    format!(
        "{}.{}",
        if program.is_empty() { "unknown" } else { &program },
        std::process::id()
    )
}

/// Makes a ring at `path`. `None`: that name was taken meanwhile.
fn create(group: &Group, uuid: Uuid, name: String, named: bool, path: &Path) -> Result<Option<Claim>, Error> {
    let temporary = group.directory().join(format!(".{uuid}.{UNBORN}"));
    let outcome = create_as(group, uuid, name, named, &temporary, path);
    if !matches!(outcome, Ok(Some(_))) {
        // Nobody else knows it; if it cannot be removed, it is memory that stays taken until someone looks.
        let _ = rustix::fs::unlink(&temporary);
    }
    let claim = outcome?;
    if claim.is_some() {
        point();
        group.doorbell().announce_change();
    }
    Ok(claim)
}

fn create_as(
    group: &Group,
    uuid: Uuid,
    name: String,
    named: bool,
    temporary: &Path,
    path: &Path,
) -> Result<Option<Claim>, Error> {
    let options = group.options();
    let identity = Identity {
        uuid,
        boot: owner::boot_id().map_err(io_error("read", Path::new("/proc/sys/kernel/random/boot_id")))?,
        created: owner::boottime_ns(),
        capacity: options.ring_size,
        name,
        named,
        unreliable: options.unreliable,
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file: File = rustix::fs::open(temporary, flags, Mode::RUSR | Mode::WUSR)
        .map_err(io_error("make", temporary))?
        .into();
    point();
    if !sys::try_lock(&file).map_err(io_error("lock", temporary))? {
        return Err(io_error("lock", temporary)(Errno::AGAIN));
    }
    let bytes = HEADER_AREA as u64 + options.ring_size;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        Err(Errno::NOSPC) => {
            return Err(Error::ShmFull {
                path: group.directory().to_owned(),
                bytes,
            });
        }
        Err(error) => return Err(io_error("size", temporary)(error)),
    }
    if let Some(group) = options.shm_group {
        group.share_file(&file, temporary)?;
    }
    point();
    file.write_all_at(&identity.encode(), 0)
        .map_err(io_error("write", temporary))?;
    point();
    let owner = OwnerWord::of_this_process().map_err(io_error("read", Path::new("/proc/self/stat")))?;
    let memory = RingMemory::new(&file, identity.capacity).map_err(io_error("map", temporary))?;
    memory.word64(OWNER_NAMESPACE).store(namespace()?, Ordering::Relaxed);
    point();
    // Release: pairs with OwnerWord::load. Nobody can look yet, but the order is the same everywhere.
    memory.word64(OWNER).store(owner.0, Ordering::Release);
    let file = hold(file, path)?;
    point();
    if !rename_new(temporary, path)? {
        return Ok(None);
    }
    let cursor = cursor(group, memory, path, None);
    Ok(Some(Claim {
        cursor,
        file,
        identity,
        owner,
        recovered: None,
    }))
}

fn cursor(group: &Group, memory: RingMemory, path: &Path, state: Option<state::Memory>) -> Cursor {
    let options = group.options();
    let when_full = WhenFull {
        unreliable: options.unreliable,
        stop: options.stop.clone(),
        waits: options.waits.clone(),
    };
    Cursor::new(memory, group.doorbell().clone(), path.to_owned(), when_full, state)
}

fn namespace() -> Result<u64, Error> {
    owner::pid_namespace().map_err(io_error("look at", Path::new("/proc/self/ns/pid")))
}

fn hold(file: File, path: &Path) -> Result<HeldFile, Error> {
    HeldFile::new(file)
        .map_err(io_error("watch for forks", path))?
        .ok_or(Error::TooManyRings)
}

/// Makes or takes over the ring `name`.
pub(crate) fn named(group: &Group, name: &str, resume: Resume) -> Result<Claim, Error> {
    let path = group.directory().join(format!("{name}.ring"));
    let deadline = Instant::now() + CONTENDED;
    loop {
        let Some(file) = open(&path)? else {
            if resume == Resume::Require {
                return Err(Error::NothingToResume { name: name.to_owned() });
            }
            match create(group, new_uuid(), name.to_owned(), true, &path)? {
                Some(claim) => return Ok(claim),
                None => continue, // Another process made one first; judge that.
            }
        };
        let patience_is_over = Instant::now() >= deadline || simulation::is_on();
        match judge(group, name, resume, &path, file, patience_is_over)? {
            Judgement::Mine(claim) => return Ok(*claim),
            Judgement::Again => {}
            Judgement::Later => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// What to do about a ring found under the wanted name.
enum Judgement {
    /// It is adopted.
    Mine(Box<Claim>),
    /// The name is free now, or another file's: look again.
    Again,
    /// Someone has the lock for a moment: look again soon.
    Later,
}

fn judge(
    group: &Group,
    name: &str,
    resume: Resume,
    path: &Path,
    file: File,
    patience_is_over: bool,
) -> Result<Judgement, Error> {
    let not_a_ring = |source| Error::NotARing {
        path: path.to_owned(),
        source,
    };
    let identity = header::identify(&file)
        .map_err(io_error("read", path))?
        .map_err(not_a_ring)?;
    let ring = Mapping::of_reader(&file, identity.capacity).map_err(io_error("map", path))?;
    if !sys::try_lock(&file).map_err(io_error("lock", path))? {
        let owner = OwnerWord::load(&ring);
        // Asked before a lock of our own could be mistaken for a sign of life.
        let lives = Watch::default().judge(&ring, &file) == Liveness::Living && owner.pid().is_some();
        return if lives || patience_is_over {
            Err(held(name, owner))
        } else {
            Ok(Judgement::Later)
        };
    }
    match judge_locked(group, name, resume, path, &file, &identity, &ring) {
        Ok(Some(seen)) => Ok(match adopt(group, identity, file, path, seen)? {
            Some(claim) => Judgement::Mine(Box::new(claim)),
            None => Judgement::Again,
        }),
        other => {
            // Explicitly, since a child forked at a bad moment may still share the open file description.
            let _ = sys::unlock(&file);
            other.map(|_| Judgement::Again)
        }
    }
}

/// The owner from whom to take the ring over, if it is to be resumed. Otherwise its name was freed, or is another file's now. The caller holds its lock.
fn judge_locked(
    group: &Group,
    name: &str,
    resume: Resume,
    path: &Path,
    file: &File,
    identity: &Identity,
    ring: &Mapping,
) -> Result<Option<OwnerWord>, Error> {
    if !is_at(file, path)? {
        return Ok(None);
    }
    let owner = OwnerWord::load(ring);
    let this_boot = owner::boot_id().map_err(io_error("read", Path::new("/proc/sys/kernel/random/boot_id")))?;
    // With the lock in our hands an owner of another pid namespace is dead; one of ours has to prove it.
    if identity.boot == this_boot && Watch::default().judge(ring, file) == Liveness::Living {
        return Err(held(name, owner));
    }
    let adoptable = identity.boot == this_boot && is_adoptable(identity, ring, owner);
    if adoptable && resume != Resume::Off {
        if let Some(group) = group.options().shm_group {
            group.share_file(file, path)?; // an earlier run did perhaps not
        }
        return Ok(Some(owner));
    }
    if resume == Resume::Require {
        return Err(Error::NothingToResume { name: name.to_owned() });
    }
    set_aside(group, identity, ring, path, owner)?;
    Ok(None)
}

fn held(name: &str, owner: OwnerWord) -> Error {
    Error::Held {
        name: name.to_owned(),
        pid: owner.pid().unwrap_or(0),
    }
}

/// `None`: there is no such file.
fn open(path: &Path) -> Result<Option<File>, Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(io_error("open", path)(error)),
    }
}

/// Whether `path` still names this very file.
fn is_at(file: &File, path: &Path) -> Result<bool, Error> {
    let ours = file.metadata().map_err(io_error("look at", path))?;
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok((found.st_dev, found.st_ino) == (ours.dev(), ours.ino())),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

fn is_adoptable(identity: &Identity, ring: &Mapping, owner: OwnerWord) -> bool {
    identity.named
        && owner != OwnerWord::RETIRED
        && ring.word32(CONDEMNED).load(Ordering::Relaxed) == 0
        && sound_tail(ring).is_some_and(|tail| read_state(ring, tail).is_some())
}

/// The published tail, if tail and head can be those of a ring.
fn sound_tail(ring: &Mapping) -> Option<u64> {
    // Acquire: pairs with the dead producer's Release in Cursor.
    let tail = ring.word64(TAIL).load(Ordering::Acquire);
    let head = ring.word64(HEAD).load(Ordering::Acquire);
    let is_sound = tail.is_multiple_of(8) && tail < POSITION_END && head <= tail && tail - head <= ring.capacity();
    is_sound.then_some(tail)
}

/// The resume state that holds at `tail`.
pub(crate) fn read_state(ring: &Mapping, tail: u64) -> Option<Choice> {
    let mut copies = [[0; COPY_MAX]; 2];
    for (copy, offset) in copies.iter_mut().zip(STATE_COPIES) {
        ring.copy_header(offset, copy);
    }
    state::choose([&copies[0], &copies[1]], tail)
}

/// Takes the ring over. `None`: a drainer retired it first.
fn adopt(group: &Group, identity: Identity, file: File, path: &Path, seen: OwnerWord) -> Result<Option<Claim>, Error> {
    let owner = OwnerWord::of_this_process().map_err(io_error("read", Path::new("/proc/self/stat")))?;
    let mut memory = RingMemory::new(&file, identity.capacity).map_err(io_error("map", path))?;
    let file = hold(file, path)?;
    memory.word64(OWNER_NAMESPACE).store(namespace()?, Ordering::Relaxed);
    point();
    let adopted = owner::boottime_ns();
    memory.word64(ADOPTED).store(adopted, Ordering::Relaxed);
    point();
    if !OwnerWord::swap(&memory, seen, owner) {
        return Ok(None);
    }
    point();
    // It was found sound under the lock, and its owner was dead. What is not so now was spoiled by a stranger.
    let found = sound_tail(&memory).and_then(|tail| Some((tail, read_state(&memory, tail)?)));
    let Some((tail, choice)) = found else {
        OwnerWord::swap(&memory, owner, OwnerWord::RETIRED);
        return Ok(None);
    };
    // Before any record: the copy for a position that the dead producer did not reach would hold once we reach it.
    if !mutant::on("stale-resume-copy") {
        memory.write_header(STATE_COPIES[choice.other()], &[0; COPY_MAX]);
    }
    point();
    let state = state::Memory::recovered(&choice);
    let cursor = cursor(group, memory, path, Some(state));
    group.doorbell().announce_change();
    let recovered = Some(Recovered {
        state: choice.state,
        tail,
        adopted,
    });
    Ok(Some(Claim {
        cursor,
        file,
        identity,
        owner,
        recovered,
    }))
}

/// Frees the wanted name: retires the ring that has it and renames it to its uuid. The caller holds its lock.
fn set_aside(group: &Group, identity: &Identity, ring: &Mapping, path: &Path, seen: OwnerWord) -> Result<(), Error> {
    if seen != OwnerWord::RETIRED && !OwnerWord::swap(ring, seen, OwnerWord::RETIRED) {
        return Ok(()); // A drainer was first; the caller looks again.
    }
    point();
    let aside: PathBuf = group.directory().join(format!("{}.ring", identity.uuid));
    if !rename_new(path, &aside)? {
        return Err(io_error("rename", path)(Errno::EXIST));
    }
    point();
    group.doorbell().announce_change();
    Ok(())
}
