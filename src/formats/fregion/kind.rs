//! Types as they stand in a file's environment, read back: what a series holds, what `log` refers to, and of stored values the payload type and the
//! [`Layout`].
//!
//! The types come from a file that anybody may have written. Depth and number of constructors are bounded, nothing grows by what a count claims, and a
//! type that no logged value has is refused alone: the other statements of its file are read all the same. So `log`, whose type holds those of all
//! statements, is taken apart here without being understood as a whole.
//!
//! Where the file says an offset, it holds, whatever C would make of it; where it says none, C does. Parts without bytes are left out of layouts, so that
//! walking through a value costs bytes of it.

mod parts;
#[cfg(test)]
mod tests;

use super::stored::{Layout, SLOT_BYTES_MAX, align_up};
use hog_ring::types::{Type, TypeError};
use parts::{Parts, constructor};
use thiserror::Error;

/// Deepest type in a file. A payload type may be 128 deep once its variables are replaced, and each of its arrays is a reference besides.
pub const DEPTH_MAX: usize = 400;

/// Most constructors of a statement's type.
pub const NODES_MAX: usize = 1 << 16;

/// Most statements that one file speaks of.
pub const STATEMENTS_MAX: u64 = 1 << 16;

/// What a value looks like in the file, and what it is as a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The type of its payload.
    pub payload: Type,
    /// Where its parts are in the file.
    pub layout: Layout,
}

/// What the environment binds a name to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound<'t> {
    /// A series: the encoded type of its elements, and how many are in a batch.
    Series {
        /// The element.
        element: &'t [u8],
        /// In a batch.
        records: u64,
    },
    /// A compressed series.
    Compressed,
    /// An array that stands in the file itself: the encoded type of its elements.
    Array(&'t [u8]),
    /// Anything else.
    Other,
}

/// A statement, as the type of `log` has it.
#[derive(Clone, Debug)]
pub struct StatementKind {
    /// Its name.
    pub name: String,
    /// The number by which records name it.
    pub id: u32,
    /// What its records are.
    pub kind: Result<Kind, KindError>,
}

/// What the elements of `log` are, or those of each transaction.
#[derive(Clone, Debug)]
pub struct Entries {
    /// The statements, in the order of the type.
    pub statements: Vec<StatementKind>,
}

/// An element of `transactions`.
#[derive(Clone, Debug)]
pub struct Transactions {
    /// Where its microseconds since 1970 stand.
    pub time_at: u64,
    /// Where the place of its entries stands.
    pub entries_at: u64,
    /// Length of an element.
    pub size: u64,
    /// Each of its entries.
    pub entries: Entries,
}

/// Length of an entry: the number of a statement, and at 8 the place of the record.
pub const ENTRY_BYTES: u64 = 16;
/// Where in an entry the place of the record stands.
pub const ENTRY_PLACE_AT: u64 = 8;

/// Why bytes are not the type of what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KindError {
    /// They end within it.
    #[error("a type cut short at byte {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// They go on behind it.
    #[error("{found} bytes behind a type")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// No such constructor.
    #[error("unknown type constructor {found} at byte {offset}")]
    Constructor {
        /// The number.
        found: u32,
        /// Where it stands.
        offset: usize,
    },
    /// A name that is no text.
    #[error("a name at byte {offset} that is not UTF-8")]
    Name {
        /// Where it begins.
        offset: usize,
    },
    /// It is too deep.
    #[error("a type more than {DEPTH_MAX} constructors deep")]
    TooDeep,
    /// It has too many constructors.
    #[error("a type of more than {NODES_MAX} constructors")]
    TooManyNodes,
    /// It is not the type of a value that logging stores.
    #[error("values of {found} are not read")]
    Unsupported {
        /// What it is.
        found: String,
    },
    /// Its values are too long.
    #[error("values of more than {SLOT_BYTES_MAX} bytes each")]
    TooLong,
    /// A field is said to stand where it cannot.
    #[error("field {name:?} at offset {offset}")]
    Offset {
        /// Its name.
        name: String,
        /// Where it is said to be.
        offset: i32,
    },
    /// What stands for a packed enumeration's type.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// Too many statements.
    #[error("{found} statements; at most {STATEMENTS_MAX} are read")]
    TooManyStatements {
        /// How many there are.
        found: u64,
    },
    /// It is not what this series has.
    #[error("not the type of {expected}")]
    NotThat {
        /// What was expected.
        expected: &'static str,
    },
}

