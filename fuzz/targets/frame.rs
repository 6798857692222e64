//! A frame: 72 bytes of header, then the body, stored or compressed, and what the body of each kind says.

use super::{split, take};
use hog::formats::body::{Attach, End, Gap, Seal};
use hog::formats::codec::Decompressor;
use hog::formats::definitions::Definitions;
use hog::formats::frame::{Codec, END_SPAN, FrameHeader, HEADER_LEN, Kind, MAGIC};
use hog::formats::table::{StreamState, Table};
use hog::formats::{checkpoint, frame};
use hog::ids::{OwnerId, SegmentId, StreamId};
use hog::limits::{FRAME_BODY_MAX, POSITION_MAX};

pub(crate) fn judge(bytes: &[u8]) {
    let (found, body) = take::<HEADER_LEN>(bytes);
    let _ = FrameHeader::open(&found, SegmentId::NIL);
    let mut mended = found;
    mended[..4].copy_from_slice(&MAGIC);
    seal(&mut mended, &[0; 16]);
    let Ok(header) = FrameHeader::open(&mended, SegmentId::NIL) else {
        return;
    };
    assert_bounds(&header);
    assert_eq!(header.seal(SegmentId::NIL), mended);
    let (body, _) = split(body, FRAME_BODY_MAX);
    let len = frame::body_len(body);
    let raw_len = if header.codec == Codec::None {
        len
    } else {
        header.raw_len
    };
    let header = FrameHeader {
        body_len: len,
        raw_len,
        end: if header.kind == Kind::Data {
            header.start.saturating_add(raw_len.into())
        } else {
            header.end
        },
        body_crc: crc32c::crc32c(body),
        ..header
    };
    if !header.is_within_bounds() {
        return;
    }
    header.check_body(body).unwrap();
    let mut decompressor = Decompressor::new().unwrap();
    let Ok(raw) = decompressor.raw(&header, body) else {
        return;
    };
    assert_eq!(raw.len(), header.raw_len as usize);
    judge_body(&header, raw);
}

/// What every reader relies on.
fn assert_bounds(header: &FrameHeader) {
    let FrameHeader { start, end, .. } = *header;
    assert!(
        start <= end && end <= POSITION_MAX && start % 8 == 0 && end % 8 == 0,
        "{header:?}"
    );
    assert!(
        header.body_len as usize <= FRAME_BODY_MAX && header.raw_len as usize <= FRAME_BODY_MAX,
        "{header:?}"
    );
    match header.kind {
        Kind::Data => assert_eq!(end - start, u64::from(header.raw_len)),
        Kind::Gap => assert!(end > start),
        Kind::End => assert_eq!(end - start, END_SPAN),
        _ => {}
    }
}

/// Puts the CRC of a header right.
pub(super) fn seal(header: &mut [u8; HEADER_LEN], salt: &[u8; 16]) {
    let crc = crc32c::crc32c_append(crc32c::crc32c(salt), &header[8..]);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn judge_body(header: &FrameHeader, raw: &[u8]) {
    match header.kind {
        Kind::Attach => {
            if let Ok(attach) = Attach::decode(raw) {
                assert_eq!(Attach::decode(&attach.encode()).unwrap(), attach);
            }
        }
        Kind::Gap => {
            if let Ok(gap) = Gap::decode(raw) {
                assert_eq!(Gap::decode(&gap.encode()).unwrap(), gap);
            }
        }
        Kind::End => {
            if let Ok(end) = End::decode(raw) {
                assert_eq!(End::decode(&end.encode()).unwrap(), end);
            }
        }
        Kind::Seal => {
            let _ = Seal::decode(raw);
        }
        Kind::Checkpoint => {
            if let Ok(table) = checkpoint::decode(raw) {
                assert_can_be_checkpointed(table);
            }
        }
        _ => {}
    }
    apply(header, raw);
}

/// The frame in a log that has its stream up to where it begins: what it does to the table is bounded, and can be written to a checkpoint.
fn apply(header: &FrameHeader, raw: &[u8]) {
    let mut table = Table::default();
    let stream = StreamId::from_bytes([7; 16]);
    let attach = Attach {
        producer: "producer".to_owned(),
        created: 1,
        boot: Default::default(),
        sender: OwnerId::NIL,
        definitions: Definitions::default(),
    }
    .encode();
    let place = FrameHeader::plain(Kind::Attach, &attach).of_stream(stream, header.start, header.start);
    table.apply(&place, &attach).unwrap();
    if table
        .apply(&header.of_stream(stream, header.start, header.end), raw)
        .is_ok()
    {
        assert_can_be_checkpointed(table);
    }
}

/// That a checkpoint of it says the same; what was forgotten is not in it.
fn assert_can_be_checkpointed(mut table: Table) {
    let written = checkpoint::encode(&table);
    table.streams.retain(|_, stream| stream.state != StreamState::Forgotten);
    assert_eq!(checkpoint::decode(&written).unwrap(), table);
}
