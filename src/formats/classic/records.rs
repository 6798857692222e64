//! The records of a transaction of the original, and what becomes of them in a stream of ours.
//!
//! A transaction is records without a word between them: u32 statement id, payload. Only the statement's type says where a payload ends, so what
//! follows a record that cannot be understood has no meaning: then the whole transaction is refused.
//!
//! In a stream of ours a record has a header, and each of a transaction but the last says that more follows. A transaction that is too long for
//! that goes as a run of fragments, as it would through a ring. Payloads stay as they are.

use crate::formats::classic::statements::Statements;
use crate::formats::value::{Lengths, ValueError};
use bytes::BufMut;
use hog_ring::layout::{LAST, MORE, PLAIN_HEADER, TIME, TIMED_HEADER};
use hog_ring::limits::{FRAGMENT_MAX, RECORD_MAX, RUN_MAX, UNFRAGMENTED_MAX};
use hog_ring::record::{Kind, first_word, padded};
use thiserror::Error;

/// A record of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Which of the statements it is of; see [`Statements::find`].
    pub place: usize,
    /// A value of that statement's type.
    pub payload: &'a [u8],
}

/// Why bytes are not the records of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordsError {
    /// They end within a statement's id.
    #[error("{found} bytes are left at offset {offset} of a transaction, where a record begins")]
    Short {
        /// Where.
        offset: usize,
        /// How many.
        found: usize,
    },
    /// Nobody declared that statement.
    #[error("no statement has the id {id} that stands at offset {offset} of a transaction")]
    Unknown {
        /// Where.
        offset: usize,
        /// The id.
        id: u32,
    },
    /// What follows is no value of the statement's type.
    #[error("the record at offset {offset} of a transaction is none of statement {name:?}")]
    Payload {
        /// Where it begins.
        offset: usize,
        /// The statement's name.
        name: String,
        /// What is wrong.
        source: ValueError,
    },
    /// A record that is too long.
    #[error("a record of {found} bytes at offset {offset} of a transaction; at most {RECORD_MAX} can be stored")]
    LongRecord {
        /// Where it begins.
        offset: usize,
        /// How long its payload is.
        found: usize,
    },
    /// A transaction that gets too long.
    #[error("a transaction that takes more than {RUN_MAX} bytes in a stream")]
    LongTransaction,
}

/// The records of a transaction, in their order. After an error there are no more.
#[derive(Debug)]
pub struct Records<'a> {
    statements: &'a Statements,
    lengths: &'a mut Lengths,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Records<'a> {
    /// Of the transaction `bytes`. `lengths` may go through many transactions.
    pub fn new(statements: &'a Statements, lengths: &'a mut Lengths, bytes: &'a [u8]) -> Self {
        Self {
            statements,
            lengths,
            bytes,
            offset: 0,
        }
    }

    fn take(&mut self) -> Result<Record<'a>, RecordsError> {
        let offset = self.offset;
        let rest = &self.bytes[offset..];
        let Some((id, rest)) = rest.split_first_chunk() else {
            let found = rest.len();
            return Err(RecordsError::Short { offset, found });
        };
        let id = u32::from_le_bytes(*id);
        let Some((place, definition)) = self.statements.find(id) else {
            return Err(RecordsError::Unknown { offset, id });
        };
        let planned = self.statements.plan(place).and_then(|plan| plan.length(rest));
        let length = planned.map_or_else(|| self.lengths.of_first(&definition.payload_type, rest), Ok);
        let length = length.map_err(|source| RecordsError::Payload {
            offset,
            name: definition.name.clone(),
            source,
        })?;
        if length > RECORD_MAX {
            let found = length;
            return Err(RecordsError::LongRecord { offset, found });
        }
        self.offset += id_len() + length;
        let payload = &rest[..length];
        Ok(Record { place, payload })
    }
}

const fn id_len() -> usize {
    size_of::<u32>()
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset == self.bytes.len() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.offset = self.bytes.len();
        }
        Some(taken)
    }
}

/// Appends `records` with headers of ours, where a statement's id is its place and one: records of `time`, nanoseconds since 1970. Says how many
/// there are.
///
/// # Errors
/// [`RecordsError`]; `out` is then as it was before.
pub fn encode(records: Records<'_>, time: u64, out: &mut Vec<u8>) -> Result<u64, RecordsError> {
    let start = out.len();
    let encoded = encode_all(records, time, start, out);
    if encoded.is_err() {
        out.truncate(start);
    }
    encoded
}

fn encode_all(records: Records<'_>, time: u64, start: usize, out: &mut Vec<u8>) -> Result<u64, RecordsError> {
    let (mut count, mut last) = (0, start);
    for record in records {
        let Record { place, payload } = record?;
        last = out.len();
        let length = TIMED_HEADER + payload.len();
        if last - start + padded(length) > RUN_MAX {
            return Err(RecordsError::LongTransaction);
        }
        out.put_u32_le(first_word(Kind::Record, length, MORE | TIME));
        // There are fewer statements than definitions have bytes together.
        out.put_u32_le(u32::try_from(place).map_or(u32::MAX, |place| place + 1));
        out.put_u64_le(time);
        out.put_slice(payload);
        out.resize(last + padded(length), 0);
        count += 1;
    }
    if let Some(word) = out.get_mut(last..).and_then(|record| record.first_chunk_mut()) {
        *word = (u32::from_le_bytes(*word) & !MORE).to_le_bytes();
    }
    Ok(count)
}

/// Gives `take` what one [encoded](encode) transaction becomes in a stream, in parts each of which must stand in one frame: the records, or if they are too
/// long for that, fragments, none of which alone means anything.
///
/// # Errors
/// Those of `take`.
pub fn each_part<E>(transaction: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    if transaction.len() <= UNFRAGMENTED_MAX {
        return take(transaction);
    }
    let mut pieces = (0..).zip(transaction.chunks(FRAGMENT_MAX - PLAIN_HEADER)).peekable();
    let mut fragment = Vec::with_capacity(FRAGMENT_MAX);
    while let Some((number, piece)) = pieces.next() {
        let length = PLAIN_HEADER + piece.len();
        let flags = if pieces.peek().is_none() { LAST } else { 0 };
        fragment.clear();
        fragment.put_u32_le(first_word(Kind::Fragment, length, flags));
        fragment.put_u32_le(number);
        fragment.put_slice(piece);
        fragment.resize(padded(length), 0);
        take(&fragment)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
