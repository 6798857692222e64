//! A statement's definition, its type, and a payload read by it: two bytes with the definition's length, the definition, the payload.

use super::{split, take};
use hog::formats::value::{format_text, text_field, to_json};
use hog_ring::statement::{Definition, definition_id};
use hog_ring::types::Type;

pub(crate) fn judge(bytes: &[u8]) {
    let (len, rest) = take::<2>(bytes);
    let (definition, payload) = split(rest, usize::from(u16::from_le_bytes(len)));
    if let Ok(ty) = Type::decode(definition) {
        let mut again = Vec::new();
        ty.encode(&mut again);
        assert_eq!(Type::decode(&again).unwrap(), ty);
    }
    let _ = Definition::decode_first(definition);
    let Ok(found) = Definition::decode(definition) else {
        return;
    };
    assert_eq!(definition_id(definition), Some(found.id));
    let mut again = Vec::new();
    found.encode(&mut again);
    assert_eq!(Definition::decode(&again).unwrap(), found);

    let mut json = Vec::new();
    if to_json(&found.payload_type, payload, &mut json).is_ok() {
        serde_json::from_slice::<serde_json::Value>(&json).expect("what is said to be JSON");
    }
    let mut text = Vec::new();
    let _ = format_text(&found, payload, &mut text);
    let _ = text_field(&found.payload_type, payload, "line");
}
