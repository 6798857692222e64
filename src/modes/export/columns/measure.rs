//! Holds a payload against a shape before any of it is taken: whether it is a value, and what its columns will take.
//!
//! Whatever payload and shape say, this ends, and what follows it is bounded: an element takes a byte at least, or is one of [`FREE_ELEMENTS`]; and a record whose
//! columns would take more than [`RECORD_MAX`] is not taken apart.

use super::shape::{Length, Shape};
use crate::formats::value::ValueError;

/// How many elements of arrays may take no bytes, in one record.
const FREE_ELEMENTS: u64 = 1 << 20;
/// Most bytes that one record may take in columns. The longest payload with one text takes a sixteenth of it.
const RECORD_MAX: u64 = 256 << 20;

/// A payload, as far as it is not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'p> {
    payload: &'p [u8],
    rest: &'p [u8],
}

impl<'p> Input<'p> {
    pub(super) fn new(payload: &'p [u8]) -> Self {
        Self { payload, rest: payload }
    }

    /// The next bytes.
    #[inline]
    pub(super) fn take(&mut self, length: u64) -> Result<&'p [u8], ValueError> {
        let length = self.require(length)?;
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.truncated(N as u64)),
        }
    }

    /// How many elements come.
    #[inline]
    pub(super) fn length(&mut self, length: Length) -> Result<u64, ValueError> {
        match length {
            Length::Counted => self.array().map(u64::from_le_bytes),
            Length::Fixed(length) => Ok(length),
        }
    }

    /// The number of an enumeration that takes so many bytes.
    #[inline]
    pub(super) fn number(&mut self, width: usize) -> Result<u64, ValueError> {
        let mut number = [0; 8];
        for (place, byte) in number.iter_mut().zip(self.take(width as u64)?) {
            *place = *byte;
        }
        Ok(u64::from_le_bytes(number))
    }

    /// The place of the case that comes.
    #[inline]
    pub(super) fn case(&mut self, cases: usize) -> Result<usize, ValueError> {
        let offset = self.payload.len() - self.rest.len();
        let found = u32::from_le_bytes(self.array()?);
        match usize::try_from(found) {
            Ok(case) if case < cases => Ok(case),
            _ => Err(ValueError::NoSuchCase { offset, found, cases }),
        }
    }

    #[inline]
    fn require(&self, needed: u64) -> Result<usize, ValueError> {
        match usize::try_from(needed) {
            Ok(length) if length <= self.rest.len() => Ok(length),
            _ => Err(self.truncated(needed)),
        }
    }

    #[cold]
    fn truncated(&self, needed: u64) -> ValueError {
        ValueError::Truncated {
            offset: self.payload.len() - self.rest.len(),
            needed,
            found: self.rest.len(),
        }
    }

    fn too_many(&self) -> ValueError {
        ValueError::TooMany {
            payload: self.payload.len(),
        }
    }
}

/// What columns of these shapes will take for a payload, in bytes.
///
/// # Errors
/// When it is no value, or would take too much.
pub(super) fn measure(shapes: &[Shape], payload: &[u8]) -> Result<u64, ValueError> {
    let mut measure = Measure {
        input: Input::new(payload),
        free_left: FREE_ELEMENTS,
        bytes: 0,
    };
    shapes.iter().try_for_each(|shape| measure.value(shape))?;
    match measure.input.rest.len() {
        0 => Ok(measure.bytes + payload.len() as u64),
        found => Err(ValueError::Trailing { found }),
    }
}

struct Measure<'p> {
    input: Input<'p>,
    free_left: u64,
    /// What is taken by places, without what is in them.
    bytes: u64,
}

impl Measure<'_> {
    fn value(&mut self, shape: &Shape) -> Result<(), ValueError> {
        match shape {
            Shape::Unit => Ok(()),
            Shape::Bool | Shape::Char => self.input.take(1).map(drop),
            Shape::Number(number) => self.input.take(number.width() as u64).map(drop),
            Shape::Text(length) | Shape::Bytes(length) => {
                let length = self.input.length(*length)?;
                self.input.take(length).map(drop)
            }
            Shape::FixedBytes(length) => self.input.take(u64::from(length.unsigned_abs())).map(drop),
            Shape::Enumeration(enumeration) => self.input.take(enumeration.width as u64).map(drop),
            Shape::List(element, length) => {
                let count = self.input.length(*length)?;
                self.elements(element, count)
            }
            Shape::FixedList(element, length) => self.elements(element, u64::from(length.unsigned_abs())),
            Shape::Struct(fields) => fields.iter().try_for_each(|(_, field)| self.value(field)),
            Shape::Variant(cases) => {
                let case = self.input.case(cases.len())?;
                self.value(&cases[case].1)
            }
        }
    }

    fn elements(&mut self, element: &Shape, count: u64) -> Result<(), ValueError> {
        let least = element.least_bytes();
        if least == 0 {
            self.free_left = self.free_left.checked_sub(count).ok_or_else(|| self.input.too_many())?;
        }
        self.input.require(count.saturating_mul(least))?;
        self.bytes = self.bytes.saturating_add(count.saturating_mul(element.empty_bytes()));
        if self.bytes > RECORD_MAX {
            return Err(self.input.too_many());
        }
        if let Shape::Number(number) = element {
            return self.input.take(count * number.width() as u64).map(drop);
        }
        for _ in 0..count {
            self.value(element)?;
        }
        Ok(())
    }
}
