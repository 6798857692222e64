//! Records into `.log` files, one after the other: gathered, committed, and the next file begun where one must end.
//!
//! A file's environment never changes once it has its name. So a record of a statement that the file has no series for ends it, and so does a length from
//! which on it takes no more; the next one has series for all statements that are known by then. The name of the next file and the position from which
//! it goes on appear in one step, so whichever file is the last says how far everything is exported.
//!
//! One writer at a time: a lock beside the files is held.

use super::file::{FileError, LogFile};
use super::names::Names;
use super::stage::{Known, Stage, Waiting};
use crate::exit::{ExitStatus, Failure};
use crate::formats::fregion::commit::FILE_BYTES_FULL;
use crate::formats::fregion::fresh::{FreshError, Order, fresh};
use crate::formats::fregion::naming::are_alike;
use crate::modes::archive_reader::{NoProgress, Progress, Record, StreamInfo};
use crate::os::disk::{self, DiskError, UpdateFile};
use crate::os::lock::{DirectoryLock, LockError};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use uuid::Uuid;

/// Why records were not exported.
#[derive(Debug, Error)]
pub(in crate::modes) enum WriteError {
    /// Somebody else writes there.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The disk did not do what it should.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file cannot be written or gone on with.
    #[error("cannot go on with {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: FileError,
    },
    /// A file cannot be made.
    #[error("cannot make {}", path.display())]
    Fresh {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: FreshError,
    },
    /// What a file says of how far it was written cannot be read.
    #[error("cannot go on with {}", path.display())]
    Progress {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: NoProgress,
    },
    /// The kernel does not say which boot this is.
    #[error("cannot read the boot id")]
    Boot(#[source] io::Error),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match &error {
            WriteError::Lock(LockError::Held { .. }) => Self::new(ExitStatus::Locked, error.to_string()),
            WriteError::File {
                source: FileError::Foreign | FileError::Damaged,
                ..
            } => Self {
                status: ExitStatus::Unsafe,
                ..Self::of(&error)
            },
            _ => Self::of(&error),
        }
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        Self::other(error)
    }
}

/// A record that was not exported: whose it is, and why.
pub(in crate::modes) type Refused<'a> = dyn FnMut(&StreamInfo, &Record<'_>, &dyn std::fmt::Display) + 'a;

/// Writes records into `.log` files.
pub(in crate::modes) struct HobbesWriter {
    names: Names,
    order: Order,
    boot: Uuid,
    /// The number of the last file, and the file.
    current: Option<(u64, LogFile<UpdateFile>)>,
    /// The last file is not gone on with: the next commit begins another.
    begins_anew: bool,
    known: Known,
    stage: Stage,
    streams: HashMap<usize, StreamInfo>,
    /// How far the exported was read.
    progress: Progress,
    /// Something was committed since the last sync.
    is_unsynced: bool,
    _lock: DirectoryLock,
}

