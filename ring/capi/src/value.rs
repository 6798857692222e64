//! Fields and values: what the arguments of a record may be in C, and the payload that they make.
//!
//! A value carries its type, and a record is logged only if the types of its values are those of its statement's fields,
//! in order. So what is logged is always a payload of the type that readers are told, whatever a program does.

use crate::outcome::{Failure, Outcome, argument, misuse};
use crate::pointer;
use hog_ring::payload::{Output, Payload, Text, Value};
use hog_ring::types::Type;
use std::ffi::{c_char, c_void};

/// True or false.
pub const HOG_BOOL: u32 = 1;
/// A signed integer of 8 bits.
pub const HOG_I8: u32 = 2;
/// A signed integer of 16 bits.
pub const HOG_I16: u32 = 3;
/// A signed integer of 32 bits.
pub const HOG_I32: u32 = 4;
/// A signed integer of 64 bits.
pub const HOG_I64: u32 = 5;
/// An unsigned integer of 8 bits.
pub const HOG_U8: u32 = 6;
/// An unsigned integer of 16 bits.
pub const HOG_U16: u32 = 7;
/// An unsigned integer of 32 bits.
pub const HOG_U32: u32 = 8;
/// An unsigned integer of 64 bits.
pub const HOG_U64: u32 = 9;
/// A float of 32 bits.
pub const HOG_F32: u32 = 10;
/// A float of 64 bits.
pub const HOG_F64: u32 = 11;
/// Text: bytes, by convention UTF-8.
pub const HOG_TEXT: u32 = 12;
/// Bytes that are no text: readers see numbers.
pub const HOG_BYTES: u32 = 13;
/// A time: microseconds since 1970.
pub const HOG_TIME: u32 = 14;

/// A field of a statement.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hog_field {
    /// Its name, by which the format may ask for it; NULL for none.
    pub name: *const c_char,
    /// HOG_BOOL to HOG_TIME.
    pub kind: u32,
}

/// Bytes of the program.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hog_bytes {
    /// The first; NULL only if there are none.
    pub data: *const c_void,
    /// How many.
    pub length: usize,
}

/// What a value is, by its kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub union hog_content {
    /// HOG_I8 to HOG_I64, and HOG_TIME.
    pub i: i64,
    /// HOG_U8 to HOG_U64; HOG_BOOL: 0 is false, anything else true.
    pub u: u64,
    /// HOG_F32 and HOG_F64.
    pub f: f64,
    /// HOG_TEXT and HOG_BYTES.
    pub bytes: hog_bytes,
}

/// A value to be logged. Make it by the function of its kind: hog_bool, hog_i64, hog_text and so on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hog_value {
    /// HOG_BOOL to HOG_TIME.
    pub kind: u32,
    /// The value itself.
    pub content: hog_content,
}

/// The type that readers are told of a field of this kind.
pub(crate) fn type_of(kind: u32) -> Outcome<Type> {
    Ok(match kind {
        HOG_BOOL => bool::value_type(),
        HOG_I8 => i8::value_type(),
        HOG_I16 => i16::value_type(),
        HOG_I32 => i32::value_type(),
        HOG_I64 => i64::value_type(),
        HOG_U8 => u8::value_type(),
        HOG_U16 => u16::value_type(),
        HOG_U32 => u32::value_type(),
        HOG_U64 => u64::value_type(),
        HOG_F32 => f32::value_type(),
        HOG_F64 => f64::value_type(),
        HOG_TEXT => Text::value_type(),
        HOG_BYTES => <[u8]>::value_type(),
        HOG_TIME => Type::datetime(),
        other => return Err(argument(format!("there is no kind of field with the number {other}"))),
    })
}

/// The values of one record, which fit its statement.
pub(crate) struct Values<'a> {
    values: &'a [hog_value],
    /// What they take together, in bytes: worked out once, asked for several times.
    encoded_len: usize,
}

