//! Small files as the original's recorder writes them, byte by byte: pages of 256 bytes, batches of four records. Also included by tests of the library.

use hog_ring::types::{Case, Field, Type};

const PAGE: usize = 256;
/// Entries in the first page of the table, and in each other.
const ENTRIES: [usize; 2] = [(PAGE - 16) / 2, (PAGE - 8) / 2];
/// Records in a batch.
pub(crate) const BATCH: u64 = 4;

/// A value as it is stored.
#[derive(Clone)]
pub(crate) enum Stored {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A reference to this many elements of so many bytes in all.
    Array(u64, Vec<u8>),
    /// One after the other; each is aligned already.
    Parts(Vec<Stored>),
}

/// How batches are chained.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// The newest first, as the recorder does it.
    Prepended,
    /// The oldest first, as the original's library for C++ does it.
    Appended,
}

/// A file that is made.
pub(crate) struct Recording {
    bytes: Vec<u8>,
    environment: Vec<(String, u64, Vec<u8>)>,
    chain: Chain,
}

/// A series that is made: its root cell, its newest node and batch, the end of its chain.
pub(crate) struct Series {
    root: u64,
    stride: u64,
    node: u64,
    batch: u64,
    count: u64,
}

/// A reference to something of this type.
pub(crate) fn reference_to(to: Type) -> Type {
    Type::Application {
        function: Box::new(Type::primitive("fileref")),
        arguments: vec![to],
    }
}

/// What the entries of a log are.
pub(crate) fn entries(statements: &[(&str, u32, Type)]) -> Type {
    let case = |(name, id, stored): &(&str, u32, Type)| Case {
        name: (*name).to_owned(),
        id: *id,
        holds: reference_to(stored.clone()),
    };
    Type::Variant(statements.iter().map(case).collect())
}

/// A record whose fields are at these offsets.
pub(crate) fn record(fields: &[(&str, i32, Type)]) -> Type {
    let field = |(name, offset, holds): &(&str, i32, Type)| Field {
        name: (*name).to_owned(),
        offset: *offset,
        holds: holds.clone(),
    };
    Type::Record(fields.iter().map(field).collect())
}

/// What the elements of `transactions` are.
pub(crate) fn transactions(entries: Type) -> Type {
    record(&[
        ("time", 0, Type::datetime()),
        ("entries", 8, reference_to(Type::array(entries))),
    ])
}

impl Recording {
    pub(crate) fn new(chain: Chain) -> Self {
        let mut bytes = vec![0; PAGE];
        bytes[..8].copy_from_slice(&[0x0d, 0xdb, 0xa1, 0x10, 0, 1, 2, 0]);
        Self {
            bytes,
            environment: Vec::new(),
            chain,
        }
    }

