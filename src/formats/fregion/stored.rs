//! What a value looks like in a `.log` file: the *stored* type of a payload type, with the place of every part.
//!
//! Payloads are packed; stored values are laid out as a C compiler would: each part at a multiple of its alignment, sizes rounded up to the alignment. Arrays
//! become references (`fileref`, 8 bytes), since they have no size of their own. The stored type is written into the file's environment with
//! all offsets, so that readers need no rules of ours to find a field; [`Stored::of`] therefore makes type and [`Layout`] in one go.
//!
//! - An enumeration's value is the id of a case, in payload and file alike. Another variant's value begins in a payload with the position
//!   of its case, in a file with the id; where ids repeat, the stored type numbers its cases by position.
//! - An alias keeps its name, and is stored as what represents it. A generic type that is applied is stored as what that makes, but for
//!   `penum`, which readers know: hog's own records have no others.
//! - `int128` is aligned to 16 in records and batches, as readers expect it.
//!
//! Refused: types that no value has, that nest or grow beyond bounds once their variables are replaced, and values of more than [`SLOT_BYTES_MAX`] bytes: each
//! has a slot of its full size in a batch.

mod encoding;
#[cfg(test)]
mod tests;

pub use encoding::{log_type, reference_to, series_type, statements_type, transactions_type};

use crate::formats::scope::{self, Scope};
use hog_ring::types::{Case, Field, TYPE_DEPTH_MAX, Type};
use thiserror::Error;

/// Records in a batch of a series, as the original has them.
pub const BATCH_RECORDS: u64 = 10_000;

/// Longest stored value, in bytes, without what it refers to.
pub const SLOT_BYTES_MAX: u64 = 64 << 20;

/// Deepest payload type, once its variables are replaced. The stored type is at most three times as deep.
pub const PAYLOAD_DEPTH_MAX: usize = 2 * TYPE_DEPTH_MAX;

/// Most constructors of a payload type, once its variables are replaced.
pub const PAYLOAD_NODES_MAX: usize = 1 << 14;

/// Length and alignment of a reference, in bytes.
pub const REFERENCE_BYTES: u64 = 8;

/// Length of an element of the series `log`: the statement's number, and a reference to the record's slot at 8.
pub const LOG_ELEMENT_BYTES: u64 = 16;

/// Length of an element of the series `transactions`: microseconds, and a reference to an array of elements as those of `log`.
pub const TRANSACTION_BYTES: u64 = 16;

/// Length of an element of the array `statements`.
pub const STATEMENT_BYTES: u64 = 40;

/// A payload type as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The type as it stands in the file.
    pub ty: Type,
    /// Where its parts are.
    pub layout: Layout,
}

/// Where the parts of a stored value are. Its size is a multiple of its alignment, so that it is the stride of an array too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length in bytes.
    pub size: u64,
    /// Alignment in bytes: 1, 2, 4, 8 or 16.
    pub align: u64,
    /// What it consists of.
    pub shape: Shape,
    /// The stored bytes are those of the payload, for all values.
    pub is_flat: bool,
}

/// What a stored value consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As many bytes as its size, with no parts.
    Bytes,
    /// So many elements, one behind the other.
    FixedArray {
        /// Each of them.
        element: Box<Layout>,
        /// How many.
        length: u64,
    },
    /// Members, each at its offset.
    Record(Vec<Member>),
    /// The id of a case, 4 bytes, and what the case holds.
    Variant {
        /// Where what a case holds begins.
        payload_at: u64,
        /// The cases in the order of the payload type, by id.
        cases: Vec<(u32, Layout)>,
    },
    /// The place of an array in the file: 8 bytes. There stand a count of 8 bytes and as many elements, each behind the other.
    Array(Box<Layout>),
    /// The place of a value in the file: 8 bytes. No payload has one; `log` has.
    Reference(Box<Layout>),
}

/// A part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it begins in the record.
    pub offset: u64,
    /// What it is.
    pub layout: Layout,
}

/// Why a payload type cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoredError {
    /// A primitive without a representation that is not one of the known ones.
    #[error("unknown primitive type {name:?}")]
    UnknownPrimitive {
        /// Its name.
        name: String,
    },
    /// A variable that no abstraction around it names.
    #[error("unbound type variable {name:?}")]
    Unbound {
        /// Its name.
        name: String,
    },
    /// A part of a type where only a whole one has values.
    #[error("a {found} is not the type of a value")]
    NotAValue {
        /// What it is.
        found: &'static str,
    },
    /// The type, its variables replaced, is too deep.
    #[error("a type more than {PAYLOAD_DEPTH_MAX} constructors deep")]
    TooDeep,
    /// The type, its variables replaced, has too many constructors.
    #[error("a type of more than {PAYLOAD_NODES_MAX} constructors")]
    TooManyNodes,
    /// Its values are too long.
    #[error("values of more than {SLOT_BYTES_MAX} bytes each")]
    TooLong,
}

