//! Statements: the call sites that log, and the definitions by which readers know them.
//!
//! A [`Statement`] is a `static` of the program. It costs nothing until it is first used; then it takes a number of
//! this process, by which each writer finds the id that the statement has in its ring. Ids belong to rings, since a ring
//! may outlive the program that numbered them; the process-wide number never leaves the process.
//!
//! A [`RuntimeStatement`] is for those who learn only at run time what they log: other languages, and the `tracing` layer.
//!
//! A [`Definition`] is a statement as its STMT record carries it: everything a reader needs to show the statement's
//! records, bounded by [`DEFINITION_BYTES_MAX`].

mod runtime;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

use thiserror::Error;

use crate::payload::Fields;
use crate::types::{Type, TypeError};

pub use runtime::RuntimeStatement;

/// The longest encoded definition, in bytes.
pub const DEFINITION_BYTES_MAX: usize = 16 * 1024;

/// Flag bits of a statement.
pub mod flags {
    /// Records are meant to be read as text by the format string.
    pub const HLOG: u64 = 1;
    /// Records are lines of an input; their field `text` is the line without its newline.
    pub const LINE: u64 = 1 << 8;
    /// No newline follows the text in the input.
    pub const CONTINUED: u64 = 1 << 9;
}

/// A log call site whose records carry `F`, a tuple of values. Make it a `static`, best by
/// [`statement!`](crate::statement!): a `const` would be a new statement at each use.
///
/// It is covariant in `F`, so that a static statement of `&'static str` takes text of any lifetime.
#[derive(Debug)]
pub struct Statement<F> {
    name: &'static str,
    format: &'static str,
    names: &'static [&'static str],
    flags: u64,
    file: &'static str,
    line: u32,
    number: Number,
    carries: PhantomData<fn() -> F>,
}

/// What a ring must know of a statement to number it and to define it.
pub(crate) trait CallSite {
    /// The number of this statement in this process, from 0 and almost without holes: an index for tables.
    fn index(&self) -> usize;

    /// The payload of the STMT record that gives it `id`.
    fn definition(&self, id: u32) -> Result<Vec<u8>, DefinitionError>;
}

impl<F: Fields> CallSite for Statement<F> {
    #[inline]
    fn index(&self) -> usize {
        self.number.index()
    }

    fn definition(&self, id: u32) -> Result<Vec<u8>, DefinitionError> {
        Self::definition(self, id)
    }
}

/// A statement's number in this process.
#[derive(Debug)]
struct Number {
    /// The number plus one; 0 until the first use.
    given: AtomicU32,
}

/// The statement numbers given out so far in this process.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

impl Number {
    const fn new() -> Self {
        Self {
            given: AtomicU32::new(0),
        }
    }

    #[inline]
    fn index(&self) -> usize {
        // Relaxed: the number is all there is to see; nothing else is published by it.
        match self.given.load(Ordering::Relaxed) {
            0 => self.assign(),
            number => number as usize - 1,
        }
    }

    /// Two threads may meet here. The first to store wins, and the other's number stays unused: a hole in some tables
    /// costs less than a lock that a fork could catch held.
    #[cold]
    fn assign(&self) -> usize {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed).checked_add(1);
        let Some(number) = number else {
            panic!("more than 2^32 - 1 statements in one process")
        };
        match self
            .given
            .compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => number as usize - 1,
            Err(earlier) => earlier as usize - 1,
        }
    }
}

impl<F> Statement<F> {
    /// A statement with unnamed fields and the flag HLOG. In `format`, `$0`, `$1`, … stand for the fields, `$name` for a
    /// named one.
    pub const fn new(name: &'static str, format: &'static str) -> Self {
        Self {
            name,
            format,
            names: &[],
            flags: flags::HLOG,
            file: "",
            line: 0,
            number: Number::new(),
            carries: PhantomData,
        }
    }

    /// Sets all flags anew.
    pub const fn flags(mut self, flags: u64) -> Self {
        self.flags = flags;
        self
    }

