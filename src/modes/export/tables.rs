//! Tables from a reading: each record goes to the file of its statement and partition, and all files are finished and committed together.
//!
//! Memory is bounded whatever comes. What files hold back of their records is bounded in sum: when it is too much, the file that holds most writes it. Files that
//! are open are bounded in number: when one more is wanted, the one that was not written to for longest is finished, and another goes on for it. What is
//! written between two commits is bounded by the size of files.

use crate::exit::{ExitStatus, Failure};
use crate::formats::body::{End, Gap};
use crate::ids::StreamId;
use crate::modes::archive_reader::{Complaints, Depth, Fault, Progress, Record, StreamInfo, Visitor};
use crate::modes::export::ledger::{Delivery, Ledger, TableEntry, Terms};
use crate::modes::export::progress_bar::Bar;
use crate::modes::export::sheet::{self, Range, Sheet};
use crate::modes::export::table::Layout;
use crate::modes::export::{ExportOptions, Partition, place};
use crate::modes::hobbes_reader;
use crate::modes::selection::Selection;
use clap::ValueEnum;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use uuid::Uuid;

/// Files that are open at once.
const OPEN_MAX: usize = 512;
/// Columns that they have in sum, unless one file alone has more: what writes a column takes some kilobytes before it holds anything.
const OPEN_COLUMNS_MAX: usize = 8192;
/// Times that a file may have to write what it holds. Each adds to what is kept in memory of the file until it ends.
const WRITES_MAX: u32 = 4096;
/// Files that one commit delivers. More of them are only made where records jump between many partitions.
const DELIVERIES_MAX: usize = 10_000;
/// What a record takes in memory beside its payload, in bytes.
const RECORD_BYTES: u64 = 64;

pub(super) fn run(options: &ExportOptions) -> Result<ExitStatus, Failure> {
    let ledger = Ledger::open(&options.output, terms(options))?;
    let mut tables = Tables {
        options,
        selection: &options.selection,
        tables: Vec::new(),
        open: Vec::new(),
        places: HashMap::new(),
        columns: 0,
        known: Vec::new(),
        finished: Vec::new(),
        held: 0,
        uncommitted: 0,
        clock: 0,
        complaints: Complaints::new(io::stderr().lock()),
        bar: Bar::new(),
        ledger,
    };
    let begun_at = tables.ledger.progress().clone();
    let read = hobbes_reader::read_from(begun_at, &options.paths, Depth::Records, &mut tables);
    let done = read.and_then(|(_, progress)| Ok(tables.commit(&progress)?));
    tables.bar.finish();
    match done {
        Ok(()) => Ok(tables.complaints.status()),
        Err(error) => {
            tables.open.clear();
            tables.places.clear();
            let _ = tables.ledger.sweep(); // the next run does it if this one cannot
            Err(error.into())
        }
    }
}

fn terms(options: &ExportOptions) -> Terms {
    fn name(value: &impl ValueEnum) -> String {
        value
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
    fn set<T: Display>(values: &[T]) -> BTreeSet<String> {
        values.iter().map(ToString::to_string).collect()
    }
    Terms {
        format: name(&options.format),
        partition: name(&options.partition),
        groups: set(&options.selection.groups),
        streams: set(&options.selection.streams),
        sources: set(&options.selection.sources),
    }
}

/// A table, and where its files lie.
struct Table {
    layout: Arc<Layout>,
    directory: String,
}

/// A file that takes records of a table.
struct Open {
    table: usize,
    bucket: u64,
    part: u64,
    to: String,
    sheet: Box<dyn Sheet>,
    range: Range,
    /// The stream that the last record came from, and its positions, which are not in `range` yet.
    run: (Uuid, u64, u64),
    held: u64,
    /// How often it was told to write what it holds.
    writes: u32,
    /// When it was last written to.
    used: u64,
}

struct Tables<'o, W> {
    options: &'o ExportOptions,
    selection: &'o Selection,
    tables: Vec<Table>,
    open: Vec<Open>,
    /// The place in `open` of each file, by table and partition.
    places: HashMap<(usize, u64), usize>,
    /// Columns of the files that are open.
    columns: usize,
    /// The table of each statement by id, of each stream by number.
    known: Vec<Vec<(u32, usize)>>,
    /// Files that are whole and synced.
    finished: Vec<Delivery>,
    /// What all files hold in memory, in bytes.
    held: u64,
    /// What was read since the last commit, in bytes.
    uncommitted: u64,
    /// Counts records.
    clock: u64,
    complaints: Complaints<W>,
    bar: Bar,
    ledger: Ledger,
}

