//! One queue of version 2 that is taken in: the acts of its [`Course`], done to the queue, its ring and its stash.
//!
//! **The rule.** A transaction is logged with the state that says how far the queue was read, as one atom; then the room is given back. Whoever
//! kills this process at whatever instant, the next one finds that state in the ring, and goes on there.
//!
//! Nothing here waits for a producer. A transaction for which its ring has no room waits there, and so does its queue, not others; one that is longer than the
//! whole ring is begun only when the ring is empty, and then goes through it as the drainer makes room.
//!
//! What cannot be understood wholly (a footer, an id, a payload) ends the taking in of that queue: it is left as it is, and said so.

use super::names::QueueName;
use super::producer::Life;
use super::statements::{KnownStatements, StatementError};
use crate::exit::chain;
use crate::formats::classic::records::{Record, Records, RecordsError};
use crate::formats::classic::statements::{Declaration, DeclarationError, Statements};
use crate::formats::value::Lengths;
use crate::os::clock;
use hog_ring::layout::{PLAIN_HEADER, TIMED_HEADER};
use hog_ring::limits::{self, RUN_MAX};
use hog_ring::payload::Packed;
use hog_ring::record::padded;
use hog_ring::v2::layout::PAGE;
use hog_ring::v2::{Act, BadQueue, Course, Footer, PAGES_MAX, PageKind, Progress, Queue, QueueFault, Stash, resolve};
use hog_ring::{Group, Resume, RuntimeStatement, Writer};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use uuid::Uuid;

/// Bytes of data in the ring of a queue, at least and at most. The least is many times a queue of the original's default size.
const RING_SIZE: (u64, u64) = (256 << 10, 2 << 20);
/// Pages that are taken of one queue before it is another's turn.
const PAGES_AT_ONCE: u32 = 64;
/// A living producer decides about a tentative page within microseconds. After so long it is said that it has not.
const TENTATIVE_MAX: Duration = Duration::from_secs(10);
/// Memory that is kept for the next transaction, in bytes.
const OPEN_KEPT: usize = 64 << 10;
/// Room for what a writer puts in front of records: ABORT, GAP.
const HOUSEKEEPING: u64 = 128;

