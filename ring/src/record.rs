//! Records as bytes: their header, and what may be taken of a stretch of them.
//!
//! Pure functions of bytes that were copied out of a ring or read from a file; nothing here reads shared memory, does
//! IO or allocates. The bytes are not trusted: a record is refused unless its kind exists, its flags are allowed for that
//! kind, and its length covers its header and stays below the caller's bound. Whatever follows a refused record has no
//! meaning, since only its length would say where the next one begins.

use crate::layout::{KIND_SHIFT, LAST, LENGTH_BITS, MORE, PLAIN_HEADER, TIME, TIMED_HEADER};
use crate::limits::{RUN_MAX, unfragmented_max};
use thiserror::Error;

/// Length of a GAP's payload: two cumulative totals.
pub const GAP_PAYLOAD: usize = 16;

/// Length of the payload of an ABORT that tells of an adoption: when it was.
pub const ADOPTION_PAYLOAD: usize = 8;

/// The bit MORE within the fourth byte of a header.
pub(crate) const MORE_IN_BYTE_3: u8 = MORE.to_le_bytes()[3];

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What an application logged.
    Record,
    /// The definition of a statement.
    Stmt,
    /// Cumulative totals of what an unreliable producer dropped.
    Gap,
    /// An heir begins, or a run of fragments is given up.
    Abort,
    /// A piece of a run.
    Fragment,
}

impl Kind {
    const fn code(self) -> u32 {
        match self {
            Kind::Record => 1,
            Kind::Stmt => 2,
            Kind::Gap => 3,
            Kind::Abort => 4,
            Kind::Fragment => 5,
        }
    }

    const fn of_code(code: u32) -> Option<Kind> {
        match code {
            1 => Some(Kind::Record),
            2 => Some(Kind::Stmt),
            3 => Some(Kind::Gap),
            4 => Some(Kind::Abort),
            5 => Some(Kind::Fragment),
            _ => None,
        }
    }
}

/// A record's header, parsed and found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the record is.
    pub kind: Kind,
    /// Length in bytes of header and payload, padding not included.
    pub len: usize,
    /// Length in bytes of the header alone: 16 with a time, else 8.
    pub header_len: usize,
    /// Whether the next record belongs to the same transaction.
    pub more: bool,
    /// Whether this is the last fragment of its run.
    pub last: bool,
    /// The statement's id; for a fragment its number in the run, for ABORT the lowest id still in use.
    pub statement: u32,
    /// Nanoseconds since 1970, if the record has a time.
    pub time: Option<u64>,
}

impl Header {
    /// How far the next record is from this one, in bytes: the length, padded to a multiple of 8.
    #[must_use]
    #[inline]
    pub const fn padded_len(&self) -> usize {
        padded(self.len)
    }

    /// The payload of this record, whose bytes begin at the start of `record`. Empty if `record` is not this record's.
    #[must_use]
    #[inline]
    pub fn payload<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        record.get(self.header_len..self.len).unwrap_or_default()
    }
}

/// The outcome of looking at the start of some bytes for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The whole record, with its padding, is there.
    Whole(Header),
    /// The bytes end before the record does.
    Incomplete,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadRecord {
    /// Kinds 0, 6 and 7 mean nothing.
    #[error("record kind {code} does not exist")]
    Kind {
        /// The code found.
        code: u32,
    },
    /// MORE or LAST where the kind does not allow it.
    #[error("flags {flags:#010x} are not allowed on a record of kind {kind:?}")]
    Flags {
        /// What the record says it is.
        kind: Kind,
        /// The first word of its header.
        flags: u32,
    },
    /// The length does not cover the header, or is above the bound, or is not what the kind has.
    #[error("record length {len} is not within {min} to {max} bytes")]
    Length {
        /// The length found.
        len: usize,
        /// The least it could be.
        min: usize,
        /// The most it could be.
        max: usize,
    },
    /// Statement ids begin with 1.
    #[error("a record of kind {kind:?} names statement 0")]
    Statement {
        /// What the record says it is.
        kind: Kind,
    },
    /// The bytes end within a record although nothing more will follow.
    #[error("the bytes end {len} bytes into a record")]
    Truncated {
        /// How many bytes of it there are.
        len: usize,
    },
    /// The bytes end after a record with MORE although nothing more will follow.
    #[error("a transaction has no end")]
    Unfinished,
    /// Something other than RECORD or STMT follows a record with MORE.
    #[error("a record of kind {kind:?} stands within a transaction")]
    WithinTransaction {
        /// What stands there.
        kind: Kind,
    },
    /// A transaction that should have gone as fragments.
    #[error("a transaction of more than {max} bytes is not fragmented")]
    LongTransaction {
        /// The most that may stand unfragmented, in bytes.
        max: usize,
    },
}

