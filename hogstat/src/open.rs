//! Opening hogstat.db: versions, migrations, and what is done with a file that is not sound.
//!
//! A database's version is SQLite's `user_version`: the number of migrations it has been through. Those that are missing are applied in
//! one transaction together with the version, so a kill leaves a database as it was, and whoever reads beside it never sees one that is half made. A later version than this crate knows is refused before anything is written.
//!
//! Assumed of the disk: what SQLite assumes. Not assumed: that the file is ours, or whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::Stat;
use crate::error::{Error, Failure};

/// The script at index `n` turns version `n` into `n + 1`. Scripts that were released are never changed.
const MIGRATIONS: [&str; 7] = [
    include_str!("migrations/0001_tables.sql"),
    include_str!("migrations/0002_hobbes_views.sql"),
    include_str!("migrations/0003_archives.sql"),
    include_str!("migrations/0004_recovery.sql"),
    include_str!("migrations/0005_emptied.sql"),
    include_str!("migrations/0006_faults.sql"),
    include_str!("migrations/0007_syncs.sql"),
];

/// SQLite's `application_id`, "HogS": tells hog's databases from those of other programs.
const APPLICATION_ID: i64 = 0x486f_6753;

/// How long a call waits for the locks of others before it gives [`Error::Busy`]: less than a role may take to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Up to this size a database is checked as a whole at each open, which takes some milliseconds. Larger ones are
/// judged page by page as they are read.
const CHECKED_BYTES_MAX: u64 = 16 << 20;

impl Stat {
    /// Opens the database for reading and writing, makes it if there is none, and brings it up to date.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a file that is damaged or not hog's, [`Error::Newer`] for one of a later hog, both
    /// left as they are; [`Error::Busy`] and [`Error::Full`] are worth a retry.
    pub fn open(path: &Path) -> Result<Stat, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(|error| not_opened(error, path))?;
        prepare(&mut connection, path).map_err(|failure| failure.at(path))?;
        Ok(Stat {
            connection,
            path: path.to_path_buf(),
        })
    }

    /// Opens an existing database for reading alone, beside whoever writes it. Calls that write fail.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none; [`Error::Older`] or [`Error::Newer`] if it has another version than this
    /// crate's, since nothing is migrated.
    pub fn open_read_only(path: &Path) -> Result<Stat, Error> {
        if let Err(source) = fs::metadata(path) {
            let path = path.to_path_buf();
            return Err(match source.kind() {
                io::ErrorKind::NotFound => Error::Missing { path },
                _ => Error::Io { path, source },
            });
        }
        let connection = match read_only(path, false) {
            // Whoever may not write in the directory cannot make the files of the write-ahead log. Without a log
            // there is no writer and all is in the database itself, which can be read without them.
            Err(Failure::Sqlite(error)) if makes_no_log(&error) && !with_suffix(path, "-wal").exists() => {
                read_only(path, true)
            }
            other => other,
        };
        let connection = connection.map_err(|failure| failure.at(path))?;
        Ok(Stat {
            connection,
            path: path.to_path_buf(),
        })
    }
}

/// Renames a database that is not sound, and the files of its write-ahead log, to `hogstat.db.corrupt-<n>` (with `n`
/// from 1, the first that is free) and returns that name. Nothing is deleted: it may hold what someone still needs.
/// Every [`Stat`] on it should be dropped before, and the store must be locked.
///
/// # Errors
/// Those of the rename; `NotFound` if there is no such database.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut n = 1_u64;
    let aside = loop {
        let candidate = with_suffix(path, &format!(".corrupt-{n}"));
        let taken = |suffix| fs::symlink_metadata(with_suffix(&candidate, suffix)).is_ok();
        if !["", "-wal", "-shm"].into_iter().any(taken) {
            break candidate;
        }
        n += 1;
    };
    // The database goes first. A kill here leaves a log without a database, which SQLite discards; in the other
    // order it would leave a database without its newest part, which could pass for sound.
    fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Judges the file, then sets it up and migrates it.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Failure> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // SQLite opens a file that may not be written for reading, without a word.
    if connection.is_readonly("main")? {
        return Err(Failure::WriteProtected);
    }
    // A file of a later hog must stay as it is, and the last connection to close would otherwise move its
    // write-ahead log into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let found = judge_version(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    if fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_BYTES_MAX) {
        quick_check(connection)?;
    }
    distrust_schema(connection)?;
    // Where the file system has no shared memory for the log, SQLite stays with its rollback journal. That is as
    // safe, only readers and writers then wait for each other; so the answer is not looked at.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    if found < known_version() {
        // A table that is made anew is dropped in between, and its rows are named by others.
        connection.pragma_update(None, "foreign_keys", false)?;
        migrate(connection)?;
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// The version that the migrations of this crate lead to.
fn known_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The version of this database, if it is hog's and not of a later hog.
fn judge_version(connection: &Connection) -> Result<u32, Failure> {
    // One snapshot for all that is read: somebody may be making the database just now.
    let snapshot = connection.unchecked_transaction()?;
    let judged = judge_version_in(&snapshot);
    snapshot.finish()?;
    judged
}

