//! A walk through a payload, led by its type, that tells a [`Sink`] what it meets.
//!
//! Three bounds hold whatever payload and type say. The recursion ends at [`DEPTH_MAX`]. Each value visited is paid for:
//! each byte passed pays for as many visits as values around a byte can be, and [`FREE_VISITS`] more may take no
//! bytes. And the sink's output is bounded, since a type's long names could multiply it.

use hog_ring::types::{Case, Field, TYPE_DEPTH_MAX, Type};

use super::{JSON_BYTES_MAX, ValueError};
use crate::formats::scope::{self, Scope};

/// The deepest recursion. A decoded type is at most half as deep; the rest is for variables that stand for types.
pub(super) const DEPTH_MAX: usize = 2 * TYPE_DEPTH_MAX;

/// How many visits are free of bytes.
pub(super) const FREE_VISITS: u64 = 1 << 20;

/// What wants to know the values of a payload.
pub(super) trait Sink {
    /// Whether nothing is wanted but to get past the value.
    const SKIPS: bool = false;

    fn unit(&mut self) {}
    fn bool(&mut self, _truth: bool) {}
    fn integer(&mut self, _number: impl std::fmt::Display) {}
    fn float(&mut self, _number: f32) {}
    fn double(&mut self, _number: f64) {}
    fn text(&mut self, _text: &[u8]) {}
    /// Microseconds since 1970.
    fn datetime(&mut self, _micros: i64) {}
    fn open_list(&mut self) {}
    fn item(&mut self, _first: bool) {}
    fn close_list(&mut self) {}
    fn open_object(&mut self) {}
    fn key(&mut self, _first: bool, _name: &str) {}
    fn close_object(&mut self) {}
    /// How many bytes were put out.
    fn written(&self) -> usize {
        0
    }
}

/// Wants nothing.
pub(super) struct Skip;

impl Sink for Skip {
    const SKIPS: bool = true;
}

pub(super) struct Walk<'a, S> {
    payload: &'a [u8],
    offset: usize,
    visits: u64,
    free_visits: u64,
    sink: S,
}

impl<'a, S: Sink> Walk<'a, S> {
    pub(super) fn new(payload: &'a [u8], sink: S) -> Self {
        Self::with_free_visits(payload, sink, FREE_VISITS)
    }

    /// The same, with another number of visits that may take no bytes.
    pub(super) fn with_free_visits(payload: &'a [u8], sink: S, free_visits: u64) -> Self {
        Self {
            payload,
            offset: 0,
            visits: 0,
            free_visits,
            sink,
        }
    }

    /// How many more visits may take no bytes.
    pub(super) fn free_visits_left(&self) -> u64 {
        let unpaid = self.visits.saturating_sub(self.paid_visits());
        self.free_visits.saturating_sub(unpaid)
    }

    fn paid_visits(&self) -> u64 {
        self.offset as u64 * DEPTH_MAX as u64
    }

