//! How long values are whose types say so nearly by themselves: numbers, texts, and what is put together of these one after the other. Most statements
//! declare nothing else, and of them the length is a few additions, where a [walk](super::walk) goes through the type again for each value.
//!
//! A plan is made once for a type and says of each value what a walk would. Of other types there is none, and where a value is cut short it says
//! nothing: the walk knows why.

use hog_ring::types::Type;

use super::walk::{is_enumeration, named_by, width_of};

/// Types deeper than that have no plan.
const DEPTH_MAX: usize = 16;
/// Nor have those with more parts: the longest plan costs no more than the statement's id in front of a value pays for.
const PARTS_MAX: usize = 256;
/// Nor have those whose values have more bytes of fixed length, which nobody can log.
const FIXED_MAX: u64 = 1 << 24;

/// How to find the length of a value of a certain type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of fixed length in front of a count, and how many bytes each that is counted takes.
    counted: Vec<(usize, u64)>,
    /// Bytes of fixed length behind all of that.
    rest: usize,
    parts: usize,
}

impl Plan {
    /// For values of type `ty`; `None`: they must be walked through.
    #[must_use]
    pub fn of(ty: &Type) -> Option<Plan> {
        let mut plan = Plan::default();
        plan.add(ty, 1)?;
        Some(plan)
    }

    /// How long the value is that `bytes` begin with; `None` if they end before it does.
    #[inline]
    #[must_use]
    pub fn length(&self, bytes: &[u8]) -> Option<usize> {
        let mut left = bytes;
        for (before, width) in &self.counted {
            let (count, behind) = left.get(*before..)?.split_first_chunk()?;
            let taken = u64::from_le_bytes(*count).checked_mul(*width)?;
            left = behind.get(usize::try_from(taken).ok()?..)?;
        }
        let left = left.get(self.rest..)?;
        Some(bytes.len() - left.len())
    }

    fn add(&mut self, ty: &Type, depth: usize) -> Option<()> {
        self.parts += 1;
        if depth > DEPTH_MAX || self.parts > PARTS_MAX {
            return None;
        }
        match ty {
            Type::Primitive {
                name,
                representation: None,
            } if name == "unit" => Some(()),
            Type::Primitive {
                representation: None, ..
            } => self.add_fixed(width_of(ty)?),
            Type::Primitive {
                representation: Some(representation),
                ..
            } => self.add(representation, depth + 1),
            Type::Array(element) => {
                let width = width_of(named_by(element))?;
                self.counted.push((std::mem::take(&mut self.rest), width));
                Some(())
            }
            Type::FixedArray { element, length } => self.add_fixed(width_of(named_by(element))?.checked_mul(*length)?),
            Type::Variant(cases) if is_enumeration(cases) => self.add_fixed(size_of::<u32>() as u64),
            Type::Record(fields) => fields.iter().try_for_each(|field| self.add(&field.holds, depth + 1)),
            _ => None,
        }
    }

    fn add_fixed(&mut self, bytes: u64) -> Option<()> {
        let sum = (self.rest as u64).checked_add(bytes).filter(|sum| *sum <= FIXED_MAX)?;
        self.rest = usize::try_from(sum).ok()?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::value::Lengths;
    use hog_ring::types::{Case, Field};
    use proptest::prelude::*;

    fn case(name: &str, id: u32, holds: Type) -> Case {
        let name = name.to_owned();
        Case { name, id, holds }
    }

    fn types() -> Vec<Type> {
        let pair = Type::tuple([Type::text(), Type::long()]);
        let fixed = |element, length| Type::FixedArray {
            element: Box::new(element),
            length,
        };
        vec![
            Type::unit(),
            Type::long(),
            Type::text(),
            pair.clone(),
            Type::Array(Box::new(Type::int())),
            Type::Record(vec![
                Field::new("a", Type::int()),
                Field::new("b", Type::Array(Box::new(Type::double()))),
                Field::new("c", Type::text()),
                Field::new("d", fixed(Type::int(), 3)),
            ]),
            Type::Variant(vec![case("x", 0, Type::unit()), case("y", 7, Type::unit())]),
            Type::Variant(vec![case("x", 0, Type::unit()), case("y", 1, Type::text())]),
            Type::Array(Box::new(pair.clone())),
            fixed(pair, 2),
            fixed(Type::long(), u64::MAX / 2),
            Type::Array(Box::new(Type::unit())),
        ]
    }

    #[test]
    fn texts_and_numbers_have_plans_and_values_of_many_shapes_have_none() {
        let has_plan: Vec<_> = types().iter().map(|ty| Plan::of(ty).is_some()).collect();
        assert_eq!(
            has_plan,
            [
                true, true, true, true, true, true, true, false, false, false, false, false
            ]
        );
        let mut deep = Type::int();
        for _ in 0..DEPTH_MAX {
            deep = Type::tuple([deep]);
        }
        assert_eq!(Plan::of(&deep), None);
        assert_eq!(Plan::of(&Type::tuple(vec![Type::unit(); PARTS_MAX])), None);
    }

    fn any_type() -> impl Strategy<Value = Type> {
        let names = &[
            "unit", "bool", "byte", "char", "short", "int", "float", "long", "double", "int128", "unknown",
        ][..];
        let leaf = prop_oneof![
            12 => prop::sample::select(names).prop_map(Type::primitive),
            1 => Just(Type::Number(3)),
            1 => Just(Type::Variable("a".to_owned())),
        ];
        let aliases = &["uint", "ulong", "datetime", "char", "unit", "other"][..];
        let numbered = |held: Vec<Type>| held.into_iter().zip(0..);
        leaf.prop_recursive(5, 40, 5, move |inner| {
            let lengths = prop_oneof![4 => 0..4_u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 4)];
            let several = || prop::collection::vec(inner.clone(), 0..5);
            prop_oneof![
                3 => inner.clone().prop_map(|element| Type::Array(Box::new(element))),
                2 => (inner.clone(), lengths).prop_map(|(element, length)| Type::FixedArray { element: Box::new(element), length }),
                3 => several().prop_map(move |held| Type::Record(numbered(held).map(|(holds, id)| Field::new(id.to_string(), holds)).collect())),
                2 => several().prop_map(move |held| Type::Variant(numbered(held).map(|(holds, id)| case("case", id, holds)).collect())),
                3 => (prop::sample::select(aliases), inner.clone()).prop_map(|(name, ty)| Type::alias(name, ty)),
            ]
        })
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        // Counts are long: most of them must be small, so that there is a value.
        prop::collection::vec(prop_oneof![6 => Just(0), 3 => 0..6_u8, 1 => any::<u8>()], 0..120)
    }

    proptest! {
        #[test]
        fn a_plan_says_what_a_walk_says(bytes in any_bytes()) {
            for ty in types() {
                let Some(plan) = Plan::of(&ty) else { continue };
                prop_assert_eq!(plan.length(&bytes), Lengths::default().of_first(&ty, &bytes).ok(), "{:?}", ty);
            }
        }

        #[test]
        fn a_plan_of_any_type_says_what_a_walk_says(ty in any_type(), bytes in any_bytes()) {
            if let Some(plan) = Plan::of(&ty) {
                prop_assert_eq!(plan.length(&bytes), Lengths::default().of_first(&ty, &bytes).ok());
            }
        }
    }
}
