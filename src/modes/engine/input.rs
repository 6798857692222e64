//! What the engine reads: files, which can be gone on with, and pipes, which cannot.

use crate::modes::engine::state::{FINGERPRINT_BYTES, FileId, Mark, Place, hash};
use crate::os::disk::{DiskError, at};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An input that was opened.
pub enum Source {
    /// A regular file.
    File(FileInput),
    /// Anything else: stdin, a fifo, a terminal.
    Pipe(File),
}

impl Source {
    /// Opens `path`; `-` is stdin.
    ///
    /// # Errors
    /// When it is missing, a directory, or unreadable.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        if path == Path::new("-") {
            let stdin = io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map_err(at("read", Path::new("standard input")))?;
            return Ok(Self::Pipe(stdin.into()));
        }
        // Without waiting for the other end of a fifo: a wait within `open` would go on beyond SIGTERM. Readers wait for the first bytes instead.
        let file = File::options()
            .read(true)
            .custom_flags(nonblocking())
            .open(path)
            .map_err(at("read", path))?;
        let metadata = file.metadata().map_err(at("look at", path))?;
        if metadata.is_dir() {
            return Err(at("read", path)(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a directory",
            )));
        }
        let flags = fcntl_getfl(&file).map_err(|error| at("read", path)(error.into()))?;
        fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| at("read", path)(error.into()))?;
        if !metadata.is_file() {
            return Ok(Self::Pipe(file));
        }
        let canonical = path.canonicalize().map_err(at("resolve", path))?;
        Ok(Self::File(FileInput { file, path: canonical }))
    }
}

/// A regular file, and where it lies.
pub struct FileInput {
    /// The open file: it stays readable whatever becomes of its name.
    pub file: File,
    /// Its path.
    pub path: PathBuf,
}

impl FileInput {
    /// Opens a regular file. Anything else is refused, without waiting for the other end of a fifo.
    ///
    /// # Errors
    /// When it is missing, unreadable, or no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).custom_flags(nonblocking()).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Which file it is.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&self.file.metadata()?))
    }

    /// What its records give as their source.
    #[must_use]
    pub fn label(&self) -> Vec<u8> {
        self.path.as_os_str().as_bytes().to_vec()
    }

    /// Whether this is the file that was logged up to `mark`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_where(&self, mark: &Mark) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        if FileId::of(&metadata) != mark.file || metadata.len() < mark.offset {
            return Ok(false);
        }
        let mut bytes = vec![0; mark.covered as usize];
        match self
            .file
            .read_exact_at(&mut bytes, mark.offset - u64::from(mark.covered))
        {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false), // it shrank meanwhile
            read => read.map(|()| crc32c::crc32c(&bytes) == mark.fingerprint),
        }
    }

    /// The place at `offset`.
    ///
    /// # Errors
    /// When the file cannot be read, or is shorter.
    pub fn place(&self, offset: u64) -> io::Result<Place> {
        let covered = offset.min(FINGERPRINT_BYTES as u64);
        let mut last = vec![0; usize::try_from(covered).unwrap_or(0)];
        self.file.read_exact_at(&mut last, offset - covered)?;
        Ok(Place::new(self.id()?, offset, last))
    }

    /// The file, to be read from `offset` on.
    ///
    /// # Errors
    /// When it cannot be gone to.
    pub fn into_file_at(mut self, offset: u64) -> io::Result<File> {
        self.file.seek(SeekFrom::Start(offset))?;
        Ok(self.file)
    }
}

/// The flag with which nothing is waited for when a file is opened.
fn nonblocking() -> i32 {
    i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0)
}

/// The name of the ring of the file at `path`: the file's own name, as far as rings may be called that, and a number of the whole path.
#[must_use]
pub fn ring_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '_'
        }
    };
    let name: String = name.trim_start_matches('.').chars().take(32).map(plain).collect();
    let name = if name.is_empty() { "file" } else { &name };
    // Two paths share a ring only if their hashes agree; the state would then show another file.
    format!("{name}-{:016x}", hash(path.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_place_knows_its_file_again_after_growth_and_not_after_a_rewrite() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let is_where = |mark: &Mark| FileInput::open(&path).unwrap().is_where(mark).unwrap();
        std::fs::write(&path, b"one\ntwo\n").unwrap();
        let mut place = FileInput::open(&path).unwrap().place(0).unwrap();
        place.pass(b"one\n");
        assert!(is_where(&place.mark()));
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"three\n")
            .unwrap();
        assert!(is_where(&place.mark()));
        std::fs::write(&path, b"ONE\ntwo\n").unwrap();
        assert!(!is_where(&place.mark()));
        std::fs::write(&path, b"on").unwrap();
        assert!(!is_where(&place.mark()));
    }

    #[test]
    fn a_place_is_the_same_however_it_was_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text: Vec<u8> = (0..2000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &text).unwrap();
        let file = FileInput::open(&path).unwrap();
        let mut passed = file.place(0).unwrap();
        for piece in text.chunks(97) {
            passed.pass(piece);
        }
        assert_eq!(passed.mark(), file.place(2000).unwrap().mark());
    }

    #[test]
    fn ring_names_are_plain_and_different_for_different_paths() {
        let names = ["/a/x y.log", "/b/x y.log", "/a/.hidden", "/"].map(|path| ring_name(Path::new(path)));
        assert!(names[0].starts_with("x_y.log-") && names[0] != names[1]);
        assert!(names.iter().all(|name| hog_ring::is_group_name(name)), "{names:?}");
    }
}
