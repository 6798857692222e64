//! What an export has come to, in one small file, and the step by which it comes further: all of it at once, or not at all.
//!
//! Several tables are written from one reading of the same streams. So one position for each stream says what all of them hold, and the file
//! `.hog/state.json` has it. A commit is the renaming of that file:
//!
//! 1. The new files lie in `.hog` as `N.part`, whole and synced, and their names there too.
//! 2. The new state, which has the positions up to which these files hold everything and says where each file belongs, takes the old one's place. This
//!    is the commit.
//! 3. Each file is renamed to where it belongs, and those directories are synced, before there is a next state.
//!
//! Killed before 2, the state is the old one, no reader has seen anything, and the files that it does not name are deleted at the next start. Killed after it,
//! the next start does what is left of 3, which can be done any number of times; the positions say that what the files hold is not read again.
//! So the rows of a table are those of a reading that nobody disturbed, in its order, whenever this was killed. A file has its name only
//! after its commit, and is final: it is never written again, and whoever moves or deletes it takes it as delivered.
//!
//! A loss of power is no different, since of two steps the earlier is on the disk before the later begins: before anything is built on a state that was found,
//! its directory is synced once more, for it may have been renamed by a process that was killed before it could do that.
//!
//! What was asked for is in the state as well: positions mean nothing for another selection, and files of two formats are no table.

use crate::exit::{ExitStatus, Failure};
use crate::modes::archive_reader::{NoProgress, Progress};
use crate::modes::export::part::PartFile;
use crate::os::disk::{self, DiskError};
use crate::os::lock::{DirectoryLock, LockError};
use hog_ring::mutant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::path::{Component, Path, PathBuf};
use thiserror::Error;

/// The directory, within that of the export, that is hog's own.
const OWN: &str = ".hog";
/// What the state is called in it.
const STATE: &str = "state.json";
/// What the names of files end with that are not delivered.
const UNFINISHED: &str = "part";
/// The kind of state that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Longest state that is read, in bytes: positions of some million streams.
const STATE_MAX: usize = 256 << 20;

/// Why an export cannot begin, or cannot commit.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process exports to the directory, or the lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The directory holds something that no state speaks of.
    #[error("{} is not empty and holds no export that could be gone on with: name another directory", .0.display())]
    Foreign(PathBuf),
    /// The state cannot be understood.
    #[error("{} says nothing that makes sense of what was exported: name another directory", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The state is not what was written.
    #[error("{} is damaged: its checksum does not fit: name another directory", .0.display())]
    Checksum(PathBuf),
    /// It says where to go on in words that are not understood.
    #[error("{} does not say where to go on: name another directory", path.display())]
    Progress {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NoProgress,
    },
    /// The state is of another version of hog.
    #[error("{} has version {found} and this hog knows version {VERSION}: name another directory", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The state names a file outside the export.
    #[error("{} names {name:?}, which is no file of an export: name another directory", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name in it.
        name: String,
    },
    /// The export was begun with other options.
    #[error("{} was exported with {there}, and this is {here}: ask for the same, or name another directory", path.display())]
    Terms {
        /// The directory.
        path: PathBuf,
        /// What was asked for when it was begun.
        there: String,
        /// What is asked for now.
        here: String,
    },
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let status = match &error {
            LedgerError::Lock(LockError::Held { .. }) => ExitStatus::Locked,
            LedgerError::Lock(_) | LedgerError::Disk(_) => ExitStatus::Failed,
            LedgerError::Foreign(_) => ExitStatus::Unsafe,
            LedgerError::Terms { .. } => ExitStatus::Usage,
            _ => ExitStatus::Integrity,
        };
        Self::new(status, crate::exit::chain(&error))
    }
}

/// What was asked for: the same for all that is in one directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) format: String,
    pub(super) partition: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) streams: BTreeSet<String>,
    pub(super) sources: BTreeSet<String>,
}

impl Terms {
    fn words(&self) -> String {
        let mut words = format!("--format {} --partition {}", self.format, self.partition);
        for (flag, values) in [
            ("group", &self.groups),
            ("stream", &self.streams),
            ("source", &self.sources),
        ] {
            for value in values {
                words.push_str(&format!(" --{flag} {value}"));
            }
        }
        words
    }
}

/// A table that has its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableEntry {
    pub(super) group: String,
    pub(super) statement: String,
    /// Tells its type from those of statements of the same name.
    pub(super) schema: String,
    /// Its directory, from that of the export.
    pub(super) directory: String,
}

/// A file that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) part: u64,
    /// Where to, from the directory of the export.
    pub(super) to: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    /// CRC-32C of all of it with zero in this place.
    checksum: u32,
    terms: Terms,
    /// The number of the next file.
    next: u64,
    progress: serde_json::Value,
    tables: Vec<TableEntry>,
    deliveries: Vec<Delivery>,
}

/// An export's directory, held.
#[derive(Debug)]
pub(super) struct Ledger {
    output: PathBuf,
    own: PathBuf,
    state: State,
    /// How far the committed export has come.
    progress: Progress,
    _lock: DirectoryLock,
}

