//! Reads the files of the original's recorder (`.log`), and archives and spools besides: [`read`] takes whatever paths name.
//!
//! A file is known by its first bytes, not by its name, and only if it is named itself: directories are looked through for segments alone, or a directory
//! with an archive and the files that were derived from it would give each record twice. Files and segments are not read in one go.
//!
//! To a [`Visitor`] each file is a stream. Its identity is made of what the file system says the file is, so that whoever goes on later finds it again, and
//! takes another file under the same name for another. A record's position is its number in the file. The group is what the
//! original's default pattern says (`GROUP/YYYY.MM.DD/data-0.log`), and else the file's name.
//!
//! What is wrong is a [`Fault`], said once for each statement; all else is given. Reading holds a few MiB, whatever the file says, and some bytes for each batch.
//! A file may be read while it is written: what is counted when reading begins is given.

mod file;
#[cfg(test)]
mod tests;

use crate::formats::fregion::damage::Damage;
use crate::formats::fregion::kind::ENTRY_BYTES;
use crate::formats::fregion::pages::MAGIC;
use crate::formats::fregion::recording::{self, Lane, Recording, Slots, Transaction};
use crate::formats::fregion::series::Batch;
use crate::formats::fregion::source::Source;
use crate::formats::fregion::values::Budget;
use crate::ids::StreamId;
use crate::modes::archive_reader::{self, Depth, Fault, Progress, ReadError, Record, StreamInfo, Summary, Visitor};
use crate::modes::stop::Stop;
use crate::os::disk::ReadFile;
use file::CachedFile;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// After so many records it is said how far all was given.
const SETTLE_RECORDS: u64 = 4096;
/// So many faults of a file's form are told; more say nothing new.
const FAULTS_TOLD: usize = 16;

/// Reads what is under `paths`: files of the original's recorder, or segments and directories of them.
///
/// # Errors
/// [`ReadError`]. Damage is no error: it is a [`Fault`].
pub fn read<V: Visitor>(paths: &[PathBuf], depth: Depth, visitor: &mut V) -> Result<Summary, ReadError> {
    read_from(Progress::default(), paths, depth, visitor).map(|(summary, _)| summary)
}

/// The same, from where earlier readings had come to. Says also how far this one has come.
///
/// # Errors
/// As of [`read`].
pub fn read_from<V: Visitor>(
    mut progress: Progress,
    paths: &[PathBuf],
    depth: Depth,
    visitor: &mut V,
) -> Result<(Summary, Progress), ReadError> {
    if !are_recordings(paths)? {
        return archive_reader::read_from(progress, paths, depth, visitor);
    }
    for (number, path) in paths.iter().enumerate() {
        if let Some(mut reader) = Reader::open(path, number, &progress, &Stop::default(), visitor)? {
            reader.advance(&mut progress, visitor)?;
            visitor.reached(&reader.info, reader.position, false);
        }
    }
    Ok((Summary::default(), progress))
}

/// A reading that goes on with what is written.
pub enum Follower<'v, V> {
    /// Of segments.
    Segments(Box<archive_reader::Follower<'v, V>>),
    /// Of files of the original's recorder.
    Recordings(Recordings<'v, V>),
}

/// A reading of files of the original's recorder that goes on with what is written to them.
pub struct Recordings<'v, V> {
    visitor: &'v mut V,
    readers: Vec<Reader>,
    progress: Progress,
}

impl<'v, V: Visitor> Follower<'v, V> {
    /// Will read all that is under `paths`, and what comes later too, until `stop` is set.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn new(paths: &[PathBuf], visitor: &'v mut V, stop: &Stop) -> Result<Self, ReadError> {
        if !are_recordings(paths)? {
            return archive_reader::Follower::new(paths, visitor, stop)
                .map(|follower| Self::Segments(Box::new(follower)));
        }
        let progress = Progress::default();
        let mut readers = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            readers.extend(Reader::open(path, number, &progress, stop, visitor)?);
        }
        Ok(Self::Recordings(Recordings {
            visitor,
            readers,
            progress,
        }))
    }

    /// Reads all that is there now and was not read before. When it is time to stop, the rest stays unread.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn round(&mut self) -> Result<(), ReadError> {
        match self {
            Self::Segments(follower) => follower.round(),
            Self::Recordings(Recordings {
                visitor,
                readers,
                progress,
            }) => readers
                .iter_mut()
                .try_for_each(|reader| reader.advance(progress, *visitor)),
        }
    }

    /// Who is told.
    pub fn visitor(&mut self) -> &mut V {
        match self {
            Self::Segments(follower) => follower.visitor(),
            Self::Recordings(recordings) => recordings.visitor,
        }
    }
}

/// Whether `paths` name files of the original's recorder.
///
/// # Errors
/// When only some of them do.
pub fn are_recordings(paths: &[PathBuf]) -> Result<bool, ReadError> {
    let mut found = paths.iter().map(|path| (path, is_recording(path)));
    let Some((_, first)) = found.next() else {
        return Ok(false);
    };
    match found.find(|(_, is_recording)| *is_recording != first) {
        Some((path, _)) => Err(ReadError::Mixed { path: path.clone() }),
        None => Ok(first),
    }
}