    /// Where the next value begins.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn into_sink(self) -> S {
        self.sink
    }

    /// Visits the next value.
    pub(super) fn value(&mut self, ty: &Type) -> Result<(), ValueError> {
        self.visit(ty, None, 1)
    }

    /// The bytes of the next value, of a type that [is text](Type::is_text).
    pub(super) fn text(&mut self, ty: &Type) -> Result<&'a [u8], ValueError> {
        match ty {
            Type::FixedArray { length, .. } => self.take(*length),
            _ => self.count().and_then(|count| self.take(count)),
        }
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(&self) -> Result<(), ValueError> {
        match self.payload.len() - self.offset {
            0 => Ok(()),
            found => Err(ValueError::Trailing { found }),
        }
    }

    fn visit(&mut self, ty: &Type, scope: Option<&Scope<'_>>, depth: usize) -> Result<(), ValueError> {
        if depth > DEPTH_MAX {
            return Err(ValueError::TooDeep);
        }
        self.visits += 1;
        if self.visits > self.free_visits + self.paid_visits() {
            return Err(ValueError::TooMany {
                payload: self.payload.len(),
            });
        }
        if self.sink.written() > JSON_BYTES_MAX {
            return Err(ValueError::TooLong);
        }
        match ty {
            Type::Primitive {
                name,
                representation: None,
            } => self.primitive(name),
            Type::Primitive {
                name,
                representation: Some(long),
            } if name == "datetime" && long.is_primitive("long") => {
                let micros = i64::from_le_bytes(self.array()?);
                self.sink.datetime(micros);
                Ok(())
            }
            Type::Primitive {
                name,
                representation: Some(representation),
            } => match other_sign(name, representation) {
                Some(read) => self.other_signed(read),
                None => self.visit(representation, scope, depth + 1),
            },
            Type::Array(element) => {
                let count = self.count()?;
                self.elements(element, count, scope, depth)
            }
            Type::FixedArray { element, length } => self.elements(element, *length, scope, depth),
            Type::Variant(cases) => self.variant(cases, scope, depth),
            Type::Record(fields) => self.record(fields, scope, depth),
            Type::Variable(name) => self.variable(name, scope, depth),
            Type::Application { function, arguments } => self.application(function, arguments, scope, depth),
            Type::Number(_) => Err(ValueError::NotAValue { found: "number" }),
            Type::Abstraction { .. } => Err(ValueError::NotAValue {
                found: "generic type without arguments",
            }),
        }
    }

    fn primitive(&mut self, name: &str) -> Result<(), ValueError> {
        match name {
            "unit" => self.sink.unit(),
            "bool" => {
                let [byte] = self.array()?;
                self.sink.bool(byte != 0);
            }
            "char" => {
                let text = self.take(1)?;
                self.sink.text(text);
            }
            "byte" => {
                let number = u8::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            "short" => {
                let number = i16::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            "int" => {
                let number = i32::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            "long" => {
                let number = i64::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            "int128" => {
                let number = i128::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            "float" => {
                let number = f32::from_le_bytes(self.array()?);
                self.sink.float(number);
            }
            "double" => {
                let number = f64::from_le_bytes(self.array()?);
                self.sink.double(number);
            }
            _ => return Err(ValueError::UnknownPrimitive { name: name.to_owned() }),
        }
        Ok(())
    }

    /// An integer whose sign is not that of the type that represents it.
    fn other_signed(&mut self, read: OtherSign) -> Result<(), ValueError> {
        match read {
            OtherSign::Sbyte => {
                let number = i8::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            OtherSign::Ushort => {
                let number = u16::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            OtherSign::Uint => {
                let number = u32::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            OtherSign::Ulong => {
                let number = u64::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
            OtherSign::Uint128 => {
                let number = u128::from_le_bytes(self.array()?);
                self.sink.integer(number);
            }
        }
        Ok(())
    }

    fn elements(
        &mut self,
        element: &Type,
        count: u64,
        scope: Option<&Scope<'_>>,
        depth: usize,
    ) -> Result<(), ValueError> {
        if element.is_primitive("char") {
            let text = self.take(count)?;
            self.sink.text(text);
            return Ok(());
        }
        if let Some(width) = width_of(named_by(element)) {
            // Numbers are known to be missing before the first is looked at.
            let length = count.saturating_mul(width);
            self.require(length)?;
            if S::SKIPS {
                return self.take(length).map(drop);
            }
        }
        self.sink.open_list();
        for number in 0..count {
            self.sink.item(number == 0);
            self.visit(element, scope, depth + 1)?;
        }
        self.sink.close_list();
        Ok(())
    }

    fn record(&mut self, fields: &[Field], scope: Option<&Scope<'_>>, depth: usize) -> Result<(), ValueError> {
        if is_tuple(fields) {
            self.sink.open_list();
            for (number, field) in fields.iter().enumerate() {
                self.sink.item(number == 0);
                self.visit(&field.holds, scope, depth + 1)?;
            }
            self.sink.close_list();
        } else {
            self.sink.open_object();
            for (number, field) in fields.iter().enumerate() {
                self.sink.key(number == 0, &field.name);
                self.visit(&field.holds, scope, depth + 1)?;
            }
            self.sink.close_object();
        }
        Ok(())
    }

    /// A variant's value begins with a number: an enumeration's is the id of a case, which may be any; another's is the
    /// position of the case.
    fn variant(&mut self, cases: &[Case], scope: Option<&Scope<'_>>, depth: usize) -> Result<(), ValueError> {
        let offset = self.offset;
        let found = u32::from_le_bytes(self.array()?);
        if is_enumeration(cases) {
            match cases.iter().find(|case| case.id == found) {
                Some(case) => self.sink.text(case.name.as_bytes()),
                None => self.sink.integer(found.cast_signed()),
            }
            return Ok(());
        }
        let Some(case) = cases.get(found as usize) else {
            return Err(ValueError::NoSuchCase {
                offset,
                found,
                cases: cases.len(),
            });
        };
        self.sink.open_object();
        self.sink.key(true, &case.name);
        self.visit(&case.holds, scope, depth + 1)?;
        self.sink.close_object();
        Ok(())
    }

    fn variable(&mut self, name: &str, scope: Option<&Scope<'_>>, depth: usize) -> Result<(), ValueError> {
        if let Some((argument, outer)) = scope::look_up(name, scope) {
            return self.visit(argument, outer, depth + 1);
        }
        Err(ValueError::Unbound { name: name.to_owned() })
    }

    fn application(
        &mut self,
        function: &Type,
        arguments: &[Type],
        scope: Option<&Scope<'_>>,
        depth: usize,
    ) -> Result<(), ValueError> {
        if let (Type::Primitive { name, .. }, [width, Type::Variant(cases)]) = (function, arguments)
            && name == "penum"
        {
            return self.packed_enumeration(width, cases, scope, depth);
        }
        let generic = match function {
            Type::Primitive {
                representation: Some(generic),
                ..
            } => generic,
            other => other,
        };
        match generic {
            Type::Abstraction { parameters, body } => self.visit(
                body,
                Some(&Scope {
                    parameters,
                    arguments,
                    outer: scope,
                }),
                depth + 1,
            ),
            _ => Err(ValueError::NotAValue {
                found: "type applied to others that is not generic",
            }),
        }
    }

    /// An enumeration in fewer or more bytes than four.
    fn packed_enumeration(
        &mut self,
        representation: &Type,
        cases: &[Case],
        scope: Option<&Scope<'_>>,
        depth: usize,
    ) -> Result<(), ValueError> {
        let start = self.offset;
        let Some(width) = enumeration_width(representation) else {
            return self.visit(representation, scope, depth + 1);
        };
        let mut number = [0; 8];
        for (place, byte) in number.iter_mut().zip(self.take(width as u64)?) {
            *place = *byte;
        }
        let mask = u64::MAX >> (64 - 8 * width);
        // Ids are 32 bits of what may be a signed number, so a wider value may repeat their sign.
        let has_id = |id: u32| [u64::from(id), i64::from(id.cast_signed()).cast_unsigned()];
        let found = u64::from_le_bytes(number);
        match cases
            .iter()
            .find(|case| has_id(case.id).iter().any(|id| id & mask == found))
        {
            Some(case) => {
                self.sink.text(case.name.as_bytes());
                Ok(())
            }
            None => {
                self.offset = start;
                self.visit(representation, scope, depth + 1)
            }
        }
    }

    fn count(&mut self) -> Result<u64, ValueError> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ValueError> {
        let length = self.require(length)?;
        let taken = &self.payload[self.offset..][..length];
        self.offset += length;
        Ok(taken)
    }

    /// Makes sure that so many bytes are left.
    fn require(&self, needed: u64) -> Result<usize, ValueError> {
        let found = self.payload.len() - self.offset;
        match usize::try_from(needed) {
            Ok(length) if length <= found => Ok(length),
            _ => Err(ValueError::Truncated {
                offset: self.offset,
                needed,
                found,
            }),
        }
    }
}

/// An alias whose values are integers of the other sign than the type that represents them.
#[derive(Clone, Copy)]
enum OtherSign {
    Sbyte,
    Ushort,
    Uint,
    Ulong,
    Uint128,
}

/// Which of these an alias is. Whoever calls something else `uint` gets what represents it.
fn other_sign(name: &str, representation: &Type) -> Option<OtherSign> {
    let (read, expected) = match name {
        "sbyte" => (OtherSign::Sbyte, "byte"),
        "ushort" => (OtherSign::Ushort, "short"),
        "uint" => (OtherSign::Uint, "int"),
        "ulong" => (OtherSign::Ulong, "long"),
        "uint128" => (OtherSign::Uint128, "int128"),
        _ => return None,
    };
    representation.is_primitive(expected).then_some(read)
}

/// What an alias is another name for.
pub(super) fn named_by(mut ty: &Type) -> &Type {
    while let Type::Primitive {
        representation: Some(representation),
        ..
    } = ty
    {
        ty = representation;
    }
    ty
}

/// How many bytes a packed enumeration takes, if its numbers are of the primitive `ty`: at most eight.
pub(crate) fn enumeration_width(ty: &Type) -> Option<usize> {
    let width = width_of(ty).filter(|width| *width <= 8)?;
    usize::try_from(width).ok()
}

/// How many bytes each value of a primitive takes, if it is one and takes any.
pub(super) fn width_of(ty: &Type) -> Option<u64> {
    let Type::Primitive {
        name,
        representation: None,
    } = ty
    else {
        return None;
    };
    match name.as_str() {
        "bool" | "byte" | "char" => Some(1),
        "short" => Some(2),
        "int" | "float" => Some(4),
        "long" | "double" => Some(8),
        "int128" => Some(16),
        _ => None,
    }
}

fn is_tuple(fields: &[Field]) -> bool {
    !fields.is_empty() && fields.iter().all(|field| field.name.starts_with('.'))
}

pub(super) fn is_enumeration(cases: &[Case]) -> bool {
    !cases.is_empty() && cases.iter().all(|case| case.holds.is_primitive("unit"))
}
