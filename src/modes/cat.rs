//! `hog cat`: prints what spools and archives hold, on stdout, and what is wrong with them, on stderr.
//!
//! It prints all that is sound, whole and selected, each record once, and takes no lock. Status 0 says that nothing was
//! damaged, undefined or missing without a GAP; a GAP is told on stderr and changes nothing. When whoever reads the output
//! closes it, that is the end, and a good one. A `cat` that follows ends well whatever it has told on the way.

pub(in crate::modes) mod json;
pub mod moment;
mod output;
mod text;

use crate::exit::{ExitStatus, Failure};
use crate::formats::body::{End, Gap};
use crate::formats::value;
use crate::ids::StreamId;
use crate::modes::archive_reader::{Complaints, Depth, Fault, ReadError, Record, StreamInfo, Visitor};
use crate::modes::hobbes_reader::{self, Follower};
use crate::modes::selection::Selection;
use crate::modes::stop::Stop;
use crate::os::clock;
use anstream::AutoStream;
use clap::{ColorChoice, ValueEnum};
use hog_ring::statement::flags;
use json::JsonLines;
use output::PatientOutput;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use text::TextLines;

/// How to print a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CatFormat {
    /// One line a record: time, group, statement, and the format string filled in
    Text,
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
    /// Whether text has colours. `Auto`: on a terminal, unless the environment says otherwise.
    pub color: ColorChoice,
    /// Which records.
    pub selection: Selection,
    /// Go on with what is appended.
    pub follow: bool,
}

/// Output that is gathered for one write, in bytes.
const OUTPUT_BYTES: usize = 256 << 10;
/// How often it is looked for more, unless looking takes long.
const LOOK: Duration = Duration::from_millis(100);
/// Looking for more takes at most one part of so many of the time.
const LOOK_SHARE: u32 = 10;

/// Prints the records under the paths.
///
/// # Errors
/// [`ExitStatus::Failed`] when a path is missing, a directory cannot be listed, or the output cannot be written.
pub fn run(options: &CatOptions) -> Result<ExitStatus, Failure> {
    // Not through io::stdout, which looks for the last newline of all that passes.
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(ReadError::Output)?;
    let stdout = File::from(stdout);
    if options.follow {
        let stop = Stop::on_signals().map_err(|error| Failure::of(&error))?;
        let output = PatientOutput::new(stdout, &stop);
        return follow(options, output, &stop, io::stderr().lock());
    }
    print(options, stdout, io::stderr().lock())
}

/// Prints the records on `output`, and what is wrong on `words`.
fn print(options: &CatOptions, output: impl Write, words: impl Write) -> Result<ExitStatus, Failure> {
    let mut printer = Printer::new(options, output, words);
    let read = hobbes_reader::read(&options.paths, Depth::Records, &mut printer);
    match read.and_then(|_| Ok(printer.output.flush()?)) {
        Ok(()) => Ok(printer.complaints.status()),
        Err(error) if error.is_closed_pipe() => Ok(ExitStatus::Done),
        Err(error) => Err(error.into()),
    }
}

/// Prints the records, and those that come, until it is time to end or nobody reads them any more.
fn follow(options: &CatOptions, output: PatientOutput, stop: &Stop, words: impl Write) -> Result<ExitStatus, Failure> {
    let mut printer = Printer::new(options, output, words);
    match follow_until(stop, &options.paths, &mut printer) {
        Err(error) if !error.is_closed_pipe() => Err(error.into()),
        _ => Ok(ExitStatus::Done),
    }
}

fn follow_until<W: Write>(
    stop: &Stop,
    paths: &[PathBuf],
    printer: &mut Printer<PatientOutput, W>,
) -> Result<(), ReadError> {
    let mut follower = Follower::new(paths, printer, stop)?;
    loop {
        let began = Instant::now();
        follower.round()?;
        let output = &mut follower.visitor().output;
        output.flush()?;
        if !output.get_ref().wait(LOOK.max(began.elapsed() * LOOK_SHARE))? {
            return Ok(());
        }
    }
}

/// How a record becomes bytes.
enum Lines {
    Text(TextLines),
    Json(JsonLines),
    Raw,
}

struct Printer<O: Write, W> {
    lines: Lines,
    selection: Selection,
    output: BufWriter<O>,
    complaints: Complaints<W>,
    /// The line that is made.
    line: Vec<u8>,
}

impl<O: Write, W: Write> Printer<O, W> {
    fn new(options: &CatOptions, output: O, words: W) -> Self {
        let lines = match options.format {
            CatFormat::Text => Lines::Text(TextLines::new(has_colours(options.color), clock::local_zone())),
            CatFormat::Json => Lines::Json(JsonLines::default()),
            CatFormat::Raw => Lines::Raw,
        };
        Self {
            lines,
            selection: options.selection.clone(),
            output: BufWriter::with_capacity(OUTPUT_BYTES, output),
            complaints: Complaints::new(words),
            line: Vec::new(),
        }
    }

    /// To complain in text, where what is said stands behind the line that it follows.
    fn complain(&mut self) -> io::Result<&mut Complaints<W>> {
        if matches!(self.lines, Lines::Text(_)) {
            self.output.flush()?;
        }
        Ok(&mut self.complaints)
    }

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
}

/// Whether text has colours: as asked for; or on a terminal, unless `NO_COLOR`, `CLICOLOR` or `TERM` say no; or because
/// `CLICOLOR_FORCE` does.
fn has_colours(choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
    }
}

impl<O: Write, W: Write> Visitor for Printer<O, W> {
    fn wants(&self, stream: StreamId) -> bool {
        self.selection.wants_stream(stream)
    }

    fn since(&self) -> u64 {
        self.selection.since.unwrap_or(0)
    }

    #[inline]
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        if !self.selection.wants(stream, record) {
            return Ok(());
        }
        self.line.clear();
        let written = match &mut self.lines {
            Lines::Raw => return self.raw(stream, record),
            Lines::Text(lines) => lines.write(stream, record, &mut self.line),
            Lines::Json(lines) => lines.write(stream, record, &mut self.line)?,
        };
        self.output.write_all(&self.line)?;
        if let Err(error) = written {
            self.complain()?.unreadable(stream, record, error);
        }
        Ok(())
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.complain()?.undefined(stream, position, statement);
        Ok(())
    }

    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
        if self.selection.wants_stream(stream.id) {
            self.complain()?.gap(stream, &missing, gap);
        }
        Ok(())
    }

    fn dropped(&mut self, stream: &StreamInfo, records: u64, bytes: u64) -> io::Result<()> {
        if matches!(self.lines, Lines::Text(_)) && self.selection.wants_stream(stream.id) {
            self.complain()?.dropped(stream, records, bytes);
        }
        Ok(())
    }

    fn ended(&mut self, stream: &StreamInfo, end: &End) -> io::Result<()> {
        self.dropped(stream, end.records, end.bytes)
    }

    fn deleted(&mut self, stream: &StreamInfo, missing: Range<u64>) -> io::Result<()> {
        if self.selection.wants_stream(stream.id) {
            self.complain()?.deleted(stream, &missing);
        }
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.complain()?.fault(fault);
        Ok(())
    }
}

#[cfg(test)]
pub(in crate::modes) mod tests;
