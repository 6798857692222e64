//! What a spool remembers of an original receiver, which itself can say nothing of what it has: for each stream the position
//! up to which it answered, and the range that is on its way.
//!
//! A range is noted before it is sent, and its answer before the next one is. So whoever comes after a kill knows which range
//! is in doubt, and sends that one again, byte by byte the same.
//!
//! The note is a file in the spool's directory, written whole and synced. A write may hang while another worker takes its
//! writer's place; so each generation of workers of a process writes a file of its own, and reads all that there are. Where they
//! disagree, what is further counts. The files, `docs/FORMATS.md` section 9, have a CRC; one that is damaged is reported and left: then only the
//! others count, and what they do not have is sent again.

use crate::exit::chain;
use crate::formats::pieces::{finished, take_u64, take_uuid};
use crate::ids::StreamId;
use crate::os::disk::{self, DiskError};
use bytes::BufMut;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tracing::warn;

const MAGIC: &[u8; 8] = b"HOGCLASN";
const ENTRY_BYTES: usize = 32;
/// The most streams that a note has: as many as a receiver of ours may welcome.
const STREAMS_MAX: usize = crate::limits::WELCOME_STREAMS_MAX;
const NOTE_MAX: usize = 8 + STREAMS_MAX * ENTRY_BYTES + 4;

/// How far one stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The receiver answered for everything below.
    pub(super) answered: u64,
    /// From there to here is on its way, or may have been; 0 if nothing is.
    pub(super) in_flight: u64,
}

/// A note that cannot be read.
#[derive(Debug)]
pub(super) struct Damage {
    /// The file.
    pub(super) path: PathBuf,
    /// What is wrong with it.
    pub(super) words: String,
}

/// How far each stream is at one receiver.
#[derive(Debug)]
pub(super) struct Note {
    path: PathBuf,
    streams: BTreeMap<StreamId, Progress>,
}

impl Note {
    /// What the spool in `directory` remembers of `destination`, and which of its files are damaged. The worker of generation 0 is alone, and makes one
    /// file of all there are.
    ///
    /// # Errors
    /// When the directory cannot be read, or the file not be written.
    pub(super) fn open(directory: &Path, destination: &str, generation: u64) -> Result<(Self, Vec<Damage>), DiskError> {
        let prefix = prefix_of(destination);
        let generation_of = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix(&prefix)?.strip_suffix(".note")?.parse::<u64>().ok()
        };
        let entries = disk::entries(directory)?.into_iter();
        let mut files: Vec<_> = entries.filter_map(|path| Some((generation_of(&path)?, path))).collect();
        files.sort();
        let (mut streams, mut damages) = (BTreeMap::new(), Vec::new());
        for (_, path) in &files {
            let read = disk::read_whole(path, NOTE_MAX)?;
            match read.map(|bytes| decode(&bytes)) {
                None => {}
                Some(Ok(found)) => merge(&mut streams, &found),
                Some(Err(words)) => damages.push(Damage {
                    path: path.clone(),
                    words,
                }),
            }
        }
        let files = files.into_iter().map(|(_, path)| path).collect::<Vec<_>>();
        let note = Self {
            path: directory.join(format!("{prefix}{generation}.note")),
            streams,
        };
        if generation == 0 && files.iter().any(|path| *path != note.path) {
            note.write()?;
            for path in files.iter().filter(|path| **path != note.path) {
                // It says nothing that is not in the other one.
                if let Err(error) = disk::unlink(path) {
                    warn!("{}", chain(&error));
                }
            }
        }
        Ok((note, damages))
    }

    /// How far `stream` is; `None` if nothing is known of it.
    pub(super) fn progress(&self, stream: StreamId) -> Option<Progress> {
        self.streams.get(&stream).copied()
    }

    /// The streams that are known.
    pub(super) fn streams(&self) -> impl Iterator<Item = (StreamId, Progress)> + '_ {
        self.streams.iter().map(|(stream, progress)| (*stream, *progress))
    }

    /// Has the disk know that `stream` is on its way from `start` to `end`.
    ///
    /// # Errors
    /// When it refuses: nothing may be sent then.
    pub(super) fn send(&mut self, stream: StreamId, start: u64, end: u64) -> Result<(), DiskError> {
        let progress = Progress {
            answered: start,
            in_flight: end,
        };
        if self.streams.insert(stream, progress) == Some(progress) {
            return Ok(()); // from an earlier attempt
        }
        self.write().inspect_err(|_| {
            // It is to be written before anything is sent.
            self.streams.insert(
                stream,
                Progress {
                    in_flight: 0,
                    ..progress
                },
            );
        })
    }

    /// Has the disk know that the receiver answered for `stream` up to `end`.
    ///
    /// # Errors
    /// When it refuses: it may be called again, and nothing else may be sent before.
    pub(super) fn answered(&mut self, stream: StreamId, end: u64) -> Result<(), DiskError> {
        self.pass(stream, end);
        self.write()
    }

    /// There is nothing to be sent of `stream` up to `end`. The disk need not know.
    pub(super) fn pass(&mut self, stream: StreamId, end: u64) {
        let progress = Progress {
            answered: end,
            in_flight: 0,
        };
        self.streams.insert(stream, progress);
    }

    /// Forgets streams that are nowhere any more. The disk need not know.
    pub(super) fn forget(&mut self, streams: &[StreamId]) {
        for stream in streams {
            self.streams.remove(stream);
        }
    }

    fn write(&self) -> Result<(), DiskError> {
        disk::write_whole(&self.path, &encode(&self.streams))
    }
}

