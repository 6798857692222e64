//! Segments of an earlier session of which only both ends were read when they were entered: what lies in one follows from its own checkpoint and the one
//! at the head of the segment behind it. A start reads two places of such a segment, where it would wait for the disk once a frame.
//!
//! The two suffice where one writer finished the one in order and began the other behind it: both are of one run, their numbers follow each other, and the first
//! ends with SEAL. All other segments are read header by header. So is the beginning of each, up to its first records: who has none is what was left of a
//! segment that was dropped, and the first frame has the time of the oldest.
//!
//! Of a segment that was set aside, what took its place may begin a stream later than the checkpoints say, because nobody knew any more what came first: then some
//! positions count as owed that are in no segment, until the destination has what follows them.
//!
//! What is damaged further back in an unread segment nobody knows yet. Who ships it is the first to see it, and has another put in its place then
//! ([`SpoolIndex::replace_unread`]), as the start does where it sees damage.

use super::{IndexState, SpoolIndex};
use crate::exit::chain;
use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::table::{Stream, StreamState, Table};
use crate::ids::StreamId;
use crate::limits::segment_bytes;
use crate::os::disk;
use crate::seglog::quarantine::{self, QUARANTINED};
use crate::seglog::reader::{Head, Next, SegmentError, SegmentReader};
use crate::seglog::recovery::SegmentFile;
use crate::stages::spool::SpoolError;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A segment that is about to be entered, and its head. The reader stands behind that.
pub(super) struct Opened {
    pub(super) number: u64,
    pub(super) reader: SegmentReader,
    pub(super) head: Head,
    /// Bytes of its file.
    pub(super) bytes: u64,
}

/// What lies in a segment, as the checkpoints before and behind it tell.
pub(super) struct Told {
    /// First and last position of each stream.
    lies: HashMap<StreamId, (u64, u64)>,
    /// Where all streams end behind it.
    pub(super) ends: HashMap<StreamId, u64>,
    /// When the next one was begun, nanoseconds since 1970: none of its frames is younger.
    finished: u64,
}

impl Told {
    /// Whether the frame of `header`, which lies in the segment, is among what this says. A checkpoint that was written for want of a better one knows nothing.
    pub(super) fn knows(&self, header: &FrameHeader) -> bool {
        self.ends.get(&header.stream).is_some_and(|end| header.end <= *end)
    }
}

impl Opened {
    /// Opens `segment`. `None`: it has no head to speak of. Recovery has reported that if it is the last; otherwise the one behind it tells.
    pub(super) fn new(segment: &SegmentFile) -> Result<Option<Self>, SpoolError> {
        let mut reader = match SegmentReader::open(&segment.path) {
            Ok(reader) => reader,
            // Delivered and deleted since it was listed, when somebody else's spool is looked at.
            Err(SegmentError::Disk(error)) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(SegmentError::Disk(error)) => return Err(error.into()),
            Err(SegmentError::Header { .. }) => return Ok(None),
        };
        Ok(Some(Self {
            number: segment.number,
            bytes: reader.file_len()?,
            head: reader.checkpoint()?,
            reader,
        }))
    }

    /// What lies in it, if `next`, the segment behind it, tells.
    pub(super) fn told_by(&self, next: &Self) -> Result<Option<Told>, SpoolError> {
        let (Head::Whole(before), Head::Whole(after)) = (&self.head, &next.head) else {
            return Ok(None);
        };
        let is_of_one_run = self.reader.header().epoch == next.reader.header().epoch;
        if !is_of_one_run
            || self.number + 1 != next.number
            || self.reader.header_damage().is_some()
            || next.reader.header_damage().is_some()
            || !is_long(self.bytes)
            || !self.reader.is_sealed_at_its_end()?
        {
            return Ok(None);
        }
        Ok(lies_between(before, after).map(|lies| Told {
            lies,
            ends: ends_of(after),
            finished: next.reader.header().created,
        }))
    }
}