impl<W: Write> Tables<'_, W> {
    /// The table of a record: found where its statement's table was found before, or made.
    fn table(&mut self, stream: &StreamInfo, record: &Record<'_>) -> usize {
        if self.known.len() <= stream.number {
            self.known.resize_with(stream.number + 1, Vec::new);
        }
        let definition = record.definition;
        let known = &mut self.known[stream.number];
        let place = known.binary_search_by_key(&definition.id, |(id, _)| *id);
        if let Ok(place) = place
            && self.tables[known[place].1].layout.is_of(definition)
        {
            return known[place].1;
        }
        let found = self
            .tables
            .iter()
            .position(|table| *table.layout.group == *stream.group && table.layout.is_of(definition));
        let table = found.unwrap_or(self.tables.len());
        match place {
            Ok(place) => known[place].1 = table,
            Err(place) => known.insert(place, (definition.id, table)),
        }
        if found.is_none() {
            let layout = Layout::of(&stream.group, definition, self.options.partition);
            let directory = directory_of(&mut self.ledger, &layout);
            self.tables.push(Table {
                layout: Arc::new(layout),
                directory,
            });
        }
        table
    }

    /// The open file for a record of `table` that was logged at `time`.
    fn file(&mut self, table: usize, time: u64) -> io::Result<usize> {
        let bucket = place::bucket(self.options.partition, time);
        if let Some(place) = self.places.get(&(table, bucket)) {
            return Ok(*place);
        }
        while self.open.len() >= OPEN_MAX || (self.columns >= OPEN_COLUMNS_MAX && !self.open.is_empty()) {
            let oldest = (0..self.open.len()).min_by_key(|place| self.open[*place].used);
            self.finish(oldest.unwrap_or(0))?;
        }
        let Table { layout, directory } = &self.tables[table];
        let (part, file) = self.ledger.begin().map_err(io::Error::other)?;
        let sheet = sheet::begin(self.options.format, layout, file)?;
        let name = format!("part-{part:020}.{}", self.options.format.extension());
        let to = match self.options.partition {
            Partition::None => format!("{directory}/{name}"),
            by => format!("{directory}/{}/{name}", place::partition(by, bucket)),
        };
        self.open.push(Open {
            table,
            bucket,
            part,
            to,
            sheet,
            range: Range::new(),
            run: (Uuid::nil(), 0, 0),
            held: 0,
            writes: 0,
            used: self.clock,
        });
        let place = self.open.len() - 1;
        self.columns += self.open[place].sheet.columns();
        self.places.insert((table, bucket), place);
        Ok(place)
    }

    /// Finishes a file: the next commit delivers it.
    fn finish(&mut self, place: usize) -> io::Result<()> {
        let mut open = self.open.swap_remove(place);
        self.places.remove(&(open.table, open.bucket));
        if let Some(moved) = self.open.get(place) {
            self.places.insert((moved.table, moved.bucket), place);
        }
        self.columns -= open.sheet.columns();
        self.held -= open.held;
        open.end_run();
        let file = open.sheet.finish(&open.range)?;
        file.finish().map_err(io::Error::other)?;
        self.finished.push(Delivery {
            part: open.part,
            to: open.to,
        });
        Ok(())
    }

    /// Finishes all files, and commits what was read up to `progress`.
    fn commit(&mut self, progress: &Progress) -> io::Result<()> {
        while !self.open.is_empty() {
            self.finish(self.open.len() - 1)?;
        }
        let mut finished = std::mem::take(&mut self.finished);
        finished.sort_by_key(|delivery| delivery.part);
        self.ledger.commit(progress, finished).map_err(io::Error::other)?;
        self.uncommitted = 0;
        Ok(())
    }

    /// Has files write what they hold until it is no more than may be.
    fn make_room(&mut self) -> io::Result<()> {
        while self.held > self.options.row_group {
            let Some(place) = (0..self.open.len()).max_by_key(|place| self.open[*place].held) else {
                break;
            };
            let open = &mut self.open[place];
            open.writes += 1;
            if open.writes > WRITES_MAX {
                self.finish(place)?;
                continue;
            }
            open.sheet.write_held()?;
            let held = open.sheet.held();
            if held >= open.held {
                break;
            }
            self.held -= open.held - held;
            open.held = held;
        }
        Ok(())
    }
}