/// Whether that is a file, and begins as one of the original's recorder.
fn is_recording(path: &Path) -> bool {
    let mut first = [0; MAGIC.len()];
    // What is no file is not opened: a pipe would be waited for.
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && ReadFile::open(path)
            .and_then(|file| file.read_at(&mut first, 0))
            .is_ok_and(|read| read == first.len())
        && first == MAGIC
}

/// A file that is read.
pub struct Reader {
    path: PathBuf,
    file: CachedFile,
    recording: Recording,
    info: StreamInfo,
    budget: Budget,
    /// Of the next record.
    position: u64,
    /// Records before this were given by an earlier reading.
    from: u64,
    /// Of each series, how many slots are done with.
    done: Vec<u64>,
    /// How long the file was when the budget was last reckoned.
    reckoned: u64,
    /// What was told of the file's form.
    told: Vec<String>,
    /// Asks to leave the rest unread.
    stop: Stop,
    /// Statements of which it was said that something is wrong.
    blamed: HashSet<usize>,
    /// The payload that is read.
    payload: Vec<u8>,
}

/// How to go on after a record or a transaction.
type Outcome = Result<(), Damage>;

impl Reader {
    /// A file of which nothing was given but what `progress` says. What is wrong with it is told; nothing comes back if it is all wrong, or not wanted.
    fn open<V: Visitor>(
        path: &Path,
        number: usize,
        progress: &Progress,
        stop: &Stop,
        visitor: &mut V,
    ) -> Result<Option<Self>, ReadError> {
        let info = info(path, number)?;
        if !visitor.wants(info.id) {
            return Ok(None);
        }
        let mut file = CachedFile::open(path)?;
        let mut budget = Budget::of(file.length());
        let mut damage = Vec::new();
        let opened = Recording::open(&mut file, &mut budget, &mut damage);
        let (recording, is_readable) = match opened {
            Ok(recording) => (recording, true),
            Err(error) => {
                damage.push(error);
                (Recording::default(), false)
            }
        };
        let mut reader = Self {
            path: path.to_owned(),
            done: vec![0; recording.lanes.len()],
            reckoned: file.length(),
            file,
            recording,
            from: progress.of(info.id),
            info,
            budget,
            position: 0,
            blamed: HashSet::new(),
            told: Vec::new(),
            stop: stop.clone(),
            payload: Vec::new(),
        };
        reader.tell(damage, visitor)?;
        if !is_readable {
            return Ok(None);
        }
        visitor.met(&reader.info)?;
        Ok(Some(reader))
    }

    /// Gives what is there now and was not given.
    fn advance<V: Visitor>(&mut self, progress: &mut Progress, visitor: &mut V) -> Result<(), ReadError> {
        let lanes = std::mem::take(&mut self.recording.lanes);
        for (place, lane) in lanes.iter().enumerate() {
            let mut damage = Vec::new();
            self.file.look_again()?;
            let batches = lane.series.batches(&mut self.file, &mut damage);
            // What they count was written before; what was kept of the file may be older.
            self.file.look_again()?;
            self.budget.grow(self.reckoned, self.file.length());
            self.reckoned = self.reckoned.max(self.file.length());
            let given = match batches {
                Ok(batches) => self.lane(place, lane, &batches, progress, visitor)?,
                Err(error) => Err(Damage::Read(error)),
            };
            let is_over = given.is_err();
            damage.extend(given.err());
            self.tell(damage, visitor)?;
            if is_over {
                break;
            }
        }
        self.recording.lanes = lanes;
        progress.settle(self.info.id, self.position);
        visitor.settled(progress)?;
        Ok(())
    }

    /// Gives what is in the slots of a series and was not given. What comes back as an error ends the file.
    fn lane<V: Visitor>(
        &mut self,
        place: usize,
        lane: &Lane,
        batches: &[Batch],
        progress: &mut Progress,
        visitor: &mut V,
    ) -> Result<Outcome, ReadError> {
        let mut settled = self.position;
        let mut before = 0;
        for batch in batches {
            let first = self.done[place].saturating_sub(before).min(batch.count);
            before += batch.count;
            for number in first..batch.count {
                if self.stop.is_set() {
                    return Ok(Ok(()));
                }
                let given = self.slot(lane.slots, batch.slot(number, lane.series.stride), visitor)?;
                self.done[place] += 1;
                if given.is_err() {
                    return Ok(given);
                }
                if self.position - settled >= SETTLE_RECORDS {
                    settled = self.position;
                    progress.settle(self.info.id, settled);
                    visitor.settled(progress)?;
                }
            }
        }
        Ok(Ok(()))
    }

    fn slot<V: Visitor>(&mut self, slots: Slots, at: u64, visitor: &mut V) -> Result<Outcome, ReadError> {
        match slots {
            Slots::Log => self.entry(at, None, None, visitor),
            Slots::Records(statement) => self.record(statement, at, None, None, visitor),
            Slots::Transactions { time_at, entries_at } => self.transaction(at, time_at, entries_at, visitor),
        }
    }