    /// Room for `length` bytes, all zero, that does not touch the second page of the table.
    fn room(&mut self, length: usize) -> u64 {
        let table = ENTRIES[0] * PAGE;
        let mut at = self.bytes.len().next_multiple_of(8);
        if at < table + PAGE && at + length > table {
            at = table + PAGE;
        }
        self.bytes.resize(at + length, 0);
        at as u64
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_word(&mut self, at: u64, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    fn number(&self, at: u64) -> u64 {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[at..at + 8]);
        u64::from_le_bytes(word)
    }

    /// The bytes of a value, whose arrays are put into the file.
    fn flatten(&mut self, value: &Stored) -> Vec<u8> {
        match value {
            Stored::Bytes(bytes) => bytes.clone(),
            Stored::Array(count, elements) => self.array(*count, elements).to_le_bytes().to_vec(),
            Stored::Parts(parts) => parts.iter().flat_map(|part| self.flatten(part)).collect(),
        }
    }

    /// Puts an array into the file.
    pub(crate) fn array(&mut self, count: u64, elements: &[u8]) -> u64 {
        let at = self.room(8 + elements.len());
        self.put_word(at, count);
        self.put(at + 8, elements);
        at
    }

    pub(crate) fn bind(&mut self, name: &str, at: u64, ty: Vec<u8>) {
        self.environment.push((name.to_owned(), at, ty));
    }

    /// A series of elements of this type, of `stride` bytes each.
    pub(crate) fn series(&mut self, name: &str, element: &Type, stride: u64) -> Series {
        let ty = Type::Application {
            function: Box::new(Type::primitive("fseq")),
            arguments: vec![element.clone(), Type::Number(BATCH)],
        };
        let mut encoded = Vec::new();
        ty.encode(&mut encoded);
        let root = self.room(8);
        let end = self.room(24);
        self.put_word(root, end);
        self.bind(name, root, encoded);
        Series {
            root,
            stride,
            node: end,
            batch: 0,
            count: BATCH,
        }
    }

    /// Appends an element, and says where it is.
    pub(crate) fn push(&mut self, series: &mut Series, value: &Stored) -> u64 {
        let bytes = self.flatten(value);
        if series.count == BATCH {
            self.begin_batch(series);
        }
        let slot = series.batch + 8 + series.count * series.stride;
        self.put(slot, &bytes);
        series.count += 1;
        self.put_word(series.batch, series.count);
        slot
    }

    fn begin_batch(&mut self, series: &mut Series) {
        series.batch = self.room(usize::try_from(8 + BATCH * series.stride).unwrap_or(usize::MAX));
        series.count = 0;
        let node = self.room(24);
        match self.chain {
            Chain::Prepended => {
                let first = self.number(series.root);
                self.put_word(node, 1);
                self.put_word(node + 8, series.batch);
                self.put_word(node + 16, first);
                self.put_word(series.root, node);
            }
            // The empty node at the end becomes one that is not.
            Chain::Appended => {
                let end = series.node;
                self.put_word(end, 1);
                self.put_word(end + 8, series.batch);
                self.put_word(end + 16, node);
                series.node = node;
            }
        }
    }

    /// An entry of a log: the record of statement `id` at `place`.
    pub(crate) fn entry(id: u32, place: u64) -> Vec<u8> {
        [u64::from(id).to_le_bytes(), place.to_le_bytes()].concat()
    }

    /// The array of what the program said of each statement: its name, and how its records read.
    pub(crate) fn statements(&mut self, words: &[(&str, &str)]) {
        let text = || reference_to(Type::text());
        let row = record(&[
            ("name", 0, text()),
            ("flags", 8, Type::long()),
            ("display", 16, text()),
            ("file", 24, text()),
            ("line", 32, Type::long()),
        ]);
        let text_of = |text: &str| Stored::Array(text.len() as u64, text.as_bytes().to_vec());
        let rows: Vec<u8> = (1_u64..)
            .zip(words)
            .flat_map(|(line, (name, display))| {
                let parts = vec![
                    text_of(name),
                    Stored::Bytes(1_u64.to_le_bytes().to_vec()),
                    text_of(display),
                    text_of("prod.cpp"),
                    Stored::Bytes(line.to_le_bytes().to_vec()),
                ];
                self.flatten(&Stored::Parts(parts))
            })
            .collect();
        let at = self.array(words.len() as u64, &rows);
        let mut encoded = Vec::new();
        Type::array(row).encode(&mut encoded);
        self.bind("statements", at, encoded);
    }

    /// The file: the environment goes behind all else.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // It does not touch the second page of the table either: a file that needs one has it behind that.
        let mut begin = self.bytes.len().div_ceil(PAGE);
        if begin > ENTRIES[0] / 2 {
            begin = begin.max(ENTRIES[0] + 1);
        }
        self.bytes.resize(begin * PAGE, 0);
        for (name, at, ty) in std::mem::take(&mut self.environment) {
            self.bytes.extend_from_slice(&at.to_le_bytes());
            for bytes in [name.as_bytes(), &ty] {
                self.bytes.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                self.bytes.extend_from_slice(bytes);
            }
        }
        let free = self.bytes.len().next_multiple_of(PAGE) - self.bytes.len();
        self.bytes.resize(self.bytes.len() + free, 0);
        self.write_table(begin, u16::try_from(free).unwrap_or(0));
        self.bytes
    }

    fn write_table(&mut self, environment: usize, free: u16) {
        let pages = self.bytes.len() / PAGE;
        assert!(pages < ENTRIES[0] + ENTRIES[1], "a third page of the table");
        for page in 0..pages {
            let entry: u16 = match page {
                page if page == 0 || page == ENTRIES[0] => 0x4000,
                page if page + 1 == pages => 0x8000 | free,
                page if page >= environment => 0x8000,
                _ => 0xc000,
            };
            let at = match page.checked_sub(ENTRIES[0]) {
                None => 8 + 2 * page,
                Some(place) => ENTRIES[0] * PAGE + 2 * place,
            };
            self.put(at as u64, &entry.to_le_bytes());
        }
        if pages > ENTRIES[0] {
            self.put_word((PAGE - 8) as u64, ENTRIES[0] as u64);
        }
    }
}
