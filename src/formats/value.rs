//! Payloads for people and programs: a value, found by its type, as JSON or as text.
//!
//! A payload comes from a ring, a spool or a socket, and so does the type that describes it; neither is trusted. Every
//! read is checked against what is left of the payload, and what a hostile type could multiply is bounded: the depth of
//! recursion, the number of values visited, the length of the JSON text. The bounds never refuse a payload in which
//! fewer than a million values take no bytes. A payload must be used up wholly, since bytes left over mean that the type
//! does not describe it.
//!
//! How values appear in JSON:
//! - integers as numbers, signed but for `byte` and the names that say otherwise (`uint` and its like); floats in the fewest digits that read back equal, `null` if not finite;
//! - arrays of `char` as strings, a lone `char` as a string of one character; other arrays as arrays;
//! - tuples as arrays, records as objects, `unit` as `null`;
//! - a case of an enumeration as its name (or as its number, if none has it), any other case as `{"name": value}`;
//! - `datetime` in RFC 3339, UTC, with microseconds (as its number outside the years 0 to 9999); other aliases as what
//!   represents them.
//!
//! JSON text is always UTF-8. Bytes that are not become U+FFFD, and [`Outcome::invalid_utf8`] says so, so that whoever
//! needs the bytes themselves can give them beside the text.

mod json;
mod plan;
mod walk;

use std::ops::Range;

use hog_ring::statement::Definition;
use hog_ring::types::{Field, Type};
use thiserror::Error;

use json::Json;
pub use plan::Plan;
#[cfg(feature = "columns")]
pub(crate) use walk::enumeration_width;
use walk::{Skip, Walk};

/// The longest JSON text of one payload, in bytes.
pub const JSON_BYTES_MAX: usize = 1 << 30;

/// What there is to know about a value besides its JSON text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// Some text in it was not UTF-8 and holds U+FFFD instead.
    pub invalid_utf8: bool,
}

/// Why a payload is not a value of its type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// The payload ends within the value.
    #[error("a payload cut short: {needed} bytes expected at offset {offset}, {found} found")]
    Truncated {
        /// Where they were expected.
        offset: usize,
        /// How many were expected.
        needed: u64,
        /// How many there are.
        found: usize,
    },
    /// The payload goes on after the value.
    #[error("{found} bytes after the end of a payload's value")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// A variant's number is none of its cases.
    #[error("case {found} at offset {offset} of a variant with {cases} cases")]
    NoSuchCase {
        /// Where the number stands.
        offset: usize,
        /// The number.
        found: u32,
        /// How many cases there are.
        cases: usize,
    },
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
    #[error("a value more than {} types deep", walk::DEPTH_MAX)]
    TooDeep,
    /// Too many values that take no bytes.
    #[error("too many values for a payload of {payload} bytes")]
    TooMany {
        /// The payload's length.
        payload: usize,
    },
    /// The JSON text gets too long.
    #[error("a value whose JSON text exceeds {JSON_BYTES_MAX} bytes")]
    TooLong,
}

/// Appends the JSON text of a payload, without white space.
///
/// # Errors
/// [`ValueError`]; `out` is then as it was before.
pub fn to_json(ty: &Type, payload: &[u8], out: &mut Vec<u8>) -> Result<Outcome, ValueError> {
    write_value(ty, payload, out, Json::new)
}

/// Appends `text` as a JSON string; says whether it was UTF-8. What is not is replaced by U+FFFD.
pub fn quote(text: &[u8], out: &mut Vec<u8>) -> bool {
    json::quote(text, out)
}

/// The bytes of the text field `name` of a record: `None` if it has none, or the payload ends before it. Fields behind
/// it are not looked at, and nothing is allocated or copied.
pub fn text_field<'a>(ty: &Type, payload: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let Type::Record(fields) = ty else { return None };
    let mut walk = Walk::new(payload, Skip);
    for field in fields {
        if !field.holds.is_text() {
            walk.value(&field.holds).ok()?;
            continue;
        }
        let text = walk.text(&field.holds).ok()?;
        if field.name == name {
            return Some(text);
        }
    }
    None
}

