//! What kind of column each part of a type is.
//!
//! Generic types are applied here, once, and not for each payload. What that multiplies is bounded: the depth, the number of columns, and what a row takes
//! in which there is nothing, since a case that was not chosen has a place in its columns too. A type beyond these bounds has no shape, as one has
//! none whose values nobody can read; its table has the payloads as they are.

use crate::formats::scope::{self, Scope};
use crate::formats::value;
use hog_ring::types::{Case, Field, TYPE_DEPTH_MAX, Type};

/// Deepest nesting, as of values that are shown: types as they come are half as deep.
const DEPTH_MAX: usize = 2 * TYPE_DEPTH_MAX;
/// Most columns, those within columns counted too.
const COLUMNS_MAX: usize = 1024;
/// Most bytes that a row takes in which there is nothing. With more, arrays of a fixed length become lists.
const EMPTY_MAX: u64 = 16 << 10;

/// How many elements an array has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// A count stands before them.
    Counted,
    /// Always so many.
    Fixed(u64),
}

/// A kind of column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Unit,
    Bool,
    Number(Number),
    Char,
    Text(Length),
    /// Arrays of `byte`.
    Bytes(Length),
    /// The same of a length that is small and the same for all.
    FixedBytes(i32),
    Enumeration(Enumeration),
    List(Box<Shape>, Length),
    /// Of a length that is small and the same for all.
    FixedList(Box<Shape>, i32),
    Struct(Vec<(String, Shape)>),
    Variant(Vec<(String, Shape)>),
}

/// Numbers, and what is one in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    I128,
    U128,
    F32,
    F64,
    /// Microseconds since 1970.
    DateTime,
    /// Microseconds.
    TimeSpan,
}

impl Number {
    /// How many bytes a value takes.
    pub(super) fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::DateTime | Self::TimeSpan => 8,
            Self::I128 | Self::U128 => 16,
        }
    }
}

/// Names for numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Enumeration {
    /// How many bytes a value takes.
    pub(super) width: usize,
    /// The value and the place of each case that can be met.
    values: Vec<(u64, i32)>,
    pub(super) names: Vec<String>,
}

impl Enumeration {
    fn of(width: usize, cases: &[Case]) -> Self {
        let mask = u64::MAX >> (64 - 8 * width);
        let mut values = Vec::new();
        for (place, case) in (0..).zip(cases) {
            // A value wider than an id may repeat its sign.
            for value in [u64::from(case.id), i64::from(case.id.cast_signed()).cast_unsigned()] {
                values.push((value & mask, place));
            }
        }
        values.sort_unstable(); // of two cases with one value the first counts
        values.dedup_by_key(|(value, _)| *value);
        Self {
            width,
            values,
            names: cases.iter().map(|case| case.name.clone()).collect(),
        }
    }

    /// The place of the case that `value` names, if there is one.
    #[inline]
    pub(super) fn place(&self, value: u64) -> Option<i32> {
        let found = self.values.binary_search_by_key(&value, |(value, _)| *value).ok()?;
        Some(self.values[found].1)
    }
}

impl Shape {
    /// The shape of a type, if it has one.
    pub(super) fn of(ty: &Type) -> Option<Self> {
        for may_fix in [true, false] {
            let mut shaper = Shaper {
                may_fix,
                columns_left: COLUMNS_MAX,
            };
            let shape = shaper.shape(ty, None, 1)?;
            if shape.empty_bytes() <= EMPTY_MAX {
                return Some(shape);
            }
        }
        None
    }

    /// What a place takes in its column in which there is nothing, in bytes.
    pub(super) fn empty_bytes(&self) -> u64 {
        let sum = |parts: &[(String, Self)]| parts.iter().map(|(_, part)| part.empty_bytes()).sum::<u64>();
        match self {
            Self::Unit | Self::Bool => 1,
            Self::Number(number) => number.width() as u64,
            Self::Enumeration(_) | Self::Char | Self::Text(_) | Self::Bytes(_) | Self::List(..) => 4,
            Self::FixedBytes(length) => u64::from(length.unsigned_abs()),
            Self::FixedList(element, length) => element.empty_bytes().saturating_mul(u64::from(length.unsigned_abs())),
            Self::Struct(fields) => 1 + sum(fields),
            Self::Variant(cases) => 5 + sum(cases),
        }
    }

    /// The fewest bytes that a value takes in a payload.
    pub(super) fn least_bytes(&self) -> u64 {
        match self {
            Self::Unit => 0,
            Self::Bool | Self::Char => 1,
            Self::Number(number) => number.width() as u64,
            Self::Text(length) | Self::Bytes(length) => length.least(1),
            Self::FixedBytes(length) => u64::from(length.unsigned_abs()),
            Self::Enumeration(enumeration) => enumeration.width as u64,
            Self::List(element, length) => length.least(element.least_bytes()),
            Self::FixedList(element, length) => element.least_bytes().saturating_mul(u64::from(length.unsigned_abs())),
            Self::Struct(fields) => fields
                .iter()
                .fold(0, |sum, (_, field)| sum.saturating_add(field.least_bytes())),
            Self::Variant(_) => 4,
        }
    }
}

impl Length {
    fn least(self, element: u64) -> u64 {
        match self {
            Self::Counted => 8,
            Self::Fixed(length) => element.saturating_mul(length),
        }
    }
}