/// What a name is bound to that has this type.
///
/// # Errors
/// [`KindError`], when the bytes are no type.
pub fn bound(encoded: &[u8]) -> Result<Bound<'_>, KindError> {
    let mut parts = Parts::new(encoded);
    let found = match parts.u32()? {
        constructor::ARRAY => Bound::Array(parts.slice(2)?),
        constructor::APPLICATION => application_bound(&mut parts)?,
        _ => {
            parts.offset = 0;
            parts.slice(1)?;
            Bound::Other
        }
    };
    parts.end()?;
    Ok(found)
}

fn application_bound<'t>(parts: &mut Parts<'t>) -> Result<Bound<'t>, KindError> {
    let (function, _) = parts.applied(1)?;
    match (function, parts.u64()?) {
        ("fseq", 2) => {
            let element = parts.slice(2)?;
            match (parts.u32()?, parts.u64()?) {
                (constructor::NUMBER, records) => Ok(Bound::Series { element, records }),
                _ => Err(KindError::NotThat {
                    expected: "a series: its batches have no number of records",
                }),
            }
        }
        (name, count) => {
            parts.times(count, |parts| parts.slice(2).map(drop))?;
            Ok(if name == "cseq" {
                Bound::Compressed
            } else {
                Bound::Other
            })
        }
    }
}

/// What values of a stored type are.
///
/// # Errors
/// [`KindError`].
pub fn kind(encoded: &[u8]) -> Result<Kind, KindError> {
    let mut parts = Parts::new(encoded);
    let found = parts.kind(1)?;
    parts.end()?;
    Ok(found)
}

/// What the elements of a series `log` are that have this type.
///
/// # Errors
/// [`KindError`]; what is wrong with one statement alone is in its [`StatementKind`].
pub fn log(encoded: &[u8]) -> Result<Entries, KindError> {
    let mut parts = Parts::new(encoded);
    let found = parts.entries()?;
    parts.end()?;
    Ok(found)
}

/// What the elements of a series `transactions` are that have this type.
///
/// # Errors
/// As [`log`].
pub fn transactions(encoded: &[u8]) -> Result<Transactions, KindError> {
    const UNEXPECTED: KindError = KindError::NotThat {
        expected: "transactions",
    };
    let mut parts = Parts::new(encoded);
    if (parts.u32()?, parts.u64()?) != (constructor::RECORD, 2) || parts.text()? != "time" {
        return Err(UNEXPECTED);
    }
    let time_at = parts.i32()?;
    if parts.kind(2)?.layout != Layout::bytes(8) || parts.text()? != "entries" {
        return Err(UNEXPECTED);
    }
    let entries_at = parts.i32()?;
    if parts.u32()? != constructor::APPLICATION || parts.applied(2)?.0 != "fileref" {
        return Err(UNEXPECTED);
    }
    if (parts.u64()?, parts.u32()?) != (1, constructor::ARRAY) {
        return Err(UNEXPECTED);
    }
    let entries = parts.entries()?;
    parts.end()?;
    let (time_at, entries_at) = match (u64::try_from(time_at), u64::try_from(entries_at)) {
        (Ok(time), Ok(entries)) => (time, entries),
        _ => (0, 8),
    };
    let size = time_at.max(entries_at) + 8;
    if size > SLOT_BYTES_MAX || time_at.abs_diff(entries_at) < 8 {
        return Err(UNEXPECTED);
    }
    Ok(Transactions {
        time_at,
        entries_at,
        size: align_up(size, 8),
        entries,
    })
}
