//! Which Rust values can be logged: numbers, texts, arrays, options, and references to them.
//!
//! Slices of numbers are written at once: one check for all, and one copy.

use super::{Bytes, Output, Text, Value, depth_above};
use crate::types::Type;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of the count before an array's elements.
const COUNT_BYTES: usize = size_of::<u64>();

/// Bytes of the number of a sum's or a variant's case.
const CASE_BYTES: usize = size_of::<u32>();

#[inline]
fn put_case(case: u32, out: &mut Output<'_>) {
    out.put(&case.to_le_bytes());
}

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
    ($($number:ty as $wire:ty => $name:ident $(of depth $depth:literal)?),* $(,)?) => {$(
        impl Value for $number {
            $(const DEPTH: usize = $depth;)?

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
    i8 as i8 => sbyte of depth 2,
    i16 as i16 => short,
    u16 as u16 => ushort of depth 2,
    i32 as i32 => int,
    u32 as u32 => uint of depth 2,
    i64 as i64 => long,
    u64 as u64 => ulong of depth 2,
    isize as i64 => long,
    usize as u64 => ulong of depth 2,
    i128 as i128 => int128,
    u128 as u128 => uint128 of depth 2,
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
            const DEPTH: usize = 2;

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
    const DEPTH: usize = depth_above(&[T::DEPTH]);

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
    const DEPTH: usize = <[T]>::DEPTH;

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
    const DEPTH: usize = depth_above(&[T::DEPTH]);

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

/// As the original has it: a sum of `unit` and `T`, whose cases have no names.
impl<T: Value> Value for Option<T> {
    const DEPTH: usize = depth_above(&[T::DEPTH]);

    fn value_type() -> Type {
        Type::sum([Type::unit(), T::value_type()])
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        CASE_BYTES + self.as_ref().map_or(0, T::encoded_len)
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) {
        put_case(u32::from(self.is_some()), out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

/// What only points at a value is logged as that value.
macro_rules! pointer_values {
    ($([$($parameters:tt)*] $pointer:ty => $target:ident;)*) => {$(
        impl<$($parameters)*> Value for $pointer {
            const DEPTH: usize = $target::DEPTH;

            fn value_type() -> Type {
                $target::value_type()
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
    )*};
}

pointer_values! {
    [T: Value + ?Sized] &T => T;
    [T: Value + ?Sized] &mut T => T;
    [T: Value + ?Sized] Box<T> => T;
    [T: Value + ?Sized] Rc<T> => T;
    [T: Value + ?Sized] Arc<T> => T;
    [T: Value + ToOwned + ?Sized] Cow<'_, T> => T;
}
