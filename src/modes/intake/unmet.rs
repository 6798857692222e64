//! Queues that nobody ever said anything of: their programs ended before they could register, or were served by the original while it ran.
//!
//! Such a queue is taken in only when its process is gone and the kernel says that nobody has it open: neither a child that logs on through it, nor
//! somebody else who reads it, an original that runs beside this one for instance. Of a program that lives nothing is guessed; it registers
//! when its queue is full, or ends one day.

use super::names::{Claimed, QueueName, Seen};
use hog_ring::v2::{Queue, WaitPolicy};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// When no process began: the number of the one that made a queue may have been given out again.
const NEVER: u64 = 1;

/// A queue of a dead program.
pub(super) struct Unmet {
    /// Its name in shared memory.
    pub(super) path: PathBuf,
    pub(super) name: QueueName,
    pub(super) queue: Queue,
}

impl Unmet {
    /// Whether all that was published in it was read by somebody.
    pub(super) fn is_drained(&self) -> bool {
        self.queue.indices().is_ok_and(|(ri, wi)| ri == wi)
    }
}

/// The queues of `group` in `shm_dir` whose programs are dead, without those of which `is_known` is true by their inodes; the oldest first, as far as inodes tell.
pub(super) fn list(shm_dir: &Path, group: &str, is_known: impl Fn(u64) -> bool) -> io::Result<Vec<Unmet>> {
    let mut unmet = Vec::new();
    for entry in fs::read_dir(shm_dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(claimed) = file_name.to_str().and_then(|name| Claimed::of_name(name, group)) else {
            continue;
        };
        let is_met = entry.metadata().map_or(true, |file| is_known(file.ino()));
        if is_met || is_process(claimed.pid) {
            continue;
        }
        unmet.extend(look(entry.path(), claimed));
    }
    unmet.sort_by_key(|unmet| unmet.name.inode);
    Ok(unmet)
}

fn is_process(pid: u32) -> bool {
    fs::symlink_metadata(format!("/proc/{pid}")).is_ok()
}

/// `None`: it is no queue, was not finished when its program died, or is somebody's.
fn look(path: PathBuf, claimed: Claimed) -> Option<Unmet> {
    let queue = Queue::open(&path).ok()?;
    let (_, inode) = queue.inode().ok()?;
    let name = QueueName {
        claimed,
        inode,
        seen: Seen {
            pid: claimed.pid,
            start_time: NEVER,
        },
        // Nobody waits.
        policy: WaitPolicy::Futex,
    };
    queue.is_nobody_elses().then_some(Unmet { path, name, queue })
}
