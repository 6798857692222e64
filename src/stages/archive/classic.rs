//! Streams of the original's senders in an archive.
//!
//! Each connection of such a sender is a stream of its own, which nobody ever goes on with: when the connection is over, or the process that had
//! it, the stream has ended. An identity that follows from the archive's owner is given as their sender; by it they are known for what they are after a
//! restart. Nobody will say FORGET for them, so a checkpoint leaves out those that have ended.

use super::Archive;
use crate::formats::body::End;
use crate::formats::frame::{END_SPAN, FrameHeader, Kind};
use crate::formats::table::{Stream, StreamState};
use crate::ids::{OwnerId, StreamId};
use crate::os::clock;
use crate::seglog::batch::FrameBatch;
use crate::seglog::writer::AppendError;
use uuid::Uuid;

/// The sender of the streams of all of the original's senders in an archive of `owner`.
pub(super) fn sender_of(owner: OwnerId) -> OwnerId {
    OwnerId(Uuid::new_v5(&owner.0, b"classic"))
}

/// Whether nothing can come of `stream` any more.
pub(super) fn is_done(classic: OwnerId, stream: &Stream) -> bool {
    stream.sender == classic && stream.state == StreamState::Ended
}

impl Archive {
    /// What stands as the sender of streams that the original's senders sent.
    #[must_use]
    pub fn classic_sender(&self) -> OwnerId {
        sender_of(self.log.identity().owner)
    }

    /// Stores END for each stream of the original's senders that has none and whose connection is over. Says which.
    ///
    /// # Errors
    /// When the disk refuses; it is to be called again.
    pub fn end_classic(&mut self, is_served: impl Fn(&StreamId) -> bool) -> Result<Vec<StreamId>, AppendError> {
        let classic = self.classic_sender();
        let streams = self.log.table().streams.iter();
        let over: Vec<_> = streams
            .filter(|(id, stream)| stream.sender == classic && stream.state == StreamState::Open && !is_served(id))
            .map(|(id, stream)| (*id, stream.end))
            .collect();
        let body = End::default().encode();
        for (id, end) in &over {
            let mut header = FrameHeader::plain(Kind::End, &body).of_stream(*id, *end, end + END_SPAN);
            header.time = clock::now_ns();
            let mut batch = FrameBatch::default();
            batch.push(header, &body);
            self.append(&mut batch)?;
        }
        Ok(over.into_iter().map(|(id, _)| id).collect())
    }
}
