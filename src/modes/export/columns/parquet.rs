//! A file of Parquet.
//!
//! Records are gathered into batches small enough for the processor's caches, which are encoded and compressed as they come; a row group is written when the
//! records in it are as many bytes as may be held. Positions and times, which mostly rise, are stored as differences.

use super::batch::Gathered;
use super::schema::{Inside, RANGE};
use crate::formats::value::ValueError;
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::modes::export::part::PartFile;
use crate::modes::export::sheet::{self, Range, Sheet};
use crate::modes::export::table::{FIRST, Layout};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::io;

/// How much is gathered before it is encoded, in bytes.
const BATCH: u64 = 1 << 20;

/// A file of row groups.
pub(in crate::modes::export) struct Groups {
    gathered: Gathered,
    writer: ArrowWriter<PartFile>,
    /// What is encoded and not written, in bytes before that.
    encoded: u64,
    /// What the encoders take for it, in bytes: more, of few rows in many columns.
    encoders: u64,
}

impl Groups {
    pub(in crate::modes::export) fn new(layout: &Layout, file: PartFile) -> io::Result<Self> {
        let gathered = Gathered::new(layout, Inside::Texts);
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("hog ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(None);
        let [_, position, time, drained, transaction] = FIRST;
        for rising in [position, time, drained, transaction] {
            let path = ColumnPath::from(rising);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
        let schema = gathered.schema().clone();
        let writer = ArrowWriter::try_new(file, schema, Some(properties.build())).map_err(refused)?;
        Ok(Self {
            gathered,
            writer,
            encoded: 0,
            encoders: 0,
        })
    }

    fn encode(&mut self) -> io::Result<()> {
        let held = self.gathered.held();
        if let Some(batch) = self.gathered.finish().map_err(io::Error::other)? {
            self.writer.write(&batch).map_err(refused)?;
            self.encoded += held;
            self.encoders = self.writer.memory_size() as u64;
        }
        Ok(())
    }
}

/// Why the writer refuses: mostly because the file does.
fn refused(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => io::Error::other(source),
        error => io::Error::other(error),
    }
}

impl Sheet for Groups {
    fn add(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<Result<(), ValueError>> {
        let taken = self.gathered.add(stream, record);
        if self.gathered.held() >= BATCH {
            self.encode()?;
        }
        Ok(taken)
    }

    fn columns(&self) -> usize {
        self.gathered.columns()
    }

    fn held(&self) -> u64 {
        self.gathered.held() + self.encoded.max(self.encoders)
    }

    fn write_held(&mut self) -> io::Result<()> {
        self.encode()?;
        (self.encoded, self.encoders) = (0, 0);
        self.writer.flush().map_err(refused)
    }

    fn finish(mut self: Box<Self>, range: &Range) -> io::Result<PartFile> {
        self.encode()?;
        // What the schema of Arrow says too; not all readers look into it.
        let schema = self.gathered.schema().clone();
        let mut metadata: Vec<_> = schema.metadata().iter().collect();
        metadata.sort();
        let range = (RANGE.to_owned(), sheet::range_words(range));
        for (key, words) in metadata.into_iter().chain([(&range.0, &range.1)]) {
            self.writer
                .append_key_value_metadata(KeyValue::new(key.clone(), words.clone()));
        }
        self.writer.into_inner().map_err(refused)
    }
}
