//! What a program of the original declares before it logs: how it logs, and its statements.
//!
//! A queue in shared memory begins with it, and so does a connection of an original sender; the fields of a statement are the
//! same in both, and nearly those of our own STMT records. Only the heads differ:
//!
//! | queue | wire |
//! |---|---|
//! | u32 version 0x20000, i32 qos, i32 commit, u32 count | u32 qos, u32 commit, u64 count |
//!
//! then, for each statement: text `name`, u64 flags, text `format`, text `file`, u32 line, u32 id, type; each text and the type
//! with a u64 length.
//!
//! Names are data here. The original made source code of them; what a name holds (a path, a keyword, a quotation mark, nothing) has no
//! meaning to hog. Text that is not UTF-8 gets U+FFFD where it is not.
//!
//! Ids are the program's: from 0, in no order, perhaps with gaps. In a stream of ours ids begin with 1, so what is made of a queue or
//! connection gives its statements [numbers of its own](Statements::find).
//!
//! Refused: another version, a way to log that there is none of, two statements with one id, a definition longer than a STMT record may
//! be, more of them than one ring may define, types that [`hog_ring::types`] refuses, and bytes behind the last statement.

use crate::formats::pieces::{take_u32, take_u64};
use crate::formats::value::Plan;
use bytes::BufMut;
use hog_ring::limits::{DEFINITION_MAX, DEFINITIONS_MAX};
use hog_ring::statement::{Definition, DefinitionError};
use thiserror::Error;

/// The version of the queues that there are.
const VERSION: u32 = 0x20000;

/// The least that a statement takes: five lengths and numbers of 8 bytes, two of 4, and the shortest type.
const STATEMENT_MIN: u64 = 5 * 8 + 2 * 4 + 12;

/// The longest declaration, in bytes, on the wire or in a queue: as many definitions as a ring may have, and a head.
pub const DECLARATION_MAX: usize = DEFINITIONS_MAX + 64;

/// What a producer does when its queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// It waits.
    Reliable,
    /// It drops records.
    Unreliable,
}

/// What makes a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// What happens to fit into a page: records that are near each other, and no more than that.
    Auto,
    /// The program says so.
    Manual,
}

/// All that a program declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// What happens when a queue is full.
    pub quality: Quality,
    /// What makes a transaction.
    pub commit: Commit,
    /// What is logged.
    pub statements: Statements,
}

/// The statements of one queue or connection, each with an id of its own; all of them together are what one ring may define.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// As they were declared.
    list: Vec<Definition>,
    /// The id and place of each, by id.
    by_id: Vec<(u32, usize)>,
    /// How long payloads of each are, in the order of the list.
    plans: Vec<Option<Plan>>,
}

/// Why bytes declare nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeclarationError {
    /// The head ends too soon.
    #[error("what declares statements ends within their {0}")]
    Head(&'static str),
    /// Another version of queues.
    #[error("a queue of version {found:#x}; {VERSION:#x} is the only one that can be read")]
    Version {
        /// As found.
        found: u32,
    },
    /// A number that stands for nothing.
    #[error("{found} is no way to {what}; 0 and 1 are")]
    Choice {
        /// What it decides.
        what: &'static str,
        /// As found.
        found: u32,
    },
    /// More statements than the bytes that follow can hold.
    #[error("{found} statements are declared in {bytes} bytes")]
    Count {
        /// How many are claimed.
        found: u64,
        /// What is left for them.
        bytes: usize,
    },
    /// More than one ring may define.
    #[error("statements whose definitions take more than {DEFINITIONS_MAX} bytes together, from statement {name:?} on")]
    TooMany {
        /// The first that is too much.
        name: String,
    },
    /// Two statements have one id.
    #[error("statements {first:?} and {second:?} have the same id {id}")]
    SameId {
        /// The id.
        id: u32,
        /// The name of one.
        first: String,
        /// The name of the other.
        second: String,
    },
    /// One statement is bad.
    #[error("statement {place} of {count} (the first is 0): {source}")]
    Statement {
        /// Which, in the order in which they are declared.
        place: usize,
        /// How many there are.
        count: u64,
        /// What is wrong with it.
        source: DefinitionError,
    },
    /// The bytes go on.
    #[error("{found} bytes after the last statement")]
    Trailing {
        /// How many.
        found: usize,
    },
}

impl Declaration {
    /// Reads the metadata of a queue in shared memory. A program without any statement leaves none.
    ///
    /// # Errors
    /// [`DeclarationError`]; nothing is allocated that the bytes do not hold.
    pub fn of_queue(mut metadata: &[u8]) -> Result<Self, DeclarationError> {
        if metadata.is_empty() {
            return Ok(Self {
                quality: Quality::Reliable,
                commit: Commit::Auto,
                statements: Statements::default(),
            });
        }
        let found = take_u32(&mut metadata, "version").map_err(|_| DeclarationError::Head("version"))?;
        if found != VERSION {
            return Err(DeclarationError::Version { found });
        }
        let (quality, commit) = take_choices(&mut metadata)?;
        let count = u64::from(
            take_u32(&mut metadata, "count of statements")
                .map_err(|_| DeclarationError::Head("count of statements"))?,
        );
        Ok(Self {
            quality,
            commit,
            statements: Statements::decode(count, metadata)?,
        })
    }

