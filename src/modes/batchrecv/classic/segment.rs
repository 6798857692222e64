//! One segment: received, judged from its beginning to its end, and only then stored.
//!
//! It may be longer than memory, so it is kept as it came, and inflated twice: once to see that all of it can be understood, and once to store it. What is
//! held of it inflated is one transaction at a time.

use super::doubts::Digest;
use super::turns::Memory;
use super::{ClassicError, Connection, hint};
use crate::formats::body::Attach;
use crate::formats::classic::inflate::Inflate;
use crate::formats::classic::records::{self, Records};
use crate::formats::classic::segment::{SegmentError, next_transaction};
use crate::formats::codec::{Compression, Compressor};
use crate::formats::definitions::Definitions;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::value::Lengths;
use crate::limits::{CLASSIC_MEMORY_MAX, FRAME_BODY_MAX};
use crate::modes::batchrecv::connection::ConnectionError;
use crate::modes::supervise::provoke;
use crate::os::clock;
use crate::os::disk::Spill;
use crate::os::net::{NetError, Patience};
use crate::seglog::batch::FrameBatch;
use sha2::{Digest as _, Sha256};
use std::io::BufReader;

/// Bytes that are received at once, and inflated at once.
const PIECE: usize = 64 << 10;

impl Connection<'_> {
    /// Receives a segment of `length` bytes.
    pub(super) fn receive(&mut self, length: u64) -> Result<(Spill, Digest), ConnectionError> {
        let mut spill = Spill::new(CLASSIC_MEMORY_MAX, &self.groups.pattern.base());
        let mut sha = Sha256::new();
        let mut piece = Vec::new();
        let mut left = length;
        while left > 0 {
            piece.resize(usize::try_from(left).map_or(PIECE, |left| left.min(PIECE)), 0);
            let is_over = hint(self.stop, &self.over);
            let taken = self.caller.incoming.take(&mut piece, Patience::of_shipping(), &is_over);
            taken.map_err(|error| match error {
                NetError::Closed => NetError::Torn,
                other => other,
            })?;
            sha.update(&piece);
            spill.write(&piece).map_err(ClassicError::from)?;
            left -= piece.len() as u64;
        }
        Ok((spill, sha.finalize().into()))
    }

    /// Makes sure that all of `segment` can be understood, and says how many records it has.
    pub(super) fn judge(&self, segment: &mut Spill, memory: &mut Memory) -> Result<u64, ConnectionError> {
        let mut records = 0;
        self.each_transaction(segment, memory, |_, count| {
            records += count;
            Ok(())
        })?;
        Ok(records)
    }

    /// Appends a segment that was judged.
    pub(super) fn keep(&mut self, segment: &mut Spill, memory: &mut Memory) -> Result<(), ConnectionError> {
        self.attach()?;
        let mut frames = Frames {
            raw: Vec::new(),
            batch: FrameBatch::default(),
            compressor: Compressor::new(Compression::Zstd(1))?,
            position: self.position,
        };
        self.each_transaction(segment, memory, |records, _| {
            records::each_part(records, |part| frames.add(self, part))
        })?;
        frames.flush(self)?;
        self.position = frames.position;
        Ok(())
    }

    /// Gives each transaction of `segment` to `take`: its records as they stand in our stream, and how many there are. Those without any are left out.
    fn each_transaction(
        &self,
        segment: &mut Spill,
        Memory { transaction, records }: &mut Memory,
        mut take: impl FnMut(&[u8], u64) -> Result<(), ConnectionError>,
    ) -> Result<(), ConnectionError> {
        let compressed = segment.read().map_err(ClassicError::from)?;
        let inflated = Inflate::new(compressed)
            .map_err(SegmentError::from)
            .map_err(ClassicError::from)?;
        let mut inflated = BufReader::with_capacity(PIECE, inflated);
        let (mut lengths, time) = (Lengths::default(), clock::now_ns());
        while next_transaction(&mut inflated, transaction).map_err(ClassicError::from)? {
            if self.is_over() {
                return Err(NetError::Stopped.into());
            }
            records.clear();
            let sent = Records::new(&self.declaration.statements, &mut lengths, transaction);
            let count = records::encode(sent, time, records).map_err(ClassicError::from)?;
            if count > 0 {
                take(records, count)?;
            }
        }
        Ok(())
    }

    /// Begins the stream, if it has not begun: a connection over which nothing comes leaves nothing.
    fn attach(&mut self) -> Result<(), ConnectionError> {
        if self.is_attached {
            return Ok(());
        }
        let mut definitions = Definitions::default();
        for (id, definition) in (1..).zip(self.declaration.statements.all()) {
            let mut bytes = Vec::new();
            let mut definition = definition.clone();
            definition.id = id;
            definition.encode(&mut bytes);
            definitions.define(id, &bytes); // all of them fit: that is what the statements were held to
        }
        let attach = Attach {
            producer: self.caller.remote.to_string(),
            created: hog_ring::boottime_ns(),
            boot: hog_ring::boot_id()?,
            sender: self.sender,
            definitions,
        };
        let header = FrameHeader::plain(Kind::Attach, &attach.encode()).of_stream(self.stream, 0, 0);
        self.store.attach(self.caller.token, &header, &attach)?;
        self.is_attached = true;
        Ok(())
    }
}

/// The frames of a segment, as they are filled.
struct Frames {
    raw: Vec<u8>,
    batch: FrameBatch,
    compressor: Compressor,
    /// Where `raw` begins in the stream.
    position: u64,
}

impl Frames {
    /// Adds what must stand in one frame.
    fn add(&mut self, connection: &Connection<'_>, part: &[u8]) -> Result<(), ConnectionError> {
        if self.raw.len() + part.len() > FRAME_BODY_MAX {
            self.flush(connection)?;
        }
        self.raw.extend_from_slice(part);
        Ok(())
    }

    fn flush(&mut self, connection: &Connection<'_>) -> Result<(), ConnectionError> {
        if self.raw.is_empty() {
            return Ok(());
        }
        provoke::here();
        self.batch.clear();
        let at = self.batch.begin();
        let codec = self.compressor.compress(&self.raw, self.batch.body_mut());
        let body = self.batch.unfinished(at);
        let end = self.position + self.raw.len() as u64;
        let header = FrameHeader {
            codec,
            raw_len: frame::body_len(&self.raw),
            time: clock::now_ns(),
            ..FrameHeader::plain(Kind::Data, body).of_stream(connection.stream, self.position, end)
        };
        self.batch.finish(at, header);
        connection
            .store
            .append_classic(connection.caller.token, connection.stream, &mut self.batch)?;
        self.position = end;
        self.raw.clear();
        Ok(())
    }
}
