//! Sets a damaged segment aside, and puts one in its place that has all its sound frames.
//!
//! A segment that is damaged before what the disk was known to hold is read as far as it can be, frame by frame, into a new file of the same number, owner
//! and run, with a GAP for each range of positions that is missing between sound frames, or towards what the next segment says was there. Then
//! 1. the new file is whole and synced, under a name that nobody reads;
//! 2. the damaged file has a second name, `*.quarantined`, and that is synced;
//! 3. the new file is renamed over the first name, and that is synced.
//!
//! So a segment of that number is there at every instant, and nothing of the damaged file is ever deleted. A kill between two steps leaves the damaged
//! file in charge, and the next start does the same again; after the last step there is nothing left to be done. Positions keep their places,
//! so readers, shippers and checkpoints of later segments find what they expect.
//!
//! What is missing at the end of an archive its sender may still have. [`Missing::MayComeAgain`] therefore takes such streams back, after all frames, to
//! where they really break: the receiver asks for the rest again, stores it in a later segment, and readers put it where the GAP is.

use crate::exit::chain;
use crate::formats::body::GapReason;
use crate::formats::checkpoint;
use crate::formats::codec::Decompressor;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::segment::{LogRole, SegmentHeader};
use crate::formats::table::{Applied, ApplyError, Stream, StreamState, Table};
use crate::ids::{OwnerId, SegmentId, StreamId};
use crate::os::disk::{self, DiskError, at};
use crate::seglog::reader::{Ending, FoundFrame, Head, Next, SegmentError, SegmentReader};
use crate::seglog::recovery::{self, Event, SegmentFile};
use crate::seglog::rewrite::{LostRange, NewSegment, attach_of};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What the second name of a damaged segment ends with.
pub const QUARANTINED: &str = ".quarantined";

/// The number of the first segment of a log.
const FIRST: u64 = 1;

/// Lost ranges that are named in words.
const NAMED: usize = 8;

/// What becomes of positions that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nobody has them any more.
    ForGood,
    /// Those at the end of the log may be sent again.
    MayComeAgain,
}

/// A segment that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The second name of the damaged file, if this gave it that: an earlier attempt may have.
    pub kept_as: Option<PathBuf>,
    /// What is missing.
    pub lost: Vec<LostRange>,
    /// All of that, for people.
    pub words: String,
}

/// What [`copy_anew`] made of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What is missing.
    pub lost: Vec<LostRange>,
    /// What was damaged and is missing, for people, as of a segment that is set aside.
    pub words: String,
}

/// Sets `segments[place]` aside; `segments` are those of one log, by number. Only the holder of the log's lock may, before anything is appended.
///
/// # Errors
/// When the disk refuses, or nothing tells whose segment that is. The log is as it was then, but for a second name.
pub fn set_aside(segments: &[SegmentFile], place: usize, missing: Missing) -> Result<SetAside, SegmentError> {
    let path = &segments[place].path;
    let mut damaged = Damaged::open(segments, place)?;
    let unfinished = path.with_extension("new");
    disk::unlink(&unfinished)?; // of an attempt that was killed
    let replaced = damaged.copy_to(&unfinished, missing).and_then(|()| {
        let kept_as = disk::keep_as(path, QUARANTINED)?;
        disk::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), disk::sync_directory)?;
        Ok(kept_as)
    });
    let kept_as = replaced.inspect_err(|_| {
        let _ = disk::unlink(&unfinished); // nobody reads it, and the next attempt unlinks it as well
    })?;
    Ok(SetAside {
        words: damaged.words(),
        kept_as,
        lost: damaged.lost,
    })
}

/// Writes a segment like `segments[place]`, whole and synced, as `unfinished`, which does not exist: with all of its frames that can be read, and GAPs for
/// what the next segment was begun on besides. Says what those stand for, and why.
///
/// # Errors
/// When the disk refuses.
pub fn copy_anew(segments: &[SegmentFile], place: usize, unfinished: &Path) -> Result<Copied, SegmentError> {
    let mut source = Damaged::open(segments, place)?;
    source.copy_to(unfinished, Missing::ForGood)?;
    Ok(Copied {
        words: source.words(),
        lost: source.lost,
    })
}

/// Sets `segments[place]` aside, as [`set_aside`] does, and says what came of it. A disk that refuses is no reason not to go on: readers pass over damage
/// where it is.
#[must_use]
pub fn in_words(segments: &[SegmentFile], place: usize, missing: Missing) -> String {
    match set_aside(segments, place, missing) {
        Ok(SetAside { words, .. }) => words,
        Err(error) => {
            let path = segments[place].path.display();
            format!("{path} is damaged, and cannot be set aside: {}", chain(&error))
        }
    }
}

