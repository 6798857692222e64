//! The one worker that writes to hogstat.db. Whoever has something to record hands it over and goes on: the database is never on the
//! data path, and may be slow, locked or on a full disk.

use crate::exit::chain;
use crate::modes::bell::Bell;
use crate::modes::stop::{MOVE_EVERY, Stop};
use crate::modes::store::keep_reserve;
use crate::modes::supervise::{Job, Post, provoke};
use crate::os::clock;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use crossbeam::select;
use hogstat::{FaultKind, NewRegion, RecoveryOutcome, RegionState, SenderStatus, SessionId, Stat};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;
use uuid::Uuid;

/// A region as the drainer met it.
#[derive(Clone, Debug)]
pub struct RegionMet {
    /// The ring's uuid.
    pub ring: Uuid,
    /// Its group.
    pub group: String,
    /// The producer's name.
    pub name: String,
    /// Its file.
    pub path: String,
    /// Its creation, CLOCK_BOOTTIME, nanoseconds.
    pub created: u64,
    /// The boot of that clock.
    pub boot: Uuid,
    /// Its capacity in bytes.
    pub capacity: u64,
    /// Position from which it is drained.
    pub position: u64,
}

impl RegionMet {
    fn as_new(&self) -> NewRegion<'_> {
        NewRegion {
            ring: self.ring,
            group: &self.group,
            name: &self.name,
            path: &self.path,
            created: self.created,
            boot: self.boot,
            capacity: self.capacity,
            position: self.position,
        }
    }
}

#[derive(Clone)]
enum Note {
    Region(RegionMet),
    RegionState(Uuid, RegionState, u64),
    Recovered(Uuid, String, u64),
    SpoolEmptied(Uuid),
    Sender(String, String, SenderStatus),
    Connection {
        remote: String,
        port: u16,
        group: String,
        sender: Uuid,
    },
    Fault(FaultKind, String, String, u64),
}

/// Takes what is to be recorded. Clones feed the same thread.
#[derive(Clone)]
pub struct Recorder {
    notes: Sender<Note>,
    degraded: Arc<AtomicBool>,
}

/// Acknowledged positions are noted at most this often.
const ACKS_EVERY: Duration = Duration::from_secs(1);

/// So many rings that were met one after the other are written in one transaction, which is one sync: a sender that finds a thousand writes four times.
const REGIONS_AT_ONCE: usize = 256;

/// While so many notes wait for the database, no faults and connections are added: what others do must not fill our memory.
const FAULTS_WAITING_MAX: usize = 10_000;
/// The same of all other notes, which come from what is drained here.
const NOTES_WAITING_MAX: usize = 1_000_000;

/// Says what every destination has acknowledged: (sender, address, positions).
pub type Acknowledged = dyn Fn() -> Vec<(Uuid, String, Vec<(Uuid, u64)>)> + Send + Sync;

impl Recorder {
    /// A recorder for those who record nothing, such as tests.
    #[must_use]
    pub fn to_nowhere() -> Self {
        Self {
            notes: unbounded().0,
            degraded: Arc::default(),
        }
    }

    /// A recorder, and the worker that writes what it takes until `stop` is set and all is written. `acknowledged` is asked now and then.
    #[must_use]
    pub fn new(stat: Stat, session: SessionId, stop: &Stop, acknowledged: Box<Acknowledged>) -> (Self, Job) {
        let (notes, taken) = unbounded();
        let recorder = Self {
            notes,
            degraded: Arc::default(),
        };
        let desk = Desk {
            path: stat.path().to_owned(),
            opened: Mutex::new(Some(stat)),
            session,
            acknowledged,
            taken,
            in_hand: Mutex::default(),
        };
        let job = Job::new("recorder", stop, move |post| Writer::at(&desk)?.run(post));
        (recorder, job)
    }

    /// A ring was met.
    pub fn region(&self, region: RegionMet) {
        self.note(Note::Region(region));
    }

    /// A ring's state changed.
    pub fn region_state(&self, ring: Uuid, state: RegionState, position: u64) {
        self.note(Note::RegionState(ring, state, position));
    }

    /// What earlier sessions left of a ring for a destination, up to `position`, is on its disk.
    pub fn recovered(&self, ring: Uuid, address: &str, position: u64) {
        self.note(Note::Recovered(ring, address.to_owned(), position));
    }

    /// Everybody has what an earlier session left in the spool of `sender`, and it was deleted there.
    pub fn spool_emptied(&self, sender: Uuid) {
        self.note(Note::SpoolEmptied(sender));
    }

