//! Recoveries: what an earlier session left of a region, on its way to one destination, and what came of it.
//!
//! A recovery begins when a session finds something left, and is over when all of it reached the destination, is lost, or
//! was given up. A session that is killed in between leaves it begun; the next one goes on with the same row, so that
//! what one session left of a region for a destination is recovered once, however many sessions that takes.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::column::{Id, Word, stored_words};
use crate::error::{Error, Failure};
use crate::{SessionId, Stat};

stored_words! {
    /// What came of a recovery.
    pub enum RecoveryOutcome {
        /// It is not over.
        Begun = "begun",
        /// The destination has all of it on its disk.
        Delivered = "delivered",
        /// It is nowhere any more.
        Lost = "lost",
        /// A person gave it up.
        Abandoned = "abandoned",
    }
}

/// What is left of a region for a destination.
#[derive(Debug, Clone, Copy)]
pub struct NewRecovery<'a> {
    /// The ring's uuid.
    pub ring: Uuid,
    /// `HOST:PORT`, as it was named.
    pub address: &'a str,
    /// Below this position the destination is known to have all.
    pub from: u64,
    /// Up to here it is owed the stream.
    pub to: u64,
}

/// A recovery as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The latest session that worked at it.
    pub session: SessionId,
    /// The session that had left the region so.
    pub original_session: SessionId,
    /// The ring's uuid.
    pub ring: Uuid,
    /// Its group.
    pub group: String,
    /// `HOST:PORT`.
    pub address: String,
    /// From where it was owed.
    pub from: u64,
    /// Up to where.
    pub to: u64,
    /// What came of it.
    pub outcome: RecoveryOutcome,
    /// When it began, ns since 1970.
    pub began: i64,
    /// When it was over, ns since 1970.
    pub ended: Option<i64>,
}

impl Recovery {
    /// Pairs with [`Recovery::from_row`].
    pub(crate) const SELECT: &str = "SELECT r.session, r.original_session, g.ring, g.group_name, r.destination,
               r.from_position, r.to_position, r.outcome, r.began, r.ended
          FROM recoveries r JOIN regions g ON g.id = r.region";

    pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Recovery> {
        Ok(Recovery {
            session: SessionId(row.get(0)?),
            original_session: SessionId(row.get(1)?),
            ring: row.get::<_, Id>(2)?.0,
            group: row.get(3)?,
            address: row.get(4)?,
            from: row.get::<_, Word>(5)?.0,
            to: row.get::<_, Word>(6)?.0,
            outcome: row.get(7)?,
            began: row.get(8)?,
            ended: row.get(9)?,
        })
    }
}

impl Stat {
    /// Records that `session` sets out to recover what an earlier one left: the latest before it that drained the ring, or,
    /// if the database knows of none, itself. A pair that was begun before, or is over, stays as it is; the answer says whether
    /// this is a new one.
    ///
    /// # Errors
    /// [`Error::Unknown`] if that ring was never registered.
    pub fn begin_recovery(&mut self, session: SessionId, recovery: &NewRecovery<'_>, now: i64) -> Result<bool, Error> {
        let &NewRecovery {
            ring,
            address,
            from,
            to,
        } = recovery;
        self.write(|db| {
            let region = region_of(db, ring)?;
            let original: Option<i64> = db
                .prepare_cached("SELECT max(session) FROM reader_registrations WHERE region = ?1 AND session < ?2")?
                .query_row(params![region, session.0], |row| row.get(0))?;
            let recorded = db
                .prepare_cached(
                    "INSERT INTO recoveries (session, region, destination, original_session, from_position, to_position,
                                             outcome, began)
                     VALUES (?1, ?2, ?3, ?4, ?5, max(?5, ?6), ?7, ?8)
                     ON CONFLICT (region, destination, original_session) DO NOTHING",
                )?
                .execute(params![
                    session.0,
                    region,
                    address,
                    original.unwrap_or(session.0),
                    Word(from),
                    Word(to),
                    RecoveryOutcome::Begun,
                    now
                ])?;
            Ok(recorded == 1)
        })
    }

    /// Records what came of the recoveries of `ring` to `address` that are not over: of all that go no further than
    /// `position`, up to which the destination has the stream, or which nobody will ever deliver. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unknown`] if that ring was never registered.
    pub fn end_recovery(
        &mut self,
        session: SessionId,
        ring: Uuid,
        address: &str,
        position: u64,
        outcome: RecoveryOutcome,
        now: i64,
    ) -> Result<usize, Error> {
        self.write(|db| {
            let region = region_of(db, ring)?;
            let ended = db
                .prepare_cached(
                    "UPDATE recoveries SET session = ?1, outcome = ?5, ended = ?6
                      WHERE region = ?2 AND destination = ?3 AND to_position <= ?4 AND outcome = 'begun'",
                )?
                .execute(params![session.0, region, address, Word(position), outcome, now])?;
            Ok(ended)
        })
    }

    /// Records that nothing is recovered to `address` any more, of any ring of `group`. Returns how many recoveries that ends.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn abandon_recoveries_to(
        &mut self,
        session: SessionId,
        group: &str,
        address: &str,
        now: i64,
    ) -> Result<usize, Error> {
        self.write(|db| {
            let ended = db
                .prepare_cached(
                    "UPDATE recoveries SET session = ?1, outcome = 'abandoned', ended = ?4
                      WHERE outcome = 'begun' AND destination = ?3
                        AND region IN (SELECT id FROM regions WHERE group_name = ?2)",
                )?
                .execute(params![session.0, group, address, now])?;
            Ok(ended)
        })
    }

    /// The recoveries of a group that are not over, in the order in which they began.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn unfinished_recoveries(&self, group: &str) -> Result<Vec<Recovery>, Error> {
        let sql = format!(
            "{} WHERE r.outcome = 'begun' AND g.group_name = ?1 ORDER BY r.id",
            Recovery::SELECT
        );
        self.read(|db| {
            let mut query = db.prepare_cached(&sql)?;
            let recoveries = query.query_map([group], Recovery::from_row)?;
            Ok(recoveries.collect::<Result<_, _>>()?)
        })
    }
}

fn region_of(db: &Connection, ring: Uuid) -> Result<i64, Failure> {
    db.prepare_cached("SELECT id FROM regions WHERE ring = ?1")?
        .query_row([Id(ring)], |row| row.get(0))
        .optional()?
        .ok_or_else(|| Failure::Unknown(format!("region {ring}")))
}
