//! The intake of a group: programs that log through the original's library (version 2) are served as they are.
//!
//! It is a producer. It copies what those programs publish out of their queues, finds the records by their statements' types, and logs each of their
//! transactions as one of ours, into a ring for each queue, which the drainer takes like any other. Nobody behind the ring knows where
//! it came from. The state of that ring says how far the queue was read, and the room in the queue is given back only then: [`queue`].
//!
//! design.md has the drainer read these queues itself, with frames of a kind of their own and the reader's index in the checkpoint. This is one
//! mechanism instead of two: rings with a resume state are what engines have for their files, and are proven against kills at every instruction. It costs
//! one copy more, and a ring (as large as its queue, from 256 KiB to 2 MiB) for each thread that logs.
//!
//! Programs may have many threads that log once and end. A queue whose thread cannot be seen any more, and of which nothing came for a minute, is put to rest: its ring is ended, its
//! link stays, and it is looked at now and then. Nothing depends on that thread being dead. Should more come, it goes on in another ring; should its process die, it is deleted.
//!
//! One thread serves all queues of a group, and the registration socket ([`door`]); it waits for no producer and no client. A queue that cannot be understood
//! is reported once and left as it is; the others go on.

mod door;
mod links;
mod names;
mod producer;
mod queue;
mod registration;
mod statements;
mod unmet;

use crate::exit::chain;
use crate::ids::StreamId;
use crate::limits::QUEUES_MAX;
use crate::modes::drainer::opening::RingPlace;
use crate::modes::recorder::Recorder;
use crate::modes::stop::{MOVE_EVERY, Stop};
use crate::modes::supervise::{Job, Post, provoke};
use door::{Door, Handed, Peer, socket_path};
use hog_ring::v2::{OpenQueueError, Queue};
use hog_ring::{Group, GroupOptions};
use names::{QueueName, Seen};
use producer::Life;
use queue::{Quarantine, QueueIntake, Turn};
use registration::Registration;
use statements::KnownStatements;
use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::{info, warn};
use uuid::Uuid;

/// Between two passes that found something.
const POLL_BUSY: Duration = Duration::from_micros(50);
/// The first sleep when there is nothing, and the longest beside a queue: nobody says that something was published in one. One that only waits for room in a ring
/// begins with [`POLL_BUSY`].
const SLEEP: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// How often clients are looked after while queues fill.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How often it is looked whether producers live.
const LIVES_EVERY: Duration = Duration::from_millis(100);
/// A queue of a thread that cannot be seen, of which nothing came for so long, is put to rest.
const REST_AFTER: Duration = Duration::from_secs(60);
/// How often links are looked through, for queues that rest or could not be had.
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// How often a directory of rings that may not be used is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// So many refused queues are remembered; whoever makes more of them may be told of again.
const REFUSED_MAX: usize = 1 << 16;

/// What the intake tells the rest of the process.
#[derive(Default)]
pub struct IntakeReport {
    /// All that was published in the queues that were there at the start is in the log, as far as [`Self::goal`] says.
    caught_up: AtomicBool,
    goal: Mutex<HashMap<StreamId, u64>>,
}

impl IntakeReport {
    /// Up to where the streams of queues stood when all that was there at the start was in the log; `None` before that.
    #[must_use]
    pub fn goal(&self) -> Option<HashMap<StreamId, u64>> {
        // Acquire pairs with the Release of the intake, which wrote the goal before.
        if !self.caught_up.load(Ordering::Acquire) {
            return None;
        }
        self.goal.lock().ok().map(|goal| goal.clone())
    }

    /// What was there at the start of a queue whose stream this is, is in the log.
    fn reached(&self, (stream, tail): (Uuid, u64)) {
        if let Ok(mut goal) = self.goal.lock() {
            goal.insert(StreamId(stream), tail);
        }
    }
}

/// Whether the ring at `path` is that of a queue that is kept in sight.
#[must_use]
pub fn is_of_queue(path: &Path) -> bool {
    let (Some(directory), Some(stem)) = (path.parent(), path.file_stem()) else {
        return false;
    };
    links::list(directory).is_ok_and(|names| names.iter().any(|name| stem == name.ring().as_str()))
}