    /// A destination's state changed.
    pub fn sender_state(&self, group: &str, address: &str, status: SenderStatus) {
        self.note(Note::Sender(group.to_owned(), address.to_owned(), status));
    }

    /// A sender connected.
    pub fn connection(&self, remote: std::net::SocketAddr, group: &str, sender: Uuid) {
        if self.notes.len() >= FAULTS_WAITING_MAX {
            return;
        }
        let (address, port) = (remote.ip().to_string(), remote.port());
        self.note(Note::Connection {
            remote: address,
            port,
            group: group.to_owned(),
            sender,
        });
    }

    /// Something went wrong with `object`, and nothing was lost by it.
    pub fn fault(&self, object: &str, what: &str) {
        self.note_fault(FaultKind::Fault, object, what);
    }

    /// Something of `object` is lost.
    pub fn loss(&self, object: &str, what: &str) {
        self.note_fault(FaultKind::Loss, object, what);
    }

    /// The same of any kind. After a loss, and once a worker is given up, this process is degraded.
    pub fn note_fault(&self, kind: FaultKind, object: &str, what: &str) {
        self.note_faults(kind, object, what, 1);
    }

    /// The same of what came `times` times.
    pub fn note_faults(&self, kind: FaultKind, object: &str, what: &str, times: u64) {
        if matches!(kind, FaultKind::Loss | FaultKind::GivenUp) {
            self.degraded.store(true, Ordering::Relaxed); // a flag alone: no data hangs on it
        }
        if self.notes.len() < FAULTS_WAITING_MAX {
            self.note(Note::Fault(kind, object.to_owned(), what.to_owned(), times));
        }
    }

    /// Whether anything was lost, or is not done any more.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    fn note(&self, note: Note) {
        if self.notes.len() >= NOTES_WAITING_MAX {
            return; // nobody writes them any more
        }
        let _ = self.notes.send(note); // nobody listens any more: the process is ending
    }
}

/// What the workers that write hand on to each other.
struct Desk {
    path: PathBuf,
    /// The database as it was opened at the start; later workers open their own.
    opened: Mutex<Option<Stat>>,
    session: SessionId,
    acknowledged: Box<Acknowledged>,
    taken: Receiver<Note>,
    /// What is being written: a successor writes it again, which does no harm.
    in_hand: Mutex<Vec<Note>>,
}

struct Writer<'a> {
    desk: &'a Desk,
    stat: Stat,
    /// What was noted last, by sender, address and stream.
    noted: HashMap<(Uuid, String), HashMap<Uuid, u64>>,
}

impl<'a> Writer<'a> {
    fn at(desk: &'a Desk) -> Result<Self, String> {
        let opened = desk.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stat = match opened {
            Some(stat) => stat,
            None => Stat::open(&desk.path).map_err(|error| chain(&error))?,
        };
        Ok(Self {
            desk,
            stat,
            noted: HashMap::new(),
        })
    }

