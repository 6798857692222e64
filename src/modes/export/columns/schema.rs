//! The schema of a table: what Arrow calls the column of each shape. docs/COLUMNS.md has it in a table.

use super::column::dictionary;
use super::shape::{Number, Shape};
use crate::modes::export::table::{self, Layout};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// In the metadata of a column whose name is not that of its field: that name.
const FIELD: &str = "hog.field";
/// In the metadata of a column that is a variant: [`VARIANT`].
const KIND: &str = "hog.kind";
const VARIANT: &str = "variant";
/// What the column is called that says which case of a variant there is.
const TAG: &str = "tag";
/// In the metadata of a schema.
const GROUP: &str = "hog.group";
const STATEMENT: &str = "hog.statement";
const TYPE: &str = "hog.schema";
/// In the metadata of a file: the positions of the first and last record of each stream, in JSON.
pub(super) const RANGE: &str = "hog.range";

/// How names of cases are had within lists and structs. pyarrow reads no dictionaries there from a file of Parquet with several row groups, which stores texts
/// as dictionaries anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Dictionaries,
    Texts,
}

impl Inside {
    fn data_type(self) -> DataType {
        match self {
            Self::Dictionaries => dictionary(),
            Self::Texts => DataType::Utf8,
        }
    }
}

/// The schema of a table whose statement's fields have these shapes.
pub(super) fn schema(layout: &Layout, shapes: &[Shape], inside: Inside) -> Schema {
    let moment = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let [stream, position, time, drained, transaction] = table::FIRST;
    let mut fields = vec![
        Field::new(stream, DataType::Utf8, false),
        Field::new(position, DataType::UInt64, false),
        Field::new(time, moment(), true),
        Field::new(drained, moment(), true),
        Field::new(transaction, DataType::UInt64, true),
    ];
    if layout.is_line {
        fields.push(Field::new(table::CONTINUED, DataType::Boolean, false));
    }
    for ((name, original), shape) in layout.fields.iter().zip(shapes) {
        let mut field = field(name, original, shape, inside);
        if matches!(shape, Shape::Enumeration(_)) {
            field.set_data_type(dictionary());
        }
        fields.push(field);
    }
    fields.push(Field::new(table::BYTES, DataType::Binary, true));
    let metadata = [
        (GROUP, &layout.group),
        (STATEMENT, &layout.statement),
        (TYPE, &layout.schema),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.clone()));
    Schema::new(fields).with_metadata(HashMap::from(metadata))
}

fn field(name: &str, original: &str, shape: &Shape, inside: Inside) -> Field {
    let mut metadata = HashMap::new();
    if name != original {
        metadata.insert(FIELD.to_owned(), original.to_owned());
    }
    if matches!(shape, Shape::Variant(_)) {
        metadata.insert(KIND.to_owned(), VARIANT.to_owned());
    }
    Field::new(name, data_type(shape, inside), true).with_metadata(metadata)
}

fn data_type(shape: &Shape, inside: Inside) -> DataType {
    let item = |element: &Shape| Arc::new(field("item", "item", element, inside));
    match shape {
        Shape::Unit => DataType::Null,
        Shape::Bool => DataType::Boolean,
        Shape::Number(kind) => number(*kind),
        Shape::Char | Shape::Text(_) => DataType::Utf8,
        Shape::Bytes(_) => DataType::Binary,
        Shape::FixedBytes(length) => DataType::FixedSizeBinary(*length),
        Shape::Enumeration(_) => inside.data_type(),
        Shape::List(element, _) => DataType::List(item(element)),
        Shape::FixedList(element, length) => DataType::FixedSizeList(item(element), *length),
        Shape::Struct(fields) => DataType::Struct(parts(&[], fields.iter(), inside)),
        Shape::Variant(cases) => {
            let holding = cases.iter().filter(|(_, case)| *case != Shape::Unit);
            let tag = Arc::new(Field::new(TAG, inside.data_type(), true));
            let all: Vec<FieldRef> = std::iter::once(tag)
                .chain(parts(&[TAG], holding, inside).iter().cloned())
                .collect();
            DataType::Struct(all.into())
        }
    }
}

fn parts<'s>(taken: &[&str], parts: impl Iterator<Item = &'s (String, Shape)>, inside: Inside) -> Fields {
    let parts: Vec<_> = parts.collect();
    let wanted: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    let names = table::unique(taken, &wanted);
    let fields = names.iter().zip(&parts);
    fields
        .map(|(name, (original, shape))| field(name, original, shape, inside))
        .collect()
}

/// What Arrow calls numbers.
pub(super) fn number(number: Number) -> DataType {
    match number {
        Number::U8 => DataType::UInt8,
        Number::I8 => DataType::Int8,
        Number::I16 => DataType::Int16,
        Number::U16 => DataType::UInt16,
        Number::I32 => DataType::Int32,
        Number::U32 => DataType::UInt32,
        Number::I64 => DataType::Int64,
        Number::U64 => DataType::UInt64,
        Number::I128 | Number::U128 => DataType::Decimal128(38, 0),
        Number::F32 => DataType::Float32,
        Number::F64 => DataType::Float64,
        Number::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Number::TimeSpan => DataType::Duration(TimeUnit::Microsecond),
    }
}

/// The field of a list's elements.
pub(super) fn element(field: &FieldRef) -> Result<&FieldRef, ArrowError> {
    match field.data_type() {
        DataType::List(element) | DataType::FixedSizeList(element, _) => Ok(element),
        _ => Err(ArrowError::SchemaError(format!("{field} is no list"))),
    }
}

/// The fields of a struct.
pub(super) fn fields(field: &FieldRef) -> Result<&Fields, ArrowError> {
    match field.data_type() {
        DataType::Struct(fields) => Ok(fields),
        _ => Err(ArrowError::SchemaError(format!("{field} is no struct"))),
    }
}
