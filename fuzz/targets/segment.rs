//! A whole segment: header, checkpoint, frames, an end that may be torn, damage anywhere. The first byte says what is put right: the header (bit 0), the
//! headers of frames (bit 1), the CRCs of their bodies (bit 2).

use super::frame::seal;
use hog::formats::frame::{HEADER_LEN, MAGIC};
use hog::formats::segment::SEGMENT_HEADER_LEN;
use hog::seglog::reader::{FoundFrame, Next, SegmentReader};
use std::path::PathBuf;
use tempfile::TempDir;

/// Where the segment's CRC lies, and its uuid.
const CRC_AT: usize = SEGMENT_HEADER_LEN - 4;
const SEGMENT_AT: usize = 16;
const BODY_LEN_AT: usize = 8;
const BODY_CRC_AT: usize = 64;

thread_local! {
    static PLACE: (TempDir, PathBuf) = {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seg-00000000000000000001.hog");
        (directory, path)
    };
}

pub(crate) fn judge(bytes: &[u8]) {
    let Some((&mend, file)) = bytes.split_first() else {
        return;
    };
    let mut file = file.to_vec();
    if file.len() >= SEGMENT_HEADER_LEN {
        if mend & 1 != 0 {
            let crc = crc32c::crc32c(&file[..CRC_AT]);
            file[CRC_AT..SEGMENT_HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
        }
        mend_frames(&mut file, mend & 2 != 0, mend & 4 != 0);
    }
    PLACE.with(|(_, path)| {
        std::fs::write(path, &file).unwrap();
        let Ok(reader) = SegmentReader::open(path) else { return };
        read(reader, file.len() as u64);
    });
}

/// Puts right what is asked for of the frames that follow each other.
fn mend_frames(file: &mut [u8], headers: bool, bodies: bool) {
    let salt: [u8; 16] = file[SEGMENT_AT..SEGMENT_AT + 16].try_into().unwrap();
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(header) = file.get(at..at + HEADER_LEN) {
        let mut header: [u8; HEADER_LEN] = header.try_into().unwrap();
        if header[..4] != MAGIC {
            return;
        }
        let len = u32::from_le_bytes(header[BODY_LEN_AT..BODY_LEN_AT + 4].try_into().unwrap()) as usize;
        let body = at + HEADER_LEN..(at + HEADER_LEN).saturating_add(len);
        if let Some(body) = file.get(body.clone()).filter(|_| bodies) {
            header[BODY_CRC_AT..BODY_CRC_AT + 4].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        }
        if headers {
            seal(&mut header, &salt);
        }
        file[at..at + HEADER_LEN].copy_from_slice(&header);
        at = body.end;
    }
}

/// Reads it to its end, as recovery and `hog cat` do. Each step must get further.
fn read(mut reader: SegmentReader, len: u64) {
    reader.checkpoint().unwrap();
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let next = reader.next_frame().unwrap();
        let next = match next {
            Next::Frame(found) if !has_sound_body(&mut reader, &found, &mut body) => reader.reject(&found).unwrap(),
            next => next,
        };
        match next {
            Next::End(_) => return,
            Next::Damaged { from, to, .. } => assert!(from < to && to <= len, "{from} to {to} of {len}"),
            Next::Frame(found) => assert!(found.end() <= len),
        }
        assert!(reader.offset() > at, "stuck at {at}");
        at = reader.offset();
    }
}

fn has_sound_body(reader: &mut SegmentReader, found: &FoundFrame, body: &mut Vec<u8>) -> bool {
    body.clear();
    reader.read_body(found, body).unwrap()
}
