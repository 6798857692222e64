//! Finds where a log stands: the last segment whose checkpoint is whole, its table, and what its frames add.
//!
//! Only that segment is read. It is synced first: what a killed writer appended is in the page cache alone, and what recovery
//! builds on must be on the disk.

use crate::formats::codec::Decompressor;
use crate::formats::frame::{self, FrameHeader};
use crate::formats::segment::{self, SegmentHeader, SegmentHeaderError};
use crate::formats::table::Table;
use crate::os::disk::{self, DiskError, at};
use crate::seglog::reader::{Ending, FoundFrame, Head, Next, SegmentError, SegmentReader};
use hog_ring::mutant;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A segment file by its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentFile {
    /// As in its name.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The segments in one directory, by number.
///
/// # Errors
/// When the directory cannot be listed.
pub fn segments_in(directory: &Path) -> Result<Vec<SegmentFile>, DiskError> {
    let mut segments: Vec<_> = disk::entries(directory)?
        .into_iter()
        .filter_map(|path| {
            Some(SegmentFile {
                number: segment::number_of(path.file_name()?)?,
                path,
            })
        })
        .collect();
    segments.sort();
    Ok(segments)
}

/// Where a log stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// The sum of all its frames.
    pub table: Table,
    /// The header of the segment that says so; `None` for a new log.
    pub last: Option<SegmentHeader>,
    /// The number of the segment to begin.
    pub next_number: u64,
    /// Places that were damaged, in words.
    pub damages: Vec<String>,
    /// The numbers of the segments with such places: [`quarantine`](super::quarantine) is for them.
    pub damaged: BTreeSet<u64>,
}

impl Standing {
    fn note(&mut self, segment: &SegmentFile, damage: String) {
        self.damages.push(damage);
        self.damaged.insert(segment.number);
    }
}

/// Recovers the log whose segments are `segments`, sorted by number.
///
/// # Errors
/// When the disk fails. Damage is no error: it is told in the result.
pub fn recover(segments: &[SegmentFile]) -> Result<Standing, SegmentError> {
    let mut standing = Standing {
        next_number: segments.last().map_or(1, |last| last.number + 1),
        ..Standing::default()
    };
    let mut headless = Vec::new();
    for candidate in segments.iter().rev() {
        disk::sync_file(&candidate.path)?;
        if let Some(directory) = candidate.path.parent() {
            disk::sync_directory(directory)?;
        }
        let mut reader = match SegmentReader::open(&candidate.path) {
            Ok(reader) => reader,
            Err(SegmentError::Disk(error)) => return Err(error.into()),
            // Its writer was killed before the header was whole, or the power failed.
            Err(SegmentError::Header {
                source: SegmentHeaderError::Short(_) | SegmentHeaderError::Magic([0, 0, 0, 0, 0, 0, 0, 0]),
                ..
            }) => continue,
            Err(error) => {
                standing.note(candidate, error.to_string());
                continue;
            }
        };
        if let Some(error) = reader.header_damage() {
            standing.note(candidate, format!("{}: {error}", candidate.path.display()));
        }
        match reader.checkpoint()? {
            Head::Whole(table) => {
                if !mutant::on("no-recovery") {
                    standing.table = table;
                }
                standing.last = Some(reader.header().clone());
                if !mutant::on("no-recovery") {
                    add_frames(&mut reader, candidate, &mut standing)?;
                }
                break;
            }
            Head::Unfinished => {}
            Head::Damaged(words) => {
                standing.note(candidate, format!("{}: {words}", candidate.path.display()));
                headless.push((reader, candidate));
            }
        }
    }
    // What a segment with a damaged checkpoint holds goes on where its predecessor ends.
    for (mut reader, segment) in headless.into_iter().rev() {
        add_frames(&mut reader, segment, &mut standing)?;
        standing.last = Some(reader.header().clone());
    }
    Ok(standing)
}

fn add_frames(reader: &mut SegmentReader, segment: &SegmentFile, standing: &mut Standing) -> Result<(), SegmentError> {
    let path = reader.path().to_owned();
    let mut decompressor = Decompressor::new().map_err(at("decompress", &path))?;
    let mut body = Vec::new();
    for_each_frame(reader, &mut |reader, event| {
        let found = match event {
            Event::Frame(found) => found,
            Event::Damaged { from, to, .. } => {
                let words = format!("{} is damaged from byte {from} to byte {to}", path.display());
                standing.note(segment, words);
                return Ok(true);
            }
        };
        body.clear();
        let needs_body = !matches!(found.header.kind, frame::Kind::Data) || found.header.has(frame::STATEMENTS);
        // Every body is checked, also of frames whose positions are all that counts here: what recovery says is held gets acknowledged.
        if !reader.read_body(&found, &mut body)? {
            return Ok(false);
        }
        let raw = if needs_body {
            decompressor.raw(&found.header, &body)
        } else {
            Ok(&[][..])
        };
        let applied = raw.map_err(|error| error.to_string()).and_then(|raw| {
            standing
                .table
                .apply(&found.header, raw)
                .map_err(|error| error.to_string())
        });
        if let Err(error) = applied {
            standing.damages.push(format!(
                "{}: the frame at byte {} does not fit: {error}",
                path.display(),
                found.offset
            ));
        }
        Ok(true)
    })?;
    Ok(())
}

/// What [`for_each_frame`] meets.
pub enum Event {
    /// A frame with a sound header.
    Frame(FoundFrame),
    /// A damaged place that was passed over.
    Damaged {
        /// First offset.
        from: u64,
        /// Offset behind it.
        to: u64,
        /// The header of the frame there, if that is sound.
        touched: Option<FrameHeader>,
    },
}

/// Calls `visit` for each frame from where `reader` stands. When `visit` answers false the frame's body was bad, and the reader judges
/// the place: damage is passed over, a torn end ends the walk.
///
/// # Errors
/// When the file cannot be read, or as `visit`.
pub fn for_each_frame(
    reader: &mut SegmentReader,
    visit: &mut dyn FnMut(&mut SegmentReader, Event) -> Result<bool, SegmentError>,
) -> Result<Ending, SegmentError> {
    loop {
        let mut next = reader.next_frame()?;
        if let Next::Frame(found) = next {
            if visit(reader, Event::Frame(found))? {
                continue;
            }
            next = reader.reject(&found)?;
        }
        match next {
            Next::Frame(_) => {}
            Next::Damaged { from, to, touched, .. } => {
                visit(reader, Event::Damaged { from, to, touched })?;
            }
            Next::End(ending) => return Ok(ending),
        }
    }
}