    fn transaction<V: Visitor>(
        &mut self,
        slot: u64,
        time_at: u64,
        entries_at: u64,
        visitor: &mut V,
    ) -> Result<Outcome, ReadError> {
        let found = self
            .budget
            .take(1)
            .and_then(|()| recording::transaction(&mut self.file, slot, time_at, entries_at));
        let Transaction { time, entries, count } = match found {
            Ok(found) => found,
            Err(error) => return self.blame(None, error, visitor),
        };
        // Nanoseconds; a time before 1970, or after 2554, is none.
        let time = u64::try_from(time).ok().and_then(|micros| micros.checked_mul(1000));
        let transaction = (count > 1).then_some(self.position);
        for number in 0..count {
            let given = self.entry(entries + number * ENTRY_BYTES, time, transaction, visitor)?;
            if given.is_err() {
                return Ok(given);
            }
        }
        Ok(Ok(()))
    }

    fn entry<V: Visitor>(
        &mut self,
        at: u64,
        time: Option<u64>,
        transaction: Option<u64>,
        visitor: &mut V,
    ) -> Result<Outcome, ReadError> {
        if let Err(error) = self.budget.take(1) {
            return Ok(Err(error));
        }
        if self.position < self.from {
            self.position += 1;
            return Ok(Ok(()));
        }
        match self.recording.entry(&mut self.file, at) {
            Ok((statement, place)) => self.record(statement, place, time, transaction, visitor),
            Err(error) => {
                self.position += 1;
                self.blame(None, error, visitor)
            }
        }
    }

    fn record<V: Visitor>(
        &mut self,
        statement: usize,
        place: u64,
        time: Option<u64>,
        transaction: Option<u64>,
        visitor: &mut V,
    ) -> Result<Outcome, ReadError> {
        let position = self.position;
        self.position += 1;
        if position < self.from {
            return Ok(self.budget.take(1));
        }
        self.payload.clear();
        let read = self
            .recording
            .payload(&mut self.file, statement, place, &mut self.budget, &mut self.payload);
        if let Err(error) = read {
            return self.blame(Some(statement), error, visitor);
        }
        let record = Record {
            position,
            transaction,
            time,
            drained: 0,
            definition: &self.recording.statements[statement].definition,
            payload: &self.payload,
        };
        visitor.record(&self.info, &record)?;
        Ok(Ok(()))
    }

    /// Tells what is wrong with the file, once.
    fn tell<V: Visitor>(&mut self, damage: Vec<Damage>, visitor: &mut V) -> io::Result<()> {
        for error in damage {
            let words = error.to_string();
            if self.told.len() < FAULTS_TOLD && !self.told.contains(&words) {
                self.told.push(words);
                let path = self.path.clone();
                visitor.fault(&Fault::Recording { path, error })?;
            }
        }
        Ok(())
    }

    /// Tells that something is wrong with a record, unless that was told of another of its statement. Some errors end the file.
    fn blame<V: Visitor>(
        &mut self,
        statement: Option<usize>,
        error: Damage,
        visitor: &mut V,
    ) -> Result<Outcome, ReadError> {
        if matches!(error, Damage::Tangled | Damage::Read(_)) {
            return Ok(Err(error));
        }
        if self.blamed.insert(statement.unwrap_or(usize::MAX)) {
            visitor.fault(&Fault::RecordOf {
                path: self.path.clone(),
                number: self.position,
                statement: statement.map(|place| self.recording.statements[place].definition.name.clone()),
                error,
            })?;
        }
        Ok(Ok(()))
    }
}

/// What a file is as a stream.
fn info(path: &Path, number: usize) -> Result<StreamInfo, ReadError> {
    let metadata = std::fs::metadata(path).map_err(|source| ReadError::Path {
        path: path.to_owned(),
        source,
    })?;
    let created = metadata
        .created()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let identity = format!("hog:file:{}:{}:{:?}", metadata.dev(), metadata.ino(), created);
    Ok(StreamInfo {
        number,
        group: group_of(path).into(),
        id: StreamId(Uuid::new_v5(&Uuid::NAMESPACE_OID, identity.as_bytes())),
        producer: path
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default()
            .into(),
        first: 0,
    })
}

/// The group that a file is of by its path; always a name that a group may have.
fn group_of(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name_of = |path: Option<&Path>| {
        path.and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned())
    };
    let date = path.parent();
    let group = match (name_of(date), name_of(date.and_then(Path::parent))) {
        (Some(date), Some(group)) if is_date(&date) && hog_ring::is_group_name(&group) => return group,
        _ => path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default(),
    };
    let allowed = |letter: char| {
        if letter.is_ascii_alphanumeric() || "._-".contains(letter) {
            letter
        } else {
            '_'
        }
    };
    let group: String = group.trim_start_matches('.').chars().map(allowed).take(64).collect();
    if group.is_empty() { "log".to_owned() } else { group }
}

/// Whether it is a date as patterns have it: `2026.11.22`.
fn is_date(name: &str) -> bool {
    name.len() == 10
        && name.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'.',
            _ => byte.is_ascii_digit(),
        })
}
