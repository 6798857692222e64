//! What the statements of one stream mean at the position that is read: kept encoded, as the log has them, and decoded
//! once each, when the first record needs it.

use crate::formats::definitions::Definitions;
use crate::modes::archive_reader::RecordFault;
use hog_ring::statement::Definition;
use std::sync::Arc;

/// The statements of one stream.
#[derive(Debug, Default)]
pub(super) struct Statements {
    encoded: Arc<Definitions>,
    /// By id. Definitions that cannot be decoded stand here too, as `None`, so that it is not tried for each record.
    decoded: Vec<(u32, Option<Definition>)>,
}

impl Statements {
    /// What `id` means, if it is defined by something that can be read.
    #[inline]
    pub(super) fn get(&mut self, id: u32) -> Option<&Definition> {
        let at = match self.place(id) {
            Ok(at) => at,
            Err(at) => {
                let definition = Definition::decode(self.encoded.get(id)?).ok();
                self.decoded.insert(at, (id, definition));
                at
            }
        };
        self.decoded[at].1.as_ref()
    }

    /// Defines `id`. What is wrong with the definition is said now and not when a record needs it.
    pub(super) fn define(&mut self, id: u32, encoded: &[u8]) -> Result<(), RecordFault> {
        self.forget_decoded(id);
        if !Arc::make_mut(&mut self.encoded).define(id, encoded) {
            return Err(RecordFault::Definitions);
        }
        let definition = Definition::decode(encoded).map_err(|source| RecordFault::Definition { id, source })?;
        let found = definition.id;
        let at = self.place(id).unwrap_or_else(|at| at);
        self.decoded.insert(at, (id, Some(definition)));
        if found == id {
            Ok(())
        } else {
            Err(RecordFault::DefinitionId { expected: id, found })
        }
    }

    /// Forgets what is below `floor`.
    pub(super) fn forget_below(&mut self, floor: u32) {
        if self.encoded.iter().next().is_some_and(|(id, _)| id < floor) {
            Arc::make_mut(&mut self.encoded).forget_below(floor);
            self.decoded.retain(|(id, _)| *id >= floor);
        }
    }

    /// Takes `definitions` instead of what was known.
    pub(super) fn replace(&mut self, definitions: &Arc<Definitions>) {
        if self.encoded != *definitions {
            let (old, new) = (&self.encoded, definitions);
            self.decoded.retain(|(id, _)| old.get(*id) == new.get(*id));
            self.encoded = Arc::clone(definitions);
        }
    }

    /// Adds `definitions` to what is known; false when they would be too many.
    pub(super) fn add(&mut self, definitions: &Definitions) -> bool {
        for (id, encoded) in definitions.iter() {
            if self.encoded.get(id) != Some(encoded) {
                self.forget_decoded(id);
                if !Arc::make_mut(&mut self.encoded).define(id, encoded) {
                    return false;
                }
            }
        }
        true
    }

    fn forget_decoded(&mut self, id: u32) {
        if let Ok(at) = self.place(id) {
            self.decoded.remove(at);
        }
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        self.decoded.binary_search_by_key(&id, |(id, _)| *id)
    }
}
