//! What is left of a segment whose records were dropped: a segment of the same number and run, with the same checkpoint at its head, and then for each
//! stream its ATTACH, one GAP over all its positions there, and its END if that lay there. Whoever has those positions already passes over the GAP.
//!
//! It is written beside the segment, synced, and renamed over it: at every instant the spool holds either the records or the word that they are gone.
//! Section 5 of the design has GAP and END appended at the end of the spool. In place they are better: a destination meets the GAP where the records
//! were and not behind what follows them; it is told to whom the records were owed, which is what the segment's run says, and to nobody else; and
//! all of that holds after a restart. Remnants of one run that stand side by side are made one, so that they do not pile up.

use crate::formats::body::{Gap, GapReason, Seal};
use crate::formats::codec::Decompressor;
use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::table::Table;
use crate::ids::StreamId;
use crate::os::clock;
use crate::os::disk::at;
use crate::seglog::batch::FrameBatch;
use crate::seglog::reader::{FoundFrame, Head, SegmentError, SegmentReader};
use crate::seglog::recovery::{self, Event};
use crate::seglog::writer::{LogIdentity, encode_header, put_checkpoint};
use crate::stages::spool::index::Victim;
use hog_ring::record::{self, Walk};
use std::collections::HashMap;

/// A remnant, not yet written.
pub(super) struct Remnant {
    /// The whole segment.
    pub(super) bytes: Vec<u8>,
    /// What is gone.
    pub(super) loss: Loss,
}

/// What is lost with a segment, to whoever lacked most of it; what was in front of it was lost before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// Records.
    pub(super) records: u64,
    /// Bytes of them.
    pub(super) bytes: u64,
    /// Streams that they belong to.
    pub(super) streams: usize,
}

/// What a segment says of one stream, as far as it stays.
#[derive(Default)]
struct Kept {
    /// Its first and last position there.
    range: (u64, u64),
    /// A frame of it was read.
    met: bool,
    attach: Option<(FrameHeader, Vec<u8>)>,
    end: Option<(FrameHeader, Vec<u8>)>,
    records: u64,
    bytes: u64,
}

/// What is to be left of `victim`, and of the remnant in front of it.
pub(super) fn of(victim: &Victim) -> Result<Remnant, SegmentError> {
    let (before, segment) = (&victim.before, &victim.segment);
    let mut kept: HashMap<StreamId, Kept> = HashMap::new();
    for (stream, range) in &victim.lies {
        let range = *range;
        kept.insert(
            *stream,
            Kept {
                range,
                ..Kept::default()
            },
        );
    }
    let mut order = Vec::new();
    let mut table = None;
    let mut identity = None;
    let mut known = HashMap::new();
    for file in before.iter().chain([segment]) {
        known = kept.iter().map(|(stream, kept)| (*stream, kept.counted())).collect();
        let mut reader = SegmentReader::open(&file.path)?;
        let header = reader.header();
        identity = Some(LogIdentity {
            role: header.role,
            group: header.group.clone(),
            owner: header.owner,
            epoch: header.epoch,
        });
        let head = reader.checkpoint()?;
        if table.is_none() {
            // A head that is damaged explains nothing: what the spool knows of these streams stands in its later segments.
            table = Some(if let Head::Whole(table) = head {
                table
            } else {
                Table::default()
            });
        }
        if victim.is_unread {
            reader.know_durable(); // or what follows damage would be behind a torn end
        }
        gather(&mut reader, &victim.lacked, &mut kept, &mut order)?;
    }
    // What is damaged beyond recognition still is a GAP.
    order.extend(kept.iter().filter(|(_, kept)| !kept.met).map(|(stream, _)| *stream));
    // `segment` was read, so there is one.
    let Some(identity) = identity else {
        return Ok(Remnant {
            bytes: Vec::new(),
            loss: Loss::default(),
        });
    };
    let (salt, mut bytes) = encode_header(&identity, segment.number);
    let heads = put_checkpoint(&table.unwrap_or_default(), salt, &mut bytes);
    let loss = loss_of(&kept, &known);
    let mut batch = frames_of(&kept, &order);
    let frames = heads + batch.frames().len() as u64;
    let offset = bytes.len() as u64;
    bytes.extend_from_slice(batch.sealed_for(salt, offset, 0));
    let offset = bytes.len() as u64;
    let body = Seal { frames, offset }.encode();
    let mut seal = FrameBatch::default();
    seal.push(FrameHeader::plain(Kind::Seal, &body), &body);
    bytes.extend_from_slice(seal.sealed_for(salt, offset, 0));
    Ok(Remnant { bytes, loss })
}