impl Open {
    /// Notes that the file has a record.
    #[inline]
    fn note(&mut self, stream: StreamId, position: u64) {
        if self.run.0 != stream.0 {
            self.end_run();
            self.run = (stream.0, position, position);
        }
        self.run.2 = position;
    }

    fn end_run(&mut self) {
        let (stream, first, last) = self.run;
        if !stream.is_nil() {
            let range = self.range.entry(stream).or_insert(first..=last);
            *range = *range.start()..=last;
        }
    }
}

/// The directory of a table: the one it has, or a new one. Of several tables of one name the first has the name alone.
fn directory_of(ledger: &mut Ledger, layout: &Layout) -> String {
    let Layout {
        group,
        statement,
        schema,
        ..
    } = layout;
    let is_it = |entry: &&TableEntry| entry.group == *group && entry.statement == *statement && entry.schema == *schema;
    if let Some(entry) = ledger.tables().iter().find(is_it) {
        return entry.directory.clone();
    }
    let name = format!("{}/{}", place::safe(group), place::safe(statement));
    let is_taken = ledger.tables().iter().any(|entry| entry.directory == name);
    let directory = if is_taken { format!("{name}~{schema}") } else { name };
    ledger.add_table(TableEntry {
        group: group.clone(),
        statement: statement.clone(),
        schema: schema.clone(),
        directory: directory.clone(),
    });
    directory
}

impl<W: Write> Visitor for Tables<'_, W> {
    fn wants(&self, stream: StreamId) -> bool {
        self.selection.wants_stream(stream)
    }

    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        if !self.selection.wants(stream, record) {
            return Ok(());
        }
        let table = self.table(stream, record);
        let place = self.file(table, record.time.unwrap_or(record.drained))?;
        self.clock += 1;
        let open = &mut self.open[place];
        open.used = self.clock;
        open.note(stream.id, record.position);
        let read = open.sheet.add(stream, record)?;
        let held = open.sheet.held();
        self.held = self.held - open.held + held;
        open.held = held;
        let bytes = record.payload.len() as u64;
        self.uncommitted += bytes + RECORD_BYTES;
        if let Err(error) = read {
            self.complaints.unreadable(stream, record, error);
        }
        if self.held > self.options.row_group {
            self.make_room()?;
        }
        Ok(())
    }

    fn settled(&mut self, progress: &Progress) -> io::Result<()> {
        if self.uncommitted >= self.options.file_size || self.finished.len() >= DELIVERIES_MAX {
            self.commit(progress)?;
        }
        Ok(())
    }

    fn to_be_read(&mut self, bytes: u64) {
        self.bar.begin(bytes);
    }

    fn frame_read(&mut self, bytes: u64) {
        self.bar.add(bytes);
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        self.complaints.undefined(stream, position, statement);
        Ok(())
    }

    fn gap(&mut self, stream: &StreamInfo, missing: std::ops::Range<u64>, gap: &Gap) -> io::Result<()> {
        if self.selection.wants_stream(stream.id) {
            self.complaints.gap(stream, &missing, gap);
        }
        Ok(())
    }

    fn dropped(&mut self, stream: &StreamInfo, records: u64, bytes: u64) -> io::Result<()> {
        if self.selection.wants_stream(stream.id) {
            self.complaints.dropped(stream, records, bytes);
        }
        Ok(())
    }

    fn ended(&mut self, stream: &StreamInfo, end: &End) -> io::Result<()> {
        self.dropped(stream, end.records, end.bytes)
    }

    fn deleted(&mut self, stream: &StreamInfo, missing: std::ops::Range<u64>) -> io::Result<()> {
        if self.selection.wants_stream(stream.id) {
            self.complaints.deleted(stream, &missing);
        }
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.complaints.fault(fault);
        Ok(())
    }
}
