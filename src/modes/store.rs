//! The store of a role: its directory, its lock, its hogstat.db, and the session in it.
//!
//! The database is not needed to find a record, only to know whose it is; so a start does not fail for what will pass. While another program
//! locks it, a start waits, for a time. When the disk is full, it uses the store's reserve: a sender that did not start could not
//! make room by delivering what it has. A database that is corrupt is set aside; one of a later hog is left alone, and refused.

use crate::exit::{ExitStatus, Failure};
use crate::limits::STORE_RESERVE_BYTES;
use crate::modes::stop::Stop;
use crate::os::clock;
use crate::os::disk;
use crate::os::lock::{DirectoryLock, LockError};
use crate::stages::spool::reserve::{RESERVE, Reserve};
use hogstat::{NewSession, Role, SessionId, SessionKind, Stat};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
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

/// How long a start waits for another program that locks the database. Nobody's records are at risk meanwhile: they are in rings and spools.
const LOCKED_MAX: Duration = Duration::from_secs(60);

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
    /// and a fresh one begun; for one that is locked it waits, until `stop` or for a minute.
    ///
    /// # Errors
    /// When somebody else has the store, or the database is of a newer hog, stays locked or cannot be used; with status 0 when it was to stop.
    pub fn open(directory: &Path, role: Role, stop: &Stop) -> Result<Self, Failure> {
        Self::open_as(directory, (role, SessionKind::Normal), stop)
    }

    /// The same for a session of a sender that serves nobody and only settles what earlier ones left. The store must be there.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_to_recover(directory: &Path, stop: &Stop) -> Result<Self, Failure> {
        if !directory.join(DATABASE).exists() {
            let words = format!(
                "{} has no {DATABASE}: nothing has run with this store",
                directory.display()
            );
            return Err(Failure::new(ExitStatus::Failed, words));
        }
        Self::open_as(directory, (Role::Batchsend, SessionKind::Recovery), stop)
    }

    fn open_as(directory: &Path, kind: (Role, SessionKind), stop: &Stop) -> Result<Self, Failure> {
        disk::make_directory(directory).map_err(|error| Failure::of(&error))?;
        let lock = DirectoryLock::take(directory).map_err(|error| lock_failure(&error))?;
        let path = directory.join(DATABASE);
        let mut reserve = Reserve::of(directory);
        let give_up_at = Instant::now() + LOCKED_MAX;
        let mut said = false;
        let (stat, session, was_lost) = loop {
            let error = match begin(&path, kind)? {
                Ok(begun) => break begun,
                Err(error) => error,
            };
            let is_locked = matches!(error, hogstat::Error::Busy { .. });
            let has_room_now = matches!(error, hogstat::Error::Full { .. })
                && reserve.release().map_err(|error| Failure::of(&error))?;
            if is_locked && Instant::now() < give_up_at {
                if !said {
                    warn!("{error}; the start waits for it");
                    said = true;
                }
                if stop.wait(Duration::from_millis(100)) {
                    let words = format!("asked to end while {} was locked", path.display());
                    return Err(Failure::new(ExitStatus::Done, words));
                }
            } else if has_room_now {
                warn!("{error}; the store's reserve is used");
            } else {
                return Err(database_failure(&error));
            }
        };
        keep_reserve(directory);
        Ok(Self {
            directory: directory.to_owned(),
            stat,
            session,
            was_lost,
            lock,
        })
    }
}

/// Makes the reserve of the store in `directory`, if it is not there and the disk has room for it.
pub fn keep_reserve(directory: &Path) {
    let is_there = std::fs::metadata(directory.join(RESERVE)).is_ok_and(|file| file.len() >= STORE_RESERVE_BYTES);
    if !is_there {
        // Without room it is tried again, and the start that would need it says what it lacks.
        let _ = Reserve::of(directory).ensure(STORE_RESERVE_BYTES);
    }
}

/// Opens the database and begins a session; says also whether it had to be set aside. The inner error may pass.
fn begin(
    path: &Path,
    (role, kind): (Role, SessionKind),
) -> Result<Result<(Stat, SessionId, bool), hogstat::Error>, Failure> {
    let (mut stat, was_lost) = match open_or_set_aside(path)? {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let argv: Vec<String> = std::env::args().collect();
    let pid = std::process::id();
    let session = NewSession {
        role,
        argv: &argv,
        boot: hog_ring::boot_id().unwrap_or_default(),
        pid,
        process_start: hog_ring::process_start_time(pid).unwrap_or_default(),
        kind,
        now: clock::now_db(),
        synced_by: &disk::synced_by(),
    };
    Ok(stat.begin_session(&session).map(|session| (stat, session, was_lost)))
}

fn open_or_set_aside(path: &Path) -> Result<Result<(Stat, bool), hogstat::Error>, Failure> {
    match Stat::open(path) {
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
            Ok(Stat::open(path).map(|stat| (stat, true)))
        }
        opened => Ok(opened.map(|stat| (stat, false))),
    }
}

/// The exit status of a database that cannot be used.
#[must_use]
pub fn database_failure(error: &hogstat::Error) -> Failure {
    let status = match error {
        hogstat::Error::Newer { .. } | hogstat::Error::Corrupt { .. } => ExitStatus::Integrity,
        hogstat::Error::EpochTaken { .. } => ExitStatus::Unsafe,
        hogstat::Error::Busy { .. } => ExitStatus::Locked,
        _ => ExitStatus::Failed,
    };
    Failure::new(status, crate::exit::chain(error))
}
