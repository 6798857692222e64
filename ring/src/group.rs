//! Groups: where the rings of one log lie, and how a producer comes to write one.
//!
//! `<shm-dir>/hog/<group>/` must be on tmpfs: a ring on a disk's file system would be written to that disk again and again,
//! and its pages could fail. `hog` is shared by all users, like `/tmp`; a group's directory belongs to the user who came
//! first, and to a Unix group if that user said so (`share.rs`).

use crate::claim;
use crate::clock::Clock;
use crate::doorbell::Doorbell;
use crate::error::{Error, io_error};
use crate::header::is_group_name;
use crate::limits::{CAPACITY_DEFAULT, is_capacity};
use crate::share::ShmGroup;
use crate::simulation::{new_uuid, point};
use crate::sys;
use crate::writer::Writer;
use rustix::fs::{Access, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use thiserror::Error;

/// What the kernel calls tmpfs (`TMPFS_MAGIC`).
const TMPFS: u64 = 0x0102_1994;

/// What the name of a ring file ends in until the ring is whole.
pub(crate) const UNBORN: &str = "new";
/// Older than this, such a file with no lock on it is nobody's.
const UNBORN_AGE: Duration = Duration::from_secs(60);

/// Where rings lie unless told otherwise.
pub const SHM_DIR_DEFAULT: &str = "/dev/shm";

/// What a producer wants of its rings. Each setting has a default, and [`Group::open`] takes them all.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    pub(crate) group: String,
    pub(crate) shm_dir: PathBuf,
    pub(crate) ring_size: u64,
    pub(crate) unreliable: bool,
    pub(crate) timestamps: bool,
    pub(crate) kernel_clock: bool,
    pub(crate) stop: Option<Arc<AtomicBool>>,
    pub(crate) waits: Option<Arc<AtomicU64>>,
    pub(crate) shm_group: Option<ShmGroup>,
}

impl GroupOptions {
    /// The defaults, for a group of this name.
    #[must_use]
    pub fn new(group: &str) -> Self {
        GroupOptions {
            group: group.to_owned(),
            shm_dir: SHM_DIR_DEFAULT.into(),
            ring_size: CAPACITY_DEFAULT,
            unreliable: false,
            timestamps: true,
            kernel_clock: false,
            stop: None,
            waits: None,
            shm_group: None,
        }
    }

    /// The directory on tmpfs below which rings lie. Default `/dev/shm`.
    #[must_use]
    pub fn shm_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.shm_dir = path.into();
        self
    }

    /// Bytes of data in a new ring, a power of two from 64 KiB to 1 GiB. Default 1 MiB.
    #[must_use]
    pub fn ring_size(mut self, bytes: u64) -> Self {
        self.ring_size = bytes;
        self
    }

    /// Drop and count when a ring is full, instead of waiting.
    #[must_use]
    pub fn unreliable(mut self) -> Self {
        self.unreliable = true;
        self
    }

    /// Whether [`Writer::log`] stamps each record with the time, which costs as much as the rest of it. Default yes.
    #[must_use]
    pub fn timestamps(mut self, wanted: bool) -> Self {
        self.timestamps = wanted;
        self
    }

    /// Whether the kernel is asked for the time of each record. Default no: it is asked about once a millisecond, and the processor's counter says what has passed
    /// since, where the kernel itself keeps time by that counter and it runs evenly (an invariant TSC). That takes half the time.
    ///
    /// The price: times may be off the kernel's clock by a microsecond or two, and those of two writers from each other; a clock that is set
    /// is followed about a millisecond later. The times of one writer do not run backwards either way, unless the clock is set back.
    #[must_use]
    pub fn kernel_clock(mut self, wanted: bool) -> Self {
        self.kernel_clock = wanted;
        self
    }

    /// A flag that ends any wait for room with [`Error::Stopped`], within 100 ms of being raised.
    #[must_use]
    pub fn stop_flag(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }

    /// A count that rises at least every 100 ms while a call waits for room: who watches it can tell waiting from hanging.
    #[must_use]
    pub fn wait_count(mut self, count: Arc<AtomicU64>) -> Self {
        self.waits = Some(count);
        self
    }

    /// Shares the group's directory (mode 2770) and rings (0660) with a Unix group, so that a drainer that runs as another user
    /// of that group takes them. This process must be a member of it. Default: rings are their user's alone (0600).
    ///
    /// Members can spoil each other's records and even end each other's processes: choose a group for this purpose.
    #[must_use]
    pub fn shm_group(mut self, group: ShmGroup) -> Self {
        self.shm_group = Some(group);
        self
    }

    /// Finds or makes the group's directory and doorbell.
    ///
    /// # Errors
    /// A bad name or size; a directory that is not on tmpfs, cannot be made, or cannot be shared as asked for.
    pub fn open(self) -> Result<Group, Error> {
        if !is_group_name(&self.group) {
            return Err(Error::BadGroupName { name: self.group });
        }
        if !is_capacity(self.ring_size) {
            return Err(Error::BadRingSize { asked: self.ring_size });
        }
        match require_tmpfs(&self.shm_dir) {
            Ok(()) => {}
            Err(TmpfsError::NotTmpfs { path }) => return Err(Error::NotTmpfs { path }),
            Err(TmpfsError::Io { path, source }) => return Err(io_error("look at the file system of", &path)(source)),
        }
        let directory = group_dir(&self.shm_dir, &self.group);
        make_directories(&self.shm_dir, &directory, self.shm_group)?;
        remove_unborn(&directory);
        let doorbell = Doorbell::open_as(&directory, self.shm_group)?;
        Ok(Group {
            shared: Arc::new(Shared {
                counts_ticks: self.timestamps && !self.kernel_clock && sys::has_even_ticks(),
                options: self,
                directory,
                doorbell: Arc::new(doorbell),
            }),
        })
    }
}

