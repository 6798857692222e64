//! What a file records: the statements, and the order in which their records came.
//!
//! The recorder keeps a series `log`, or `transactions` where programs commit by hand, whose entries refer to the records of all statements; they alone are
//! read, for they say what and where each record is. A file that has neither, as those that programs write with the original's library for C++,
//! has records of one name in their order, and none among names.

use super::damage::Damage;
use super::environment::{Binding, environment};
use super::kind::{self, Bound, ENTRY_BYTES, ENTRY_PLACE_AT, Entries, Kind, KindError, STATEMENTS_MAX, Transactions};
use super::pages::pages;
use super::series::{Batch, Series};
use super::source::{Source, u32_at, u64_at};
use super::stored::Layout;
use super::values::{Budget, payload};
use hog_ring::statement::{Definition, flags};
use hog_ring::types::{Field, Type};
use std::collections::HashMap;

/// What a file records.
#[derive(Debug, Default)]
pub struct Recording {
    /// The statements.
    pub statements: Vec<Statement>,
    /// The series to read, one after the other.
    pub lanes: Vec<Lane>,
    by_id: HashMap<u32, usize>,
}

/// A statement of a file.
#[derive(Debug)]
pub struct Statement {
    /// What is known of it.
    pub definition: Definition,
    /// What its records look like in the file, if that is understood.
    pub layout: Result<Layout, KindError>,
}

/// A series that is read.
#[derive(Debug)]
pub struct Lane {
    /// Where it is.
    pub series: Series,
    /// What stands in its slots.
    pub slots: Slots,
}

/// What stands in the slots of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Entries, each of which refers to a record.
    Log,
    /// The time of a transaction, and the place of its entries.
    Transactions {
        /// Where in the slot the time is.
        time_at: u64,
        /// Where in the slot the place of the entries is.
        entries_at: u64,
    },
    /// Records of this statement, by its place among them.
    Records(usize),
}

/// A transaction, of which nothing was read but where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Microseconds since 1970.
    pub time: i64,
    /// Where its first entry is.
    pub entries: u64,
    /// How many there are.
    pub count: u64,
}

impl Recording {
    /// Finds out what a file records. What is wrong but leaves the rest sound is added to `damage`.
    ///
    /// # Errors
    /// When nothing of it can be read.
    pub fn open(source: &mut impl Source, budget: &mut Budget, damage: &mut Vec<Damage>) -> Result<Self, Damage> {
        let pages = pages(source, damage)?;
        let bindings = environment(source, &pages, damage);
        let mut found = Self::default();
        let order = ["log", "transactions"].iter().find_map(|name| {
            bindings
                .iter()
                .find(|binding| binding.name == *name && is_series(binding))
        });
        match order {
            Some(binding) => found.take_order(binding)?,
            None => found.take_each(&bindings, damage),
        }
        if found.lanes.is_empty() {
            return Err(nothing_in(&bindings));
        }
        if let Some(about) = bindings.iter().find(|binding| binding.name == "statements")
            && let Err(error) = found.take_words(source, about, budget)
        {
            damage.push(error);
        }
        Ok(found)
    }

    /// Takes `log` or `transactions`.
    fn take_order(&mut self, binding: &Binding) -> Result<(), Damage> {
        let Bound::Series { element, records } = bound(binding)? else {
            return Err(Damage::Missing { what: "log" });
        };
        let at_fault = |source| Damage::Type {
            name: binding.name.clone(),
            source,
        };
        let (stride, slots, entries) = if binding.name == "log" {
            (ENTRY_BYTES, Slots::Log, kind::log(element).map_err(at_fault)?)
        } else {
            let Transactions {
                time_at,
                entries_at,
                size,
                entries,
            } = kind::transactions(element).map_err(at_fault)?;
            (size, Slots::Transactions { time_at, entries_at }, entries)
        };
        self.take_statements(entries);
        self.lanes.push(Lane {
            series: Series {
                root: binding.offset,
                stride,
                align: 8,
                records,
            },
            slots,
        });
        Ok(())
    }

    fn take_statements(&mut self, entries: Entries) {
        for statement in entries.statements {
            self.by_id.entry(statement.id).or_insert(self.statements.len());
            self.statements
                .push(Statement::new(statement.name, statement.id, statement.kind));
        }
    }

    /// Takes all series, each as the records of a statement.
    fn take_each(&mut self, bindings: &[Binding], damage: &mut Vec<Damage>) {
        for binding in bindings.iter().filter(|binding| !binding.name.starts_with('.')) {
            let (element, records) = match bound(binding) {
                Ok(Bound::Series { element, records }) => (element, records),
                Ok(_) => continue,
                Err(error) => {
                    damage.push(error);
                    continue;
                }
            };
            if self.statements.len() as u64 >= STATEMENTS_MAX {
                return;
            }
            let number = self.statements.len();
            let id = u32::try_from(number).unwrap_or(u32::MAX);
            let statement = Statement::new(binding.name.clone(), id, kind::kind(element));
            match &statement.layout {
                Ok(layout) => self.lanes.push(Lane {
                    series: Series {
                        root: binding.offset,
                        stride: layout.size,
                        align: layout.align,
                        records,
                    },
                    slots: Slots::Records(number),
                }),
                Err(error) => damage.push(Damage::Type {
                    name: binding.name.clone(),
                    source: error.clone(),
                }),
            }
            self.statements.push(statement);
        }
    }

