//! Records as `hog cat --format json` prints them, an object a line.

use crate::formats::value::ValueError;
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::modes::cat::json::JsonLines;
use crate::modes::export::part::PartFile;
use crate::modes::export::sheet::{Range, Sheet};
use std::io::{self, Write};

/// A file of lines.
pub(super) struct Lines {
    file: PartFile,
    lines: JsonLines,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn new(file: PartFile) -> Self {
        Self {
            file,
            lines: JsonLines::default(),
            line: Vec::new(),
        }
    }
}

impl Sheet for Lines {
    fn add(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<Result<(), ValueError>> {
        self.line.clear();
        let written = self.lines.write(stream, record, &mut self.line)?;
        self.file.write_all(&self.line)?;
        Ok(written)
    }

    /// Each line has its stream and position.
    fn finish(self: Box<Self>, _range: &Range) -> io::Result<PartFile> {
        Ok(self.file)
    }
}
