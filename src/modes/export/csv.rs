//! Records as lines of comma-separated values, with a line of names first: the columns of docs/COLUMNS.md, each in one cell.
//!
//! A cell has what `hog cat` shows of a value that stands alone: texts, dates and names of cases as they are, other values as JSON. Null is an empty cell.

use crate::formats::value::{self, ValueError};
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::modes::export::part::PartFile;
use crate::modes::export::sheet::{Range, Sheet};
use crate::modes::export::table::Layout;
use crate::os::clock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hog_ring::statement::flags;
use std::io;
use std::sync::Arc;

/// A file of lines of cells.
pub(super) struct Cells {
    layout: Arc<Layout>,
    writer: csv::Writer<PartFile>,
    /// The cells of a record's fields, one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    /// Begins with the line of names.
    pub(super) fn new(layout: &Arc<Layout>, file: PartFile) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(layout.names())?;
        Ok(Self {
            layout: Arc::clone(layout),
            writer,
            text: Vec::new(),
            ends: Vec::new(),
        })
    }

    fn optional(&mut self, cell: Option<String>) -> csv::Result<()> {
        self.writer.write_field(cell.unwrap_or_default())
    }

    /// Writes the cells of the fields; says whether they hold all of the payload.
    fn fields(&mut self, record: &Record<'_>) -> io::Result<Result<bool, ValueError>> {
        self.text.clear();
        self.ends.clear();
        let ty = &record.definition.payload_type;
        let outcome = match value::field_texts(ty, record.payload, &mut self.text, &mut self.ends) {
            Ok(outcome) => outcome,
            Err(error) => {
                for _ in &self.layout.fields {
                    self.writer.write_field("")?;
                }
                return Ok(Err(error));
            }
        };
        let (mut start, mut is_all) = (0, !outcome.invalid_utf8);
        for end in &self.ends {
            let cell = &self.text[start..*end];
            let shown = String::from_utf8_lossy(cell);
            is_all &= shown.as_bytes() == cell;
            self.writer.write_field(&*shown)?;
            start = *end;
        }
        Ok(Ok(is_all))
    }
}

impl Sheet for Cells {
    fn add(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<Result<(), ValueError>> {
        self.writer.write_field(stream.id.to_string())?;
        self.writer.write_field(record.position.to_string())?;
        self.optional(record.time.map(|ns| clock::rfc3339(ns).to_string()))?;
        let drained = (record.drained > 0).then(|| clock::rfc3339(record.drained).to_string());
        self.optional(drained)?;
        self.optional(record.transaction.map(|position| position.to_string()))?;
        if self.layout.is_line {
            let is_continued = record.definition.flags & flags::CONTINUED != 0;
            self.writer.write_field(if is_continued { "true" } else { "false" })?;
        }
        let written = self.fields(record)?;
        let bytes = (!matches!(written, Ok(true))).then(|| STANDARD.encode(record.payload));
        self.optional(bytes)?;
        self.writer.write_record(None::<&[u8]>)?;
        Ok(written.map(drop))
    }

    /// Each line has its stream and position.
    fn finish(self: Box<Self>, _range: &Range) -> io::Result<PartFile> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}
