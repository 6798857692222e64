//! The header of a file and its table of pages. Of all pages only those of the environment matter to a reader: data is found by offset.
//!
//! The table is a chain of pages. A file that is cut short, or whose table is, keeps what is sound; a chain that cannot be one ends the file.

use super::damage::Damage;
use super::source::{Source, array, require, u64_at};

/// What such a file begins with.
pub const MAGIC: [u8; 4] = [0x0d, 0xdb, 0xa1, 0x10];

/// Longest environment that is read, in bytes.
pub const ENVIRONMENT_BYTES_MAX: u64 = 64 << 20;

/// The length of the header, before the first entry of the table.
const HEADER_LEN: u64 = 8;
const TYPE_SHIFT: u32 = 14;
const ENVIRONMENT: u16 = 2;

/// The pages of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Bytes of a page.
    pub page_bytes: u64,
    /// The pages of the environment by number, each with where in the file its bytes end.
    pub environment: Vec<(u64, u64)>,
}

/// Reads the header and the table. What is wrong but leaves sound parts is added to `damage`.
///
/// # Errors
/// When there is no telling where anything is.
pub fn pages(source: &mut impl Source, damage: &mut Vec<Damage>) -> Result<Pages, Damage> {
    let page_bytes = header(source)?;
    let file_pages = source.length() / page_bytes;
    if !source.length().is_multiple_of(page_bytes) {
        damage.push(Damage::Length { found: source.length() });
    }
    let mut pages = Pages {
        page_bytes,
        environment: Vec::new(),
    };
    let (mut toc, mut start, mut count) = (0_u64, HEADER_LEN, 0_u64);
    let mut bytes = Vec::new();
    loop {
        // Each page of the table has entries, and none speaks of more pages than there are: it ends.
        if toc >= file_pages || count > file_pages {
            let error = Damage::Table { found: toc };
            return if count == 0 {
                Err(error)
            } else {
                damage.push(error);
                Ok(pages)
            };
        }
        let last = (toc + 1) * page_bytes - 8;
        bytes.resize(usize::try_from(page_bytes - 8 - start).unwrap_or(0), 0);
        require(source, toc * page_bytes + start, bytes.len() as u64)?;
        source.read(toc * page_bytes + start, &mut bytes)?;
        for entry in bytes.chunks_exact(2) {
            let entry = u16::from_le_bytes([entry[0], entry[1]]);
            if entry == 0 {
                return Ok(pages.ended(count, file_pages, damage));
            }
            if entry >> TYPE_SHIFT == ENVIRONMENT {
                let free = u64::from(entry & ((1 << TYPE_SHIFT) - 1)).min(page_bytes);
                if (pages.environment.len() as u64 + 1) * page_bytes > ENVIRONMENT_BYTES_MAX {
                    return Err(Damage::Environment {
                        most: ENVIRONMENT_BYTES_MAX,
                    });
                }
                pages.environment.push((count, (count + 1) * page_bytes - free));
            }
            count += 1;
        }
        toc = u64_at(source, last)?;
        start = 0;
        if toc == 0 {
            // Whoever filled this page was killed before it wrote where the table goes on, or is about to.
            return Ok(pages.ended(count, file_pages, damage));
        }
    }
}

/// Judges the header, and gives the size of pages.
fn header(source: &mut impl Source) -> Result<u64, Damage> {
    if source.length() < HEADER_LEN {
        return Err(Damage::Foreign);
    }
    let header: [u8; 8] = array(source, 0)?;
    if header[..4] != MAGIC {
        return Err(Damage::Foreign);
    }
    let (page, version) = (
        u16::from_le_bytes([header[4], header[5]]),
        u16::from_le_bytes([header[6], header[7]]),
    );
    if version > 2 || !(256..=16384).contains(&page) || page % 2 != 0 {
        return Err(Damage::Header { version, page });
    }
    Ok(u64::from(page))
}

impl Pages {
    fn ended(self, said: u64, found: u64, damage: &mut Vec<Damage>) -> Self {
        if said > found {
            damage.push(Damage::Pages { said, found });
        }
        self
    }
}
