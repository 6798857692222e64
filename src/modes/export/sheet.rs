//! What a file of a table does, whatever its format: it takes records, holds some of them back, and is finished.

use crate::formats::value::ValueError;
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::modes::export::part::PartFile;
use crate::modes::export::table::Layout;
use crate::modes::export::{ExportFormat, jsonl};
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

/// The positions that a file holds of each stream: of its first record, and of its last.
pub(super) type Range = BTreeMap<Uuid, RangeInclusive<u64>>;

/// A file of a table, while it is written.
pub(super) trait Sheet {
    /// Takes a record, or what can be had of it; then it says why not all. Errors are of the output.
    fn add(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<Result<(), ValueError>>;

    /// How many columns it has, each with what it takes in memory before it holds anything: none, if it writes lines.
    fn columns(&self) -> usize {
        0
    }

    /// How much of what it was given it holds in memory, in bytes.
    fn held(&self) -> u64 {
        0
    }

    /// Writes what it holds.
    fn write_held(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes all that is still to be written; the file is then to be finished.
    fn finish(self: Box<Self>, range: &Range) -> io::Result<PartFile>;
}

/// Begins a file of `format`.
pub(super) fn begin(format: ExportFormat, layout: &Arc<Layout>, file: PartFile) -> io::Result<Box<dyn Sheet>> {
    Ok(match format {
        ExportFormat::Jsonl => Box::new(jsonl::Lines::new(file)),
        // It has no tables.
        ExportFormat::Hobbes => return Err(io::ErrorKind::Unsupported.into()),
        ExportFormat::Csv => Box::new(super::csv::Cells::new(layout, file)?),
        #[cfg(feature = "columns")]
        ExportFormat::Parquet => Box::new(super::columns::parquet::Groups::new(layout, file)?),
        #[cfg(feature = "columns")]
        ExportFormat::Arrow => Box::new(super::columns::arrow::Batches::new(layout, file)?),
        #[cfg(not(feature = "columns"))]
        ExportFormat::Parquet | ExportFormat::Arrow => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// A range for the metadata of a file: positions by stream, in JSON.
#[cfg(feature = "columns")]
pub(super) fn range_words(range: &Range) -> String {
    let positions = |range: &RangeInclusive<u64>| serde_json::json!({"first": range.start(), "last": range.end()});
    let streams: serde_json::Map<String, serde_json::Value> = range
        .iter()
        .map(|(stream, range)| (stream.to_string(), positions(range)))
        .collect();
    serde_json::Value::Object(streams).to_string()
}