    /// Takes from `statements` what the program said of each.
    fn take_words(&mut self, source: &mut impl Source, binding: &Binding, budget: &mut Budget) -> Result<(), Damage> {
        let Bound::Array(element) = bound(binding)? else {
            return Ok(());
        };
        let Kind { payload: ty, layout } = kind::kind(element).map_err(|source| Damage::Type {
            name: binding.name.clone(),
            source,
        })?;
        let count = u64_at(source, binding.offset)?.min(STATEMENTS_MAX);
        let mut words = HashMap::new();
        let mut row = Vec::new();
        for number in 0..count {
            row.clear();
            let at = binding.offset + 8 + number * layout.size;
            payload(source, &layout, at, budget, &mut row)?;
            if let Some(about) = Words::of(&ty, &row) {
                words.insert(about.name.clone(), about);
            }
        }
        for Statement { definition, .. } in &mut self.statements {
            if let Some(about) = words.get(&definition.name) {
                definition.flags = about.flags;
                definition.format.clone_from(&about.display);
                definition.file.clone_from(&about.file);
                definition.line = about.line;
            }
        }
        Ok(())
    }

    /// The place of the statement that the entry at `at` speaks of, and where its record is.
    ///
    /// # Errors
    /// [`Damage`].
    pub fn entry(&self, source: &mut impl Source, at: u64) -> Result<(usize, u64), Damage> {
        let found = u32_at(source, at)?;
        let place = u64_at(source, at.saturating_add(ENTRY_PLACE_AT))?;
        match self.by_id.get(&found) {
            Some(statement) => Ok((*statement, place)),
            None => Err(Damage::Statement { offset: at, found }),
        }
    }

    /// Appends the payload of a record of the statement at that place.
    ///
    /// # Errors
    /// [`Damage`].
    pub fn payload(
        &self,
        source: &mut impl Source,
        statement: usize,
        at: u64,
        budget: &mut Budget,
        out: &mut Vec<u8>,
    ) -> Result<(), Damage> {
        match &self.statements[statement].layout {
            Ok(layout) => payload(source, layout, at, budget, out),
            Err(error) => Err(Damage::Kind(error.clone())),
        }
    }
}

/// The transaction in the slot at `at`.
///
/// # Errors
/// [`Damage`].
pub fn transaction(source: &mut impl Source, at: u64, time_at: u64, entries_at: u64) -> Result<Transaction, Damage> {
    let time = u64_at(source, at.saturating_add(time_at))?.cast_signed();
    let place = u64_at(source, at.saturating_add(entries_at))?;
    let count = u64_at(source, place)?;
    let entries = place + 8;
    super::source::require(source, entries, count.saturating_mul(ENTRY_BYTES))?;
    Ok(Transaction { time, entries, count })
}

impl Batch {
    /// Where slot `number` is, of length `stride`.
    #[must_use]
    pub fn slot(&self, number: u64, stride: u64) -> u64 {
        self.slots.saturating_add(number.saturating_mul(stride))
    }
}

impl Statement {
    fn new(name: String, id: u32, kind: Result<Kind, KindError>) -> Self {
        let (payload_type, layout) = match kind {
            Ok(Kind { payload, layout }) => (payload, Ok(layout)),
            Err(error) => (Type::unit(), Err(error)),
        };
        Self {
            definition: Definition {
                id,
                name,
                flags: flags::HLOG,
                format: String::new(),
                file: String::new(),
                line: 0,
                payload_type,
            },
            layout,
        }
    }
}

/// A row of `statements`.
#[derive(Debug, Default)]
struct Words {
    name: String,
    flags: u64,
    display: String,
    file: String,
    line: u32,
}

impl Words {
    /// From the payload of a row, as far as it has fields that we know.
    fn of(ty: &Type, mut row: &[u8]) -> Option<Self> {
        let Type::Record(fields) = ty else { return None };
        let mut words = Self::default();
        for Field { name, holds, .. } in fields {
            let (number, behind) = row.split_first_chunk::<8>()?;
            let number = u64::from_le_bytes(*number);
            row = behind;
            if holds.is_text() {
                let (text, behind) = row.split_at_checked(usize::try_from(number).ok()?)?;
                row = behind;
                let text = String::from_utf8_lossy(text).into_owned();
                match name.as_str() {
                    "name" => words.name = text,
                    "display" => words.display = text,
                    "file" => words.file = text,
                    _ => {}
                }
            } else if holds.is_primitive("long") {
                match name.as_str() {
                    "flags" => words.flags = number,
                    "line" => words.line = u32::try_from(number).unwrap_or(0),
                    _ => {}
                }
            } else {
                return None;
            }
        }
        Some(words)
    }
}

fn bound(binding: &Binding) -> Result<Bound<'_>, Damage> {
    kind::bound(&binding.ty).map_err(|source| Damage::Type {
        name: binding.name.clone(),
        source,
    })
}

fn is_series(binding: &Binding) -> bool {
    matches!(kind::bound(&binding.ty), Ok(Bound::Series { .. }))
}

/// Why a file has nothing to read.
fn nothing_in(bindings: &[Binding]) -> Damage {
    let compressed = bindings
        .iter()
        .find(|binding| matches!(kind::bound(&binding.ty), Ok(Bound::Compressed)));
    match compressed {
        Some(binding) => Damage::Compressed {
            name: binding.name.clone(),
        },
        None => Damage::Missing {
            what: "series of records",
        },
    }
}
