//! The bytes of spool, archive and wire: pure functions between values and bytes, no IO.
//!
//! `docs/FORMATS.md` is their one description; the tests of each module hold it against the constants.

pub mod body;
pub mod checkpoint;
pub mod classic;
pub mod codec;
pub mod definitions;
pub mod frame;
pub mod fregion;
pub mod joined_crc;
pub mod lock_record;
pub mod pieces;
pub(crate) mod scope;
pub mod segment;
pub mod table;
pub mod value;
pub mod wire;
