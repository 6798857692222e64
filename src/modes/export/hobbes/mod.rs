//! `hog export --format hobbes`: `.log` files as the original's recorder writes them, made from archives.
//!
//! What readers of the original find: `hi` and programs that read its files. What is exported goes into [`HobbesWriter`]; here is what reads the archive. It is
//! read twice: at first for the statements, so that one file has series for all of them, then for the records. A run that was
//! killed is gone on with by the next one, behind the last commit; none is lost or doubled, and the order is the archive's.

mod file;
mod names;
mod stage;
mod writer;

pub(in crate::modes) use writer::{HobbesWriter, WriteError};

use crate::exit::{ExitStatus, Failure};
use crate::formats::body::Gap;
use crate::formats::fregion::fresh::Order;
use crate::ids::StreamId;
use crate::modes::archive_reader::{
    Complaints, Depth, Fault, Follower, Progress, ReadError, Record, StreamInfo, Visitor,
};
use crate::modes::export::progress_bar::Bar;
use crate::modes::export::{ExportOptions, Series};
use crate::modes::hobbes_reader;
use crate::modes::selection::Selection;
use crate::modes::stop::Stop;
use names::Names;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often it is looked for what was appended.
const LOOK: Duration = Duration::from_millis(100);

/// So long at most what was exported may be lost in a loss of power, while there is little to do. It would be exported again.
const SYNC_EACH: Duration = Duration::from_secs(2);

/// The writer for the files that begin with `first`.
///
/// # Errors
/// [`WriteError`].
pub(in crate::modes) fn open(first: &Path, order: Order) -> Result<HobbesWriter, WriteError> {
    HobbesWriter::open(Names::of(first), order)
}

/// The writer for the files `STEM-0.log`, `STEM-1.log` and so on.
///
/// # Errors
/// [`WriteError`].
pub(in crate::modes) fn open_numbered(stem: &Path, order: Order) -> Result<HobbesWriter, WriteError> {
    HobbesWriter::open(Names::numbered(stem), order)
}

/// Exports the records under the paths.
pub(super) fn run(options: &ExportOptions) -> Result<ExitStatus, Failure> {
    let order = match options.series {
        Series::Transactions => Order::Transactions,
        Series::Log => Order::Log,
    };
    if let Some(first) = names::first_of(&options.output) {
        let words = format!(
            "-o {} is what follows {first} when that is at its end: name a file that does not end with a number behind `-`",
            options.output.display()
        );
        return Err(Failure::new(ExitStatus::Usage, words));
    }
    let writer = open(&options.output, order)?;
    let mut exporter = HobbesExporter::new(writer, options.selection.clone(), io::stderr().lock());
    exporter.bar = Some(Bar::new());
    exporter.declare(options)?;
    if options.follow {
        if hobbes_reader::are_recordings(&options.paths)? {
            let words = "--follow goes on with archives; of a `.log` file, export again what is new";
            return Err(Failure::new(ExitStatus::Usage, words));
        }
        let stop = Stop::on_signals().map_err(|error| Failure::of(&error))?;
        follow(options, &mut exporter, &stop)?;
        return Ok(ExitStatus::Done);
    }
    let from = exporter.writer.progress().clone();
    let (_, progress) = hobbes_reader::read_from(from, &options.paths, Depth::Records, &mut exporter)?;
    exporter.settled = Some(progress);
    exporter.commit()?;
    exporter.writer.sync()?;
    exporter.bar.iter().for_each(Bar::finish);
    Ok(exporter.complaints.status())
}

/// Goes on with what is appended until it is time to end.
fn follow<W: Write>(options: &ExportOptions, exporter: &mut HobbesExporter<W>, stop: &Stop) -> Result<(), Failure> {
    let from = exporter.writer.progress().clone();
    let mut follower = Follower::from(&options.paths, from, exporter, stop)?;
    let mut synced = Instant::now();
    loop {
        follower.round()?;
        let exporter = follower.visitor();
        exporter.commit()?;
        let is_over = stop.wait(LOOK);
        if is_over || synced.elapsed() >= SYNC_EACH {
            exporter.writer.sync()?;
            synced = Instant::now();
        }
        if is_over {
            return Ok(());
        }
    }
}

/// Takes what is read to a [`HobbesWriter`].
pub(in crate::modes) struct HobbesExporter<W> {
    /// Where it goes.
    pub(in crate::modes) writer: HobbesWriter,
    selection: Selection,
    pub(in crate::modes) complaints: Complaints<W>,
    /// How far it was read.
    settled: Option<Progress>,
    bar: Option<Bar>,
}

impl<W: Write> HobbesExporter<W> {
    /// What is wrong goes to `words`.
    pub(in crate::modes) fn new(writer: HobbesWriter, selection: Selection, words: W) -> Self {
        Self {
            writer,
            selection,
            complaints: Complaints::new(words),
            settled: None,
            bar: None,
        }
    }

    /// Commits what was read so far.
    ///
    /// # Errors
    /// [`WriteError`]; nothing more can be exported then.
    pub(in crate::modes) fn commit(&mut self) -> Result<(), WriteError> {
        let Some(progress) = self.settled.take() else {
            return Ok(());
        };
        let complaints = &mut self.complaints;
        self.writer.commit(&progress, &mut |stream, record, reason| {
            complaints.unreadable(stream, record, reason);
        })
    }

    /// Makes known all statements of the records that are to be exported.
    fn declare(&mut self, options: &ExportOptions) -> Result<(), ReadError> {
        let from = self.writer.progress().clone();
        let mut declarer = Declarer {
            writer: &mut self.writer,
            selection: &self.selection,
        };
        hobbes_reader::read_from(from, &options.paths, Depth::Records, &mut declarer)?;
        self.writer.begin_reading();
        Ok(())
    }
}

impl<W: Write> Visitor for HobbesExporter<W> {
    fn wants(&self, stream: StreamId) -> bool {
        self.selection.wants_stream(stream)
    }

    #[inline]
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        if self.selection.wants(stream, record) {
            if let Some(bar) = &mut self.bar {
                bar.add(record.payload.len() as u64);
            }
            let complaints = &mut self.complaints;
            self.writer.record(stream, record, &mut |stream, record, reason| {
                complaints.unreadable(stream, record, reason);
            });
        }
        Ok(())
    }

    fn settled(&mut self, progress: &Progress) -> io::Result<()> {
        self.settled = Some(progress.clone());
        if self.writer.is_full() {
            self.commit()?;
        }
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

    fn spoilt(&mut self, path: &Path, from: u64) -> io::Result<()> {
        self.complaints.spoilt(path, from);
        Ok(())
    }

    fn dropped(&mut self, stream: &StreamInfo, records: u64, bytes: u64) -> io::Result<()> {
        self.complaints.dropped(stream, records, bytes);
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.complaints.fault(fault);
        Ok(())
    }
}

/// Looks for statements alone. What is wrong is told when the records are read.
struct Declarer<'w> {
    writer: &'w mut HobbesWriter,
    selection: &'w Selection,
}

impl Visitor for Declarer<'_> {
    fn wants(&self, stream: StreamId) -> bool {
        self.selection.wants_stream(stream)
    }

    #[inline]
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        if self.selection.wants(stream, record) {
            self.writer.declare(stream, record);
        }
        Ok(())
    }

    fn undefined(&mut self, _stream: &StreamInfo, _position: u64, _statement: u32) -> io::Result<()> {
        Ok(())
    }

    fn gap(&mut self, _stream: &StreamInfo, _missing: Range<u64>, _gap: &Gap) -> io::Result<()> {
        Ok(())
    }

    fn fault(&mut self, _fault: &Fault) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