fn judge_version_in(connection: &Connection) -> Result<u32, Failure> {
    let (found, known) = (version(connection)?, known_version());
    if found > known {
        return Err(Failure::Newer { found, known });
    }
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        let tables: i64 = connection.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if found != 0 || tables != 0 {
            return Err(Failure::Corrupt(format!(
                "a database of another program, application id {application}"
            )));
        }
    }
    Ok(found)
}

fn version(connection: &Connection) -> Result<u32, Failure> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    u32::try_from(found).map_err(|_| Failure::Corrupt(format!("version {found}")))
}

fn quick_check(connection: &Connection) -> Result<(), Failure> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(Failure::Corrupt(verdict))
    }
}

/// Applies the migrations that are missing, and sets the version, in one transaction: who reads meanwhile finds the version that was there, and never one in between.
fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again under the write lock: another process may have come first.
    let found = version(&all)?;
    for script in MIGRATIONS.iter().skip(found as usize) {
        all.execute_batch(script)?;
    }
    all.pragma_update(None, "application_id", APPLICATION_ID)?;
    all.pragma_update(None, "user_version", i64::from(found.max(known_version())))?;
    all.commit()?;
    Ok(())
}

/// The file may have been made by anyone: its views may not call what has effects, and its cells are checked.
fn distrust_schema(connection: &Connection) -> Result<(), Failure> {
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(())
}

/// A connection that cannot write. With `immutable`, SQLite takes no locks and looks for no log.
fn read_only(path: &Path, immutable: bool) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if immutable {
        Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(path, flags)?
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    distrust_schema(&connection)?;
    let (found, known) = (judge_version(&connection)?, known_version());
    if found < known {
        return Err(Failure::Older { found, known });
    }
    Ok(connection)
}

fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        // Writing to a String does not fail.
        let _ = write!(uri, "%{byte:02x}");
    }
    uri.push_str("?immutable=1");
    uri
}

/// Whether SQLite may have failed because it could not make the files of the write-ahead log.
fn makes_no_log(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

fn cannot_open(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
}

/// Finds out why SQLite could not open or make the file; it keeps the system's reason to itself. Trying again with
/// `create_new` opens nothing that exists: to close a second descriptor of the database would drop SQLite's locks.
fn not_opened(error: rusqlite::Error, path: &Path) -> Error {
    if cannot_open(&error)
        && let Err(source) = OpenOptions::new().write(true).create_new(true).open(path)
    {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => return Error::Full { path },
            io::ErrorKind::AlreadyExists => {}
            _ => return Error::Io { path, source },
        }
    }
    Failure::from(error).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_whose_log_cannot_be_made_is_read_without_one_whatever_its_name() {
        let store = tempfile::tempdir().unwrap();
        let path = store.path().join("a?b#c%20d&.db");
        drop(Stat::open(&path).unwrap());
        let connection = read_only(&path, true).unwrap();
        connection
            .query_one("SELECT count(*) FROM sessions", [], |row| row.get::<_, i64>(0))
            .unwrap();
        let files: Vec<_> = fs::read_dir(store.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files, [path]);
    }

    #[test]
    fn version_grows_by_one_with_each_migration_and_all_are_known() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(version(&connection).unwrap(), 0);
        migrate(&mut connection).unwrap();
        assert_eq!(version(&connection).unwrap(), known_version());
        assert_eq!(judge_version(&connection).unwrap(), known_version());
    }
}