/// What becomes of queues whose producers were dead before they were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// They are taken in, and deleted.
    TakeIn,
    /// They are left untouched, for a later run.
    Leave,
}

/// The worker that takes the queues of version 2 of a group in, until `stop`. Producers register in `store`.
pub fn job(
    place: RingPlace,
    store: &Path,
    orphans: Orphans,
    recorder: &Recorder,
    report: &Arc<IntakeReport>,
    stop: &Stop,
) -> Job {
    let name = format!("intake {}", place.group);
    let around = Surroundings {
        orphans,
        socket: socket_path(store, &place.group),
        place,
        recorder: recorder.clone(),
        report: Arc::clone(report),
        known: KnownStatements::default(),
        handed: Handed::default(),
    };
    Job::new(&name, stop, move |post| run(&around, post))
}

/// What the workers of a group hand on to each other.
struct Surroundings {
    orphans: Orphans,
    place: RingPlace,
    socket: PathBuf,
    recorder: Recorder,
    report: Arc<IntakeReport>,
    known: KnownStatements,
    handed: Handed,
}

/// What a turn through all queues came to, and so when the next one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    /// There was nothing to take.
    Nothing,
    /// What there was has no room in its ring.
    Full,
    /// All was taken that there was.
    Took,
    /// More is there to be taken.
    More,
}

fn run(around: &Surroundings, post: &Post) -> Result<(), String> {
    let Some(group) = open_group(&around.place, &post.stop)? else {
        return Ok(());
    };
    let mut intake = Intake::new(around, group, REST_AFTER)?;
    let bell = intake.door.bell();
    let _waking = post.stop.on_set(move || bell.ring());
    let served = intake.serve(post);
    if post.pass.is_current() {
        intake.door.close();
    }
    served
}

/// The directory of rings, once it may be used. `None`: it is time to end.
fn open_group(place: &RingPlace, stop: &Stop) -> Result<Option<Group>, String> {
    loop {
        let mut options = GroupOptions::new(&place.group)
            .shm_dir(&place.shm_dir)
            .stop_flag(stop.flag());
        if let Some(shm_group) = place.shm_group {
            options = options.shm_group(shm_group);
        }
        if let Some(looks) = stop.looks() {
            // To wait for room is to be alive.
            options = options.wait_count(looks);
        }
        match options.open() {
            Ok(group) => return Ok(Some(group)),
            Err(error) if error.is_permission() => {} // the drainer says so
            Err(error) => return Err(chain(&error)),
        }
        if stop.wait(TRY_EVERY) {
            return Ok(None);
        }
    }
}

struct Intake<'a> {
    around: &'a Surroundings,
    group: Group,
    door: Door,
    queues: Vec<QueueIntake>,
    /// The inodes of these.
    taking: HashSet<u64>,
    /// Those of queues of which it was said that they are not taken in.
    refused: HashSet<u64>,
    scan_due: Instant,
    lives_due: Instant,
    /// Queues that were there at the start and have not caught up, or whose ring is not drained up to there; `None` before they were looked for.
    at_start: Option<HashMap<u64, Option<u64>>>,
    /// [`REST_AFTER`], but for tests.
    rest_after: Duration,
}

impl<'a> Intake<'a> {
    fn new(around: &'a Surroundings, group: Group, rest_after: Duration) -> Result<Self, String> {
        let door = Door::new(around.socket.clone(), &around.handed, &around.recorder);
        Ok(Self {
            around,
            group,
            door: door.map_err(|error| format!("cannot look after the registration socket: {error}"))?,
            queues: Vec::new(),
            taking: HashSet::new(),
            refused: HashSet::new(),
            scan_due: Instant::now(),
            lives_due: Instant::now(),
            at_start: None,
            rest_after,
        })
    }

