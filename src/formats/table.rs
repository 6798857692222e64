//! What a reader must know of all that came before: every stream's end, state and definitions, and every sender.
//!
//! A [`Table`] is the running sum of the frames of a log. [`Table::apply`] adds one frame; a CHECKPOINT is a table in bytes, and
//! replaces it. Spool, archive, recovery and the readers all use this one sum, so they cannot disagree on what a log holds.

use crate::formats::body::{Attach, End, Gap};
use crate::formats::checkpoint;
use crate::formats::definitions::Definitions;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::pieces::BodyError;
use crate::ids::{OwnerId, StreamId};
use hog_ring::record::{self, Walk};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use uuid::Uuid;

/// Where a stream is in its life. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamState {
    /// More may come.
    Open = 0,
    /// Its END is here.
    Ended = 1,
    /// Its sender has nothing left of it: left out of the next checkpoint.
    Forgotten = 2,
}

/// What is known of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// First position that the log held.
    pub first: u64,
    /// Position up to which the log holds it.
    pub end: u64,
    /// Open, ended or forgotten.
    pub state: StreamState,
    /// Its definitions at `end`.
    pub definitions: Arc<Definitions>,
    /// When the ring was last adopted below `end`, CLOCK_BOOTTIME, nanoseconds; 0 if it never was.
    pub life: u64,
    /// Records that its producer dropped, as far as it said.
    pub dropped_records: u64,
    /// Bytes that its producer dropped.
    pub dropped_bytes: u64,
    /// The producer's name.
    pub producer: Arc<str>,
    /// When the ring was created, CLOCK_BOOTTIME, nanoseconds.
    pub created: u64,
    /// The boot in which it was created.
    pub boot: Uuid,
    /// The sender that attached it last; [`OwnerId::NIL`] in a spool.
    pub sender: OwnerId,
}

/// What an archive knows of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its newest run.
    pub epoch: u64,
    /// The random number of that run.
    pub start_id: u64,
    /// When it was last heard, nanoseconds since 1970.
    pub last_seen: u64,
    /// Never to be served again.
    pub refused: bool,
}

/// All streams and senders of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// By stream.
    pub streams: BTreeMap<StreamId, Stream>,
    /// By sender; empty in a spool.
    pub senders: BTreeMap<OwnerId, Sender>,
}

/// Why a frame does not fit the table.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// Its body is not what its kind says.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The ring records in it are bad.
    #[error("the records of the frame are bad: {0}")]
    Records(#[from] record::BadRecord),
    /// The stream was never attached.
    #[error("stream {0} was never attached")]
    Unattached(StreamId),
    /// Positions that do not follow.
    #[error("stream {stream}: expected position {expected}, found {found}")]
    Position {
        /// The stream.
        stream: StreamId,
        /// Where it ends.
        expected: u64,
        /// Where the frame begins.
        found: u64,
    },
    /// Nothing follows END.
    #[error("stream {0} has ended, and yet more follows")]
    Ended(StreamId),
    /// More streams than a log may know.
    #[error("stream {0} is one more than this log can keep in mind: let streams end, and their senders forget them")]
    TooMany(StreamId),
}

/// What [`Table::apply`] made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It carried the table on.
    New,
    /// All its positions were there already.
    Known,
    /// Its first positions were there already: new from here on.
    Overlap(u64),
}

impl Table {
    /// Whether `header` (of DATA, GAP or END) carries its stream on, and from where.
    ///
    /// # Errors
    /// When the stream is unknown, has ended before, or the frame begins behind its end.
    pub fn judge(&self, header: &FrameHeader) -> Result<Applied, ApplyError> {
        let stream = self
            .streams
            .get(&header.stream)
            .ok_or(ApplyError::Unattached(header.stream))?;
        if header.end <= stream.end {
            return Ok(Applied::Known);
        }
        if stream.state == StreamState::Ended {
            return Err(ApplyError::Ended(header.stream));
        }
        match header.start.cmp(&stream.end) {
            std::cmp::Ordering::Equal => Ok(Applied::New),
            std::cmp::Ordering::Less => Ok(Applied::Overlap(stream.end)),
            std::cmp::Ordering::Greater => Err(ApplyError::Position {
                stream: header.stream,
                expected: stream.end,
                found: header.start,
            }),
        }
    }

