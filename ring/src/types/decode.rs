//! Types read from bytes that nobody vouches for.
//!
//! The decoder knows how deep it is and how many constructors it has read, and never allocates for more than the bytes
//! at hand: lists grow by what is found in them, not by what their count claims.

use thiserror::Error;

use super::{Case, Field, TYPE_BYTES_MAX, TYPE_DEPTH_MAX, TYPE_NODES_MAX, Type, constructor};

/// Why bytes are not a type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TypeError {
    /// The encoding is longer than a type may be.
    #[error("a type of {found} bytes; at most {TYPE_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// Constructors nest too deeply.
    #[error("a type more than {TYPE_DEPTH_MAX} constructors deep, at offset {offset}")]
    TooDeep {
        /// Where the first constructor too deep stands.
        offset: usize,
    },
    /// There are too many constructors.
    #[error("a type of more than {TYPE_NODES_MAX} constructors, at offset {offset}")]
    TooManyNodes {
        /// Where the first constructor too many stands.
        offset: usize,
    },
    /// The bytes end within the type.
    #[error("a type cut short: {needed} bytes expected at offset {offset}, {found} found")]
    Truncated {
        /// Where they were expected.
        offset: usize,
        /// How many were expected (at least, for lists).
        needed: u64,
        /// How many there are.
        found: usize,
    },
    /// The bytes go on after the type.
    #[error("{found} bytes after the end of a type")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// A constructor of the original that no logged value has.
    #[error("type constructor {constructor} at offset {offset} cannot describe a logged value")]
    Unsupported {
        /// Its number.
        constructor: u32,
        /// Where it stands.
        offset: usize,
    },
    /// Not a constructor at all.
    #[error("unknown type constructor {constructor} at offset {offset}")]
    Unknown {
        /// The number found.
        constructor: u32,
        /// Where it stands.
        offset: usize,
    },
    /// A primitive's byte that says whether a representation follows is neither 0 nor 1.
    #[error("representation mark {found} at offset {offset}; 0 or 1 expected")]
    BadMark {
        /// The byte found.
        found: u8,
        /// Where it stands.
        offset: usize,
    },
    /// The length of a fixed array is not a number.
    #[error("length of a fixed array at offset {offset} is not a number")]
    LengthNotNumber {
        /// Where the length stands.
        offset: usize,
    },
    /// A name is not UTF-8.
    #[error("name at offset {offset} is not UTF-8")]
    NameNotUtf8 {
        /// Where the name's bytes begin.
        offset: usize,
    },
}

pub(super) fn decode(bytes: &[u8]) -> Result<Type, TypeError> {
    if bytes.len() > TYPE_BYTES_MAX {
        return Err(TypeError::TooLong { found: bytes.len() });
    }
    let mut decoder = Decoder {
        bytes,
        offset: 0,
        nodes: 0,
    };
    let decoded = decoder.node(1)?;
    match bytes.len() - decoder.offset {
        0 => Ok(decoded),
        found => Err(TypeError::Trailing { found }),
    }
}

/// Reads constructors one after the other and counts them.
struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
    nodes: usize,
}

impl Decoder<'_> {
    fn node(&mut self, depth: usize) -> Result<Type, TypeError> {
        let offset = self.offset;
        if depth > TYPE_DEPTH_MAX {
            return Err(TypeError::TooDeep { offset });
        }
        self.nodes += 1;
        if self.nodes > TYPE_NODES_MAX {
            return Err(TypeError::TooManyNodes { offset });
        }
        match self.u32()? {
            constructor::PRIMITIVE => self.primitive(depth),
            constructor::VARIABLE => Ok(Type::Variable(self.text()?)),
            constructor::FIXED_ARRAY => self.fixed_array(depth),
            constructor::ARRAY => Ok(Type::Array(self.boxed(depth)?)),
            constructor::VARIANT => Ok(Type::Variant(self.list(|decoder| {
                Ok(Case {
                    name: decoder.text()?,
                    id: decoder.u32()?,
                    holds: decoder.node(depth + 1)?,
                })
            })?)),
            constructor::RECORD => Ok(Type::Record(self.list(|decoder| {
                Ok(Field {
                    name: decoder.text()?,
                    offset: decoder.i32()?,
                    holds: decoder.node(depth + 1)?,
                })
            })?)),
            constructor::NUMBER => Ok(Type::Number(self.u64()?)),
            constructor::APPLICATION => Ok(Type::Application {
                function: self.boxed(depth)?,
                arguments: self.list(|decoder| decoder.node(depth + 1))?,
            }),
            constructor::ABSTRACTION => Ok(Type::Abstraction {
                parameters: self.list(Self::text)?,
                body: self.boxed(depth)?,
            }),
            constructor if constructor::UNSUPPORTED.contains(&constructor) => {
                Err(TypeError::Unsupported { constructor, offset })
            }
            constructor => Err(TypeError::Unknown { constructor, offset }),
        }
    }

    fn boxed(&mut self, depth: usize) -> Result<Box<Type>, TypeError> {
        self.node(depth + 1).map(Box::new)
    }

    fn primitive(&mut self, depth: usize) -> Result<Type, TypeError> {
        let name = self.text()?;
        let offset = self.offset;
        let representation = match self.array::<1>()? {
            [0] => None,
            [1] => Some(self.boxed(depth)?),
            [found] => return Err(TypeError::BadMark { found, offset }),
        };
        Ok(Type::Primitive { name, representation })
    }

    fn fixed_array(&mut self, depth: usize) -> Result<Type, TypeError> {
        let element = self.boxed(depth)?;
        let offset = self.offset;
        match self.node(depth + 1)? {
            Type::Number(length) => Ok(Type::FixedArray { element, length }),
            _ => Err(TypeError::LengthNotNumber { offset }),
        }
    }

    /// Reads a count and as many items. Grows with what it finds, never by what the count claims.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, TypeError>) -> Result<Vec<T>, TypeError> {
        let count = self.u64()?;
        let left = self.bytes.len() - self.offset;
        if count > left as u64 {
            // No item takes less than one byte.
            return Err(TypeError::Truncated {
                offset: self.offset,
                needed: count,
                found: left,
            });
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn text(&mut self) -> Result<String, TypeError> {
        let length = self.u64()?;
        let offset = self.offset;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| TypeError::NameNotUtf8 { offset })
    }

    fn u32(&mut self) -> Result<u32, TypeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, TypeError> {
        self.array().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, TypeError> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TypeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn take(&mut self, needed: u64) -> Result<&[u8], TypeError> {
        let left = &self.bytes[self.offset..];
        let taken = usize::try_from(needed)
            .ok()
            .and_then(|needed| left.get(..needed))
            .ok_or(TypeError::Truncated {
                offset: self.offset,
                needed,
                found: left.len(),
            })?;
        self.offset += taken.len();
        Ok(taken)
    }
}
