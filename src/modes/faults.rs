//! `hog faults`: what went wrong with a store's sessions, from hogstat.db: with what, since when, how often. It takes no lock and changes nothing.

use crate::exit::{ExitStatus, Failure};
use crate::modes::status::open_database;
use crate::modes::store::database_failure;
use crate::os::clock;
use clap::ValueEnum;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// How to print them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultsFormat {
    /// For people, a line each
    Text,
    /// A JSON object each
    Json,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct FaultsOptions {
    /// The store.
    pub store: PathBuf,
    /// Only those that came at this moment or later, nanoseconds since 1970.
    pub since: u64,
    /// How to print them.
    pub format: FaultsFormat,
}

/// Something that went wrong. As JSON it is a documented contract; times are RFC 3339.
#[derive(Debug, Serialize)]
pub struct FaultStatus {
    /// When for the first time in its session.
    pub time: String,
    /// When for the last time.
    pub last: String,
    /// How often.
    pub count: u64,
    /// In which session.
    pub session: String,
    /// Of which kind: see [`hogstat::FaultKind`].
    pub kind: String,
    /// Which worker, if it was one.
    pub worker: Option<String>,
    /// With what: a path, a ring, a destination, a worker.
    pub object: String,
    /// What.
    pub what: String,
}

impl FaultStatus {
    /// As the database has it.
    #[must_use]
    pub fn of(fault: &hogstat::Fault) -> Self {
        let time_of = |ns: i64| clock::rfc3339(u64::try_from(ns).unwrap_or(0));
        Self {
            time: time_of(fault.time),
            last: time_of(fault.last),
            count: fault.count,
            session: fault.session.to_string(),
            kind: fault.kind.to_string(),
            worker: fault.kind.is_of_worker().then(|| fault.object.clone()),
            object: fault.object.clone(),
            what: fault.what.clone(),
        }
    }

    /// In one line, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let times = match self.count {
            1 => String::new(),
            count => format!(" ({count} times since {})", self.time),
        };
        let words = format!("{} {}: {}: {}{times}", self.last, self.kind, self.object, self.what);
        crate::exit::one_line(&words)
    }
}

/// Prints the faults, the one that came last at the end.
///
/// # Errors
/// When the store cannot be read, or the output not be written.
pub fn run(options: &FaultsOptions) -> Result<ExitStatus, Failure> {
    let stat = open_database(&options.store)?;
    let since = i64::try_from(options.since).unwrap_or(i64::MAX);
    let faults = stat.faults_since(since).map_err(|error| database_failure(&error))?;
    let mut stdout = std::io::stdout().lock();
    for fault in faults.iter().map(FaultStatus::of) {
        let line = match options.format {
            FaultsFormat::Json => serde_json::to_string(&fault).map_err(|error| Failure::of(&error))?,
            FaultsFormat::Text => fault.in_words(),
        };
        match writeln!(stdout, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            other => other.map_err(|error| {
                let words = format!("cannot write the output: {error}");
                Failure::new(ExitStatus::Failed, words)
            })?,
        }
    }
    Ok(ExitStatus::Done)
}
