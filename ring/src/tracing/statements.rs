//! The statements of callsites: one for each way in which a callsite's fields turn out.
//!
//! They are made once for the layer, since each takes a number that the process never gets back, and threads come and
//! go. The table's lock is tried, never waited for: another thread may have held it when this process was forked, and
//! nobody would ever release it here. Who does not get it makes a statement of his own, which costs a number.

use super::fields::{Shaped, name_of, spans_type};
use crate::statement::{Definition, DefinitionError, RuntimeStatement, flags};
use crate::types::{Case, Type};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, TryLockError};
use tracing_core::callsite::Identifier;
use tracing_core::{Level, Metadata};

/// The levels and their numbers, as the enumeration `level` has them.
const LEVELS: [(Level, &str); 5] = [
    (Level::TRACE, "TRACE"),
    (Level::DEBUG, "DEBUG"),
    (Level::INFO, "INFO"),
    (Level::WARN, "WARN"),
    (Level::ERROR, "ERROR"),
];

/// How tracing's macros begin the name of an event that was given none.
const UNNAMED: &str = "event ";

/// The number of a level in the enumeration.
pub(super) fn level_number(level: Level) -> u32 {
    (0..)
        .zip(LEVELS)
        .find(|(_, (known, _))| *known == level)
        .map_or(0, |(number, _)| number)
}

/// Of a callsite, each shape that its fields have had, and the statement for it.
pub(super) type Known = HashMap<Identifier, Vec<(Box<[Shaped]>, Arc<RuntimeStatement>)>>;

/// The statement for a shape, if it is known.
pub(super) fn find(known: &Known, callsite: &Identifier, shape: &[Shaped]) -> Option<Arc<RuntimeStatement>> {
    let shapes = known.get(callsite)?;
    let (_, statement) = shapes.iter().find(|(of, _)| **of == *shape)?;
    Some(Arc::clone(statement))
}

/// Enters a statement that was not known.
pub(super) fn enter(known: &mut Known, callsite: Identifier, shape: &[Shaped], statement: &Arc<RuntimeStatement>) {
    known
        .entry(callsite)
        .or_default()
        .push((shape.into(), Arc::clone(statement)));
}

/// The statements of a layer, for all its threads.
#[derive(Debug, Default)]
pub(super) struct Statements {
    known: Mutex<Known>,
}

impl Statements {
    /// The statement of a callsite whose fields have this shape.
    pub(super) fn of(
        &self,
        metadata: &'static Metadata<'static>,
        shape: &[Shaped],
    ) -> Result<Arc<RuntimeStatement>, DefinitionError> {
        let mut known = match self.known.try_lock() {
            Ok(known) => Some(known),
            // Its thread panicked between two whole states of the table.
            Err(TryLockError::Poisoned(known)) => Some(known.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let callsite = metadata.callsite();
        if let Some(statement) = known.as_ref().and_then(|known| find(known, &callsite, shape)) {
            return Ok(statement);
        }
        let statement = Arc::new(RuntimeStatement::new(definition(metadata, shape))?);
        if let Some(known) = &mut known {
            enter(known, callsite, shape, &statement);
        }
        Ok(statement)
    }
}

/// What readers are told of the records of a callsite whose fields have this shape.
fn definition(metadata: &Metadata<'static>, shape: &[Shaped]) -> Definition {
    let names: Vec<&'static str> = metadata.fields().iter().map(|field| name_of(&field)).collect();
    let name = if metadata.name().starts_with(UNNAMED) {
        metadata.target()
    } else {
        metadata.name()
    };
    let levels = LEVELS.map(|(_, name)| (name, Type::unit()));
    let target = Case {
        name: metadata.target().to_owned(),
        id: 0,
        holds: Type::unit(),
    };
    let mut fields = vec![
        ("level".to_owned(), Type::variant(levels)),
        ("target".to_owned(), Type::Variant(vec![target])),
    ];
    for Shaped { index, kind } in shape {
        let mut name = names.get(*index).copied().unwrap_or_default().to_owned();
        while name == "spans" || fields.iter().any(|(taken, _)| *taken == name) {
            name.push('_');
        }
        fields.push((name, kind.value_type()));
    }
    let format = format(&fields, name == metadata.target());
    fields.push(("spans".to_owned(), spans_type()));
    Definition {
        id: 0,
        name: name.to_owned(),
        flags: flags::HLOG,
        format,
        file: metadata.file().unwrap_or_default().to_owned(),
        line: metadata.line().unwrap_or_default(),
        payload_type: Type::record(fields),
    }
}

/// `LEVEL message field=value …`: fields by their places, since not all names can stand in a format. The target is the
/// statement's name, where `named_by_target`, and need not be said again.
fn format(fields: &[(String, Type)], named_by_target: bool) -> String {
    let mut format = String::from("$0");
    // `$0` alone would stand for the whole record.
    if !named_by_target || fields.len() == 2 {
        format.push_str(" $1:");
    }
    for (place, (name, _)) in fields.iter().enumerate().skip(2) {
        match name.as_str() {
            "message" => format.push_str(&format!(" ${place}")),
            name => format.push_str(&format!(" {}=${place}", name.replace('$', "$$"))),
        }
    }
    format
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_numbers_of_their_cases() {
        let numbers = LEVELS.map(|(level, _)| level_number(level));
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn formats_name_all_fields_and_the_target_only_where_the_statement_does_not() {
        let fields = |names: &[&str]| -> Vec<(String, Type)> {
            let names = ["level", "target"].iter().chain(names);
            names.map(|name| ((*name).to_owned(), Type::unit())).collect()
        };
        assert_eq!(format(&fields(&["message", "a.b", "$c"]), true), "$0 $2 a.b=$3 $$c=$4");
        assert_eq!(format(&fields(&["a"]), false), "$0 $1: a=$2");
        assert_eq!(format(&fields(&[]), true), "$0 $1:");
    }
}
