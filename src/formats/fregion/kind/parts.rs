//! Takes encoded types apart: steps over those that nobody asks for, and makes payload types and layouts of the others.

use super::super::stored::{Layout, Member, REFERENCE_BYTES, SLOT_BYTES_MAX, Shape, align_up};
use super::{DEPTH_MAX, Entries, Kind, KindError, NODES_MAX, STATEMENTS_MAX, StatementKind, kind};
use hog_ring::types::{Case, Field, Type};

pub(super) mod constructor {
    pub(in super::super) const PRIMITIVE: u32 = 0;
    pub(in super::super) const POINTER: u32 = 1;
    pub(in super::super) const VARIABLE: u32 = 2;
    pub(in super::super) const INDEX: u32 = 3;
    pub(in super::super) const FIXED_ARRAY: u32 = 4;
    pub(in super::super) const ARRAY: u32 = 5;
    pub(in super::super) const VARIANT: u32 = 6;
    pub(in super::super) const RECORD: u32 = 7;
    pub(in super::super) const FUNCTION: u32 = 8;
    pub(in super::super) const EXISTENTIAL: u32 = 9;
    pub(in super::super) const TEXT: u32 = 10;
    pub(in super::super) const NUMBER: u32 = 11;
    pub(in super::super) const APPLICATION: u32 = 12;
    pub(in super::super) const RECURSIVE: u32 = 13;
    pub(in super::super) const EXPRESSION: u32 = 14;
    pub(in super::super) const ABSTRACTION: u32 = 15;
}

/// Bytes of types, read from front to back.
pub(super) struct Parts<'t> {
    bytes: &'t [u8],
    pub(super) offset: usize,
    nodes: usize,
}

