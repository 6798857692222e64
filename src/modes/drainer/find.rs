//! How rings are found: the scan of the directory, and the look that comes before a life begins.

use super::Drainer;
use super::log::GroupLog;
use super::opening::words_of_hole;
use super::rings::{Found, RingHandle};
use crate::formats::body::GapReason;
use crate::formats::frame::END_SPAN;
use crate::formats::table::StreamState;
use crate::modes::recorder::RegionMet;
use crate::os::clock;
use crate::stages::drain::LifeSeen;
use crate::stages::pace;
use hog_ring::mutant;
use hog_ring::reader::Liveness;
use tracing::{info, warn};

impl<L: GroupLog> Drainer<L> {
    /// Looks through the directory for rings that are not known yet.
    pub(super) fn scan(&mut self) -> Result<(), String> {
        self.changes = self.doorbell.changes();
        self.scan_due = clock::moment() + pace::scan_after(self.rings.count());
        for found in self.rings.scan().map_err(|error| crate::exit::chain(&error))? {
            match found {
                Found::Ring(ring) => self.enter(*ring)?,
                Found::Unreadable { path, words } => {
                    warn!("{} is not drained: {words}", path.display());
                    self.recorder.loss(&path.display().to_string(), &words);
                }
            }
        }
        self.share_rings();
        Ok(())
    }

    /// Takes a ring that was found into the set.
    fn enter(&mut self, mut ring: RingHandle) -> Result<(), String> {
        let stream = ring.stream();
        if self.inherited.left.contains(&stream) {
            self.log.take_up(stream);
        }
        // What the ring says is not believed where it cannot be so: then the ring is given up, as of the position that the log knows.
        let found = ring.reader.sound_head();
        let head = found.unwrap_or(0);
        let held = self.log.table().streams.get(&stream).map(|held| (held.end, held.state));
        let elsewhere = self.inherited.held(stream);
        let ended = |held: &(u64, StreamState)| held.1 == StreamState::Ended;
        if let Some((end, _)) = held.into_iter().chain(elsewhere).find(ended) {
            // Killed between END and unlink.
            ring.drained = end - END_SPAN;
            (ring.attached, ring.ending) = (true, true);
            self.rings.insert(ring);
            self.unlink(stream);
            return Ok(());
        }
        // One that its sender had forgotten, while the ring was out of sight, is attached again, or the next checkpoint would leave it out.
        ring.attached = held.is_some_and(|(_, state)| state != StreamState::Forgotten);
        // Up to here some spool has the stream, whether or not the one that took it last lived to advance the head.
        let taken = held
            .into_iter()
            .chain(elsewhere)
            .map(|(end, _)| end)
            .fold(head, u64::max);
        let end = held.map_or(taken, |(end, _)| end);
        let lacks_from = held.map_or(0, |(end, _)| end);
        if taken > lacks_from && !self.log.takes_holes() {
            return Err(words_of_hole(ring.reader.path(), lacks_from, taken, L::NAME));
        }
        if held.is_none() && elsewhere.is_none() {
            ring.reader.publish_synced(head); // what lies below is not for this log to sync
        }
        ring.drained = end;
        let lives = [
            self.log.table().streams.get(&stream),
            self.inherited.elsewhere.get(&stream),
        ];
        let life = lives.into_iter().flatten().map(|held| held.life).max();
        ring.born = ring.reader.identity().created.max(life.unwrap_or(0));
        if taken > head {
            ring.reader.advance(taken); // killed between append and advance
        }
        let identity = ring.reader.identity();
        self.recorder.region(RegionMet {
            ring: identity.uuid,
            group: self.group.clone(),
            name: identity.name.clone(),
            path: ring.reader.path().display().to_string(),
            created: identity.created.min(i64::MAX.unsigned_abs()), // a number that the database can hold
            boot: identity.boot,
            capacity: identity.capacity,
            position: end,
        });
        self.drain.found(stream, ring.born, end);
        self.rings.insert(ring);
        self.turns.unsettle();
        if taken > end {
            // This log never had that part. A destination that got it from the spool that has it does not heed this GAP.
            let words = format!(
                "positions {end} to {taken} were drained before, and are not in this {}",
                L::NAME
            );
            if elsewhere.is_some_and(|(end, _)| end >= taken) {
                self.push_gap(stream, end, taken, GapReason::SpoolDamaged);
                info!("stream {stream}: {words}; they are shipped from another one");
            } else {
                self.skip(stream, end, taken, GapReason::SpoolDamaged, &words);
            }
        }
        if let Err(fault) = found {
            self.condemn(stream, &fault);
        } else if self.inherited.abandoned.contains(&stream) {
            self.give_up(stream);
        }
        Ok(())
    }

    /// Tells the log which rings there are, so that the others can be forgotten; not while a ring cannot be read.
    pub(super) fn share_rings(&mut self) {
        if self.rings.knows_all() {
            let (log, rings) = (&mut self.log, &self.rings);
            // Whom a log believes to have no ring may be forgotten.
            let _ = self.pass.act(|| log.know_rings(rings.streams().collect()));
        }
    }

    /// Looks through the directory, and at the owners of the lives born before `before`.
    pub(super) fn look(&mut self, before: u64) -> Result<(), String> {
        self.scan()?;
        for stream in self.drain.older_than(before) {
            let Some(ring) = self.rings.get_mut(stream) else {
                continue;
            };
            let life = match ring.reader.adopted() > ring.born {
                true if mutant::on("heir-takes-its-time") => LifeSeen::Over,
                true => LifeSeen::Followed,
                false if matches!(ring.reader.liveness(), Liveness::Living) => LifeSeen::GoesOn,
                false => LifeSeen::Over,
            };
            self.drain.saw_life(stream, life);
        }
        self.read_tails(true);
        self.drain.looked(before);
        Ok(())
    }
}