/// A named log that this process writes to. Cheap to clone; every thread takes writers of its own from it.
#[derive(Clone, Debug)]
pub struct Group {
    shared: Arc<Shared>,
}

/// Never changed after it was made, so that a forked child can use it whatever other threads were doing.
#[derive(Debug)]
struct Shared {
    options: GroupOptions,
    /// Whether clocks go by the processor's ticks.
    counts_ticks: bool,
    directory: PathBuf,
    doorbell: Arc<Doorbell>,
}

/// What to do about a ring that an earlier run left under the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Take it over if it has a sound state, otherwise make a new one.
    #[default]
    Auto,
    /// Take it over, or fail with [`Error::NothingToResume`] and touch nothing.
    Require,
    /// Retire it, and make a new one. What it still holds is drained all the same.
    Off,
}

impl Group {
    /// Opens a group with the defaults: below `/dev/shm`, rings of 1 MiB, reliable, records stamped.
    ///
    /// # Errors
    /// As [`GroupOptions::open`].
    pub fn open(group: &str) -> Result<Group, Error> {
        GroupOptions::new(group).open()
    }

    /// A writer with a ring of its own, which nobody resumes. After a fork the child's first call makes it another.
    ///
    /// # Errors
    /// The ring cannot be made: [`Error::ShmFull`], [`Error::TooManyRings`] or what the kernel says.
    pub fn writer(&self) -> Result<Writer, Error> {
        Ok(Writer::new(self.clone(), claim::unnamed(self)?))
    }

    /// The writer of the ring `name`, which outlives this run if a state is set: the next run goes on with it.
    ///
    /// # Errors
    /// [`Error::Held`] while another process lives that has it; as `resume` says; otherwise as [`Self::writer`].
    pub fn named_writer(&self, name: &str, resume: Resume) -> Result<Writer, Error> {
        if !is_group_name(name) {
            return Err(Error::BadRingName { name: name.to_owned() });
        }
        Ok(Writer::new(self.clone(), claim::named(self, name, resume)?))
    }

    /// The same group, with rings of `bytes` of data from now on: a power of two from 64 KiB to 1 GiB.
    ///
    /// # Errors
    /// [`Error::BadRingSize`].
    pub fn with_ring_size(&self, bytes: u64) -> Result<Group, Error> {
        if !is_capacity(bytes) {
            return Err(Error::BadRingSize { asked: bytes });
        }
        let Shared {
            options,
            counts_ticks,
            directory,
            doorbell,
        } = &*self.shared;
        Ok(Group {
            shared: Arc::new(Shared {
                options: options.clone().ring_size(bytes),
                counts_ticks: *counts_ticks,
                directory: directory.clone(),
                doorbell: Arc::clone(doorbell),
            }),
        })
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.options.group
    }

    /// The directory of the group's rings.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    pub(crate) fn options(&self) -> &GroupOptions {
        &self.shared.options
    }

    /// The clock of a new writer, if its records are to be stamped.
    pub(crate) fn clock(&self) -> Option<Clock> {
        let counts_ticks = self.shared.counts_ticks;
        self.options().timestamps.then(|| Clock::new(counts_ticks))
    }

    pub(crate) fn doorbell(&self) -> &Arc<Doorbell> {
        &self.shared.doorbell
    }
}

