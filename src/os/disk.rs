//! The one door to the disk: files that are appended to, synced, read and unlinked.
//!
//! What is assumed of disk and kernel: a write that returned survives the death of the process; a sync that
//! returned 0 survives the loss of power; after a sync that failed nothing is known of what was written since the one
//! before, and a second sync of that file would lie. So an [`AppendFile`] latches on its first failed sync and refuses
//! everything after it. A failed or short append leaves the file's accepted length as it was, and is repeated at the same
//! offset with the same bytes.

mod append;
mod kernel;
#[cfg(feature = "simulation")]
pub mod simulated;
mod spill;
mod sync_with;
mod update;
mod uring;

pub use append::AppendFile;
pub use spill::Spill;
pub use sync_with::{SyncWith, sync_with, synced_by};
pub use update::{UpdateFile, publish};

use kernel::{Handle, Mode};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the disk did not do what it should.
#[derive(Debug, Error)]
#[error("cannot {verb} {}", path.display())]
pub struct DiskError {
    /// What was tried.
    pub verb: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// Whether there was no room; room may be made.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// Whether the disk itself fails.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
    }
}

/// Names `verb` and `path` in an IO error.
pub fn at<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DiskError + 'a {
    move |source| DiskError {
        verb,
        path: path.to_owned(),
        source,
    }
}

/// Syncs the data of a file that another process wrote.
///
/// # Errors
/// When it cannot be opened or synced.
pub fn sync_file(path: &Path) -> Result<(), DiskError> {
    Handle::open(path, Mode::Read)
        .and_then(|file| file.sync_data())
        .map_err(at("sync", path))
}

/// Syncs the entries of a directory.
///
/// # Errors
/// When it cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<(), DiskError> {
    kernel::sync_directory(path).map_err(at("sync the directory", path))
}

