//! Spools and where they are to go: which session opened a spool under which epoch, for which destinations, how its
//! senders fare, and what each destination acknowledged.
//!
//! Frames belong to the epoch under which they were spooled, and an epoch to its destinations; this is where a later
//! session learns who is still owed the backlog.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::column::{Id, Word, stored_words};
use crate::error::{Error, Failure};
use crate::{SessionId, Stat};

stored_words! {
    /// How the sender to one destination fares.
    pub enum SenderStatus {
        /// It ships, or tries to connect.
        Started = "started",
        /// It gave up for now, or may not go on.
        Suspended = "suspended",
        /// It is done: nothing is owed to that destination.
        Closed = "closed",
    }
}

/// A spool as a session opens it.
#[derive(Debug, Clone)]
pub struct NewSpool<'a> {
    /// The group whose log it is.
    pub group: &'a str,
    /// Its directory.
    pub directory: &'a str,
    /// The spool's uuid.
    pub sender: Uuid,
    /// Its epoch, raised for this opening.
    pub epoch: u64,
    /// `HOST:PORT` texts, in the order named.
    pub destinations: &'a [String],
}

/// A spool as a session opened it: one run of its drainer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolRun {
    /// The session. Sessions are numbered in the order in which they began.
    pub session: SessionId,
    /// The spool's directory.
    pub directory: String,
    /// The spool's uuid.
    pub sender: Uuid,
    /// The epoch of this opening.
    pub epoch: u64,
    /// A later session found nothing in that spool any more.
    pub emptied: bool,
}

impl Stat {
    /// Records a spool, its destinations, and a started sender to each. Repeated by the same session it adds what is
    /// missing.
    ///
    /// # Errors
    /// [`Error::EpochTaken`] if another session had this epoch of this spool.
    pub fn register_spool(&mut self, session: SessionId, spool: &NewSpool<'_>, now: i64) -> Result<(), Error> {
        self.write(|db| {
            let row = spool_row(db, session, spool, now)?;
            for address in spool.destinations {
                db.prepare_cached("INSERT INTO destinations (spool, address) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                    .execute(params![row, address])?;
                let destination: i64 = db
                    .prepare_cached("SELECT id FROM destinations WHERE spool = ?1 AND address = ?2")?
                    .query_row(params![row, address], |row| row.get(0))?;
                sender_status(db, session, destination, SenderStatus::Started, now)?;
            }
            Ok(())
        })
    }

    /// The runs of a group's spools, oldest first: of those of one spool that follow one another the last. A group may have had a hundred
    /// thousand, nearly always of the same spool.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn spool_runs(&self, group: &str) -> Result<Vec<SpoolRun>, Error> {
        self.read(|db| {
            // Rows come in the order of their sessions: who registers a spool has the store.
            let mut query = db.prepare_cached(
                "SELECT session, directory, sender, epoch, emptied IS NOT NULL FROM spools WHERE group_name = ?1 ORDER BY id DESC",
            )?;
            let mut rows = query.query([group])?;
            let mut runs: Vec<SpoolRun> = Vec::new();
            let mut later: Option<(String, String, bool)> = None; // of the run behind this one
            while let Some(row) = rows.next()? {
                let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
                let (directory, sender) = (text(1)?, text(2)?);
                let emptied: bool = row.get(4)?;
                if later
                    .as_ref()
                    .is_some_and(|later| (later.0.as_str(), later.1.as_str(), later.2) == (directory, sender, emptied))
                {
                    continue;
                }
                later = Some((directory.to_owned(), sender.to_owned(), emptied));
                runs.push(SpoolRun {
                    session: SessionId(row.get(0)?),
                    directory: directory.to_owned(),
                    sender: row.get::<_, Id>(2)?.0,
                    epoch: row.get::<_, Word>(3)?.0,
                    emptied,
                });
            }
            runs.reverse();
            Ok(runs)
        })
    }

