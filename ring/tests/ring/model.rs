//! Any sequence of calls against a model: a queue of what was committed, in the order in which it must be read, with the resume state and the count of
//! what was dropped. What may happen is in [`Step`]; what must hold, in [`Machine`].

use crate::scene::{Scene, Seen, TEXT, logged};
use hog_ring::record::{gap_totals, header_len, padded};
use hog_ring::{Batch, Error, Group, Kind, Liveness, Resume, RingReader, Statement, Walk, Writer, cut, statement};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

static OTHER: Statement<(&str,)> = statement!("other", "other: $0");
static THIRD: Statement<(&str,)> = statement!("third", "third: $0");

/// More than what may be owed before a record takes together: a definition, ABORT and GAP.
const DEBTS: u64 = 512;

/// One thing that a producer, its successor or the reader does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Puts in a state for what follows.
    SetState,
    /// Publishes a state alone.
    CommitState,
    Log(usize),
    Transaction(Vec<usize>, End),
    Batch(Vec<usize>, End),
    /// The reader takes whole records of this part of what is there, in 65536ths.
    DrainPart(u16),
    Drain,
    /// The program ends, and its next run takes the ring over if there is a state.
    Restart,
    /// The next run wants a new ring.
    BeginAnew,
}

/// What becomes of a transaction or batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is committed, with a state of its own.
    CommitsState,
    Commits,
    RollsBack,
    /// It is forgotten without being dropped.
    Leaks,
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    // Together at most half of the smallest ring, so that an empty one has room for any step; often more than may stand
    // unfragmented.
    let length = || prop_oneof![8 => 0..40_usize, 2 => 0..3_000_usize, 1 => 14_000..18_000_usize];
    let long = prop_oneof![9 => 0..200_usize, 1 => 15_000..40_000_usize];
    let lengths = move || vec(length(), 0..12).prop_filter("room", |lengths| lengths.iter().sum::<usize>() < 30_000);
    let end = || prop_oneof![3 => Just(End::CommitsState), 3 => Just(End::Commits), 1 => Just(End::RollsBack), 1 => Just(End::Leaks)];
    let step = prop_oneof![
        8 => long.prop_map(Step::Log),
        4 => (lengths(), end()).prop_map(|(lengths, end)| Step::Transaction(lengths, end)),
        4 => (lengths(), end()).prop_map(|(lengths, end)| Step::Batch(lengths, end)),
        2 => Just(Step::SetState),
        1 => Just(Step::CommitState),
        3 => any::<u16>().prop_map(Step::DrainPart),
        1 => Just(Step::Drain),
        2 => Just(Step::Restart),
        1 => Just(Step::BeginAnew),
    ];
    vec(step, 1..most)
}

/// A record that must be read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Committed {
    text: String,
    time: Option<u64>,
    more: bool,
}

/// What one call or commit publishes.
#[derive(Clone, Debug, Default)]
struct Call {
    records: Vec<Committed>,
    /// The state that becomes valid with it, if it is another one.
    state: Option<Vec<u8>>,
    /// Whether its records are independent of each other.
    batch: bool,
}

impl Call {
    fn of_batch() -> Call {
        Call {
            batch: true,
            ..Call::default()
        }
    }
}

/// A named ring, its producer and reader, and what is expected of them.
pub(crate) struct Machine {
    scene: Scene,
    group: Group,
    unreliable: bool,
    writer: Option<Writer>,
    reader: RingReader,
    position: u64,
    /// All that was read of this ring.
    bytes: Vec<u8>,
    /// All that must be read of it, in this order; with what a GAP must have said before it, if that is known.
    committed: Vec<(Option<(u64, u64)>, Committed)>,
    /// What the present call is about to commit.
    in_flight: Option<Call>,
    /// The state that was set last and goes with the next commit.
    next_state: Option<Vec<u8>>,
    /// The state that an heir must find.
    state: Option<Vec<u8>>,
    /// Records and bytes that were dropped.
    drops: (u64, u64),
    /// Makes texts and states differ.
    serial: u64,
}

