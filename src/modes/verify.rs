//! `hog verify`: reads all that spools and archives hold, and says whether it is whole.
//!
//! Checked are the CRC of every header and body, every checkpoint (also against the frames before it), every ring
//! record, run of fragments and definition, every payload against its statement's type, and that each stream goes on
//! without a hole. One line for each stream and one for all go to stdout, what is wrong to stderr.

use crate::exit::{ExitStatus, Failure};
use crate::formats::body::{End, Gap};
use crate::formats::value;
use crate::modes::archive_reader::{Complaints, Depth, Fault, ReadError, Record, StreamInfo, Summary, Visitor};
use crate::modes::hobbes_reader;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How to print the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyFormat {
    /// For people
    Text,
    /// One object a line: each stream, then the total
    Json,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Segment files, or directories that are looked through for them.
    pub paths: Vec<PathBuf>,
    /// How to print the result.
    pub format: VerifyFormat,
}

/// One stream. As JSON it is a documented contract, as is [`Total`].
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    /// The group.
    pub group: String,
    /// The ring's uuid.
    pub stream: String,
    /// The producer's name.
    pub producer: String,
    /// Records that applications logged.
    pub records: u64,
    /// The position at which what is held begins.
    pub first: u64,
    /// The position behind what is held.
    pub last: u64,
    /// How often positions are missing for good.
    pub gaps: u64,
    /// How many positions these are.
    pub gap_bytes: u64,
    /// Records that the producer dropped, by its own account.
    pub dropped: u64,
    /// Whether it is complete.
    pub ended: bool,
}

/// All streams together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Total {
    /// Segments that hold anything.
    pub segments: u64,
    /// Their sound frames.
    pub frames: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// Streams.
    pub streams: usize,
    /// Records that applications logged.
    pub records: u64,
    /// How often positions are missing for good.
    pub gaps: u64,
    /// How many positions these are.
    pub gap_bytes: u64,
    /// How often something was damaged, missing without a GAP, undefined or senseless.
    pub faults: u64,
}

/// Reads everything under the paths and prints what it is.
///
/// # Errors
/// [`ExitStatus::Failed`] when a path is missing, a directory cannot be listed, or the output cannot be written.
pub fn run(options: &VerifyOptions) -> Result<ExitStatus, Failure> {
    print(options, &mut io::stdout().lock(), io::stderr().lock())
}

/// Prints the result on `output`, and what is wrong on `words`.
fn print(options: &VerifyOptions, output: &mut dyn Write, words: impl Write) -> Result<ExitStatus, Failure> {
    let mut verifier = Verifier {
        streams: Vec::new(),
        complaints: Complaints::new(words),
        scratch: Vec::new(),
    };
    let summary = hobbes_reader::read(&options.paths, Depth::Everything, &mut verifier)?;
    let total = verifier.total(summary);
    let written = match options.format {
        VerifyFormat::Text => print_text(&verifier.streams, &total, output),
        VerifyFormat::Json => print_json(&verifier.streams, &total, output),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ReadError::Output(error).into()),
        _ if total.faults > 0 => Ok(verifier.complaints.status()),
        _ if total.gaps > 0 => Ok(ExitStatus::Degraded),
        _ => Ok(ExitStatus::Done),
    }
}

struct Verifier<W> {
    /// By number.
    streams: Vec<StreamReport>,
    complaints: Complaints<W>,
    /// Values that nobody looks at.
    scratch: Vec<u8>,
}

impl<W: Write> Verifier<W> {
    fn total(&self, summary: Summary) -> Total {
        let Summary {
            segments,
            frames,
            bytes,
        } = summary;
        let faults = self.complaints.count();
        let mut total = Total {
            segments,
            frames,
            bytes,
            streams: self.streams.len(),
            faults,
            ..Total::default()
        };
        for stream in &self.streams {
            total.records += stream.records;
            total.gaps += stream.gaps;
            total.gap_bytes += stream.gap_bytes;
        }
        total
    }
}