/// Appends each field of a record as it appears alone, texts, dates and names of cases as they are and other values as JSON, and puts where each ends into
/// `ends`. What is no record is one field; a `unit` is none.
///
/// # Errors
/// [`ValueError`]; what was appended is then worth nothing.
pub fn field_texts(ty: &Type, payload: &[u8], out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<Outcome, ValueError> {
    let whole;
    let fields = match ty {
        Type::Record(fields) => fields.as_slice(),
        ty if ty.is_primitive("unit") => &[],
        _ => {
            whole = [Field::new("", ty.clone())];
            &whole[..]
        }
    };
    let mut outcome = Outcome::default();
    let mut skip = Walk::new(payload, Skip);
    for field in fields {
        let start = skip.offset();
        skip.value(&field.holds)?;
        outcome.invalid_utf8 |=
            write_value(&field.holds, &payload[start..skip.offset()], out, Json::bare)?.invalid_utf8;
        ends.push(out.len());
    }
    skip.end()?;
    Ok(outcome)
}

/// Whether `payload` is one value of that type, and nothing more.
#[must_use]
pub fn is_value(ty: &Type, payload: &[u8]) -> bool {
    let mut walk = Walk::new(payload, Skip);
    walk.value(ty).and_then(|()| walk.end()).is_ok()
}

/// Finds where values end that follow one another without a word between them, as the records of the original do.
///
/// Each of them may hold some hundred values that take no bytes, and beyond that all of them together no more than one payload may: otherwise
/// the few bytes in front of each could have this go through a million.
#[derive(Debug)]
pub struct Lengths {
    free_visits: u64,
}

/// What the bytes pay for that stand in front of each value, such as a statement's id.
const EACH_FREE: u64 = 4 * walk::DEPTH_MAX as u64;

impl Default for Lengths {
    fn default() -> Self {
        Self {
            free_visits: walk::FREE_VISITS,
        }
    }
}

impl Lengths {
    /// How long the value of type `ty` is that `bytes` begin with. Nothing is allocated or copied.
    ///
    /// # Errors
    /// [`ValueError`], if they begin with none.
    pub fn of_first(&mut self, ty: &Type, bytes: &[u8]) -> Result<usize, ValueError> {
        let mut walk = Walk::with_free_visits(bytes, Skip, self.free_visits + EACH_FREE);
        walk.value(ty)?;
        self.free_visits = self.free_visits.min(walk.free_visits_left());
        Ok(walk.offset())
    }
}

/// Appends a record as its statement's format string wants to have it read.
///
/// `$name` stands for a field, `$0`, `$1`, … for the fields in order, `$$` for a dollar sign; a `$` before anything
/// else stands for itself. If `$0` is all the format asks of a record of several named fields, it is the record: that is
/// how a single argument of a structure type arrives. Texts, dates and names of cases appear as they are, other values
/// as JSON. Without a format, the value itself appears.
///
/// # Errors
/// [`ValueError`]; `out` is then as it was before.
pub fn format_text(definition: &Definition, payload: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let before = out.len();
    let written = write_format(definition, payload, out);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

fn write_format(definition: &Definition, payload: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let ty = &definition.payload_type;
    if definition.format.is_empty() {
        return write_value(ty, payload, out, Json::bare).map(drop);
    }
    let arguments = Arguments::of(definition, payload)?;
    for piece in Pieces(&definition.format) {
        match piece {
            Piece::Words(words) => out.extend_from_slice(words.as_bytes()),
            Piece::Placeholder(placeholder) => match arguments.find(&placeholder[1..]) {
                Some((ty, range)) => write_value(ty, &payload[range], out, Json::bare).map(drop)?,
                None => out.extend_from_slice(placeholder.as_bytes()),
            },
        }
    }
    Ok(())
}

fn write_value<'o>(
    ty: &Type,
    payload: &[u8],
    out: &'o mut Vec<u8>,
    sink: fn(&'o mut Vec<u8>) -> Json<'o>,
) -> Result<Outcome, ValueError> {
    let mut walk = Walk::new(payload, sink(out));
    let walked = walk.value(ty).and_then(|()| walk.end());
    let json = walk.into_sink();
    match walked {
        Ok(()) => Ok(json.outcome()),
        Err(error) => {
            json.undo();
            Err(error)
        }
    }
}

/// What the placeholders of a format may stand for.
struct Arguments<'d> {
    payload_type: &'d Type,
    payload_len: usize,
    /// The fields, if the payload is a record and not itself the one argument.
    fields: Vec<(&'d Field, Range<usize>)>,
}

impl<'d> Arguments<'d> {
    fn of(definition: &'d Definition, payload: &[u8]) -> Result<Self, ValueError> {
        let mut walk = Walk::new(payload, Skip);
        let mut found = Vec::new();
        match &definition.payload_type {
            Type::Record(fields) if !is_single_argument(fields, &definition.format) => {
                for field in fields {
                    let start = walk.offset();
                    walk.value(&field.holds)?;
                    found.push((field, start..walk.offset()));
                }
            }
            other => walk.value(other)?,
        }
        walk.end()?;
        Ok(Self {
            payload_type: &definition.payload_type,
            payload_len: payload.len(),
            fields: found,
        })
    }

    fn find(&self, wanted: &str) -> Option<(&'d Type, Range<usize>)> {
        if self.fields.is_empty() {
            return (wanted == "0").then_some((self.payload_type, 0..self.payload_len));
        }
        let named = self.fields.iter().find(|(field, _)| field.name == wanted);
        let found = named.or_else(|| self.fields.get(wanted.parse::<usize>().ok()?));
        found.map(|(field, range)| (&field.holds, range.clone()))
    }
}

fn is_single_argument(fields: &[Field], format: &str) -> bool {
    let mut placeholders = Pieces(format)
        .filter(|piece| matches!(piece, Piece::Placeholder(_)))
        .peekable();
    fields.len() > 1
        && fields.iter().all(|field| !field.name.starts_with('.'))
        && placeholders.peek().is_some()
        && placeholders.all(|piece| piece == Piece::Placeholder("$0"))
}

/// A part of a format string.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'f> {
    Words(&'f str),
    /// With its dollar sign, and at least one character after it.
    Placeholder(&'f str),
}

/// The parts of a format string, in order.
struct Pieces<'f>(&'f str);

impl<'f> Iterator for Pieces<'f> {
    type Item = Piece<'f>;

    fn next(&mut self) -> Option<Piece<'f>> {
        let rest = self.0;
        let Some(after) = rest.strip_prefix('$') else {
            let words = &rest[..rest.find('$').unwrap_or(rest.len())];
            self.0 = &rest[words.len()..];
            return (!words.is_empty()).then_some(Piece::Words(words));
        };
        if let Some(rest) = after.strip_prefix('$') {
            self.0 = rest;
            return Some(Piece::Words("$"));
        }
        let is_number = after.starts_with(|first: char| first.is_ascii_digit());
        let belongs = |character: char| {
            character.is_ascii_digit() || !is_number && (character.is_alphanumeric() || character == '_')
        };
        let length = after.find(|character: char| !belongs(character)).unwrap_or(after.len());
        let (piece, rest) = rest.split_at(1 + length);
        self.0 = rest;
        Some(if length == 0 {
            Piece::Words(piece)
        } else {
            Piece::Placeholder(piece)
        })
    }
}

#[cfg(test)]
mod tests;
