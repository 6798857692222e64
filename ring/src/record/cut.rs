//! How much of a stretch of a ring a drainer may take: whole records and whole transactions, up to the first that is neither.
//!
//! It is decided piece by piece, as the stretch is copied, and from the copy alone. What nearly all records are, whole and standing alone, is gone over
//! quickly; everything else is parsed, and only that decides.

use super::{BadRecord, Header, Kind, Parsed, header_len, padded, parse, u32_at};
use crate::layout::{KIND_SHIFT, LAST, LENGTH_BITS, MORE, TIME};
use crate::limits::unfragmented_max;

/// How far the next record is from the one at the start of `bytes`, if that is whole, sound, of an application, and no part of a transaction with
/// the next.
#[inline]
fn plain_len(bytes: &[u8], max_len: usize) -> Option<usize> {
    const WHAT: u32 = 7 << KIND_SHIFT | MORE | LAST;
    let (first, statement) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
    let len = (first & ((1 << LENGTH_BITS) - 1)) as usize;
    let is_sound = first & WHAT == Kind::Record.code() << KIND_SHIFT
        && statement != 0
        && len >= header_len(first & TIME != 0)
        && len <= max_len
        && padded(len) <= bytes.len();
    is_sound.then_some(padded(len))
}

/// What a drainer may take of a stretch of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of whole records from the start; the last of them does not carry MORE.
    pub len: usize,
    /// Whether those bytes hold an STMT or an ABORT.
    pub statements: bool,
    /// What stands right after `len`, if it can never become a record or transaction.
    pub bad: Option<BadRecord>,
    /// How many records of any kind those bytes hold.
    pub records: u64,
}

/// Decides how much of a stretch of a ring may be taken, piece by piece as it is copied: what was just copied is still in the processor's nearest cache.
///
/// A record, or a run of records with MORE, that is longer than may stand unfragmented is bad.
#[derive(Clone, Debug)]
pub struct Cutter {
    max: usize,
    taken: Cut,
    /// Where the next record is looked for.
    offset: usize,
    /// What was seen of the transaction that is open at `offset`, if one is.
    statements: bool,
    records: u64,
}

impl Cutter {
    /// Nothing yet of a ring of `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Cutter {
        Cutter {
            max: unfragmented_max(capacity),
            taken: Cut {
                len: 0,
                statements: false,
                bad: None,
                records: 0,
            },
            offset: 0,
            statements: false,
            records: 0,
        }
    }

    /// Goes on through `bytes`: those of the call before, and what was copied behind them since. Says how many may be taken so far; `None` once
    /// what follows those is bad.
    pub fn see(&mut self, bytes: &[u8]) -> Option<usize> {
        self.pass_plain(bytes);
        while self.taken.bad.is_none()
            && let Some(rest) = bytes.get(self.offset..).filter(|rest| !rest.is_empty())
        {
            match parse(rest, self.max) {
                Ok(Parsed::Whole(header)) => {
                    self.enter(&header);
                    self.pass_plain(bytes);
                }
                Ok(Parsed::Incomplete) => break,
                Err(bad) => self.taken.bad = Some(bad),
            }
        }
        self.taken.bad.is_none().then_some(self.taken.len)
    }

    /// Goes over records that are whole and stand alone, as nearly all do. It decides nothing: what it does not go over is parsed.
    fn pass_plain(&mut self, bytes: &[u8]) {
        if self.offset > self.taken.len || self.taken.bad.is_some() {
            return; // within a transaction
        }
        let mut offset = self.offset;
        let mut records = 0;
        while let Some(len) = bytes.get(offset..).and_then(|rest| plain_len(rest, self.max)) {
            offset += len;
            records += 1;
        }
        self.offset = offset;
        self.taken.len = offset;
        self.taken.records += records;
    }

    #[inline]
    fn enter(&mut self, header: &Header) {
        if self.offset > self.taken.len && !matches!(header.kind, Kind::Record | Kind::Stmt) {
            self.taken.bad = Some(BadRecord::WithinTransaction { kind: header.kind });
            return;
        }
        self.offset += header.padded_len();
        if self.offset - self.taken.len > self.max {
            self.taken.bad = Some(BadRecord::LongTransaction { max: self.max });
            return;
        }
        self.records += 1;
        self.statements |= matches!(header.kind, Kind::Stmt | Kind::Abort);
        if !header.more {
            self.taken.len = self.offset;
            self.taken.records += std::mem::take(&mut self.records);
            self.taken.statements |= std::mem::take(&mut self.statements);
        }
    }

    /// What may be taken of all `len` bytes that were seen.
    ///
    /// With `to_tail` they end where the producer's last publication did, so that an incomplete record or a transaction
    /// without end is bad; without it, more of the same may follow and the cut is before it.
    #[must_use]
    pub fn finish(mut self, len: usize, to_tail: bool) -> Cut {
        if to_tail && self.taken.bad.is_none() {
            if self.offset < len {
                self.taken.bad = Some(BadRecord::Truncated { len: len - self.offset });
            } else if self.offset > self.taken.len {
                self.taken.bad = Some(BadRecord::Unfinished);
            }
        }
        self.taken
    }
}

