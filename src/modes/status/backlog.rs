//! What a group's spools hold that their destinations have not acknowledged: the present spool, and those that earlier sessions left in other
//! directories.

use crate::exit::Failure;
use crate::modes::batchsend::older;
use crate::modes::store::database_failure;
use crate::stages::spool::{SpoolIndex, Unacknowledged};
use hogstat::Stat;
use std::collections::HashMap;
use std::path::Path;
use uuid::Uuid;

/// The index of the spool in `directory`, with what the database knows of it. `named` are the destinations of runs that it does not know.
pub(in crate::modes) fn index_of(
    stat: &Stat,
    directory: &Path,
    (sender, epoch): (Uuid, u64),
    named: &[String],
) -> Result<SpoolIndex, Failure> {
    let index = SpoolIndex::look_at(directory, epoch).map_err(|error| Failure::of(&error))?;
    for epoch in index.epochs().into_iter().chain([epoch]) {
        let owed = stat.destinations_of(sender, epoch);
        let owed = owed.map_err(|error| database_failure(&error))?;
        index.set_owed(epoch, owed.unwrap_or_else(|| named.to_vec()));
    }
    for destination in index.destinations() {
        let acked = stat.acknowledged(sender, &destination);
        index.know_acknowledged(&destination, acked.map_err(|error| database_failure(&error))?);
    }
    Ok(index)
}

/// Adds what other directories than that of `spool` hold, as far as they are there.
pub(super) fn add_others(
    stat: &Stat,
    spool: &hogstat::Spool,
    named: &[String],
    all: &mut HashMap<String, Unacknowledged>,
) -> Result<(), Failure> {
    let runs = stat
        .spool_runs(&spool.group)
        .map_err(|error| database_failure(&error))?;
    for run in older::others(&runs, (spool.sender, Path::new(&spool.directory))) {
        let directory = Path::new(&run.directory);
        if !directory.is_dir() {
            continue; // the sender has said so
        }
        let index = index_of(stat, directory, (run.sender, run.epoch), named)?;
        for (address, lacks) in index.unacknowledged() {
            let sum = all.entry(address).or_default();
            sum.bytes += lacks.bytes;
            sum.oldest = sum.oldest.into_iter().chain(lacks.oldest).min();
        }
    }
    Ok(())
}