    fn run(&mut self, post: &Post) -> Result<(), String> {
        // What a predecessor had in hand is tried once more, and not again should it be the reason.
        let left = std::mem::take(&mut *self.in_hand());
        self.write_each(post, &left);
        let mut acks_due = Instant::now() + ACKS_EVERY;
        let bell = Bell::default();
        let rope = bell.clone();
        let _waking = post.stop.on_set(move || rope.ring());
        loop {
            let is_over = post.stop.is_set();
            if !post.pass.is_current() {
                return Ok(()); // a successor has the desk
            }
            let taken = &self.desk.taken;
            let note = if is_over {
                taken.try_recv().map_err(|_| RecvTimeoutError::Disconnected) // all others have ended by then: what they noted is here
            } else {
                select! {
                    recv(taken) -> note => note.map_err(|_| RecvTimeoutError::Disconnected),
                    recv(bell.rung()) -> _ => Err(RecvTimeoutError::Timeout),
                    default(MOVE_EVERY) => Err(RecvTimeoutError::Timeout),
                }
            };
            match note {
                Ok(note) => {
                    let notes = self.with_regions_behind(note);
                    self.in_hand().clone_from(&notes);
                    provoke::here();
                    self.write_notes(post, &notes);
                    // In one who was relieved it is its successor's hand.
                    let _ = post.pass.act(|| self.in_hand().clear());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= acks_due {
                self.write(post, "acknowledgements", &mut Self::enter_acknowledged);
                if let Some(store) = self.stat.path().parent() {
                    keep_reserve(store); // an earlier start may have used it
                }
                acks_due = Instant::now() + ACKS_EVERY;
            }
        }
        self.write(post, "acknowledgements", &mut Self::enter_acknowledged);
        let now = clock::now_db();
        self.write(post, "the end of the session", &mut |writer| {
            writer.stat.close_session(writer.desk.session, now)
        });
        Ok(())
    }

    /// A note, and if it is of a ring those of rings that wait behind it, with the first that is not.
    fn with_regions_behind(&self, note: Note) -> Vec<Note> {
        let mut notes = vec![note];
        while notes.len() < REGIONS_AT_ONCE
            && matches!(notes.last(), Some(Note::Region(_)))
            && let Ok(next) = self.desk.taken.try_recv()
        {
            notes.push(next);
        }
        notes
    }

    fn write_notes(&mut self, post: &Post, notes: &[Note]) {
        let met: Vec<_> = notes
            .iter()
            .map_while(|note| match note {
                Note::Region(met) => Some(met),
                _ => None,
            })
            .collect();
        // If one of them is refused the others are not: they are tried one by one then.
        let are_in = met.len() > 1 && self.write(post, "rings", &mut |writer| writer.enter_regions(&met));
        self.write_each(post, if are_in { &notes[met.len()..] } else { notes });
    }

    fn write_each(&mut self, post: &Post, notes: &[Note]) {
        for note in notes {
            let _ = post.stop.is_set(); // by which its supervisor hears of it
            if !post.pass.is_current() {
                return; // a successor writes them
            }
            self.write(post, "an event", &mut |writer| writer.enter(note));
        }
    }

    fn in_hand(&self) -> MutexGuard<'_, Vec<Note>> {
        self.desk.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries until it works, the database is of no use, or it is time to end. Whether it worked.
    fn write(
        &mut self,
        post: &Post,
        what: &str,
        enter: &mut dyn FnMut(&mut Self) -> Result<(), hogstat::Error>,
    ) -> bool {
        let mut said = false;
        loop {
            match enter(self) {
                Ok(()) => return true,
                Err(error @ (hogstat::Error::Busy { .. } | hogstat::Error::Full { .. })) => {
                    if !said {
                        warn!("{what} waits for the database: {error}");
                        said = true;
                    }
                    if post.stop.wait(Duration::from_secs(1)) {
                        return false;
                    }
                }
                Err(error) => {
                    warn!("{what} could not be recorded: {}", chain(&error));
                    return false;
                }
            }
        }
    }

    fn enter_regions(&mut self, met: &[&RegionMet]) -> Result<(), hogstat::Error> {
        let regions: Vec<_> = met.iter().map(|met| met.as_new()).collect();
        self.stat.register_regions(self.desk.session, &regions, clock::now_db())
    }

    fn enter(&mut self, note: &Note) -> Result<(), hogstat::Error> {
        let (stat, session, now) = (&mut self.stat, self.desk.session, clock::now_db());
        match note {
            Note::Region(met) => stat.register_region(session, &met.as_new(), now),
            Note::RegionState(ring, state, position) => stat.region_state(session, *ring, *state, *position, now),
            Note::Recovered(ring, address, position) => stat
                .end_recovery(session, *ring, address, *position, RecoveryOutcome::Delivered, now)
                .map(drop),
            Note::SpoolEmptied(sender) => stat.spool_emptied(*sender, now),
            Note::Sender(group, address, status) => stat.sender_state(session, group, address, *status, now),
            Note::Connection {
                remote,
                port,
                group,
                sender,
            } => stat.record_connection(session, remote, *port, group, *sender, now),
            Note::Fault(kind, object, what, times) => stat.record_faults(session, *kind, object, what, *times, now),
        }
    }

    fn enter_acknowledged(&mut self) -> Result<(), hogstat::Error> {
        let now = clock::now_db();
        for (sender, address, positions) in (self.desk.acknowledged)() {
            let noted = self.noted.entry((sender, address.clone())).or_default();
            let news: Vec<_> = positions
                .iter()
                .copied()
                .filter(|(stream, position)| noted.get(stream) != Some(position))
                .collect();
            if !news.is_empty() {
                self.stat.note_acknowledged(sender, &address, &news, now)?;
                noted.extend(news);
            }
            // What is forgotten need not be remembered here either.
            let present: HashMap<_, _> = positions.into_iter().collect();
            let gone: Vec<_> = noted
                .keys()
                .filter(|stream| !present.contains_key(stream))
                .copied()
                .collect();
            if !gone.is_empty() {
                self.stat.forget_acknowledged(sender, &address, &gone)?;
                noted.retain(|stream, _| present.contains_key(stream));
            }
        }
        Ok(())
    }
}