    /// Says where in the source the statement stands.
    pub const fn at(mut self, file: &'static str, line: u32) -> Self {
        self.file = file;
        self.line = line;
        self
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<F: Fields> Statement<F> {
    /// Names the fields, each by its place; `""` leaves one unnamed.
    ///
    /// # Panics
    /// When there are not as many names as fields; for a `static` that is a compile error.
    pub const fn fields(mut self, names: &'static [&'static str]) -> Self {
        assert!(names.len() == F::COUNT, "a statement needs a name for each field");
        self.names = names;
        self
    }

    /// The number of this statement in this process, from 0 and almost without holes: an index for tables.
    #[inline]
    pub fn index(&self) -> usize {
        self.number.index()
    }

    /// The payload of the STMT record that gives this statement `id`.
    ///
    /// # Errors
    /// Whatever a reader would refuse: a definition or type that is too long, or a type too deep or too large.
    pub fn definition(&self, id: u32) -> Result<Vec<u8>, DefinitionError> {
        let definition = Definition {
            id,
            name: self.name.to_owned(),
            flags: self.flags,
            format: self.format.to_owned(),
            file: self.file.to_owned(),
            line: self.line,
            payload_type: F::payload_type(self.names),
        };
        let mut bytes = Vec::new();
        definition.encode(&mut bytes);
        Definition::decode(&bytes)?;
        Ok(bytes)
    }
}

/// The id that an encoded definition gives its statement, found without decoding the rest.
#[must_use]
pub fn definition_id(definition: &[u8]) -> Option<u32> {
    let mut rest = definition;
    let skip_text = |rest: &mut &[u8]| -> Option<()> {
        let (len, behind) = rest.split_first_chunk()?;
        *rest = behind.get(usize::try_from(u64::from_le_bytes(*len)).ok()?..)?;
        Some(())
    };
    skip_text(&mut rest)?; // name
    rest = rest.get(8..)?; // flags
    skip_text(&mut rest)?; // format
    skip_text(&mut rest)?; // file
    rest.get(4..)?.first_chunk().map(|id| u32::from_le_bytes(*id)) // behind the line
}

/// A [`Statement`] that knows where it stands: `statement!(name, format)`, then the names of its fields if they have
/// any.
///
/// ```
/// use hog_ring::statement;
/// use hog_ring::statement::Statement;
///
/// static LOGIN: Statement<(&str, &str)> = statement!("login", "user $user from $host", user, host);
/// static TICK: Statement<(u64,)> = statement!("tick", "tick $0");
/// assert_eq!(LOGIN.name(), "login");
/// ```
#[macro_export]
macro_rules! statement {
    ($name:expr, $format:expr $(,)?) => {
        $crate::statement::Statement::new($name, $format).at(::core::file!(), ::core::line!())
    };
    ($name:expr, $format:expr, $($field:ident),+ $(,)?) => {
        $crate::statement!($name, $format).fields(&[$(::core::stringify!($field)),+])
    };
}

/// A statement as it travels: what the payload of an STMT record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The id that records in the stream use.
    pub id: u32,
    /// The name.
    pub name: String,
    /// See [`flags`]; unknown bits are kept.
    pub flags: u64,
    /// How a record reads as text.
    pub format: String,
    /// The source file of the call site; bytes that are not UTF-8 became U+FFFD.
    pub file: String,
    /// The line in that file.
    pub line: u32,
    /// The type of each record's payload.
    pub payload_type: Type,
}

/// Why bytes are not a statement definition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DefinitionError {
    /// It is longer than a definition may be.
    #[error("a statement definition of {found} bytes; at most {DEFINITION_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The bytes end within the definition.
    #[error("a statement definition cut short: {needed} bytes expected for {field} at offset {offset}, {found} found")]
    Truncated {
        /// What was to be read.
        field: &'static str,
        /// Where it was expected.
        offset: usize,
        /// How many bytes it takes.
        needed: u64,
        /// How many there are.
        found: usize,
    },
    /// The bytes go on after the definition.
    #[error("{found} bytes after the end of a statement definition")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// A text that must be UTF-8 is not.
    #[error("{field} of a statement definition is not UTF-8")]
    NotUtf8 {
        /// Which text.
        field: &'static str,
    },
    /// The type is not one.
    #[error("type of statement {name:?}")]
    Type {
        /// The statement's name.
        name: String,
        /// What is wrong with it.
        source: TypeError,
    },
}

