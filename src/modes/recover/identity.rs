//! The way out for a spool that was copied or restored, and that a receiver refused for it: it becomes another sender, and says what may double.

use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::table::StreamState;
use crate::modes::store::lock_failure;
use crate::os::disk;
use crate::os::lock::DirectoryLock;
use crate::seglog::recovery;
use crate::stages::spool::{REFUSED, Spool};
use std::path::Path;

/// Makes the spool in `directory` another sender.
pub(super) fn renew(directory: &Path) -> Result<ExitStatus, Failure> {
    let failed = |words: String| Failure::new(ExitStatus::Failed, words);
    let segments = recovery::segments_in(directory).map_err(|error| failed(chain(&error)))?;
    if segments.is_empty() {
        return Err(failed(format!(
            "{} is no spool of a group: it has no segments",
            directory.display()
        )));
    }
    let lock = DirectoryLock::take(directory).map_err(|error| lock_failure(&error))?;
    let runs = Spool::runs_in(directory).map_err(|error| failed(chain(&error)))?;
    let standing = recovery::recover(&segments).map_err(|error| failed(chain(&error)))?;
    let identity = lock
        .renew_identity(runs.last().copied())
        .map_err(|error| failed(chain(&error)))?;
    // Only then: until the new identity is on the disk, the old one stays refused.
    let refused = directory.join(REFUSED);
    if refused.exists() {
        disk::unlink(&refused).map_err(|error| failed(chain(&error)))?;
    }
    let streams = standing.table.streams.values();
    let ended = streams.filter(|stream| stream.state == StreamState::Ended).count();
    println!(
        "{} is sender {} from now on.\nOf the {} streams in it, {ended} have ended: where a receiver had all of such a one and has forgotten it, it is stored \
         a second time. Of all others a receiver stores what it lacks.\nMake sure that nobody ships the spool that this one was copied from, or that the \
         two have no ring in common.",
        directory.display(),
        identity.sender,
        standing.table.streams.len()
    );
    Ok(ExitStatus::Done)
}