impl Machine {
    pub(crate) fn new(unreliable: bool) -> Machine {
        let scene = Scene::new();
        // Raised for good: a full ring is an error at once.
        let options = scene.options().stop_flag(Arc::new(AtomicBool::new(true)));
        let options = if unreliable { options.unreliable() } else { options };
        let group = options.open().unwrap();
        let writer = group.named_writer("n", Resume::Auto).unwrap();
        let reader = scene.reader();
        Machine {
            scene,
            group,
            unreliable,
            writer: Some(writer),
            reader,
            position: 0,
            bytes: Vec::new(),
            committed: Vec::new(),
            in_flight: None,
            next_state: None,
            state: None,
            drops: (0, 0),
            serial: 0,
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::SetState => {
                let state = self.new_state();
                self.writer().set_state(&state).unwrap();
                self.next_state = Some(state);
            }
            Step::CommitState => self.commit_state(),
            Step::Log(len) => self.log(*len),
            Step::Transaction(lengths, end) => self.transaction(lengths, *end),
            Step::Batch(lengths, end) => self.batch(lengths, *end),
            Step::DrainPart(part) => self.drain(u64::from(*part)),
            Step::Drain => self.drain(1 << 16),
            Step::Restart => self.restart(Resume::Auto),
            Step::BeginAnew => self.restart(Resume::Off),
        }
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().unwrap()
    }

    fn new_state(&mut self) -> Vec<u8> {
        self.serial += 1;
        format!("state {}", self.serial).into_bytes()
    }

    fn record(&mut self, len: usize) -> Committed {
        self.serial += 1;
        Committed {
            text: format!("{}:{}", self.serial, "x".repeat(len)),
            time: self.serial.is_multiple_of(3).then_some(self.serial),
            more: false,
        }
    }

    fn records(&mut self, lengths: &[usize]) -> Vec<Committed> {
        lengths.iter().map(|&len| self.record(len)).collect()
    }

    /// The present call has committed what it was to.
    fn commit(&mut self) {
        let Some(call) = self.in_flight.take() else { return };
        if !call.records.is_empty() {
            self.state = call
                .state
                .or_else(|| self.next_state.take())
                .or_else(|| self.state.take());
            self.next_state = None;
        } else if call.state.is_some() {
            self.next_state = call.state;
        }
        // In a batch a GAP may come later than what was dropped.
        let totals = (!call.batch).then_some(self.drops);
        self.committed
            .extend(call.records.into_iter().map(|record| (totals, record)));
    }

    /// Holds what became of a call against the room there was. `bytes` is what it would have taken.
    fn settle(&mut self, outcome: Result<(), Error>, room: u64, bytes: u64, lost: u64) {
        let drops = self.writer().drops();
        let dropped = drops.0 - self.drops.0;
        let taken = outcome.is_ok() && dropped == 0;
        match outcome {
            Ok(()) => assert!(
                dropped == 0 || self.unreliable && dropped == lost,
                "{dropped} of {lost}"
            ),
            Err(error) => assert!(
                !self.unreliable && dropped == 0 && matches!(error, Error::Stopped),
                "{error}"
            ),
        }
        assert!(drops.1 >= self.drops.1 && (dropped > 0) == (drops.1 > self.drops.1));
        self.drops = drops;
        if taken {
            assert!(bytes <= room, "{bytes} bytes went into {room}");
            self.commit();
        } else {
            assert!(bytes + DEBTS > room, "{bytes} bytes found no room in {room}");
            self.in_flight = None;
        }
    }

    fn commit_state(&mut self) {
        let state = self.new_state();
        self.in_flight = Some(Call {
            state: Some(state.clone()),
            ..Call::default()
        });
        let committed = self.writer().commit_state(&state);
        self.in_flight = None;
        self.next_state = Some(state);
        match committed {
            Ok(true) => self.state = self.next_state.take(),
            Ok(false) => assert!(self.unreliable),
            Err(error) => assert!(!self.unreliable && matches!(error, Error::Stopped), "{error}"),
        }
    }

    fn log(&mut self, len: usize) {
        let record = self.record(len);
        self.in_flight = Some(Call {
            records: vec![record.clone()],
            ..Call::default()
        });
        let room = self.writer().room().unwrap();
        let statement = statement_for(&record);
        let outcome = self.writer().log_at(record.time, statement, (&record.text,));
        self.settle(outcome, room, taken_by(&[record]), 1);
    }

