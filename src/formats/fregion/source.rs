//! The bytes of a file, wherever they are kept: what reads the format asks for bytes by offset, and the length bounds all that it asks for.

use super::damage::Damage;
use std::io;

/// Bytes of a file that may be growing.
pub trait Source {
    /// How many there are. What is read stays below that.
    fn length(&self) -> u64;

    /// Fills `out` with the bytes from `offset` on, which are there.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Source for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let from = from
            .and_then(|from| from.get(..out.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }
}

/// Makes sure that `length` bytes from `offset` on are there.
pub(super) fn require(source: &impl Source, offset: u64, length: u64) -> Result<(), Damage> {
    let end = offset.checked_add(length);
    if end.is_none_or(|end| end > source.length()) {
        return Err(Damage::Outside {
            offset,
            length,
            file: source.length(),
        });
    }
    Ok(())
}

pub(super) fn array<const N: usize>(source: &mut impl Source, offset: u64) -> Result<[u8; N], Damage> {
    require(source, offset, N as u64)?;
    let mut array = [0; N];
    source.read(offset, &mut array)?;
    Ok(array)
}

pub(super) fn u32_at(source: &mut impl Source, offset: u64) -> Result<u32, Damage> {
    array(source, offset).map(u32::from_le_bytes)
}

pub(super) fn u64_at(source: &mut impl Source, offset: u64) -> Result<u64, Damage> {
    array(source, offset).map(u64::from_le_bytes)
}

/// Appends `length` bytes from `offset` on, no more than `most`.
pub(super) fn append(
    source: &mut impl Source,
    offset: u64,
    length: u64,
    most: usize,
    out: &mut Vec<u8>,
) -> Result<(), Damage> {
    require(source, offset, length)?;
    let before = out.len();
    match usize::try_from(length) {
        Ok(length) if length <= most => out.resize(before + length, 0),
        _ => {
            return Err(Damage::TooLong {
                offset,
                found: length,
                most,
            });
        }
    }
    source.read(offset, &mut out[before..])?;
    Ok(())
}