    /// Whether any session opened a spool of `group`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn knows_spools_of(&self, group: &str) -> Result<bool, Error> {
        self.read(|db| {
            Ok(db
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM spools WHERE group_name = ?1)")?
                .query_row([group], |row| row.get(0))?)
        })
    }

    /// The session that opened the spool `sender`, or one that was in `directory`, for its run `epoch`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn session_of_run(&self, sender: Uuid, directory: &str, epoch: u64) -> Result<Option<SessionId>, Error> {
        self.read(|db| {
            let by_sender = db
                .prepare_cached("SELECT session FROM spools WHERE sender = ?1 AND epoch = ?2")?
                .query_row(params![Id(sender), Word(epoch)], |row| row.get(0).map(SessionId))
                .optional()?;
            if by_sender.is_some() {
                return Ok(by_sender);
            }
            // A spool that was given another identity holds what it spooled under its former one.
            Ok(db
                .prepare_cached("SELECT session FROM spools WHERE directory = ?1 AND epoch = ?2 ORDER BY id LIMIT 1")?
                .query_row(params![directory, Word(epoch)], |row| row.get(0).map(SessionId))
                .optional()?)
        })
    }

    /// Records that there is nothing in the spool of `sender` any more, of any run up to now.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn spool_emptied(&mut self, sender: Uuid, now: i64) -> Result<(), Error> {
        self.write(|db| {
            db.prepare_cached("UPDATE spools SET emptied = ?2 WHERE sender = ?1 AND emptied IS NULL")?
                .execute(params![Id(sender), now])?;
            Ok(())
        })
    }

    /// The groups of which a session ever opened a spool, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn groups(&self) -> Result<Vec<String>, Error> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT DISTINCT group_name FROM spools ORDER BY group_name")?;
            let groups = query.query_map([], |row| row.get(0))?;
            Ok(groups.collect::<Result<_, _>>()?)
        })
    }

    /// Records that `address` gets nothing more of what sessions up to now drained of `group`: it is owed nothing by any
    /// run that is known. Returns how many runs owed it something.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn abandon_destination(&mut self, group: &str, address: &str, now: i64) -> Result<usize, Error> {
        self.write(|db| {
            let abandoned = db
                .prepare_cached(
                    "UPDATE destinations SET abandoned = ?3
                      WHERE address = ?2 AND abandoned IS NULL
                        AND spool IN (SELECT id FROM spools WHERE group_name = ?1)",
                )?
                .execute(params![group, address, now])?;
            Ok(abandoned)
        })
    }

    /// Drops what `address` acknowledged of any spool of `group`. Returns of how many streams.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn forget_destination(&mut self, group: &str, address: &str) -> Result<usize, Error> {
        self.write(|db| {
            let forgotten = db
                .prepare_cached(
                    "DELETE FROM acknowledgements
                      WHERE address = ?2 AND sender IN (SELECT sender FROM spools WHERE group_name = ?1)",
                )?
                .execute(params![group, address])?;
            Ok(forgotten)
        })
    }

    /// To whom the frames go that were spooled under this epoch, in the order named then, without those that were
    /// abandoned. `None` if the database never heard of that epoch: it was lost since.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn destinations_of(&self, sender: Uuid, epoch: u64) -> Result<Option<Vec<String>>, Error> {
        self.read(|db| {
            let spool: Option<i64> = db
                .prepare_cached("SELECT id FROM spools WHERE sender = ?1 AND epoch = ?2")?
                .query_row(params![Id(sender), Word(epoch)], |row| row.get(0))
                .optional()?;
            let Some(spool) = spool else { return Ok(None) };
            let mut query = db.prepare_cached(
                "SELECT address FROM destinations WHERE spool = ?1 AND abandoned IS NULL ORDER BY id",
            )?;
            let addresses = query.query_map([spool], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(Some(addresses))
        })
    }

    /// Records how the sender of `group` to `address` fares. The address may be one that only an earlier session
    /// named, whose backlog this one ships. A status that is already the latest of this session adds nothing.
    ///
    /// # Errors
    /// [`Error::Unknown`] if no session ever named that address for that group.
    pub fn sender_state(
        &mut self,
        session: SessionId,
        group: &str,
        address: &str,
        status: SenderStatus,
        now: i64,
    ) -> Result<(), Error> {
        self.write(|db| {
            let destination: Option<i64> = db
                .prepare_cached(
                    "SELECT d.id FROM destinations d JOIN spools s ON s.id = d.spool
                      WHERE s.group_name = ?2 AND d.address = ?3
                      ORDER BY (s.session = ?1) DESC, s.id DESC LIMIT 1",
                )?
                .query_row(params![session.0, group, address], |row| row.get(0))
                .optional()?;
            match destination {
                Some(destination) => sender_status(db, session, destination, status, now),
                None => Err(Failure::Unknown(format!("destination {address} of group {group}"))),
            }
        })
    }

    /// Notes up to where `address` has streams of this sender on its disk. A position below the one noted before
    /// changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn note_acknowledged(
        &mut self,
        sender: Uuid,
        address: &str,
        positions: &[(Uuid, u64)],
        now: i64,
    ) -> Result<(), Error> {
        self.write(|db| {
            let mut note = db.prepare_cached(
                "INSERT INTO acknowledgements (sender, address, stream, position, time) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (sender, address, stream) DO UPDATE
                    SET position = excluded.position, time = excluded.time
                  WHERE excluded.position > position",
            )?;
            for &(stream, position) in positions {
                note.execute(params![Id(sender), address, Id(stream), Word(position), now])?;
            }
            Ok(())
        })
    }

    /// What `address` acknowledged of this sender's streams, as last noted. It may have more.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acknowledged(&self, sender: Uuid, address: &str) -> Result<HashMap<Uuid, u64>, Error> {
        self.read(|db| {
            let mut query =
                db.prepare_cached("SELECT stream, position FROM acknowledgements WHERE sender = ?1 AND address = ?2")?;
            let positions = query.query_map(params![Id(sender), address], |row| {
                let (Id(stream), Word(position)) = (row.get(0)?, row.get(1)?);
                Ok((stream, position))
            })?;
            Ok(positions.collect::<Result<_, _>>()?)
        })
    }

    /// Drops the acknowledgements of streams that `address` was told to forget, so that they do not pile up.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn forget_acknowledged(&mut self, sender: Uuid, address: &str, streams: &[Uuid]) -> Result<(), Error> {
        self.write(|db| {
            let mut forget =
                db.prepare_cached("DELETE FROM acknowledgements WHERE sender = ?1 AND address = ?2 AND stream = ?3")?;
            for &stream in streams {
                forget.execute(params![Id(sender), address, Id(stream)])?;
            }
            Ok(())
        })
    }
}

