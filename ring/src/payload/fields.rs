//! Tuples: values themselves, and the arguments of records.

use super::{Fields, Output, Payload, Value, depth_above};
use crate::types::{Field, Type};

/// The type of a record whose arguments have `types`, and `names` as [`Fields::payload_type`] has them.
///
/// # Panics
/// When `names` is neither empty nor as long as `types`.
#[must_use]
pub fn type_of_arguments(types: Vec<Type>, names: &[&str]) -> Type {
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
        type_of_arguments(Vec::new(), names)
    }
}

impl Payload for () {
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
            const DEPTH: usize = depth_above(&[$($element::DEPTH),+]);

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
                type_of_arguments(vec![$($element::value_type()),+], names)
            }
        }

        impl<$($element: Value),+> Payload for ($($element,)+) {
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
