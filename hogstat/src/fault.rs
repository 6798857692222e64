//! Faults: what went wrong, with what, since when, how often.
//!
//! What keeps going wrong is one row that counts, so that neither a loop of crashes nor a peer that means harm makes the database grow or pushes
//! out what else went wrong. The latest 10,000 rows are kept.

use rusqlite::{Connection, Row, params};

use crate::column::{Word, stored_words};
use crate::error::{Error, Failure};
use crate::session::forget_oldest;
use crate::{SessionId, Stat};

/// A longer text about a fault is cut, in bytes.
const FAULT_TEXT_BYTES_MAX: usize = 4096;

stored_words! {
    /// Of which kind a fault is.
    pub enum FaultKind {
        /// Something of the world: a file, a disk, a ring. Nothing was lost by it.
        Fault = "fault",
        /// Records were lost, dropped or set aside.
        Loss = "loss",
        /// A worker panicked, and was started anew.
        Panic = "panic",
        /// A worker ended with an error, and was started anew.
        Error = "error",
        /// A worker did not move for too long; another took its place.
        Stall = "stall",
        /// A worker failed too often, and is not started anew.
        GivenUp = "given-up",
        /// Somebody on the network does not speak the protocol, or breaks its rules.
        Peer = "peer",
    }
}

impl FaultKind {
    /// Whether its object is a worker.
    pub fn is_of_worker(self) -> bool {
        matches!(self, Self::Panic | Self::Error | Self::Stall | Self::GivenUp)
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which session.
    pub session: SessionId,
    /// Of which kind.
    pub kind: FaultKind,
    /// When for the first time in that session, ns since 1970.
    pub time: i64,
    /// When for the last time, ns since 1970.
    pub last: i64,
    /// How often.
    pub count: u64,
    /// With what: a path, a ring, a destination, a worker.
    pub object: String,
    /// What happened.
    pub what: String,
}

impl Fault {
    const SELECT: &str = "SELECT session, kind, time, last, count, object, what FROM faults";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Fault> {
        Ok(Fault {
            session: SessionId(row.get(0)?),
            kind: row.get(1)?,
            time: row.get(2)?,
            last: row.get(3)?,
            count: row.get::<_, Word>(4)?.0,
            object: row.get(5)?,
            what: row.get(6)?,
        })
    }
}

impl Stat {
    /// Records that something went wrong: `what` happened to `object` (a path, a ring, a destination, a worker). When it happened before in this
    /// session, it is counted. Texts are cut at 4096 bytes; of all faults the latest 10,000 are kept.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn record_fault(
        &mut self,
        session: SessionId,
        kind: FaultKind,
        object: &str,
        what: &str,
        now: i64,
    ) -> Result<(), Error> {
        self.record_faults(session, kind, object, what, 1, now)
    }

    /// The same for what happened `times` times.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn record_faults(
        &mut self,
        session: SessionId,
        kind: FaultKind,
        object: &str,
        what: &str,
        times: u64,
        now: i64,
    ) -> Result<(), Error> {
        let (object, what, times) = (cut(object), cut(what), Word(times.max(1)));
        self.write(|db| {
            let counted = db
                .prepare_cached(
                    "UPDATE faults SET count = count + ?6, last = max(last, ?5)
                      WHERE id = (SELECT id FROM faults WHERE session = ?1 AND kind = ?2 AND object = ?3 AND what = ?4
                                  ORDER BY id DESC LIMIT 1)",
                )?
                .execute(params![session.0, kind, object, what, now, times])?;
            if counted > 0 {
                return Ok(());
            }
            db.prepare_cached(
                "INSERT INTO faults (session, kind, object, what, time, last, count) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
            )?
            .execute(params![session.0, kind, object, what, now, times])?;
            forget_oldest(db, "DELETE FROM faults WHERE id <= ?1")
        })
    }

    /// The faults that came last at `since` (ns since 1970) or after that, the one that came last at the end.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn faults_since(&self, since: i64) -> Result<Vec<Fault>, Error> {
        self.read(|db| select(db, "WHERE last >= ?1 ORDER BY last, id", since))
    }
}

/// The latest faults, newest first.
pub(crate) fn latest(db: &Connection, rows: i64) -> Result<Vec<Fault>, Failure> {
    select(db, "ORDER BY last DESC, id DESC LIMIT ?1", rows)
}

/// Whether the latest session lost something, or does without a worker.
pub(crate) fn is_degraded(db: &Connection) -> Result<bool, Failure> {
    let found = db.query_row(
        "SELECT EXISTS (SELECT 1 FROM faults
                         WHERE session = (SELECT max(id) FROM sessions) AND kind IN ('loss', 'given-up'))",
        [],
        |row| row.get(0),
    )?;
    Ok(found)
}

fn select(db: &Connection, rest: &str, bound: i64) -> Result<Vec<Fault>, Failure> {
    let mut query = db.prepare(&format!("{} {rest}", Fault::SELECT))?;
    let rows = query.query_map([bound], Fault::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FAULT_TEXT_BYTES_MAX)]
}
