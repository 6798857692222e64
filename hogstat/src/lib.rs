//! hog's memory of its sessions: hogstat.db, an SQLite database in a store directory.
//!
//! It holds what a later session must know to finish the work of an earlier one: which rings were drained and how
//! far, which spools were opened under which epoch and for which destinations, what each destination acknowledged,
//! what was recovered. Nothing here is on the data path: callers write lifecycle events and at most one note a
//! second of what was acknowledged.
//!
//! The invariants:
//! - One call is one transaction, on disk when it returns (write-ahead log, `synchronous=FULL`). A call that fails
//!   stored nothing and may be repeated.
//! - Facts only grow: positions never shrink, an ended region stays ended, what a session left of a region is
//!   recovered once to each destination. So a repeated or late call does no harm.
//! - The database is never needed to find data, only to know whose it is. Lost or damaged, it is set aside and a
//!   fresh one takes its place; spools and rings say the rest.
//!
//! This crate alone knows SQL. It does not decide: who recovers what, and when, is the caller's business. It holds no
//! lock between calls and does not keep two writers apart; the lock on the store directory does.
//!
//! ```no_run
//! # fn main() -> Result<(), hogstat::Error> {
//! use hogstat::{Error, Stat, set_aside};
//! let path = std::path::Path::new("/var/lib/hog/hogstat.db");
//! let stat = match Stat::open(path) {
//!     Err(Error::Corrupt { .. }) if set_aside(path).is_ok() => Stat::open(path)?,
//!     other => other?,
//! };
//! for region in stat.unfinished_regions("web")? {
//!     println!("{} was drained to {}", region.path, region.position);
//! }
//! # Ok(()) }
//! ```

mod archive;
mod column;
mod error;
mod fault;
mod open;
mod overview;
mod recovery;
mod region;
mod session;
mod spool;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

pub use crate::archive::Archive;
pub use crate::error::Error;
use crate::error::Failure;
pub use crate::fault::{Fault, FaultKind};
pub use crate::open::set_aside;
pub use crate::overview::{Acknowledgement, Destination, Overview, ReceiveConnection, RegionCounts, Session, Spool};
pub use crate::recovery::{NewRecovery, Recovery, RecoveryOutcome};
pub use crate::region::{NewRegion, ReaderStatus, Region, RegionState};
pub use crate::session::{NewSession, Role, SessionId, SessionKind};
pub use crate::spool::{NewSpool, SenderStatus, SpoolRun};

/// One connection to hogstat.db. It can move between threads, and several can be open at once: readers are not held
/// up by a writer, and writers wait for each other for at most two seconds.
#[derive(Debug)]
pub struct Stat {
    connection: Connection,
    path: PathBuf,
}

const _: () = {
    const fn moves_between_threads<T: Send>() {}
    moves_between_threads::<Stat>();
};

impl Stat {
    /// The database's path, as it was given to [`Stat::open`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does `work` in one transaction that is durable when this returns. The write lock is taken at once, so that
    /// `work` never finds half-way that another writer came first.
    fn write<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Error> {
        let Stat { connection, path } = self;
        let attempt = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        attempt().map_err(|failure: Failure| failure.at(path))
    }

    /// Does `work` on one snapshot of the database.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Error> {
        let attempt = || {
            let snapshot = self.connection.unchecked_transaction()?;
            work(&snapshot)
        };
        attempt().map_err(|failure| failure.at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fresh() -> (tempfile::TempDir, Stat) {
        let store = tempfile::tempdir().unwrap();
        let stat = Stat::open(&store.path().join("hogstat.db")).unwrap();
        (store, stat)
    }

    fn begin(stat: &mut Stat) -> Result<SessionId, Error> {
        let argv = ["hog".to_owned()];
        let boot = uuid::Uuid::from_u128(1);
        let (role, kind) = (Role::Local, SessionKind::Normal);
        stat.begin_session(&NewSession {
            role,
            argv: &argv,
            boot,
            pid: 1,
            process_start: 1,
            kind,
            now: 1,
            synced_by: "threads",
        })
    }

    #[test]
    fn commits_reach_the_disk_before_a_call_returns() {
        let (_store, stat) = fresh();
        let pragma = |name| {
            stat.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .unwrap()
        };
        let (full, on) = (2, 1);
        assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (full, on));
        assert_eq!(pragma("busy_timeout"), 2000);
        let journal: String = stat
            .connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        assert_eq!(journal, "wal");
    }

    #[test]
    fn write_lock_of_another_connection_is_busy_and_the_call_works_once_it_is_gone() {
        let (_store, mut stat) = fresh();
        stat.connection.busy_timeout(Duration::ZERO).unwrap();
        let other = Connection::open(stat.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(begin(&mut stat), Err(Error::Busy { .. })));
        assert!(
            stat.overview().unwrap().sessions.is_empty(),
            "readers do not wait for a writer"
        );
        other.execute_batch("ROLLBACK").unwrap();
        begin(&mut stat).unwrap();
    }

    #[test]
    fn call_without_room_is_full_and_stores_nothing() {
        let (_store, mut stat) = fresh();
        let session = begin(&mut stat).unwrap();
        let pages: i64 = stat
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        let room_for = |stat: &Stat, pages: i64| {
            stat.connection
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
                .unwrap();
        };
        room_for(&stat, pages);
        let long = vec!["x".repeat(1 << 20)];
        let spool = NewSpool {
            group: "web",
            directory: "/spool",
            sender: uuid::Uuid::from_u128(7),
            epoch: 1,
            destinations: &long,
        };
        assert!(matches!(
            stat.register_spool(session, &spool, 1),
            Err(Error::Full { .. })
        ));
        assert_eq!(
            stat.destinations_of(spool.sender, 1).unwrap(),
            None,
            "not even the spool without destinations"
        );
        room_for(&stat, pages + 10_000);
        stat.register_spool(session, &spool, 1).unwrap();
    }

    #[test]
    fn row_of_a_session_that_does_not_exist_is_refused_by_its_foreign_key() {
        let (_store, mut stat) = fresh();
        let refused = stat.record_fault(SessionId(9), FaultKind::Fault, "ring", "shrunk", 1);
        assert!(matches!(refused, Err(Error::Unknown { .. })), "{refused:?}");
        let orphan = "INSERT INTO spools (session, group_name, directory, sender, epoch, registered)
                      VALUES (9, 'web', '/spool', 'x', 1, 1)";
        assert!(stat.connection.execute(orphan, []).is_err());
    }

    #[test]
    fn table_that_is_missing_is_corruption_not_a_mistake_of_the_caller() {
        let (_store, mut stat) = fresh();
        stat.connection
            .execute_batch("PRAGMA foreign_keys = OFF; DROP TABLE faults")
            .unwrap();
        let session = begin(&mut stat).unwrap();
        assert!(matches!(
            stat.record_fault(session, FaultKind::Fault, "ring", "shrunk", 1),
            Err(Error::Corrupt { .. })
        ));
    }
}