struct Shaper {
    /// Whether arrays of fixed lengths may have columns of fixed lengths.
    may_fix: bool,
    columns_left: usize,
}

impl Shaper {
    fn shape(&mut self, ty: &Type, scope: Option<&Scope<'_>>, depth: usize) -> Option<Shape> {
        self.columns_left = self.columns_left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        match ty {
            Type::Primitive {
                name,
                representation: None,
            } => primitive(name),
            Type::Primitive {
                name,
                representation: Some(represented),
            } => match alias(name, represented) {
                Some(number) => Some(Shape::Number(number)),
                None => self.shape(represented, scope, depth + 1),
            },
            Type::Array(element) => self.array(element, Length::Counted, scope, depth),
            Type::FixedArray { element, length } => self.array(element, Length::Fixed(*length), scope, depth),
            Type::Variant(cases) if is_enumeration(cases) => Some(Shape::Enumeration(Enumeration::of(4, cases))),
            Type::Variant(cases) => {
                let parts = cases.iter().map(|case| (&case.name, &case.holds));
                self.parts(parts, scope, depth).map(Shape::Variant)
            }
            Type::Record(fields) => self.record(fields, scope, depth),
            Type::Variable(name) => self.variable(name, scope, depth),
            Type::Application { function, arguments } => self.application(function, arguments, scope, depth),
            Type::Number(_) | Type::Abstraction { .. } => None,
        }
    }

    fn parts<'t>(
        &mut self,
        parts: impl Iterator<Item = (&'t String, &'t Type)>,
        scope: Option<&Scope<'_>>,
        depth: usize,
    ) -> Option<Vec<(String, Shape)>> {
        parts
            .map(|(name, ty)| Some((name.clone(), self.shape(ty, scope, depth + 1)?)))
            .collect()
    }

    fn record(&mut self, fields: &[Field], scope: Option<&Scope<'_>>, depth: usize) -> Option<Shape> {
        if fields.is_empty() {
            return Some(Shape::Unit);
        }
        let parts = fields.iter().map(|field| (&field.name, &field.holds));
        self.parts(parts, scope, depth).map(Shape::Struct)
    }

    fn array(&mut self, element: &Type, length: Length, scope: Option<&Scope<'_>>, depth: usize) -> Option<Shape> {
        if element.is_primitive("char") {
            return Some(Shape::Text(length));
        }
        let element = self.shape(element, scope, depth + 1)?;
        let fixed = match length {
            Length::Fixed(length) if self.may_fix && length > 0 && length <= EMPTY_MAX => i32::try_from(length).ok(),
            _ => None,
        };
        Some(match (element, fixed) {
            (Shape::Number(Number::U8), Some(length)) => Shape::FixedBytes(length),
            (Shape::Number(Number::U8), None) => Shape::Bytes(length),
            (element, Some(length)) => Shape::FixedList(Box::new(element), length),
            (element, None) => Shape::List(Box::new(element), length),
        })
    }

    fn variable(&mut self, name: &str, scope: Option<&Scope<'_>>, depth: usize) -> Option<Shape> {
        let (argument, outer) = scope::look_up(name, scope)?;
        self.shape(argument, outer, depth + 1)
    }

    fn application(
        &mut self,
        function: &Type,
        arguments: &[Type],
        scope: Option<&Scope<'_>>,
        depth: usize,
    ) -> Option<Shape> {
        if let (Type::Primitive { name, .. }, [width, Type::Variant(cases)]) = (function, arguments)
            && name == "penum"
        {
            return match value::enumeration_width(width) {
                Some(width) => Some(Shape::Enumeration(Enumeration::of(width, cases))),
                None => self.shape(width, scope, depth + 1),
            };
        }
        let generic = match function {
            Type::Primitive {
                representation: Some(generic),
                ..
            } => generic,
            other => other,
        };
        let Type::Abstraction { parameters, body } = generic else {
            return None;
        };
        let inner = Scope {
            parameters,
            arguments,
            outer: scope,
        };
        self.shape(body, Some(&inner), depth + 1)
    }
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "unit" => Shape::Unit,
        "bool" => Shape::Bool,
        "char" => Shape::Char,
        "byte" => Shape::Number(Number::U8),
        "short" => Shape::Number(Number::I16),
        "int" => Shape::Number(Number::I32),
        "long" => Shape::Number(Number::I64),
        "int128" => Shape::Number(Number::I128),
        "float" => Shape::Number(Number::F32),
        "double" => Shape::Number(Number::F64),
        _ => return None,
    })
}

/// What an alias makes of the numbers that represent it, if anything.
fn alias(name: &str, representation: &Type) -> Option<Number> {
    let (number, expected) = match name {
        "datetime" => (Number::DateTime, "long"),
        "timespan" => (Number::TimeSpan, "long"),
        "sbyte" => (Number::I8, "byte"),
        "ushort" => (Number::U16, "short"),
        "uint" => (Number::U32, "int"),
        "ulong" => (Number::U64, "long"),
        "uint128" => (Number::U128, "int128"),
        _ => return None,
    };
    representation.is_primitive(expected).then_some(number)
}

fn is_enumeration(cases: &[Case]) -> bool {
    !cases.is_empty() && cases.iter().all(|case| case.holds.is_primitive("unit"))
}
