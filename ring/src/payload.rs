//! Rust values as payloads: packed, little-endian, described by a [`Type`].
//!
//! [`Value`] is one value, [`Fields`] the arguments of one record, [`Payload`] the bytes that they become. All say their
//! exact length first, so that a record is reserved in the ring once and then written in place, without a buffer between.
//! The encoding is that of `docs/FORMATS.md` section 4.
//!
//! The format knows no unsigned integers above `byte`, and no signed byte, but it lets a type have another name. So `u32`
//! is logged as `uint`, which is `int` in bytes: readers that know the name print what was meant, all others print it as
//! signed, as they always did. Names and widths stand in [`types`](crate::types).
//!
//! Structs and enums become values by `#[derive(Value)]`. A type that contains itself is refused when it is compiled, since
//! its description would never end: see [`Value::DEPTH`].

mod fields;
mod values;

use crate::types::{TYPE_DEPTH_MAX, Type};

pub use fields::type_of_arguments;
#[cfg(feature = "derive")]
pub use hog_ring_derive::Value;

/// A place of known size that is filled from its beginning.
///
/// Values write exactly as much as their `encoded_len` said. One that writes more is a mistake in this program, not in
/// its input, and panics.
#[derive(Debug)]
pub struct Output<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

impl<'a> Output<'a> {
    /// Will fill `bytes`.
    #[inline]
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, written: 0 }
    }

    /// Appends `piece`.
    ///
    /// # Panics
    /// When it does not fit.
    #[inline]
    pub fn put(&mut self, piece: &[u8]) {
        self.reserve(piece.len()).copy_from_slice(piece);
    }

    /// How many bytes were appended.
    #[inline]
    pub fn written(&self) -> usize {
        self.written
    }

    /// The next `length` bytes, for the caller to fill.
    #[inline]
    fn reserve(&mut self, length: usize) -> &mut [u8] {
        let free = &mut self.bytes[self.written..];
        assert!(length <= free.len(), "a value wrote more than its encoded length");
        self.written += length;
        &mut free[..length]
    }
}

/// A value that can be logged.
///
/// `encode` writes exactly `encoded_len` bytes, and they are a value of `value_type`. Structs and enums derive it:
///
/// ```
/// use hog_ring::Value;
///
/// #[derive(Value)]
/// enum Side {
///     Buy,
///     Sell,
/// }
///
/// #[derive(Value)]
/// struct Order<'a> {
///     symbol: &'a str,
///     side: Side,
///     legs: Vec<(u32, f64)>,
///     limit: Option<f64>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be logged",
    label = "no value that hog knows how to log",
    note = "for structs and enums of your own: `#[derive(hog_ring::Value)]`; anything else can be logged as text"
)]
pub trait Value {
    /// How many constructors deep [`Self::value_type`] is. The compiler works it out, and so refuses a type that contains
    /// itself, whose `value_type` would never return. The default is right for a primitive.
    const DEPTH: usize = 1;

    /// The type that readers are told.
    fn value_type() -> Type;

    /// How many bytes `encode` will write.
    fn encoded_len(&self) -> usize;

    /// Writes the value.
    fn encode(&self, out: &mut Output<'_>);

    /// How many bytes `encode_slice` will write for these items.
    #[inline]
    fn encoded_len_of_slice(items: &[Self]) -> usize
    where
        Self: Sized,
    {
        items.iter().map(Self::encoded_len).sum()
    }

    /// Writes items one after the other, without a count. A type whose values all have one length does it faster than
    /// one by one.
    #[inline]
    fn encode_slice(items: &[Self], out: &mut Output<'_>)
    where
        Self: Sized,
    {
        for item in items {
            item.encode(out);
        }
    }
}

/// The bytes that a record carries.
pub trait Payload {
    /// How many bytes `encode` will write.
    fn encoded_len(&self) -> usize;

    /// Writes the payload.
    fn encode(&self, out: &mut Output<'_>);
}

/// A payload that is encoded already.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a>(pub &'a [u8]);

impl Payload for Packed<'_> {
    #[inline]
    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) {
        out.put(self.0);
    }
}

/// The arguments of a record: a tuple of none to twelve values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the arguments of a record",
    note = "a record's arguments are a tuple of none to twelve values; that of a single one is `(value,)`"
)]
pub trait Fields: Payload {
    /// How many there are.
    const COUNT: usize;

    /// The type of the record's payload. `names` is empty, or has a name for each argument, `""` for none: no argument
    /// makes `unit`; one without a name its own type; otherwise a record.
    ///
    /// # Panics
    /// When `names` is neither empty nor [`Self::COUNT`] long.
    fn payload_type(names: &[&str]) -> Type;
}

/// The depth of a type that is made of types of these depths.
///
/// # Panics
/// When that is deeper than a type may be; in a constant, as all depths are, this is a compile error.
#[must_use]
pub const fn depth_above(inner: &[usize]) -> usize {
    let mut deepest = 0;
    let mut place = 0;
    while place < inner.len() {
        if inner[place] > deepest {
            deepest = inner[place];
        }
        place += 1;
    }
    assert!(deepest < TYPE_DEPTH_MAX, "a type to be logged nests too deeply");
    deepest + 1
}

/// Bytes that are text, whether or not they are UTF-8: `[char]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

/// Bytes that are not text: `[byte]`. Each is a number to those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);
