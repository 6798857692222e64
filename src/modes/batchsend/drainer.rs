//! The drainer of a group: the one reader of its rings and the one writer of its spool.
//!
//! A pass reads every tail, asks [`Drain`] in which order to take, copies records from the rings into one batch, appends that with one write, and
//! only then advances the heads: append, then advance. Whatever instant it is killed at, the spool says up to where each ring was taken, and
//! the next drainer goes on there.

use crate::formats::body::{Attach, End, Gap, GapReason};
use crate::formats::definitions::Definitions;
use crate::formats::frame::{self, END_SPAN, FrameHeader, HEADER_LEN, Kind};
use crate::formats::table::StreamState;
use crate::ids::{OwnerId, StreamId};
use crate::limits::{APPEND_MAX, FRAME_BODY_MAX};
use crate::modes::batchsend::rings::{Found, RingHandle, RingSet};
use crate::modes::recorder::{Recorder, RegionMet};
use crate::modes::stop::Stop;
use crate::os::clock;
use crate::seglog::batch::FrameBatch;
use crate::seglog::writer::AppendError;
use crate::stages::drain::{Drain, Plan};
use crate::stages::spool::Spool;
use hog_ring::doorbell::Doorbell;
use hog_ring::reader::{Condemnation, Liveness, RingFault};
use hog_ring::record::{self, Walk};
use hogstat::RegionState;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Between two passes that found something: long enough for producers to get on, short enough for nobody to wait.
const POLL_BUSY: Duration = Duration::from_micros(50);
/// The longest sleep of an idle drainer; a producer's doorbell ends it.
const SLEEP_MAX: Duration = Duration::from_millis(20);
/// How often owners of silent rings are looked at.
const OWNERS_EVERY: Duration = Duration::from_millis(20);
/// How often the directory is looked through though no change was announced.
const SCAN_EVERY: Duration = Duration::from_millis(250);
/// How long to wait before a failed append is repeated.
const APPEND_PAUSE: Duration = Duration::from_millis(100);
/// Lives that one pass begins, each of which costs a look through the directory.
const LIVES_MAX: u32 = 64;
/// A pass that took this much is followed by another at once.
const MUCH: usize = 256 * 1024;

/// What the drainer tells the rest of the process.
#[derive(Default)]
pub struct DrainerReport {
    /// Raised by each pass: the heartbeat of the data path.
    pub passes: AtomicU64,
    /// All that was in the rings at the first look is in the spool; see [`DrainerReport::goal`].
    pub caught_up: AtomicBool,
    /// Where the streams stood when it had caught up.
    pub goal: std::sync::Mutex<HashMap<StreamId, u64>>,
    /// Positions that a sync of the spool has covered, to be published to the rings.
    pub synced: std::sync::Mutex<HashMap<StreamId, u64>>,
}

/// The drainer of one group.
pub struct Drainer {
    group: String,
    spool: Spool,
    rings: RingSet,
    doorbell: Doorbell,
    drain: Drain,
    batch: FrameBatch,
    /// Heads to advance once the batch is in the spool.
    advances: Vec<(StreamId, u64)>,
    /// Positions at which a life began that the plan knows of.
    lives: HashMap<StreamId, u64>,
    /// Tails at the first look, until they are reached.
    first_tails: Option<HashMap<StreamId, u64>>,
    recorder: Recorder,
    report: Arc<DrainerReport>,
    stop: Stop,
    changes: u64,
    scan_due: Instant,
    owners_due: Instant,
}

/// What became of an attempt to take from a ring.
enum Taken {
    /// Something.
    Some,
    /// There is nothing to take.
    Nothing,
    /// The batch has no room for it.
    Full,
    /// A new life begins at the position reached.
    NewLife,
}

impl Drainer {
    /// A drainer that puts `rings` into `spool`.
    #[must_use]
    pub fn new(
        group: &str,
        spool: Spool,
        rings: RingSet,
        doorbell: Doorbell,
        recorder: Recorder,
        report: Arc<DrainerReport>,
        stop: Stop,
    ) -> Self {
        let now = Instant::now();
        Self {
            group: group.to_owned(),
            spool,
            rings,
            doorbell,
            drain: Drain::default(),
            batch: FrameBatch::default(),
            advances: Vec::new(),
            lives: HashMap::new(),
            first_tails: None,
            recorder,
            report,
            stop,
            changes: 0,
            scan_due: now,
            owners_due: now,
        }
    }

