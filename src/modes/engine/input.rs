//! What the engine reads: files, which can be gone on with, and pipes, which cannot.

use crate::os::disk::{DiskError, at};
use bytes::{Buf, BufMut};
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Bytes in front of a place whose CRC tells that place from another file's.
pub const FINGERPRINT_BYTES: usize = 256;
/// Length of a state.
pub const STATE_LEN: usize = 48;
/// The only version of it.
const STATE_VERSION: u32 = 1;

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
        let file = File::open(path).map_err(at("read", path))?;
        let metadata = file.metadata().map_err(at("look at", path))?;
        if metadata.is_dir() {
            return Err(at("read", path)(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a directory",
            )));
        }
        if !metadata.is_file() {
            return Ok(Self::Pipe(file));
        }
        let canonical = path.canonicalize().map_err(at("resolve", path))?;
        Ok(Self::File(FileInput { file, path: canonical }))
    }
}

/// Up to where a file was logged, and which file that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Device of the file.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its birth, nanoseconds since 1970; 0 where the file system has none.
    pub born: u64,
    /// Bytes that were logged.
    pub offset: u64,
    /// CRC of the bytes in front of `offset`.
    pub fingerprint: u32,
    /// How many bytes that CRC covers.
    pub covered: u32,
}

impl FileState {
    /// Its bytes: `docs/FORMATS.md`, section 10.
    #[must_use]
    pub fn encode(&self) -> [u8; STATE_LEN] {
        let mut bytes = [0; STATE_LEN];
        let mut out = &mut bytes[..];
        for field in [self.device, self.inode, self.born, self.offset] {
            out.put_u64_le(field);
        }
        for field in [self.fingerprint, self.covered, STATE_VERSION, 0] {
            out.put_u32_le(field);
        }
        bytes
    }

    /// From its bytes, if they are a state of this version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != STATE_LEN {
            return None;
        }
        let mut bytes = bytes;
        let [device, inode, born, offset] = std::array::from_fn(|_| bytes.get_u64_le());
        let [fingerprint, covered, version, zero] = std::array::from_fn(|_| bytes.get_u32_le());
        let sound = version == STATE_VERSION
            && zero == 0
            && covered as usize <= FINGERPRINT_BYTES
            && u64::from(covered) <= offset;
        sound.then_some(Self {
            device,
            inode,
            born,
            offset,
            fingerprint,
            covered,
        })
    }
}

/// A regular file.
pub struct FileInput {
    file: File,
    path: PathBuf,
}

impl FileInput {
    /// Its canonical path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its records give as their source.
    #[must_use]
    pub fn label(&self) -> Vec<u8> {
        self.path.as_os_str().as_bytes().to_vec()
    }

    /// The name of its ring: its own name, as far as rings may be called that, and a number of its whole path.
    #[must_use]
    pub fn ring_name(&self) -> String {
        let path = self.path.as_os_str().as_bytes();
        let name = self
            .path
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        };
        let name: String = name.trim_start_matches('.').chars().take(32).map(plain).collect();
        // Two paths share a ring only if both CRCs agree; the state would then show another file.
        let (first, second) = (crc32c::crc32c(path), crc32c::crc32c_append(!0, path));
        format!(
            "{}-{first:08x}{second:08x}",
            if name.is_empty() { "file" } else { &name }
        )
    }

    /// Whether this is the file that was logged up to `state`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_where(&self, state: &FileState) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        let same = metadata.dev() == state.device && metadata.ino() == state.inode && born(&metadata) == state.born;
        if !same || metadata.len() < state.offset {
            return Ok(false);
        }
        let mut bytes = vec![0; state.covered as usize];
        self.file
            .read_exact_at(&mut bytes, state.offset - u64::from(state.covered))?;
        Ok(crc32c::crc32c(&bytes) == state.fingerprint)
    }

    /// The file that was logged up to `state`, if it lies in this one's directory under another name.
    ///
    /// # Errors
    /// When the directory or the file cannot be read.
    pub fn find_replaced(&self, state: &FileState) -> io::Result<Option<Self>> {
        let Some(directory) = self.path.parent() else {
            return Ok(None);
        };
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() || metadata.ino() != state.inode || metadata.dev() != state.device {
                continue;
            }
            let candidate = Self {
                file: File::open(entry.path())?,
                path: entry.path(),
            };
            if candidate.is_where(state)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// Goes to `offset`, and says what states from there on begin with.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seek(&mut self, offset: u64) -> io::Result<Place> {
        let metadata = self.file.metadata()?;
        let covered = offset.min(FINGERPRINT_BYTES as u64);
        let mut last = vec![0; usize::try_from(covered).unwrap_or(0)];
        self.file.read_exact_at(&mut last, offset - covered)?;
        self.file.seek(SeekFrom::Start(offset))?;
        Ok(Place {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born(&metadata),
            offset,
            last,
        })
    }

    /// The file itself.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

