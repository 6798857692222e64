//! Queues of version 2: the shared memory through which programs of the Hobbes project log.
//!
//! Such a program knows nothing of hog. It makes a file on tmpfs for each of its threads, writes pages into it, and blocks or drops when
//! nobody takes them. What is here takes them: [`layout`] judges the file, [`Queue`] copies pages out and gives their room back,
//! [`Course`] decides step by step what is to be done next such that a kill between any two steps neither loses nor doubles a transaction,
//! [`resolve`](fn@resolve::resolve) decides where to go on after one, and [`Stash`] keeps the beginning of a transaction that is longer than its queue.
//!
//! **The rule.** Each transaction that was put together is logged into a ring of ours whose resume state says how many pages are done with; records and state
//! are one atom ([`crate::state`]). Only then the reader's index in the queue moves. So, whatever instant it is killed at, the next run
//! sets that index to what the state says. Pages of a transaction that does not fit its queue are stashed, and counted there, before the index passes them.
//!
//! A queue has one reader at a time: whoever has the writer of that ring. What stands in a queue is not trusted.

use std::io;
use std::os::fd::AsFd;

mod course;
pub mod layout;
#[doc(hidden)]
pub mod producer;
mod queue;
pub mod resolve;
mod stash;

pub use course::{Act, Course};
pub use layout::{BadQueue, Footer, PageKind, QueueLayout};
pub use queue::{OpenQueueError, Queue, QueueFault, WaitPolicy};
pub use resolve::{Progress, Resolved, StashHead, resolve};
pub use stash::{PAGES_MAX, Stash};

/// Process and user at the other end of a registration socket, as they were when it was connected; the process is 0 if this pid namespace does not have it.
///
/// # Errors
/// What the kernel says.
pub fn peer_of(socket: impl AsFd) -> io::Result<(u32, u32)> {
    crate::sys::peer_of(socket)
}
