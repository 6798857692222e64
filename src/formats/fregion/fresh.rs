//! A new file: everything that is in it before it has a name.
//!
//! The environment says what there is to read and never changes afterwards, since readers hold on to it. It names the empty array `.za`, hog's
//! own page `.hog`, a series for each statement in the order of their names, the series `transactions` or `log`, and the array `statements`. Behind it
//! are the root cells, a nil node for each series (no two share one, as an original that appends would overwrite it), `statements`,
//! and the statements' definitions as hog has them, for whoever goes on with the file.

use super::geometry::{
    DATA_ENTRY, ENVIRONMENT_ENTRY, HEADER, PAGE_BYTES, TABLE_ENTRY, TABLE_PAGES, Write, enter_pages, pages_for,
};
use super::heap::{FileFull, Heap};
use super::naming;
use super::state::{COPIES, MAGIC, STATE_AT, Series, State};
use super::stored::{
    BATCH_RECORDS, Layout, STATEMENT_BYTES, Stored, StoredError, log_type, series_type, statements_type,
    transactions_type,
};
use bytes::{Buf, BufMut};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use thiserror::Error;

/// Length of a node: whether it is one, its batch, the next node.
pub const NODE_BYTES: u64 = 24;

/// Longest encoded definitions of a file, all together.
pub const DEFINITIONS_BYTES_MAX: u64 = 64 << 20;

/// Longest type of `transactions` or `log` that is written, in bytes: it has the types of all statements in it, and the independent readers have bounds too.
pub const ORDER_TYPE_BYTES_MAX: usize = 512 << 10;

/// How a file says in which order records came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A series `transactions`: the time and the records of each.
    Transactions,
    /// A series `log`: the records, one by one.
    Log,
}

/// What a file has series for, and where they begin.
#[derive(Clone, Debug)]
pub struct Contents {
    /// How it says in which order records came.
    pub order: Order,
    /// The statements; ids are their places here, and those of their series.
    pub statements: Vec<Definition>,
    /// How their records are stored.
    pub layouts: Vec<Layout>,
    /// The root cell of the first series; those of the others follow, that of the order is the last.
    pub roots_at: u64,
    /// Eight zeros: the array without elements.
    pub empty_at: u64,
}

/// Why a file cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FreshError {
    /// A statement's records cannot be stored.
    #[error("records of statement {name:?} cannot be stored")]
    Statement {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: StoredError,
    },
    /// All statements together are too much.
    #[error("the types of {count} statements together are too long for one file")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// They do not even fit into a file.
    #[error(transparent)]
    Full(#[from] FileFull),
}

/// A new file.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// What is in it.
    pub contents: Contents,
    /// How far it is written: the beginning. The copies are still to be stored.
    pub state: State,
    /// What is to be written, in any order.
    pub writes: Vec<Write>,
}

/// A statement and all that a file says of it.
struct Named {
    name: String,
    definition: Definition,
    stored: Stored,
}

/// A new file for `statements`, none of which are alike, that goes on where `progress` says.
///
/// # Errors
/// [`FreshError`].
pub fn fresh(statements: Vec<Definition>, order: Order, progress: Vec<u8>) -> Result<Fresh, FreshError> {
    let named = in_order(statements)?;
    let types = types(&named, order)?;
    let environment_bytes: u64 = types.iter().map(|(name, ty)| binding_bytes(name, ty)).sum();
    let environment_at = STATE_AT + PAGE_BYTES;
    let environment_pages = environment_bytes.div_ceil(PAGE_BYTES);
    let mut heap = Heap::new(environment_at + environment_pages * PAGE_BYTES);
    let places = Places::make(&mut heap, &named)?;
    let contents = Contents {
        order,
        layouts: named.iter().map(|named| named.stored.layout.clone()).collect(),
        statements: named.into_iter().map(|named| named.definition).collect(),
        roots_at: places.roots_at,
        empty_at: places.empty_at,
    };
    let (definitions_at, definitions) = put_definitions(&mut heap, &contents)?;
    let mut state = State {
        number: 1,
        series: places.series.clone(),
        progress,
        ..State::default()
    };
    state.make_room(&mut heap)?;
    state.end = heap.end();
    state.pages = pages_for(state.end);

    let mut writes = heap.into_writes();
    writes.push(own_page(&contents, definitions_at, &definitions));
    writes.push(Write {
        at: environment_at,
        bytes: environment(&types, &places),
    });
    let first = environment_at / PAGE_BYTES;
    let free = u16::try_from(environment_pages * PAGE_BYTES - environment_bytes).unwrap_or(0); // less than a page
    writes.extend(enter_pages(0, state.pages, |page| match page {
        page if page < TABLE_PAGES => TABLE_ENTRY,
        page if page < first || page >= first + environment_pages => DATA_ENTRY,
        page if page + 1 == first + environment_pages => ENVIRONMENT_ENTRY | free,
        _ => ENVIRONMENT_ENTRY,
    }));
    writes.push(Write {
        at: 0,
        bytes: HEADER.to_vec(),
    });
    Ok(Fresh {
        contents,
        state,
        writes,
    })
}