    fn transaction(&mut self, lengths: &[usize], end: End) {
        let mut records = self.records(lengths);
        let state = (end == End::CommitsState).then(|| self.new_state());
        let room = self.writer().room().unwrap();
        let bytes = taken_by(&records);
        let lost = records.len() as u64;
        let all_but_last = records.len().saturating_sub(1);
        records[..all_but_last].iter_mut().for_each(|record| record.more = true);
        self.in_flight = Some(Call {
            records: records.clone(),
            state: state.clone(),
            batch: false,
        });
        let mut transaction = self.writer.as_mut().unwrap().transaction();
        let logged = records
            .iter()
            .try_for_each(|record| transaction.log_at(record.time, statement_for(record), (&record.text,)));
        let outcome = logged.and_then(|()| {
            if let Some(state) = &state {
                transaction.set_state(state)?;
            }
            match end {
                End::CommitsState | End::Commits => transaction.commit(),
                End::RollsBack => {
                    transaction.rollback();
                    Ok(())
                }
                End::Leaks => {
                    std::mem::forget(transaction);
                    Ok(())
                }
            }
        });
        if matches!(end, End::RollsBack | End::Leaks) && outcome.is_ok() {
            self.in_flight = None;
            return;
        }
        self.settle(outcome, room, bytes, lost);
    }

    fn batch(&mut self, lengths: &[usize], end: End) {
        let mut writer = self.writer.take().unwrap();
        let outcome = self.batch_of(&mut writer, lengths, end);
        assert!(matches!(outcome, Ok(()) | Err(Error::Stopped)), "{outcome:?}");
        assert!(!self.unreliable || outcome.is_ok());
        self.in_flight = None;
        self.drops = self.reader.drops();
        self.writer = Some(writer);
    }

    fn batch_of(&mut self, writer: &mut Writer, lengths: &[usize], end: End) -> Result<(), Error> {
        let records = self.records(lengths);
        let state = (end == End::CommitsState).then(|| self.new_state());
        let mut batch = writer.batch();
        let mut outcome = Ok(());
        let mut rest = records.iter().peekable();
        while let Some(record) = rest.peek().filter(|_| outcome.is_ok()) {
            let drops = self.reader.drops();
            match batch.log_at(record.time, statement_for(record), (&record.text,)) {
                Ok(true) => {
                    if self.reader.drops() == drops {
                        self.in_flight
                            .get_or_insert_with(Call::of_batch)
                            .records
                            .push((*record).clone());
                    }
                    rest.next();
                }
                Ok(false) => {
                    assert!(self.in_flight.is_some(), "an empty batch takes any record");
                    outcome = self.commit_batch(&mut batch, None);
                }
                Err(error) => outcome = Err(error),
            }
        }
        match end {
            End::Leaks => std::mem::forget(batch),
            End::CommitsState | End::Commits if outcome.is_ok() => outcome = self.commit_batch(&mut batch, state),
            _ => {}
        }
        outcome
    }

    /// A commit that drops is that of a single record, too long to stand unfragmented.
    fn commit_batch(&mut self, batch: &mut Batch<'_>, state: Option<Vec<u8>>) -> Result<(), Error> {
        if let Some(state) = state {
            batch.set_state(&state).unwrap();
            self.in_flight.get_or_insert_with(Call::of_batch).state = Some(state);
        }
        let drops = self.reader.drops();
        let outcome = batch.commit();
        if outcome.is_ok() && self.reader.drops() == drops {
            self.commit();
        }
        self.in_flight = None;
        outcome
    }

    fn drain(&mut self, part: u64) {
        let tail = self.reader.tail(self.position).unwrap();
        let whole = usize::try_from(tail - self.position).unwrap();
        let len = usize::try_from((whole as u64 * part) >> 16).unwrap() / 8 * 8;
        let mut bytes = vec![0; len];
        self.reader.copy(self.position, &mut bytes).unwrap();
        let found = cut(&bytes, len == whole, self.reader.identity().capacity);
        assert_eq!(found.bad, None);
        assert!(found.len == len || len < whole);
        self.position += found.len as u64;
        self.bytes.extend(&bytes[..found.len]);
        self.reader.advance(self.position);
    }

    fn restart(&mut self, resume: Resume) {
        self.writer = None;
        assert_eq!(self.reader.liveness(), Liveness::Closed);
        assert_eq!(self.reader.is_adoptable(), self.state.is_some());
        self.begin_run(resume, resume == Resume::Off);
    }