    /// The spool, for a drainer that is built after this one failed.
    #[must_use]
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Drains until it is time to stop.
    ///
    /// # Errors
    /// What ended it, in words; a new drainer is then built from the spool.
    pub fn run(&mut self) -> Result<(), String> {
        self.scan()?;
        self.first_tails = Some(
            self.rings
                .iter()
                .map(|(stream, ring)| (stream, ring.tail_hint()))
                .collect(),
        );
        let mut sleep = Duration::from_millis(1);
        while !self.stop.is_set() {
            self.report.passes.fetch_add(1, Ordering::Relaxed);
            let took = self.pass()?;
            self.look_at_owners()?;
            self.publish_synced();
            self.note_progress();
            if took > 0 {
                sleep = Duration::from_millis(1);
                if took < MUCH {
                    std::thread::sleep(POLL_BUSY);
                }
            } else {
                self.sleep(sleep);
                sleep = (sleep * 2).min(SLEEP_MAX);
            }
        }
        self.pass()?;
        self.spool.finish().map_err(|error| crate::exit::chain(&error))
    }

    /// Takes what the rings have, once; says how many bytes.
    fn pass(&mut self) -> Result<usize, String> {
        if self.doorbell.changes() != self.changes || Instant::now() >= self.scan_due {
            self.scan()?;
        }
        self.read_tails();
        let mut lives = 0;
        'plan: loop {
            match self.drain.plan() {
                Plan::Idle => break,
                Plan::Look { before } => self.look(before)?,
                Plan::Take(streams) => {
                    for stream in streams {
                        loop {
                            match self.take(stream) {
                                Taken::Some if self.drain.is_over(stream) => {}
                                Taken::Some | Taken::Nothing => break,
                                Taken::Full => break 'plan,
                                Taken::NewLife if lives == LIVES_MAX => break 'plan,
                                Taken::NewLife => {
                                    lives += 1;
                                    continue 'plan;
                                }
                            }
                        }
                    }
                    break;
                }
            }
        }
        self.append()
    }

    fn read_tails(&mut self) {
        let mut faults = Vec::new();
        for (stream, ring) in self.rings.iter().filter(|(_, ring)| !ring.ending) {
            match ring.reader.tail(ring.drained) {
                Ok(tail) => self.drain.saw_tail(stream, tail),
                Err(fault) => faults.push((stream, fault)),
            }
        }
        for (stream, fault) in faults {
            self.condemn(stream, &fault);
        }
    }

    /// Looks through the directory, and at the owners of the lives born before `before`.
    fn look(&mut self, before: u64) -> Result<(), String> {
        self.scan()?;
        for stream in self.drain.older_than(before) {
            let Some(ring) = self.rings.get_mut(stream) else {
                continue;
            };
            let adopted_since = ring.reader.adopted() > ring.born;
            let over = adopted_since || !matches!(ring.reader.liveness(), Liveness::Living);
            self.drain.saw_life(stream, over);
        }
        self.read_tails();
        self.drain.looked(before);
        Ok(())
    }

    /// Copies records of one ring into the batch.
    fn take(&mut self, stream: StreamId) -> Taken {
        self.attach_if_new(stream);
        let Some(ring) = self.rings.get(stream).filter(|ring| !ring.ending) else {
            return Taken::Nothing;
        };
        let tail = match ring.reader.tail(ring.drained) {
            Ok(tail) => tail,
            Err(fault) => {
                self.condemn(stream, &fault);
                return Taken::Nothing;
            }
        };
        let from = ring.drained;
        let room = APPEND_MAX
            .saturating_sub(self.batch.len() + 2 * HEADER_LEN + ATTACH_MAX)
            .min(FRAME_BODY_MAX);
        let len = usize::try_from(tail - from).unwrap_or(usize::MAX).min(room & !7);
        if len == 0 {
            return if tail == from { Taken::Nothing } else { Taken::Full };
        }
        let to_tail = from + len as u64 == tail;
        let capacity = ring.reader.identity().capacity;
        let at = self.batch.begin();
        let body = self.batch.body_mut();
        let body_at = body.len();
        body.resize(body_at + len, 0);
        if let Err(fault) = ring.reader.copy(from, &mut body[body_at..]) {
            self.batch.cancel(at);
            self.condemn(stream, &fault);
            return Taken::Nothing;
        }
        let cut = record::cut(&body[body_at..], to_tail, capacity);
        let life = if cut.statements {
            next_life(&body[body_at..][..cut.len])
        } else {
            None
        };
        let taken = match life {
            Some((0, born)) if self.lives.get(&stream) != Some(&from) => {
                self.batch.cancel(at);
                self.begin_life(stream, from, born);
                return Taken::NewLife;
            }
            Some((0, _)) => next_life_behind_the_first(&body[body_at..][..cut.len]).unwrap_or(cut.len),
            Some((offset, _)) => offset,
            None => cut.len,
        };
        if taken == 0 && cut.bad.is_none() {
            // The room left in the batch ends within a transaction.
            self.batch.cancel(at);
            return Taken::Full;
        }
        body.truncate(body_at + taken);
        self.finish_take(stream, at, from, taken, cut.statements);
        if taken == cut.len
            && let Some(bad) = cut.bad
        {
            let words = format!(
                "bad record at position {}: {bad}; lost up to {tail}",
                from + taken as u64
            );
            self.lose(stream, from + taken as u64, tail, GapReason::BadRecord, &words);
        }
        Taken::Some
    }

    /// Finishes the DATA frame that was begun at `at`, with ATTACH in front of it if the stream is new to the spool.
    fn finish_take(&mut self, stream: StreamId, at: usize, from: u64, taken: usize, statements: bool) {
        if taken == 0 {
            self.batch.cancel(at);
            return;
        }
        let to = from + taken as u64;
        let mut header = FrameHeader::plain(Kind::Data, self.batch.unfinished(at)).of_stream(stream, from, to);
        header.time = clock::now_ns();
        if statements {
            header.flags |= frame::STATEMENTS;
        }
        if self.drain.is_first(stream) {
            header.flags |= frame::FIRST;
        }
        self.batch.finish(at, header);
        self.advanced(stream, to);
    }

    fn advanced(&mut self, stream: StreamId, to: u64) {
        if let Some(ring) = self.rings.get_mut(stream) {
            ring.drained = to;
        }
        self.drain.took(stream, to);
        self.advances.push((stream, to));
    }

    fn begin_life(&mut self, stream: StreamId, from: u64, born: u64) {
        self.lives.insert(stream, from);
        if let Some(ring) = self.rings.get_mut(stream) {
            ring.born = born;
            ring.seen_living = true; // by itself: it was adopted after the first look
        }
        self.drain.adopted(stream, born);
    }

    /// Puts a GAP for `from..to` into the batch and reports the loss.
    fn lose(&mut self, stream: StreamId, from: u64, to: u64, reason: GapReason, words: &str) {
        self.attach_if_new(stream);
        let body = Gap::because(reason).encode();
        let mut header = FrameHeader::plain(Kind::Gap, &body).of_stream(stream, from, to);
        header.time = clock::now_ns();
        self.batch.push(header, &body);
        self.advanced(stream, to);
        self.report_loss(stream, words);
    }

    fn report_loss(&self, stream: StreamId, words: &str) {
        let name = self
            .rings
            .get(stream)
            .map_or_else(String::new, |ring| ring.reader.path().display().to_string());
        warn!("ring {name} (stream {stream}): {words}");
        self.recorder.loss(&format!("stream {stream}"), words);
    }

    /// Gives up a ring that cannot be trusted: marks it, ends its stream behind what was taken, unlinks it.
    fn condemn(&mut self, stream: StreamId, fault: &RingFault) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        if ring.condemned {
            return;
        }
        ring.condemned = true;
        ring.reader.condemn(match fault {
            RingFault::Shrunk => Condemnation::Shrunk,
            RingFault::Wild { .. } => Condemnation::Header,
        });
        let from = ring.drained;
        let words = format!("condemned: {fault}; what its producer had logged beyond position {from} is lost");
        self.lose(stream, from, from + END_SPAN, GapReason::Condemned, &words);
        self.push_end(stream);
    }

    /// Puts END into the batch.
    fn push_end(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        ring.ending = true;
        let (records, bytes) = ring.reader.drops();
        let from = ring.drained;
        let body = End { records, bytes }.encode();
        let mut header = FrameHeader::plain(Kind::End, &body).of_stream(stream, from, from + END_SPAN);
        header.time = clock::now_ns();
        self.batch.push(header, &body);
    }

    /// Appends the batch, however long the disk takes, and then advances the heads and unlinks the rings that ended.
    fn append(&mut self) -> Result<usize, String> {
        if self.batch.is_empty() {
            return Ok(0);
        }
        let mut said = false;
        while let Err(error) = self.spool.append(&mut self.batch) {
            if let AppendError::Disk(error) = &error {
                if !said {
                    warn!(
                        "group {}: the spool takes nothing, producers wait: {}",
                        self.group,
                        crate::exit::chain(error)
                    );
                    self.recorder
                        .fault(&format!("spool of group {}", self.group), &crate::exit::chain(error));
                    said = true;
                }
                self.spool
                    .abandon_failed_segment()
                    .map_err(|error| crate::exit::chain(&error))?;
            } else {
                return Err(crate::exit::chain(&error));
            }
            if self.stop.wait(APPEND_PAUSE) {
                return Err("stopped while the spool took nothing".to_owned());
            }
        }
        if said {
            info!("group {}: the spool takes records again", self.group);
        }
        for (stream, to) in self.advances.drain(..) {
            if let Some(ring) = self.rings.get(stream) {
                ring.reader.advance(to);
            }
        }
        let ended: Vec<_> = self
            .rings
            .iter()
            .filter(|(_, ring)| ring.ending)
            .map(|(stream, _)| stream)
            .collect();
        for stream in ended {
            self.unlink(stream);
        }
        let appended = self.batch.len();
        self.batch.clear();
        Ok(appended)
    }

    /// The ring's stream has its END in the spool: the file goes. A condemned ring stays while its producer lives, which holds its lock; so
    /// does one that cannot be deleted now. It is tried again when owners are looked at.
    fn unlink(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        if !ring.ended {
            ring.ended = true;
            self.drain.gone(stream);
            self.lives.remove(&stream);
            self.recorder
                .region_state(stream.0, RegionState::Ended, ring.drained + END_SPAN);
        }
        if ring.condemned && matches!(ring.reader.liveness(), Liveness::Living) {
            return;
        }
        match ring.reader.unlink() {
            Ok(()) => {
                self.rings.remove(stream);
                self.share_rings();
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {} // an heir looks at it
            Err(error) => {
                if !std::mem::replace(&mut ring.unlink_failed, true) {
                    warn!("cannot delete {}: {error}", ring.reader.path().display());
                }
            }
        }
    }

    /// Looks at the owners of rings that are drained: those that nobody will write to any more are ended, or kept for an heir.
    fn look_at_owners(&mut self) -> Result<(), String> {
        if Instant::now() < self.owners_due {
            return Ok(());
        }
        self.owners_due = Instant::now() + OWNERS_EVERY;
        let drained: Vec<_> = self
            .rings
            .iter()
            .map(|(stream, _)| stream)
            .filter(|stream| self.drain.is_drained(*stream))
            .collect();
        for stream in drained {
            self.look_at_owner(stream);
            if self.batch.len() > APPEND_MAX / 2 {
                self.append()?;
            }
        }
        self.append()?;
        Ok(())
    }

    fn look_at_owner(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        if ring.ended {
            self.unlink(stream);
            return;
        }
        if ring.ending {
            return;
        }
        let owner = ring.reader.owner();
        let liveness = ring.reader.liveness();
        if matches!(liveness, Liveness::Living) {
            ring.kept = None;
            ring.seen_living = true;
            return;
        }
        // Whatever the dead one published before it died is visible now; the drained position may be older.
        if ring.reader.tail(ring.drained).is_ok_and(|tail| tail > ring.drained) {
            return;
        }
        if !matches!(liveness, Liveness::Retired) {
            if ring.reader.is_adoptable() {
                if ring.kept != Some(owner) {
                    ring.kept = Some(owner);
                    self.recorder.region_state(stream.0, RegionState::Kept, ring.drained);
                }
                return;
            }
            if !ring.reader.retire(owner) {
                return; // it lives: an heir was faster
            }
            // Between the look at the tail and the retirement an owner that was thought dead cannot have written, but a closing one may.
            if ring.reader.tail(ring.drained).is_ok_and(|tail| tail > ring.drained) {
                return; // drained by the next pass, ended after that
            }
        }
        self.attach_if_new(stream);
        self.push_end(stream);
    }

    /// Puts ATTACH in front of a stream's first frame in this spool.
    fn attach_if_new(&mut self, stream: StreamId) {
        let Some(ring) = self.rings.get_mut(stream) else { return };
        if ring.attached {
            return;
        }
        ring.attached = true;
        let identity = ring.reader.identity();
        let attach = Attach {
            producer: identity.name.clone(),
            created: identity.created,
            boot: identity.boot,
            sender: OwnerId::NIL,
            definitions: Definitions::default(),
        };
        let body = attach.encode();
        let header = FrameHeader::plain(Kind::Attach, &body).of_stream(stream, ring.drained, ring.drained);
        self.batch.push(header, &body);
    }

    /// Looks through the directory for rings that are not known yet.
    fn scan(&mut self) -> Result<(), String> {
        self.changes = self.doorbell.changes();
        self.scan_due = Instant::now() + SCAN_EVERY;
        for found in self.rings.scan().map_err(|error| crate::exit::chain(&error))? {
            match found {
                Found::Ring(ring) => self.enter(*ring),
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
    fn enter(&mut self, mut ring: RingHandle) {
        let stream = ring.stream();
        let head = ring.reader.head();
        let held = self
            .spool
            .table()
            .streams
            .get(&stream)
            .map(|held| (held.end, held.state));
        if let Some((end, StreamState::Ended)) = held {
            // Killed between END and unlink.
            ring.drained = end - END_SPAN;
            (ring.attached, ring.ending) = (true, true);
            self.rings.insert(ring);
            self.unlink(stream);
            return;
        }
        ring.attached = held.is_some();
        let end = held.map_or(head, |(end, _)| end);
        ring.drained = end;
        let life = self.spool.table().streams.get(&stream).map_or(0, |held| held.life);
        ring.born = ring.reader.identity().created.max(life);
        if end > head {
            ring.reader.advance(end); // killed between append and advance
        }
        let identity = ring.reader.identity();
        self.recorder.region(RegionMet {
            ring: identity.uuid,
            group: self.group.clone(),
            name: identity.name.clone(),
            path: ring.reader.path().display().to_string(),
            created: identity.created,
            boot: identity.boot,
            capacity: identity.capacity,
            position: end,
        });
        self.drain.found(stream, ring.born, end);
        self.rings.insert(ring);
        if head > end {
            // Somebody else drained it in between; this spool never had that part.
            let words = format!("positions {end} to {head} were drained into another spool");
            self.lose(stream, end, head, GapReason::SpoolDamaged, &words);
        }
    }

    /// Tells the shippers which rings there are, so that they let receivers forget the others; not while a ring cannot be read.
    fn share_rings(&self) {
        if !self.rings.knows_all() {
            return;
        }
        self.spool
            .index()
            .set_rings(self.rings.iter().map(|(stream, _)| stream).collect());
    }

    /// Tells producers up to where their records are on the disk.
    fn publish_synced(&self) {
        let Ok(mut synced) = self.report.synced.try_lock() else {
            return;
        };
        for (stream, position) in synced.drain() {
            if let Some(ring) = self.rings.get(stream) {
                ring.reader.publish_synced(position);
            }
        }
    }

    /// Says so once everything that was there at the first look is in the spool.
    fn note_progress(&mut self) {
        let Some(first) = &self.first_tails else { return };
        let reached = first.iter().all(|(stream, tail)| {
            self.rings
                .get(*stream)
                .is_none_or(|ring| ring.drained >= *tail && (ring.kept.is_some() || ring.seen_living || ring.ended))
        });
        if reached {
            self.first_tails = None;
            let goal = self
                .spool
                .table()
                .streams
                .iter()
                .map(|(stream, held)| (*stream, held.end))
                .collect();
            if let Ok(mut place) = self.report.goal.lock() {
                *place = goal;
            }
            self.report.caught_up.store(true, Ordering::Release); // pairs with the Acquire of whoever then reads the goal
        }
    }

    /// Sleeps until a producer rings, or `time` has passed.
    fn sleep(&mut self, time: Duration) {
        self.doorbell.prepare_sleep();
        let quiet = self.doorbell.changes() == self.changes
            && self
                .rings
                .iter()
                .all(|(_, ring)| ring.ending || ring.reader.tail(ring.drained).is_ok_and(|tail| tail == ring.drained));
        if quiet && !self.stop.is_set() {
            self.doorbell.sleep(time);
        } else {
            self.doorbell.cancel_sleep();
        }
    }
}

/// Most bytes of an ATTACH that the drainer writes: it carries no definitions.
const ATTACH_MAX: usize = 256;

/// The first ABORT of an adoption in `records`, and when that was.
fn next_life(records: &[u8]) -> Option<(usize, u64)> {
    Walk::new(records).flatten().find_map(|(offset, header, payload)| {
        let born = (header.kind == record::Kind::Abort)
            .then(|| record::adoption_time(payload))
            .flatten()?;
        Some((offset, born))
    })
}

/// The offset of the second life in `records`, which begin with one.
fn next_life_behind_the_first(records: &[u8]) -> Option<usize> {
    let (_, header, _) = Walk::new(records).next()?.ok()?;
    let behind = header.padded_len();
    next_life(records.get(behind..)?).map(|(offset, _)| behind + offset)
}
