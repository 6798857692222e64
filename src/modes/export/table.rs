//! What a table is: a statement of a group, its type, and the columns that this makes.
//!
//! Before the columns of the statement come those that every table has. Names of columns are told apart without regard to case, as SQL does: a field that
//! is called as a column before it, or as a directory that readers take for a column, gets a `_` behind its name. What it is called without that, a tool reads in the schema of the file.

use crate::modes::export::Partition;
use crate::modes::export::place::short_hash;
use hog_ring::statement::{Definition, flags};
use hog_ring::types::Type;

/// Columns that every table begins with.
pub(super) const FIRST: [&str; 5] = ["stream", "position", "time", "drained", "transaction"];
/// The column behind them, in tables of what an engine logs.
pub(super) const CONTINUED: &str = "continued";
/// The last column of every table.
pub(super) const BYTES: &str = "bytes";
/// The column of a statement whose value is no record of fields.
const VALUE: &str = "value";

/// What the records of a table have in common.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) group: String,
    pub(super) statement: String,
    /// Tells the type from those of statements of the same name.
    pub(super) schema: String,
    /// The statement is an engine's: its lines may be pieces.
    pub(super) is_line: bool,
    pub(super) payload_type: Type,
    /// The fields of the statement, as they are called in the table and by the statement.
    pub(super) fields: Vec<(String, String)>,
}

impl Layout {
    pub(super) fn of(group: &str, definition: &Definition, partition: Partition) -> Self {
        let is_line = definition.flags & flags::LINE != 0;
        let mut taken: Vec<&str> = FIRST.to_vec();
        taken.extend(is_line.then_some(CONTINUED));
        taken.push(BYTES);
        taken.extend(partition.columns());
        let wanted: Vec<&str> = match &definition.payload_type {
            Type::Record(fields) => fields.iter().map(|field| field.name.as_str()).collect(),
            ty if ty.is_primitive("unit") => Vec::new(),
            _ => vec![VALUE],
        };
        let names = unique(&taken, &wanted);
        Self {
            group: group.to_owned(),
            statement: definition.name.clone(),
            schema: schema_of(definition),
            is_line,
            payload_type: definition.payload_type.clone(),
            fields: names
                .into_iter()
                .zip(wanted.iter().map(|name| (*name).to_owned()))
                .collect(),
        }
    }

    /// Whether it is that of records of `definition`.
    #[inline]
    pub(super) fn is_of(&self, definition: &Definition) -> bool {
        self.statement == definition.name
            && self.is_line == (definition.flags & flags::LINE != 0)
            && self.payload_type == definition.payload_type
    }

    /// The names of all columns, in order.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = FIRST.to_vec();
        names.extend(self.is_line.then_some(CONTINUED));
        names.extend(self.fields.iter().map(|(name, _)| name.as_str()));
        names.push(BYTES);
        names
    }
}

/// Tells what a definition makes of its records from what others of the same name do.
fn schema_of(definition: &Definition) -> String {
    let mut bytes = vec![u8::from(definition.flags & flags::LINE != 0)];
    definition.payload_type.encode(&mut bytes);
    short_hash(&bytes)
}

/// The names in `wanted`, each other than all before it and than all in `taken`. What begins with a dot has no name but a number: it goes without the dot.
pub(super) fn unique(taken: &[&str], wanted: &[&str]) -> Vec<String> {
    let mut used: std::collections::HashSet<String> = taken.iter().map(|name| name.to_lowercase()).collect();
    wanted
        .iter()
        .map(|name| {
            let name = name.trim_start_matches('.');
            let mut name = if name.is_empty() { "_" } else { name }.to_owned();
            while !used.insert(name.to_lowercase()) {
                name.push('_');
            }
            name
        })
        .collect()
}
