//! A column while values are appended to it.
//!
//! Only payloads are appended that were held against the column's shape before, so lengths are known to be good; they are looked at all the same, and a column
//! that got half a value makes its table fail, not the process.

use super::measure::Input;
use super::schema;
use super::shape::{Enumeration, Length, Number, Shape};
use crate::formats::value::ValueError;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, Int32Builder, PrimitiveBuilder, StringBuilder,
};
use arrow_array::types::{
    Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeListArray, Int32Array, ListArray, NullArray, StringArray, StructArray,
};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef};
use std::sync::Arc;

/// A column.
pub(super) enum Column {
    Unit(usize),
    Bool(BooleanBuilder),
    U8(PrimitiveBuilder<UInt8Type>),
    I8(PrimitiveBuilder<Int8Type>),
    I16(PrimitiveBuilder<Int16Type>),
    U16(PrimitiveBuilder<UInt16Type>),
    I32(PrimitiveBuilder<Int32Type>),
    U32(PrimitiveBuilder<UInt32Type>),
    I64(PrimitiveBuilder<Int64Type>),
    U64(PrimitiveBuilder<UInt64Type>),
    I128(PrimitiveBuilder<Decimal128Type>),
    U128(PrimitiveBuilder<Decimal128Type>),
    F32(PrimitiveBuilder<Float32Type>),
    F64(PrimitiveBuilder<Float64Type>),
    DateTime(PrimitiveBuilder<TimestampMicrosecondType>),
    TimeSpan(PrimitiveBuilder<DurationMicrosecondType>),
    Char(StringBuilder),
    Text(StringBuilder, Length),
    Bytes(BinaryBuilder, Length),
    FixedBytes(FixedSizeBinaryBuilder, i32),
    Enumeration(Int32Builder, Enumeration, ArrayRef),
    List(List),
    FixedList(Box<Column>, i32, Places),
    Struct(Vec<Column>, Places),
    Variant(Variant),
}

/// Lists of any length.
pub(super) struct List {
    element: Box<Column>,
    length: Length,
    /// Where each list ends among the elements.
    offsets: Vec<i32>,
    places: Places,
}

/// One of several cases each.
pub(super) struct Variant {
    tags: Int32Builder,
    names: ArrayRef,
    /// A column for each case that holds anything.
    cases: Vec<Option<Column>>,
    places: Places,
}

/// Which places of a column have something in them.
pub(super) struct Places {
    nulls: NullBufferBuilder,
    len: usize,
}

impl Places {
    fn new() -> Self {
        Self {
            nulls: NullBufferBuilder::new(0),
            len: 0,
        }
    }

    fn add(&mut self, is_there: bool) {
        self.nulls.append(is_there);
        self.len += 1;
    }

    fn finish(&mut self) -> Option<arrow_buffer::NullBuffer> {
        self.len = 0;
        self.nulls.finish()
    }
}

/// The numbers from which on 38 digits do not suffice.
const DECIMAL_END: u128 = 10u128.pow(38);

fn names(names: &[String]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}

impl Column {
    /// An empty column.
    pub(super) fn of(shape: &Shape) -> Self {
        match shape {
            Shape::Unit => Self::Unit(0),
            Shape::Bool => Self::Bool(BooleanBuilder::new()),
            Shape::Number(number) => Self::of_number(*number),
            Shape::Char => Self::Char(StringBuilder::new()),
            Shape::Text(length) => Self::Text(StringBuilder::new(), *length),
            Shape::Bytes(length) => Self::Bytes(BinaryBuilder::new(), *length),
            Shape::FixedBytes(length) => Self::FixedBytes(FixedSizeBinaryBuilder::new(*length), *length),
            Shape::Enumeration(enumeration) => {
                Self::Enumeration(Int32Builder::new(), enumeration.clone(), names(&enumeration.names))
            }
            Shape::List(element, length) => Self::List(List {
                element: Box::new(Self::of(element)),
                length: *length,
                offsets: vec![0],
                places: Places::new(),
            }),
            Shape::FixedList(element, length) => Self::FixedList(Box::new(Self::of(element)), *length, Places::new()),
            Shape::Struct(fields) => {
                let fields = fields.iter().map(|(_, field)| Self::of(field));
                Self::Struct(fields.collect(), Places::new())
            }
            Shape::Variant(cases) => {
                let all: Vec<String> = cases.iter().map(|(name, _)| name.clone()).collect();
                let holds = |(_, case): &(String, Shape)| (*case != Shape::Unit).then(|| Self::of(case));
                Self::Variant(Variant {
                    tags: Int32Builder::new(),
                    names: names(&all),
                    cases: cases.iter().map(holds).collect(),
                    places: Places::new(),
                })
            }
        }
    }

