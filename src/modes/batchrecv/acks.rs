//! What a connection still has to be told. Acknowledgements are cumulative, so a slow peer costs one entry for each stream, however long it
//! takes nothing.

use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::wire;
use crate::ids::StreamId;
use crate::modes::supervise::provoke;
use crate::os::net::{self, Line};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a waiter looks whether it has waited enough.
const LOOK: Duration = Duration::from_millis(100);

/// The letterbox of one connection.
#[derive(Default)]
pub struct AckBox {
    state: Mutex<BoxState>,
    changed: Condvar,
}

#[derive(Default)]
struct BoxState {
    acked: BTreeMap<StreamId, u64>,
    /// Answers to ATTACH: up to where each stream is held.
    has: BTreeMap<StreamId, u64>,
    /// An answer to PING is due; one answers many.
    pong: bool,
    closed: bool,
}

impl AckBox {
    /// Everything of these streams below their positions is on disk.
    pub fn acknowledge(&self, acked: &HashMap<StreamId, u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (stream, position) in acked {
            let place = state.acked.entry(*stream).or_default();
            *place = (*place).max(*position);
        }
        self.changed.notify_one();
    }

    /// Answers ATTACH.
    pub fn has(&self, stream: StreamId, position: u64) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .has
            .insert(stream, position);
        self.changed.notify_one();
    }

    /// Answers PING.
    pub fn pong(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pong = true;
        self.changed.notify_one();
    }

    /// The connection is over.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// Waits until `stream` is acknowledged up to `position`. `false`: the connection is over before that, or `has_waited_enough`, which is asked now and then.
    pub fn wait_for(&self, stream: StreamId, position: u64, has_waited_enough: &dyn Fn() -> bool) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.acked.get(&stream).is_none_or(|acked| *acked < position) {
            if state.closed || has_waited_enough() {
                return false;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Writes what comes in until the connection is over.
    pub fn write_to(&self, line: &dyn Line) {
        let mut out = Vec::new();
        while self.wait() {
            provoke::here();
            self.take(&mut out);
            if line.send(&out).is_err() {
                line.hang_up(); // the reading thread learns of it
                return;
            }
            out.clear();
        }
    }

    /// Waits until there is something to be told. `false`: the connection is over.
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.has_any() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    /// Puts what there is to be told at the end of `out`, as frames.
    pub fn take(&self, out: &mut Vec<u8>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let acked: Vec<_> = std::mem::take(&mut state.acked).into_iter().collect();
        let has = std::mem::take(&mut state.has);
        let pong = std::mem::take(&mut state.pong);
        drop(state);
        for (stream, position) in has {
            let header = FrameHeader::plain(Kind::Has, &[]).of_stream(stream, position, position);
            net::put_frame(out, &header, &[]);
        }
        if pong && acked.is_empty() {
            net::put_frame(out, &FrameHeader::plain(Kind::Ack, &[]), &[]);
        }
        for acked in acked.chunks(wire::PER_FRAME) {
            let body = wire::encode_ack(acked);
            net::put_frame(out, &FrameHeader::plain(Kind::Ack, &body), &body);
        }
    }
}

impl BoxState {
    fn has_any(&self) -> bool {
        !self.acked.is_empty() || !self.has.is_empty() || self.pong
    }
}
