//! The segment log: what spool and archive have in common.
//!
//! A log is a sequence of segment files, each of them a header, a checkpoint and frames (`docs/FORMATS.md`, section 6).
//! - It is only appended to, and only by the process that holds its lock; after a restart a *new* segment is begun, and the old one is never
//!   touched again.
//! - A segment without a whole checkpoint holds nothing, and its predecessor counts. So at every instant one segment explains the log.
//! - [`writer`] appends, [`reader`] reads one segment, [`recovery`] finds where a log stands, [`rewrite`] saves what it can after a failed sync,
//!   [`quarantine`] sets damaged segments aside.

pub mod batch;
pub mod quarantine;
pub mod reader;
pub mod recovery;
pub mod rewrite;
pub mod writer;

#[cfg(test)]
mod tests;
