//! What a spool does about its bounds before it appends, and what it says about them.
//!
//! [`room`] decides, this acts. Everything here belongs to the drainer's thread. Nothing is deleted or dropped before the disk is known to
//! hold what explains the spool without it.

use super::found::UNFINISHED;
use super::{Spool, SpoolError, remnant};
use crate::exit::chain;
use crate::os::clock;
use crate::os::disk::{self, AppendFile, DiskError};
use crate::seglog::writer::AppendError;
use crate::stages::spool::reserve::Reserve;
use crate::stages::spool::room::{self, Fill, Level, OnFull, Step};
use std::time::{Duration, Instant};

/// Something that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It was bad, and is over.
    Calm(String),
    /// Nothing was lost by it.
    Warning(String),
    /// Records were lost by it.
    Loss(String),
}

/// After the start nothing is dropped for so long: destinations that are up first say what they have.
const DROP_AFTER: Duration = Duration::from_secs(5);

/// A spool that was full is not said to have room again before so long after the last time that it had none.
const CALM_AFTER: Duration = Duration::from_secs(5);

/// What a spool remembers of its fullness.
pub(super) struct Fullness {
    pub(super) reserve: Reserve,
    level: Level,
    opened: Instant,
    last_full: Option<Instant>,
    pub(super) notices: Vec<Notice>,
}

impl Fullness {
    pub(super) fn new(reserve: Reserve) -> Self {
        Self {
            reserve,
            level: Level::default(),
            opened: clock::moment(),
            last_full: None,
            notices: Vec::new(),
        }
    }
}

impl Spool {
    /// Makes room for `wanted` bytes of frames.
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is none to be made now, or when the disk refuses otherwise.
    pub(super) fn make_room(&mut self, wanted: usize) -> Result<(), AppendError> {
        loop {
            let reserve = Reserve::bytes_for(self.head_bytes());
            let has_reserve = self.fullness.reserve.ensure(reserve)?;
            let wanted = self.bytes_wanted(wanted);
            let usage = self.index.usage();
            if room::fits(&self.bounds, usage.used, wanted, reserve, has_reserve) {
                self.note_level(false);
                return Ok(());
            }
            self.settle()?;
            let fill = Fill {
                usage: self.index.usage(),
                wanted,
                reserve,
                has_reserve,
                can_release: self.index.can_release(),
                has_others: self.index.has_others(),
                active_has_frames: self.log.has_frames(),
                can_drop: self.bounds.on_full == OnFull::DropOldest && clock::since(self.fullness.opened) >= DROP_AFTER,
            };
            match room::next_step(&self.bounds, &fill) {
                Step::Take => return Ok(()),
                Step::Release => self.index.release_oldest(),
                Step::Roll => self.with_reserve(Self::roll)?,
                Step::Drop if self.drop_oldest()? => {}
                Step::Drop | Step::Wait => {
                    self.note_level(true);
                    return Err(AppendError::Full(if has_reserve {
                        "its segments have all the bytes that they may have"
                    } else {
                        "the disk has no room"
                    }));
                }
            }
        }
    }

    /// Does `write`. If the disk is full, once more with the room of the reserve.
    ///
    /// # Errors
    /// As `write`; [`AppendError::Full`] when the reserve was not enough, or not there.
    pub(super) fn with_reserve<T>(
        &mut self,
        mut write: impl FnMut(&mut Self) -> Result<T, AppendError>,
    ) -> Result<T, AppendError> {
        let mut written = write(self);
        if is_disk_full(&written) && self.fullness.reserve.release()? {
            written = write(self);
        }
        if is_disk_full(&written) {
            self.note_level(true);
            return Err(AppendError::Full("the disk has no room"));
        }
        written
    }

    /// Bytes that the head of the next segment will take, by the last one's.
    fn head_bytes(&self) -> u64 {
        self.log.active().map_or(0, |active| active.checkpoint_end)
    }

    /// Bytes that an append of `bytes` adds to the spool.
    fn bytes_wanted(&self, bytes: usize) -> u64 {
        let head = if self.log.is_due(bytes) { self.head_bytes() } else { 0 };
        bytes as u64 + head
    }

    /// Has the disk hold the head of the active segment, which explains the spool without those before it: they can go then.
    fn settle(&self) -> Result<(), DiskError> {
        if let Some(active) = self.log.active()
            && active.durable() < active.checkpoint_end
            && !active.file.has_failed()
        {
            disk::sync_directory(self.log.directory())?;
            active.sync()?;
            self.index.synced(active.number);
        }
        self.index.delete_delivered();
        Ok(())
    }

