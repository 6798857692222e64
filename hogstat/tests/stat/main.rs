//! hogstat from outside: what is recorded by one connection is what another one, or a later session, finds.

// Clippy's leave to unwrap in tests does not reach what tests share.
#![allow(clippy::unwrap_used)]

mod archives;
mod opening;
mod overview;
mod recoveries;
mod regions;
mod sessions;
mod spools;
mod views;

use std::path::PathBuf;

use hogstat::{NewRegion, NewSession, NewSpool, Role, SessionId, SessionKind, Stat};
use uuid::Uuid;

/// A store directory with a database in it.
struct Store {
    directory: tempfile::TempDir,
}

impl Store {
    fn new() -> Store {
        Store {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("hogstat.db")
    }

    fn open(&self) -> Stat {
        Stat::open(&self.path()).unwrap()
    }

    /// A connection that knows nothing of this crate, as the sqlite3 shell has it.
    fn shell(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// Begins a session of batchsend at time `now`.
fn begin(stat: &mut Stat, now: i64) -> SessionId {
    let argv = texts(&["hog", "batchsend", "-g", "web"]);
    let (role, kind) = (Role::Batchsend, SessionKind::Normal);
    let new = NewSession {
        role,
        argv: &argv,
        boot: uuid(1),
        pid: 4711,
        process_start: 99,
        kind,
        now,
        synced_by: "threads",
    };
    stat.begin_session(&new).unwrap()
}

/// Registers a spool of group `web`.
fn spool(stat: &mut Stat, session: SessionId, sender: Uuid, epoch: u64, destinations: &[&str], now: i64) {
    let destinations = texts(destinations);
    let new = NewSpool {
        group: "web",
        directory: "/spool/web",
        sender,
        epoch,
        destinations: &destinations,
    };
    stat.register_spool(session, &new, now).unwrap();
}

/// A ring of group `web` that boot 1 created at `created`.
fn ring(n: u128, created: u64) -> NewRegion<'static> {
    NewRegion {
        ring: uuid(n),
        group: "web",
        name: "nginx",
        path: "/dev/shm/hog/web/nginx.ring",
        created,
        boot: uuid(1),
        capacity: 1 << 20,
        position: 0,
    }
}
