//! Records as bytes: their header, and a walk through a stretch of them. `cut.rs` says what may be taken of one.
//!
//! Pure functions of bytes that were copied out of a ring or read from a file; nothing here reads shared memory, does
//! IO or allocates. The bytes are not trusted: a record is refused unless its kind exists, its flags are allowed for that
//! kind, and its length covers its header and stays below the caller's bound. Whatever follows a refused record has no
//! meaning, since only its length would say where the next one begins.

mod cut;

pub use cut::{Cut, Cutter, cut};

use crate::layout::{KIND_SHIFT, LAST, LENGTH_BITS, MORE, PLAIN_HEADER, TIME, TIMED_HEADER};
use crate::limits::RUN_MAX;
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn record(kind: Kind, flags: u32, statement: u32, payload: &[u8]) -> Vec<u8> {
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
}
