//! Regions: the rings that sessions drained, how far, and what became of them.
//!
//! A region begins open. It becomes *kept* when its ring is drained but may be adopted by the next run of its
//! producer, *adopted* when that has happened, *ended* when END was appended, *lost* when its memory is gone, *abandoned*
//! when a person gave it up. Kept and lost regions open again when their ring is registered again; ended and abandoned are
//! for ever. `position` is the last one noted, a lower bound: what the spool holds decides.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::column::{Id, Word, stored_words};
use crate::error::{Error, Failure};
use crate::{SessionId, Stat};

stored_words! {
    /// What became of a region.
    pub enum RegionState {
        /// Being drained, or left so by a session that was killed.
        Open = "open",
        /// Being drained, and written by a later run of its producer than the one that made it.
        Adopted = "adopted",
        /// Drained to its `tail`, and its ring left for the producer's next run.
        Kept = "kept",
        /// Drained and closed with END.
        Ended = "ended",
        /// Its memory is gone, with whatever it held above the last position.
        Lost = "lost",
        /// Given up by a person, with whatever was not delivered of it.
        Abandoned = "abandoned",
    }
}

stored_words! {
    /// What a session's reader of one region did last.
    pub enum ReaderStatus {
        /// It drains.
        Started = "started",
        /// It drained to the end.
        Closed = "closed",
        /// It found the memory gone.
        Lost = "lost",
    }
}

impl RegionState {
    /// What it says of the reader that brings a region into this state.
    fn reader(self) -> ReaderStatus {
        match self {
            RegionState::Open | RegionState::Adopted => ReaderStatus::Started,
            RegionState::Kept | RegionState::Ended | RegionState::Abandoned => ReaderStatus::Closed,
            RegionState::Lost => ReaderStatus::Lost,
        }
    }

    /// Whether no later note changes it.
    fn is_final(self) -> bool {
        matches!(self, RegionState::Ended | RegionState::Abandoned)
    }

    /// Whether its ring is being drained.
    fn is_open(self) -> bool {
        matches!(self, RegionState::Open | RegionState::Adopted)
    }
}

/// A ring as a session finds it.
#[derive(Debug, Clone)]
pub struct NewRegion<'a> {
    /// The ring's uuid, which names its stream.
    pub ring: Uuid,
    /// Its group.
    pub group: &'a str,
    /// Its producer's name.
    pub name: &'a str,
    /// Its file.
    pub path: &'a str,
    /// When it was created, CLOCK_BOOTTIME in ns.
    pub created: u64,
    /// The boot that this time counts from.
    pub boot: Uuid,
    /// Its capacity in bytes.
    pub capacity: u64,
    /// The position from which draining goes on.
    pub position: u64,
}

/// A region as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The ring's uuid, which names its stream.
    pub ring: Uuid,
    /// Its group.
    pub group: String,
    /// Its producer's name.
    pub name: String,
    /// Its file when it was last registered.
    pub path: String,
    /// When it was created, CLOCK_BOOTTIME in ns.
    pub created: u64,
    /// The boot that this time counts from. With another boot id than now, its memory is gone.
    pub boot: Uuid,
    /// Its capacity in bytes.
    pub capacity: u64,
    /// What became of it.
    pub state: RegionState,
    /// The greatest position noted: below it all was spooled.
    pub position: u64,
    /// The session that saw it first.
    pub first_session: SessionId,
    /// When that was, ns since 1970.
    pub first_seen: i64,
    /// When it was closed, ns since 1970; `None` while open.
    pub closed: Option<i64>,
}

impl Region {
    /// Pairs with [`Region::from_row`].
    pub(crate) const COLUMNS: &str =
        "ring, group_name, name, path, created, boot, capacity, state, position, first_session, first_seen, closed";

    pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Region> {
        Ok(Region {
            ring: row.get::<_, Id>(0)?.0,
            group: row.get(1)?,
            name: row.get(2)?,
            path: row.get(3)?,
            created: row.get::<_, Word>(4)?.0,
            boot: row.get::<_, Id>(5)?.0,
            capacity: row.get::<_, Word>(6)?.0,
            state: row.get(7)?,
            position: row.get::<_, Word>(8)?.0,
            first_session: SessionId(row.get(9)?),
            first_seen: row.get(10)?,
            closed: row.get(11)?,
        })
    }
}

