//! What can go wrong for a producer. Errors of the reader's side stand in `reader.rs`.

use crate::header::BadIdentity;
use crate::limits::{CAPACITY_MAX, CAPACITY_MIN, STATE_MAX, WRITERS_MAX};
use crate::share::UnknownShmGroup;
use crate::statement::DefinitionError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a producer's call failed. Unless the variant says otherwise, nothing was committed by that call.
#[derive(Debug, Error)]
pub enum Error {
    /// The group's name is not one path component of `[A-Za-z0-9._-]{1,64}` without a leading dot.
    #[error("group name {name:?} is not 1 to 64 of A-Z a-z 0-9 . _ -, or begins with a dot")]
    BadGroupName {
        /// The name.
        name: String,
    },
    /// As [`Error::BadGroupName`], for the name of a ring.
    #[error("ring name {name:?} is not 1 to 64 of A-Z a-z 0-9 . _ -, or begins with a dot")]
    BadRingName {
        /// The name.
        name: String,
    },
    /// No ring has this size.
    #[error("ring size {asked} is no power of two from {CAPACITY_MIN} to {CAPACITY_MAX} bytes")]
    BadRingSize {
        /// The size asked for, in bytes.
        asked: u64,
    },
    /// Rings must lie in memory.
    #[error("{} is not on tmpfs", path.display())]
    NotTmpfs {
        /// The directory asked for.
        path: PathBuf,
    },
    /// No Unix group of this machine is called so. Here so that a program can say `shm_group(NAME.parse()?)`.
    #[error("share rings")]
    UnknownShmGroup(#[from] UnknownShmGroup),
    /// A living process has the ring of this name.
    #[error("ring {name} is held by process {pid}")]
    Held {
        /// The ring's name.
        name: String,
        /// Its owner's pid; 0 if another process holds it and has not yet said who it is.
        pid: u32,
    },
    /// [`Resume::Require`](crate::Resume::Require), and there is no ring of this name with a sound state.
    #[error("ring {name} has nothing to resume from")]
    NothingToResume {
        /// The ring's name.
        name: String,
    },
    /// What lies where the ring should be is something else, and is left alone.
    #[error("{} is not a ring", path.display())]
    NotARing {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadIdentity,
    },
    /// There is no room for a new ring in shared memory.
    #[error("no room for a ring of {bytes} bytes in {}", path.display())]
    ShmFull {
        /// The group's directory.
        path: PathBuf,
        /// The size of the file, in bytes.
        bytes: u64,
    },
    /// This process writes too many rings.
    #[error("this process writes {WRITERS_MAX} rings already")]
    TooManyRings,
    /// A record, transaction or definition is too long.
    #[error("{len} bytes are more than the {max} that may be logged at once")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest possible, in bytes.
        max: usize,
    },
    /// The resume state is too long.
    #[error("a resume state of {len} bytes is longer than {STATE_MAX}")]
    StateTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The statement cannot be defined in the stream.
    #[error("define a statement")]
    Definition(#[from] DefinitionError),
    /// A ring has had all the statements that it may define.
    #[error(
        "the ring defines as many statements as it can: fewer or shorter definitions, or a writer anew, are needed"
    )]
    NoStatementIds,
    /// A payload's [`Payload::encode`](crate::payload::Payload::encode) wrote less than it had announced.
    #[error("a payload of {written} bytes was announced as {announced}")]
    WrongLength {
        /// What `encoded_len` said.
        announced: usize,
        /// What `encode` wrote.
        written: usize,
    },
    /// The stop flag was raised while the ring was full.
    #[error("stopped while the ring was full")]
    Stopped,
    /// The reader gave the ring up. Its reason is a number of the format document.
    #[error("the reader condemned the ring {}, because {}", path.display(), condemned_for(*reason))]
    Condemned {
        /// The ring's file.
        path: PathBuf,
        /// The reason: 1 its header, 2 its file shrank.
        reason: u32,
    },
    /// The reader's position makes no sense.
    #[error("ring {}: head {head} is not from {least} to {tail}", path.display())]
    WildHead {
        /// The ring's file.
        path: PathBuf,
        /// The position found.
        head: u64,
        /// The greatest seen before.
        least: u64,
        /// What is published.
        tail: u64,
    },
    /// This is a forked child, and the named ring stays with the parent.
    #[error("ring {name} belongs to the process that forked this one")]
    ForkedNamed {
        /// The ring's name.
        name: String,
    },
    /// This is a forked child, and the transaction or batch was begun in the parent.
    #[error("the transaction belongs to the process that forked this one")]
    ForkedTransaction,
    /// What is to be shared with a Unix group belongs to somebody else, or this process is no member of that group.
    #[error(
        "{} has mode {mode:04o} and Unix group {gid}, and cannot be shared with group {wanted}: whoever makes it must be a \
         member of that group and say so too (--shm-group)", path.display()
    )]
    NotShared {
        /// The directory or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// Number of its group.
        gid: u32,
        /// Number of the group with which it was to be shared.
        wanted: u32,
    },
    /// The kernel refused something.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried: a verb that the path is the object of.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// In words, why a reader gave a ring up.
fn condemned_for(reason: u32) -> String {
    match reason {
        1 => "its header or its positions make no sense".to_owned(),
        2 => "its file shrank".to_owned(),
        other => format!("of reason {other}, which this version does not know"),
    }
}

impl Error {
    /// Whether all that is missing is a permission: what was tried may work once somebody has given it.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Error::NotShared { .. } => true,
            Error::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

/// Gives an IO error its verb and object.
pub(crate) fn io_error<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source: source.into(),
    }
}