/// `offset`, rounded up to a multiple of `align`, a power of two.
#[must_use]
pub const fn align_up(offset: u64, align: u64) -> u64 {
    (offset + align - 1) & !(align - 1)
}

/// Where the slots begin behind the count of a batch.
#[must_use]
pub const fn slots_at(align: u64) -> u64 {
    align_up(8, align)
}

impl Stored {
    /// How values of `payload` are stored.
    ///
    /// # Errors
    /// [`StoredError`].
    pub fn of(payload: &Type) -> Result<Self, StoredError> {
        Converter { nodes: 0 }.convert(payload, None, 1)
    }
}

impl Layout {
    pub(super) fn bytes(size: u64) -> Self {
        Self {
            size,
            align: size.max(1),
            shape: Shape::Bytes,
            is_flat: true,
        }
    }

    /// Of the place of something.
    fn place(shape: Shape) -> Self {
        Self {
            size: REFERENCE_BYTES,
            align: REFERENCE_BYTES,
            shape,
            is_flat: false,
        }
    }

    /// Of the place of a value of layout `to`.
    #[must_use]
    pub fn reference(to: Self) -> Self {
        Self::place(Shape::Reference(Box::new(to)))
    }

    /// Of a record of such members, one behind the other.
    fn record(members: impl IntoIterator<Item = Self>) -> Result<Self, StoredError> {
        let (mut end, mut align, mut is_flat) = (0, 1, true);
        let mut placed = Vec::new();
        for layout in members {
            let offset = align_up(end, layout.align);
            is_flat &= layout.is_flat && offset == end;
            end = bounded(offset.saturating_add(layout.size))?;
            align = align.max(layout.align);
            placed.push(Member { offset, layout });
        }
        let size = align_up(end, align);
        Ok(Self {
            size,
            align,
            shape: Shape::Record(placed),
            is_flat: is_flat && size == end,
        })
    }

    pub(super) fn fixed_array(element: Self, length: u64) -> Result<Self, StoredError> {
        Ok(Self {
            size: bounded(element.size.saturating_mul(length))?,
            align: element.align,
            is_flat: element.is_flat,
            shape: Shape::FixedArray {
                element: Box::new(element),
                length,
            },
        })
    }

    pub(super) fn variant(cases: Vec<(u32, Self)>) -> Result<Self, StoredError> {
        let align = cases.iter().map(|(_, case)| case.align).fold(4, u64::max);
        let payload_at = align_up(4, align);
        let longest = cases.iter().map(|(_, case)| case.size).max().unwrap_or(0);
        Ok(Self {
            size: align_up(bounded(payload_at + longest)?, align),
            align,
            shape: Shape::Variant { payload_at, cases },
            is_flat: false,
        })
    }

    /// Records in a batch of such slots: as many as in the original's, fewer where these would be very long.
    #[must_use]
    pub const fn batch_records(&self) -> u64 {
        match SLOT_BYTES_MAX.checked_div(self.size) {
            Some(0) => 1,
            Some(records) if records < BATCH_RECORDS => records,
            _ => BATCH_RECORDS,
        }
    }
}

fn bounded(size: u64) -> Result<u64, StoredError> {
    if size > SLOT_BYTES_MAX {
        return Err(StoredError::TooLong);
    }
    Ok(size)
}

/// Makes stored types and counts constructors.
struct Converter {
    nodes: usize,
}

impl Converter {
    fn convert(&mut self, payload: &Type, scope: Option<&Scope<'_>>, depth: usize) -> Result<Stored, StoredError> {
        if depth > PAYLOAD_DEPTH_MAX {
            return Err(StoredError::TooDeep);
        }
        self.nodes += 1;
        if self.nodes > PAYLOAD_NODES_MAX {
            return Err(StoredError::TooManyNodes);
        }
        match payload {
            Type::Primitive {
                name,
                representation: None,
            } => primitive(name),
            Type::Primitive {
                name,
                representation: Some(representation),
            } => {
                let Stored { ty, layout } = self.convert(representation, scope, depth + 1)?;
                let ty = Type::alias(name, ty);
                Ok(Stored { ty, layout })
            }
            Type::FixedArray { element, length } => {
                let Stored { ty, layout } = self.convert(element, scope, depth + 1)?;
                Ok(Stored {
                    ty: Type::fixed_array(ty, *length),
                    layout: Layout::fixed_array(layout, *length)?,
                })
            }
            Type::Array(element) => {
                let Stored { ty, layout } = self.convert(element, scope, depth + 1)?;
                Ok(Stored {
                    ty: reference_to(Type::array(ty)),
                    layout: Layout::place(Shape::Array(Box::new(layout))),
                })
            }
            Type::Variant(cases) => self.variant(cases, scope, depth),
            Type::Record(fields) => self.record(fields, scope, depth),
            Type::Variable(name) => self.variable(name, scope, depth),
            Type::Application { function, arguments } => self.application(function, arguments, scope, depth),
            Type::Number(_) => Err(StoredError::NotAValue { found: "number" }),
            Type::Abstraction { .. } => Err(StoredError::NotAValue {
                found: "generic type without arguments",
            }),
        }
    }