impl HobbesWriter {
    /// Takes the lock, and goes on behind what the last of the files has.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(super) fn open(names: Names, order: Order) -> Result<Self, WriteError> {
        disk::make_directory(names.directory())?;
        let lock = DirectoryLock::take_of_file(names.path())?;
        let boot = hog_ring::boot_id().map_err(WriteError::Boot)?;
        let mut writer = Self {
            order,
            boot,
            current: None,
            begins_anew: false,
            known: Known::default(),
            stage: Stage::default(),
            streams: HashMap::new(),
            progress: Progress::default(),
            is_unsynced: false,
            _lock: lock,
            names,
        };
        writer.go_on_with_newest()?;
        Ok(writer)
    }

    /// Goes on with the newest file. Of numbered ones others may have been written by the original, which are left as they are.
    fn go_on_with_newest(&mut self) -> Result<(), WriteError> {
        for number in self.names.all()?.into_iter().rev() {
            match self.go_on_with(number) {
                Err(WriteError::File {
                    source: FileError::Foreign,
                    ..
                }) if self.names.are_numbered() => {}
                other => return other,
            }
        }
        Ok(())
    }

    fn go_on_with(&mut self, number: u64) -> Result<(), WriteError> {
        let path = self.names.file(number);
        // A new file may have got its name without its directory being synced, and a kill may have left its other name.
        disk::unlink(&self.names.unfinished(number))?;
        disk::sync_directory(self.names.directory())?;
        let file = UpdateFile::open(&path)?;
        let file = LogFile::open(file, self.boot).map_err(|source| match source {
            FileError::Disk(error) => WriteError::Disk(error),
            source => WriteError::File {
                path: path.clone(),
                source,
            },
        })?;
        self.progress =
            Progress::from_json(&file.state().progress).map_err(|source| WriteError::Progress { path, source })?;
        for statement in &file.contents().statements {
            self.known.add(statement);
        }
        self.current = Some((number, file));
        Ok(())
    }

    /// Whether there was a file of hog's to go on with.
    pub(in crate::modes) fn goes_on(&self) -> bool {
        self.current.is_some()
    }

    /// Has the next commit begin another file.
    pub(in crate::modes) fn begin_anew(&mut self) {
        self.begins_anew = true;
    }

    /// Has the first file of these names go on where files of other names ended. If there are any of these, they know better.
    pub(in crate::modes) fn begin_at(&mut self, progress: Progress) {
        if self.current.is_none() {
            self.progress = progress;
        }
    }

    /// How far what is exported was read: where reading is to go on.
    pub(in crate::modes) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Makes a statement known without a record, so that the next file has a series for it.
    pub(in crate::modes) fn declare(&mut self, stream: &StreamInfo, record: &Record<'_>) {
        self.known.place(stream, record.definition);
    }

    /// Forgets which statements streams have, as numbers of streams are those of one reading.
    pub(in crate::modes) fn begin_reading(&mut self) {
        self.known.forget_streams();
        self.streams.clear();
    }

    /// Takes a record. It is in a file after a commit. Why not, if it never will be, is told to `refused`.
    pub(in crate::modes) fn record(&mut self, stream: &StreamInfo, record: &Record<'_>, refused: &mut Refused<'_>) {
        let statement = self.known.place(stream, record.definition);
        if let Some(reason) = self.known.refusal(statement) {
            refused(stream, record, reason);
            return;
        }
        self.streams.entry(stream.number).or_insert_with(|| stream.clone());
        self.stage.push(&self.known, statement, stream, record);
    }

    /// Whether so much waits that it is to be committed.
    pub(in crate::modes) fn is_full(&self) -> bool {
        self.stage.is_full()
    }

    /// Puts all records that were taken into a file, with `progress`, below which these are all that there is. Readers find them then, and so
    /// does the next run after a kill.
    ///
    /// # Errors
    /// [`WriteError`]; it is of no use then.
    pub(in crate::modes) fn commit(
        &mut self,
        progress: &Progress,
        refused: &mut Refused<'_>,
    ) -> Result<(), WriteError> {
        if self.stage.is_empty() && self.current.is_none() {
            return Ok(()); // there is nothing yet to keep it in
        }
        if !self.has_room() {
            self.roll()?;
        }
        let Some((number, file)) = &mut self.current else {
            return Ok(());
        };
        let place = places(&self.known, &self.stage, file);
        let at = |path: PathBuf| |source: FileError| WriteError::File { path, source };
        let mut additions = file.additions();
        let mut entries = Vec::new();
        for (transaction, records) in self.stage.transactions() {
            entries.clear();
            for record in records {
                match additions.record(place[&record.statement], self.stage.payload(record)) {
                    Ok(stored) => entries.push(stored),
                    Err(reason) => refuse(&self.known, &self.stage, &self.streams, record, &reason, refused),
                }
            }
            if !entries.is_empty() {
                let put = additions.transaction(transaction.micros, &entries);
                put.map_err(|full| at(self.names.file(*number))(full.into()))?;
            }
        }
        let finished = additions
            .finish(progress.to_json())
            .map_err(|full| at(self.names.file(*number))(full.into()))?;
        file.commit(finished).map_err(at(self.names.file(*number)))?;
        self.progress = progress.clone();
        self.is_unsynced = true;
        self.stage.clear();
        Ok(())
    }

    /// Has the disk hold what was committed.
    ///
    /// # Errors
    /// [`WriteError`]; it is of no use then.
    pub(in crate::modes) fn sync(&mut self) -> Result<(), WriteError> {
        if let Some((number, file)) = &mut self.current
            && self.is_unsynced
        {
            let path = self.names.file(*number);
            file.sync().map_err(|source| WriteError::File { path, source })?;
            self.is_unsynced = false;
        }
        Ok(())
    }

    /// Whether the last file can take what waits.
    fn has_room(&self) -> bool {
        let Some((_, file)) = &self.current else {
            return false;
        };
        let contents = file.contents();
        let has_series = |place: &usize| {
            let wanted = self.known.get(*place);
            contents.statements.iter().any(|statement| are_alike(statement, wanted))
        };
        let is_wanted = !self.begins_anew && contents.order == self.order && file.state().end < FILE_BYTES_FULL;
        self.stage.is_empty() || is_wanted && self.stage.needed.iter().all(has_series)
    }

    /// Ends the last file, and begins the next one, which goes on where that one ends.
    pub(super) fn roll(&mut self) -> Result<(), WriteError> {
        self.sync()?;
        let number = self.names.last()?.map_or(0, |number| number + 1);
        let (unfinished, path) = (self.names.unfinished(number), self.names.file(number));
        let statements = self.known.for_new_file(&self.stage.needed);
        let made = fresh(statements, self.order, self.progress.to_json());
        let made = made.map_err(|source| WriteError::Fresh {
            path: path.clone(),
            source,
        })?;
        disk::unlink(&unfinished)?;
        let file = UpdateFile::create(&unfinished)?;
        let file = LogFile::make(file, made, self.boot).map_err(|source| WriteError::File {
            path: unfinished.clone(),
            source,
        })?;
        disk::publish(&unfinished, &path)?;
        self.current = Some((number, file));
        self.begins_anew = false;
        Ok(())
    }
}

/// Which series of the file the statements have of which records wait.
fn places<D: super::file::Door>(known: &Known, stage: &Stage, file: &LogFile<D>) -> HashMap<usize, usize> {
    let statements = &file.contents().statements;
    let series = |place: usize| statements.iter().position(|one| are_alike(one, known.get(place)));
    let found = stage.needed.iter().filter_map(|place| Some((*place, series(*place)?)));
    found.collect()
}

/// Tells that a record is not exported.
fn refuse(
    known: &Known,
    stage: &Stage,
    streams: &HashMap<usize, StreamInfo>,
    waiting: &Waiting,
    reason: &dyn std::fmt::Display,
    refused: &mut Refused<'_>,
) {
    let record = Record {
        position: waiting.position,
        transaction: None,
        time: None,
        drained: 0,
        definition: known.get(waiting.statement),
        payload: stage.payload(waiting),
    };
    if let Some(stream) = streams.get(&waiting.stream) {
        refused(stream, &record, reason);
    }
}