/// As [`Cutter`], of `bytes` that are all there.
#[must_use]
pub fn cut(bytes: &[u8], to_tail: bool, capacity: u64) -> Cut {
    let mut cutter = Cutter::new(capacity);
    cutter.see(bytes);
    cutter.finish(bytes.len(), to_tail)
}

#[cfg(test)]
mod tests {
    use super::super::Walk;
    use super::super::tests::record;
    use super::*;

    #[test]
    fn cut_never_ends_after_more() {
        let mut bytes = record(Kind::Record, 0, 1, b"one");
        let whole = bytes.len();
        bytes.extend(record(Kind::Stmt, MORE, 2, b"def"));
        let cut_early = cut(&bytes, false, 1 << 20);
        assert_eq!(
            cut_early,
            Cut {
                len: whole,
                statements: false,
                bad: None,
                records: 1
            }
        );
        assert_eq!(cut(&bytes, true, 1 << 20).bad, Some(BadRecord::Unfinished));
        bytes.extend(record(Kind::Record, 0, 2, b"two"));
        assert_eq!(
            cut(&bytes, true, 1 << 20),
            Cut {
                len: bytes.len(),
                statements: true,
                bad: None,
                records: 3
            }
        );
    }

    #[test]
    fn cut_takes_what_is_sound_before_a_bad_record() {
        let mut bytes = record(Kind::Record, 0, 1, b"one");
        let sound = bytes.len();
        bytes.extend([0; 16]);
        let found = cut(&bytes, true, 1 << 20);
        assert_eq!((found.len, found.bad), (sound, Some(BadRecord::Kind { code: 0 })));
    }

    #[test]
    fn cut_refuses_what_should_have_been_fragmented() {
        let capacity = 64 << 10;
        let max = unfragmented_max(capacity);
        let piece = record(Kind::Record, MORE, 1, &[1; 4088]);
        let mut bytes = piece.repeat(max / piece.len());
        assert_eq!(cut(&bytes, false, capacity).bad, None);
        bytes.extend(record(Kind::Record, 0, 1, b""));
        assert_eq!(
            cut(&bytes, false, capacity).bad,
            Some(BadRecord::LongTransaction { max })
        );
        let long = record(Kind::Record, 0, 1, &vec![0; max]);
        assert!(matches!(
            cut(&long, false, capacity).bad,
            Some(BadRecord::Length { .. })
        ));
    }

    #[test]
    fn nothing_but_records_and_statements_stands_within_a_transaction() {
        let mut bytes = record(Kind::Record, MORE, 1, b"one");
        bytes.extend(record(Kind::Abort, 0, 1, b""));
        assert_eq!(
            cut(&bytes, true, 1 << 20).bad,
            Some(BadRecord::WithinTransaction { kind: Kind::Abort })
        );
    }

    #[test]
    fn what_is_cut_piece_by_piece_is_what_is_cut_at_once() {
        let mut whole = Vec::new();
        for number in 0..40_u32 {
            let flags = if number % 3 == 0 { MORE } else { 0 };
            let kind = if number % 7 == 0 { Kind::Stmt } else { Kind::Record };
            whole.extend(record(kind, flags, 1, &vec![1; number as usize * 5]));
        }
        let mut bad = whole.clone();
        bad[400..].fill(0xff);
        for bytes in [&whole[..], &whole[..whole.len() - 24], &bad] {
            for (piece, to_tail) in [(8, true), (8, false), (64, true), (1000, false)] {
                let mut cutter = Cutter::new(1 << 20);
                let ends = (piece..bytes.len()).step_by(piece).chain([bytes.len()]);
                let steps: Vec<_> = ends.map_while(|end| cutter.see(&bytes[..end])).collect();
                assert!(steps.is_sorted());
                assert_eq!(cutter.finish(bytes.len(), to_tail), cut(bytes, to_tail, 1 << 20));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn cut_of_any_bytes_is_whole_records(bytes: Vec<u8>, to_tail: bool) {
            let found = cut(&bytes, to_tail, 64 << 10);
            proptest::prop_assert!(found.len <= bytes.len() && found.len.is_multiple_of(8));
            proptest::prop_assert!(Walk::new(&bytes[..found.len]).all(|item| item.is_ok()));
        }

        #[test]
        fn a_record_that_is_gone_over_is_one_that_parses(first: u32, statement in 0..2_u32, len in 0..64_u32, max in 0..64_usize, there in 0..64_usize) {
            let first = first & !((1 << LENGTH_BITS) - 1) | len;
            let bytes = [&first.to_le_bytes()[..], &statement.to_le_bytes(), &[0; 64]].concat();
            let bytes = &bytes[..there];
            let parsed = match parse(bytes, max) {
                Ok(Parsed::Whole(header)) if header.kind == Kind::Record && !header.more => Some(header.padded_len()),
                _ => None,
            };
            proptest::prop_assert_eq!(plain_len(bytes, max), parsed);
        }
    }
}