    fn serve(&mut self, post: &Post) -> Result<(), String> {
        let mut sleep = POLL_BUSY;
        let mut look_due = Instant::now();
        let mut registrations = Vec::new();
        while !post.stop.is_set() {
            provoke::here();
            let now = Instant::now();
            if now >= self.scan_due {
                self.scan_due = now + SCAN_EVERY;
                self.scan();
                self.door.tell_counts();
            }
            let pace = self.turn(now);
            self.note_progress();
            let took = pace >= Pace::Took;
            let longest = if self.queues.is_empty() { MOVE_EVERY } else { SLEEP.1 };
            let wait = match pace {
                Pace::More | Pace::Took => Duration::ZERO,
                Pace::Full => sleep.min(longest),
                Pace::Nothing => sleep.clamp(SLEEP.0, longest),
            };
            if !took || now >= look_due {
                look_due = now + LOOK_EVERY;
                let looked = self.door.look(wait, &mut registrations);
                looked.map_err(|error| format!("cannot look after the registration socket: {error}"))?;
            }
            sleep = if took || !registrations.is_empty() {
                POLL_BUSY
            } else {
                wait * 2
            };
            for (registration, peer) in registrations.drain(..) {
                self.register(registration, peer);
            }
            if pace == Pace::Took {
                std::thread::sleep(POLL_BUSY);
            }
        }
        Ok(())
    }

    /// Looks for queues that are kept in sight and not taken in.
    fn scan(&mut self) {
        let names = match links::list(self.group.directory()) {
            Ok(names) => names,
            Err(error) => {
                self.door
                    .tell("unlisted", || format!("cannot list the queues of version 2: {error}"));
                return;
            }
        };
        let links: HashSet<u64> = names.iter().map(|name| name.inode).collect();
        for name in names {
            if self.taking.contains(&name.inode) {
                continue;
            }
            match links::open(self.group.directory(), &name) {
                Ok(queue) if self.is_left(&name, &queue) => {}
                Ok(queue) if self.rests(&name, &queue) => {}
                Ok(queue) => self.admit(name, queue),
                // A worker that is relieved looks whether it is alone with it.
                Err(error) if error.is_for_now() => {}
                Err(error) => self.refuse(&name, &chain(&error)),
            }
        }
        if self.around.orphans == Orphans::TakeIn {
            self.take_up_unmet(&links);
        }
        if self.at_start.is_none() {
            let found = self.queues.iter().map(|queue| (queue.name.inode, None));
            self.at_start = Some(found.collect());
        }
    }

    /// Takes up what dead programs left that nobody ever said anything of. What is left in `links` is not theirs.
    fn take_up_unmet(&mut self, links: &HashSet<u64>) {
        let place = &self.around.place;
        let is_known =
            |inode: u64| links.contains(&inode) || self.taking.contains(&inode) || self.refused.contains(&inode);
        let unmet = match unmet::list(&place.shm_dir, &place.group, is_known) {
            Ok(unmet) => unmet,
            Err(error) => {
                let words = format!("cannot look for queues of dead programs: {error}");
                self.door.tell("unmet", || words);
                return;
            }
        };
        for unmet in unmet {
            let directory = self.group.directory();
            if unmet.is_drained() {
                // Its program ended in order, or somebody else has what it held.
                let removed = links::remove_all(directory, &unmet.name, &unmet.path, &unmet.queue);
                if let Err(error) = removed {
                    self.door.tell("undeleted", || {
                        format!("{} cannot be deleted: {error}", unmet.path.display())
                    });
                }
                continue;
            }
            if let Err(error) = links::make(directory, &unmet.name, &unmet.queue) {
                self.door.tell("unlinked", || {
                    format!("cannot keep the queue {} in sight: {error}", unmet.path.display())
                });
                continue;
            }
            let name = unmet.name;
            self.admit(name, unmet.queue);
            if self.refused.contains(&name.inode) {
                let _ = links::remove(self.group.directory(), &name); // nothing of it was touched
            }
        }
    }

    /// Whether a queue was put to rest, and nothing came since.
    fn rests(&self, name: &QueueName, queue: &Queue) -> bool {
        let is_over = || Life::of(name.seen).is_ok_and(|mut life| life.look(queue));
        queue.indices().is_ok_and(|(ri, wi)| ri == wi)
            && !links::has_more(self.group.directory(), name)
            && !producer::is_thread_visible(name)
            && !is_over()
    }

