//! What an original receiver is told of a stream's statements: which of them it can take, under what names, and the init
//! with which a connection begins.
//!
//! The original makes a file of its own out of what it is told: each statement becomes a series of that name, with a type
//! that it must know how to store, and the names go into source code that it compiles. A name or a type that it cannot take ends its
//! session, with all that was to come. So names are made such that it takes them, which loses nothing; a statement of a type that
//! it cannot take is left out, and its records with it, which somebody has to be told.

use crate::formats::classic::statements::{Commit, Declaration, DeclarationError, Quality, Statements};
use hog_ring::limits::{DEFINITION_MAX, DEFINITIONS_MAX};
use hog_ring::statement::{Definition, flags};
use hog_ring::types::Type;
use std::collections::{BTreeMap, HashSet};

/// What a statement may cost beyond its definition in a ring: a longer name.
const RENAMING_BYTES: usize = 16;

/// Primitives that the original stores. Each is what it is by its name.
const PRIMITIVES: [&str; 10] = [
    "unit", "bool", "byte", "char", "short", "int", "long", "int128", "float", "double",
];

/// Words that mean something in the original's language, and the series that it makes besides those of statements.
const TAKEN: [&str; 31] = [
    "and",
    "case",
    "class",
    "data",
    "default",
    "do",
    "else",
    "exists",
    "false",
    "fn",
    "if",
    "import",
    "in",
    "instance",
    "let",
    "log",
    "match",
    "matches",
    "module",
    "not",
    "of",
    "option",
    "or",
    "parse",
    "return",
    "statements",
    "then",
    "transactions",
    "true",
    "type",
    "where",
];

/// The statements of one stream, by id, as the original is told of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Announced {
    by_id: BTreeMap<u32, Definition>,
    bytes: usize,
}

impl Announced {
    /// Adds the statement, or has it take the place of what had its id.
    ///
    /// # Errors
    /// In words, why the original cannot take it. Nothing has that id then.
    pub(super) fn add(&mut self, definition: &Definition) -> Result<(), String> {
        self.remove(definition.id);
        takes(&definition.payload_type)?;
        let cost = cost_of(definition);
        if cost > DEFINITION_MAX || self.bytes + cost > DEFINITIONS_MAX {
            return Err("the definitions of its stream take more than an init may have".to_owned());
        }
        self.bytes += cost;
        self.by_id.insert(definition.id, definition.clone());
        Ok(())
    }

    /// Forgets the statement with that id.
    pub(super) fn remove(&mut self, id: u32) {
        if let Some(old) = self.by_id.remove(&id) {
            self.bytes -= cost_of(&old);
        }
    }

    /// What has that id.
    pub(super) fn get(&self, id: u32) -> Option<&Definition> {
        self.by_id.get(&id)
    }

    /// Whether anything has an id below `floor`.
    pub(super) fn has_below(&self, floor: u32) -> bool {
        self.by_id.range(..floor).next().is_some()
    }

    /// Forgets what is below `floor`.
    pub(super) fn forget_below(&mut self, floor: u32) {
        self.by_id = self.by_id.split_off(&floor);
        self.bytes = self.by_id.values().map(cost_of).sum();
    }

    /// The init, uncompressed. It is the same for the same statements.
    ///
    /// # Errors
    /// When the statements are more than an init may have, which [`Announced::add`] does not let happen.
    pub(super) fn init(&self) -> Result<Vec<u8>, DeclarationError> {
        let mut names = HashSet::new();
        let named = |definition: &Definition| Definition {
            name: name_for(&definition.name, &mut names),
            flags: definition.flags & flags::HLOG,
            ..definition.clone()
        };
        let mut list: Vec<_> = self.by_id.values().map(named).collect();
        list.sort_by(|one, other| one.name.cmp(&other.name));
        let declaration = Declaration {
            quality: Quality::Reliable,
            commit: Commit::Manual,
            statements: Statements::new(list)?,
        };
        let mut init = Vec::new();
        declaration.encode_init(&mut init);
        Ok(init)
    }
}

fn cost_of(definition: &Definition) -> usize {
    let mut encoded = Vec::new();
    definition.encode(&mut encoded);
    encoded.len() + RENAMING_BYTES
}

/// A name like `name` that the original can take, and that is none of `names`; it is one of them then.
fn name_for(name: &str, names: &mut HashSet<String>) -> String {
    let keep = |character: char| {
        if character.is_ascii_alphanumeric() || character == '_' {
            character
        } else {
            '_'
        }
    };
    let mut plain: String = name.chars().map(keep).collect();
    if !plain.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        plain.insert_str(0, "s_");
    }
    if TAKEN.contains(&plain.as_str()) {
        plain.push('_');
    }
    let mut unique = plain.clone();
    for number in 2.. {
        if names.insert(unique.clone()) {
            break;
        }
        unique = format!("{plain}_{number}");
    }
    unique
}

