//! A network between simulated processes: bytes that travel when they are told to, and lines that are cut while they do.
//!
//! What one end sends stays on its way until somebody carries it. A cut line loses what is on its way; each end learns of that on its own, and
//! possibly never: then it is half open.

use crate::formats::frame::{FrameHeader, HEADER_LEN};
use crate::os::net::{Line, WIRE_SALT};
use hog_ring::simulation;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sender,
    Receiver,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// What is on its way to each side, the sender's first.
    on_the_way: [VecDeque<u8>; 2],
    /// Which sides have hung up or learnt that the line is cut.
    is_over: [bool; 2],
    is_cut: bool,
}

/// One end of a connection; clones are the same end.
#[derive(Clone, Debug)]
pub(super) struct End {
    state: Arc<Mutex<State>>,
    side: Side,
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Bytes(Vec<u8>),
    /// The other side hung up, and all that it had sent has arrived.
    HungUp,
}

/// A new connection: the sender's end and the receiver's.
pub(super) fn connect() -> (End, End) {
    let state = Arc::new(Mutex::new(State::default()));
    let end = |side| End {
        state: Arc::clone(&state),
        side,
    };
    (end(Side::Sender), end(Side::Receiver))
}

impl End {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the line. What is on its way is lost.
    pub(super) fn cut(&self) {
        let mut state = self.lock();
        state.is_cut = true;
        state.on_the_way = [VecDeque::new(), VecDeque::new()];
    }

    /// This side learns that the line is cut, if it is.
    pub(super) fn learn(&self) {
        let mut state = self.lock();
        if state.is_cut {
            state.is_over[self.side as usize] = true;
        }
    }

    /// What arrives here of what is on its way, at most `most` bytes of it.
    pub(super) fn carry(&self, most: usize) -> Arrival {
        let mut state = self.lock();
        let waiting = &mut state.on_the_way[self.side as usize];
        let bytes: Vec<u8> = waiting.drain(..most.min(waiting.len())).collect();
        let is_empty = waiting.is_empty();
        let hung_up = is_empty && (state.is_over[self.side.other() as usize] && !state.is_cut);
        if bytes.is_empty() && (hung_up || state.is_over[self.side as usize]) {
            return Arrival::HungUp;
        }
        Arrival::Bytes(bytes)
    }
}

impl Line for End {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        simulation::point();
        let mut state = self.lock();
        let other = self.side.other();
        if simulation::is_killed() || state.is_over[self.side as usize] {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.is_over[other as usize] && !state.is_cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !state.is_cut {
            state.on_the_way[other as usize].extend(bytes);
        }
        drop(state);
        simulation::point();
        Ok(())
    }

    fn hang_up(&self) {
        self.lock().is_over[self.side as usize] = true;
    }
}

/// Makes frames of the bytes that arrive.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: VecDeque<u8>,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next whole frame. What comes from the other side is sound: only cut lines end within a frame.
    pub(super) fn next_frame(&mut self) -> Option<(FrameHeader, Vec<u8>)> {
        let bytes = self.bytes.make_contiguous();
        let header = FrameHeader::open(bytes.first_chunk::<HEADER_LEN>()?, WIRE_SALT);
        let header = header.unwrap_or_else(|error| panic!("what arrived is no frame: {error}"));
        let end = HEADER_LEN + header.body_len as usize;
        let body = bytes.get(HEADER_LEN..end)?.to_vec();
        if let Err(error) = header.check_body(&body) {
            panic!("what arrived is no frame: {error}");
        }
        self.bytes.drain(..end);
        Some((header, body))
    }
}
