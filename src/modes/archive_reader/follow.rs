//! Reads on as logs grow: what is there, then what is appended, in new segments, dates and groups too.
//!
//! Of each log the last segment stays open. It is read up to the last whole frame, again and again, until a segment with a
//! higher number is there: whoever writes a log has then left the segment before for good. So all of it is read in the
//! order of [`read`](super::read), but for groups, which take turns as they grow.
//!
//! A segment that is deleted while it is open is read to its end. One that came and was deleted between two looks, as a
//! spool's may be, is passed over, and [`Visitor::deleted`] told.

use crate::modes::archive_reader::progress::Progress;
use crate::modes::archive_reader::segments::{self, Finder, LogKey, SegmentPath};
use crate::modes::archive_reader::walk::{Depth, OpenSegment, Reading, Span};
use crate::modes::archive_reader::{ReadError, Visitor};
use crate::modes::stop::Stop;
use crate::seglog::reader::Ending;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A reading that goes on with what is appended.
pub struct Follower<'v, V> {
    paths: Vec<PathBuf>,
    reading: Reading<'v, V>,
    finder: Finder,
    /// How far each log is read.
    logs: BTreeMap<LogKey, Place>,
    /// All that was there at the beginning was read.
    has_caught_up: bool,
    stop: Stop,
}

/// Where reading a log stands.
struct Place {
    /// The greatest number of a segment that was begun.
    number: u64,
    /// That segment, while more may be appended to it.
    open: Option<(PathBuf, OpenSegment)>,
}

impl<'v, V: Visitor> Follower<'v, V> {
    /// Will read all segments under `paths`, those that come later too, until `stop` is set.
    ///
    /// # Errors
    /// When there is no memory to decompress with.
    pub fn new(paths: &[PathBuf], visitor: &'v mut V, stop: &Stop) -> Result<Self, ReadError> {
        Self::from(paths, Progress::default(), visitor, stop)
    }

    /// The same, from where an earlier reading of these paths had come to.
    ///
    /// # Errors
    /// When there is no memory to decompress with.
    pub fn from(paths: &[PathBuf], progress: Progress, visitor: &'v mut V, stop: &Stop) -> Result<Self, ReadError> {
        let mut reading = Reading::new(Depth::Records, Span::Endless, progress, visitor)?;
        reading.stop_with(stop);
        Ok(Self {
            paths: paths.to_owned(),
            reading,
            finder: Finder::default(),
            logs: BTreeMap::new(),
            has_caught_up: false,
            stop: stop.clone(),
        })
    }

    /// Reads all that is there now and was not read before, in whole frames. When it is time to stop, the rest stays
    /// unread.
    ///
    /// # Errors
    /// [`ReadError`]; paths that were there once may be missing later.
    pub fn round(&mut self) -> Result<(), ReadError> {
        let reading = &mut self.reading;
        let mut found = self.finder.find(&self.paths, &mut |fault| reading.fault(&fault))?;
        if !self.has_caught_up {
            segments::leave_out_before(reading.visitor().since(), &mut found);
            if let Some(fault) = segments::leave_out_passed(reading.progress(), &mut found) {
                reading.fault(&fault)?;
            }
        }
        for file in found {
            if self.stop.is_set() {
                return Ok(());
            }
            self.begin(file)?;
        }
        self.read_on()?;
        self.has_caught_up = true;
        Ok(())
    }

    /// The visitor.
    pub fn visitor(&mut self) -> &mut V {
        self.reading.visitor()
    }

    /// Begins with a segment; the one before it in its log is finished.
    fn begin(&mut self, file: SegmentPath) -> Result<(), ReadError> {
        let (log, number) = (file.log(), file.header.number);
        let is_next = match self.logs.get_mut(&log) {
            Some(place) if number <= place.number => false,
            Some(place) => {
                if let Some((_, open)) = place.open.take() {
                    finish(&mut self.reading, open)?;
                }
                // What is there at the beginning is judged as it is. Later, a number that was never seen may have been
                // a segment for a moment.
                if self.has_caught_up && place.number + 1 < number {
                    self.reading.lose_sight(&log.0);
                }
                true
            }
            None => true,
        };
        let Some(mut open) = self.reading.open(&file)? else {
            return Ok(());
        };
        if !is_next {
            // Somebody put it there: what is new in it is read, and the log goes on where it was.
            return finish(&mut self.reading, open);
        }
        let ending = self.reading.advance(&mut open)?;
        let open = self.unless_over(file.path, open, ending);
        self.logs.insert(log, Place { number, open });
        Ok(())
    }

    /// Reads what was appended to the open segments.
    fn read_on(&mut self) -> Result<(), ReadError> {
        let logs: Vec<LogKey> = self.logs.keys().cloned().collect();
        for log in logs {
            let Some(place) = self.logs.get_mut(&log) else { continue };
            let Some((path, mut open)) = place.open.take() else {
                continue;
            };
            let ending = self.reading.advance(&mut open)?;
            let open = self.unless_over(path, open, ending);
            if let Some(place) = self.logs.get_mut(&log) {
                place.open = open;
            }
        }
        Ok(())
    }

    /// The segment, if more may be appended to it. One that is deleted is given up, so that its room on the disk is free.
    fn unless_over(
        &mut self,
        path: PathBuf,
        open: OpenSegment,
        ending: Option<Ending>,
    ) -> Option<(PathBuf, OpenSegment)> {
        let may_grow = matches!(ending, Some(Ending::Open | Ending::Torn)) && self.finder.has(&path);
        if may_grow || self.stop.is_set() {
            return Some((path, open));
        }
        self.reading.close(open, ending);
        None
    }
}

/// Reads a segment to its end, which is final.
fn finish<V: Visitor>(reading: &mut Reading<'_, V>, mut open: OpenSegment) -> Result<(), ReadError> {
    let ending = reading.advance(&mut open)?;
    reading.close(open, ending);
    Ok(())
}

#[cfg(test)]
mod tests;