/// Has the disk know `directory`: syncs its entries, and those of all directories above it. Whoever made them may have been killed before it did. Those above `base`
/// may be somebody else's; one that cannot be synced for another reason than a disk that fails, such as its permissions, ends this there.
///
/// # Errors
/// When one of them cannot be opened or synced.
pub fn sync_up_from(directory: &Path, base: &Path) -> Result<(), DiskError> {
    for above in directory.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        match sync_directory(above) {
            Err(error) if above.starts_with(base) || error.is_broken() => return Err(error),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Makes a directory with all its parents, each new entry synced.
///
/// # Errors
/// When one of them cannot be made or synced.
pub fn make_directory(path: &Path) -> Result<(), DiskError> {
    if kernel::is_directory(path) {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directory(parent)?;
    }
    match kernel::make_directory(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && kernel::is_directory(path) => return Ok(()),
        Err(error) => return Err(at("make the directory", path)(error)),
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

/// Whether files can be made in `directory`, or it itself where it is not there yet. Nothing is made.
///
/// # Errors
/// When the nearest directory on the way to it that there is cannot be written, or is none.
pub fn can_write(directory: &Path) -> Result<(), DiskError> {
    let is_there = |path: &&Path| fs::symlink_metadata(path).is_ok();
    let nearest = directory
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .find(is_there);
    let nearest = nearest.unwrap_or(Path::new("."));
    if !fs::metadata(nearest).map_err(at("look at", nearest))?.is_dir() {
        return Err(at("make files in", nearest)(io::ErrorKind::NotADirectory.into()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let flags = rustix::fs::AtFlags::EACCESS;
    rustix::fs::accessat(rustix::fs::CWD, nearest, access, flags)
        .map_err(|error| at("make files in", nearest)(error.into()))
}

/// Writes a small file as a whole, or not at all: under another name, synced, renamed, and the directory synced.
///
/// # Errors
/// When one of these steps fails; `path` is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let unfinished = path.with_extension("new");
    unlink(&unfinished)?;
    let file = AppendFile::create(&unfinished)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    kernel::rename(&unfinished, path).map_err(at("rename to", path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Gives a file that is whole and synced its name, which nothing has yet, and syncs the directory. Only the holder of the directory's lock may.
///
/// # Errors
/// When the name is taken, or one of these steps fails.
pub fn rename_to_new(unfinished: &Path, path: &Path) -> Result<(), DiskError> {
    if kernel::exists(path) {
        return Err(at("rename to", path)(io::ErrorKind::AlreadyExists.into()));
    }
    kernel::rename(unfinished, path).map_err(at("rename to", path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Unlinks a file; one that is gone already is no error. Says whether there was one.
///
/// # Errors
/// When it cannot be unlinked.
pub fn unlink(path: &Path) -> Result<bool, DiskError> {
    match kernel::unlink(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at("delete", path)(error)),
    }
}

/// Whether something has the name `path`.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    kernel::exists(path)
}

/// Renames a file over whatever has the other name.
///
/// # Errors
/// When it cannot be renamed; both are then as they were.
pub fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    kernel::rename(from, to).map_err(at("rename to", to))
}

/// Gives the file `path` a second name, which outlives the first one and does not follow what is renamed over it: `path` with `suffix`, or with a
/// number behind that where another file has the name. Its entry is synced. `None`: it has such a name already.
///
/// # Errors
/// When it cannot be given.
pub fn keep_as(path: &Path, suffix: &str) -> Result<Option<PathBuf>, DiskError> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    for number in 2.. {
        let second = PathBuf::from(&name);
        match kernel::link(path, &second) {
            Ok(()) => {
                path.parent().map_or(Ok(()), sync_directory)?;
                return Ok(Some(second));
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(at("keep a name of", path)(error));
            }
            Err(_) if kernel::is_same_file(path, &second) => {
                // Whoever gave it may have been killed before it was synced.
                path.parent().map_or(Ok(()), sync_directory)?;
                return Ok(None);
            }
            Err(_) => {}
        }
        name = path.as_os_str().to_owned();
        name.push(format!("{suffix}-{number}"));
    }
    Ok(None)
}

/// Has the disk hold `bytes` for the file `path`, which is made if need be. Where the file system cannot promise room, zeros are written.
///
/// # Errors
/// When there is no room; the file may be there then, and shorter.
pub fn allocate(path: &Path, bytes: u64) -> Result<(), DiskError> {
    let file = Handle::open(path, Mode::Keep).map_err(at("make", path))?;
    match file.allocate(bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = [0; 64 * 1024];
            let mut offset = 0;
            while offset < bytes {
                let piece = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(zeros.len());
                file.write_all_at(&zeros[..piece], offset)
                    .map_err(at("allocate", path))?;
                offset += piece as u64;
            }
            Ok(())
        }
        other => other.map_err(|error| at("allocate", path)(error.into())),
    }
}

/// Size of the file system on which `path` lies, in bytes.
///
/// # Errors
/// When the kernel does not say.
pub fn file_system_bytes(path: &Path) -> Result<u64, DiskError> {
    kernel::file_system_bytes(path).map_err(at("look at the file system of", path))
}

/// The entries of a directory; none if it does not exist.
///
/// # Errors
/// When it cannot be read.
pub fn entries(path: &Path) -> Result<Vec<PathBuf>, DiskError> {
    match kernel::entries(path) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at("list", path)(error)),
    }
}

/// The whole of a small file; `None` if there is none.
///
/// # Errors
/// When it cannot be read, or is longer than `most` bytes.
pub fn read_whole(path: &Path, most: usize) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match ReadFile::open(path) {
        Ok(file) => file,
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; most + 1];
    let read = file.read_at(&mut bytes, 0)?;
    if read > most {
        let words = format!("it is longer than {most} bytes");
        return Err(at("read", path)(io::Error::other(words)));
    }
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// A file that is read, and perhaps still written by somebody.
#[derive(Debug)]
pub struct ReadFile {
    file: Handle,
    path: PathBuf,
}

impl ReadFile {
    /// Opens `path`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let file = Handle::open(path, Mode::Read).map_err(at("open", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its present length in bytes.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn len(&self) -> Result<u64, DiskError> {
        self.file.len().map_err(at("look at", &self.path))
    }

    /// Whether it holds nothing.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn is_empty(&self) -> Result<bool, DiskError> {
        self.len().map(|len| len == 0)
    }

    /// Reads at `offset` until `out` is full or the file ends; says how many bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        read_up_to(&self.file, out, offset).map_err(at("read", &self.path))
    }
}

/// A file of fixed length whose parts are replaced in place: a lock file with what is noted in it.
#[derive(Debug)]
pub struct NoteFile {
    file: Handle,
    path: PathBuf,
}

impl NoteFile {
    /// Opens `path`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let file = Handle::open(path, Mode::Keep).map_err(at("open", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor; a simulated file has none.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_real().map(AsFd::as_fd)
    }

    /// Reads at `offset` until `out` is full or the file ends; says how many bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        read_up_to(&self.file, out, offset).map_err(at("read", &self.path))
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When the disk refuses; some of them may be written then.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(at("write", &self.path))
    }

    /// Has the disk hold its first `bytes`.
    ///
    /// # Errors
    /// When there is no room.
    pub fn allocate(&self, bytes: u64) -> Result<(), DiskError> {
        self.file
            .allocate(bytes)
            .map_err(|error| at("allocate", &self.path)(error.into()))
    }

    /// Syncs it, and its entry in its directory.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(at("sync", &self.path))?;
        self.path.parent().map_or(Ok(()), sync_directory)
    }
}

fn read_up_to(file: &Handle, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match file.read_at(&mut out[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_with_their_parents_and_listed_when_missing() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        assert!(entries(&deep).unwrap().is_empty());
        make_directory(&deep).unwrap();
        make_directory(&deep).unwrap();
        assert!(deep.is_dir());
    }
}