/// The damaged segment, on its way from its first frame to its last.
struct Damaged {
    reader: SegmentReader,
    decompressor: Decompressor,
    /// What the log held in front of the next frame, GAPs included.
    table: Table,
    /// Streams that are not in the table begin in this segment, for all that is known.
    is_explained: bool,
    /// What the log held behind this segment, by the head of the next one.
    after: Option<Table>,
    /// First and last position of frames whose bodies are bad, and whether the last of them was an END.
    touched: HashMap<StreamId, (u64, u64, bool)>,
    /// Streams of which something is missing, as they were in front of that.
    broken: HashMap<StreamId, Stream>,
    /// Damaged places, in words.
    places: Vec<String>,
    lost: Vec<LostRange>,
    body: Vec<u8>,
}

impl Damaged {
    fn open(segments: &[SegmentFile], place: usize) -> Result<Self, SegmentError> {
        let path = &segments[place].path;
        let mut places = Vec::new();
        let mut reader = match SegmentReader::open(path) {
            Err(error @ SegmentError::Header { .. }) => match header_beside(segments, place) {
                Some(header) => SegmentReader::open_headless(path, &header)?,
                None => return Err(error),
            },
            opened => opened?,
        };
        if let Some(error) = reader.header_damage() {
            places.push(error.to_string());
        }
        let (table, is_explained) = match reader.checkpoint()? {
            Head::Whole(table) => (table, true),
            other => {
                if let Head::Damaged(words) = other {
                    places.push(words);
                }
                let before = recovery::recover(&segments[..place])?;
                // Nothing was before the first segment of a log.
                (before.table, before.last.is_some() || segments[place].number == FIRST)
            }
        };
        let after = table_after(&segments[place + 1..])?;
        let (table, is_explained) = match &after {
            Some(after) if !is_explained => (begun_on(&reader, after)?, true),
            _ => (table, is_explained),
        };
        Ok(Self {
            decompressor: Decompressor::new().map_err(at("decompress", path))?,
            reader,
            table,
            is_explained,
            after,
            touched: HashMap::new(),
            broken: HashMap::new(),
            places,
            lost: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Writes the segment that takes its place, whole and synced, under a name of its own.
    fn copy_to(&mut self, unfinished: &Path, missing: Missing) -> Result<(), SegmentError> {
        let header = SegmentHeader {
            segment: SegmentId::random(),
            ..self.reader.header().clone()
        };
        let reason = match header.role {
            LogRole::Spool => GapReason::SpoolDamaged,
            LogRole::Archive => GapReason::ArchiveDamaged,
        };
        let mut copy = NewSegment::begin(unfinished, &header, &self.table, reason)?;
        self.copy_frames(&mut copy)?;
        self.close(&mut copy)?;
        if missing == Missing::MayComeAgain && self.after.is_none() {
            self.take_back(header.owner, &mut copy)?;
        }
        Ok(copy.finish()?)
    }

    /// Copies every sound frame, and a GAP for each hole between two of them.
    fn copy_frames(&mut self, copy: &mut NewSegment) -> Result<(), SegmentError> {
        let mut is_known_durable = false;
        loop {
            let mut next = self.reader.next_frame()?;
            if let Next::Frame(found) = next {
                if self.copy(&found, copy)? {
                    continue;
                }
                next = self.reader.reject(&found)?;
            }
            match next {
                Next::Damaged { from, to, touched, .. } => {
                    self.places.push(format!("from byte {from} to byte {to}"));
                    if let Some(header) = touched.filter(|header| header.kind.takes_positions()) {
                        self.touch(&header, copy)?;
                    }
                }
                // It looks torn. But the next segment was begun on more than that, so it was whole once.
                Next::End(Ending::Torn) if !is_known_durable && self.is_short() => {
                    self.reader.know_durable();
                    is_known_durable = true;
                }
                Next::Frame(_) => {}
                Next::End(_) => return Ok(()),
            }
        }
    }

    /// Copies `found`; false when its body is not sound.
    fn copy(&mut self, found: &FoundFrame, copy: &mut NewSegment) -> Result<bool, SegmentError> {
        let header = found.header;
        let is_head = header.kind == Kind::Checkpoint && !header.has(frame::UPDATE);
        if is_head || header.kind == Kind::Seal {
            return Ok(true); // the new segment has its own
        }
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        let sound = self.reader.read_body(found, &mut body)?;
        if sound && self.leads_to(&header, copy)? {
            copy.make_room(header.frame_len())?;
            copy.batch.push(header, &body);
            if let Ok(raw) = self.decompressor.raw(&header, &body) {
                // What does not fit stays as it is: that is not what damage does.
                let _ = self.table.apply(&header, raw);
            }
        }
        self.body = body;
        Ok(sound)
    }

    /// Has the table lead up to the frame of `header`, with ATTACH and GAP. False if the log went on without that frame: its writer, killed or out of
    /// power, had not finished what is before it.
    fn leads_to(&mut self, header: &FrameHeader, copy: &mut NewSegment) -> Result<bool, DiskError> {
        if !header.kind.takes_positions() {
            return Ok(true);
        }
        let known = self.known_after(header.stream);
        if known.is_some_and(|after| header.start >= after.end) {
            return Ok(self.table.judge(header).is_ok());
        }
        if !self.table.streams.contains_key(&header.stream) {
            self.attach(header.stream, header.start, copy)?;
        }
        if let Err(ApplyError::Position { expected, found, .. }) = self.table.judge(header) {
            self.note_broken(header.stream);
            self.lost.push(copy.push_gap(header.stream, expected, found)?);
            if let Some(stream) = self.table.streams.get_mut(&header.stream) {
                stream.end = found;
            }
            self.define_again(header.stream, found, copy)?;
        }
        Ok(true)
    }

    /// Attaches a stream whose ATTACH is lost, with what is known of it from later.
    fn attach(&mut self, id: StreamId, start: u64, copy: &mut NewSegment) -> Result<(), DiskError> {
        let known = self.known_after(id);
        let first = known.map_or(start, |after| after.first.min(start));
        let first = if self.is_explained { first } else { start };
        let mut stream = known.cloned().unwrap_or_else(unknown);
        (stream.first, stream.end, stream.state) = (first, first, StreamState::Open);
        (stream.dropped_records, stream.dropped_bytes) = (0, 0);
        copy.push(Kind::Attach, (id, first, first), &attach_of(&stream).encode())?;
        self.table.streams.insert(id, stream);
        Ok(())
    }

    /// What was missing may have held definitions: the next segment's head has them.
    fn define_again(&mut self, id: StreamId, position: u64, copy: &mut NewSegment) -> Result<(), DiskError> {
        let after = self.known_after(id).map(|after| after.definitions.clone());
        let Some((stream, definitions)) = self.table.streams.get_mut(&id).zip(after) else {
            return Ok(());
        };
        if stream.definitions != definitions {
            let mut attach = attach_of(stream);
            attach.definitions = definitions.as_ref().clone();
            let body = attach.encode();
            copy.push(Kind::Attach, (id, position, position), &body)?;
            let header = FrameHeader::plain(Kind::Attach, &body).of_stream(id, position, position);
            let _ = self.table.apply(&header, &body); // it was made just now
        }
        Ok(())
    }

    fn known_after(&self, id: StreamId) -> Option<&Stream> {
        self.after.as_ref()?.streams.get(&id)
    }

    /// Whether the next segment was begun on more than what was read.
    fn is_short(&self) -> bool {
        let end_of = |id| self.table.streams.get(id).map_or(0, |stream| stream.end);
        let mut after = self.after.iter().flat_map(|after| &after.streams);
        after.any(|(id, stream)| end_of(id) < stream.end)
    }

    /// The body of the frame of `header` is bad. What it held is missing in its place, if it carries its stream on; otherwise that is seen later.
    fn touch(&mut self, header: &FrameHeader, copy: &mut NewSegment) -> Result<(), DiskError> {
        let (id, known) = (header.stream, self.known_after(header.stream));
        let (start, end) = (header.start, header.end.min(known.map_or(u64::MAX, |after| after.end)));
        let carries_on = self.table.judge(header).is_ok_and(|applied| applied != Applied::Known);
        if header.kind != Kind::End && carries_on && start < end {
            self.note_broken(id);
            if let Some(stream) = self.table.streams.get_mut(&id) {
                let from = std::mem::replace(&mut stream.end, end);
                self.lost.push(copy.push_gap(id, from, end)?);
            }
            return self.define_again(id, end, copy);
        }
        let place = self.touched.entry(id).or_insert((start, end, false));
        if end >= place.1 {
            (place.1, place.2) = (end, header.kind == Kind::End && end == header.end);
        }
        Ok(())
    }

    fn note_broken(&mut self, id: StreamId) {
        if let Some(stream) = self.table.streams.get(&id) {
            self.broken.entry(id).or_insert_with(|| stream.clone());
        }
    }

    /// Brings every stream to where it once ended in this segment, as far as anything tells.
    fn close(&mut self, copy: &mut NewSegment) -> Result<(), DiskError> {
        let mut held = self.table.clone();
        for (id, (start, end, is_end)) in &self.touched {
            let stream = held.streams.entry(*id).or_insert_with(|| Stream {
                first: *start,
                end: *start,
                ..unknown()
            });
            if stream.end < *end {
                stream.end = *end;
                stream.state = if *is_end { StreamState::Ended } else { stream.state };
            }
        }
        for (id, after) in self.after.iter().flat_map(|after| &after.streams) {
            match held.streams.get_mut(id) {
                Some(stream) if stream.end < after.end => *stream = after.clone(),
                None if self.is_explained => drop(held.streams.insert(*id, after.clone())),
                _ => {}
            }
        }
        let short = held.streams.iter().filter(|(id, stream)| {
            let read = self.table.streams.get(id);
            read.is_some_and(|read| read.end < stream.end)
        });
        for id in short.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.note_broken(id);
        }
        self.lost.extend(copy.close_streams(&self.table, &held)?);
        Ok(())
    }

    /// Takes the streams of which something is missing back to where they break. Not those whose sender has nothing left of them, or is `owner`: what
    /// is drained without a network nobody sends again.
    fn take_back(&self, owner: OwnerId, copy: &mut NewSegment) -> Result<(), DiskError> {
        let mut broken: Vec<_> = self.broken.iter().collect();
        broken.sort_by_key(|(id, stream)| (stream.created, **id));
        for (id, stream) in broken {
            let now = self.table.streams.get(id);
            let is_forgotten = now.is_some_and(|now| now.state == StreamState::Forgotten);
            if is_forgotten || stream.sender == owner {
                continue;
            }
            let body = checkpoint::encode_stream(*id, stream);
            copy.make_room((frame::HEADER_LEN + body.len()) as u64)?;
            let header = FrameHeader::plain(Kind::Checkpoint, &body).with_flags(frame::UPDATE);
            copy.batch.push(header, &body);
        }
        Ok(())
    }

    fn words(&self) -> String {
        let path = self.reader.path().display();
        let places = if self.places.is_empty() {
            "it ends before what the next segment was begun on".to_owned()
        } else {
            self.places.join(", ")
        };
        let mut lost: Vec<_> = self.lost.iter().take(NAMED).map(LostRange::to_string).collect();
        if self.lost.len() > NAMED {
            lost.push(format!("{} more", self.lost.len() - NAMED));
        }
        let lost = if lost.is_empty() && self.is_explained {
            "no positions are known to be missing".to_owned()
        } else if lost.is_empty() {
            "what is missing is not known".to_owned()
        } else {
            format!("missing are {}", lost.join(", "))
        };
        format!("{path} is damaged ({places}) and was set aside as *{QUARANTINED}; its sound frames are kept, {lost}")
    }
}

/// A stream of which nothing is known.
fn unknown() -> Stream {
    Stream {
        first: 0,
        end: 0,
        state: StreamState::Open,
        definitions: std::sync::Arc::default(),
        life: 0,
        dropped_records: 0,
        dropped_bytes: 0,
        producer: "".into(),
        created: 0,
        boot: Uuid::nil(),
        sender: OwnerId::NIL,
    }
}

/// What the log held when the first of `segments` was begun, by the first of them whose checkpoint is whole.
fn table_after(segments: &[SegmentFile]) -> Result<Option<Table>, SegmentError> {
    for segment in segments {
        match SegmentReader::open(&segment.path) {
            Ok(mut reader) => match reader.checkpoint()? {
                Head::Whole(table) => return Ok(Some(table)),
                Head::Unfinished => {}
                // What it adds is not known, so what a later one says is not what this one was begun on.
                Head::Damaged(_) => return Ok(None),
            },
            Err(SegmentError::Header { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What a segment was begun on that neither its own head nor those before it tell any more: what was held behind it, less what it has itself. `reader` stays
/// where it is.
fn begun_on(reader: &SegmentReader, after: &Table) -> Result<Table, SegmentError> {
    let mut table = after.clone();
    let mut own = SegmentReader::open_headless(reader.path(), reader.header())?;
    own.checkpoint()?;
    let mut met = HashSet::new();
    recovery::for_each_frame(&mut own, &mut |_, event| {
        if let Event::Frame(FoundFrame { header, .. }) = event
            && header.stream != StreamId::NIL
            && met.insert(header.stream)
        {
            if header.kind == Kind::Attach {
                table.streams.remove(&header.stream); // it begins here
            } else if let Some(stream) = table.streams.get_mut(&header.stream) {
                (stream.end, stream.state) = (header.start, StreamState::Open);
            }
        }
        Ok(true)
    })?;
    Ok(table)
}

/// The header of a segment whose own is lost, by that of its neighbour, as far as they are alike.
fn header_beside(segments: &[SegmentFile], place: usize) -> Option<SegmentHeader> {
    let before = segments[..place].iter().rev();
    let mut beside = before.chain(&segments[place + 1..]);
    let header = beside.find_map(|segment| SegmentReader::open(&segment.path).ok())?;
    Some(SegmentHeader {
        number: segments[place].number,
        ..header.header().clone()
    })
}
