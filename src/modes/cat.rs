//! `hog cat`: prints what spools and archives hold, on stdout, and what is wrong with them, on stderr.
//!
//! It prints all that is sound and whole, each record once, and takes no lock. Status 0 says that nothing was damaged,
//! undefined or missing without a GAP; a GAP is told on stderr and changes nothing. When whoever reads the output
//! closes it, that is the end, and a good one.

use crate::exit::{ExitStatus, Failure};
use crate::formats::body::Gap;
use crate::formats::value::{self, ValueError};
use crate::modes::archive_reader::{self, Complaints, Depth, Fault, ReadError, Record, StreamInfo, Visitor};
use crate::os::clock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use hog_ring::statement::flags;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// How to print a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CatFormat {
    /// One object a line: group, stream, position, time, statement, value, text
    Json,
    /// The lines that an engine logged, as they were; nothing of other records
    Raw,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct CatOptions {
    /// Segment files, or directories that are looked through for them.
    pub paths: Vec<PathBuf>,
    /// How to print a record.
    pub format: CatFormat,
}

/// Output that is gathered for one write, in bytes.
const OUTPUT_BYTES: usize = 256 << 10;

/// Prints the records under the paths.
///
/// # Errors
/// [`ExitStatus::Failed`] when a path is missing, a directory cannot be listed, or the output cannot be written.
pub fn run(options: &CatOptions) -> Result<ExitStatus, Failure> {
    // Not through io::stdout, which looks for the last newline of all that passes.
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(ReadError::Output)?;
    print(options, File::from(stdout), io::stderr().lock())
}

/// Prints the records on `output`, and what is wrong on `words`.
fn print(options: &CatOptions, output: impl Write, words: impl Write) -> Result<ExitStatus, Failure> {
    let mut printer = Printer {
        format: options.format,
        output: BufWriter::with_capacity(OUTPUT_BYTES, output),
        complaints: Complaints::new(words),
        line: Vec::new(),
        text: Vec::new(),
    };
    let read = archive_reader::read(&options.paths, Depth::Records, &mut printer);
    match read.and_then(|_| Ok(printer.output.flush()?)) {
        Ok(()) if printer.complaints.count() > 0 => Ok(ExitStatus::Integrity),
        Ok(()) => Ok(ExitStatus::Done),
        Err(error) if error.is_closed_pipe() => Ok(ExitStatus::Done),
        Err(error) => Err(error.into()),
    }
}

struct Printer<O: Write, W> {
    format: CatFormat,
    output: BufWriter<O>,
    complaints: Complaints<W>,
    /// The line that is made.
    line: Vec<u8>,
    /// The record's text, before it goes into the line.
    text: Vec<u8>,
}

impl<O: Write, W: Write> Visitor for Printer<O, W> {
    #[inline]
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        match self.format {
            CatFormat::Raw => self.raw(stream, record),
            CatFormat::Json => self.json(stream, record),
        }
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.complaints.undefined(stream, position, statement);
        Ok(())
    }

    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
        self.complaints.gap(stream, &missing, gap);
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.complaints.fault(fault);
        Ok(())
    }
}

impl<O: Write, W: Write> Printer<O, W> {
    #[inline]
    fn raw(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        let definition = record.definition;
        if definition.flags & flags::LINE == 0 {
            return Ok(());
        }
        let Some(text) = value::text_field(&definition.payload_type, record.payload, "text") else {
            self.complaints
                .unreadable(stream, record, "it is a line and has no text");
            return Ok(());
        };
        self.output.write_all(text)?;
        if definition.flags & flags::CONTINUED == 0 {
            self.output.write_all(b"\n")?;
        }
        Ok(())
    }

    fn json(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        let Record {
            position,
            time,
            definition,
            payload,
        } = *record;
        self.line.clear();
        // Names of groups, uuids and times need no escapes.
        write!(
            self.line,
            r#"{{"group":"{}","stream":"{}","position":{position},"time":"#,
            stream.group, stream.id
        )?;
        match time {
            Some(ns) => write!(self.line, r#""{}""#, clock::rfc3339(ns))?,
            None => self.line.extend_from_slice(b"null"),
        }
        self.line.extend_from_slice(br#","statement":"#);
        serde_json::to_writer(&mut self.line, &definition.name)?;
        self.line.extend_from_slice(br#","value":"#);
        let is_exact = match self.value_and_text(record) {
            Ok(is_exact) => is_exact,
            Err(error) => {
                self.line.extend_from_slice(br#"null,"text":null"#);
                self.complaints.unreadable(stream, record, error);
                false
            }
        };
        if definition.flags & flags::CONTINUED != 0 {
            self.line.extend_from_slice(br#","continued":true"#);
        }
        if !is_exact {
            write!(self.line, r#","bytes":"{}""#, STANDARD.encode(payload))?;
        }
        self.line.extend_from_slice(b"}\n");
        self.output.write_all(&self.line)
    }

    /// Appends the value and the member `text` to the line; says whether they hold all of the payload. On an error the
    /// line is as before.
    fn value_and_text(&mut self, record: &Record<'_>) -> Result<bool, ValueError> {
        let before = self.line.len();
        let outcome = value::to_json(&record.definition.payload_type, record.payload, &mut self.line)?;
        self.text.clear();
        value::format_text(record.definition, record.payload, &mut self.text)
            .inspect_err(|_| self.line.truncate(before))?;
        self.line.extend_from_slice(br#","text":"#);
        let text = String::from_utf8_lossy(&self.text);
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut self.line, &text);
        Ok(!outcome.invalid_utf8)
    }
}

#[cfg(test)]
mod tests;