/// Whether to read a segment of so many bytes from its beginning to its end would take much longer than to read both ends.
fn is_long(bytes: u64) -> bool {
    bytes > segment_bytes() / 1024
}

/// Whether nothing behind the frame of `header` has to be looked at where both ends of a segment tell the rest: it shows that there are records, and has the
/// time of the oldest.
pub(super) fn is_enough(header: &FrameHeader) -> bool {
    header.kind == Kind::Data && header.time > 0
}

/// Where the streams of `table` end.
pub(super) fn ends_of(table: &Table) -> HashMap<StreamId, u64> {
    table.streams.iter().map(|(id, stream)| (*id, stream.end)).collect()
}

/// First and last position of each stream that grew from `before` to `after`; `None` where no log grows so.
fn lies_between(before: &Table, after: &Table) -> Option<HashMap<StreamId, (u64, u64)>> {
    // A stream is left out of a checkpoint only if it had ended, and does not lie in the segment in front of that.
    let goes_on = |(id, stream): (&StreamId, &Stream)| match after.streams.get(id) {
        Some(later) => stream.end <= later.end,
        None => stream.state != StreamState::Open,
    };
    if !before.streams.iter().all(goes_on) {
        return None;
    }
    let mut lies = HashMap::new();
    for (id, later) in &after.streams {
        let start = before.streams.get(id).map_or(later.first, |known| known.end);
        if start < later.end {
            lies.insert(*id, (start, later.end));
        }
    }
    Some(lies)
}

/// How many segments are looked at side by side.
const LOOKS: usize = 8;

/// Has in the page cache what is read of `segments` when they are entered. Whoever goes through them waits for the disk again and again; here that is done for some at
/// once. What is wrong is found by who reads them next.
pub(in crate::stages::spool) fn fetch(segments: &[SegmentFile]) {
    let next = AtomicUsize::new(0);
    let fetch = || {
        while let Some(segments) = segments.get(next.fetch_add(1, Ordering::Relaxed)..)
            && let Some(segment) = segments.first()
        {
            let _ = fetch_one(segment, segments.get(1));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LOOKS.min(segments.len() / 2) {
            // Where there can be no more threads they are read in turn, by who wants them.
            let _ = std::thread::Builder::new().spawn_scoped(scope, fetch);
        }
    });
}

fn fetch_one(segment: &SegmentFile, next: Option<&SegmentFile>) -> Result<(), SegmentError> {
    let mut reader = SegmentReader::open(&segment.path)?;
    let is_told = match next {
        Some(next) if is_long(reader.file_len()?) => {
            SegmentReader::open(&next.path)?.header().epoch == reader.header().epoch && reader.is_sealed_at_its_end()?
        }
        _ => false,
    };
    let mut body = Vec::new();
    while let Next::Frame(found) = reader.next_frame()? {
        match found.header.kind {
            Kind::Checkpoint => {
                body.clear();
                reader.read_body(&found, &mut body)?;
            }
            _ if is_told && is_enough(&found.header) => break,
            _ => {}
        }
    }
    Ok(())
}

impl IndexState {
    /// Adds what is `told` of segment `number`, which was entered and read up to its first records.
    pub(super) fn enter_told(&mut self, number: u64, told: Told) {
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        segment.is_unread = true;
        segment.newest = segment.newest.max(told.finished);
        for (stream, (start, end)) in told.lies {
            let range = segment.streams.entry(stream).or_insert_with(|| {
                *self.lies_in.entry(stream).or_default() += 1;
                (start, end)
            });
            range.1 = range.1.max(end);
        }
    }
}

impl IndexState {
    /// Whether `segment` is what `gone` is the sign of: nobody deleted it, or put another in its place.
    fn is_still(&self, segment: &SegmentFile, gone: &Arc<AtomicBool>) -> bool {
        let known = self.segments.get(&segment.number);
        known.is_some_and(|known| Arc::ptr_eq(&known.gone, gone))
    }
}

