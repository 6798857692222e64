//! Fields of events and spans, encoded as they are visited.
//!
//! Both kinds go through one [`Recorder`]; they differ in where a value is put: an event's behind the one before, with its
//! type in the statement; a span's into a list, with its type beside it.

use crate::payload::{Output, Value};
use crate::types::Type;
use std::error::Error;
use std::fmt::{self, Debug, Write};
use tracing_core::field::{Field, Visit};

/// What a value was recorded as. The numbers are the places of the cases in [`Kind::value_type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Bool,
    I64,
    U64,
    I128,
    U128,
    F64,
    Text,
    Bytes,
}

impl Kind {
    const ALL: [(Kind, &str); 8] = [
        (Kind::Bool, "bool"),
        (Kind::I64, "i64"),
        (Kind::U64, "u64"),
        (Kind::I128, "i128"),
        (Kind::U128, "u128"),
        (Kind::F64, "f64"),
        (Kind::Text, "text"),
        (Kind::Bytes, "bytes"),
    ];

    /// The type of such values.
    pub(super) fn value_type(self) -> Type {
        match self {
            Kind::Bool => bool::value_type(),
            Kind::I64 => i64::value_type(),
            Kind::U64 => u64::value_type(),
            Kind::I128 => i128::value_type(),
            Kind::U128 => u128::value_type(),
            Kind::F64 => f64::value_type(),
            Kind::Text => str::value_type(),
            Kind::Bytes => <[u8]>::value_type(),
        }
    }

    /// The type of values that say themselves of which kind they are.
    fn any() -> Type {
        Type::variant(Self::ALL.map(|(kind, name)| (name, kind.value_type())))
    }
}

/// The type of the list of spans.
pub(super) fn spans_type() -> Type {
    let field = Type::record([("name", Type::text()), ("value", Kind::any())]);
    Type::array(Type::record([("name", Type::text()), ("fields", Type::array(field))]))
}

/// A field of an event, as the key of a statement has it: which one, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shaped {
    pub(super) index: usize,
    pub(super) kind: Kind,
}

/// An event's payload so far, and what its fields turned out to be.
#[derive(Debug, Default)]
pub(super) struct EventFields {
    pub(super) bytes: Vec<u8>,
    pub(super) shape: Vec<Shaped>,
}

impl EventFields {
    pub(super) const fn new() -> EventFields {
        EventFields {
            bytes: Vec::new(),
            shape: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.shape.clear();
    }
}

/// The fields of a span: each one's name, and its value with its kind in front.
#[derive(Debug, Default)]
pub(super) struct SpanFields {
    fields: Vec<(&'static str, Vec<u8>)>,
}

impl SpanFields {
    /// Takes over what was recorded later: it replaces what has its name.
    pub(super) fn amend(&mut self, later: SpanFields) {
        for (name, value) in later.fields {
            match self.fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, former)) => *former = value,
                None => self.fields.push((name, value)),
            }
        }
    }

    /// Appends the list of the fields.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        append(out, &(self.fields.len() as u64));
        for (name, value) in &self.fields {
            append(out, *name);
            out.extend_from_slice(value);
        }
    }
}

/// Appends a value's encoding.
pub(super) fn append<V: Value + ?Sized>(out: &mut Vec<u8>, value: &V) {
    let before = out.len();
    out.resize(before + value.encoded_len(), 0);
    value.encode(&mut Output::new(&mut out[before..]));
}

/// The name of a field as it was meant: `r#type` is `type`.
pub(super) fn name_of(field: &Field) -> &'static str {
    let name = field.name();
    name.strip_prefix("r#").unwrap_or(name)
}

/// Where values are put.
pub(super) trait Places {
    /// To what the value of `field`, which is of `kind`, is to be appended.
    fn place(&mut self, field: &Field, kind: Kind) -> &mut Vec<u8>;
}

impl Places for EventFields {
    fn place(&mut self, field: &Field, kind: Kind) -> &mut Vec<u8> {
        self.shape.push(Shaped {
            index: field.index(),
            kind,
        });
        &mut self.bytes
    }
}

impl Places for SpanFields {
    fn place(&mut self, field: &Field, kind: Kind) -> &mut Vec<u8> {
        let mut value = Vec::new();
        append(&mut value, &(kind as u32));
        self.fields.push((name_of(field), value));
        let last = self.fields.len() - 1;
        &mut self.fields[last].1
    }
}

/// Visits fields and puts their values where they belong.
pub(super) struct Recorder<P>(pub(super) P);

impl<P: Places> Recorder<P> {
    fn put<V: Value + ?Sized>(&mut self, field: &Field, kind: Kind, value: &V) {
        append(self.0.place(field, kind), value);
    }

    /// A text that is written as it is put: its length is filled in afterwards.
    fn write(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let out = self.0.place(field, Kind::Text);
        let place = out.len();
        append(out, &0_u64);
        // What a faulty `Debug` has written until it failed is all there is to say.
        let _ = Appended(out).write_fmt(text);
        let len = (out.len() - place - 8) as u64;
        out[place..place + 8].copy_from_slice(&len.to_le_bytes());
    }
}

/// Text at the end of bytes.
struct Appended<'a>(&'a mut Vec<u8>);

impl Write for Appended<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<P: Places> Visit for Recorder<P> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Kind::Bool, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Kind::I64, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Kind::U64, &value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, Kind::I128, &value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, Kind::U128, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Kind::F64, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Kind::Text, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.put(field, Kind::Bytes, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let causes = std::iter::successors(value.source(), |&error| error.source());
        let text = causes.fold(value.to_string(), |text, cause| format!("{text}: {cause}"));
        self.put(field, Kind::Text, text.as_str());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_kind_is_the_place_of_its_case() {
        for (place, (kind, _)) in (0..).zip(Kind::ALL) {
            assert_eq!(kind as u8, place);
        }
    }
}
