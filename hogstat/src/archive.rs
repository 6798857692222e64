//! Archives that a session drains rings into on its own host: nobody else can tell `hog status` where they are.

use rusqlite::{Connection, params};

use crate::error::{Error, Failure};
use crate::{SessionId, Stat};

/// The archive of a group as it was opened last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The session that opened it.
    pub session: SessionId,
    /// Its group.
    pub group: String,
    /// Its directory, perhaps with `$DATE` in it.
    pub directory: String,
}

impl Stat {
    /// Records that `session` drains the rings of `group` into the archive in `directory`. Said twice, the first time
    /// counts.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn register_archive(
        &mut self,
        session: SessionId,
        group: &str,
        directory: &str,
        now: i64,
    ) -> Result<(), Error> {
        self.write(|db| {
            db.prepare_cached(
                "INSERT INTO archives (session, group_name, directory, registered) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![session.0, group, directory, now])?;
            Ok(())
        })
    }
}

/// Of each group the archive that was opened last, by group.
pub(crate) fn latest(db: &Connection) -> Result<Vec<Archive>, Failure> {
    let mut query = db.prepare(
        "SELECT session, group_name, directory FROM archives
          WHERE id IN (SELECT max(id) FROM archives GROUP BY group_name) ORDER BY group_name",
    )?;
    let rows = query.query_map([], |row| {
        Ok(Archive {
            session: SessionId(row.get(0)?),
            group: row.get(1)?,
            directory: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