impl<'t> Parts<'t> {
    pub(super) fn new(bytes: &'t [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            nodes: 0,
        }
    }

    pub(super) fn take(&mut self, length: u64) -> Result<&'t [u8], KindError> {
        let left = &self.bytes[self.offset..];
        let taken = usize::try_from(length).ok().and_then(|length| left.get(..length));
        let taken = taken.ok_or(KindError::Truncated { offset: self.offset })?;
        self.offset += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], KindError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, KindError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, KindError> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, KindError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'t str, KindError> {
        let length = self.u64()?;
        let offset = self.offset;
        std::str::from_utf8(self.take(length)?).map_err(|_| KindError::Name { offset })
    }

    pub(super) fn end(&self) -> Result<(), KindError> {
        match self.bytes.len() - self.offset {
            0 => Ok(()),
            found => Err(KindError::Trailing { found }),
        }
    }

    /// Does it so often. Each time takes a byte at least, or ends it.
    pub(super) fn times(
        &mut self,
        count: u64,
        mut each: impl FnMut(&mut Self) -> Result<(), KindError>,
    ) -> Result<(), KindError> {
        (0..count).try_for_each(|_| each(self))
    }

    pub(super) fn enter(&mut self, depth: usize) -> Result<(), KindError> {
        self.nodes += 1;
        match () {
            () if depth > DEPTH_MAX => Err(KindError::TooDeep),
            () if self.nodes > NODES_MAX => Err(KindError::TooManyNodes),
            () => Ok(()),
        }
    }

    /// The bytes of the next type, whatever it is.
    pub(super) fn slice(&mut self, depth: usize) -> Result<&'t [u8], KindError> {
        let start = self.offset;
        self.skip(depth)?;
        Ok(&self.bytes[start..self.offset])
    }

    pub(super) fn skip(&mut self, depth: usize) -> Result<(), KindError> {
        self.enter(depth)?;
        let offset = self.offset;
        match self.u32()? {
            constructor::PRIMITIVE => {
                self.text()?;
                if self.array::<1>()? != [0] {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            constructor::POINTER => self.text().and_then(|_| self.take(5)).map(drop),
            constructor::VARIABLE | constructor::TEXT => self.text().map(drop),
            constructor::INDEX => self.take(4).map(drop),
            constructor::FIXED_ARRAY | constructor::FUNCTION => {
                self.skip(depth + 1)?;
                self.skip(depth + 1)
            }
            constructor::ARRAY => self.skip(depth + 1),
            constructor::VARIANT | constructor::RECORD => {
                let count = self.u64()?;
                self.times(count, |parts| {
                    parts.text()?;
                    parts.take(4)?;
                    parts.skip(depth + 1)
                })
            }
            constructor::EXISTENTIAL | constructor::RECURSIVE => self.text().and_then(|_| self.skip(depth + 1)),
            constructor::NUMBER => self.take(8).map(drop),
            constructor::APPLICATION => {
                self.skip(depth + 1)?;
                let count = self.u64()?;
                self.times(count, |parts| parts.skip(depth + 1))
            }
            constructor::EXPRESSION => self.u64().and_then(|length| self.take(length)).map(drop),
            constructor::ABSTRACTION => {
                let count = self.u64()?;
                self.times(count, |parts| parts.text().map(drop))?;
                self.skip(depth + 1)
            }
            found => Err(KindError::Constructor { found, offset }),
        }
    }

    /// What is applied to something, behind the constructor that says so: its name and all of it. The number of arguments follows.
    pub(super) fn applied(&mut self, depth: usize) -> Result<(&'t str, &'t [u8]), KindError> {
        let function = self.slice(depth + 1)?;
        let mut parts = Parts::new(function);
        let name = match parts.u32()? {
            constructor::PRIMITIVE => parts.text()?,
            _ => "",
        };
        Ok((name, function))
    }

    pub(super) fn entries(&mut self) -> Result<Entries, KindError> {
        const UNEXPECTED: KindError = KindError::NotThat { expected: "a log" };
        if self.u32()? != constructor::VARIANT {
            return Err(UNEXPECTED);
        }
        let count = self.u64()?;
        if count > STATEMENTS_MAX {
            return Err(KindError::TooManyStatements { found: count });
        }
        let mut statements = Vec::new();
        self.times(count, |parts| {
            let (name, id) = (parts.text()?.to_owned(), parts.u32()?);
            if parts.u32()? != constructor::APPLICATION || parts.applied(1)?.0 != "fileref" || parts.u64()? != 1 {
                return Err(UNEXPECTED);
            }
            // Each may be as large as any.
            parts.nodes = 0;
            let kind = kind(parts.slice(1)?);
            statements.push(StatementKind { name, id, kind });
            Ok(())
        })?;
        Ok(Entries { statements })
    }

    pub(super) fn kind(&mut self, depth: usize) -> Result<Kind, KindError> {
        self.enter(depth)?;
        let offset = self.offset;
        match self.u32()? {
            constructor::PRIMITIVE => self.primitive(depth),
            constructor::FIXED_ARRAY => {
                let element = self.kind(depth + 1)?;
                let (constructor::NUMBER, length) = (self.u32()?, self.u64()?) else {
                    return Err(unsupported("arrays of no fixed length"));
                };
                Ok(Kind {
                    payload: Type::fixed_array(element.payload, length),
                    layout: Layout::fixed_array(element.layout, length).map_err(|_| KindError::TooLong)?,
                })
            }
            constructor::VARIANT => self.variant(depth),
            constructor::RECORD => self.record(depth),
            constructor::APPLICATION => self.application(depth),
            constructor::ARRAY => Err(unsupported("an array without a reference")),
            found @ (constructor::POINTER..=constructor::ABSTRACTION) => {
                Err(unsupported(&format!("type constructor {found}")))
            }
            found => Err(KindError::Constructor { found, offset }),
        }
    }

    pub(super) fn primitive(&mut self, depth: usize) -> Result<Kind, KindError> {
        let name = self.text()?;
        if self.array::<1>()? != [0] {
            let Kind { payload, layout } = self.kind(depth + 1)?;
            return Ok(Kind {
                payload: Type::alias(name, payload),
                layout,
            });
        }
        let size = match name {
            "unit" => 0,
            "bool" | "byte" | "char" => 1,
            "short" => 2,
            "int" | "float" => 4,
            "long" | "double" => 8,
            "int128" => 16,
            other => return Err(unsupported(other)),
        };
        Ok(Kind {
            payload: Type::primitive(name),
            layout: Layout::bytes(size),
        })
    }

    pub(super) fn variant(&mut self, depth: usize) -> Result<Kind, KindError> {
        let count = self.u64()?;
        let (mut cases, mut layouts) = (Vec::new(), Vec::new());
        self.times(count, |parts| {
            let (name, id) = (parts.text()?.to_owned(), parts.u32()?);
            let Kind { payload, layout } = parts.kind(depth + 1)?;
            cases.push(Case {
                name,
                id,
                holds: payload,
            });
            layouts.push((id, layout));
            Ok(())
        })?;
        let is_enumeration = !cases.is_empty() && cases.iter().all(|case| case.holds.is_primitive("unit"));
        let layout = if is_enumeration {
            Layout::bytes(4)
        } else {
            Layout::variant(layouts).map_err(|_| KindError::TooLong)?
        };
        Ok(Kind {
            payload: Type::Variant(cases),
            layout,
        })
    }

    pub(super) fn record(&mut self, depth: usize) -> Result<Kind, KindError> {
        let count = self.u64()?;
        let (mut fields, mut members) = (Vec::new(), Vec::new());
        let (mut next, mut end, mut align, mut is_packed) = (0_u64, 0_u64, 1, true);
        self.times(count, |parts| {
            let (name, said) = (parts.text()?, parts.i32()?);
            let Kind { payload, layout } = parts.kind(depth + 1)?;
            let offset = match u64::try_from(said) {
                Ok(offset) => offset,
                Err(_) if said == -1 => align_up(next, layout.align),
                Err(_) => {
                    return Err(KindError::Offset {
                        name: name.to_owned(),
                        offset: said,
                    });
                }
            };
            is_packed &= layout.is_flat && offset == next;
            next = offset.saturating_add(layout.size);
            if next > SLOT_BYTES_MAX {
                return Err(KindError::TooLong);
            }
            (end, align) = (end.max(next), align.max(layout.align));
            fields.push(Field::new(name, payload));
            if layout.size > 0 {
                members.push(Member { offset, layout });
            }
            Ok(())
        })?;
        let size = align_up(end, align);
        Ok(Kind {
            payload: Type::Record(fields),
            layout: Layout {
                size,
                align,
                shape: Shape::Record(members),
                is_flat: is_packed && size == end,
            },
        })
    }

    pub(super) fn application(&mut self, depth: usize) -> Result<Kind, KindError> {
        let (name, function) = self.applied(depth)?;
        match (name, self.u64()?) {
            ("fileref", 1) => self.reference(depth + 1),
            ("penum", 2) => {
                let width = self.kind(depth + 1)?;
                let cases = self.kind(depth + 1)?;
                Ok(Kind {
                    payload: Type::Application {
                        function: Box::new(Type::decode(function)?),
                        arguments: vec![width.payload, cases.payload],
                    },
                    layout: width.layout,
                })
            }
            (other, _) => Err(unsupported(other)),
        }
    }

    /// What a reference is to: an array, or some value whose payload stands in its place.
    pub(super) fn reference(&mut self, depth: usize) -> Result<Kind, KindError> {
        let before = self.offset;
        let is_array = self.u32()? == constructor::ARRAY;
        if !is_array {
            self.offset = before;
        }
        let Kind { payload, layout } = self.kind(depth + 1)?;
        let (payload, shape) = if is_array {
            (Type::array(payload), Shape::Array(Box::new(layout)))
        } else {
            (payload, Shape::Reference(Box::new(layout)))
        };
        Ok(Kind {
            payload,
            layout: Layout {
                size: REFERENCE_BYTES,
                align: REFERENCE_BYTES,
                shape,
                is_flat: false,
            },
        })
    }
}

fn unsupported(found: &str) -> KindError {
    KindError::Unsupported {
        found: found.to_owned(),
    }
}