impl Stat {
    /// Records that this session drains a ring. A ring known before keeps its first session and its greatest
    /// position; a kept or lost one is open again.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn register_region(&mut self, session: SessionId, region: &NewRegion<'_>, now: i64) -> Result<(), Error> {
        self.register_regions(session, std::slice::from_ref(region), now)
    }

    /// The same for several rings: all of them or none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn register_regions(&mut self, session: SessionId, regions: &[NewRegion<'_>], now: i64) -> Result<(), Error> {
        self.write(|db| {
            for region in regions {
                let row = region_row(db, session, region, now)?;
                db.prepare_cached(
                    "INSERT INTO reader_registrations (session, region, time) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![session.0, row, now])?;
                reader_status(db, session, row, ReaderStatus::Started, now)?;
            }
            Ok(())
        })
    }

    /// Records what became of a region and how far it was drained; with [`RegionState::Open`], only how far. An
    /// ended or abandoned region stays so, and its position never shrinks.
    ///
    /// # Errors
    /// [`Error::Unknown`] if that ring was never registered.
    pub fn region_state(
        &mut self,
        session: SessionId,
        ring: Uuid,
        state: RegionState,
        position: u64,
        now: i64,
    ) -> Result<(), Error> {
        self.write(|db| {
            let (row, before): (i64, RegionState) = db
                .prepare_cached("SELECT id, state FROM regions WHERE ring = ?1")?
                .query_row([Id(ring)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .ok_or_else(|| Failure::Unknown(format!("region {ring}")))?;
            let after = if before.is_final() { before } else { state };
            let closed = (!after.is_open()).then_some(now);
            db.prepare_cached(
                "UPDATE regions
                    SET closed = CASE WHEN state = ?2 THEN closed ELSE ?4 END,
                        state = ?2, position = max(position, ?3)
                  WHERE id = ?1",
            )?
            .execute(params![row, after, Word(position), closed])?;
            reader_status(db, session, row, after.reader(), now)
        })
    }

    /// The regions of a group that are open, adopted or kept, in the order in which their rings were created: boots
    /// in the order in which sessions met them, within a boot by creation time, then by who was seen first.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn unfinished_regions(&self, group: &str) -> Result<Vec<Region>, Error> {
        self.regions_in(group, "'open', 'adopted', 'kept'")
    }

    /// The same with those that are lost or abandoned: whoever finds their rings after all must know.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn regions_to_recover(&self, group: &str) -> Result<Vec<Region>, Error> {
        self.regions_in(group, "'open', 'adopted', 'kept', 'lost', 'abandoned'")
    }

    fn regions_in(&self, group: &str, states: &str) -> Result<Vec<Region>, Error> {
        // Creation times count from boot, so they compare only within one.
        let sql = format!(
            "SELECT {} FROM regions r WHERE group_name = ?1 AND state IN ({states})
              ORDER BY (SELECT min(id) FROM regions b WHERE b.boot = r.boot), created, id",
            Region::COLUMNS
        );
        self.read(|db| {
            let mut query = db.prepare_cached(&sql)?;
            let regions = query.query_map([group], Region::from_row)?;
            Ok(regions.collect::<Result<_, _>>()?)
        })
    }
}

/// The row of this ring, new or brought up to date.
fn region_row(db: &Connection, session: SessionId, region: &NewRegion<'_>, now: i64) -> Result<i64, Failure> {
    let row = db
        .prepare_cached(
            "INSERT INTO regions (ring, group_name, name, path, boot, created, capacity, first_session, first_seen,
                                  state, position)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', ?10)
             ON CONFLICT (ring) DO UPDATE
                SET path = excluded.path,
                    position = max(position, excluded.position),
                    closed = CASE WHEN state IN ('ended', 'abandoned') THEN closed END,
                    state = CASE WHEN state IN ('ended', 'abandoned', 'adopted') THEN state ELSE 'open' END
             RETURNING id",
        )?
        .query_row(
            params![
                Id(region.ring),
                region.group,
                region.name,
                region.path,
                Id(region.boot),
                Word(region.created),
                Word(region.capacity),
                session.0,
                now,
                Word(region.position)
            ],
            |row| row.get(0),
        )?;
    Ok(row)
}

/// Appends a status of this session's reader unless it is the latest already.
fn reader_status(
    db: &Connection,
    session: SessionId,
    region: i64,
    status: ReaderStatus,
    now: i64,
) -> Result<(), Failure> {
    let latest: Option<ReaderStatus> = db
        .prepare_cached("SELECT status FROM reader_states WHERE session = ?1 AND region = ?2 ORDER BY id DESC LIMIT 1")?
        .query_row(params![session.0, region], |row| row.get(0))
        .optional()?;
    if latest != Some(status) {
        db.prepare_cached("INSERT INTO reader_states (session, region, status, time) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![session.0, region, status, now])?;
    }
    Ok(())
}
