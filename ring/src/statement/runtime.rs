//! Statements that a program makes while it runs.
//!
//! Their names, formats and types come from somewhere else, such as a C program or a `tracing` callsite, so the compiler
//! cannot hold a record to its type. Whoever logs such a record vouches that its payload is a value of that type: a reader
//! takes one that is not for damage, and says so, but believes everything else in the ring.
//!
//! A number, once taken, is never given back, and every writer's table grows with the highest. So they are made once for
//! each call site and kept, not made for each record.

use super::{CallSite, Definition, DefinitionError, Number};
use crate::types::Type;

/// A statement whose name, format and type are known only when the program runs.
#[derive(Debug)]
pub struct RuntimeStatement {
    definition: Definition,
    number: Number,
}

impl RuntimeStatement {
    /// The statement that `definition` describes. Its id is not used: each ring gives it one of its own.
    ///
    /// # Errors
    /// Whatever a reader would refuse: a definition or type that is too long, or a type too deep or too large.
    pub fn new(definition: Definition) -> Result<Self, DefinitionError> {
        let mut bytes = Vec::new();
        definition.encode(&mut bytes);
        Definition::decode(&bytes)?;
        Ok(Self {
            definition,
            number: Number::new(),
        })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// What each record's payload must be a value of.
    #[must_use]
    pub fn payload_type(&self) -> &Type {
        &self.definition.payload_type
    }
}

impl CallSite for RuntimeStatement {
    #[inline]
    fn index(&self) -> usize {
        self.number.index()
    }

    fn definition(&self, id: u32) -> Result<Vec<u8>, DefinitionError> {
        let definition = Definition {
            id,
            ..self.definition.clone()
        };
        let mut bytes = Vec::new();
        definition.encode(&mut bytes);
        Ok(bytes)
    }
}
