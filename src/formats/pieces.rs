//! The small pieces that all bodies are made of, and what can be wrong with them. Whatever takes a length takes its bound.

use bytes::{Buf, BufMut};
use thiserror::Error;
use uuid::Uuid;

/// Why the bytes of a body are not what its kind says.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// They end too soon.
    #[error("the body ends within its {0}")]
    Short(&'static str),
    /// They go on too long.
    #[error("{0} bytes follow the end of the body")]
    Long(usize),
    /// A length, count or number that is none.
    #[error("the body's {what} is {found}, and {most} is the most there can be")]
    Bound {
        /// Which field.
        what: &'static str,
        /// As found.
        found: u64,
        /// Its bound.
        most: u64,
    },
    /// Text that is not UTF-8.
    #[error("the body's {0} is not UTF-8")]
    Text(&'static str),
}

/// The uuid at the front of `bytes`.
pub(crate) fn take_uuid(bytes: &mut &[u8], what: &'static str) -> Result<Uuid, BodyError> {
    let mut uuid = [0; 16];
    bytes.try_copy_to_slice(&mut uuid).map_err(|_| BodyError::Short(what))?;
    Ok(Uuid::from_bytes(uuid))
}

pub(crate) fn take_u64(bytes: &mut &[u8], what: &'static str) -> Result<u64, BodyError> {
    bytes.try_get_u64_le().map_err(|_| BodyError::Short(what))
}

pub(crate) fn take_u32(bytes: &mut &[u8], what: &'static str) -> Result<u32, BodyError> {
    bytes.try_get_u32_le().map_err(|_| BodyError::Short(what))
}

pub(crate) fn take_u8(bytes: &mut &[u8], what: &'static str) -> Result<u8, BodyError> {
    bytes.try_get_u8().map_err(|_| BodyError::Short(what))
}

/// A u32 length of at most `most`, and that many bytes.
pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8], most: usize, what: &'static str) -> Result<&'a [u8], BodyError> {
    let len = take_u32(bytes, what)? as usize;
    if len > most {
        return Err(BodyError::Bound {
            what,
            found: len as u64,
            most: most as u64,
        });
    }
    let (front, rest) = bytes.split_at_checked(len).ok_or(BodyError::Short(what))?;
    *bytes = rest;
    Ok(front)
}

pub(crate) fn take_text(bytes: &mut &[u8], most: usize, what: &'static str) -> Result<String, BodyError> {
    let text = take_bytes(bytes, most, what)?;
    std::str::from_utf8(text)
        .map(str::to_owned)
        .map_err(|_| BodyError::Text(what))
}

pub(crate) fn finished(bytes: &[u8]) -> Result<(), BodyError> {
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(BodyError::Long(bytes.len()))
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    #[allow(clippy::cast_possible_truncation)] // every caller's bytes are bounded by a frame's body
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}