/// Why a queue is not taken in, or no further.
#[derive(Debug, Error)]
pub(super) enum Quarantine {
    #[error(transparent)]
    Queue(#[from] QueueFault),
    #[error(transparent)]
    BadQueue(#[from] BadQueue),
    #[error("what it declares")]
    Declaration(#[from] DeclarationError),
    #[error("what it declares")]
    Statement(#[from] StatementError),
    #[error("a transaction that cannot be understood")]
    Records(#[from] RecordsError),
    #[error("a transaction of more than {} pages", PAGES_MAX)]
    TooLong,
    #[error("a transaction that takes {found} bytes in a ring or more, where {RUN_MAX} is the most")]
    TooLongInRing { found: u64 },
    #[error("its stash is damaged")]
    Stash,
    #[error("use its stash")]
    StashIo(#[source] io::Error),
    #[error("use its ring")]
    Ring(#[from] hog_ring::Error),
    #[error("look at its file")]
    File(#[source] io::Error),
}

impl Quarantine {
    /// Whether it may be otherwise later, without anybody touching the queue: shared memory is full, or another process has the ring.
    pub(super) fn may_pass(&self) -> bool {
        let is_full = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
        match self {
            Quarantine::Ring(error) => {
                error.is_permission()
                    || matches!(
                        error,
                        hog_ring::Error::Held { .. }
                            | hog_ring::Error::ShmFull { .. }
                            | hog_ring::Error::TooManyRings
                            | hog_ring::Error::Io { .. }
                    )
            }
            Quarantine::StashIo(error) => is_full(error),
            Quarantine::File(_) => true,
            _ => false,
        }
    }
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// As many pages were read as may be at once.
    More,
    /// Pages were read, and no more are there.
    Took,
    /// There is no room for what is to be done.
    Full,
    /// There is nothing to do.
    Nothing,
    /// The producer is dead and all that it published is taken in.
    Over,
    /// This process is ending.
    Stopped,
}

/// A queue that is taken in.
pub(super) struct QueueIntake {
    pub(super) name: QueueName,
    queue: Queue,
    course: Course,
    writer: Writer,
    stash: Stash,
    statements: Statements,
    numbered: Vec<Arc<RuntimeStatement>>,
    /// Whether each of them was logged in this life of the ring.
    is_defined: Vec<bool>,
    /// How many were not.
    undefined: usize,
    life: Life,
    /// Bytes of the open transaction.
    open: Vec<u8>,
    tentative_since: Option<Instant>,
    /// That there is no room for its stash was said.
    was_told_full: bool,
    /// Pages that were published when it was taken up, and are not read yet.
    left_of_start: u32,
    /// When there was something to read for the last time.
    read_at: Instant,
    /// What is to be said.
    pub(super) notices: Vec<String>,
}

impl QueueIntake {
    /// Takes up `queue`, whose ring is `group`'s: where the state of that ring says, or from the beginning.
    pub(super) fn begin(
        name: QueueName,
        queue: Queue,
        group: &Group,
        known: &KnownStatements,
    ) -> Result<QueueIntake, Quarantine> {
        let Declaration { statements, .. } = Declaration::of_queue(&queue.metadata()?)?;
        let numbered = known.of(statements.all())?;
        let inode = queue.inode().map_err(Quarantine::File)?;
        let slots = queue.layout().slots;
        let life = Life::of(name.seen).map_err(Quarantine::File)?;
        let stash = Stash::open(&group.directory().join(name.stash())).map_err(Quarantine::StashIo)?;
        let head = stash.head().map_err(Quarantine::StashIo)?;
        let writer = writer(group, &name.ring(), ring_size(slots))?;
        let state = writer
            .recovered()
            .and_then(|recovered| Progress::decode(&recovered.state));
        let state = state.filter(|state| state.inode == inode && state.slots == slots);
        let (ri, wi) = queue.indices()?;
        let resolved = resolve(slots, state, head, (ri, wi))?;
        let mut notices = Vec::new();
        if resolved.was_read_elsewhere {
            let words =
                "somebody else has read this queue since: what they took is theirs, and it is gone on with behind that";
            notices.push(words.to_owned());
        }
        let mut open = Vec::new();
        for number in 0..resolved.stashed {
            let page = stash.read_page(number).map_err(|_| Quarantine::Stash)?;
            open.extend_from_slice(payload_of(&page).ok_or(Quarantine::Stash)?);
        }
        Ok(QueueIntake {
            name,
            course: Course::begin(inode, slots, &resolved),
            queue,
            writer,
            stash,
            is_defined: vec![false; numbered.len()],
            undefined: numbered.len(),
            statements,
            numbered,
            life,
            open,
            tentative_since: None,
            was_told_full: false,
            left_of_start: (wi + slots - ri) % slots,
            read_at: Instant::now(),
            notices,
        })
    }

    /// The stream that its transactions go into, and the end of what is published in it.
    pub(super) fn stream(&self) -> (Uuid, u64) {
        (self.writer.ring_uuid(), self.writer.tail())
    }

    /// Whether what was published when it was taken up is logged, as far as its producer has decided about it.
    pub(super) fn has_caught_up(&self) -> bool {
        self.left_of_start == 0 && self.course.is_idle()
    }

    /// Whether nothing of it is open or on its way, and nothing came for `time`. Then all there is to know is in the queue itself.
    pub(super) fn rests_since(&mut self, time: Duration) -> bool {
        let is_read = self.course.is_idle() && !self.course.has_open();
        let is_empty = self.queue.indices().is_ok_and(|(ri, wi)| ri == wi);
        is_read && is_empty && self.read_at.elapsed() >= time && self.is_drained()
    }

    /// Whether its producer was found dead.
    pub(super) fn is_orphaned(&self) -> bool {
        self.life.is_over()
    }

    /// Whether the drainer has taken all that was logged.
    pub(super) fn is_drained(&mut self) -> bool {
        self.drained() == self.writer.tail()
    }

    /// Up to where its ring is drained.
    pub(super) fn drained(&mut self) -> u64 {
        let tail = self.writer.tail();
        let room = self.writer.room().unwrap_or(0);
        tail.saturating_sub(self.writer.capacity().saturating_sub(room))
    }

    /// Up to where the queue is published now.
    pub(super) fn published(&self) -> Result<u32, QueueFault> {
        self.queue.indices().map(|(_, wi)| wi)
    }

    /// Wakes the drainer.
    pub(super) fn ring(&mut self) {
        self.writer.commit();
    }

    /// Does what can be done now, and not too much of it.
    pub(super) fn turn(&mut self, looks_at_life: bool) -> Result<Turn, Quarantine> {
        // In this order: what a dead producer published is visible now.
        let is_dead = looks_at_life && self.life.look(&self.queue);
        let mut pages = 0;
        let or = |none, pages| if pages > 0 { Turn::Took } else { none };
        while pages < PAGES_AT_ONCE {
            let wi = self.published()?;
            let is_done = match self.course.next(wi, is_dead) {
                Act::Rest if is_dead => return Ok(Turn::Over),
                Act::Rest => return Ok(or(Turn::Nothing, pages)),
                Act::Judge { slot } => {
                    if !self.judge(slot, is_dead)? {
                        return Ok(or(Turn::Nothing, pages));
                    }
                    pages += 1;
                    continue;
                }
                act => self.act(act),
            };
            match is_done {
                Ok(true) => self.course.did(),
                Ok(false) => return Ok(or(Turn::Full, pages)),
                Err(Quarantine::Ring(hog_ring::Error::Stopped)) => return Ok(Turn::Stopped),
                // There may be room for a page of the stash later.
                Err(error) if matches!(error, Quarantine::StashIo(_)) && error.may_pass() => {
                    self.say_full(&error);
                    return Ok(or(Turn::Full, pages));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Turn::More)
    }

    /// Judges a page, and takes its bytes. `false`: its producer has not decided yet.
    fn judge(&mut self, slot: u32, is_dead: bool) -> Result<bool, Quarantine> {
        let Footer { kind, len } = self.queue.footer(slot)?;
        let counts = matches!(kind, PageKind::Continued | PageKind::Commit);
        if counts && self.course.pages_open() >= PAGES_MAX {
            return Err(Quarantine::TooLong);
        }
        if counts {
            self.queue.copy(slot, len, &mut self.open)?;
        }
        let is_judged = self.course.judged(kind, is_dead);
        self.read_at = Instant::now();
        if is_judged {
            self.tentative_since = None;
            self.left_of_start = self.left_of_start.saturating_sub(1);
        } else {
            self.left_of_start = 0;
            let since = *self.tentative_since.get_or_insert_with(Instant::now);
            if since.elapsed() > TENTATIVE_MAX {
                // Whether it counts only its producer knows, and will say, or die.
                let words =
                    "its producer lives and has not said for 10 s whether a page counts: the queue waits for that";
                self.notices.push(words.to_owned());
                self.tentative_since = Some(Instant::now() + 360 * TENTATIVE_MAX);
            }
        }
        Ok(is_judged)
    }

    /// Does an act, whole. `false`: there is no room for it now.
    fn act(&mut self, act: Act) -> Result<bool, Quarantine> {
        match act {
            Act::Rest | Act::Judge { .. } => {}
            Act::Log(progress) => return self.log(progress),
            Act::Forget(progress) => {
                self.forget_open();
                return self.commit_state(progress);
            }
            Act::Release { ri } => self.queue.release(ri)?,
            Act::Wake => self.queue.wake(self.name.policy),
            Act::StashPage { number, slot } => {
                let mut page = Vec::with_capacity(PAGE);
                self.queue.copy(slot, PAGE, &mut page)?;
                let page: Result<[u8; PAGE], _> = page.try_into();
                let page = page.ok().filter(|page| payload_of(page).is_some());
                let page = page.ok_or(Quarantine::Stash)?; // it was judged: somebody has changed it since
                self.stash.write_page(number, &page).map_err(Quarantine::StashIo)?;
            }
            Act::StashHead(head) => self.stash.set_head(head).map_err(Quarantine::StashIo)?,
        }
        Ok(true)
    }

    fn commit_state(&mut self, progress: Progress) -> Result<bool, Quarantine> {
        if self.writer.room()? < HOUSEKEEPING {
            return Ok(false);
        }
        Ok(self.writer.commit_state(&progress.encode())?)
    }

    /// Logs the open transaction. `false`: there is no room for it now.
    fn log(&mut self, progress: Progress) -> Result<bool, Quarantine> {
        if self.open.is_empty() {
            return self.commit_state(progress);
        }
        if self.writer.room()? < self.needed()? {
            return Ok(false);
        }
        let time = Some(clock::now_ns());
        let mut lengths = Lengths::default();
        let mut transaction = self.writer.transaction();
        // What is in front of a record that cannot be understood is rolled back with it.
        for record in Records::new(&self.statements, &mut lengths, &self.open) {
            let Record { place, payload } = record?;
            let Some(statement) = self.numbered.get(place) else {
                continue;
            };
            transaction.log_payload_at(time, statement, &Packed(payload))?;
            if let Some(is_defined @ false) = self.is_defined.get_mut(place) {
                *is_defined = true;
                self.undefined -= 1;
            }
        }
        transaction.set_state(&progress.encode())?;
        transaction.commit()?;
        self.forget_open();
        Ok(true)
    }

    /// So much room there must be in the ring before the open transaction is logged: then nothing waits within it, unless it is longer than the ring.
    fn needed(&self) -> Result<u64, Quarantine> {
        let capacity = self.writer.capacity();
        let bytes = match longest_in_ring(self.open.len()) {
            longest if longest <= capacity / 4 => longest,
            _ => self.measure()?,
        };
        let fragments = bytes / limits::fragment_max(capacity) as u64 + 1;
        let definitions = (self.undefined as u64 * limits::DEFINITION_MAX as u64).min(capacity / 4);
        let needed = bytes + definitions + (fragments + 1) * 2 * PLAIN_HEADER as u64 + HOUSEKEEPING;
        Ok(needed.min(capacity))
    }

    /// How many bytes the records of the open transaction take in a ring.
    fn measure(&self) -> Result<u64, Quarantine> {
        let mut bytes = 0;
        for record in Records::new(&self.statements, &mut Lengths::default(), &self.open) {
            bytes += padded(TIMED_HEADER + record?.payload.len()) as u64;
            // At once: records without a payload are four bytes there, and many more here.
            if bytes > RUN_MAX as u64 {
                return Err(Quarantine::TooLongInRing { found: bytes });
            }
        }
        Ok(bytes)
    }

    fn forget_open(&mut self) {
        self.open.clear();
        self.open.shrink_to(OPEN_KEPT);
    }

    fn say_full(&mut self, error: &Quarantine) {
        if !std::mem::replace(&mut self.was_told_full, true) {
            self.notices.push(format!("{}; the queue waits for room", chain(error)));
        }
    }

    /// The ring gets no more, and its drainer deletes it: all that its producer published is in it.
    pub(super) fn retire(self) -> Queue {
        self.writer.retire();
        self.queue
    }
}

/// The writer of the ring `name`. If there is no memory for a new one of `bytes`, it is as small as one may be: with none, the queue's producer would wait.
fn writer(group: &Group, name: &str, bytes: u64) -> Result<Writer, hog_ring::Error> {
    let sized = |bytes| group.with_ring_size(bytes)?.named_writer(name, Resume::Auto);
    match sized(bytes) {
        Err(hog_ring::Error::ShmFull { .. }) if bytes > RING_SIZE.0 => sized(RING_SIZE.0),
        made => made,
    }
}

/// Bytes of data in the ring of a queue of so many slots: about as many as the queue is long, so that a large one goes through it in large pieces.
fn ring_size(slots: u32) -> u64 {
    let queue = u64::from(slots.max(1)) * PAGE as u64;
    (1 << queue.ilog2()).clamp(RING_SIZE.0, RING_SIZE.1)
}

/// The most bytes that `bytes` of a transaction become in a ring: all of its records are the shortest that there are, a statement's id.
fn longest_in_ring(bytes: usize) -> u64 {
    let records = bytes / size_of::<u32>() + 1;
    (bytes + records * padded(TIMED_HEADER)) as u64
}

/// The bytes of a stashed page that are its transaction's.
fn payload_of(page: &[u8; PAGE]) -> Option<&[u8]> {
    let (bytes, footer) = page.split_last_chunk()?;
    let footer = Footer::judge(u32::from_le_bytes(*footer))?;
    (footer.kind == PageKind::Continued).then(|| bytes.get(..footer.len))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_the_size_of_its_queue_within_bounds() {
        let sizes = [2, 64, 65, 127, 128, 600, 1 << 16].map(ring_size);
        let kib = sizes.map(|size| size >> 10);
        assert_eq!(kib, [256, 256, 256, 256, 512, 2048, 2048]);
    }

    #[test]
    fn no_transaction_takes_more_room_in_a_ring_than_is_kept_for_it() {
        for payload in 0..300 {
            for records in 1..20 {
                let bytes = records * (size_of::<u32>() + payload);
                let taken = records * padded(TIMED_HEADER + payload);
                assert!(
                    taken as u64 <= longest_in_ring(bytes),
                    "{records} records of {payload} bytes"
                );
            }
        }
    }
}
