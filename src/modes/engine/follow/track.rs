//! One followed name: its ring, the file that is logged for it, and the files that were before that.
//!
//! A track acts on what [`next`](super::next) decides. All that it does with a file is committed with the file's lines, or needs no commit: killed
//! at any instruction, the next run finds in the ring's state where to go on, and does the rest again.

use super::Shared;
use super::names::Name;
use super::next::{Shows, Sight, Step, next, next_late};
use super::reading::Reading;
use crate::modes::engine::lines::FeedError;
use crate::modes::engine::ring::FileRing;
use crate::modes::engine::state::{FileId, Slot, State};
use hog_ring::Error as RingError;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// The pause after which a file that was busy a moment ago is looked at again, and the longest between two looks at a silent one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// The longest pause while a ring is full.
const PAUSE_FULL: Duration = Duration::from_millis(50);
/// For how long nothing must have been left of a track before it is given up.
const EMPTY_FOR: Duration = Duration::from_secs(5);
/// The pause after something failed.
pub(super) const PAUSE_FAILED: Duration = Duration::from_secs(1);

/// One followed name.
pub struct Track {
    /// Which track it is.
    pub(super) number: usize,
    pub(super) name: Name,
    pub(super) ring_name: String,
    /// What its records give as their source.
    pub(super) label: Vec<u8>,
    pub(super) ring: Option<FileRing>,
    pub(super) state: State,
    pub(super) reading: Option<Reading>,
    /// Files that had the name for a while, before the one that it shows now.
    pub(super) waiting: VecDeque<Reading>,
    /// Files that were left and may still grow: those that the state calls late, in its order.
    pub(super) late: Vec<Reading>,
    /// The file that an earlier run logged last, when it could not be found.
    pub(super) former: Option<FileId>,
    /// Not all files of this name that were looked for could be held: they were renamed meanwhile, or are too many at once.
    pub(super) is_moving: bool,
    /// When it is to be looked at next.
    pub due: Instant,
    pub(super) pause: Duration,
    /// What the name showed last, and the digest of the file.
    shown: (Shows, Option<u64>),
    /// Since when nothing can come of it.
    empty_since: Option<Instant>,
    pub(super) complaint: String,
    /// Dropped lines that the stream tells of.
    pub(super) dropped_marked: u64,
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
            is_moving: false,
            due: Instant::now(),
            pause: PAUSE.0,
            shown: (Shows::Unreadable, None), // not looked at yet
            empty_since: None,
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

    pub(super) fn complain(&mut self, words: &str) {
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
        if shows == Shows::New {
            self.hold_shown(shared)?;
        }
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
            Step::Begin => Ok(self.begin()),
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
        } else if self.late.iter().any(|late| *late.id() == file) || !shared.taken.is_known(&file) {
            Shows::New
        } else {
            Shows::Others
        };
        self.shown = (shows, Some(file.digest()));
        shows
    }

    /// Logs what files grew by that were left. One that cannot be read any more is closed, and holds up nothing.
    fn look_at_late(&mut self, shared: &mut Shared<'_>, now: Instant) -> Result<Turn, FeedError> {
        let mut number = 0;
        while number < self.late.len() {
            let turn = match self.look_at_one_late(shared, number, now) {
                Err(FeedError::Read(error)) => {
                    let path = self.late[number].path().display().to_string();
                    self.complain(&format!(
                        "{path}, which had its name before, cannot be read any more: {error}"
                    ));
                    None
                }
                other => other?,
            };
            match turn {
                None => {
                    let closed = self.late.remove(number);
                    self.state.late.remove(number);
                    shared.taken.forget(closed.id());
                }
                Some(Turn::Idle) => number += 1,
                Some(turn) => return Ok(turn),
            }
        }
        Ok(Turn::Idle)
    }

    /// The same for one of them; `None`: it is to be closed.
    fn look_at_one_late(
        &mut self,
        shared: &mut Shared<'_>,
        number: usize,
        now: Instant,
    ) -> Result<Option<Turn>, FeedError> {
        let held = self.late[number].look(now)?;
        match next_late(&held) {
            Step::Read => return self.log_some(shared, Slot::Late(number), false).map(Some),
            Step::LookAgain => self.late[number].look_again(),
            Step::Finish => {
                let is_unfinished = held.is_intact && held.length == held.looked && held.looked > held.logged;
                if is_unfinished && self.log_some(shared, Slot::Late(number), true)? == Turn::Full {
                    return Ok(Some(Turn::Full));
                }
                return Ok(None);
            }
            Step::Wait | Step::Rewind | Step::Begin => {}
        }
        Ok(Some(Turn::Idle))
    }

    /// Whether nothing can come of this track any more, and was so for a while: its file is deleted, and no file that it knows is to be `seen` under any name.
    /// A file that is being renamed may be seen nowhere for a moment.
    #[must_use]
    pub fn is_over(&mut self, seen: &HashSet<u64>, now: Instant) -> bool {
        let is_empty = !self.name.is_named
            && self.shown.0 == Shows::Nothing
            && self.reading.is_none()
            && self.waiting.is_empty()
            && self.late.is_empty()
            && !self.state.done.iter().any(|digest| seen.contains(digest));
        if !is_empty {
            self.empty_since = None;
            return false;
        }
        now.duration_since(*self.empty_since.get_or_insert(now)) >= EMPTY_FOR
    }

    /// Gives the ring up, with all that it remembers.
    pub fn retire(self, shared: &mut Shared<'_>) {
        shared.taken.forget_track(self.number);
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
