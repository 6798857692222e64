//! Rust values as payloads: packed, little-endian, described by a [`Type`].
//!
//! [`Value`] is one value, [`Fields`] the arguments of one record. Both say their exact length first, so that a record
//! is reserved in the ring once and then written in place, without a buffer between. The encoding is that of
//! `docs/FORMATS.md` section 4.
//!
//! The formats know no unsigned integers above `byte`: `u32` and `i32` both become `int`, and readers print them as
//! signed. `i8` becomes `byte`, which readers print as 0 to 255.

use crate::types::{Field, Type};

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
/// `encode` writes exactly `encoded_len` bytes, and they are a value of `value_type`.
pub trait Value {
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

/// The arguments of a record: a tuple of none to twelve values.
pub trait Fields {
    /// How many there are.
    const COUNT: usize;

    /// The type of the record's payload. `names` is empty, or has a name for each argument, `""` for none: no argument
    /// makes `unit`; one without a name its own type; otherwise a record.
    ///
    /// # Panics
    /// When `names` is neither empty nor [`Self::COUNT`] long.
    fn payload_type(names: &[&str]) -> Type;

    /// How many bytes `encode` will write.
    fn encoded_len(&self) -> usize;

    /// Writes the payload.
    fn encode(&self, out: &mut Output<'_>);
}

/// Bytes that are text, whether or not they are UTF-8: `[char]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

/// Bytes that are not text: `[byte]`. Each is a number to those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

/// Bytes of the count before an array's elements.
const COUNT_BYTES: usize = size_of::<u64>();

#[inline]
fn put_count(count: usize, out: &mut Output<'_>) {
    out.put(&(count as u64).to_le_bytes());
}

#[inline]
fn put_counted_bytes(bytes: &[u8], out: &mut Output<'_>) {
    put_count(bytes.len(), out);
    out.put(bytes);
}

/// Numbers: as their little-endian bytes; `$wire` is what they are widened to first.
macro_rules! number_values {
    ($($number:ty as $wire:ty => $name:ident),* $(,)?) => {$(
        impl Value for $number {
            fn value_type() -> Type {
                Type::$name()
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                size_of::<$wire>()
            }

            #[inline]
            fn encode(&self, out: &mut Output<'_>) {
                out.put(&(*self as $wire).to_le_bytes());
            }

            #[inline]
            fn encoded_len_of_slice(items: &[Self]) -> usize {
                items.len() * size_of::<$wire>()
            }

            #[inline]
            fn encode_slice(items: &[Self], out: &mut Output<'_>) {
                let places = out.reserve(Self::encoded_len_of_slice(items)).chunks_exact_mut(size_of::<$wire>());
                // One check for all; where memory is little-endian the compiler makes one copy of it.
                for (place, item) in places.zip(items) {
                    place.copy_from_slice(&(*item as $wire).to_le_bytes());
                }
            }
        }
    )*};
}

number_values! {
    u8 as u8 => byte,
    i8 as i8 => byte,
    i16 as i16 => short,
    u16 as u16 => short,
    i32 as i32 => int,
    u32 as u32 => int,
    i64 as i64 => long,
    u64 as u64 => long,
    isize as i64 => long,
    usize as u64 => long,
    i128 as i128 => int128,
    u128 as u128 => int128,
    f32 as f32 => float,
    f64 as f64 => double,
    bool as u8 => bool,
}

impl Value for () {
    fn value_type() -> Type {
        Type::unit()
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        0
    }

    #[inline]
    fn encode(&self, _out: &mut Output<'_>) {}
}

/// Counted bytes of `$type`.
macro_rules! byte_string_values {
    ($($string:ty => $type:expr, |$value:ident| $bytes:expr;)*) => {$(
        impl Value for $string {
            fn value_type() -> Type {
                $type
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                let $value = self;
                COUNT_BYTES + $bytes.len()
            }

            #[inline]
            fn encode(&self, out: &mut Output<'_>) {
                let $value = self;
                put_counted_bytes($bytes, out);
            }
        }
    )*};
}

byte_string_values! {
    str => Type::text(), |text| text.as_bytes();
    String => Type::text(), |text| text.as_bytes();
    Text<'_> => Type::text(), |text| text.0;
    Bytes<'_> => Type::array(Type::byte()), |bytes| bytes.0;
}

impl<T: Value> Value for [T] {
    fn value_type() -> Type {
        Type::array(T::value_type())
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        COUNT_BYTES + T::encoded_len_of_slice(self)
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) {
        put_count(self.len(), out);
        T::encode_slice(self, out);
    }
}

impl<T: Value> Value for Vec<T> {
    fn value_type() -> Type {
        <[T]>::value_type()
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        self.as_slice().encoded_len()
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) {
        self.as_slice().encode(out);
    }
}

impl<T: Value, const N: usize> Value for [T; N] {
    fn value_type() -> Type {
        Type::fixed_array(T::value_type(), N as u64)
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        T::encoded_len_of_slice(self)
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) {
        T::encode_slice(self, out);
    }
}

impl<T: Value + ?Sized> Value for &T {
    fn value_type() -> Type {
        T::value_type()
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        (**self).encoded_len()
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) {
        (**self).encode(out);
    }
}

/// The type of a record whose arguments have `types`, and `names` as [`Fields::payload_type`] has them.
fn payload_type_of(types: Vec<Type>, names: &[&str]) -> Type {
    assert!(
        names.is_empty() || names.len() == types.len(),
        "{} names for {} fields",
        names.len(),
        types.len()
    );
    if names.iter().all(|name| name.is_empty()) {
        return match <[Type; 1]>::try_from(types) {
            Ok([only]) => only,
            Err(types) if types.is_empty() => Type::unit(),
            Err(types) => Type::tuple(types),
        };
    }
    let field = |(position, (holds, name)): (usize, (Type, &&str))| match *name {
        "" => Field::new(format!("field{position}"), holds),
        name => Field::new(name, holds),
    };
    Type::Record(types.into_iter().zip(names).enumerate().map(field).collect())
}

impl Fields for () {
    const COUNT: usize = 0;

    fn payload_type(names: &[&str]) -> Type {
        payload_type_of(Vec::new(), names)
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        0
    }

    #[inline]
    fn encode(&self, _out: &mut Output<'_>) {}
}

macro_rules! tuple_values {
    ($($count:literal: $($element:ident $position:tt),+;)*) => {$(
        impl<$($element: Value),+> Value for ($($element,)+) {
            fn value_type() -> Type {
                Type::tuple([$($element::value_type()),+])
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                0 $(+ self.$position.encoded_len())+
            }

            #[inline]
            fn encode(&self, out: &mut Output<'_>) {
                $(self.$position.encode(out);)+
            }
        }

        impl<$($element: Value),+> Fields for ($($element,)+) {
            const COUNT: usize = $count;

            fn payload_type(names: &[&str]) -> Type {
                payload_type_of(vec![$($element::value_type()),+], names)
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                Value::encoded_len(self)
            }

            #[inline]
            fn encode(&self, out: &mut Output<'_>) {
                Value::encode(self, out);
            }
        }
    )*};
}

tuple_values! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
}
