//! `hog recover`: what earlier sessions left, what a sender would do with it, and how a person settles what no program can decide.
//!
//! The plan changes nothing and takes no lock. Whatever settles something takes the lock that a sender would take, so that none runs meanwhile, and is
//! recorded in hogstat.db as a session of its own.

mod dry_run;
pub mod facts;
mod identity;
mod settle;
pub mod words;

use crate::exit::{ExitStatus, Failure};
use clap::ValueEnum;
use std::path::PathBuf;
use uuid::Uuid;

/// How to print a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecoverFormat {
    /// For people
    Text,
    /// One JSON object a group
    Json,
}

/// What a person gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// `HOST:PORT`: what it is owed.
    Destination(String),
    /// A ring: what it still holds.
    Ring(Uuid),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Task {
    /// Say what a sender would do.
    Plan(RecoverFormat),
    /// Record what a person decided.
    Settle {
        /// Given up.
        abandon: Vec<Given>,
        /// Destinations whose acknowledgements are forgotten.
        forget: Vec<String>,
    },
    /// Make the spool in this directory another sender.
    NewIdentity(PathBuf),
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct RecoverOptions {
    /// The store.
    pub store: PathBuf,
    /// Where rings are.
    pub shm_dir: PathBuf,
    /// What is to be done.
    pub task: Task,
}

/// Does it.
///
/// # Errors
/// When the store or a spool cannot be read, is in use, or knows nothing of what was named.
pub fn run(options: &RecoverOptions) -> Result<ExitStatus, Failure> {
    match &options.task {
        Task::Plan(format) => dry_run::run(options, *format),
        Task::Settle { abandon, forget } => settle::run(options, abandon, forget),
        Task::NewIdentity(spool) => identity::renew(spool),
    }
}
