//! What lies in a spool or an archive, held against what should.

use hog::formats::segment::SegmentHeaderError;
use hog::ids::StreamId;
use hog::seglog::reader::{FoundFrame, Next, SegmentError, SegmentReader};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The segments in `directory`, in order.
pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut segments: Vec<_> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some("hog".as_ref()))
        .collect();
    segments.sort();
    segments
}

/// That no position of a stream lies in `segments` twice: readers would skip the second, and so it would never be
/// missed.
pub(crate) fn assert_stored_once(segments: &[PathBuf]) {
    let mut ends: HashMap<StreamId, u64> = HashMap::new();
    for segment in segments {
        let mut reader = match SegmentReader::open(segment) {
            // Its writer was killed before it had a header.
            Err(SegmentError::Header {
                source: SegmentHeaderError::Short(_),
                ..
            }) => continue,
            opened => opened.unwrap(),
        };
        while let Next::Frame(FoundFrame { header, offset }) = reader.next_frame().unwrap() {
            if header.kind.takes_positions() {
                let end = ends.insert(header.stream, header.end).unwrap_or(0);
                assert!(
                    header.start >= end,
                    "{} has {header:?} at byte {offset} behind {end}",
                    segment.display()
                );
            }
        }
    }
}

/// That two texts are equal; says where they part instead of showing both.
pub(crate) fn assert_equal(found: &[u8], expected: &[u8]) {
    if found == expected {
        return;
    }
    let at = found
        .iter()
        .zip(expected)
        .take_while(|(one, other)| one == other)
        .count();
    let around = |bytes: &[u8]| {
        let line = bytes[..at.min(bytes.len())]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let from = line.max(at.saturating_sub(200));
        String::from_utf8_lossy(&bytes[from.min(bytes.len())..(at + 200).min(bytes.len())]).into_owned()
    };
    panic!(
        "{} bytes arrived of {}; they part at byte {at}:\nexpected {:?}\nfound    {:?}",
        found.len(),
        expected.len(),
        around(expected),
        around(found)
    );
}
