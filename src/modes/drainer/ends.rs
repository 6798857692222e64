//! How rings end: they are lost in part, condemned, given their END, unlinked.

use super::Drainer;
use super::log::GroupLog;
use crate::formats::body::{Attach, End, Gap, GapReason};
use crate::formats::definitions::Definitions;
use crate::formats::frame::{END_SPAN, FrameHeader, Kind};
use crate::ids::StreamId;
use crate::os::clock;
use hog_ring::mutant;
use hog_ring::reader::{Condemnation, Liveness, RingFault};
use hogstat::RegionState;
use tracing::warn;

impl<L: GroupLog> Drainer<L> {
    /// Puts a GAP for `from..to` into the batch and reports the loss.
    pub(super) fn lose(&mut self, stream: StreamId, from: u64, to: u64, reason: GapReason, words: &str) {
        if !self.pass.is_current() {
            return; // what it read may have been written over since: nothing is lost
        }
        self.push_gap(stream, from, to, reason);
        let name = self.name_of(stream);
        warn!("ring {name} (stream {stream}): {words}");
        self.recorder.loss(&format!("stream {stream}"), words);
    }

    /// Puts a GAP for `from..to` into the batch, for what somebody else has: it is a loss only for a reader that lacks it.
    pub(super) fn skip(&mut self, stream: StreamId, from: u64, to: u64, reason: GapReason, words: &str) {
        self.push_gap(stream, from, to, reason);
        let name = self.name_of(stream);
        warn!("ring {name} (stream {stream}): {words}");
        self.recorder.fault(&format!("stream {stream}"), words);
    }

    /// Puts a GAP for `from..to` into the batch.
    pub(super) fn push_gap(&mut self, stream: StreamId, from: u64, to: u64, reason: GapReason) {
        self.attach_if_new(stream);
        let body = Gap::because(reason).encode();
        let mut header = FrameHeader::plain(Kind::Gap, &body).of_stream(stream, from, to);
        header.time = clock::now_ns();
        self.batch.push(header, &body);
        self.advanced(stream, to);
    }

    fn name_of(&self, stream: StreamId) -> String {
        self.rings
            .get(stream)
            .map_or_else(String::new, |ring| ring.reader.path().display().to_string())
    }

    /// Gives up a ring that cannot be trusted: marks it, ends its stream behind what was taken, unlinks it.
    pub(super) fn condemn(&mut self, stream: StreamId, fault: &RingFault) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        if ring.condemned {
            return;
        }
        ring.condemned = true;
        let why = match fault {
            RingFault::Shrunk => Condemnation::Shrunk,
            RingFault::Wild { .. } | RingFault::WildHead { .. } | RingFault::Backwards { .. } => Condemnation::Header,
        };
        // To one who was relieved, and stands where the ring was long ago, every tail is a wild one.
        if self.pass.act(|| ring.reader.condemn(why)).is_err() {
            return;
        }
        let from = ring.drained;
        let words = format!("condemned: {fault}; what its producer had logged beyond position {from} is lost");
        self.lose(stream, from, from + END_SPAN, GapReason::Condemned, &words);
        self.push_end(stream);
    }

    /// Puts END into the batch.
    pub(super) fn push_end(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        ring.ending = true;
        if mutant::on("unlink-before-end") {
            let _ = ring.reader.unlink();
        }
        let (records, bytes) = ring.reader.drops();
        let from = ring.drained;
        let body = End { records, bytes }.encode();
        let mut header = FrameHeader::plain(Kind::End, &body).of_stream(stream, from, from + END_SPAN);
        header.time = clock::now_ns();
        self.batch.push(header, &body);
    }

    /// Puts ATTACH in front of a stream's first frame in this log.
    pub(super) fn attach_if_new(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        if ring.attached {
            return;
        }
        ring.attached = true;
        let identity = ring.reader.identity();
        // A stream that begins here in its middle was defined in the spool that has its beginning; one that was forgotten, here.
        let forgotten = self.log.table().streams.get(&stream);
        let definitions = forgotten
            .or_else(|| self.inherited.elsewhere.get(&stream))
            .filter(|held| held.end == ring.drained)
            .map_or_else(Definitions::default, |held| held.definitions.as_ref().clone());
        let attach = Attach {
            producer: identity.name.clone(),
            created: identity.created,
            boot: identity.boot,
            sender: self.log.sender(),
            definitions,
        };
        let body = attach.encode();
        let header = FrameHeader::plain(Kind::Attach, &body).of_stream(stream, ring.drained, ring.drained);
        self.batch.push(header, &body);
    }

    /// The ring's stream has its END in the log: the file goes. A condemned ring stays while its producer lives, which holds its lock; so
    /// does one that cannot be deleted now. It is tried again when owners are looked at.
    pub(super) fn unlink(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        if !ring.ended {
            ring.ended = true;
            self.drain.gone(stream);
            self.lives.remove(&stream);
            self.recorder
                .region_state(stream.0, RegionState::Ended, ring.drained + END_SPAN);
        }
        if ring.condemned && matches!(ring.reader.liveness(), Liveness::Living) {
            return;
        }
        match ring.reader.unlink() {
            Ok(()) => {
                self.rings.remove(stream);
                self.share_rings();
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {} // an heir looks at it
            Err(error) => {
                if !std::mem::replace(&mut ring.unlink_failed, true) {
                    warn!("cannot delete {}: {error}", ring.reader.path().display());
                }
            }
        }
    }
}