    /// Adds one frame of a log, whose raw (decompressed) body is `raw`. The body of DATA without
    /// [`frame::STATEMENTS`] is not looked at and may be empty. Checkpoints are applied by their reader.
    ///
    /// # Errors
    /// As [`Table::judge`], or when the body is bad; the caller then puts the stream back as it was.
    pub fn apply(&mut self, header: &FrameHeader, raw: &[u8]) -> Result<Applied, ApplyError> {
        match header.kind {
            Kind::Attach => self.attach(header, &Attach::decode(raw)?),
            Kind::Data | Kind::Gap | Kind::End => {
                let applied = self.judge(header)?;
                if applied != Applied::Known {
                    self.carry_on(header, raw)?;
                }
                return Ok(applied);
            }
            Kind::Checkpoint if header.has(frame::UPDATE) => checkpoint::amend(self, raw)?,
            _ => {}
        }
        Ok(Applied::New)
    }

    fn attach(&mut self, header: &FrameHeader, attach: &Attach) {
        let stream = self.streams.entry(header.stream).or_insert_with(|| Stream {
            first: header.start,
            end: header.start,
            state: StreamState::Open,
            definitions: Arc::default(),
            life: 0,
            dropped_records: 0,
            dropped_bytes: 0,
            producer: attach.producer.as_str().into(),
            created: attach.created,
            boot: attach.boot,
            sender: OwnerId::NIL,
        });
        stream.sender = attach.sender;
        if stream.state == StreamState::Forgotten {
            // It is back after all. What is held of it stays held, so that nothing doubles.
            stream.state = StreamState::Open;
        }
        // Whoever attaches knows the definitions at the position from which it goes on. Where that is ahead of
        // ours a GAP comes between; where it is behind, ours hold as well.
        if !attach.definitions.is_empty() && stream.definitions.as_ref() != &attach.definitions {
            let definitions = Arc::make_mut(&mut stream.definitions);
            for (id, definition) in attach.definitions.iter() {
                let _ = definitions.define(id, definition);
            }
        }
    }

    fn carry_on(&mut self, header: &FrameHeader, raw: &[u8]) -> Result<(), ApplyError> {
        let Some(stream) = self.streams.get_mut(&header.stream) else {
            return Err(ApplyError::Unattached(header.stream));
        };
        match header.kind {
            Kind::Data if header.has(frame::STATEMENTS) => {
                let (definitions, life) = learn(&stream.definitions, raw)?;
                stream.definitions = Arc::new(definitions);
                stream.life = life.unwrap_or(stream.life);
            }
            Kind::Gap => {
                let gap = Gap::decode(raw)?;
                stream.dropped_records = stream.dropped_records.saturating_add(gap.records);
                stream.dropped_bytes = stream.dropped_bytes.saturating_add(gap.bytes);
            }
            Kind::End => {
                let end = End::decode(raw)?;
                stream.dropped_records = stream.dropped_records.max(end.records);
                stream.dropped_bytes = stream.dropped_bytes.max(end.bytes);
                stream.state = StreamState::Ended;
            }
            _ => {}
        }
        stream.end = header.end;
        Ok(())
    }
}

fn is_definition(id: u32, payload: &[u8]) -> bool {
    payload.len() <= hog_ring::limits::DEFINITION_MAX && hog_ring::statement::definition_id(payload) == Some(id)
}

