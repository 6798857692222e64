//! What series are called. `hi` takes names as identifiers of its language, and three names are taken; names of statements may be anything.
//!
//! What is no letter, digit or underscore of ASCII becomes an underscore, and so does the lack of a letter at the beginning get one. Names that are taken, and
//! equal names of statements that are not alike, get the first of the endings `_2`, `_3`, … that is free. Names depend on which
//! statements a file has, and not on their order.

use hog_ring::statement::Definition;
use std::collections::BTreeSet;

/// Names that series of statements do not get.
pub const TAKEN: [&str; 3] = ["log", "statements", "transactions"];

/// Longest name, in bytes, but for its ending.
const NAME_BYTES_MAX: usize = 200;

/// Whether records of both belong into one series.
#[must_use]
pub fn are_alike(one: &Definition, other: &Definition) -> bool {
    one.name == other.name
        && one.flags == other.flags
        && one.format == other.format
        && one.payload_type == other.payload_type
}

/// The name that `hi` can say.
fn identifier(name: &str) -> String {
    let is_said = |character: &char| character.is_ascii_alphanumeric() || *character == '_';
    let mut said: String = name
        .chars()
        .take(NAME_BYTES_MAX)
        .map(|character| if is_said(&character) { character } else { '_' })
        .collect();
    if !said.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        said.insert(0, '_');
    }
    said
}

/// A name for each of `statements`, none of which are alike.
#[must_use]
pub fn names(statements: &[Definition]) -> Vec<String> {
    let mut order: Vec<usize> = (0..statements.len()).collect();
    // Names that need no ending come first, so that nobody's ending takes them.
    order.sort_by_cached_key(|place| {
        let statement = &statements[*place];
        let mut encoded = Vec::new();
        Definition {
            id: 0,
            ..statement.clone()
        }
        .encode(&mut encoded);
        (identifier(&statement.name) != statement.name, encoded)
    });
    let mut given: BTreeSet<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
    let mut names = vec![String::new(); statements.len()];
    for place in order {
        let plain = identifier(&statements[place].name);
        let mut name = plain.clone();
        for number in 2.. {
            if given.insert(name.clone()) {
                break;
            }
            name = format!("{plain}_{number}");
        }
        names[place] = name;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use hog_ring::types::Type;

    fn statement(name: &str, payload_type: Type) -> Definition {
        Definition {
            id: 1,
            name: name.to_owned(),
            flags: 1,
            format: String::new(),
            file: String::new(),
            line: 0,
            payload_type,
        }
    }

    #[test]
    fn what_hi_cannot_say_is_said_otherwise_and_no_two_series_are_called_alike() {
        let said = ["a.b", "a_b", "log", "7up", "", "größe", "a\"b", ".za", "ok"];
        let statements: Vec<_> = said.iter().map(|name| statement(name, Type::int())).collect();
        let expected = ["a_b_2", "a_b", "log_2", "_7up", "_", "gr__e", "a_b_3", "_za", "ok"];
        let found = names(&statements);
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            let plain = |name: &str| name.trim_end_matches(['2', '3']).trim_end_matches('_').to_owned();
            assert_eq!(plain(found), plain(expected));
        }
        assert_eq!(
            (found[1].as_str(), found[2].as_str(), found[8].as_str()),
            ("a_b", "log_2", "ok")
        );
    }

    #[test]
    fn names_do_not_depend_on_the_order_of_statements() {
        let mut statements = vec![
            statement("x", Type::int()),
            statement("x", Type::long()),
            statement("x-", Type::int()),
            statement("x_2", Type::text()),
        ];
        let mut forwards: Vec<_> = statements.iter().cloned().zip(names(&statements)).collect();
        statements.reverse();
        let backwards: Vec<_> = statements.iter().cloned().zip(names(&statements)).collect();
        forwards.reverse();
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn statements_that_differ_in_what_a_reader_sees_are_not_alike() {
        let one = statement("x", Type::int());
        assert!(are_alike(
            &one,
            &Definition {
                id: 7,
                line: 9,
                file: "other.rs".to_owned(),
                ..one.clone()
            }
        ));
        assert!(!are_alike(
            &one,
            &Definition {
                flags: 0,
                ..one.clone()
            }
        ));
        assert!(!are_alike(&one, &statement("x", Type::long())));
    }
}