/// `len` rounded up to a multiple of 8.
#[must_use]
#[inline]
pub const fn padded(len: usize) -> usize {
    (len + 7) & !7
}

/// The length of a record's header with or without a time, in bytes.
#[must_use]
#[inline]
pub const fn header_len(timed: bool) -> usize {
    if timed { TIMED_HEADER } else { PLAIN_HEADER }
}

/// The first word of a record's header. `len` counts header and payload and is at most [`RUN_MAX`]; `flags` are MORE, TIME
/// and LAST.
#[must_use]
#[inline]
#[allow(clippy::cast_possible_truncation)] // RUN_MAX fits in the length bits, asserted in limits.rs.
pub const fn first_word(kind: Kind, len: usize, flags: u32) -> u32 {
    debug_assert!(len <= RUN_MAX);
    len as u32 | kind.code() << KIND_SHIFT | flags
}

#[inline]
fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Parses the record at the start of `bytes`, which is at most `max_len` bytes long, padding not included.
///
/// # Errors
/// The bytes cannot be a record, however many follow.
#[inline]
pub fn parse(bytes: &[u8], max_len: usize) -> Result<Parsed, BadRecord> {
    let (Some(first), Some(statement)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else {
        return Ok(Parsed::Incomplete);
    };
    let code = first >> KIND_SHIFT & 7;
    let Some(kind) = Kind::of_code(code) else {
        return Err(BadRecord::Kind { code });
    };
    let (more, timed, last) = (first & MORE != 0, first & TIME != 0, first & LAST != 0);
    if more && !matches!(kind, Kind::Record | Kind::Stmt) || last && kind != Kind::Fragment {
        return Err(BadRecord::Flags { kind, flags: first });
    }
    let len = (first & ((1 << LENGTH_BITS) - 1)) as usize;
    let header_len = header_len(timed);
    let (min, max) = match kind {
        Kind::Record | Kind::Stmt | Kind::Fragment => (header_len, max_len),
        Kind::Gap => (header_len + GAP_PAYLOAD, header_len + GAP_PAYLOAD),
        Kind::Abort => (header_len, header_len + ADOPTION_PAYLOAD),
    };
    if len < min || len > max {
        return Err(BadRecord::Length { len, min, max });
    }
    if statement == 0 && matches!(kind, Kind::Record | Kind::Stmt) {
        return Err(BadRecord::Statement { kind });
    }
    if bytes.len() < padded(len) {
        return Ok(Parsed::Incomplete);
    }
    let time = if timed {
        bytes[8..].first_chunk().map(|ns| u64::from_le_bytes(*ns))
    } else {
        None
    };
    Ok(Parsed::Whole(Header {
        kind,
        len,
        header_len,
        more,
        last,
        statement,
        time,
    }))
}

/// The totals that a GAP's payload carries: records and bytes dropped so far.
#[must_use]
pub fn gap_totals(payload: &[u8]) -> Option<(u64, u64)> {
    let records = u64::from_le_bytes(*payload.first_chunk()?);
    let bytes = u64::from_le_bytes(*payload.get(8..)?.first_chunk()?);
    Some((records, bytes))
}

/// When the adoption was that this ABORT's payload tells of (CLOCK_BOOTTIME, ns); `None` for an ABORT that only ends fragments.
#[must_use]
pub fn adoption_time(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|ns| u64::from_le_bytes(*ns))
}

