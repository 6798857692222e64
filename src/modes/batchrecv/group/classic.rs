//! Connections of the original's senders in a group: each is a stream of its own, which ends with it.

use super::{GroupStore, Served, State, StoreError};
use crate::exit::chain;
use crate::ids::{OwnerId, StreamId};
use crate::modes::batchrecv::acks::AckBox;
use crate::os::net::Line;
use crate::seglog::batch::FrameBatch;
use crate::stages::receive::LiveConnection;
use std::sync::Arc;
use tracing::warn;

impl GroupStore {
    /// Begins to serve an original sender, whose segments become the stream `stream`. Says what is to stand as its sender. `line` is hung up when the
    /// connection is over.
    ///
    /// # Errors
    /// When the receiver is ending.
    pub fn admit_classic(
        &self,
        token: u64,
        stream: StreamId,
        acks: &Arc<AckBox>,
        line: Box<dyn Line>,
    ) -> Result<OwnerId, StoreError> {
        let mut state = self.lock();
        if state.finished {
            return Err(StoreError::Fenced);
        }
        let live = LiveConnection {
            epoch: 0,
            count: 0,
            token,
        };
        state.served.insert(
            token,
            Served {
                live,
                sender: OwnerId::random(), // nobody else's: no other connection takes this one's place
                acks: Arc::clone(acks),
                line,
            },
        );
        state.classic.insert(stream, token);
        Ok(state.archive.classic_sender())
    }

    /// Stores frames of the stream of an original sender, and promises an acknowledgement.
    ///
    /// # Errors
    /// When the connection is over or the disk refuses.
    pub fn append_classic(&self, token: u64, stream: StreamId, batch: &mut FrameBatch) -> Result<(), StoreError> {
        let mut state = self.serving(token)?;
        self.noting_failure(state.archive.append(batch))?;
        state.archive.promise(token, stream);
        self.work.notify_one();
        Ok(())
    }

    /// The connection of an original sender is over, and so is its stream.
    pub fn leave_classic(&self, token: u64) {
        let mut state = self.lock();
        if let Some(served) = state.served.remove(&token) {
            served.end();
        }
        self.end_classic(&mut state);
    }

    /// Ends the streams whose connections are over. Those that cannot be ended now are when the next connection is over, or the next process begins.
    pub(super) fn end_classic(&self, state: &mut State) {
        let State {
            archive,
            served,
            classic,
            ..
        } = state;
        classic.retain(|_, token| served.contains_key(token));
        match archive.end_classic(|stream| classic.contains_key(stream)) {
            Ok(ended) => {
                for stream in ended {
                    archive.promise(0, stream); // to nobody: so that it is synced
                }
                self.work.notify_one();
            }
            Err(error) => {
                let words = chain(&error);
                warn!(
                    "group {}: the end of a connection cannot be stored yet: {words}",
                    self.name
                );
            }
        }
    }
}