/// The row of this spool and epoch, new or from an earlier call of the same session.
fn spool_row(db: &Connection, session: SessionId, spool: &NewSpool<'_>, now: i64) -> Result<i64, Failure> {
    let &NewSpool {
        group,
        directory,
        sender,
        epoch,
        ..
    } = spool;
    let before: Option<(i64, i64)> = db
        .prepare_cached("SELECT id, session FROM spools WHERE sender = ?1 AND epoch = ?2")?
        .query_row(params![Id(sender), Word(epoch)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match before {
        Some((row, by)) if by == session.0 => Ok(row),
        Some((_, by)) => Err(Failure::EpochTaken {
            sender,
            epoch,
            session: by,
        }),
        None => {
            db.prepare_cached(
                "INSERT INTO spools (session, group_name, directory, sender, epoch, registered)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![session.0, group, directory, Id(sender), Word(epoch), now])?;
            Ok(db.last_insert_rowid())
        }
    }
}

/// Registers this session's sender to a destination if that is new, and appends its status if that is.
fn sender_status(
    db: &Connection,
    session: SessionId,
    destination: i64,
    status: SenderStatus,
    now: i64,
) -> Result<(), Failure> {
    db.prepare_cached(
        "INSERT INTO sender_registrations (session, destination, time) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(params![session.0, destination, now])?;
    let latest: Option<SenderStatus> = db
        .prepare_cached(
            "SELECT status FROM sender_states WHERE session = ?1 AND destination = ?2 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![session.0, destination], |row| row.get(0))
        .optional()?;
    if latest != Some(status) {
        db.prepare_cached("INSERT INTO sender_states (session, destination, status, time) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![session.0, destination, status, now])?;
    }
    Ok(())
}
