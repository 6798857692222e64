//! The names under which queues are kept in sight: hard links beside the rings of their group.
//!
//! A link is made when a queue is first met, before anything is taken, and is the last that goes. A producer may unlink its own name in shared memory, and
//! the next of the same numbers does; the link stays. A restarted process finds by them all that is not finished, whether or not producers say
//! anything.

use super::names::QueueName;
use hog_ring::v2::{OpenQueueError, Queue};
use rustix::fs::{AtFlags, CWD, RenameFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the queue of a link cannot be had.
#[derive(Debug, Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Queue(#[from] OpenQueueError),
    #[error("{} is another file than its name says", .0.display())]
    Other(PathBuf),
    #[error("look at {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl LinkError {
    /// Whether it is otherwise a moment later.
    pub(super) fn is_for_now(&self) -> bool {
        matches!(self, Self::Queue(OpenQueueError::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The links in a directory.
pub(super) fn list(directory: &Path) -> io::Result<Vec<QueueName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.extend(entry?.file_name().to_str().and_then(QueueName::of_link));
    }
    // In the order in which they were made, as far as inodes tell.
    names.sort_by_key(|name| name.inode);
    Ok(names)
}

/// Opens the queue of a link.
pub(super) fn open(directory: &Path, name: &QueueName) -> Result<Queue, LinkError> {
    let path = directory.join(name.link());
    let queue = Queue::open(&path)?;
    match queue.inode() {
        Ok((_, inode)) if inode == name.inode => Ok(queue),
        Ok(_) => Err(LinkError::Other(path)),
        Err(source) => Err(LinkError::Io { path, source }),
    }
}

/// Makes the link of a queue that is open. One that is there already is its own: its name says the inode.
pub(super) fn make(directory: &Path, name: &QueueName, queue: &Queue) -> io::Result<()> {
    // By the descriptor, so that it is this file, whatever its name stands for by now.
    let file = format!("/proc/self/fd/{}", queue.file().as_raw_fd());
    match rustix::fs::linkat(CWD, file, CWD, directory.join(name.link()), AtFlags::SYMLINK_FOLLOW) {
        Err(Errno::EXIST) => Ok(()),
        made => made.map_err(io::Error::from),
    }
}

/// Takes the stash away.
pub(super) fn remove_stash(directory: &Path, name: &QueueName) -> io::Result<()> {
    remove_if_there(&directory.join(name.stash()))
}

/// Whether a queue has a ring or a stash, in which more is known of it than in itself.
pub(super) fn has_more(directory: &Path, name: &QueueName) -> bool {
    let ring = format!("{}.ring", name.ring());
    [ring, name.stash()].iter().any(|file| directory.join(file).exists())
}

/// Takes the link away, and nothing else.
pub(super) fn remove(directory: &Path, name: &QueueName) -> io::Result<()> {
    remove_if_there(&directory.join(name.link()))
}

/// Deletes what a queue that is over has: the name that its producer gave it, if that is still its own, the stash, and at last the link.
pub(super) fn remove_all(directory: &Path, name: &QueueName, original: &Path, queue: &Queue) -> io::Result<()> {
    remove_original(directory, name, original, queue)?;
    remove_stash(directory, name)?;
    remove(directory, name)
}

/// Between a look at a name and its removal it could become another queue's. So it is moved away first, and moved back if it is.
fn remove_original(directory: &Path, name: &QueueName, original: &Path, queue: &Queue) -> io::Result<()> {
    let ours = queue.inode()?;
    let is_ours = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == ours);
    let aside = directory.join(format!("{}.gone", name.ring()));
    // Whoever moved it was killed before the next look.
    settle_moved(&aside, original, is_ours(&aside))?;
    if !is_ours(original) {
        return Ok(());
    }
    match fs::rename(original, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Of somebody else's file in a directory like /tmp the name is theirs to remove.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        moved => moved?,
    }
    settle_moved(&aside, original, is_ours(&aside))
}

/// Removes what was moved away, or moves it back, if it is there: another one's name is theirs.
fn settle_moved(aside: &Path, original: &Path, is_ours: bool) -> io::Result<()> {
    if is_ours {
        return fs::remove_file(aside);
    }
    match rustix::fs::renameat_with(CWD, aside, CWD, original, RenameFlags::NOREPLACE) {
        Err(Errno::NOENT) => Ok(()),
        moved => moved.map_err(io::Error::from),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::{Claimed, Seen};
    use super::*;
    use hog_ring::v2::WaitPolicy;
    use hog_ring::v2::producer::Producer;

    /// With a directory for rings, and where a queue goes.
    fn shared_memory() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let shm = tempfile::Builder::new().prefix("hog-test-").tempdir_in("/dev/shm");
        let shm = shm.unwrap();
        let (directory, original) = (shm.path().join("g"), shm.path().join("g.1.1"));
        fs::create_dir(&directory).unwrap();
        (shm, directory, original)
    }

    fn make_queue(path: &Path) -> (Queue, QueueName) {
        Producer::create(path, b"", 4, WaitPolicy::Futex, true).unwrap();
        let queue = Queue::open(path).unwrap();
        let name = QueueName {
            claimed: Claimed { pid: 1, tid: 1 },
            inode: queue.inode().unwrap().1,
            seen: Seen { pid: 1, start_time: 1 },
            policy: WaitPolicy::Futex,
        };
        (queue, name)
    }

    #[test]
    fn a_link_keeps_a_queue_whose_name_was_given_to_another() {
        let (_shm, directory, original) = shared_memory();
        let (queue, name) = make_queue(&original);
        make(&directory, &name, &queue).unwrap();
        make(&directory, &name, &queue).unwrap();
        let (_other, other_name) = make_queue(&original);
        assert_ne!(name.inode, other_name.inode);
        assert_eq!(list(&directory).unwrap(), [name]);
        assert_eq!(open(&directory, &name).unwrap().inode().unwrap().1, name.inode);
        fs::write(directory.join(name.stash()), "").unwrap();
        remove_all(&directory, &name, &original, &queue).unwrap();
        assert!(original.exists(), "it is another's");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_queue_that_is_over_leaves_nothing_and_a_wrong_link_is_refused() {
        let (_shm, directory, original) = shared_memory();
        let (queue, name) = make_queue(&original);
        make(&directory, &name, &queue).unwrap();
        remove_all(&directory, &name, &original, &queue).unwrap();
        remove_all(&directory, &name, &original, &queue).unwrap();
        assert!(!original.exists());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        // Killed in the midst of that, when the name was moved away: that of its own queue, and that of another.
        for is_ours in [true, false] {
            let (queue, name) = make_queue(&original);
            let _other = (!is_ours).then(|| make_queue(&original));
            let moved = directory.join(format!("{}.gone", name.ring()));
            fs::rename(&original, moved).unwrap();
            remove_all(&directory, &name, &original, &queue).unwrap();
            assert_eq!(original.exists(), !is_ours);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        }
        fs::remove_file(&original).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        let (_, other) = make_queue(&original);
        fs::rename(&original, directory.join(name.link())).unwrap();
        if other.inode != name.inode {
            assert!(matches!(open(&directory, &name), Err(LinkError::Other(_))));
        }
    }
}
