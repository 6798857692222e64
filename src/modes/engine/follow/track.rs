//! One followed name: its ring, the file that is logged for it, and the files that were before that.
//!
//! A track acts on what [`next`](super::next) decides. All that it does with a file is committed with the file's lines, or needs no commit: killed
//! at any instruction, the next run finds in the ring's state where to go on, and does the rest again.

use super::Shared;
use super::elsewhere::Known;
use super::names::Name;
use super::next::{Shows, Sight, Step, next, next_late};
use super::reading::Reading;
use crate::modes::engine::input::FileInput;
use crate::modes::engine::lines::{self, FeedError, PIECE_MAX, Room, Text, log_lines, log_piece};
use crate::modes::engine::ring::{self, FileRing};
use crate::modes::engine::state::{FileId, LATE_MAX, Place, Progress, Slot, State};
use hog_ring::{Error as RingError, Resume};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// The pause after which a file that was busy a moment ago is looked at again, and the longest between two looks at a silent one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// The longest pause while a ring is full.
const PAUSE_FULL: Duration = Duration::from_millis(50);
/// The pause after something failed.
const PAUSE_FAILED: Duration = Duration::from_secs(1);
/// A ring with less room than this is full.
const ROOM_LEAST: usize = 512;

/// One followed name.
pub struct Track {
    /// Which track it is.
    pub(super) number: usize,
    pub(super) name: Name,
    pub(super) ring_name: String,
    /// What its records give as their source.
    label: Vec<u8>,
    pub(super) ring: Option<FileRing>,
    pub(super) state: State,
    pub(super) reading: Option<Reading>,
    /// Files that had the name for a while, before the one that it shows now.
    pub(super) waiting: VecDeque<Reading>,
    /// Files that were left and may still grow: those that the state calls late, in its order.
    pub(super) late: Vec<Reading>,
    /// The file before the one that is begun next, when that is not among the late ones.
    pub(super) former: Option<FileId>,
    /// When it is to be looked at next.
    pub due: Instant,
    pause: Duration,
    /// What the name showed last, and the digest of the file.
    shown: (Shows, Option<u64>),
    complaint: String,
    /// Dropped lines that the stream tells of.
    dropped_marked: u64,
}

/// How a turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more.
    More,
    /// There is nothing, for now.
    Idle,
    /// The ring is full.
    Full,
}

impl Track {
    /// A track of `name` that has looked at nothing yet.
    #[must_use]
    pub fn new(number: usize, name: Name, ring_name: String) -> Self {
        Self {
            number,
            label: name.path.as_os_str().as_bytes().to_vec(),
            name,
            ring_name,
            ring: None,
            state: State::default(),
            reading: None,
            waiting: VecDeque::new(),
            late: Vec::new(),
            former: None,
            due: Instant::now(),
            pause: PAUSE.0,
            shown: (Shows::Unreadable, None), // not looked at yet
            complaint: String::new(),
            dropped_marked: 0,
        }
    }

    /// Digest of the file that the name showed last.
    #[must_use]
    pub fn shown(&self) -> Option<u64> {
        self.shown.1
    }

    /// Looks at the name and its files, and logs what there is, but not for long.
    pub fn turn(&mut self, shared: &mut Shared<'_>, now: Instant) {
        match self.try_turn(shared, now) {
            Ok(Turn::More) => {
                self.pause = PAUSE.0;
                self.due = now;
            }
            Ok(Turn::Idle) => {
                self.due = now + self.pause;
                self.pause = (self.pause * 2).min(PAUSE.1);
            }
            Ok(Turn::Full) => {
                if let Some(ring) = &mut self.ring {
                    ring.writer.commit(); // wakes the drainer
                }
                self.due = now + self.pause.min(PAUSE_FULL);
                self.pause = (self.pause * 2).min(PAUSE_FULL);
            }
            Err(FeedError::Ring(RingError::Stopped)) => {}
            Err(error) => {
                self.take_in(shared, &error);
                self.due = now + PAUSE_FAILED;
            }
        }
        if let Some(ring) = &mut self.ring {
            ring.notes.publish(ring.writer.synced());
        }
    }