/// Whether the original can store values of this type.
///
/// # Errors
/// In words, why not.
fn takes(kind: &Type) -> Result<(), String> {
    match kind {
        Type::Primitive {
            name,
            representation: None,
        } if PRIMITIVES.contains(&name.as_str()) => Ok(()),
        Type::Primitive {
            name,
            representation: None,
        } => Err(format!("it does not know the type {name:?}")),
        Type::Primitive {
            name,
            representation: Some(represents),
        } => takes_alias(name, represents),
        Type::Array(element) | Type::FixedArray { element, .. } => takes(element),
        Type::Record(fields) => fields.iter().try_for_each(|field| takes(&field.holds)),
        Type::Variant(cases) if cases.is_empty() => Err("it does not know variants without cases".to_owned()),
        Type::Variant(cases) => cases.iter().try_for_each(|case| takes(&case.holds)),
        Type::Application { function, arguments } => match (function.as_ref(), arguments.as_slice()) {
            (Type::Primitive { name, .. }, [represents, Type::Variant(cases)])
                if name == "penum" && is_integer(represents) && cases.iter().all(|case| is_unit(&case.holds)) =>
            {
                Ok(())
            }
            _ => Err("it does not know generic types but packed enumerations".to_owned()),
        },
        Type::Variable(_) | Type::Number(_) | Type::Abstraction { .. } => {
            Err("its type is not that of a value".to_owned())
        }
    }
}

fn takes_alias(name: &str, represents: &Type) -> Result<(), String> {
    match represents {
        Type::Primitive {
            name: inner,
            representation: Some(represents),
        } => takes_alias(inner, represents),
        Type::Primitive { .. } => takes(represents),
        _ => Err(format!(
            "it cannot store {name:?}, another name for what is no primitive type"
        )),
    }
}

fn is_integer(kind: &Type) -> bool {
    ["byte", "char", "short", "int", "long"]
        .iter()
        .any(|name| kind.is_primitive(name))
}

fn is_unit(kind: &Type) -> bool {
    kind.is_primitive("unit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(id: u32, name: &str, payload_type: Type) -> Definition {
        Definition {
            id,
            name: name.to_owned(),
            flags: flags::HLOG | flags::LINE,
            format: "$0".to_owned(),
            file: "here".to_owned(),
            line: 7,
            payload_type,
        }
    }

    fn init_of(announced: &Announced) -> Declaration {
        Declaration::of_init(&announced.init().unwrap()).unwrap()
    }

    #[test]
    fn an_init_has_the_ids_of_the_stream_and_names_that_the_original_takes_each_once() {
        let mut announced = Announced::default();
        let names = ["line", "line", "log", "a.b/c \"x\"", "7up", "", "of"];
        for (id, name) in (5..).zip(names) {
            announced.add(&definition(id, name, Type::text())).unwrap();
        }
        let init = init_of(&announced);
        let found: Vec<_> = init
            .statements
            .all()
            .iter()
            .map(|one| (one.name.as_str(), one.id))
            .collect();
        let expected = [
            ("a_b_c__x_", 8),
            ("line", 5),
            ("line_2", 6),
            ("log_", 7),
            ("of_", 11),
            ("s_", 10),
            ("s_7up", 9),
        ];
        assert_eq!(found, expected);
        assert!(init.statements.all().iter().all(|one| one.flags == flags::HLOG));
        assert_eq!((init.quality, init.commit), (Quality::Reliable, Commit::Manual));
    }

    #[test]
    fn types_that_the_original_cannot_store_are_refused_alone() {
        let mut announced = Announced::default();
        let generic = Type::Application {
            function: Box::new(Type::primitive("pair")),
            arguments: vec![Type::int()],
        };
        let refused = [
            Type::alias("name", Type::text()),
            Type::array(Type::alias("pair", Type::tuple([Type::int(), Type::int()]))),
            Type::primitive("complex"),
            generic,
            Type::tuple([Type::Number(3)]),
        ];
        for kind in refused {
            assert!(announced.add(&definition(1, "bad", kind.clone())).is_err(), "{kind:?}");
        }
        assert!(announced.get(1).is_none());
        let taken = [
            Type::datetime(),
            Type::uint(),
            Type::sum([Type::unit(), Type::int128()]),
            Type::record([("a", Type::text()), ("b", Type::fixed_array(Type::double(), 3))]),
            Type::variant([("Red", Type::unit()), ("Green", Type::unit())]),
        ];
        for (id, kind) in (2..).zip(taken) {
            announced.add(&definition(id, "good", kind)).unwrap();
        }
        assert_eq!(init_of(&announced).statements.all().len(), 5);
    }

    #[test]
    fn no_more_definitions_are_announced_than_an_init_may_have() {
        let mut announced = Announced::default();
        let long = "x".repeat(12 << 10);
        let added = (1..200)
            .filter(|id| announced.add(&definition(*id, &long, Type::int())).is_ok())
            .count();
        assert!((70..100).contains(&added), "{added}");
        announced.init().unwrap();
        assert!(announced.has_below(50) && !announced.has_below(1));
        announced.forget_below(50);
        announced.add(&definition(300, &long, Type::int())).unwrap();
    }
}
