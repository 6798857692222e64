//! Frames on their way to a segment, one behind the other in one buffer, so that one write takes them all.
//!
//! Bodies are put in place by whoever fills the batch: the drainer copies from a ring, the receiver reads from a socket,
//! straight to where they are written from. Headers wait for the segment they will stand in, whose uuid salts them.

use crate::formats::frame::{FrameHeader, HEADER_LEN};
use crate::ids::SegmentId;

/// A run of frames to append with one write.
#[derive(Default)]
pub struct FrameBatch {
    bytes: Vec<u8>,
    frames: Vec<Placed>,
    /// The segment and offset for which the headers are sealed, so that a repeated write has the same bytes.
    sealed: Option<(SegmentId, u64)>,
}

/// A frame of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Its header.
    pub header: FrameHeader,
    /// Its offset in the batch.
    pub at: usize,
}

impl FrameBatch {
    /// Forgets all frames, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.sealed = None;
    }

    /// Whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes of all frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The frames in their order.
    #[must_use]
    pub fn frames(&self) -> &[Placed] {
        &self.frames
    }

    /// Adds a frame whose body is at hand.
    pub fn push(&mut self, header: FrameHeader, body: &[u8]) {
        let at = self.begin();
        self.bytes.extend_from_slice(body);
        self.finish(at, header);
    }

    /// Begins a frame: leaves room for its header. The body follows in [`FrameBatch::body_mut`].
    pub fn begin(&mut self) -> usize {
        let at = self.bytes.len();
        self.bytes.resize(at + HEADER_LEN, 0);
        at
    }

    /// The buffer, to put a body at its end.
    pub fn body_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The stored body of a frame of this batch.
    #[must_use]
    pub fn body_of(&self, frame: &Placed) -> &[u8] {
        &self.bytes[frame.at + HEADER_LEN..][..frame.header.body_len as usize]
    }

    /// What stands behind the header of the frame that was begun at `at` and is not finished.
    #[must_use]
    pub fn unfinished(&self, at: usize) -> &[u8] {
        &self.bytes[at + HEADER_LEN..]
    }

    /// Finishes the frame that was begun at `at`: the buffer ends with its body.
    pub fn finish(&mut self, at: usize, header: FrameHeader) {
        assert!(header.is_within_bounds(), "a frame that nobody could read: {header:?}");
        assert_eq!(
            self.bytes.len(),
            at + HEADER_LEN + header.body_len as usize,
            "a frame's body is as long as it says"
        );
        self.frames.push(Placed { header, at });
        self.sealed = None;
    }

    /// Drops the frame that was begun at `at` and never finished.
    pub fn cancel(&mut self, at: usize) {
        self.bytes.truncate(at);
    }

    /// The bytes as they stand in `segment`, which is known durable below `durable`.
    pub(crate) fn sealed_for(&mut self, segment: SegmentId, offset: u64, durable: u64) -> &[u8] {
        if self.sealed != Some((segment, offset)) {
            for frame in &mut self.frames {
                frame.header.durable = durable;
                self.bytes[frame.at..frame.at + HEADER_LEN].copy_from_slice(&frame.header.seal(segment));
            }
            self.sealed = Some((segment, offset));
        }
        &self.bytes
    }
}
