//! The statement definitions of a stream, in memory and in bodies.

use crate::formats::pieces::{BodyError, put_bytes, take_bytes, take_u32};
use crate::limits::DEFINITIONS_MAX;
use bytes::BufMut;
use std::collections::BTreeMap;

/// The statement definitions of a stream: id and encoded definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    by_id: BTreeMap<u32, Box<[u8]>>,
    bytes: usize,
}

impl Definitions {
    /// Adds or replaces the definition of `id`; false when the set would grow above its bound.
    pub fn define(&mut self, id: u32, definition: &[u8]) -> bool {
        let cost = definition.len() + 4;
        let freed = self.by_id.get(&id).map_or(0, |old| old.len() + 4);
        if self.bytes - freed + cost > DEFINITIONS_MAX {
            return false;
        }
        self.bytes = self.bytes - freed + cost;
        self.by_id.insert(id, definition.into());
        true
    }

    /// Forgets every definition below `floor`.
    pub fn forget_below(&mut self, floor: u32) {
        self.by_id = self.by_id.split_off(&floor);
        self.bytes = self.by_id.values().map(|definition| definition.len() + 4).sum();
    }

    /// The encoded definition of `id`.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&[u8]> {
        self.by_id.get(&id).map(AsRef::as_ref)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[u8])> {
        self.by_id.iter().map(|(id, definition)| (*id, definition.as_ref()))
    }
}

/// Appends a set of definitions.
pub(crate) fn put_definitions(out: &mut Vec<u8>, definitions: &Definitions) {
    #[allow(clippy::cast_possible_truncation)]
    out.put_u32_le(definitions.iter().len() as u32);
    for (_, definition) in definitions.iter() {
        put_bytes(out, definition);
    }
}

/// Takes a set of definitions; each is bounded and names its id, but its type is not judged here.
pub(crate) fn take_definitions(bytes: &mut &[u8]) -> Result<Definitions, BodyError> {
    let count = take_u32(bytes, "count of definitions")?;
    let mut definitions = Definitions::default();
    for _ in 0..count {
        let definition = take_bytes(bytes, hog_ring::limits::DEFINITION_MAX, "definition")?;
        let id = hog_ring::statement::definition_id(definition).ok_or(BodyError::Short("definition"))?;
        if !definitions.define(id, definition) {
            return Err(BodyError::Bound {
                what: "definitions",
                found: u64::from(count),
                most: crate::limits::DEFINITIONS_MAX as u64,
            });
        }
    }
    Ok(definitions)
}