/// What is lost beyond what was `known` to be.
fn loss_of(kept: &HashMap<StreamId, Kept>, known: &HashMap<StreamId, (u64, u64)>) -> Loss {
    let mut loss = Loss::default();
    for (stream, kept) in kept {
        let (records, bytes) = known.get(stream).copied().unwrap_or_default();
        loss.records += kept.records.saturating_sub(records);
        loss.bytes += kept.bytes.saturating_sub(bytes);
        loss.streams += usize::from(kept.bytes > bytes);
    }
    loss
}

/// The frames that stay, and the GAPs.
fn frames_of(kept: &HashMap<StreamId, Kept>, order: &[StreamId]) -> FrameBatch {
    let mut batch = FrameBatch::default();
    for stream in order {
        let Some(kept) = kept.get(stream) else { continue };
        if let Some((header, body)) = &kept.attach {
            batch.push(*header, body);
        }
        let from = kept.range.0;
        let to = kept.end.as_ref().map_or(kept.range.1, |(end, _)| end.start);
        if from < to {
            let gap = Gap {
                reason: GapReason::Dropped,
                records: kept.records,
                bytes: kept.bytes,
            };
            let body = gap.encode();
            let mut header = FrameHeader::plain(Kind::Gap, &body).of_stream(*stream, from, to);
            header.time = clock::now_ns();
            batch.push(header, &body);
        }
        if let Some((header, body)) = &kept.end {
            batch.push(*header, body);
        }
    }
    batch
}

/// Reads what stays of each stream, and counts what somebody lacks of the rest.
fn gather(
    reader: &mut SegmentReader,
    lacked: &HashMap<StreamId, u64>,
    kept: &mut HashMap<StreamId, Kept>,
    order: &mut Vec<StreamId>,
) -> Result<(), SegmentError> {
    let mut decompressor = Decompressor::new().map_err(at("decompress", reader.path()))?;
    let mut body = Vec::new();
    recovery::for_each_frame(reader, &mut |reader, event| {
        let Event::Frame(FoundFrame { header, offset }) = event else {
            return Ok(true); // damage is within the GAP, uncounted
        };
        let Some(kept) = kept.get_mut(&header.stream) else {
            return Ok(true);
        };
        body.clear();
        if !reader.read_body(&FoundFrame { header, offset }, &mut body)? {
            return Ok(false);
        }
        if !std::mem::replace(&mut kept.met, true) {
            order.push(header.stream);
        }
        match header.kind {
            Kind::Attach => drop(kept.attach.get_or_insert((header, body.clone()))),
            Kind::End => kept.end = Some((header, body.clone())),
            Kind::Data | Kind::Gap => {
                if let (Some(from), Ok(raw)) = (lacked.get(&header.stream), decompressor.raw(&header, &body)) {
                    kept.count(&header, raw, *from);
                }
            }
            _ => {}
        }
        Ok(true)
    })?;
    Ok(())
}

impl Kept {
    fn counted(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }

    /// Counts the records in `raw` that lie at or behind position `from`, or what an earlier GAP said was gone.
    fn count(&mut self, header: &FrameHeader, raw: &[u8], from: u64) {
        if header.kind == Kind::Gap {
            if header.end > from
                && let Ok(gap) = Gap::decode(raw)
            {
                self.records = self.records.saturating_add(gap.records);
                self.bytes = self.bytes.saturating_add(gap.bytes);
            }
            return;
        }
        for (at, found, _) in Walk::new(raw).flatten() {
            if header.start + at as u64 >= from {
                self.bytes += found.padded_len() as u64;
                // Of a run of fragments the last stands for the record; one that holds several counts once.
                self.records += u64::from(match found.kind {
                    record::Kind::Record => true,
                    record::Kind::Fragment => found.last,
                    _ => false,
                });
            }
        }
    }
}