    /// Says what went wrong, once; a ring that was given up is let go.
    fn take_in(&mut self, shared: &mut Shared<'_>, error: &FeedError) {
        self.complain(&crate::exit::chain(error));
        if let FeedError::Ring(RingError::Condemned { .. } | RingError::WildHead { .. }) = error {
            self.ring = None;
            shared.is_degraded = true;
        }
    }

    fn complain(&mut self, words: &str) {
        if self.complaint != words {
            warn!("{}: {words}", self.name.path.display());
            words.clone_into(&mut self.complaint);
        }
    }

    fn try_turn(&mut self, shared: &mut Shared<'_>, now: Instant) -> Result<Turn, FeedError> {
        let late = self.look_at_late(shared, now)?;
        if late != Turn::Idle {
            return Ok(late);
        }
        let shows = self.look_at_name(shared);
        let held = self.reading.as_mut().map(|reading| reading.look(now)).transpose()?;
        let sight = Sight {
            shows,
            held,
            others_wait: !self.waiting.is_empty(),
        };
        match next(&sight) {
            Step::Wait => self.mark_drops(),
            Step::Read => self.log_some(shared, Slot::Current, false),
            Step::LookAgain => {
                if let Some(reading) = &mut self.reading {
                    reading.look_again();
                }
                Ok(Turn::More)
            }
            Step::Rewind => self.rewind(shared),
            Step::Finish => self.finish_file(shared),
            Step::Begin => self.begin(shared),
        }
    }