    fn record(&mut self, fields: &[Field], scope: Option<&Scope<'_>>, depth: usize) -> Result<Stored, StoredError> {
        let mut types = Vec::new();
        let mut layouts = Vec::new();
        for field in fields {
            let Stored { ty, layout } = self.convert(&field.holds, scope, depth + 1)?;
            types.push(Field::new(field.name.as_str(), ty));
            layouts.push(layout);
        }
        let layout = Layout::record(layouts)?;
        if let Shape::Record(members) = &layout.shape {
            for (field, member) in types.iter_mut().zip(members) {
                field.offset = i32::try_from(member.offset).map_err(|_| StoredError::TooLong)?;
            }
        }
        let ty = Type::Record(types);
        Ok(Stored { ty, layout })
    }

    fn variant(&mut self, cases: &[Case], scope: Option<&Scope<'_>>, depth: usize) -> Result<Stored, StoredError> {
        let is_enumeration = !cases.is_empty() && cases.iter().all(|case| case.holds.is_primitive("unit"));
        let by_id = is_enumeration || have_own_ids(cases);
        let mut types = Vec::new();
        let mut layouts = Vec::new();
        for (position, case) in (0..).zip(cases) {
            let Stored { ty, layout } = self.convert(&case.holds, scope, depth + 1)?;
            let id = if by_id { case.id } else { position };
            types.push(Case {
                name: case.name.clone(),
                id,
                holds: ty,
            });
            layouts.push((id, layout));
        }
        let layout = if is_enumeration {
            Layout::bytes(4)
        } else {
            Layout::variant(layouts)?
        };
        let ty = Type::Variant(types);
        Ok(Stored { ty, layout })
    }

    fn variable(&mut self, name: &str, scope: Option<&Scope<'_>>, depth: usize) -> Result<Stored, StoredError> {
        if let Some((argument, outer)) = scope::look_up(name, scope) {
            return self.convert(argument, outer, depth + 1);
        }
        Err(StoredError::Unbound { name: name.to_owned() })
    }

    fn application(
        &mut self,
        function: &Type,
        arguments: &[Type],
        scope: Option<&Scope<'_>>,
        depth: usize,
    ) -> Result<Stored, StoredError> {
        if let (Type::Primitive { name, .. }, [width @ Type::Primitive { .. }, Type::Variant(_)]) =
            (function, arguments)
            && name == "penum"
        {
            return Ok(Stored {
                layout: self.convert(width, scope, depth + 1)?.layout,
                ty: Type::Application {
                    function: Box::new(function.clone()),
                    arguments: arguments.to_vec(),
                },
            });
        }
        let generic = match function {
            Type::Primitive {
                representation: Some(generic),
                ..
            } => generic,
            other => other,
        };
        match generic {
            Type::Abstraction { parameters, body } => {
                let scope = Scope {
                    parameters,
                    arguments,
                    outer: scope,
                };
                self.convert(body, Some(&scope), depth + 1)
            }
            _ => Err(StoredError::NotAValue {
                found: "type applied to others that is not generic",
            }),
        }
    }
}

fn have_own_ids(cases: &[Case]) -> bool {
    let mut ids: Vec<u32> = cases.iter().map(|case| case.id).collect();
    ids.sort_unstable();
    ids.windows(2).all(|pair| pair[0] != pair[1])
}

fn primitive(name: &str) -> Result<Stored, StoredError> {
    let size = match name {
        "unit" => 0,
        "bool" | "byte" | "char" => 1,
        "short" => 2,
        "int" | "float" => 4,
        "long" | "double" => 8,
        "int128" => 16,
        _ => return Err(StoredError::UnknownPrimitive { name: name.to_owned() }),
    };
    Ok(Stored {
        ty: Type::primitive(name),
        layout: Layout::bytes(size),
    })
}