impl<'a> Values<'a> {
    /// Holds `values` against the kinds that the statement wants.
    ///
    /// # Safety
    /// Where a value is HOG_TEXT or HOG_BYTES, its pointer is null or points at as many bytes as it says, which nobody
    /// changes during `'a`.
    pub(crate) unsafe fn fitting(values: &'a [hog_value], kinds: &[u32]) -> Outcome<Values<'a>> {
        if values.len() != kinds.len() {
            return Err(wrong_count(values.len(), kinds.len()));
        }
        let mut encoded_len: usize = 0;
        for (place, (value, kind)) in values.iter().zip(kinds).enumerate() {
            if value.kind != *kind {
                return Err(wrong_kind(place, value.kind, *kind));
            }
            let len = match width(value.kind) {
                Some(width) => width,
                None => {
                    // SAFETY: the kind says which content the caller stored.
                    let hog_bytes { data, length } = unsafe { value.content.bytes };
                    // SAFETY: the caller's word; what cannot be is refused here.
                    let bytes = unsafe { pointer::bytes(data, length, "a text's or bytes' data") }?;
                    size_of::<u64>() + bytes.len()
                }
            };
            // Texts may overlap, and so be longer together than memory: as long a record is refused further on.
            encoded_len = encoded_len.saturating_add(len);
        }
        Ok(Values { values, encoded_len })
    }
}

#[cold]
fn wrong_count(found: usize, expected: usize) -> Failure {
    misuse(format!("{found} values for a statement of {expected} fields"))
}

#[cold]
fn wrong_kind(place: usize, found: u32, expected: u32) -> Failure {
    misuse(format!(
        "value {place} is of kind {found}, and its field of kind {expected}"
    ))
}

/// How many bytes a value of `kind` takes, if all take as many.
const fn width(kind: u32) -> Option<usize> {
    match kind {
        HOG_BOOL | HOG_I8 | HOG_U8 => Some(1),
        HOG_I16 | HOG_U16 => Some(2),
        HOG_I32 | HOG_U32 | HOG_F32 => Some(4),
        HOG_I64 | HOG_U64 | HOG_F64 | HOG_TIME => Some(8),
        _ => None,
    }
}

impl Payload for Values<'_> {
    #[inline]
    fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) {
        for value in self.values {
            // SAFETY: every bit pattern is a number, and 8 bytes were stored for each kind but text and bytes, 16 for those.
            let (number, float) = unsafe { (value.content.u, value.content.f) };
            match value.kind {
                HOG_BOOL => u8::from(number != 0).encode(out),
                HOG_I64 | HOG_U64 | HOG_F64 | HOG_TIME => number.encode(out),
                // Memory is little-endian, so the lowest bytes of a number are the narrower one.
                HOG_I32 | HOG_U32 => out.put(&number.to_le_bytes()[..4]),
                HOG_I16 | HOG_U16 => out.put(&number.to_le_bytes()[..2]),
                HOG_I8 | HOG_U8 => out.put(&number.to_le_bytes()[..1]),
                HOG_F32 => narrow(float).encode(out),
                _ => Text(bytes_of(value)).encode(out),
            }
        }
    }
}

/// The bytes of a text or of bytes.
fn bytes_of(value: &hog_value) -> &[u8] {
    // SAFETY: the kind was looked at by the caller, and says that these are what was stored.
    let hog_bytes { data, length } = unsafe { value.content.bytes };
    if length == 0 {
        return &[];
    }
    // SAFETY: `Values::fitting` was promised that they are there, and found the pointer not null.
    unsafe { std::slice::from_raw_parts(data.cast(), length) }
}

/// What a C program made a double of is a float again, without loss.
#[allow(clippy::cast_possible_truncation)]
fn narrow(float: f64) -> f32 {
    float as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(kind: u32, i: i64) -> hog_value {
        hog_value {
            kind,
            content: hog_content { i },
        }
    }

    fn text(text: &str) -> hog_value {
        let bytes = hog_bytes {
            data: text.as_ptr().cast(),
            length: text.len(),
        };
        hog_value {
            kind: HOG_TEXT,
            content: hog_content { bytes },
        }
    }

    fn payload(values: &[hog_value]) -> Vec<u8> {
        let kinds: Vec<u32> = values.iter().map(|value| value.kind).collect();
        // SAFETY: the texts are of the test.
        let Ok(values) = (unsafe { Values::fitting(values, &kinds) }) else {
            panic!("they fit")
        };
        let mut bytes = vec![0xAA; values.encoded_len()];
        let mut out = Output::new(&mut bytes);
        values.encode(&mut out);
        assert_eq!(out.written(), values.encoded_len());
        bytes
    }

    #[test]
    fn values_are_encoded_as_those_of_rust_are() {
        let values = [
            signed(HOG_I8, -1),
            signed(HOG_I16, -2),
            signed(HOG_I32, -3),
            signed(HOG_I64, -4),
            signed(HOG_BOOL, 256),
            text("hog"),
            text(""),
        ];
        let mut expected = vec![0; 1 + 2 + 4 + 8 + 1 + 8 + 3 + 8];
        let mut out = Output::new(&mut expected);
        Value::encode(&(-1i8, -2i16, -3i32, -4i64, true, "hog", ""), &mut out);
        assert_eq!(payload(&values), expected);
        let float = hog_value {
            kind: HOG_F32,
            content: hog_content { f: f64::from(0.1f32) },
        };
        assert_eq!(payload(&[float]), 0.1f32.to_le_bytes());
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let refused = |values: &[hog_value], kinds: &[u32]| {
            // SAFETY: the texts are null or of the test.
            unsafe { Values::fitting(values, kinds) }.is_err()
        };
        assert!(refused(&[signed(HOG_I8, 0)], &[]));
        assert!(refused(&[signed(HOG_I8, 0)], &[HOG_U8]));
        let nowhere = hog_bytes {
            data: std::ptr::null(),
            length: 1,
        };
        let value = hog_value {
            kind: HOG_BYTES,
            content: hog_content { bytes: nowhere },
        };
        assert!(refused(&[value], &[HOG_BYTES]));
        assert!(type_of(0).is_err() && type_of(15).is_err());
    }

    #[test]
    fn each_kind_has_the_width_of_its_type() {
        let widths = [1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8];
        for (kind, expected) in (HOG_BOOL..=HOG_F64).zip(widths) {
            assert_eq!((width(kind), type_of(kind).is_ok()), (Some(expected), true));
        }
        assert_eq!(
            (width(HOG_TEXT), width(HOG_BYTES), width(HOG_TIME)),
            (None, None, Some(8))
        );
    }
}
