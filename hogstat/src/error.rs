//! What can go wrong with hogstat.db, sorted by what the caller does about it.
//!
//! Retry later: [`Error::Busy`], [`Error::Full`]. Set the file aside and start a fresh one: [`Error::Corrupt`].
//! Refuse to start: [`Error::Newer`], [`Error::EpochTaken`]. The rest is told to a person.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
use uuid::Uuid;

/// Why hogstat.db could not be opened, read or written. After any error nothing of that call was stored, so each
/// call can be repeated as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no database where one was to be read.
    #[error("{} does not exist", path.display())]
    Missing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The database was written by a later hog; its file was not changed.
    #[error("{} has version {found}, this hog knows only up to {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The greatest version that this crate knows.
        known: u32,
    },
    /// The database was written by an earlier hog and is only being read, so it cannot be brought up to date.
    #[error("{} has version {found}, which must first be brought to {known} by a hog that writes it", path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version that this crate needs.
        known: u32,
    },
    /// The file is damaged or no database of hog's. [`set_aside`](crate::set_aside) makes room for a fresh one.
    #[error("{} is not a sound hogstat database: {found}", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// Another connection kept the database locked longer than this one waits. Worth a retry.
    #[error("{} is locked by another process", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The disk, or the quota, is full. Worth a retry once there is room.
    #[error("no room on the disk for {}", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The file could not be created, inspected, or opened for writing.
    #[error("cannot open {}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The call names a session, region or destination that the database does not have.
    #[error("{} has no {what}", path.display())]
    Unknown {
        /// The database.
        path: PathBuf,
        /// What was named.
        what: String,
    },
    /// Another session already used this epoch of this spool: the spool was copied, or restored to an earlier state.
    #[error("{}: epoch {epoch} of spool {sender} was already used by session {session}", path.display())]
    EpochTaken {
        /// The database.
        path: PathBuf,
        /// The spool's uuid.
        sender: Uuid,
        /// The epoch.
        epoch: u64,
        /// The session that had it.
        session: i64,
    },
    /// A value that SQLite cannot hold: above 2^63 - 1.
    #[error("{} cannot hold a value", path.display())]
    Unstorable {
        /// The database.
        path: PathBuf,
        /// Which value.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else that SQLite reports.
    #[error("SQLite failed on {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
}

/// An [`Error`] that does not know its database yet. Queries speak of values; [`Failure::at`] adds the path.
#[derive(Debug)]
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Unknown(String),
    EpochTaken { sender: Uuid, epoch: u64, session: i64 },
    Newer { found: u32, known: u32 },
    Older { found: u32, known: u32 },
    Corrupt(String),
    WriteProtected,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

impl Failure {
    pub(crate) fn at(self, path: &Path) -> Error {
        let path = path.to_path_buf();
        match self {
            Failure::Sqlite(source) => sort(source, path),
            Failure::Unknown(what) => Error::Unknown { path, what },
            Failure::EpochTaken { sender, epoch, session } => Error::EpochTaken {
                path,
                sender,
                epoch,
                session,
            },
            Failure::Newer { found, known } => Error::Newer { path, found, known },
            Failure::Older { found, known } => Error::Older { path, found, known },
            Failure::Corrupt(found) => Error::Corrupt { path, found },
            Failure::WriteProtected => Error::Io {
                path,
                source: io::ErrorKind::PermissionDenied.into(),
            },
        }
    }
}

/// Sorts SQLite's errors by what can be done about them.
fn sort(source: rusqlite::Error, path: PathBuf) -> Error {
    use rusqlite::Error as Sqlite;
    match source {
        Sqlite::SqliteFailure(failure, ref message) => match failure.code {
            // PROTOCOL is a lost race for the locks of the write-ahead log.
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                Error::Busy { path }
            }
            ErrorCode::DiskFull => Error::Full { path },
            // The index of the write-ahead log could not grow; SQLite reports that apart from other full disks.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Error::Full { path },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::Corrupt {
                path,
                found: source.to_string(),
            },
            // The one reference that a call does not look up itself is that to its session.
            ErrorCode::ConstraintViolation if failure.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
                Error::Unknown {
                    path,
                    what: "such session".to_owned(),
                }
            }
            _ if lacks_schema(message.as_deref()) => Error::Corrupt {
                path,
                found: source.to_string(),
            },
            _ => Error::Sqlite { path, source },
        },
        Sqlite::SqlInputError { ref msg, .. } if lacks_schema(Some(msg)) => Error::Corrupt {
            path,
            found: source.to_string(),
        },
        // A column that holds what this crate never writes.
        Sqlite::FromSqlConversionFailure(..)
        | Sqlite::IntegralValueOutOfRange(..)
        | Sqlite::InvalidColumnType(..)
        | Sqlite::Utf8Error(..) => Error::Corrupt {
            path,
            found: source.to_string(),
        },
        Sqlite::ToSqlConversionFailure(source) => Error::Unstorable { path, source },
        _ => Error::Sqlite { path, source },
    }
}

/// The statements of this crate are fixed and fit its migrations. If a table or column is missing all the same, then
/// the file does not hold what its version number claims.
fn lacks_schema(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.starts_with("no such table") || message.starts_with("no such column"))
}