    /// Reads what an original sender says first, inflated.
    ///
    /// # Errors
    /// As [`Self::of_queue`].
    pub fn of_init(mut init: &[u8]) -> Result<Self, DeclarationError> {
        let (quality, commit) = take_choices(&mut init)?;
        let count =
            take_u64(&mut init, "count of statements").map_err(|_| DeclarationError::Head("count of statements"))?;
        Ok(Self {
            quality,
            commit,
            statements: Statements::decode(count, init)?,
        })
    }

    /// Appends what [`Self::of_queue`] reads.
    pub fn encode_queue(&self, out: &mut Vec<u8>) {
        out.put_u32_le(VERSION);
        self.put_choices(out);
        // Bounded by what definitions may take together.
        out.put_u32_le(u32::try_from(self.statements.list.len()).unwrap_or(u32::MAX));
        self.statements.encode(out);
    }

    /// Appends what [`Self::of_init`] reads.
    pub fn encode_init(&self, out: &mut Vec<u8>) {
        self.put_choices(out);
        out.put_u64_le(self.statements.list.len() as u64);
        self.statements.encode(out);
    }

    fn put_choices(&self, out: &mut Vec<u8>) {
        out.put_u32_le(u32::from(self.quality == Quality::Unreliable));
        out.put_u32_le(u32::from(self.commit == Commit::Manual));
    }
}

fn take_choices(bytes: &mut &[u8]) -> Result<(Quality, Commit), DeclarationError> {
    let quality =
        match take_u32(bytes, "quality of service").map_err(|_| DeclarationError::Head("quality of service"))? {
            0 => Quality::Reliable,
            1 => Quality::Unreliable,
            found => {
                let what = "deal with a full queue";
                return Err(DeclarationError::Choice { what, found });
            }
        };
    let commit = match take_u32(bytes, "way to commit").map_err(|_| DeclarationError::Head("way to commit"))? {
        0 => Commit::Auto,
        1 => Commit::Manual,
        found => {
            let what = "commit";
            return Err(DeclarationError::Choice { what, found });
        }
    };
    Ok((quality, commit))
}

impl Statements {
    /// A list of statements.
    ///
    /// # Errors
    /// When they are more than one ring may define, one is longer than a STMT record may be, or two have one id.
    pub fn new(list: Vec<Definition>) -> Result<Self, DeclarationError> {
        let count = list.len() as u64;
        let (mut bytes, mut encoded) = (0, Vec::new());
        for (place, definition) in list.iter().enumerate() {
            encoded.clear();
            definition.encode(&mut encoded);
            if encoded.len() > DEFINITION_MAX {
                let found = encoded.len();
                let source = DefinitionError::TooLong { found };
                return Err(DeclarationError::Statement { place, count, source });
            }
            bytes += encoded.len() + 4;
            if bytes > DEFINITIONS_MAX {
                let name = definition.name.clone();
                return Err(DeclarationError::TooMany { name });
            }
        }
        let mut by_id: Vec<_> = (0..)
            .zip(&list)
            .map(|(place, definition)| (definition.id, place))
            .collect();
        by_id.sort_unstable();
        if let Some([(id, first), (_, second)]) = by_id.array_windows().find(|[one, other]| one.0 == other.0) {
            return Err(DeclarationError::SameId {
                id: *id,
                first: list[*first].name.clone(),
                second: list[*second].name.clone(),
            });
        }
        let plans = list
            .iter()
            .map(|definition| Plan::of(&definition.payload_type))
            .collect();
        Ok(Self { list, by_id, plans })
    }

    fn decode(count: u64, mut bytes: &[u8]) -> Result<Self, DeclarationError> {
        if count > bytes.len() as u64 / STATEMENT_MIN {
            let bytes = bytes.len();
            return Err(DeclarationError::Count { found: count, bytes });
        }
        let (mut list, mut taken) = (Vec::new(), 0);
        for place in 0.. {
            if place as u64 == count {
                break;
            }
            let (definition, length) = Definition::decode_first(bytes)
                .map_err(|source| DeclarationError::Statement { place, count, source })?;
            taken += length;
            if taken > DEFINITIONS_MAX {
                let name = definition.name;
                return Err(DeclarationError::TooMany { name });
            }
            bytes = &bytes[length..];
            list.push(definition);
        }
        match bytes.len() {
            0 => Self::new(list),
            found => Err(DeclarationError::Trailing { found }),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.list.iter().for_each(|definition| definition.encode(out));
    }

    /// All of them in the order in which they were declared, with the ids of the program that declared them.
    #[must_use]
    pub fn all(&self) -> &[Definition] {
        &self.list
    }

    /// How long payloads of the statement at that place are, unless its type must be walked through for that.
    #[must_use]
    pub fn plan(&self, place: usize) -> Option<&Plan> {
        self.plans.get(place)?.as_ref()
    }

    /// The statement that the program calls `id`, and its place in [`Self::all`]. Its place and one is the id that it has in a stream of
    /// ours that knows no other statements.
    #[must_use]
    pub fn find(&self, id: u32) -> Option<(usize, &Definition)> {
        // Programs number their statements from 0 without gaps, so it is mostly there.
        let guess = self.by_id.get(id as usize).filter(|found| found.0 == id);
        let (_, place) = match guess {
            Some(found) => found,
            None => &self.by_id[self.by_id.binary_search_by_key(&id, |found| found.0).ok()?],
        };
        Some((*place, self.list.get(*place)?))
    }
}

#[cfg(test)]
mod tests;