    fn of_number(number: Number) -> Self {
        let decimals = || PrimitiveBuilder::new().with_data_type(schema::number(Number::I128));
        match number {
            Number::U8 => Self::U8(PrimitiveBuilder::new()),
            Number::I8 => Self::I8(PrimitiveBuilder::new()),
            Number::I16 => Self::I16(PrimitiveBuilder::new()),
            Number::U16 => Self::U16(PrimitiveBuilder::new()),
            Number::I32 => Self::I32(PrimitiveBuilder::new()),
            Number::U32 => Self::U32(PrimitiveBuilder::new()),
            Number::I64 => Self::I64(PrimitiveBuilder::new()),
            Number::U64 => Self::U64(PrimitiveBuilder::new()),
            Number::I128 => Self::I128(decimals()),
            Number::U128 => Self::U128(decimals()),
            Number::F32 => Self::F32(PrimitiveBuilder::new()),
            Number::F64 => Self::F64(PrimitiveBuilder::new()),
            Number::DateTime => Self::DateTime(PrimitiveBuilder::new().with_data_type(schema::number(number))),
            Number::TimeSpan => Self::TimeSpan(PrimitiveBuilder::new()),
        }
    }

    /// Appends the value that comes. Says whether the column holds all of it.
    pub(super) fn append(&mut self, input: &mut Input<'_>) -> Result<bool, ValueError> {
        match self {
            Self::Unit(len) => *len += 1,
            Self::Bool(column) => column.append_value(input.array::<1>()? != [0]),
            Self::U8(column) => column.append_value(u8::from_le_bytes(input.array()?)),
            Self::I8(column) => column.append_value(i8::from_le_bytes(input.array()?)),
            Self::I16(column) => column.append_value(i16::from_le_bytes(input.array()?)),
            Self::U16(column) => column.append_value(u16::from_le_bytes(input.array()?)),
            Self::I32(column) => column.append_value(i32::from_le_bytes(input.array()?)),
            Self::U32(column) => column.append_value(u32::from_le_bytes(input.array()?)),
            Self::I64(column) => column.append_value(i64::from_le_bytes(input.array()?)),
            Self::U64(column) => column.append_value(u64::from_le_bytes(input.array()?)),
            Self::F32(column) => column.append_value(f32::from_le_bytes(input.array()?)),
            Self::F64(column) => column.append_value(f64::from_le_bytes(input.array()?)),
            Self::DateTime(column) => column.append_value(i64::from_le_bytes(input.array()?)),
            Self::TimeSpan(column) => column.append_value(i64::from_le_bytes(input.array()?)),
            Self::I128(column) => {
                let number = i128::from_le_bytes(input.array()?);
                let fits = number.unsigned_abs() < DECIMAL_END;
                column.append_option(fits.then_some(number));
                return Ok(fits);
            }
            Self::U128(column) => {
                let number = u128::from_le_bytes(input.array()?);
                let fits = number < DECIMAL_END;
                column.append_option(fits.then(|| number.cast_signed()));
                return Ok(fits);
            }
            Self::Char(column) => return Ok(append_text(column, input.take(1)?)),
            Self::Text(column, length) => {
                let length = input.length(*length)?;
                return Ok(append_text(column, input.take(length)?));
            }
            Self::Bytes(column, length) => {
                let length = input.length(*length)?;
                column.append_value(input.take(length)?);
            }
            Self::FixedBytes(column, length) => {
                let bytes = input.take(u64::from(length.unsigned_abs()))?;
                return Ok(column.append_value(bytes).is_ok());
            }
            Self::Enumeration(column, enumeration, _) => {
                let place = enumeration.place(input.number(enumeration.width)?);
                column.append_option(place);
                return Ok(place.is_some());
            }
            Self::List(list) => return list.append(input),
            Self::FixedList(element, length, places) => {
                places.add(true);
                let mut is_all = true;
                for _ in 0..*length {
                    is_all &= element.append(input)?;
                }
                return Ok(is_all);
            }
            Self::Struct(fields, places) => {
                places.add(true);
                let mut is_all = true;
                for field in fields {
                    is_all &= field.append(input)?;
                }
                return Ok(is_all);
            }
            Self::Variant(variant) => return variant.append(input),
        }
        Ok(true)
    }

    /// Appends a place in which there is nothing.
    pub(super) fn append_null(&mut self) {
        match self {
            Self::Unit(len) => *len += 1,
            Self::Bool(column) => column.append_null(),
            Self::U8(column) => column.append_null(),
            Self::I8(column) => column.append_null(),
            Self::I16(column) => column.append_null(),
            Self::U16(column) => column.append_null(),
            Self::I32(column) => column.append_null(),
            Self::U32(column) => column.append_null(),
            Self::I64(column) => column.append_null(),
            Self::U64(column) => column.append_null(),
            Self::I128(column) | Self::U128(column) => column.append_null(),
            Self::F32(column) => column.append_null(),
            Self::F64(column) => column.append_null(),
            Self::DateTime(column) => column.append_null(),
            Self::TimeSpan(column) => column.append_null(),
            Self::Char(column) | Self::Text(column, _) => column.append_null(),
            Self::Bytes(column, _) => column.append_null(),
            Self::FixedBytes(column, _) => column.append_null(),
            Self::Enumeration(column, ..) => column.append_null(),
            Self::List(list) => list.end(false),
            Self::FixedList(element, length, places) => {
                places.add(false);
                (0..*length).for_each(|_| element.append_null());
            }
            Self::Struct(fields, places) => {
                places.add(false);
                fields.iter_mut().for_each(Self::append_null);
            }
            Self::Variant(variant) => variant.append_null(),
        }
    }