/// Goes through the records of a body that holds whole records only. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Walk<'a> {
    /// Begins at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Walk { bytes, offset: 0 }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<(usize, Header, &'a [u8]), BadRecord>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let offset = self.offset;
        match parse(rest, RUN_MAX) {
            Ok(Parsed::Whole(header)) => {
                self.offset += header.padded_len();
                Some(Ok((offset, header, header.payload(rest))))
            }
            Ok(Parsed::Incomplete) => {
                self.offset = self.bytes.len();
                Some(Err(BadRecord::Truncated { len: rest.len() }))
            }
            Err(bad) => {
                self.offset = self.bytes.len();
                Some(Err(bad))
            }
        }
    }
}

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
    use super::*;

    fn record(kind: Kind, flags: u32, statement: u32, payload: &[u8]) -> Vec<u8> {
        let len = header_len(flags & TIME != 0) + payload.len();
        let mut bytes = first_word(kind, len, flags).to_le_bytes().to_vec();
        bytes.extend(statement.to_le_bytes());
        if flags & TIME != 0 {
            bytes.extend(7_u64.to_le_bytes());
        }
        bytes.extend(payload);
        bytes.resize(padded(len), 0);
        bytes
    }

    #[test]
    fn header_survives_the_way_through_bytes() {
        let bytes = record(Kind::Record, TIME | MORE, 9, b"abc");
        let Ok(Parsed::Whole(header)) = parse(&bytes, 100) else {
            panic!("not whole")
        };
        assert_eq!((header.kind, header.len, header.padded_len()), (Kind::Record, 19, 24));
        assert_eq!(
            (header.more, header.last, header.statement, header.time),
            (true, false, 9, Some(7))
        );
        assert_eq!(header.payload(&bytes), b"abc");
    }

    #[test]
    fn unknown_kinds_and_misplaced_flags_are_refused() {
        for code in [0, 6, 7] {
            let bytes = (8_u64 | code << KIND_SHIFT | 1 << 32).to_le_bytes();
            assert_eq!(
                parse(&bytes, 100),
                Err(BadRecord::Kind {
                    code: u32::try_from(code).unwrap()
                })
            );
        }
        for (kind, flags) in [
            (Kind::Gap, MORE),
            (Kind::Abort, MORE),
            (Kind::Fragment, MORE),
            (Kind::Record, LAST),
        ] {
            let bytes = record(kind, flags, 1, &[0; GAP_PAYLOAD]);
            assert!(matches!(parse(&bytes, 100), Err(BadRecord::Flags { .. })), "{kind:?}");
        }
    }

    #[test]
    fn length_must_cover_the_header_and_stay_below_the_bound() {
        let mut bytes = record(Kind::Record, TIME, 1, b"");
        bytes[0] = 15;
        assert!(matches!(
            parse(&bytes, 100),
            Err(BadRecord::Length {
                len: 15,
                min: 16,
                max: 100
            })
        ));
        let bytes = record(Kind::Record, 0, 1, &[0; 93]);
        assert!(matches!(parse(&bytes, 100), Err(BadRecord::Length { len: 101, .. })));
        assert!(matches!(parse(&bytes[..9], 101), Ok(Parsed::Incomplete)));
    }

    #[test]
    fn walk_ends_after_a_truncated_record() {
        let mut bytes = record(Kind::Record, 0, 1, b"whole");
        bytes.extend(&record(Kind::Record, 0, 1, b"torn, and longer")[..16]);
        let found: Vec<_> = Walk::new(&bytes).collect();
        assert_eq!(found.len(), 2);
        assert!(matches!(found[0], Ok((0, _, b"whole"))));
        assert_eq!(found[1], Err(BadRecord::Truncated { len: 16 }));
    }

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
