//! What the door to the disk asks of the kernel, call by call: nothing is decided here.
//!
//! With the feature `simulation`, a thread that simulates asks a simulated disk instead.

#[cfg(feature = "simulation")]
use super::simulated;
use super::uring::RINGS;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// An open file.
#[derive(Debug)]
pub(super) enum Handle {
    /// Of the kernel.
    Real(File),
    /// Of a simulated disk.
    #[cfg(feature = "simulation")]
    Simulated(simulated::File),
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To be read; it is there.
    Read,
    /// To be read and written; it is made, and must not be there.
    New,
    /// To be read and written; it is made if it is not there.
    Keep,
}

/// Asks the simulated disk, if this thread simulates one.
macro_rules! simulated {
    (|$disk:ident| $call:expr) => {
        #[cfg(feature = "simulation")]
        if let Some($disk) = simulated::current() {
            return $call;
        }
    };
}

impl Handle {
    pub(super) fn open(path: &Path, mode: Mode) -> io::Result<Self> {
        simulated!(|disk| disk.open(path, mode).map(Self::Simulated));
        let mut options = OpenOptions::new();
        options.read(true).write(mode != Mode::Read);
        options.create_new(mode == Mode::New).create(mode == Mode::Keep);
        options.open(path).map(Self::Real)
    }

    /// Writes all of `bytes`; when that fails, some of them may be written.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.write_all_at(bytes, offset),
            #[cfg(feature = "simulation")]
            Self::Simulated(file) => file.write_all_at(bytes, offset),
        }
    }

    pub(super) fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.read_at(out, offset),
            #[cfg(feature = "simulation")]
            Self::Simulated(file) => file.read_at(out, offset),
        }
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => RINGS.sync_data(file).unwrap_or_else(|| file.sync_data()),
            #[cfg(feature = "simulation")]
            Self::Simulated(file) => file.sync(),
        }
    }

    pub(super) fn sync_all(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_all(),
            #[cfg(feature = "simulation")]
            Self::Simulated(file) => file.sync(),
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Real(file) => file.metadata().map(|metadata| metadata.len()),
            #[cfg(feature = "simulation")]
            Self::Simulated(file) => file.len(),
        }
    }

    /// Has the file system promise room for the first `bytes`.
    pub(super) fn allocate(&self, bytes: u64) -> rustix::io::Result<()> {
        match self {
            Self::Real(file) => rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes),
            #[cfg(feature = "simulation")]
            Self::Simulated(file) => file.allocate(bytes),
        }
    }

    /// Whether room that is promised before a long write makes it cheaper: on ext4 all blocks of it are looked for at once, and not one after the other.
    /// Elsewhere that was not measured.
    pub(super) fn gains_by_promises(&self) -> bool {
        const EXT4: i64 = 0xef53;
        match self {
            Self::Real(file) => rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == EXT4),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => false,
        }
    }

    /// Has the file system promise room for `len` bytes at `offset`, without a change to what is read there.
    pub(super) fn promise(&self, offset: u64, len: u64) -> rustix::io::Result<()> {
        match self {
            Self::Real(file) => rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, offset, len),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// The file, where it is the kernel's.
    pub(super) fn as_real(&self) -> Option<&File> {
        match self {
            Self::Real(file) => Some(file),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => None,
        }
    }
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    simulated!(|disk| disk.sync_directory(path));
    File::open(path).and_then(|directory| directory.sync_all())
}

pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    simulated!(|disk| disk.make_directory(path));
    fs::create_dir(path)
}

pub(super) fn is_directory(path: &Path) -> bool {
    simulated!(|disk| disk.is_directory(path));
    path.is_dir()
}

/// Whether the name is taken, by whatever.
pub(super) fn exists(path: &Path) -> bool {
    simulated!(|disk| disk.exists(path));
    path.symlink_metadata().is_ok()
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    simulated!(|disk| disk.rename(from, to));
    fs::rename(from, to)
}

/// Gives a file a second name, which nothing has yet.
pub(super) fn link(path: &Path, second: &Path) -> io::Result<()> {
    simulated!(|disk| disk.link(path, second));
    fs::hard_link(path, second)
}

/// Whether both names are there and name one file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    simulated!(|disk| disk.is_same_file(one, other));
    let identity = |path: &Path| path.symlink_metadata().map(|file| (file.dev(), file.ino())).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

pub(super) fn unlink(path: &Path) -> io::Result<()> {
    simulated!(|disk| disk.unlink(path));
    fs::remove_file(path)
}

/// The entries of a directory; on a simulated disk by name, otherwise in no order.
pub(super) fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    simulated!(|disk| disk.entries(path));
    fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

/// Size of the file system, in bytes.
pub(super) fn file_system_bytes(path: &Path) -> io::Result<u64> {
    simulated!(|disk| disk.file_system_bytes(path));
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}