/// How long the type of a statement is where all are together.
///
/// # Errors
/// [`StoredError`], if its records cannot be stored.
pub fn order_type_bytes(statement: &Definition) -> Result<usize, StoredError> {
    let stored = Stored::of(&statement.payload_type)?;
    let mut encoded = Vec::new();
    log_type([(statement.name.as_str(), 0, &stored)]).encode(&mut encoded);
    Ok(encoded.len() + 8) // for an ending of its name
}

/// The statements by the names that their series get.
fn in_order(statements: Vec<Definition>) -> Result<Vec<Named>, FreshError> {
    let names = naming::names(&statements);
    let mut named = Vec::new();
    for (name, definition) in names.into_iter().zip(statements) {
        match Stored::of(&definition.payload_type) {
            Ok(stored) => named.push(Named {
                name,
                definition,
                stored,
            }),
            Err(source) => {
                let name = definition.name;
                return Err(FreshError::Statement { name, source });
            }
        }
    }
    named.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(named)
}

/// What the environment names, in its order, with encoded types.
fn types(named: &[Named], order: Order) -> Result<Vec<(String, Vec<u8>)>, FreshError> {
    let encoded = |ty: &Type| {
        let mut encoded = Vec::new();
        ty.encode(&mut encoded);
        encoded
    };
    let mut types = vec![
        (".za".to_owned(), Vec::new()),
        (".hog".to_owned(), encoded(&Type::long())),
    ];
    for Named { name, stored, .. } in named {
        let batch = stored.layout.batch_records();
        types.push((name.clone(), series_type(&stored.ty, batch)));
    }
    let entries = (0..)
        .zip(named)
        .map(|(id, named)| (named.name.as_str(), id, &named.stored));
    let log = log_type(entries);
    let (name, ty) = match order {
        Order::Log => ("log", log),
        Order::Transactions => ("transactions", transactions_type(log)),
    };
    let ty = series_type(&ty, BATCH_RECORDS);
    if ty.len() > ORDER_TYPE_BYTES_MAX + 4096 {
        return Err(FreshError::TooMany { count: named.len() });
    }
    types.push((name.to_owned(), ty));
    types.push(("statements".to_owned(), encoded(&statements_type())));
    Ok(types)
}

fn binding_bytes(name: &str, ty: &[u8]) -> u64 {
    (3 * 8 + name.len() + ty.len()) as u64
}

/// Where the values are that the environment names.
struct Places {
    empty_at: u64,
    roots_at: u64,
    series: Vec<Series>,
    statements_at: u64,
}

impl Places {
    fn make(heap: &mut Heap, named: &[Named]) -> Result<Self, FreshError> {
        let empty_at = heap.push(&[0; 8], 8)?;
        let count = named.len() as u64 + 1;
        let roots_at = heap.zeros(8 * count, 8)?;
        let nodes_at = heap.zeros(NODE_BYTES * count, 8)?;
        let nodes = (0..count).map(|place| nodes_at + NODE_BYTES * place);
        let series: Vec<Series> = nodes
            .map(|node| Series {
                node,
                ..Series::default()
            })
            .collect();
        for (place, series) in (0..).zip(&series) {
            heap.put(roots_at + 8 * place, &series.node.to_le_bytes());
        }
        let statements_at = heap.array(named.len() as u64, STATEMENT_BYTES * named.len() as u64, 8)?;
        for (place, Named { name, definition, .. }) in (0..).zip(named) {
            let mut text = |text: &str| match text {
                "" => Ok(empty_at),
                text => heap.text(text.as_bytes()),
            };
            let (name, display, file) = (text(name)?, text(&definition.format)?, text(&definition.file)?);
            let row = [name, definition.flags, display, file, u64::from(definition.line)];
            let row: Vec<u8> = row.iter().flat_map(|word| word.to_le_bytes()).collect();
            heap.put(statements_at + 8 + STATEMENT_BYTES * place, &row);
        }
        Ok(Self {
            empty_at,
            roots_at,
            series,
            statements_at,
        })
    }

    /// Where the value is that the environment has in this place.
    fn of(&self, place: usize) -> u64 {
        let series = self.series.len();
        match place {
            0 => self.empty_at,
            1 => STATE_AT,
            place if place < 2 + series => self.roots_at + 8 * (place as u64 - 2),
            _ => self.statements_at,
        }
    }
}

