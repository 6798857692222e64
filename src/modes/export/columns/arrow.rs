//! A file of Arrow's IPC, in batches.

use super::batch::Gathered;
use super::schema::{Inside, RANGE};
use crate::formats::value::ValueError;
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::modes::export::part::PartFile;
use crate::modes::export::sheet::{self, Range, Sheet};
use crate::modes::export::table::Layout;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::ArrowError;
use std::io;

/// Longest batch, in bytes: it is read as a whole.
const BATCH: u64 = 8 << 20;

/// A file of batches.
pub(in crate::modes::export) struct Batches {
    gathered: Gathered,
    writer: FileWriter<PartFile>,
}

impl Batches {
    pub(in crate::modes::export) fn new(layout: &Layout, file: PartFile) -> io::Result<Self> {
        let gathered = Gathered::new(layout, Inside::Dictionaries);
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::ZSTD))
            .map_err(io::Error::other)?;
        let writer = FileWriter::try_new_with_options(file, gathered.schema(), options).map_err(io::Error::other)?;
        Ok(Self { gathered, writer })
    }
}

/// Why the writer refuses: mostly because the file does.
fn refused(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, source) => source,
        error => io::Error::other(error),
    }
}

impl Sheet for Batches {
    fn add(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<Result<(), ValueError>> {
        let taken = self.gathered.add(stream, record);
        if self.gathered.held() >= BATCH {
            self.write_held()?;
        }
        Ok(taken)
    }

    fn columns(&self) -> usize {
        self.gathered.columns()
    }

    fn held(&self) -> u64 {
        self.gathered.held()
    }

    fn write_held(&mut self) -> io::Result<()> {
        match self.gathered.finish().map_err(io::Error::other)? {
            Some(batch) => self.writer.write(&batch).map_err(refused),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, range: &Range) -> io::Result<PartFile> {
        self.write_held()?;
        self.writer.write_metadata(RANGE, sheet::range_words(range));
        self.writer.finish().map_err(refused)?;
        self.writer.into_inner().map_err(refused)
    }
}