    fn is_left(&self, name: &QueueName, queue: &Queue) -> bool {
        self.around.orphans == Orphans::Leave && Life::of(name.seen).is_ok_and(|mut life| life.look(queue))
    }

    /// A client says that it has a queue.
    fn register(&mut self, registration: Registration, peer: Peer) {
        let claimed = registration.claimed;
        let path = claimed.path(&self.around.place.shm_dir, &self.around.place.group);
        // Producers that wait for room say what they said before a hundred times a second.
        let is_known = |file: &Metadata| self.taking.contains(&file.ino()) || self.refused.contains(&file.ino());
        if fs::symlink_metadata(&path).is_ok_and(|file| is_known(&file)) {
            return;
        }
        let queue = match Queue::open(&path) {
            Ok(queue) => queue,
            // It is gone since, and was taken in then.
            Err(OpenQueueError::Io { source, .. }) if registration.is_again && source.kind() == ErrorKind::NotFound => {
                return;
            }
            Err(error) => {
                self.door
                    .tell("unopened", || format!("process {}: {}", claimed.pid, chain(&error)));
                return;
            }
        };
        let Ok((_, inode)) = queue.inode() else { return };
        if self.taking.contains(&inode) || self.refused.contains(&inode) {
            return;
        }
        let Some(seen) = queue
            .user()
            .ok()
            .and_then(|owner| producer::identify(claimed, peer, owner))
        else {
            self.door.tell("impostor", || {
                format!(
                    "process {} claims to be process {}, and is not believed",
                    peer.pid, claimed.pid
                )
            });
            return;
        };
        let name = QueueName {
            claimed,
            inode,
            seen,
            policy: registration.policy,
        };
        if let Err(error) = links::make(self.group.directory(), &name, &queue) {
            self.door.tell("unlinked", || {
                format!("cannot keep the queue {} in sight: {error}", path.display())
            });
            return;
        }
        if registration.is_again && self.rests(&name, &queue) {
            return;
        }
        self.admit(name, queue);
        if self.refused.contains(&inode) {
            // Nothing of it was touched. A name that stays is looked at again by the next run.
            let _ = links::remove(self.group.directory(), &name);
        }
    }

    /// Takes a queue up whose link is there.
    fn admit(&mut self, name: QueueName, queue: Queue) {
        if self.queues.len() >= QUEUES_MAX {
            self.door.tell("queues", || {
                format!("{QUEUES_MAX} queues of version 2 are taken in; no more are taken up")
            });
            return;
        }
        if self.refused.contains(&name.inode) {
            return;
        }
        match QueueIntake::begin(name, queue, &self.group, &self.around.known) {
            Ok(queue) => {
                info!("queue {} of version 2 is taken in", name.ring());
                self.taking.insert(name.inode);
                self.queues.push(queue);
            }
            Err(error) => self.give_up(&name, &error),
        }
    }

    /// Says that a queue is not taken in now, and, if that is not to pass, never will be.
    fn give_up(&mut self, name: &QueueName, error: &Quarantine) {
        let words = chain(error);
        if error.may_pass() {
            // The next look at the links takes it up again, from what its ring says.
            self.door
                .tell("later", || format!("queue {}: {words}; it is tried again", name.ring()));
        } else {
            self.refuse(name, &words);
        }
    }

    /// Says, once, that a queue is not taken in.
    fn refuse(&mut self, name: &QueueName, words: &str) {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        if self.refused.insert(name.inode) {
            let Seen { pid, .. } = name.seen;
            let words =
                format!("{words}; this queue of process {pid} is quarantined: it is left as it is, and not taken in");
            self.say(name, &words);
        }
    }

    fn say(&self, name: &QueueName, words: &str) {
        let object = format!("queue {} of group {}", name.ring(), self.around.place.group);
        warn!("{object}: {words}");
        self.around.recorder.fault(&object, words);
    }