impl SpoolIndex {
    /// Puts another in the place of segment `number`, if it was entered unread: whoever reads it found that it is damaged, and passes on what
    /// this says of it in words. It has its sound frames, and GAPs for what is missing, as the checkpoint behind it tells; what was damaged is kept under a second
    /// name. Where the disk does not let that be done, it stays, is kept if it can be, and counts for what its headers still say. `None`: its frames
    /// were looked at when it was entered, or it is gone.
    ///
    /// # Errors
    /// When its headers cannot be read either; all is as it was, and it may be called again.
    pub fn replace_unread(&self, number: u64) -> Result<Option<String>, SpoolError> {
        let Some((segments, place, gone)) = self.unread(number) else {
            return Ok(None);
        };
        let segment = &segments[place];
        // A name that nobody else uses, who may find the same; the next start unlinks what was left.
        let unfinished = segment.path.with_extension(format!("{:016x}.new", fastrand::u64(..)));
        let copied = quarantine::copy_anew(&segments, place, &unfinished);
        let replaced = copied.map_err(SpoolError::from).and_then(|copied| {
            let has_its_place = self.take_place(segment, &unfinished, &gone)?;
            Ok(has_its_place.then_some(copied.words))
        });
        if !matches!(replaced, Ok(Some(_))) {
            let _ = disk::unlink(&unfinished); // nobody reads it
        }
        match replaced {
            Ok(None) => Ok(None),
            Ok(Some(words)) => Ok(Some(match segment.path.parent().map_or(Ok(()), disk::sync_directory) {
                Ok(()) => words,
                // The damaged one may come back after a loss of power, and the next start sees to it.
                Err(error) => format!("{words}; {}", chain(&error)),
            })),
            Err(error) => self.take_as_it_is(segment, &gone, &error),
        }
    }

    /// Nothing can be put in the place of `segment`, because of `error`: what its headers do not say any more is not awaited. Says so in words, unless
    /// `gone` is not its sign any more.
    fn take_as_it_is(
        &self,
        segment: &SegmentFile,
        gone: &Arc<AtomicBool>,
        error: &SpoolError,
    ) -> Result<Option<String>, SpoolError> {
        let mut state = self.lock();
        if !state.is_still(segment, gone) {
            return Ok(None);
        }
        let kept = disk::keep_as(&segment.path, QUARANTINED).is_ok();
        state.enter_again(segment)?;
        let done = if kept {
            "is kept as *.quarantined, but nothing sound can be put in its place"
        } else {
            "cannot be set aside"
        };
        Ok(Some(format!(
            "{} is damaged, and {done}: {}",
            segment.path.display(),
            chain(error)
        )))
    }

    /// The segments, which of them is segment `number`, and the sign that it is gone; `None` unless that was entered unread.
    fn unread(&self, number: u64) -> Option<(Vec<SegmentFile>, usize, Arc<AtomicBool>)> {
        let state = self.lock();
        let segment = state.segments.get(&number).filter(|segment| segment.is_unread)?;
        let place = state.segments.range(..number).count();
        Some((state.files(), place, Arc::clone(&segment.gone)))
    }

    /// Renames `unfinished` over `segment`, unless that is not any more what `gone` was the sign of. Says whether it did.
    fn take_place(&self, segment: &SegmentFile, unfinished: &Path, gone: &Arc<AtomicBool>) -> Result<bool, SpoolError> {
        // Under the lock: nobody deletes it, or puts another in its place, meanwhile.
        let mut state = self.lock();
        if !state.is_still(segment, gone) {
            return Ok(false);
        }
        disk::keep_as(&segment.path, QUARANTINED)?;
        disk::rename(unfinished, &segment.path)?;
        state.note_deletion(segment.number);
        state.enter_again(segment)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
