//! A ring as somebody left it in shared memory: its control words (448 bytes from offset 256), the beginnings of both copies of its state (64 bytes each), and its
//! data. It is opened and drained as a drainer does. Its identity, which has a CRC, is judged apart: the first 140 bytes, with the CRC put right.

use super::{split, take};
use hog_ring::layout::{HEADER_AREA, IDENTITY_CRC, IDENTITY_LEN, STATE_COPIES};
use hog_ring::limits::unfragmented_max;
use hog_ring::record::{adoption_time, gap_totals};
use hog_ring::{GroupOptions, Identity, Kind, RingReader, Walk, Writer, cut};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tempfile::TempDir;

const CAPACITY: usize = 64 << 10;
const WORDS_AT: u64 = 256;
const WORDS_LEN: usize = 448;
const STATE_LEN: usize = 64;

/// A ring that is sound until it is written over.
struct Ring {
    _directory: TempDir,
    _writer: Writer,
    path: PathBuf,
    file: File,
}

impl Ring {
    fn new() -> Ring {
        let directory = tempfile::Builder::new()
            .prefix("hog-test-")
            .tempdir_in("/dev/shm")
            .unwrap();
        let options = GroupOptions::new("fuzz")
            .shm_dir(directory.path())
            .ring_size(CAPACITY as u64);
        let group = options.open().unwrap();
        let writer = group.writer().unwrap();
        let path = group.directory().join(format!("{}.ring", writer.ring_uuid()));
        let file = File::options().write(true).open(&path).unwrap();
        Ring {
            _directory: directory,
            _writer: writer,
            path,
            file,
        }
    }

    fn fill(&self, bytes: &[u8]) {
        let (words, rest) = take::<WORDS_LEN>(bytes);
        let (first, rest) = take::<STATE_LEN>(rest);
        let (second, data) = take::<STATE_LEN>(rest);
        let (data, _) = split(data, CAPACITY);
        let put = |bytes: &[u8], at: usize| self.file.write_all_at(bytes, at as u64).unwrap();
        self.file.write_all_at(&words, WORDS_AT).unwrap();
        put(&first, STATE_COPIES[0]);
        put(&second, STATE_COPIES[1]);
        put(data, HEADER_AREA);
        // What the former bytes left behind these.
        put(&vec![0; (CAPACITY - data.len()).min(4096)], HEADER_AREA + data.len());
    }
}

thread_local! {
    static RING: Ring = Ring::new();
}

pub(crate) fn judge(bytes: &[u8]) {
    judge_identity(bytes);
    RING.with(|ring| {
        ring.fill(bytes);
        drain(RingReader::open(&ring.path).unwrap());
    });
}

fn judge_identity(bytes: &[u8]) {
    let (mut identity, _) = take::<IDENTITY_LEN>(bytes);
    let _ = Identity::decode(&identity);
    let crc = crc32c::crc32c(&identity[..IDENTITY_CRC]);
    identity[IDENTITY_CRC..].copy_from_slice(&crc.to_le_bytes());
    if let Ok(found) = Identity::decode(&identity) {
        assert_eq!(Identity::decode(&found.encode()).unwrap(), found);
    }
}

fn drain(mut reader: RingReader) {
    let _ = (
        reader.is_adoptable(),
        reader.state(),
        reader.drops(),
        reader.adopted(),
        reader.liveness(),
    );
    let Ok(mut position) = reader.sound_head() else { return };
    for _ in 0..4 {
        let Ok(tail) = reader.tail(position) else { return };
        let mut bytes = vec![0; usize::try_from(tail - position).unwrap()];
        reader.copy(position, &mut bytes).unwrap();
        let whole = cut(&bytes, true, CAPACITY as u64);
        assert!(whole.len == bytes.len() || whole.bad.is_some());
        let early = cut(&bytes[..bytes.len() / 16 * 8], false, CAPACITY as u64);
        assert!(early.len <= whole.len, "an early cut takes what a late one does not");
        let mut open = 0;
        for item in Walk::new(&bytes[..whole.len]) {
            let (_, header, payload) = item.unwrap();
            open += header.padded_len();
            assert!(
                open <= unfragmented_max(CAPACITY as u64),
                "{header:?} makes {open} bytes"
            );
            if !header.more {
                open = 0;
            }
            match header.kind {
                Kind::Gap => assert!(gap_totals(payload).is_some()),
                Kind::Abort => assert_eq!(adoption_time(payload).is_some(), payload.len() >= 8),
                _ => {}
            }
        }
        assert_eq!(open, 0, "it ends within a transaction");
        position = tail;
        reader.advance(position);
    }
}