    /// What was appended, as an array for `field`; the column is empty then.
    pub(super) fn finish(&mut self, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Unit(len) => Arc::new(NullArray::new(std::mem::take(len))),
            Self::Bool(column) => Arc::new(column.finish()),
            Self::U8(column) => Arc::new(column.finish()),
            Self::I8(column) => Arc::new(column.finish()),
            Self::I16(column) => Arc::new(column.finish()),
            Self::U16(column) => Arc::new(column.finish()),
            Self::I32(column) => Arc::new(column.finish()),
            Self::U32(column) => Arc::new(column.finish()),
            Self::I64(column) => Arc::new(column.finish()),
            Self::U64(column) => Arc::new(column.finish()),
            Self::I128(column) | Self::U128(column) => Arc::new(column.finish()),
            Self::F32(column) => Arc::new(column.finish()),
            Self::F64(column) => Arc::new(column.finish()),
            Self::DateTime(column) => Arc::new(column.finish()),
            Self::TimeSpan(column) => Arc::new(column.finish()),
            Self::Char(column) | Self::Text(column, _) => Arc::new(column.finish()),
            Self::Bytes(column, _) => Arc::new(column.finish()),
            Self::FixedBytes(column, _) => Arc::new(column.finish()),
            Self::Enumeration(column, _, names) => named(column.finish(), names, field)?,
            Self::List(list) => list.finish(field)?,
            Self::FixedList(element, length, places) => {
                let inner = schema::element(field)?;
                let values = element.finish(inner)?;
                let list = FixedSizeListArray::try_new(Arc::clone(inner), *length, values, places.finish())?;
                Arc::new(list)
            }
            Self::Struct(fields, places) => {
                let inner = schema::fields(field)?;
                let columns = fields.iter_mut().zip(inner).map(|(column, field)| column.finish(field));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new(inner.clone(), columns, places.finish())?)
            }
            Self::Variant(variant) => variant.finish(field)?,
        })
    }
}

/// Appends a text; says whether it is UTF-8.
#[inline]
fn append_text(column: &mut StringBuilder, bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            column.append_value(text);
            true
        }
        Err(_) => {
            column.append_value(String::from_utf8_lossy(bytes));
            false
        }
    }
}

/// Names of cases by their places, as `field` wants to have them.
fn named(places: Int32Array, names: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let array = DictionaryArray::<Int32Type>::try_new(places, Arc::clone(names))?;
    match (field.data_type(), array.downcast_dict::<StringArray>()) {
        (DataType::Utf8, Some(texts)) => Ok(Arc::new(texts.into_iter().collect::<StringArray>())),
        _ => Ok(Arc::new(array)),
    }
}

impl List {
    fn append(&mut self, input: &mut Input<'_>) -> Result<bool, ValueError> {
        let count = input.length(self.length)?;
        let mut is_all = true;
        for _ in 0..count {
            is_all &= self.element.append(input)?;
        }
        let Some(count) = i32::try_from(count)
            .ok()
            .and_then(|count| self.last().checked_add(count))
        else {
            return Err(ValueError::TooLong);
        };
        self.offsets.push(count);
        self.places.add(true);
        Ok(is_all)
    }

    fn last(&self) -> i32 {
        self.offsets.last().copied().unwrap_or(0)
    }

    fn end(&mut self, is_there: bool) {
        self.offsets.push(self.last());
        self.places.add(is_there);
    }

    fn finish(&mut self, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
        let inner = schema::element(field)?;
        let values = self.element.finish(inner)?;
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let list = ListArray::try_new(Arc::clone(inner), offsets, values, self.places.finish())?;
        Ok(Arc::new(list))
    }
}

impl Variant {
    fn append(&mut self, input: &mut Input<'_>) -> Result<bool, ValueError> {
        let case = input.case(self.cases.len())?;
        self.places.add(true);
        self.tags.append_option(i32::try_from(case).ok());
        let mut is_all = true;
        for (place, column) in self.cases.iter_mut().enumerate() {
            match column {
                Some(column) if place == case => is_all = column.append(input)?,
                Some(column) => column.append_null(),
                None => {}
            }
        }
        Ok(is_all)
    }

    fn append_null(&mut self) {
        self.places.add(false);
        self.tags.append_null();
        self.cases.iter_mut().flatten().for_each(Column::append_null);
    }

    fn finish(&mut self, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
        let inner = schema::fields(field)?;
        let mut columns = Vec::with_capacity(inner.len());
        if let Some(tag) = inner.first() {
            columns.push(named(self.tags.finish(), &self.names, tag)?);
        }
        for (column, field) in self.cases.iter_mut().flatten().zip(inner.iter().skip(1)) {
            columns.push(column.finish(field)?);
        }
        Ok(Arc::new(StructArray::try_new(
            inner.clone(),
            columns,
            self.places.finish(),
        )?))
    }
}

/// What Arrow calls the names of cases.
pub(super) fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}