/// Why a directory cannot hold rings.
#[derive(Debug, Error)]
pub enum TmpfsError {
    /// It is on another file system.
    #[error("{} is not on tmpfs", path.display())]
    NotTmpfs {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be looked at.
    #[error("look at the file system of {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Whether `path` is on tmpfs, as rings must be.
///
/// # Errors
/// It is not, or it cannot be looked at.
pub fn require_tmpfs(path: &Path) -> Result<(), TmpfsError> {
    let file_system = rustix::fs::statfs(path).map_err(|error| TmpfsError::Io {
        path: path.to_owned(),
        source: error.into(),
    })?;
    if u64::try_from(file_system.f_type) == Ok(TMPFS) {
        Ok(())
    } else {
        Err(TmpfsError::NotTmpfs { path: path.to_owned() })
    }
}

/// The directory of a group's rings.
#[must_use]
pub fn group_dir(shm_dir: &Path, group: &str) -> PathBuf {
    shm_dir.join("hog").join(group)
}

/// The ring files of a group, in no order. A directory that does not exist holds none.
///
/// # Errors
/// The directory cannot be read.
pub fn ring_files(group_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(group_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("ring")) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Removes what killed processes left of rings that never got their names. A living one holds the lock of its own, or has
/// made it within the last minute. Without this, nothing would be lost but memory; so errors do not matter.
fn remove_unborn(group_dir: &Path) {
    let Ok(entries) = fs::read_dir(group_dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension() != Some(OsStr::new(UNBORN)) {
            continue;
        }
        let Ok(file) = File::options().read(true).write(true).open(&path) else {
            continue;
        };
        let age = file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|modified| modified.elapsed());
        let is_old = matches!(age, Ok(Ok(age)) if age > UNBORN_AGE);
        if is_old && matches!(sys::try_lock(&file), Ok(true)) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn make_directories(shm_dir: &Path, group_dir: &Path, shared_with: Option<ShmGroup>) -> Result<(), Error> {
    let shared = shm_dir.join("hog");
    if make_directory(&shared, Mode::from(0o1777))? {
        point();
        // Not through mkdir, whose mode the process's umask cuts.
        rustix::fs::chmod(&shared, Mode::from(0o1777)).map_err(io_error("open to all users", &shared))?;
    }
    let Some(shared_with) = shared_with else {
        make_directory(group_dir, Mode::RWXU)?;
        return open_directory(group_dir).map(|_| ());
    };
    if rustix::fs::access(group_dir, Access::EXISTS) == Err(Errno::NOENT) {
        make_shared_directory(&shared, group_dir, shared_with)?;
    }
    shared_with.share_directory(open_directory(group_dir)?, group_dir)
}

/// Makes a directory that is shared before it has its name, unless another process is faster.
fn make_shared_directory(parent: &Path, path: &Path, shared_with: ShmGroup) -> Result<(), Error> {
    let temporary = parent.join(format!(".{}.{UNBORN}", new_uuid()));
    make_directory(&temporary, Mode::RWXU)?;
    point();
    let named = open_directory(&temporary)
        .and_then(|directory| shared_with.share_directory(directory, &temporary))
        .and_then(|()| rename_new(&temporary, path));
    if !matches!(named, Ok(true)) {
        let _ = fs::remove_dir(&temporary); // otherwise an empty directory stays
    }
    named.map(|_| ())
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    // A link planted by another user could lead anywhere.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(io_error("open the directory", path))
}

/// Whether it was made just now.
fn make_directory(path: &Path, mode: Mode) -> Result<bool, Error> {
    match rustix::fs::mkdir(path, mode) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(io_error("make the directory", path)(error)),
    }
}

/// Gives what is whole its name. `false`: the name is taken.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<bool, Error> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(io_error("rename", from)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_of_a_disk_is_refused() {
        assert!(require_tmpfs(Path::new("/dev/shm")).is_ok());
        assert!(matches!(
            require_tmpfs(Path::new("/proc")),
            Err(TmpfsError::NotTmpfs { .. })
        ));
        assert!(matches!(
            GroupOptions::new("g").shm_dir("/proc").open(),
            Err(Error::NotTmpfs { .. })
        ));
    }

    #[test]
    fn unborn_rings_are_removed_once_they_are_old_and_nobodys() {
        let shm = tempfile::Builder::new()
            .prefix("hog-test-")
            .tempdir_in("/dev/shm")
            .unwrap();
        let directory = GroupOptions::new("g")
            .shm_dir(shm.path())
            .open()
            .unwrap()
            .directory()
            .to_owned();
        let [fresh, old, locked] = ["fresh", "old", "locked"].map(|name| {
            let path = directory.join(format!(".{name}.{UNBORN}"));
            (File::create_new(&path).unwrap(), path)
        });
        for (file, _) in [&old, &locked] {
            file.set_modified(std::time::SystemTime::now() - 2 * UNBORN_AGE)
                .unwrap();
        }
        assert!(sys::try_lock(&locked.0).unwrap());
        remove_unborn(&directory);
        assert_eq!([fresh, old, locked].map(|(_, path)| path.exists()), [true, false, true]);
    }

    #[test]
    fn names_and_sizes_that_no_ring_has_are_refused() {
        assert!(matches!(Group::open("../g"), Err(Error::BadGroupName { .. })));
        assert!(matches!(
            GroupOptions::new("g").ring_size(100_000).open(),
            Err(Error::BadRingSize { .. })
        ));
    }
}
