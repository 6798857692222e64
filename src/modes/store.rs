//! The store of a role: its directory, its lock, its hogstat.db, and the session in it.

use crate::exit::{ExitStatus, Failure};
use crate::os::clock;
use crate::os::disk;
use crate::os::lock::{DirectoryLock, LockError};
use hogstat::{NewSession, Role, SessionId, SessionKind, Stat};
use std::path::{Path, PathBuf};
use tracing::warn;

/// Where hog keeps what it keeps, unless told otherwise.
pub const STATE_DIRECTORY: &str = "/var/lib/hog";

/// The store that is meant when `-m` is not given: the original's variable, or a directory of `role` under
/// [`STATE_DIRECTORY`].
#[must_use]
pub fn default_store(role: &str) -> PathBuf {
    match std::env::var_os("HOBBES_STORE_DIR") {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        _ => Path::new(STATE_DIRECTORY).join(role),
    }
}

/// The name of the database in a store.
pub const DATABASE: &str = "hogstat.db";

/// A store that this process holds.
pub struct Store {
    /// Its directory.
    pub directory: PathBuf,
    /// Its database.
    pub stat: Stat,
    /// This run.
    pub session: SessionId,
    /// Whether the database had to be set aside.
    pub was_lost: bool,
    /// Held as long as the store.
    pub lock: DirectoryLock,
}

/// Turns a lock that is not to be had into exit 3, anything else into exit 1.
#[must_use]
pub fn lock_failure(error: &LockError) -> Failure {
    let status = if matches!(error, LockError::Held { .. }) {
        ExitStatus::Locked
    } else {
        ExitStatus::Failed
    };
    Failure::new(status, crate::exit::chain(error))
}

impl Store {
    /// Makes and takes the store in `directory`, and begins a session of `role` in its database. A database that is corrupt is set aside,
    /// and a fresh one begun.
    ///
    /// # Errors
    /// When somebody else has the store, or the database is of a newer hog or cannot be used.
    pub fn open(directory: &Path, role: Role) -> Result<Self, Failure> {
        disk::make_directory(directory).map_err(|error| Failure::of(&error))?;
        let lock = DirectoryLock::take(directory).map_err(|error| lock_failure(&error))?;
        let path = directory.join(DATABASE);
        let (mut stat, was_lost) = open_or_set_aside(&path)?;
        let argv: Vec<String> = std::env::args().collect();
        let pid = std::process::id();
        let session = NewSession {
            role,
            argv: &argv,
            boot: hog_ring::boot_id().unwrap_or_default(),
            pid,
            process_start: hog_ring::process_start_time(pid).unwrap_or_default(),
            kind: SessionKind::Normal,
            now: clock::now_db(),
        };
        let session = stat.begin_session(&session).map_err(|error| database_failure(&error))?;
        Ok(Self {
            directory: directory.to_owned(),
            stat,
            session,
            was_lost,
            lock,
        })
    }
}

fn open_or_set_aside(path: &Path) -> Result<(Stat, bool), Failure> {
    match Stat::open(path) {
        Ok(stat) => Ok((stat, false)),
        Err(hogstat::Error::Corrupt { .. }) => {
            let aside = hogstat::set_aside(path).map_err(|error| {
                Failure::new(
                    ExitStatus::Failed,
                    format!("cannot set {} aside: {error}", path.display()),
                )
            })?;
            warn!(
                "{} was corrupt: it is now {}, and a fresh one is begun",
                path.display(),
                aside.display()
            );
            Stat::open(path)
                .map(|stat| (stat, true))
                .map_err(|error| database_failure(&error))
        }
        Err(error) => Err(database_failure(&error)),
    }
}

/// The exit status of a database that cannot be used.
#[must_use]
pub fn database_failure(error: &hogstat::Error) -> Failure {
    let status = match error {
        hogstat::Error::Newer { .. } | hogstat::Error::Corrupt { .. } => ExitStatus::Integrity,
        hogstat::Error::EpochTaken { .. } => ExitStatus::Unsafe,
        _ => ExitStatus::Failed,
    };
    Failure::new(status, crate::exit::chain(error))
}
