//! The statements of producers, each of which this process numbers once, however many queues declare it.
//!
//! A number that a statement was given is never given back ([`RuntimeStatement`]), and a program of many threads declares the same statements for
//! each of them. So they are kept here for as long as the process runs, and bounded.

use crate::limits::INTAKE_STATEMENTS_MAX;
use hog_ring::RuntimeStatement;
use hog_ring::statement::{Definition, DefinitionError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Why a statement cannot be logged.
#[derive(Debug, Error)]
pub(super) enum StatementError {
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    #[error(
        "{INTAKE_STATEMENTS_MAX} statements of producers of version 2 are known, and no more can be: start this process again"
    )]
    TooMany,
}

/// All statements that queues of a group have declared.
#[derive(Debug, Default)]
pub(super) struct KnownStatements {
    /// By their definitions, all with the same id.
    known: Mutex<HashMap<Vec<u8>, Arc<RuntimeStatement>>>,
}

impl KnownStatements {
    /// The statements of these definitions, in their order.
    pub(super) fn of(&self, definitions: &[Definition]) -> Result<Vec<Arc<RuntimeStatement>>, StatementError> {
        definitions.iter().map(|definition| self.one(definition)).collect()
    }

    fn one(&self, definition: &Definition) -> Result<Arc<RuntimeStatement>, StatementError> {
        let mut key = Vec::new();
        let definition = Definition {
            id: 0,
            ..definition.clone()
        };
        definition.encode(&mut key);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = known.get(&key) {
            return Ok(Arc::clone(statement));
        }
        if known.len() >= INTAKE_STATEMENTS_MAX {
            return Err(StatementError::TooMany);
        }
        let statement = Arc::new(RuntimeStatement::new(definition)?);
        known.insert(key, Arc::clone(&statement));
        Ok(statement)
    }
}
