//! Records of a table, gathered as columns until they are a batch.

use super::column::Column;
use super::measure::{Input, measure};
use super::schema::{self, Inside};
use super::shape::Shape;
use crate::formats::value::{Lengths, ValueError};
use crate::ids::StreamId;
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::modes::export::table::Layout;
use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder, UInt64Builder,
};
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use hog_ring::statement::flags;
use hog_ring::types::Type;
use std::sync::Arc;

/// What the columns before the fields take for a record, in bytes.
const FIRST_BYTES: u64 = 80;

/// Gathers records.
pub(super) struct Gathered {
    schema: SchemaRef,
    shapes: Vec<Shape>,
    streams: StringBuilder,
    positions: UInt64Builder,
    times: PrimitiveBuilder<TimestampNanosecondType>,
    drained: PrimitiveBuilder<TimestampNanosecondType>,
    transactions: UInt64Builder,
    /// Of lines alone.
    continued: Option<BooleanBuilder>,
    fields: Vec<Column>,
    bytes: BinaryBuilder,
    /// The stream that a record came from last, in words.
    stream: (StreamId, String),
    /// What a record takes in which there is nothing.
    empty_bytes: u64,
    /// The type, if it has no shape.
    shapeless: Option<Type>,
    /// What it holds, in bytes.
    held: u64,
}

impl Gathered {
    pub(super) fn new(layout: &Layout, inside: Inside) -> Self {
        let shape = Shape::of(&layout.payload_type);
        let has_shape = shape.is_some();
        let shapes: Vec<Shape> = match shape {
            Some(Shape::Struct(fields)) if matches!(layout.payload_type, Type::Record(_)) => {
                fields.into_iter().map(|(_, field)| field).collect()
            }
            Some(shape) if !layout.fields.is_empty() => vec![shape],
            _ => Vec::new(),
        };
        let schema = Arc::new(schema::schema(layout, &shapes, inside));
        let moments = |field: usize| PrimitiveBuilder::new().with_data_type(schema.field(field).data_type().clone());
        Self {
            streams: StringBuilder::new(),
            positions: UInt64Builder::new(),
            times: moments(2),
            drained: moments(3),
            transactions: UInt64Builder::new(),
            continued: layout.is_line.then(BooleanBuilder::new),
            fields: shapes.iter().map(Column::of).collect(),
            bytes: BinaryBuilder::new(),
            stream: (StreamId::NIL, StreamId::NIL.to_string()),
            empty_bytes: FIRST_BYTES + shapes.iter().map(Shape::empty_bytes).sum::<u64>(),
            shapeless: (!has_shape).then(|| layout.payload_type.clone()),
            held: 0,
            shapes,
            schema,
        }
    }

    /// Its columns, those within columns counted too.
    pub(super) fn columns(&self) -> usize {
        self.schema.flattened_fields().len()
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What it holds, in bytes.
    #[inline]
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Takes a record. Of a payload that is no value it takes the bytes, and says why.
    pub(super) fn add(&mut self, stream: &StreamInfo, record: &Record<'_>) -> Result<(), ValueError> {
        if self.stream.0 != stream.id {
            self.stream = (stream.id, stream.id.to_string());
        }
        self.streams.append_value(&self.stream.1);
        self.positions.append_value(record.position);
        let moment = |time: Option<u64>| time.and_then(|time| i64::try_from(time).ok());
        self.times.append_option(moment(record.time));
        let drained = Some(record.drained).filter(|drained| *drained > 0);
        self.drained.append_option(moment(drained));
        self.transactions.append_option(record.transaction);
        if let Some(continued) = &mut self.continued {
            continued.append_value(record.definition.flags & flags::CONTINUED != 0);
        }
        self.held += self.empty_bytes;
        let measured = self.measure(record.payload);
        let is_all = match &measured {
            Ok(bytes) => {
                self.held += bytes;
                let mut input = Input::new(record.payload);
                let mut is_all = true;
                for field in &mut self.fields {
                    is_all &= field.append(&mut input)?;
                }
                is_all && self.shapeless.is_none()
            }
            Err(_) => {
                self.fields.iter_mut().for_each(Column::append_null);
                false
            }
        };
        if is_all {
            self.bytes.append_null();
        } else {
            self.held += record.payload.len() as u64;
            self.bytes.append_value(record.payload);
        }
        measured.map(drop)
    }

    /// What the columns will take for a payload, in bytes, if it is a value.
    fn measure(&self, payload: &[u8]) -> Result<u64, ValueError> {
        let Some(ty) = &self.shapeless else {
            return measure(&self.shapes, payload);
        };
        match payload.len() - Lengths::default().of_first(ty, payload)? {
            0 => Ok(0),
            found => Err(ValueError::Trailing { found }),
        }
    }

    /// What was gathered, if anything was; nothing is held then.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.positions.is_empty() {
            return Ok(None);
        }
        self.held = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.streams.finish()),
            Arc::new(self.positions.finish()),
            Arc::new(self.times.finish()),
            Arc::new(self.drained.finish()),
            Arc::new(self.transactions.finish()),
        ];
        if let Some(continued) = &mut self.continued {
            columns.push(Arc::new(continued.finish()));
        }
        let first = columns.len();
        for (column, field) in self.fields.iter_mut().zip(self.schema.fields().iter().skip(first)) {
            columns.push(column.finish(field)?);
        }
        columns.push(Arc::new(self.bytes.finish()));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map(Some)
    }
}