    /// The next run. `anew`: it may get a new ring although there is a state.
    fn begin_run(&mut self, resume: Resume, anew: bool) {
        let writer = self.group.named_writer("n", resume).unwrap();
        self.next_state = None;
        if writer.ring_uuid() == self.reader.identity().uuid {
            let found = writer.recovered().unwrap();
            assert!(resume != Resume::Off && Some(&found.state) == self.state.as_ref());
        } else {
            assert!(writer.recovered().is_none() && (anew || self.state.is_none()));
            self.finish();
            self.reader = self.scene.reader();
        }
        self.writer = Some(writer);
    }

    /// The ring is somebody else's now, or nobody's: takes the rest of it, holds all against the model and removes it.
    fn finish(&mut self) {
        self.check();
        self.reader.unlink().unwrap();
        let ours = self.scene.directory().join("n.ring");
        for path in self.scene.rings().into_iter().filter(|path| *path != ours) {
            // Of a run that was killed before it had a state.
            let reader = RingReader::open(&path).unwrap();
            let mut bytes = vec![0; usize::try_from(reader.tail(0).unwrap()).unwrap()];
            reader.copy(0, &mut bytes).unwrap();
            assert!(logged(&bytes).is_empty());
            reader.unlink().unwrap();
        }
        self.position = 0;
        self.bytes.clear();
        self.committed.clear();
        self.state = None;
        self.drops = (0, 0);
    }

    /// The producer or the reader was killed in the midst of `step`: finds out what of it counts, and begins the next run.
    #[allow(dead_code)] // Only where processes are simulated.
    pub(crate) fn go_on_after_kill(&mut self, step: &Step) {
        self.writer = None;
        self.drain(1 << 16);
        self.drops = self.drops.max(self.reader.drops());
        if read(&self.bytes).len() > self.committed.len() {
            self.commit();
        }
        if let Some(Call { records, state, .. }) = self.in_flight.take()
            && records.is_empty()
            && state == self.reader.state()
        {
            self.state = state;
        }
        self.begin_run(Resume::Auto, matches!(step, Step::BeginAnew));
    }

    /// Reads all that there is, and holds it against the model.
    pub(crate) fn check(&mut self) {
        self.drain(1 << 16);
        assert_eq!(self.reader.state(), self.state);
        assert_eq!(self.reader.drops(), self.drops);
        let found = read(&self.bytes);
        for ((expected, committed), (totals, seen)) in self.committed.iter().zip(&found) {
            assert_eq!(committed, &Committed::of(seen));
            assert!(
                expected.is_none_or(|expected| expected == *totals),
                "{expected:?}, but a GAP of {totals:?}"
            );
        }
        assert_eq!(found.len(), self.committed.len());
    }
}

impl Committed {
    fn of(seen: &Seen) -> Committed {
        Committed {
            text: String::from_utf8(seen.payload[8..].to_vec()).unwrap(),
            time: seen.time,
            more: seen.more,
        }
    }
}

fn statement_for(record: &Committed) -> &'static Statement<(&'static str,)> {
    [&TEXT, &OTHER, &THIRD][record.text.len() % 3]
}

/// What these records take in the ring together, at least: fragments take a little more.
fn taken_by(records: &[Committed]) -> u64 {
    let len = |record: &Committed| padded(header_len(record.time.is_some()) + 8 + record.text.len()) as u64;
    records.iter().map(len).sum()
}

/// The application's records, each with what the last GAP before it said was dropped.
fn read(bytes: &[u8]) -> Vec<((u64, u64), Seen)> {
    let mut found = Vec::new();
    let (mut begin, mut totals) = (0, (0, 0));
    let mut take = |piece: &[u8], totals| found.extend(logged(piece).into_iter().map(|seen| (totals, seen)));
    for item in Walk::new(bytes) {
        let (at, header, payload) = item.unwrap();
        if header.kind == Kind::Gap {
            take(&bytes[begin..at], totals);
            let later = gap_totals(payload).unwrap();
            assert!(later >= totals, "totals only grow");
            (begin, totals) = (at, later);
        }
    }
    take(&bytes[begin..], totals);
    found
}

/// How many sequences of calls a test tries: `HOG_MODEL_CASES`, for those who have more time.
pub(crate) fn cases() -> u32 {
    std::env::var("HOG_MODEL_CASES").map_or(96, |cases| cases.parse().unwrap())
}
