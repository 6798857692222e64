//! Where the pages of hog's files are, and what the table of pages says of them.
//!
//! The format lets a table page stand anywhere and name the next one. hog has all table pages that a file may ever need at the file's beginning, one behind the
//! other, unwritten until they are needed: so where an entry stands follows from its page alone, values may be as long as they like, and a
//! growth that was cut by a kill is done again with the same bytes.
//!
//! A reader may look between any two writes. So the file is extended before its new pages have entries; of these the later ones are written
//! first, since readers stop at the first entry that is 0; and a table page names the next one before anything is entered in it.

/// Length of a page.
pub const PAGE_BYTES: u64 = 4096;

/// Table pages of a file.
pub const TABLE_PAGES: u64 = 1027;

/// Entries of the first table page, which begins with the file's header.
const FIRST_ENTRIES: u64 = (PAGE_BYTES - HEADER_BYTES - LINK_BYTES) / 2;
/// Entries of every other.
const OTHER_ENTRIES: u64 = (PAGE_BYTES - LINK_BYTES) / 2;
const HEADER_BYTES: u64 = 8;
const LINK_BYTES: u64 = 8;

/// Most pages of a file.
pub const PAGES_MAX: u64 = FIRST_ENTRIES + (TABLE_PAGES - 1) * OTHER_ENTRIES;

/// A file grows by so many pages, and multiples of it.
pub const GROWTH_PAGES: u64 = 256;

/// What every file begins with: magic number, length of a page, version.
pub const HEADER: [u8; 8] = [0x0d, 0xdb, 0xa1, 0x10, 0x00, 0x10, 0x02, 0x00];

/// The entry of a table page.
pub const TABLE_ENTRY: u16 = 1 << 14;
/// The entry of an environment page; the bytes that are free at its end are added.
pub const ENVIRONMENT_ENTRY: u16 = 2 << 14;
/// The entry of a page of values.
pub const DATA_ENTRY: u16 = 3 << 14;

const _: () = {
    assert!(
        FIRST_ENTRIES == 2040 && OTHER_ENTRIES == 2044,
        "as the original has them"
    );
    assert!(
        TABLE_PAGES < FIRST_ENTRIES,
        "table pages have their entries in the first of them"
    );
    assert!(PAGES_MAX * PAGE_BYTES > 8 << 30);
    assert!(usize::BITS == 64);
};

/// Bytes to be written at a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub at: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// The table page with the entry of `page`, and the place of the entry in the file.
const fn entry(page: u64) -> (u64, u64) {
    match page.checked_sub(FIRST_ENTRIES) {
        None => (0, HEADER_BYTES + 2 * page),
        Some(behind) => {
            let table = 1 + behind / OTHER_ENTRIES;
            (table, table * PAGE_BYTES + 2 * (behind % OTHER_ENTRIES))
        }
    }
}

/// Where the entry of `page` stands in the file.
#[must_use]
pub const fn entry_at(page: u64) -> u64 {
    entry(page).1
}

/// A length or distance in a file, for memory: hog runs on machines of 64 bits alone.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "asserted above")]
pub const fn in_memory(bytes: u64) -> usize {
    bytes as usize
}

/// So many pages a file has that holds `end` bytes.
#[must_use]
pub const fn pages_for(end: u64) -> u64 {
    end.div_ceil(GROWTH_PAGES * PAGE_BYTES) * GROWTH_PAGES
}

/// What is to be written, in this order, to enter the pages from `from` to `to`, whose entries `entry_of` knows, in the table. The file is long enough already.
#[must_use]
pub fn enter_pages(from: u64, to: u64, entry_of: impl Fn(u64) -> u16) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut end = to;
    while from < end {
        let (table, _) = entry(end - 1);
        let first = match table.checked_sub(1) {
            None => 0,
            Some(before) => FIRST_ENTRIES + before * OTHER_ENTRIES,
        };
        let start = first.max(from);
        let next = if table + 1 < TABLE_PAGES { table + 1 } else { 0 };
        writes.push(Write {
            at: (table + 1) * PAGE_BYTES - LINK_BYTES,
            bytes: next.to_le_bytes().to_vec(),
        });
        writes.push(Write {
            at: entry(start).1,
            bytes: (start..end).flat_map(|page| entry_of(page).to_le_bytes()).collect(),
        });
        end = start;
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader finds: it follows the table from page 0, and stops at the first entry that is 0.
    fn read(file: &[u8]) -> Vec<u16> {
        let (mut table, mut at, mut entries) = (0, in_memory(HEADER_BYTES), Vec::new());
        loop {
            let end = (table + 1) * 4096 - 8;
            while at < end {
                match u16::from_le_bytes([file[at], file[at + 1]]) {
                    0 => return entries,
                    entry => entries.push(entry),
                }
                at += 2;
            }
            table = usize::try_from(u64::from_le_bytes(file[end..][..8].try_into().unwrap())).unwrap();
            assert!(table != 0, "a full table page that names no next one");
            at = table * 4096;
        }
    }

    #[test]
    fn between_any_two_writes_a_reader_finds_some_of_the_first_pages_and_none_wrong() {
        let entry_of = |page: u64| if page < TABLE_PAGES { TABLE_ENTRY } else { DATA_ENTRY };
        let sizes = [1300, 2039, 2040, 2041, 2040 + 2044, 2040 + 2044 + 1, 9000];
        let mut file = vec![0; 9000 * 4096];
        let (mut known, mut found) = (0, 0);
        for size in sizes {
            for Write { at, bytes } in enter_pages(known, size, entry_of) {
                let at = usize::try_from(at).unwrap();
                file[at..at + bytes.len()].copy_from_slice(&bytes);
                let now = read(&file);
                assert!(found <= now.len() && now.len() as u64 <= size);
                assert!((0..).zip(&now).all(|(page, entry)| *entry == entry_of(page)));
                found = now.len();
            }
            assert_eq!(found as u64, size);
            known = size;
        }
    }

    #[test]
    fn the_last_page_of_the_longest_file_has_its_entry_in_the_last_table_page() {
        assert_eq!(
            entry(PAGES_MAX - 1),
            (TABLE_PAGES - 1, TABLE_PAGES * PAGE_BYTES - 8 - 2)
        );
        assert_eq!((entry(0).1, entry(2040), entry(4084)), (8, (1, 4096), (2, 8192)));
        assert_eq!(
            [pages_for(0), pages_for(1), pages_for(1 << 20), pages_for((1 << 20) + 1)],
            [0, 256, 256, 512]
        );
    }
}
