//! What the variables of a generic type stand for, wherever such a type is gone through: for its values, for how they are stored, for their columns.
//!
//! An application of an abstraction opens a scope in which each parameter stands for the argument in its place. An argument's own variables are those
//! of the scope around the application, so that is handed back with it; otherwise a parameter could stand for itself.

use hog_ring::types::Type;

/// What the parameters of an abstraction stand for.
pub(crate) struct Scope<'t> {
    /// Their names.
    pub(crate) parameters: &'t [String],
    /// The types in their places. There may be fewer.
    pub(crate) arguments: &'t [Type],
    /// Where the arguments' own variables are to be looked up.
    pub(crate) outer: Option<&'t Scope<'t>>,
}

/// The type that the variable `name` stands for in `scope`, and the scope of its own variables; `None` if nothing binds it.
pub(crate) fn look_up<'s>(name: &str, mut scope: Option<&'s Scope<'s>>) -> Option<(&'s Type, Option<&'s Scope<'s>>)> {
    while let Some(Scope {
        parameters,
        arguments,
        outer,
    }) = scope
    {
        if let Some(position) = parameters.iter().position(|parameter| parameter == name) {
            return Some((arguments.get(position)?, *outer));
        }
        scope = *outer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_parameter_counts_and_its_argument_is_of_the_scope_around() {
        let names = ["a", "b"].map(str::to_owned);
        let (outer_types, inner_types) = ([Type::byte(), Type::short()], [Type::Variable("b".to_owned())]);
        let outer = Scope {
            parameters: &names,
            arguments: &outer_types,
            outer: None,
        };
        let inner = Scope {
            parameters: &names,
            arguments: &inner_types,
            outer: Some(&outer),
        };
        let (stands_for, around) = look_up("a", Some(&inner)).unwrap();
        assert_eq!(*stands_for, inner_types[0]);
        assert_eq!(*look_up("b", around).unwrap().0, outer_types[1]);
        // The inner `b` has no argument, and hides the outer one.
        assert!(look_up("b", Some(&inner)).is_none());
        assert!(look_up("c", Some(&inner)).is_none() && look_up("a", None).is_none());
    }
}