    fn look_at_name(&mut self, shared: &Shared<'_>) -> Shows {
        let metadata = match std::fs::metadata(&self.name.path) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.shown = (Shows::Nothing, None);
                return Shows::Nothing;
            }
            Err(error) => {
                self.complain(&format!("cannot be looked at, which is tried again: {error}"));
                self.shown = (Shows::Unreadable, None);
                return Shows::Unreadable;
            }
        };
        if !metadata.is_file() {
            self.complain("is not a regular file: waiting until it is");
            self.shown = (Shows::Unreadable, None);
            return Shows::Unreadable;
        }
        let file = FileId::of(&metadata);
        let shows = if self.reading.as_ref().is_some_and(|reading| *reading.id() == file) {
            Shows::Ours
        } else if self.late.iter().any(|late| *late.id() == file) || !shared.taken.contains_key(&file.digest()) {
            Shows::New
        } else {
            Shows::Others
        };
        self.shown = (shows, Some(file.digest()));
        shows
    }

    /// Logs what files grew by that were left.
    fn look_at_late(&mut self, shared: &mut Shared<'_>, now: Instant) -> Result<Turn, FeedError> {
        let mut number = 0;
        while number < self.late.len() {
            let held = self.late[number].look(now)?;
            match next_late(&held) {
                Step::Read => match self.log_some(shared, Slot::Late(number), false)? {
                    Turn::Idle => {}
                    turn => return Ok(turn),
                },
                Step::LookAgain => self.late[number].look_again(),
                Step::Finish => {
                    let is_unfinished = held.is_intact && held.length == held.looked && held.looked > held.logged;
                    if is_unfinished && self.log_some(shared, Slot::Late(number), true)? == Turn::Full {
                        return Ok(Turn::Full);
                    }
                    let closed = self.late.remove(number);
                    self.state.late.remove(number);
                    shared.taken.remove(&closed.id().digest());
                    continue;
                }
                Step::Wait | Step::Rewind | Step::Begin => {}
            }
            number += 1;
        }
        Ok(Turn::Idle)
    }

    fn reading(&mut self, slot: Slot) -> Option<&mut Reading> {
        match slot {
            Slot::Current => self.reading.as_mut(),
            Slot::Late(number) => self.late.get_mut(number),
        }
    }

    /// Logs the lines behind the place of a file, as many as one read brings and the ring takes; with `to_end` also what follows the last newline.
    fn log_some(&mut self, shared: &mut Shared<'_>, slot: Slot, to_end: bool) -> Result<Turn, FeedError> {
        let mut buffer = std::mem::take(&mut shared.buffer);
        let logged = self.log_some_through(&mut buffer, shared, slot, to_end);
        lines::give_back(&mut buffer);
        shared.buffer = buffer;
        logged
    }

    fn log_some_through(
        &mut self,
        buffer: &mut Vec<u8>,
        shared: &mut Shared<'_>,
        slot: Slot,
        to_end: bool,
    ) -> Result<Turn, FeedError> {
        let Some(reading) = self.reading(slot) else {
            return Ok(Turn::Idle);
        };
        let (searched, is_end) = reading.read(buffer, to_end)?;
        let is_nothing = buffer.len() <= searched && !(to_end && is_end);
        if buffer.is_empty() || is_nothing {
            return Ok(Turn::More);
        }
        if memchr::memchr(b'\n', &buffer[searched..]).is_none() && buffer.len() <= PIECE_MAX && !(to_end && is_end) {
            reading.looked_through(buffer); // an unfinished line needs no ring yet
            return Ok(Turn::More);
        }
        let Some(room) = self.room(shared)? else {
            return Ok(Turn::Full);
        };
        let (Some(ring), Some(reading)) = (
            &mut self.ring,
            match slot {
                Slot::Current => self.reading.as_mut(),
                Slot::Late(number) => self.late.get_mut(number),
            },
        ) else {
            return Ok(Turn::Idle);
        };
        let text = Text {
            source: &self.label,
            bytes: buffer,
            searched,
            is_end: to_end && is_end,
        };
        let mut progress = Progress {
            place: &mut reading.place,
            state: &mut self.state,
            slot,
        };
        let logged = log_lines(&mut ring.writer, text, room, Some(&mut progress));
        ring.notes.committed(ring.writer.tail(), &self.state);
        let logged = logged.map_err(|(error, _)| {
            reading.look_again();
            error
        })?;
        let rest = &buffer[logged..];
        let is_line_left = memchr::memchr(b'\n', rest).is_some() || rest.len() > PIECE_MAX;
        if is_line_left || (to_end && is_end && !rest.is_empty()) {
            reading.look_again();
            return Ok(if logged == 0 { Turn::Full } else { Turn::More });
        }
        reading.looked_through(rest);
        Ok(Turn::More)
    }

    /// What the ring has room for; `None` when it is full. The ring is taken if it was not yet.
    fn room(&mut self, shared: &mut Shared<'_>) -> Result<Option<Room>, FeedError> {
        self.have_ring(shared)?;
        let Some(ring) = &mut self.ring else { return Ok(None) };
        if shared.options.unreliable {
            return Ok(Some(Room::Any));
        }
        let room = Room::of(&mut ring.writer)?;
        let mut tried = room;
        Ok(tried.take(ROOM_LEAST).then_some(room))
    }

    /// Takes the ring, if that was not done yet.
    fn have_ring(&mut self, shared: &mut Shared<'_>) -> Result<(), FeedError> {
        if self.ring.is_some() {
            return Ok(());
        }
        let resume = match shared.options.resume {
            Resume::Off => Resume::Off,
            _ => Resume::Auto,
        };
        let mut ring = ring::take(&shared.group, &self.ring_name, &self.name.path, resume, &shared.keeper)?;
        if let Some(state) = ring.state.take() {
            // Another engine had it since this one looked. What it logged counts.
            self.ring = Some(ring);
            self.forget_files(shared);
            self.state = state;
            self.register(shared);
            self.go_on(shared);
            return Err(FeedError::Read(io::Error::other(
                "another engine logged it meanwhile: going on from there",
            )));
        }
        let has_place = self.state.current.is_some_and(|mark| mark.offset > 0);
        if has_place || !self.state.late.is_empty() || !self.state.done.is_empty() {
            ring.writer.commit_state(&self.state.encode())?;
        }
        self.dropped_marked = ring.writer.drops().0;
        self.ring = Some(ring);
        Ok(())
    }

    fn forget_files(&mut self, shared: &mut Shared<'_>) {
        let number = self.number;
        shared.taken.retain(|_, owner| *owner != number);
        self.reading = None;
        self.waiting.clear();
        self.late.clear();
        self.former = None;
    }

    /// The file was truncated. What was read of its unfinished line is logged: whoever truncated it, nobody else has that now.
    fn rewind(&mut self, shared: &mut Shared<'_>) -> Result<Turn, FeedError> {
        let Some(reading) = &self.reading else {
            return Ok(Turn::Idle);
        };
        let unfinished = reading.unfinished().to_vec();
        let beginning = Place::new(*reading.id(), 0, Vec::new()).mark();
        if !unfinished.is_empty() {
            let Some(mut room) = self.room(shared)? else {
                return Ok(Turn::Full);
            };
            if !room.take(unfinished.len() + self.label.len()) {
                return Ok(Turn::Full);
            }
        }
        let Some(reading) = &mut self.reading else {
            return Ok(Turn::Idle);
        };
        let unread = reading.unread();
        reading.rewind();
        self.state.current = Some(beginning);
        if unfinished.is_empty() {
            self.commit_state()?;
        } else if let Some(ring) = &mut self.ring {
            log_piece(&mut ring.writer, &self.label, &unfinished, &self.state.encode())?;
            ring.notes.committed(ring.writer.tail(), &self.state);
        }
        if unread > 0 {
            warn!(
                "{} was truncated before {unread} bytes of it were read: they are lost",
                self.name.path.display()
            );
            shared.is_degraded = true;
        } else {
            info!(
                "{} was truncated: logging it from its beginning",
                self.name.path.display()
            );
        }
        Ok(Turn::More)
    }

    /// Logs the end of the file, and leaves it.
    fn finish_file(&mut self, shared: &mut Shared<'_>) -> Result<Turn, FeedError> {
        let Some(reading) = &self.reading else {
            return Ok(Turn::Idle);
        };
        if reading.is_unfinished() {
            let turn = self.log_some(shared, Slot::Current, true)?;
            return Ok(turn); // if all of it is logged, it is left in the next turn
        }
        self.leave();
        self.commit_state()?;
        Ok(Turn::More)
    }

    fn leave(&mut self) {
        let Some(reading) = self.reading.take() else { return };
        self.state.current = None;
        self.state.finish(reading.place.mark());
        self.former = Some(*reading.id());
        self.late.push(reading);
        if self.late.len() > LATE_MAX {
            self.late.remove(0); // as the state does
        }
    }

    /// Publishes the state although no line goes with it, if there is room for that; otherwise it goes with the next line.
    fn commit_state(&mut self) -> Result<bool, FeedError> {
        let Some(ring) = &mut self.ring else { return Ok(true) };
        let is_published = match Room::of(&mut ring.writer)?.take(0) {
            true => ring.writer.commit_state(&self.state.encode())?,
            false => false,
        };
        ring.notes.committed(ring.writer.tail(), &self.state);
        Ok(is_published)
    }

    /// Puts lines that were dropped since the last one that found room into the stream, so that nobody logs them again.
    fn mark_drops(&mut self) -> Result<Turn, FeedError> {
        let dropped = self.ring.as_ref().map_or(0, |ring| ring.writer.drops().0);
        if dropped > self.dropped_marked && self.commit_state()? {
            self.dropped_marked = dropped;
        }
        Ok(Turn::Idle)
    }

    /// Begins the next file: one that waits, or the one that the name shows.
    fn begin(&mut self, shared: &mut Shared<'_>) -> Result<Turn, FeedError> {
        if self.waiting.is_empty() {
            self.find_missed(shared);
        }
        let reading = match self.waiting.pop_front() {
            Some(reading) => Some(reading),
            None => self.open_shown(shared)?,
        };
        let Some(reading) = reading else { return Ok(Turn::Idle) };
        shared.taken.insert(reading.id().digest(), self.number);
        self.state.current = Some(reading.place.mark());
        self.complaint.clear();
        self.reading = Some(reading);
        Ok(Turn::More)
    }

    /// Opens the file that the name shows, at the place where it is to be logged from. `None`: it is not to be logged, or not now.
    fn open_shown(&mut self, shared: &mut Shared<'_>) -> Result<Option<Reading>, FeedError> {
        let input = match FileInput::open(&self.name.path) {
            Ok(input) => input,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None), // renamed just now
            Err(error) => {
                self.complain(&format!("cannot be read, which is tried again: {error}"));
                self.pause = PAUSE_FAILED;
                return Ok(None);
            }
        };
        let file = input.id()?;
        if let Some(number) = self.late.iter().position(|late| *late.id() == file) {
            // It was renamed back.
            self.state.late.remove(number);
            let mut reading = self.late.remove(number);
            reading.set_path(input.path);
            return Ok(Some(reading));
        }
        if shared.taken.contains_key(&file.digest()) {
            return Ok(None);
        }
        let offset = match shared.ask_elsewhere(&file) {
            Known::No => 0,
            Known::UpTo(mark) if input.is_where(&mark)? => mark.offset,
            Known::UpTo(_) => 0,
            Known::Living => {
                self.complain("is logged by another engine, under another name");
                self.pause = PAUSE_FAILED;
                return Ok(None);
            }
            Known::Done => {
                shared.taken.insert(file.digest(), usize::MAX);
                return Ok(None);
            }
        };
        info!("logging {} from byte {offset}", self.name.path.display());
        Ok(Some(Reading::new(input, offset)?))
    }

    /// Whether nothing can come of this track any more: its file is deleted, and no file that it knows is to be `seen` under any name.
    #[must_use]
    pub fn is_over(&self, seen: &HashSet<u64>) -> bool {
        !self.name.is_named
            && self.shown.0 == Shows::Nothing
            && self.reading.is_none()
            && self.waiting.is_empty()
            && self.late.is_empty()
            && !self.state.done.iter().any(|digest| seen.contains(digest))
    }

    /// Gives the ring up, with all that it remembers.
    pub fn retire(self, shared: &mut Shared<'_>) {
        shared.taken.retain(|_, owner| *owner != self.number);
        if let Some(ring) = self.ring {
            info!("{} is deleted: its ring goes", self.name.path.display());
            ring.writer.retire();
            shared.keeper.forget(&self.ring_name);
        }
    }

    /// The end of the run: says what was dropped, in the stream and in words.
    pub fn end(mut self, shared: &mut Shared<'_>, deadline: Instant) {
        while self.dropped_marked < self.dropped() && Instant::now() < deadline {
            match self.mark_drops() {
                Ok(_) => std::thread::sleep(Duration::from_millis(5)),
                Err(_) => break, // the ring is given up
            }
        }
        let (dropped, Some(ring)) = (self.dropped(), &mut self.ring) else {
            return;
        };
        ring.notes.publish_now(ring.writer.synced());
        let dropped = dropped.saturating_sub(ring.dropped_before);
        if dropped > 0 {
            warn!(
                "{}: {dropped} lines were dropped because the ring was full",
                self.name.path.display()
            );
            shared.is_degraded = true;
        }
    }

    fn dropped(&self) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.writer.drops().0)
    }
}
