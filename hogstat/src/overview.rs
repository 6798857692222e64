//! Everything that `hog status` shows of a database, read on one snapshot into plain values.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::archive::{self, Archive};
use crate::column::{Argv, Id, Word};
use crate::error::{Error, Failure};
use crate::fault::{self, Fault};
use crate::{Recovery, Region, RegionState, Role, SenderStatus, SessionId, SessionKind, Stat};

/// How many of the latest sessions, faults and connections an overview has.
const LATEST_ROWS: i64 = 20;

/// How many sessions that were not closed it has besides; a host where hog is killed every minute has many.
const NOT_CLOSED_ROWS_MAX: i64 = 200;

/// A database at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The latest 20 sessions, and of those before them the latest 200 that were not closed. Newest first.
    pub sessions: Vec<Session>,
    /// How many sessions in all were not closed: running, or killed.
    pub sessions_not_closed: u64,
    /// The regions that are neither ended nor abandoned, by group, then in the order they were first seen.
    pub regions: Vec<Region>,
    /// How many regions there are in each state.
    pub region_counts: RegionCounts,
    /// Of each group the spool that was opened last, by group.
    pub spools: Vec<Spool>,
    /// Of each group the archive on the same host that was opened last, by group.
    pub archives: Vec<Archive>,
    /// The recoveries that are not over, and the latest 20 that are, newest first.
    pub recoveries: Vec<Recovery>,
    /// The latest 20 faults, newest first.
    pub faults: Vec<Fault>,
    /// The latest session lost something, or does without a worker that failed too often.
    pub is_degraded: bool,
    /// The latest 20 connections that a receiver accepted, newest first.
    pub connections: Vec<ReceiveConnection>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// What it runs as.
    pub role: Role,
    /// Normal, or recovery alone.
    pub kind: SessionKind,
    /// Its command line.
    pub argv: Vec<String>,
    /// The boot that it runs in.
    pub boot: Uuid,
    /// Its process.
    pub pid: u32,
    /// That process's start time, clock ticks since boot.
    pub process_start: u64,
    /// When it began, ns since 1970.
    pub started: i64,
    /// When it ended cleanly, ns since 1970; `None` if it runs or was killed.
    pub ended: Option<i64>,
    /// What syncs its files, in words, if it said so.
    pub synced_by: Option<String>,
}

/// How many regions there are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegionCounts {
    /// Open.
    pub open: u64,
    /// Open, and taken over by a later run of their producer.
    pub adopted: u64,
    /// Kept for their producer's next run.
    pub kept: u64,
    /// Ended.
    pub ended: u64,
    /// Lost.
    pub lost: u64,
    /// Given up by a person.
    pub abandoned: u64,
}

/// A spool as it was opened last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// The session that opened it.
    pub session: SessionId,
    /// Its group.
    pub group: String,
    /// Its directory.
    pub directory: String,
    /// Its uuid.
    pub sender: Uuid,
    /// Its epoch at that opening.
    pub epoch: u64,
    /// Its destinations, in the order named.
    pub destinations: Vec<Destination>,
}

/// A destination of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `HOST:PORT` as it was named.
    pub address: String,
    /// How its sender fares, and since when (ns since 1970).
    pub status: Option<(SenderStatus, i64)>,
    /// What it acknowledged, by stream.
    pub acknowledged: Vec<Acknowledgement>,
}

/// Up to where a destination has a stream on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The stream.
    pub stream: Uuid,
    /// Below this position it has everything.
    pub position: u64,
    /// When that was noted, ns since 1970.
    pub time: i64,
}

/// A connection that a receiver accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveConnection {
    /// In which session.
    pub session: SessionId,
    /// When, ns since 1970.
    pub time: i64,
    /// The other end's address.
    pub remote: String,
    /// The other end's port.
    pub port: u16,
    /// The group it sends.
    pub group: String,
    /// The spool it sends from.
    pub sender: Uuid,
}

impl Stat {
    /// The whole picture, at one moment.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn overview(&self) -> Result<Overview, Error> {
        self.read(|db| {
            Ok(Overview {
                sessions: sessions(db)?,
                sessions_not_closed: sessions_not_closed(db)?,
                regions: regions(db)?,
                region_counts: region_counts(db)?,
                spools: spools(db)?,
                archives: archive::latest(db)?,
                recoveries: recoveries(db)?,
                faults: fault::latest(db, LATEST_ROWS)?,
                is_degraded: fault::is_degraded(db)?,
                connections: connections(db)?,
            })
        })
    }
}