/// `known` and what the records in `raw` define and forget; and when the stream was last adopted in them, if it was.
fn learn(known: &Definitions, raw: &[u8]) -> Result<(Definitions, Option<u64>), ApplyError> {
    let mut life = None;
    let mut definitions = known.clone();
    for item in Walk::new(raw) {
        let (_, header, payload) = item?;
        match header.kind {
            // A producer that writes nonsense loses the records of that statement. It must not reach a checkpoint: nobody could read that.
            record::Kind::Stmt if !is_definition(header.statement, payload) => {}
            record::Kind::Stmt => {
                // Beyond the bound, which our writers keep: the stream itself has the definition, checkpoints do without.
                let _ = definitions.define(header.statement, payload);
            }
            record::Kind::Abort => {
                definitions.forget_below(header.statement);
                life = record::adoption_time(payload).or(life);
            }
            _ => {}
        }
    }
    Ok((definitions, life))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::body::GapReason;

    fn data(stream: StreamId, start: u64, end: u64) -> FrameHeader {
        let body = vec![0; usize::try_from(end - start).unwrap()];
        FrameHeader::plain(Kind::Data, &body).of_stream(stream, start, end)
    }

    /// A table with one stream that is held up to 64.
    fn table() -> (Table, StreamId) {
        let (mut table, stream) = (Table::default(), StreamId::random());
        let attach = Attach {
            producer: "p".into(),
            created: 1,
            boot: Uuid::nil(),
            sender: OwnerId::NIL,
            definitions: Definitions::default(),
        };
        let body = attach.encode();
        table
            .apply(&FrameHeader::plain(Kind::Attach, &body).of_stream(stream, 0, 0), &body)
            .unwrap();
        assert_eq!(table.apply(&data(stream, 0, 64), &[]).unwrap(), Applied::New);
        (table, stream)
    }

    #[test]
    fn what_is_held_is_known_and_changes_nothing() {
        let (mut table, stream) = table();
        let before = table.clone();
        for (start, end) in [(0, 64), (0, 32), (32, 64)] {
            assert_eq!(table.apply(&data(stream, start, end), &[]).unwrap(), Applied::Known);
        }
        assert_eq!(table, before);
    }

    #[test]
    fn only_the_new_end_of_an_overlap_is_new() {
        let (table, stream) = table();
        assert_eq!(table.judge(&data(stream, 32, 96)).unwrap(), Applied::Overlap(64));
    }

    #[test]
    fn a_hole_a_stranger_and_what_follows_end_are_refused() {
        let (mut table, stream) = table();
        assert!(matches!(
            table.judge(&data(stream, 72, 80)),
            Err(ApplyError::Position { .. })
        ));
        assert!(matches!(
            table.judge(&data(StreamId::random(), 0, 8)),
            Err(ApplyError::Unattached(_))
        ));
        let end = End::default().encode();
        table
            .apply(&FrameHeader::plain(Kind::End, &end).of_stream(stream, 64, 72), &end)
            .unwrap();
        assert!(matches!(table.judge(&data(stream, 72, 80)), Err(ApplyError::Ended(_))));
    }

    #[test]
    fn an_ended_stream_stays_ended_through_a_checkpoint() {
        let (mut table, stream) = table();
        let end = End::default().encode();
        let frame = FrameHeader::plain(Kind::End, &end).of_stream(stream, 64, 72);
        table.apply(&frame, &end).unwrap();
        let mut again = checkpoint::decode(&checkpoint::encode(&table)).unwrap();
        assert_eq!(
            again.apply(&frame, &end).unwrap(),
            Applied::Known,
            "its acknowledgement may have been lost"
        );
    }

    #[test]
    fn a_gap_counts_what_it_says_was_lost() {
        let (mut table, stream) = table();
        let gap = Gap {
            reason: GapReason::Dropped,
            records: 3,
            bytes: 48,
        }
        .encode();
        table
            .apply(&FrameHeader::plain(Kind::Gap, &gap).of_stream(stream, 64, 128), &gap)
            .unwrap();
        let held = &table.streams[&stream];
        assert_eq!((held.end, held.dropped_records, held.dropped_bytes), (128, 3, 48));
    }

    #[test]
    fn a_senseless_definition_reaches_no_checkpoint() {
        let (mut table, stream) = table();
        let mut raw = hog_ring::record::first_word(record::Kind::Stmt, 12, 0)
            .to_le_bytes()
            .to_vec();
        raw.extend(1u32.to_le_bytes());
        raw.extend(b"junk\0\0\0\0");
        let header = FrameHeader::plain(Kind::Data, &raw)
            .of_stream(stream, 64, 80)
            .with_flags(frame::STATEMENTS);
        table.apply(&header, &raw).unwrap();
        assert_eq!(checkpoint::decode(&checkpoint::encode(&table)).unwrap(), table);
    }
}
