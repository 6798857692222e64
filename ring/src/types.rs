//! The types of payloads: what a statement's arguments are, said in bytes that any reader understands.
//!
//! A payload carries no tags of its own, so nobody can read it, or even step over it, without its type. The type
//! travels once, in the statement's definition, as the constructor tree of `docs/FORMATS.md` section 4. It is the tree
//! of the Hobbes project, so both systems' records share one data model.
//!
//! A [`Type`] that came out of [`Type::decode`] is bounded: at most [`TYPE_DEPTH_MAX`] deep, [`TYPE_NODES_MAX`]
//! constructors and [`TYPE_BYTES_MAX`] bytes. Recursion over it therefore needs no guard of its own. A type that a
//! program builds is bounded by what it can express; `Statement::definition` holds it to the same limits.
//!
//! Refused: constructors that no logged value has (pointers, functions, recursive types and the like), fixed arrays
//! whose length is not a number, names that are not UTF-8, and bytes after the end of the type.

mod decode;

pub use decode::TypeError;

/// The longest encoded type, in bytes.
pub const TYPE_BYTES_MAX: usize = 16 * 1024;
/// The deepest nesting of constructors; a primitive is 1 deep.
pub const TYPE_DEPTH_MAX: usize = 64;
/// The most constructors in one type.
pub const TYPE_NODES_MAX: usize = 4096;

/// The offset that record fields carry when their place in a C++ object says nothing: always, in what hog writes.
pub const NO_OFFSET: i32 = -1;

/// Constructor numbers, as they stand in the encoding.
mod constructor {
    pub(super) const PRIMITIVE: u32 = 0;
    pub(super) const VARIABLE: u32 = 2;
    pub(super) const FIXED_ARRAY: u32 = 4;
    pub(super) const ARRAY: u32 = 5;
    pub(super) const VARIANT: u32 = 6;
    pub(super) const RECORD: u32 = 7;
    pub(super) const NUMBER: u32 = 11;
    pub(super) const APPLICATION: u32 = 12;
    pub(super) const ABSTRACTION: u32 = 15;
    /// Known to the original, never part of a logged value: opaque pointer, generic index, function, existential,
    /// type-level string, recursive type, type-level expression.
    pub(super) const UNSUPPORTED: [u32; 7] = [1, 3, 8, 9, 10, 13, 14];
}

/// The type of a payload, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A type known by its name, such as `int`; with a representation, an alias such as `datetime` of `long`.
    Primitive {
        /// The name.
        name: String,
        /// What a value of an alias looks like in bytes; for a generic alias an [`Type::Abstraction`].
        representation: Option<Box<Type>>,
    },
    /// A parameter of the abstraction around it.
    Variable(String),
    /// `[:T|n:]`: so many elements and no count.
    FixedArray {
        /// The type of each element.
        element: Box<Type>,
        /// The number of elements.
        length: u64,
    },
    /// `[T]`: a count and as many elements.
    Array(Box<Type>),
    /// One of several cases. When all cases are `unit` it is an enumeration.
    Variant(Vec<Case>),
    /// Fields in order; a tuple when their names begin with `.`.
    Record(Vec<Field>),
    /// A number that stands where a type may.
    Number(u64),
    /// A generic type and what it is applied to, such as the original's `penum(byte, |Red,Green|)`.
    Application {
        /// The generic type.
        function: Box<Type>,
        /// Its arguments, in order.
        arguments: Vec<Type>,
    },
    /// The body of a generic type and the names of its parameters.
    Abstraction {
        /// The names of the parameters, in order.
        parameters: Vec<String>,
        /// The type in which they occur as variables.
        body: Box<Type>,
    },
}

/// A case of a [`Type::Variant`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// The name.
    pub name: String,
    /// The number by which an enumeration's value names this case.
    pub id: u32,
    /// What the case holds; `unit` for nothing.
    pub holds: Type,
}

/// A field of a [`Type::Record`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The name; begins with `.` in a tuple.
    pub name: String,
    /// The offset in a C++ object or [`NO_OFFSET`]. Payloads are always packed, so it has no meaning here.
    pub offset: i32,
    /// What the field holds.
    pub holds: Type,
}

impl Type {
    /// A type known by its name alone.
    pub fn primitive(name: &str) -> Self {
        Self::Primitive {
            name: name.to_owned(),
            representation: None,
        }
    }

    /// Another name for a type, such as `datetime` for `long`.
    pub fn alias(name: &str, representation: Self) -> Self {
        Self::Primitive {
            name: name.to_owned(),
            representation: Some(Box::new(representation)),
        }
    }

    /// No value: zero bytes.
    pub fn unit() -> Self {
        Self::primitive("unit")
    }

    /// True or false: one byte.
    pub fn bool() -> Self {
        Self::primitive("bool")
    }

    /// A number from 0 to 255.
    pub fn byte() -> Self {
        Self::primitive("byte")
    }

    /// One byte of text.
    pub fn char() -> Self {
        Self::primitive("char")
    }

    /// An integer of 16 bits.
    pub fn short() -> Self {
        Self::primitive("short")
    }

    /// An integer of 32 bits.
    pub fn int() -> Self {
        Self::primitive("int")
    }

    /// An integer of 64 bits.
    pub fn long() -> Self {
        Self::primitive("long")
    }

    /// An integer of 128 bits.
    pub fn int128() -> Self {
        Self::primitive("int128")
    }