impl Definition {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_blob(out, self.name.as_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        put_blob(out, self.format.as_bytes());
        put_blob(out, self.file.as_bytes());
        out.extend_from_slice(&self.line.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        let mut payload_type = Vec::new();
        self.payload_type.encode(&mut payload_type);
        put_blob(out, &payload_type);
    }

    /// Reads a definition that takes up all of `bytes`.
    ///
    /// # Errors
    /// [`DefinitionError`] says what was found; nothing is allocated that the bytes do not contain.
    pub fn decode(bytes: &[u8]) -> Result<Self, DefinitionError> {
        if bytes.len() > DEFINITION_BYTES_MAX {
            return Err(DefinitionError::TooLong { found: bytes.len() });
        }
        let (definition, length) = Self::decode_front(bytes, Parts::utf8)?;
        match bytes.len() - length {
            0 => Ok(definition),
            found => Err(DefinitionError::Trailing { found }),
        }
    }

    /// Reads the definition at the beginning of `bytes`, as they follow one another in the metadata of the original's
    /// queues, and says how long it is there. Those were written by programs that know of no encoding, so what is not UTF-8 in
    /// name and format becomes U+FFFD too, and the definition may encode to more bytes than it was read from.
    ///
    /// # Errors
    /// As [`Self::decode`], but what follows is not looked at.
    pub fn decode_first(bytes: &[u8]) -> Result<(Self, usize), DefinitionError> {
        Self::decode_front(bytes, |parts, field| {
            Ok(String::from_utf8_lossy(parts.blob(field)?).into_owned())
        })
    }

    fn decode_front<'a>(
        bytes: &'a [u8],
        text: impl Fn(&mut Parts<'a>, &'static str) -> Result<String, DefinitionError>,
    ) -> Result<(Self, usize), DefinitionError> {
        let mut parts = Parts {
            bytes: &bytes[..bytes.len().min(DEFINITION_BYTES_MAX)],
            offset: 0,
        };
        let name = text(&mut parts, "name")?;
        let flags = u64::from_le_bytes(parts.array("flags")?);
        let format = text(&mut parts, "format")?;
        let file = String::from_utf8_lossy(parts.blob("file")?).into_owned();
        let line = u32::from_le_bytes(parts.array("line")?);
        let id = u32::from_le_bytes(parts.array("id")?);
        let payload_type = match Type::decode(parts.blob("type")?) {
            Ok(payload_type) => payload_type,
            Err(source) => return Err(DefinitionError::Type { name, source }),
        };
        Ok((
            Self {
                id,
                name,
                flags,
                format,
                file,
                line,
                payload_type,
            },
            parts.offset,
        ))
    }
}

fn put_blob(out: &mut Vec<u8>, blob: &[u8]) {
    out.extend_from_slice(&(blob.len() as u64).to_le_bytes());
    out.extend_from_slice(blob);
}

/// Reads the parts of a definition in turn.
struct Parts<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Parts<'a> {
    fn utf8(&mut self, field: &'static str) -> Result<String, DefinitionError> {
        let text = std::str::from_utf8(self.blob(field)?);
        text.map(str::to_owned).map_err(|_| DefinitionError::NotUtf8 { field })
    }

    fn blob(&mut self, field: &'static str) -> Result<&'a [u8], DefinitionError> {
        let length = u64::from_le_bytes(self.array(field)?);
        self.take(field, length)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DefinitionError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N as u64)?);
        Ok(array)
    }

    fn take(&mut self, field: &'static str, needed: u64) -> Result<&'a [u8], DefinitionError> {
        let left = &self.bytes[self.offset..];
        let taken = usize::try_from(needed).ok().and_then(|needed| left.get(..needed));
        let taken = taken.ok_or(DefinitionError::Truncated {
            field,
            offset: self.offset,
            needed,
            found: left.len(),
        })?;
        self.offset += taken.len();
        Ok(taken)
    }
}
