//! Tables: a directory `GROUP/STATEMENT` for each statement, with files of its records.

use crate::exit::{ExitStatus, Failure};
use crate::formats::body::Gap;
use crate::ids::StreamId;
use crate::modes::archive_reader::{self, Complaints, Depth, Fault, ReadError, Record, StreamInfo, Visitor};
use crate::modes::cat::json::JsonLines;
use crate::modes::export::ExportOptions;
use crate::modes::selection::Selection;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;

pub(super) fn run(options: &ExportOptions) -> Result<ExitStatus, Failure> {
    let mut tables = Tables {
        output: options.output.clone(),
        selection: options.selection.clone(),
        lines: JsonLines::default(),
        line: Vec::new(),
        files: HashMap::new(),
        complaints: Complaints::new(io::stderr().lock()),
    };
    archive_reader::read(&options.paths, Depth::Records, &mut tables)?;
    for file in tables.files.values_mut() {
        file.flush().map_err(ReadError::Output)?;
    }
    Ok(tables.complaints.status())
}

struct Tables<W> {
    output: PathBuf,
    selection: Selection,
    lines: JsonLines,
    line: Vec<u8>,
    files: HashMap<(String, String), BufWriter<File>>,
    complaints: Complaints<W>,
}

impl<W: Write> Tables<W> {
    fn file(&mut self, group: &str, statement: &str) -> io::Result<&mut BufWriter<File>> {
        let key = (group.to_owned(), statement.replace('/', "%2F"));
        if !self.files.contains_key(&key) {
            let directory = self.output.join(&key.0).join(&key.1);
            fs::create_dir_all(&directory)?;
            let file = File::create_new(directory.join(format!("part-{:020}.jsonl", 1)))?;
            self.files.insert(key.clone(), BufWriter::new(file));
        }
        self.files.get_mut(&key).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl<W: Write> Visitor for Tables<W> {
    fn wants(&self, stream: StreamId) -> bool {
        self.selection.wants_stream(stream)
    }

    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        if !self.selection.wants(stream, record) {
            return Ok(());
        }
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        if let Err(error) = self.lines.write(stream, record, &mut line)? {
            self.complaints.unreadable(stream, record, error);
        }
        self.file(&stream.group, &record.definition.name)?.write_all(&line)?;
        self.line = line;
        Ok(())
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.complaints.undefined(stream, position, statement);
        Ok(())
    }

    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
        self.complaints.gap(stream, &missing, gap);
        Ok(())
    }

    fn deleted(&mut self, stream: &StreamInfo, missing: Range<u64>) -> io::Result<()> {
        self.complaints.deleted(stream, &missing);
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.complaints.fault(fault);
        Ok(())
    }
}