fn sessions(db: &Connection) -> Result<Vec<Session>, Failure> {
    let mut query = db.prepare(
        "SELECT id, role, kind, argv, boot, pid, process_start, started, ended, synced_by FROM sessions
          WHERE id IN (SELECT id FROM sessions ORDER BY id DESC LIMIT ?1)
             OR id IN (SELECT id FROM sessions WHERE ended IS NULL ORDER BY id DESC LIMIT ?1 + ?2)
          ORDER BY id DESC",
    )?;
    let rows = query.query_map([LATEST_ROWS, NOT_CLOSED_ROWS_MAX], |row| {
        Ok(Session {
            id: SessionId(row.get(0)?),
            role: row.get(1)?,
            kind: row.get(2)?,
            argv: row.get::<_, Argv>(3)?.0,
            boot: row.get::<_, Id>(4)?.0,
            pid: row.get(5)?,
            process_start: row.get::<_, Word>(6)?.0,
            started: row.get(7)?,
            ended: row.get(8)?,
            synced_by: row.get(9)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn sessions_not_closed(db: &Connection) -> Result<u64, Failure> {
    let Word(count) = db.query_row("SELECT count(*) FROM sessions WHERE ended IS NULL", [], |row| {
        row.get(0)
    })?;
    Ok(count)
}

fn regions(db: &Connection) -> Result<Vec<Region>, Failure> {
    let sql = format!(
        "SELECT {} FROM regions WHERE state NOT IN ('ended', 'abandoned') ORDER BY group_name, id",
        Region::COLUMNS
    );
    let mut query = db.prepare(&sql)?;
    let rows = query.query_map([], Region::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn region_counts(db: &Connection) -> Result<RegionCounts, Failure> {
    let mut counts = RegionCounts::default();
    let mut query = db.prepare("SELECT state, count(*) FROM regions GROUP BY state")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let Word(count) = row.get(1)?;
        match row.get(0)? {
            RegionState::Open => counts.open = count,
            RegionState::Kept => counts.kept = count,
            RegionState::Ended => counts.ended = count,
            RegionState::Lost => counts.lost = count,
            RegionState::Adopted => counts.adopted = count,
            RegionState::Abandoned => counts.abandoned = count,
        }
    }
    Ok(counts)
}

fn spools(db: &Connection) -> Result<Vec<Spool>, Failure> {
    let mut query = db.prepare(
        "SELECT id, session, group_name, directory, sender, epoch FROM spools
          WHERE id IN (SELECT max(id) FROM spools GROUP BY group_name) ORDER BY group_name",
    )?;
    let mut rows = query.query([])?;
    let mut spools = Vec::new();
    while let Some(row) = rows.next()? {
        let sender = row.get::<_, Id>(4)?.0;
        spools.push(Spool {
            session: SessionId(row.get(1)?),
            group: row.get(2)?,
            directory: row.get(3)?,
            sender,
            epoch: row.get::<_, Word>(5)?.0,
            destinations: destinations(db, row.get(0)?, sender)?,
        });
    }
    Ok(spools)
}

fn destinations(db: &Connection, spool: i64, sender: Uuid) -> Result<Vec<Destination>, Failure> {
    let mut query = db.prepare_cached("SELECT id, address FROM destinations WHERE spool = ?1 ORDER BY id")?;
    let mut rows = query.query([spool])?;
    let mut destinations = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, address): (i64, String) = (row.get(0)?, row.get(1)?);
        let status = db
            .prepare_cached("SELECT status, time FROM sender_states WHERE destination = ?1 ORDER BY id DESC LIMIT 1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let acknowledged = acknowledgements(db, sender, &address)?;
        destinations.push(Destination {
            address,
            status,
            acknowledged,
        });
    }
    Ok(destinations)
}

fn acknowledgements(db: &Connection, sender: Uuid, address: &str) -> Result<Vec<Acknowledgement>, Failure> {
    let mut query = db.prepare_cached(
        "SELECT stream, position, time FROM acknowledgements WHERE sender = ?1 AND address = ?2 ORDER BY stream",
    )?;
    let rows = query.query_map(params![Id(sender), address], |row| {
        Ok(Acknowledgement {
            stream: row.get::<_, Id>(0)?.0,
            position: row.get::<_, Word>(1)?.0,
            time: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn recoveries(db: &Connection) -> Result<Vec<Recovery>, Failure> {
    let sql = format!(
        "{} WHERE r.outcome = 'begun'
             OR r.id IN (SELECT id FROM recoveries WHERE outcome <> 'begun' ORDER BY ended DESC, id DESC LIMIT ?1)
          ORDER BY r.id DESC",
        Recovery::SELECT
    );
    let mut query = db.prepare(&sql)?;
    let rows = query.query_map([LATEST_ROWS], Recovery::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn connections(db: &Connection) -> Result<Vec<ReceiveConnection>, Failure> {
    let mut query = db.prepare(
        "SELECT session, time, remote, port, group_name, sender FROM receive_connections ORDER BY id DESC LIMIT ?1",
    )?;
    let rows = query.query_map([LATEST_ROWS], |row| {
        Ok(ReceiveConnection {
            session: SessionId(row.get(0)?),
            time: row.get(1)?,
            remote: row.get(2)?,
            port: row.get(3)?,
            group: row.get(4)?,
            sender: row.get::<_, Id>(5)?.0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
