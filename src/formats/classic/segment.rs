//! A segment of the original, inflated: transactions, each behind its length, `u64 n · n bytes`.
//!
//! They are read one at a time from whoever has the bytes, so that a segment may be longer than memory. One that ends within a transaction, or
//! claims a longer one than there may be, is refused; what came before that may have been looked at by then, so whoever stores anything
//! reads all of it first.

use crate::limits::CLASSIC_TRANSACTION_MAX;
use bytes::BufMut;
use std::io::{self, Read};
use thiserror::Error;

/// Why a segment cannot be read.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// It does not inflate.
    #[error("a segment does not inflate")]
    Inflate(#[from] io::Error),
    /// It ends within a transaction.
    #[error("a segment ends {found} bytes into a transaction, or its length, of {expected} bytes")]
    Truncated {
        /// How long that is.
        expected: u64,
        /// How much of it there is.
        found: u64,
    },
    /// A transaction that is too long.
    #[error("a transaction of {found} bytes; at most {CLASSIC_TRANSACTION_MAX} can be stored")]
    LongTransaction {
        /// Its length.
        found: u64,
    },
}

/// Puts the next transaction of `segment` in place of what is in `transaction`. `false`: there is no other.
///
/// # Errors
/// [`SegmentError`]; memory grows with the bytes that are there, not with what a length claims.
pub fn next_transaction(segment: &mut impl Read, transaction: &mut Vec<u8>) -> Result<bool, SegmentError> {
    transaction.clear();
    let Some(expected) = next_length(segment)? else {
        return Ok(false);
    };
    if expected > CLASSIC_TRANSACTION_MAX as u64 {
        return Err(SegmentError::LongTransaction { found: expected });
    }
    match segment.take(expected).read_to_end(transaction)? as u64 {
        found if found == expected => Ok(true),
        found => Err(SegmentError::Truncated { expected, found }),
    }
}

/// The length of the next transaction, unless the segment ends.
fn next_length(segment: &mut impl Read) -> Result<Option<u64>, SegmentError> {
    let (mut length, mut found) = ([0; 8], 0);
    while found < length.len() {
        match segment.read(&mut length[found..]) {
            Ok(0) if found == 0 => return Ok(None),
            Ok(0) => {
                let (expected, found) = (length.len() as u64, found as u64);
                return Err(SegmentError::Truncated { expected, found });
            }
            Ok(read) => found += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(u64::from_le_bytes(length)))
}

/// Appends a transaction with its length.
pub fn put_transaction(segment: &mut Vec<u8>, transaction: &[u8]) {
    segment.put_u64_le(transaction.len() as u64);
    segment.put_slice(transaction);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transactions(mut segment: &[u8]) -> Result<Vec<Vec<u8>>, SegmentError> {
        let (mut all, mut one) = (Vec::new(), Vec::new());
        while next_transaction(&mut segment, &mut one)? {
            all.push(one.clone());
        }
        Ok(all)
    }

    #[test]
    fn transactions_are_read_as_they_were_put() {
        let mut segment = Vec::new();
        for transaction in [&b"one"[..], b"", b"three"] {
            put_transaction(&mut segment, transaction);
        }
        assert_eq!(&segment[..11], b"\x03\0\0\0\0\0\0\0one");
        assert_eq!(transactions(&segment).unwrap(), [&b"one"[..], b"", b"three"]);
        assert!(transactions(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_segment_that_is_cut_within_a_transaction_is_refused() {
        let mut segment = Vec::new();
        put_transaction(&mut segment, b"one");
        let whole = segment.len();
        put_transaction(&mut segment, b"two");
        for end in (1..segment.len()).filter(|end| *end != whole) {
            let cut = transactions(&segment[..end]);
            assert!(matches!(cut, Err(SegmentError::Truncated { .. })), "{end}");
        }
    }

    #[test]
    fn a_length_that_no_transaction_has_is_refused() {
        for found in [CLASSIC_TRANSACTION_MAX as u64 + 1, u64::MAX, 1 << 63] {
            let long = transactions(&[&found.to_le_bytes()[..], &[0; 64]].concat());
            assert!(matches!(long, Err(SegmentError::LongTransaction { .. })), "{found}");
        }
        let most = transactions(&(CLASSIC_TRANSACTION_MAX as u64).to_le_bytes());
        assert!(matches!(most, Err(SegmentError::Truncated { .. })));
    }
}