    /// Drops the records of the oldest segment that has any: puts the word that they are gone in its place. Says whether it did.
    fn drop_oldest(&mut self) -> Result<bool, AppendError> {
        let Some(victim) = self.index.victim() else {
            return Ok(false);
        };
        let remnant = match remnant::of(&victim) {
            Ok(remnant) => remnant,
            Err(error) => {
                tracing::warn!("cannot be dropped: {}", chain(&error));
                return Ok(false);
            }
        };
        // A predecessor that hangs may be writing one too.
        let extension = format!("{}.{UNFINISHED}", self.pass.generation());
        let unfinished = victim.segment.path.with_extension(extension);
        self.with_reserve(|_| Ok(write_synced(&unfinished, &remnant.bytes)?))?;
        let directory = self.log.directory().to_owned();
        // Of one who was relieved it may be long ago that there was no room. That nobody can be relieved while the disk renames is the price: what is gone is gone.
        let index = &self.index;
        let replaced = self.pass.act(|| index.replace(&victim.segment, &unfinished))?;
        if !replaced.map_err(disk_error)? {
            disk::unlink(&unfinished)?; // it was delivered meanwhile
            return Ok(true);
        }
        disk::sync_directory(&directory)?;
        if let Some(before) = &victim.before {
            self.index.remove_merged(before).map_err(disk_error)?;
        }
        let loss = remnant.loss;
        if loss.streams > 0 {
            let words = format!(
                "dropped to make room: {} records, {} bytes of {} streams in segment {}, which {} had not got",
                loss.records,
                loss.bytes,
                loss.streams,
                victim.segment.number,
                victim.lacking.join(", ")
            );
            self.fullness.notices.push(Notice::Loss(words));
        }
        Ok(true)
    }

    /// Says once how full the spool is, and once that it is over.
    fn note_level(&mut self, is_full: bool) {
        if is_full {
            self.fullness.last_full = Some(clock::moment());
        }
        let was_full_lately = self
            .fullness
            .last_full
            .is_some_and(|last| clock::since(last) < CALM_AFTER);
        let usage = self.index.usage();
        let percent = room::percent(&self.bounds, &usage, Reserve::bytes_for(self.head_bytes()));
        let next = self.fullness.level.next(percent, is_full || was_full_lately);
        if next == self.fullness.level {
            return;
        }
        self.fullness.level = next;
        let directory = self.log.directory().display();
        let (used, max) = (usage.used, self.bounds.max);
        self.fullness.notices.push(match (next, self.bounds.on_full) {
            (Level::Calm, _) => Notice::Calm(format!("{directory} has room again")),
            (Level::Filling, on_full) => Notice::Warning(format!(
                "{directory} has {used} bytes, {percent} % of what --spool-max allows with its reserve; when it is full, {}",
                match on_full {
                    OnFull::Block => "producers wait",
                    OnFull::DropOldest => "the oldest records are dropped",
                }
            )),
            (Level::Full, OnFull::Block) => Notice::Warning(format!(
                "{directory} is full ({used} bytes, and --spool-max is {max}): producers wait until destinations acknowledge, or there is room on the disk"
            )),
            (Level::Full, OnFull::DropOldest) => Notice::Warning(format!(
                "{directory} is full ({used} bytes, and --spool-max is {max}), and nothing in it can be dropped now: producers wait"
            )),
        });
    }
}

/// Writes a file of its own, synced; whatever has its name is from a run that was killed.
fn write_synced(path: &std::path::Path, bytes: &[u8]) -> Result<(), DiskError> {
    disk::unlink(path)?;
    let file = AppendFile::create(path)?;
    file.write_at(bytes, 0)?;
    file.sync()
}

fn is_disk_full<T>(result: &Result<T, AppendError>) -> bool {
    result.as_ref().is_err_and(AppendError::is_disk_full)
}

/// What the index met while it changed files: of segments that were read a moment ago, so it is the disk.
fn disk_error(error: SpoolError) -> AppendError {
    match error {
        SpoolError::Disk(error) => error.into(),
        SpoolError::Append(error) => error,
        other => disk::at("index", std::path::Path::new("the spool"))(std::io::Error::other(chain(&other))).into(),
    }
}