impl<W: Write> Visitor for Verifier<W> {
    fn met(&mut self, stream: &StreamInfo) -> io::Result<()> {
        self.streams.push(StreamReport {
            group: stream.group.to_string(),
            stream: stream.id.to_string(),
            producer: String::new(),
            records: 0,
            first: stream.first,
            last: stream.first,
            gaps: 0,
            gap_bytes: 0,
            dropped: 0,
            ended: false,
        });
        Ok(())
    }

    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        self.streams[stream.number].records += 1;
        self.scratch.clear();
        if let Err(error) = value::to_json(&record.definition.payload_type, record.payload, &mut self.scratch) {
            self.complaints.unreadable(stream, record, error);
        }
        Ok(())
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.streams[stream.number].records += 1;
        self.complaints.undefined(stream, position, statement);
        Ok(())
    }

    fn dropped(&mut self, stream: &StreamInfo, records: u64, _bytes: u64) -> io::Result<()> {
        let report = &mut self.streams[stream.number];
        report.dropped = report.dropped.max(records);
        Ok(())
    }

    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
        let report = &mut self.streams[stream.number];
        report.gaps += 1;
        report.gap_bytes += missing.end - missing.start;
        self.complaints.gap(stream, &missing, gap);
        Ok(())
    }

    fn deleted(&mut self, stream: &StreamInfo, missing: Range<u64>) -> io::Result<()> {
        self.complaints.deleted(stream, &missing);
        Ok(())
    }

    fn spoilt(&mut self, path: &Path, from: u64) -> io::Result<()> {
        self.complaints.spoilt(path, from);
        Ok(())
    }

    fn ended(&mut self, stream: &StreamInfo, end: &End) -> io::Result<()> {
        self.dropped(stream, end.records, end.bytes)
    }

    fn reached(&mut self, stream: &StreamInfo, position: u64, ended: bool) {
        let report = &mut self.streams[stream.number];
        report.last = position;
        report.ended = ended;
        if report.producer.is_empty() {
            report.producer = stream.producer.to_string();
        }
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.complaints.fault(fault);
        Ok(())
    }
}

/// Titles of the columns, and whether they are aligned to the right.
const COLUMNS: [(&str, bool); 10] = [
    ("GROUP", false),
    ("STREAM", false),
    ("PRODUCER", false),
    ("RECORDS", true),
    ("FIRST", true),
    ("LAST", true),
    ("GAPS", true),
    ("GAP-BYTES", true),
    ("DROPPED", true),
    ("ENDED", false),
];

fn print_text(streams: &[StreamReport], total: &Total, output: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
    rows.extend(streams.iter().map(row));
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    });
    for row in rows.iter().filter(|_| !streams.is_empty()) {
        let mut line = String::new();
        for ((cell, width), (_, right)) in row.iter().zip(widths).zip(COLUMNS) {
            line += &if right {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
        }
        writeln!(output, "{}", line.trim_end())?;
    }
    let Total {
        segments,
        frames,
        bytes,
        streams,
        records,
        gaps,
        gap_bytes,
        faults,
    } = total;
    writeln!(
        output,
        "total: {segments} segments, {frames} frames, {bytes} bytes, {streams} streams, {records} records, \
         {gaps} gaps of {gap_bytes} bytes, {faults} faults"
    )
}

fn row(stream: &StreamReport) -> [String; COLUMNS.len()] {
    let StreamReport {
        group,
        stream,
        producer,
        records,
        first,
        last,
        gaps,
        gap_bytes,
        dropped,
        ended,
    } = stream;
    // A producer chooses its name, and might choose one that moves the cursor.
    let producer = if producer.is_empty() {
        "-".to_owned()
    } else {
        producer.escape_debug().to_string()
    };
    let [records, first, last, gaps, gap_bytes, dropped] =
        [records, first, last, gaps, gap_bytes, dropped].map(u64::to_string);
    let ended = if *ended { "yes" } else { "no" }.to_owned();
    [
        group.clone(),
        stream.clone(),
        producer,
        records,
        first,
        last,
        gaps,
        gap_bytes,
        dropped,
        ended,
    ]
}

fn print_json(streams: &[StreamReport], total: &Total, output: &mut dyn Write) -> io::Result<()> {
    for stream in streams {
        serde_json::to_writer(&mut *output, stream)?;
        writeln!(output)?;
    }
    /// So that the last line is told from those of streams.
    #[derive(Serialize)]
    struct Last<'a> {
        total: &'a Total,
    }
    serde_json::to_writer(&mut *output, &Last { total })?;
    writeln!(output)
}

#[cfg(test)]
mod tests;
