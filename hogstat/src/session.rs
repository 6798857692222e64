//! Sessions, and the connections that they received.
//!
//! A session that was killed is one whose `ended` is NULL for ever; nothing is written on anybody's behalf later.

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::Stat;
use crate::column::{Argv, Id, Word, stored_words};
use crate::error::{Error, Failure};

/// How many faults are kept, and how many received connections: a crash loop or a flapping link must not fill the
/// disk. The oldest go first.
const JOURNAL_ROWS_MAX: i64 = 10_000;

/// A session's number in this database. They grow in the order in which sessions began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) i64);

impl SessionId {
    /// The number; 1 and up.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

stored_words! {
    /// What a session runs as.
    pub enum Role {
        /// Puts input lines into rings.
        Engine = "engine",
        /// Drains rings into spools and ships them.
        Batchsend = "batchsend",
        /// Receives into archives.
        Batchrecv = "batchrecv",
        /// Drains rings into archives on the same host.
        Local = "local",
    }
}

stored_words! {
    /// Whether a session serves producers, or only finishes what earlier ones left.
    pub enum SessionKind {
        /// Serves producers; may recover besides.
        Normal = "normal",
        /// Only recovers.
        Recovery = "recovery",
    }
}

/// What is known of a session when it begins.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// What it runs as.
    pub role: Role,
    /// Its command line.
    pub argv: &'a [String],
    /// The boot that it runs in.
    pub boot: Uuid,
    /// Its process.
    pub pid: u32,
    /// That process's start time in clock ticks since boot, which tells it from later ones of the same pid.
    pub process_start: u64,
    /// Normal, or recovery alone.
    pub kind: SessionKind,
    /// When it began, ns since 1970.
    pub now: i64,
    /// What syncs its files, in words.
    pub synced_by: &'a str,
}

impl Stat {
    /// Records that a session begins.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin_session(&mut self, session: &NewSession<'_>) -> Result<SessionId, Error> {
        self.write(|db| {
            db.prepare_cached(
                "INSERT INTO sessions (role, kind, argv, boot, pid, process_start, started, synced_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                session.role,
                session.kind,
                Argv(session.argv.to_vec()),
                Id(session.boot),
                session.pid,
                Word(session.process_start),
                session.now,
                session.synced_by
            ])?;
            Ok(SessionId(db.last_insert_rowid()))
        })
    }

    /// Records that a session ended cleanly. Said twice, the first time counts.
    ///
    /// # Errors
    /// [`Error::Unknown`] if this database has no such session.
    pub fn close_session(&mut self, session: SessionId, now: i64) -> Result<(), Error> {
        self.write(|db| {
            let closed = db
                .prepare_cached("UPDATE sessions SET ended = coalesce(ended, ?2) WHERE id = ?1")?
                .execute(params![session.0, now])?;
            if closed == 0 {
                Err(Failure::Unknown(format!("session {session}")))
            } else {
                Ok(())
            }
        })
    }

    /// Records that a sender connected. Of all connections the latest 10,000 are kept.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn record_connection(
        &mut self,
        session: SessionId,
        remote: &str,
        port: u16,
        group: &str,
        sender: Uuid,
        now: i64,
    ) -> Result<(), Error> {
        self.write(|db| {
            db.prepare_cached(
                "INSERT INTO receive_connections (session, time, remote, port, group_name, sender)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![session.0, now, remote, port, group, Id(sender)])?;
            forget_oldest(db, "DELETE FROM receive_connections WHERE id <= ?1")
        })
    }
}

/// Keeps the table into which a row was just inserted at its bound.
pub(crate) fn forget_oldest(db: &Connection, delete_up_to: &str) -> Result<(), Failure> {
    db.prepare_cached(delete_up_to)?
        .execute([db.last_insert_rowid() - JOURNAL_ROWS_MAX])?;
    Ok(())
}