impl Ledger {
    /// Takes the directory `output`, which is made if it is not there, finishes the commit that was under way, and deletes what never was committed.
    pub(super) fn open(output: &Path, terms: Terms) -> Result<Self, LedgerError> {
        let own = output.join(OWN);
        if output.is_dir() && !disk::is_there(&own) && !disk::entries(output)?.is_empty() {
            return Err(LedgerError::Foreign(output.to_owned())); // and nothing of ours is left there
        }
        disk::make_directory(&own)?;
        let lock = DirectoryLock::take(&own)?;
        let path = own.join(STATE);
        let state = match disk::read_whole(&path, STATE_MAX)? {
            Some(bytes) => State::understand(&bytes, &path, &terms, output)?,
            None if disk::entries(output)?.iter().all(|entry| *entry == own) => State::new(terms),
            None => return Err(LedgerError::Foreign(output.to_owned())),
        };
        let json = serde_json::to_vec(&state.progress).unwrap_or_default();
        let progress = Progress::from_json(&json).map_err(|source| LedgerError::Progress { path, source })?;
        disk::sync_directory(&own)?;
        let mut ledger = Self {
            output: output.to_owned(),
            own,
            state,
            progress,
            _lock: lock,
        };
        if !mutant::on("export-forgets-deliveries") {
            ledger.deliver()?;
        }
        ledger.sweep()?;
        Ok(ledger)
    }

    /// How far the export has come.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The tables that have directories.
    pub(super) fn tables(&self) -> &[TableEntry] {
        &self.state.tables
    }

    /// Gives a table its directory. It is remembered with the next commit.
    pub(super) fn add_table(&mut self, table: TableEntry) {
        self.state.tables.push(table);
    }

    /// Begins a new file; says its number.
    pub(super) fn begin(&mut self) -> Result<(u64, PartFile), LedgerError> {
        let number = self.state.next;
        let file = PartFile::create(&self.unfinished(number))?;
        self.state.next += 1;
        Ok((number, file))
    }

    /// All that `progress` has come to is in the files that were delivered before, and in these, which are synced: so it is from now on.
    pub(super) fn commit(&mut self, progress: &Progress, deliveries: Vec<Delivery>) -> Result<(), LedgerError> {
        if deliveries.is_empty() && *progress == self.progress && disk::is_there(&self.own.join(STATE)) {
            return Ok(());
        }
        self.state.progress = serde_json::from_slice(&progress.to_json()).unwrap_or_default();
        self.state.deliveries = deliveries;
        disk::sync_directory(&self.own)?;
        if mutant::on("export-delivers-before-state") {
            self.deliver_all(&self.state.deliveries)?;
        }
        let bytes = self.state.sealed();
        disk::write_whole(&self.own.join(STATE), &bytes)?;
        self.progress = progress.clone();
        self.deliver()
    }

    /// Deletes what never was committed. What is committed and could not be delivered stays: it is nowhere else, and is not exported again.
    pub(super) fn sweep(&self) -> Result<(), LedgerError> {
        let deliveries = self.state.deliveries.iter();
        let committed: HashSet<_> = deliveries.map(|delivery| self.unfinished(delivery.part)).collect();
        for path in disk::entries(&self.own)? {
            if !committed.contains(&path) && path.extension().is_some_and(|extension| extension == UNFINISHED) {
                disk::unlink(&path)?;
            }
        }
        Ok(())
    }

    fn unfinished(&self, number: u64) -> PathBuf {
        self.own.join(format!("{number}.{UNFINISHED}"))
    }

    /// Puts the files of the latest commit where they belong. Those that are not here any more are there, or were taken from there.
    fn deliver(&mut self) -> Result<(), LedgerError> {
        self.deliver_all(&self.state.deliveries)?;
        self.state.deliveries.clear();
        Ok(())
    }

    fn deliver_all(&self, deliveries: &[Delivery]) -> Result<(), LedgerError> {
        let mut directories = BTreeSet::new();
        for delivery in deliveries {
            let (from, to) = (self.unfinished(delivery.part), self.output.join(&delivery.to));
            if let Some(directory) = to.parent() {
                disk::make_directory(directory)?;
                directories.insert(directory.to_owned());
            }
            if disk::is_there(&from) {
                disk::rename(&from, &to)?;
            }
        }
        for directory in &directories {
            disk::sync_directory(directory)?;
        }
        Ok(())
    }
}

impl State {
    fn new(terms: Terms) -> Self {
        Self {
            version: VERSION,
            checksum: 0,
            terms,
            next: 1,
            progress: serde_json::from_slice(&Progress::default().to_json()).unwrap_or_default(),
            tables: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    /// Its bytes, under a checksum.
    fn sealed(&mut self) -> Vec<u8> {
        self.seal();
        self.bytes()
    }

    fn seal(&mut self) {
        self.checksum = 0;
        self.checksum = crc32c::crc32c(&self.bytes());
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn understand(bytes: &[u8], path: &Path, terms: &Terms, output: &Path) -> Result<Self, LedgerError> {
        let damaged = |source| LedgerError::State {
            path: path.to_owned(),
            source,
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
        let found = value.get("version").and_then(serde_json::Value::as_u64);
        match found.and_then(|found| u32::try_from(found).ok()) {
            Some(found) if found != VERSION => {
                let path = path.to_owned();
                return Err(LedgerError::Version { path, found });
            }
            _ => {}
        }
        let mut state: Self = serde_json::from_value(value).map_err(damaged)?;
        let said = state.checksum;
        state.seal();
        if state.checksum != said {
            return Err(LedgerError::Checksum(path.to_owned()));
        }
        if state.terms != *terms {
            return Err(LedgerError::Terms {
                path: output.to_owned(),
                there: state.terms.words(),
                here: terms.words(),
            });
        }
        let names = state.deliveries.iter().map(|delivery| &delivery.to);
        let mut names = names.chain(state.tables.iter().map(|table| &table.directory));
        match names.find(|name| !is_within(name)) {
            None => Ok(state),
            Some(name) => Err(LedgerError::Name {
                path: path.to_owned(),
                name: name.clone(),
            }),
        }
    }
}

/// Whether a name stays within the export, and out of what is hog's own.
fn is_within(name: &str) -> bool {
    let mut components = Path::new(name).components();
    !name.is_empty() && components.all(|component| matches!(component, Component::Normal(name) if name != OWN))
}