fn born(metadata: &Metadata) -> u64 {
    let born = metadata
        .created()
        .ok()
        .and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    born.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(0))
}

/// Where in a file the engine is.
#[derive(Clone, Debug)]
pub struct Place {
    device: u64,
    inode: u64,
    born: u64,
    offset: u64,
    /// The bytes in front of `offset`, at most [`FINGERPRINT_BYTES`].
    last: Vec<u8>,
}

impl Place {
    /// Goes over `bytes`, which were logged.
    pub fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(FINGERPRINT_BYTES)..];
        let surplus = (self.last.len() + kept.len()).saturating_sub(FINGERPRINT_BYTES);
        self.last.drain(..surplus);
        self.last.extend_from_slice(kept);
    }

    /// The state at this place.
    #[must_use]
    pub fn state(&self) -> FileState {
        #[allow(clippy::cast_possible_truncation)] // at most FINGERPRINT_BYTES
        let covered = self.last.len() as u32;
        FileState {
            device: self.device,
            inode: self.inode,
            born: self.born,
            offset: self.offset,
            fingerprint: crc32c::crc32c(&self.last),
            covered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(path: &Path) -> FileInput {
        match Source::open(path).unwrap() {
            Source::File(file) => file,
            Source::Pipe(_) => panic!("a regular file"),
        }
    }

    #[test]
    fn states_survive_encode_and_decode_and_nothing_else_is_one() {
        let state = FileState {
            device: 1,
            inode: 2,
            born: 3,
            offset: 300,
            fingerprint: 4,
            covered: 256,
        };
        assert_eq!(FileState::decode(&state.encode()), Some(state));
        assert_eq!(FileState::decode(b"something else"), None);
        assert_eq!(FileState::decode(&FileState { covered: 257, ..state }.encode()), None);
        assert_eq!(FileState::decode(&FileState { offset: 3, ..state }.encode()), None);
    }

    #[test]
    fn length_is_the_documented_one() {
        let row = format!("State of a file input, {STATE_LEN} bytes");
        assert!(include_str!("../../../docs/FORMATS.md").contains(&row));
    }

    #[test]
    fn a_place_knows_its_file_again_after_growth_and_not_after_a_rewrite() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, b"one\ntwo\n").unwrap();
        let mut place = file(&path).seek(0).unwrap();
        place.pass(b"one\n");
        assert!(file(&path).is_where(&place.state()).unwrap());
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"three\n")
            .unwrap();
        assert!(file(&path).is_where(&place.state()).unwrap());
        std::fs::write(&path, b"ONE\ntwo\n").unwrap();
        assert!(!file(&path).is_where(&place.state()).unwrap());
        std::fs::write(&path, b"on").unwrap();
        assert!(!file(&path).is_where(&place.state()).unwrap());
    }

    #[test]
    fn a_place_is_the_same_however_it_was_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text: Vec<u8> = (0..2000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &text).unwrap();
        let mut passed = file(&path).seek(0).unwrap();
        for piece in text.chunks(97) {
            passed.pass(piece);
        }
        assert_eq!(passed.state(), file(&path).seek(2000).unwrap().state());
    }

    #[test]
    fn a_renamed_file_is_found_in_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, b"one\n").unwrap();
        let state = file(&path).seek(4).unwrap().state();
        std::fs::rename(&path, dir.path().join("log.1")).unwrap();
        std::fs::write(&path, b"new\n").unwrap();
        let found = file(&path).find_replaced(&state).unwrap().unwrap();
        assert_eq!(found.path(), dir.path().canonicalize().unwrap().join("log.1"));
    }

    #[test]
    fn ring_names_are_plain_and_different_for_different_paths() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = ["a/x y.log", "b/x y.log", "a/.hidden"]
            .map(|name| {
                let path = dir.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, b"").unwrap();
                file(&path).ring_name()
            })
            .to_vec();
        assert!(names[0].starts_with("x_y.log-") && names[0] != names[1]);
        assert!(names.iter().all(|name| hog_ring::is_group_name(name)), "{names:?}");
    }
}
