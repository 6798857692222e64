//! The formats of the original, the logging of the Hobbes project: what its programs leave in shared memory and its
//! senders put on the wire.
//!
//! Its payloads and types are ours ([`crate::formats::value`], [`hog_ring::types`]); what is around them is here. All of it was written by
//! others, perhaps with bad intent, so every count and length is held against its bound before it is used, and what cannot
//! be understood wholly is refused.

pub mod inflate;
pub mod records;
pub mod segment;
pub mod statements;
