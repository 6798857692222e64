//! Reads an archive as `hog cat` does, and holds it against what was logged.

use super::history::{History, check_order_of_runs};
use super::program;
use crate::formats::body::{End, Gap};
use crate::ids::StreamId;
use crate::modes::archive_reader::{Depth, Fault, Record, StreamInfo, Visitor, read};
use crate::seglog::reader::SegmentReader;
use crate::seglog::recovery::{self, Event, SegmentFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use uuid::Uuid;

#[derive(Default)]
struct Found {
    /// Numbers by program, in the order of the archive.
    numbers: Vec<Vec<u64>>,
    /// All of them with their programs.
    all: Vec<(usize, u64)>,
    complaints: Vec<String>,
    /// Streams that never ended, by what names them to the visitor.
    open: BTreeMap<usize, StreamId>,
    may_lack: bool,
}

/// What an archive must hold.
pub(super) struct Must<'a> {
    /// By program.
    pub(super) histories: &'a [&'a History],
    /// Rings that are kept for their programs: their streams do not end.
    pub(super) kept: &'a BTreeSet<Uuid>,
    /// Memory was lost, and what was not synced: GAPs are no complaint, nor are records whose definition is gone, and streams may never end.
    pub(super) may_lack: bool,
}

/// Whether the archive below `path` holds what each program logged, and nothing else, in order, also that of runs of any programs that followed one another,
/// and each stream is over whose ring is.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn archive(path: &Path, must: &Must<'_>) -> Result<(), String> {
    let mut found = Found {
        numbers: vec![Vec::new(); must.histories.len()],
        all: Vec::new(),
        complaints: Vec::new(),
        open: BTreeMap::new(),
        may_lack: must.may_lack,
    };
    if path.exists() {
        read(&[path.to_owned()], Depth::Everything, &mut found).map_err(|error| error.to_string())?;
    }
    if let Some(words) = found.complaints.first() {
        return Err(words.clone());
    }
    if let Some(stream) = found.open.values().find(|stream| !must.kept.contains(&stream.0))
        && !must.may_lack
    {
        return Err(format!("stream {stream} never ended, and has no ring"));
    }
    for (program, (history, numbers)) in must.histories.iter().zip(&found.numbers).enumerate() {
        history
            .check(numbers)
            .map_err(|words| format!("program {program}: {words}"))?;
    }
    check_order_of_runs(must.histories, &found.all)
}

/// Whether no frame of an archive that never had to go back stores again what one before it stores.
///
/// # Errors
/// What is stored twice, in words.
pub(super) fn stored_once(segments: &[SegmentFile]) -> Result<(), String> {
    let mut ends: BTreeMap<StreamId, u64> = BTreeMap::new();
    let mut twice = None;
    for segment in segments {
        let Ok(mut reader) = SegmentReader::open(&segment.path) else {
            continue; // its writer was killed before its header was whole
        };
        reader.checkpoint().map_err(|error| error.to_string())?;
        let walked = recovery::for_each_frame(&mut reader, &mut |_, event| {
            if let Event::Frame(found) = event
                && found.header.kind.takes_positions()
            {
                let end = ends.entry(found.header.stream).or_default();
                if found.header.start < *end {
                    twice.get_or_insert((found.header, *end));
                }
                *end = (*end).max(found.header.end);
            }
            Ok(true)
        });
        walked.map_err(|error| error.to_string())?;
    }
    twice.map_or(Ok(()), |(header, end)| {
        let (stream, from) = (header.stream, header.start);
        Err(format!(
            "stream {stream} is stored from {from} on though it was stored up to {end}"
        ))
    })
}

impl Visitor for Found {
    fn record(&mut self, stream: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        match program::understand(record.payload) {
            Some((program, number)) if (program as usize) < self.numbers.len() => {
                self.numbers[program as usize].push(number);
                self.all.push((program as usize, number));
            }
            _ => self.complaints.push(format!(
                "{stream} has a record at {} that nobody logged",
                record.position
            )),
        }
        Ok(())
    }

    fn met(&mut self, stream: &StreamInfo) -> io::Result<()> {
        self.open.insert(stream.number, stream.id);
        Ok(())
    }

    fn ended(&mut self, stream: &StreamInfo, _end: &End) -> io::Result<()> {
        self.open.remove(&stream.number);
        Ok(())
    }

    fn undefined(&mut self, stream: &StreamInfo, position: u64, statement: u32) -> io::Result<()> {
        // Its definition may have lain in a segment that was lost with what was not synced.
        if !self.may_lack {
            let words = format!("{stream} has a record at {position} of statement {statement}, which nothing defines");
            self.complaints.push(words);
        }
        Ok(())
    }

    fn gap(&mut self, stream: &StreamInfo, missing: Range<u64>, gap: &Gap) -> io::Result<()> {
        if !self.may_lack {
            let words = format!("{stream} has a GAP at {missing:?}: {:?}", gap.reason);
            self.complaints.push(words);
        }
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.complaints.push(fault.to_string());
        Ok(())
    }
}
