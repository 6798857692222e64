//! How a file's lines come by their ring, and what the run before left in it.

use crate::exit::{ExitStatus, Failure, chain};
use crate::modes::engine::notes::{Keeper, Notes};
use crate::modes::engine::state::State;
use hog_ring::{Error as RingError, Group, Resume, Writer};
use std::path::Path;
use std::sync::Arc;
use tracing::{info, warn};

/// A file's ring, and all that is remembered with it.
pub struct FileRing {
    /// The ring.
    pub writer: Writer,
    /// Its states on their way to the disk.
    pub notes: Notes,
    /// What earlier runs logged; `None` if nothing is known of any.
    pub state: Option<State>,
    /// The state is none that an engine wrote: the file is logged anew.
    pub is_foreign: bool,
    /// Lines that earlier runs dropped.
    pub dropped_before: u64,
}

/// Whether a ring is called `name`; whether it can be had is another question.
#[must_use]
pub fn exists(group: &Group, name: &str) -> bool {
    group.directory().join(format!("{name}.ring")).exists()
}

/// Takes the ring `name` for the file at `path`: the one that is there, or a new one, which begins where the place file says if the host was
/// started anew since.
///
/// # Errors
/// As [`Group::named_writer`].
pub fn take(
    group: &Group,
    name: &str,
    path: &Path,
    resume: Resume,
    keeper: &Arc<Keeper>,
) -> Result<FileRing, RingError> {
    let kept = if resume == Resume::Off || exists(group, name) {
        None
    } else {
        keeper.after_reboot(name, path)
    };
    let resume = if kept.is_some() { Resume::Auto } else { resume };
    let mut writer = group.named_writer(name, resume)?;
    if writer.adopted_size_differs() {
        info!("ring {name} keeps its size of {} bytes", writer.capacity());
    }
    let (dropped_before, _) = writer.drops();
    let mut notes = Notes::new(keeper, name, &writer, path);
    let (mut state, mut is_foreign) = (None, false);
    if let Some(recovered) = writer.recovered() {
        state = State::decode(&recovered.state);
        is_foreign = state.is_none();
        if is_foreign {
            warn!(
                "ring {name} has a state at position {} that is not an engine's: logging {} from its beginning",
                recovered.tail,
                path.display()
            );
        }
    } else if let Some(kept) = kept {
        info!("{} is gone on with from before the reboot", path.display());
        // At once: from now on this ring counts, and it must not be found without a state.
        writer.commit_state(&kept.encode())?;
        state = Some(kept);
    }
    if let Some(state) = &state {
        notes.committed(writer.tail(), state);
    }
    Ok(FileRing {
        writer,
        notes,
        state,
        is_foreign,
        dropped_before,
    })
}

/// The exit status of a ring that cannot be had.
#[must_use]
pub fn failure(error: &RingError) -> Failure {
    let status = match error {
        RingError::Held { .. } => ExitStatus::Locked,
        RingError::NotTmpfs { .. } => ExitStatus::Unsafe,
        RingError::NothingToResume { .. } => ExitStatus::Integrity,
        RingError::BadGroupName { .. } | RingError::BadRingName { .. } | RingError::BadRingSize { .. } => {
            ExitStatus::Usage
        }
        _ => ExitStatus::Failed,
    };
    Failure::new(status, chain(error))
}
