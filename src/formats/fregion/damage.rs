//! What can be wrong with a file of the original's.

use super::kind::KindError;
use std::io;
use thiserror::Error;

/// Something in a file is not what it should be.
#[derive(Debug, Error)]
pub enum Damage {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// It is shorter than its header, or begins with other bytes.
    #[error("no file of the original's recorder: it does not begin with 0d db a1 10")]
    Foreign,
    /// A version or size of pages that nobody wrote.
    #[error("version {version}, pages of {page} bytes; versions up to 2 are read, and even sizes of 256 to 16384")]
    Header {
        /// The version.
        version: u16,
        /// The size of its pages.
        page: u16,
    },
    /// Its table speaks of pages that it does not have.
    #[error("its table has {said} pages, and it ends after {found}: it was cut short")]
    Pages {
        /// How many its table has.
        said: u64,
        /// How many whole ones there are.
        found: u64,
    },
    /// Its end is within a page.
    #[error("its length of {found} bytes is no number of pages")]
    Length {
        /// The length.
        found: u64,
    },
    /// Its table of pages is no table.
    #[error("the table of pages goes on at page {found}, which cannot be")]
    Table {
        /// Where it is said to go on.
        found: u64,
    },
    /// The environment is too long.
    #[error("an environment of more than {most} bytes")]
    Environment {
        /// The bound.
        most: u64,
    },
    /// A binding does not end where the environment does.
    #[error("the environment goes on into page {page}, which is none of its pages")]
    EnvironmentEnd {
        /// The page.
        page: u64,
    },
    /// A name that is no text.
    #[error("a name in the environment at byte {offset} that is not UTF-8")]
    Name {
        /// Where it begins.
        offset: u64,
    },
    /// The type of a name.
    #[error("the type of {name:?}")]
    Type {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: KindError,
    },
    /// Something that every such file has.
    #[error("it has no {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// Compressed records.
    #[error(
        "{name:?} is compressed (hog -z): such files are not read, and the original reads the last records of each wrongly"
    )]
    Compressed {
        /// Of these records.
        name: String,
    },
    /// A place that is not in the file.
    #[error("{length} bytes at byte {offset}, and the file has {file}")]
    Outside {
        /// Where they should be.
        offset: u64,
        /// How many.
        length: u64,
        /// Length of the file.
        file: u64,
    },
    /// Something too long.
    #[error("{found} bytes at byte {offset}; at most {most} are read")]
    TooLong {
        /// Where it begins.
        offset: u64,
        /// Its length.
        found: u64,
        /// The bound.
        most: usize,
    },
    /// A chain of batches that is none.
    #[error("the chain of its batches is broken at byte {offset}: {what}")]
    Chain {
        /// Of the node.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A batch with more records than it can have.
    #[error("a batch at byte {offset} of {found} records, and there is room for {most}")]
    Count {
        /// Of the batch.
        offset: u64,
        /// What it says.
        found: u64,
        /// How many there can be.
        most: u64,
    },
    /// A number that is no statement's.
    #[error("an entry at byte {offset} of statement {found}, which there is not")]
    Statement {
        /// Of the entry.
        offset: u64,
        /// The number.
        found: u32,
    },
    /// A statement whose records are of a type that is not read.
    #[error("no record of it can be read")]
    Kind(#[source] KindError),
    /// A number that is no case.
    #[error("case {found} at byte {offset}, which there is not")]
    Case {
        /// Of the number.
        offset: u64,
        /// The number.
        found: u32,
    },
    /// Records that share what they refer to, again and again.
    #[error("its records refer to more bytes than it has many times over: the rest is not read")]
    Tangled,
}