fn environment(types: &[(String, Vec<u8>)], places: &Places) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (place, (name, ty)) in types.iter().enumerate() {
        bytes.put_u64_le(places.of(place));
        bytes.put_u64_le(name.len() as u64);
        bytes.put_slice(name.as_bytes());
        bytes.put_u64_le(ty.len() as u64);
        bytes.put_slice(ty);
    }
    bytes
}

/// The definitions as hog has them, each behind its length.
fn put_definitions(heap: &mut Heap, contents: &Contents) -> Result<(u64, Vec<u8>), FreshError> {
    let mut bytes = Vec::new();
    for (id, statement) in (0..).zip(&contents.statements) {
        let mut definition = Vec::new();
        Definition {
            id,
            ..statement.clone()
        }
        .encode(&mut definition);
        bytes.put_u32_le(u32::try_from(definition.len()).unwrap_or(u32::MAX)); // it is bounded
        bytes.put_slice(&definition);
    }
    if bytes.len() as u64 > DEFINITIONS_BYTES_MAX {
        return Err(FreshError::TooMany {
            count: contents.statements.len(),
        });
    }
    Ok((heap.push(&bytes, 8)?, bytes))
}

/// What stands at the beginning of hog's own page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnPage {
    /// Where the definitions are.
    pub definitions_at: u64,
    /// How long they are.
    pub definitions_bytes: u64,
    definitions_crc: u32,
    order: Order,
    roots_at: u64,
    empty_at: u64,
}

/// Length of that.
pub const OWN_PAGE_BYTES: usize = 8 + 8 + 8 + 4 + 4 + 8 + 8 + 4;

fn own_page(contents: &Contents, definitions_at: u64, definitions: &[u8]) -> Write {
    let mut bytes = Vec::with_capacity(OWN_PAGE_BYTES);
    bytes.put_u64_le(MAGIC);
    bytes.put_u64_le(definitions_at);
    bytes.put_u64_le(definitions.len() as u64);
    bytes.put_u32_le(crc32c::crc32c(definitions));
    bytes.put_u32_le(u32::from(contents.order == Order::Log));
    bytes.put_u64_le(contents.roots_at);
    bytes.put_u64_le(contents.empty_at);
    bytes.put_u32_le(crc32c::crc32c(&bytes));
    Write { at: STATE_AT, bytes }
}

impl OwnPage {
    /// From its bytes; `None` if they are none, so the file is not hog's.
    #[must_use]
    pub fn decode(bytes: &[u8; OWN_PAGE_BYTES]) -> Option<Self> {
        let (mut rest, mut crc) = bytes.split_at(OWN_PAGE_BYTES - 4);
        if crc32c::crc32c(rest) != crc.get_u32_le() || rest.get_u64_le() != MAGIC {
            return None;
        }
        let page = Self {
            definitions_at: rest.get_u64_le(),
            definitions_bytes: rest.get_u64_le(),
            definitions_crc: rest.get_u32_le(),
            order: match rest.get_u32_le() {
                0 => Order::Transactions,
                1 => Order::Log,
                _ => return None,
            },
            roots_at: rest.get_u64_le(),
            empty_at: rest.get_u64_le(),
        };
        (page.definitions_bytes <= DEFINITIONS_BYTES_MAX).then_some(page)
    }

    /// What is in the file whose page this is; `None` if `definitions` are not what it says.
    #[must_use]
    pub fn contents(&self, mut definitions: &[u8]) -> Option<Contents> {
        if definitions.len() as u64 != self.definitions_bytes || crc32c::crc32c(definitions) != self.definitions_crc {
            return None;
        }
        let mut contents = Contents {
            order: self.order,
            statements: Vec::new(),
            layouts: Vec::new(),
            roots_at: self.roots_at,
            empty_at: self.empty_at,
        };
        while !definitions.is_empty() {
            let (length, rest) = definitions.split_first_chunk()?;
            let (definition, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let definition = Definition::decode(definition).ok()?;
            contents.layouts.push(Stored::of(&definition.payload_type).ok()?.layout);
            contents.statements.push(definition);
            definitions = rest;
        }
        Some(contents)
    }
}

impl State {
    /// Makes room for copies, if there is too little.
    ///
    /// # Errors
    /// [`FileFull`].
    pub fn make_room(&mut self, heap: &mut Heap) -> Result<(), FileFull> {
        let needed = self.body_bytes();
        if needed > self.body_room {
            self.body_room = (2 * needed).next_multiple_of(PAGE_BYTES);
            self.bodies_at = heap.reserve(COPIES as u64 * self.body_room, PAGE_BYTES)?;
        }
        Ok(())
    }
}
