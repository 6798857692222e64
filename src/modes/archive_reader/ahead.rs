//! Takes bodies of frames apart on a thread of its own, while the records of those before them are gone through.
//!
//! Bodies come out in the order in which they went in, each with its frame; no more than [`PENDING_MAX`] are under way, which bounds the
//! memory. Nothing is decided here: whether a frame is wanted after all, and what an error means, is seen when it comes out. Small bodies are
//! not worth a thread, and where none can be had, reading goes on without.

use crate::formats::codec::{CodecError, Decompressor};
use crate::formats::frame::FrameHeader;
use crate::seglog::reader::FoundFrame;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

/// A smaller body is taken apart at once: that takes less time than to pass it on. (Tests have small ones, and are to meet this thread.)
const WORTH_BYTES: u32 = if cfg!(test) { 1 } else { 16 << 10 };
/// How many bodies are under way at most.
const PENDING_MAX: usize = 3;

/// A frame that was taken apart.
pub(super) struct Apart {
    pub(super) found: FoundFrame,
    pub(super) raw: Result<Vec<u8>, CodecError>,
}

/// What goes to the thread: a frame's header, its stored body, and memory for what comes of it.
type Job = (FrameHeader, Vec<u8>, Vec<u8>);

/// The thread, once it is wanted, and what it has.
#[derive(Default)]
pub(super) struct Ahead {
    thread: Option<Thread>,
    pending: VecDeque<FoundFrame>,
    /// Memory to be used again.
    spare: Vec<Vec<u8>>,
    /// There is no thread to be had.
    is_alone: bool,
}

struct Thread {
    jobs: Sender<Job>,
    done: Receiver<Result<Vec<u8>, CodecError>>,
    /// Ends once `jobs` is dropped.
    _handle: JoinHandle<()>,
}

impl Ahead {
    /// Whether a frame's body is to go this way.
    pub(super) fn is_worth(&mut self, header: &FrameHeader) -> bool {
        if self.thread.is_none() && !self.is_alone && header.body_len >= WORTH_BYTES {
            self.thread = Thread::start();
            self.is_alone = self.thread.is_none();
        }
        self.thread.is_some() && header.body_len >= WORTH_BYTES
    }

    /// Passes on the checked stored body of `found`.
    pub(super) fn put(&mut self, found: FoundFrame, body: Vec<u8>) {
        let spare = self.spare.pop().unwrap_or_default();
        if let Some(thread) = &self.thread {
            // The thread ends before its channel only if it panics, and then `next` says so.
            let _ = thread.jobs.send((found.header, body, spare));
            self.pending.push_back(found);
        }
    }

    /// Whether as many are under way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// The first frame that is under way, once it is apart.
    pub(super) fn next(&mut self) -> Option<Apart> {
        let found = self.pending.pop_front()?;
        let done = self.thread.as_ref().and_then(|thread| thread.done.recv().ok());
        let raw = done.unwrap_or(Err(CodecError::Length {
            expected: found.header.raw_len,
            found: 0,
        }));
        Some(Apart { found, raw })
    }

    /// Takes memory back.
    pub(super) fn reuse(&mut self, raw: Vec<u8>) {
        if self.spare.len() < PENDING_MAX {
            self.spare.push(raw);
        }
    }

    /// Memory for a stored body.
    pub(super) fn memory(&mut self) -> Vec<u8> {
        let mut memory = self.spare.pop().unwrap_or_default();
        memory.clear();
        memory
    }

    /// Throws away what is under way.
    pub(super) fn forget(&mut self) {
        while self.next().is_some() {}
    }
}

impl Thread {
    fn start() -> Option<Self> {
        let mut decompressor = Decompressor::new().ok()?;
        let (jobs, todo) = channel::<Job>();
        let (out, done) = channel();
        let work = move || {
            for (header, body, spare) in todo {
                if out.send(decompressor.owned(&header, body, spare)).is_err() {
                    return;
                }
            }
        };
        let handle = Builder::new().name("decompress".to_owned()).spawn(work).ok()?;
        Some(Self {
            jobs,
            done,
            _handle: handle,
        })
    }
}
