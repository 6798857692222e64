//! A spool that an earlier session filled and that nobody appends to any more, while another one is the group's: it is shipped until everybody has
//! all of it, and then its last segment goes as well.
//!
//! Its run is raised as for any other start, so that a receiver tells this process from whoever shipped that spool before. Nothing is written into
//! it but that.

use super::found::{self, Found};
use super::{Spool, SpoolError, SpoolIndex};
use crate::formats::lock_record::SpoolIdentity;
use crate::formats::table::Table;
use crate::os::lock::DirectoryLock;
use crate::seglog::recovery;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Such a spool, held by this process.
pub struct OlderSpool {
    /// Its directory.
    pub directory: PathBuf,
    /// Uuid and run.
    pub identity: SpoolIdentity,
    /// What it has, and for whom.
    pub index: Arc<SpoolIndex>,
    /// Where its streams stand in it.
    pub table: Table,
    /// Damage, in words.
    pub damages: Vec<String>,
    _lock: DirectoryLock,
}

impl OlderSpool {
    /// Opens the spool in `directory`, whose lock is had. `owed_to` names the destinations of a run; those of this one are owed what goes on of
    /// streams that have not ended.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(
        lock: DirectoryLock,
        directory: &Path,
        identity: SpoolIdentity,
        owed_to: HashMap<u64, Vec<String>>,
        retain: Duration,
    ) -> Result<Self, SpoolError> {
        let Found {
            standing,
            index,
            damages,
        } = found::find(directory, identity.epoch, owed_to)?;
        index.set_continuing(&standing.table);
        index.set_retain(retain);
        index.close();
        Ok(Self {
            directory: directory.to_owned(),
            identity,
            index: Arc::new(index),
            damages,
            table: standing.table,
            _lock: lock,
        })
    }
}

impl Spool {
    /// Whether there is no segment in `directory`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn is_empty_in(directory: &Path) -> Result<bool, SpoolError> {
        Ok(recovery::segments_in(directory)?.is_empty())
    }
}
