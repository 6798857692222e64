//! What a track does to its ring: takes it, logs what its files have, and commits what it remembers.

use super::Shared;
use super::reading::Reading;
use super::track::{Track, Turn};
use crate::modes::engine::lines::{self, FeedError, PIECE_MAX, Room, Text, log_lines, log_piece};
use crate::modes::engine::ring;
use crate::modes::engine::state::{LATE_MAX, Place, Progress, Slot};
use hog_ring::Resume;
use tracing::{info, warn};

/// A ring with less room than this is full.
const ROOM_LEAST: usize = 512;

impl Track {
    fn slot(&mut self, slot: Slot) -> Option<&mut Reading> {
        match slot {
            Slot::Current => self.reading.as_mut(),
            Slot::Late(number) => self.late.get_mut(number),
        }
    }

    /// Logs the lines behind the place of a file, as many as one read brings and the ring takes; with `to_end` also what follows the last newline.
    pub(super) fn log_some(&mut self, shared: &mut Shared<'_>, slot: Slot, to_end: bool) -> Result<Turn, FeedError> {
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
        let Some(reading) = self.slot(slot) else {
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
                Slot::Current => self.reading.as_mut(), // not through `slot`, which would borrow the ring too
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
        let is_same = self.have_ring(shared)?;
        let Some(ring) = self.ring.as_mut().filter(|_| is_same) else {
            return Ok(None);
        };
        if shared.options.unreliable {
            return Ok(Some(Room::Any));
        }
        let room = Room::of(&mut ring.writer)?;
        let mut tried = room;
        Ok(tried.take(ROOM_LEAST).then_some(room))
    }

    /// Takes the ring, if that was not done yet. `false`: it has a state, and with it the track found other files to go on with.
    pub(super) fn have_ring(&mut self, shared: &mut Shared<'_>) -> Result<bool, FeedError> {
        if self.ring.is_some() {
            return Ok(true);
        }
        let resume = match shared.options.resume {
            Resume::Off => Resume::Off,
            _ => Resume::Auto,
        };
        let mut ring = ring::take(&shared.group, &self.ring_name, &self.name.path, resume, &shared.keeper)?;
        if let Some(state) = ring.state.take() {
            info!(
                "{} was logged by another engine meanwhile: going on from there",
                self.name.path.display()
            );
            self.ring = Some(ring);
            self.forget_files(shared);
            self.state = state;
            self.register(shared);
            self.go_on(shared);
            return Ok(false);
        }
        let has_place = self.state.current.is_some_and(|mark| mark.offset > 0);
        let others = !self.state.late.is_empty() || !self.state.held.is_empty() || !self.state.done.is_empty();
        if has_place || others {
            ring.writer.commit_state(&self.state.encode())?;
        }
        self.dropped_marked = ring.writer.drops().0;
        self.ring = Some(ring);
        Ok(true)
    }

    fn forget_files(&mut self, shared: &mut Shared<'_>) {
        shared.taken.forget_track(self.number);
        self.reading = None;
        self.waiting.clear();
        self.late.clear();
        self.former = None;
    }

    /// The file was truncated. What was read of its unfinished line is logged: whoever truncated it, nobody else has that now.
    pub(super) fn rewind(&mut self, shared: &mut Shared<'_>) -> Result<Turn, FeedError> {
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
    pub(super) fn finish_file(&mut self, shared: &mut Shared<'_>) -> Result<Turn, FeedError> {
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
        self.former = None;
        self.late.push(reading);
        while self.late.len() > LATE_MAX {
            self.late.remove(0); // as the state does
        }
    }

    /// Publishes the state although no line goes with it, if there is room for that; otherwise it goes with the next line.
    pub(super) fn commit_state(&mut self) -> Result<bool, FeedError> {
        let Some(ring) = &mut self.ring else { return Ok(true) };
        let is_published = match Room::of(&mut ring.writer)?.take(0) {
            true => ring.writer.commit_state(&self.state.encode())?,
            false => false,
        };
        ring.notes.committed(ring.writer.tail(), &self.state);
        Ok(is_published)
    }

    /// Puts lines that were dropped since the last one that found room into the stream, so that nobody logs them again.
    pub(super) fn mark_drops(&mut self) -> Result<Turn, FeedError> {
        let dropped = self.ring.as_ref().map_or(0, |ring| ring.writer.drops().0);
        if dropped > self.dropped_marked && self.commit_state()? {
            self.dropped_marked = dropped;
        }
        Ok(Turn::Idle)
    }
}
