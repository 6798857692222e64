//! Taking: copies of records, judged, cut at lives and transactions, on their way into the batch.

use super::log::GroupLog;
use super::{Drainer, MUCH_OF_A_RING};
use crate::formats::body::GapReason;
use crate::formats::frame::{self, BodySum, FrameHeader, HEADER_LEN, Kind};
use crate::ids::StreamId;
use crate::limits::{APPEND_MAX, FRAME_BODY_MAX};
use crate::os::clock;
use hog_ring::reader::{RingFault, RingReader};
use hog_ring::record::{self, BadRecord, Cut, Cutter, Walk};
use hogstat::RegionState;

/// What became of an attempt to take from a ring.
pub(super) enum Taken {
    /// Something.
    Some,
    /// There is nothing to take.
    Nothing,
    /// The batch has no room for it.
    Full,
    /// A new life begins at the position reached.
    NewLife,
}

impl<L: GroupLog> Drainer<L> {
    /// Copies records of one ring into the batch.
    pub(super) fn take(&mut self, stream: StreamId) -> Taken {
        self.attach_if_new(stream);
        let Some(ring) = self.rings.get(stream).filter(|ring| !ring.ending) else {
            return Taken::Nothing;
        };
        let tail = match ring.reader.tail(ring.drained) {
            Ok(tail) => tail,
            Err(fault) => {
                self.condemn(stream, &fault);
                return Taken::Nothing;
            }
        };
        let from = ring.drained;
        let room = APPEND_MAX
            .saturating_sub(self.batch.len() + 2 * HEADER_LEN + ATTACH_MAX)
            .min(FRAME_BODY_MAX);
        self.is_behind |= tail - from >= ring.reader.identity().capacity / MUCH_OF_A_RING;
        let len = usize::try_from(tail - from).unwrap_or(usize::MAX).min(room & !7);
        if len == 0 {
            return if tail == from { Taken::Nothing } else { Taken::Full };
        }
        let to_tail = from + len as u64 == tail;
        let at = self.batch.begin();
        let body = self.batch.body_mut();
        let body_at = body.len();
        let Copied { cut, crc } = match copy(&ring.reader, from, len, to_tail, body) {
            Ok(copied) => copied,
            Err(fault) => {
                self.batch.cancel(at);
                self.condemn(stream, &fault);
                return Taken::Nothing;
            }
        };
        let life = if cut.statements {
            next_life(&body[body_at..][..cut.len])
        } else {
            None
        };
        let taken = match life {
            Some((0, born)) if self.lives.get(&stream) != Some(&from) => {
                self.batch.cancel(at);
                self.begin_life(stream, from, born);
                return Taken::NewLife;
            }
            Some((0, _)) => next_life_behind_the_first(&body[body_at..][..cut.len]).unwrap_or(cut.len),
            Some((offset, _)) => offset,
            None => cut.len,
        };
        if taken == 0 && cut.bad.is_none() {
            // The room left in the batch ends within a transaction.
            self.batch.cancel(at);
            return Taken::Full;
        }
        body.truncate(body_at + taken);
        let crc = if taken == cut.len {
            crc
        } else {
            frame::body_crc(&body[body_at..])
        };
        self.finish_take(stream, at, from, taken, crc, cut.statements);
        if taken == cut.len
            && let Some(bad) = cut.bad
        {
            self.lose_bad_record(stream, from + taken as u64, tail, bad);
        }
        Taken::Some
    }

    /// What stands at `from` is no record, so that nobody knows where the next one begins. A ring in which that happens again and again is reported at
    /// the first, second, fourth, eighth time: whoever writes it must not fill the disk with words.
    fn lose_bad_record(&mut self, stream: StreamId, from: u64, tail: u64, bad: BadRecord) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        ring.bad_records += 1;
        if ring.bad_records.is_power_of_two() {
            let words = match ring.bad_records {
                1 => format!("bad record at position {from}: {bad}; lost up to {tail}"),
                count => format!("bad record at position {from}, the {count}th: {bad}; lost up to {tail}"),
            };
            self.lose(stream, from, tail, GapReason::BadRecord, &words);
        } else {
            self.push_gap(stream, from, tail, GapReason::BadRecord);
        }
    }

    /// Finishes the DATA frame that was begun at `at`, with ATTACH in front of it if the stream is new to the log.
    fn finish_take(&mut self, stream: StreamId, at: usize, from: u64, taken: usize, crc: u32, statements: bool) {
        if taken == 0 {
            self.batch.cancel(at);
            return;
        }
        let to = from + taken as u64;
        let mut header = FrameHeader::summed(Kind::Data, self.batch.unfinished(at), crc).of_stream(stream, from, to);
        header.time = clock::now_ns();
        if statements {
            header.flags |= frame::STATEMENTS;
        }
        if self.drain.is_first(stream) {
            header.flags |= frame::FIRST;
        }
        self.batch.finish(at, header);
        self.advanced(stream, to);
    }

    fn begin_life(&mut self, stream: StreamId, from: u64, born: u64) {
        self.lives.insert(stream, from);
        if let Some(ring) = self.rings.get_mut(stream) {
            ring.born = born;
            ring.seen_living = true; // by itself: it was adopted after the first look
            ring.kept = None;
            ring.settled = None; // that life's end was dealt with, if it was, and not this one's
            self.turns.unsettle();
            self.recorder.region_state(stream.0, RegionState::Adopted, from);
        }
        self.drain.adopted(stream, born);
    }
}

/// What was copied out of a ring.
struct Copied {
    /// What may be taken of it.
    cut: Cut,
    /// The CRC of that.
    crc: u32,
}

/// As much is copied before it is judged and summed up: it is in the nearest cache then, and memory is not idle meanwhile, since not much more than that is
/// fetched ahead of the copy.
const PIECE: usize = 2 << 10;

/// Copies the `len` bytes from `from` on out of a ring to the end of `body`, unless what comes before their end is no record.
fn copy(reader: &RingReader, from: u64, len: usize, to_tail: bool, body: &mut Vec<u8>) -> Result<Copied, RingFault> {
    let body_at = body.len();
    body.reserve(len);
    let mut cutter = Cutter::new(reader.identity().capacity);
    let (mut sum, mut summed, mut copied) = (BodySum::new(), 0, 0);
    while copied < len {
        let piece = PIECE.min(len - copied);
        let more = len - copied - piece;
        reader.copy_onto(from + copied as u64, piece, more, body)?;
        copied += piece;
        let Some(sound) = cutter.see(&body[body_at..]) else {
            break;
        };
        sum.add(&body[body_at + summed..body_at + sound]);
        summed = sound;
    }
    let cut = cutter.finish(copied, to_tail);
    sum.add(&body[body_at + summed..body_at + cut.len]);
    let crc = sum.crc();
    Ok(Copied { cut, crc })
}

/// Most bytes of an ATTACH that the drainer writes: it carries no definitions.
const ATTACH_MAX: usize = 256;

/// The first ABORT of an adoption in `records`, and when that was.
fn next_life(records: &[u8]) -> Option<(usize, u64)> {
    Walk::new(records).flatten().find_map(|(offset, header, payload)| {
        let born = (header.kind == record::Kind::Abort)
            .then(|| record::adoption_time(payload))
            .flatten()?;
        Some((offset, born))
    })
}

/// The offset of the second life in `records`, which begin with one.
fn next_life_behind_the_first(records: &[u8]) -> Option<usize> {
    let (_, header, _) = Walk::new(records).next()?.ok()?;
    let behind = header.padded_len();
    next_life(records.get(behind..)?).map(|(offset, _)| behind + offset)
}