    /// Takes what queues have, once.
    fn turn(&mut self, now: Instant) -> Pace {
        let looks_at_lives = now >= self.lives_due;
        if looks_at_lives {
            self.lives_due = now + LIVES_EVERY;
        }
        let mut pace = Pace::Nothing;
        let mut at = 0;
        while let Some(queue) = self.queues.get_mut(at) {
            let turn = queue.turn(looks_at_lives);
            let is_drained = matches!(turn, Ok(Turn::Over)) && queue.is_drained();
            let notices = std::mem::take(&mut queue.notices);
            let name = queue.name;
            for words in notices {
                self.say(&name, &words);
            }
            match turn {
                Ok(Turn::Full) => {
                    pace = pace.max(Pace::Full);
                    at += 1;
                }
                Ok(turn @ (Turn::Took | Turn::More)) => {
                    pace = pace.max(if turn == Turn::More { Pace::More } else { Pace::Took });
                    if let Some(queue) = self.queues.get_mut(at) {
                        queue.ring();
                    }
                    at += 1;
                }
                Ok(Turn::Nothing) if looks_at_lives && self.puts_to_rest(at) => {}
                Ok(Turn::Nothing) => at += 1,
                Ok(Turn::Stopped) => return Pace::Nothing,
                // What is not drained yet stays in sight: somebody may wait for that.
                Ok(Turn::Over) if !is_drained => at += 1,
                Ok(Turn::Over) => {
                    let queue = self.leave(at);
                    self.end(queue);
                }
                Err(error) => {
                    drop(self.leave(at));
                    self.give_up(&name, &error);
                }
            }
        }
        pace
    }

    /// Puts a queue to rest if it is time for that: all of it is in the log, so it can be gone on with as if it were new.
    fn puts_to_rest(&mut self, at: usize) -> bool {
        let rest_after = self.rest_after;
        let Some(queue) = self.queues.get_mut(at) else {
            return false;
        };
        if !queue.rests_since(rest_after) || producer::is_thread_visible(&queue.name) {
            return false;
        }
        let queue = self.leave(at);
        let name = queue.name;
        drop(queue.retire());
        // One that stays is empty, and its queue is taken up again by the next look.
        let _ = links::remove_stash(self.group.directory(), &name);
        true
    }

    fn leave(&mut self, at: usize) -> QueueIntake {
        let queue = self.queues.swap_remove(at);
        self.taking.remove(&queue.name.inode);
        queue
    }

    /// The producer of a queue is dead, and all of it is taken in.
    fn end(&mut self, queue: QueueIntake) {
        let name = queue.name;
        let was_there = self.at_start.as_mut().and_then(|at_start| at_start.remove(&name.inode));
        if was_there.is_some() {
            self.around.report.reached(queue.stream());
        }
        let place = &self.around.place;
        let original = name.claimed.path(&place.shm_dir, &place.group);
        let queue = queue.retire();
        match links::remove_all(self.group.directory(), &name, &original, &queue) {
            Ok(()) => info!(
                "queue {}: its producer is dead, and all of it was taken in",
                name.ring()
            ),
            Err(error) => self.refuse(&name, &format!("cannot delete it: {error}")),
        }
    }

    /// Says so once all that was there at the start is in the log.
    fn note_progress(&mut self) {
        let Some(at_start) = &mut self.at_start else { return };
        if self.around.report.caught_up.load(Ordering::Relaxed) {
            return;
        }
        // Those of dead producers are waited for until they are over.
        for queue in self.queues.iter_mut().filter(|queue| !queue.is_orphaned()) {
            let Some(goal) = at_start.get_mut(&queue.name.inode) else {
                continue;
            };
            if goal.is_none() && queue.has_caught_up() {
                *goal = Some(queue.stream().1);
            }
            if let Some(tail) = *goal
                && queue.drained() >= tail
            {
                at_start.remove(&queue.name.inode);
                self.around.report.reached((queue.stream().0, tail));
            }
        }
        // Those that were quarantined meanwhile are not waited for.
        at_start.retain(|inode, _| self.taking.contains(inode));
        if at_start.is_empty() {
            // Release: pairs with the Acquire of `goal`.
            self.around.report.caught_up.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