/// What the names of a destination's notes begin with: something readable, and what tells it from all others.
fn prefix_of(destination: &str) -> String {
    let keep = |byte: u8| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            char::from(byte)
        } else {
            '_'
        }
    };
    let readable: String = destination.bytes().take(80).map(keep).collect();
    format!("classic-{readable}-{:08x}-", crc32c::crc32c(destination.as_bytes()))
}

/// Takes in what the file of a generation says, after those of the generations before it: who came later had read them.
fn merge(streams: &mut BTreeMap<StreamId, Progress>, found: &BTreeMap<StreamId, Progress>) {
    for (stream, progress) in found {
        let known = streams.entry(*stream).or_default();
        if progress.answered >= known.answered {
            *known = *progress;
        }
    }
}

fn encode(streams: &BTreeMap<StreamId, Progress>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (stream, progress) in streams {
        bytes.extend_from_slice(&stream.bytes());
        bytes.put_u64_le(progress.answered);
        bytes.put_u64_le(progress.in_flight);
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.put_u32_le(crc);
    bytes
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<StreamId, Progress>, String> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or("it is too short")?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err("its checksum does not match".to_owned());
    }
    let mut rest = body
        .strip_prefix(MAGIC)
        .ok_or("it is no note of an original receiver")?;
    let mut streams = BTreeMap::new();
    while !rest.is_empty() {
        let stream = StreamId(take_uuid(&mut rest, "stream").map_err(|error| error.to_string())?);
        let answered = take_u64(&mut rest, "position").map_err(|error| error.to_string())?;
        let in_flight = take_u64(&mut rest, "position").map_err(|error| error.to_string())?;
        streams.insert(stream, Progress { answered, in_flight });
    }
    finished(rest).map_err(|error| error.to_string())?;
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: &str = "hobbes://host.example:7070";

    fn open(directory: &tempfile::TempDir, generation: u64) -> Note {
        let (note, damages) = Note::open(directory.path(), TO, generation).unwrap();
        assert!(damages.is_empty(), "{damages:?}");
        note
    }

    #[test]
    fn what_was_noted_is_known_to_whoever_comes_after() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (StreamId::random(), StreamId::random());
        let mut note = open(&directory, 0);
        assert_eq!(note.progress(one), None);
        note.send(one, 0, 64).unwrap();
        note.answered(one, 64).unwrap();
        note.send(one, 64, 128).unwrap();
        note.pass(other, 8);
        note.send(other, 8, 16).unwrap();
        let again = open(&directory, 0);
        let is_at = |answered, in_flight| Some(Progress { answered, in_flight });
        assert_eq!(
            (again.progress(one), again.progress(other)),
            (is_at(64, 128), is_at(8, 16))
        );
        let elsewhere = Note::open(directory.path(), "hobbes://host.example:7071", 0).unwrap().0;
        assert_eq!(elsewhere.progress(one), None, "each destination has its own");
    }

    #[test]
    fn a_late_write_of_somebody_who_was_relieved_takes_nothing_back() {
        let directory = tempfile::tempdir().unwrap();
        let stream = StreamId::random();
        let mut hangs = open(&directory, 0);
        hangs.send(stream, 0, 64).unwrap();
        let mut successor = open(&directory, 1);
        assert_eq!(successor.progress(stream).unwrap().in_flight, 64);
        successor.answered(stream, 64).unwrap();
        successor.send(stream, 64, 96).unwrap();
        hangs.answered(stream, 64).unwrap();
        let next = open(&directory, 0);
        let expected = Progress {
            answered: 64,
            in_flight: 96,
        };
        assert_eq!(next.progress(stream), Some(expected));
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "one file is left"
        );
    }

    #[test]
    fn a_damaged_note_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let stream = StreamId::random();
        let mut note = open(&directory, 0);
        note.send(stream, 0, 64).unwrap();
        let mut bytes = std::fs::read(&note.path).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(decode(&bytes).is_err(), "byte {at}");
            bytes[at] ^= 1;
        }
        bytes[20] ^= 1;
        std::fs::write(&note.path, &bytes).unwrap();
        let (next, damages) = Note::open(directory.path(), TO, 0).unwrap();
        assert_eq!((next.progress(stream), damages.len()), (None, 1));
    }
}