    /// A number from -128 to 127: another name for a `byte`.
    pub fn sbyte() -> Self {
        Self::alias("sbyte", Self::byte())
    }

    /// An integer of 16 bits that is meant without a sign: another name for a `short`.
    pub fn ushort() -> Self {
        Self::alias("ushort", Self::short())
    }

    /// An integer of 32 bits that is meant without a sign: another name for an `int`.
    pub fn uint() -> Self {
        Self::alias("uint", Self::int())
    }

    /// An integer of 64 bits that is meant without a sign: another name for a `long`.
    pub fn ulong() -> Self {
        Self::alias("ulong", Self::long())
    }

    /// An integer of 128 bits that is meant without a sign: another name for an `int128`.
    pub fn uint128() -> Self {
        Self::alias("uint128", Self::int128())
    }

    /// A time in microseconds since 1970: another name for a `long`.
    pub fn datetime() -> Self {
        Self::alias("datetime", Self::long())
    }

    /// An IEEE number of 32 bits.
    pub fn float() -> Self {
        Self::primitive("float")
    }

    /// An IEEE number of 64 bits.
    pub fn double() -> Self {
        Self::primitive("double")
    }

    /// `[char]`: text, by convention UTF-8, but any bytes are allowed.
    pub fn text() -> Self {
        Self::array(Self::char())
    }

    /// `[T]`.
    pub fn array(element: Self) -> Self {
        Self::Array(Box::new(element))
    }

    /// `[:T|n:]`.
    pub fn fixed_array(element: Self, length: u64) -> Self {
        Self::FixedArray {
            element: Box::new(element),
            length,
        }
    }

    /// Fields without names: a record of `.f0`, `.f1`, …
    pub fn tuple(elements: impl IntoIterator<Item = Self>) -> Self {
        Self::record(unnamed(elements))
    }

    /// Cases without names: a variant of `.f0`, `.f1`, …
    pub fn sum(cases: impl IntoIterator<Item = Self>) -> Self {
        Self::variant(unnamed(cases))
    }

    /// Fields with names.
    pub fn record<N: Into<String>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Record(
            fields
                .into_iter()
                .map(|(name, holds)| Field::new(name, holds))
                .collect(),
        )
    }

    /// Cases numbered from 0 in their order.
    pub fn variant<N: Into<String>>(cases: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Variant(
            (0..)
                .zip(cases)
                .map(|(id, (name, holds))| Case {
                    name: name.into(),
                    id,
                    holds,
                })
                .collect(),
        )
    }

    /// Whether this is the primitive of that name, not an alias.
    #[inline]
    pub fn is_primitive(&self, wanted: &str) -> bool {
        matches!(self, Self::Primitive { name, representation: None } if name == wanted)
    }

    /// Whether a value is text: an array of `char`, fixed or not.
    #[inline]
    pub fn is_text(&self) -> bool {
        match self {
            Self::Array(element) | Self::FixedArray { element, .. } => element.is_primitive("char"),
            _ => false,
        }
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Primitive { name, representation } => {
                put_u32(out, constructor::PRIMITIVE);
                put_text(out, name);
                out.push(u8::from(representation.is_some()));
                if let Some(representation) = representation {
                    representation.encode(out);
                }
            }
            Self::Variable(name) => {
                put_u32(out, constructor::VARIABLE);
                put_text(out, name);
            }
            Self::FixedArray { element, length } => {
                put_u32(out, constructor::FIXED_ARRAY);
                element.encode(out);
                Self::Number(*length).encode(out);
            }
            Self::Array(element) => {
                put_u32(out, constructor::ARRAY);
                element.encode(out);
            }
            Self::Variant(cases) => {
                put_u32(out, constructor::VARIANT);
                put_count(out, cases.len());
                for case in cases {
                    put_text(out, &case.name);
                    put_u32(out, case.id);
                    case.holds.encode(out);
                }
            }
            Self::Record(fields) => {
                put_u32(out, constructor::RECORD);
                put_count(out, fields.len());
                for field in fields {
                    put_text(out, &field.name);
                    out.extend_from_slice(&field.offset.to_le_bytes());
                    field.holds.encode(out);
                }
            }
            Self::Number(number) => {
                put_u32(out, constructor::NUMBER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Application { function, arguments } => {
                put_u32(out, constructor::APPLICATION);
                function.encode(out);
                put_count(out, arguments.len());
                arguments.iter().for_each(|argument| argument.encode(out));
            }
            Self::Abstraction { parameters, body } => {
                put_u32(out, constructor::ABSTRACTION);
                put_count(out, parameters.len());
                parameters.iter().for_each(|parameter| put_text(out, parameter));
                body.encode(out);
            }
        }
    }

    /// Reads a type that takes up all of `bytes`.
    ///
    /// # Errors
    /// [`TypeError`] says what was found where; nothing larger than the bounds of this module is ever built.
    pub fn decode(bytes: &[u8]) -> Result<Self, TypeError> {
        decode::decode(bytes)
    }
}

/// The names that the original gives to what has none.
fn unnamed(types: impl IntoIterator<Item = Type>) -> impl Iterator<Item = (String, Type)> {
    (0..)
        .zip(types)
        .map(|(n, holds): (usize, Type)| (format!(".f{n}"), holds))
}

impl Field {
    /// A field without an offset.
    pub fn new(name: impl Into<String>, holds: Type) -> Self {
        Self {
            name: name.into(),
            offset: NO_OFFSET,
            holds,
        }
    }
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}
