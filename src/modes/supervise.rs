//! Workers under a supervisor: one that panics or fails is started anew, one that does not move is followed by another, and one that keeps failing
//! is given up, while all the others go on.
//!
//! The supervisor is no thread of its own: the main thread of a role calls [`Supervisor::tend`], and between that [`Supervisor::rest`], which ends when there is
//! something to be tended to. It waits for nobody. A worker moves whenever it looks whether it is to end ([`Stop::is_set`]); the supervisor counts these looks. A thread that hangs cannot be ended: it
//! is left where it is, relieved ([`crate::fence`]), and whatever it does when it wakes up fails. Its successor takes up the work from what is durable.
//!
//! How often, and when, is decided in [`restarts`], without clock or threads.

pub mod provoke;
pub mod restarts;

use crate::fence::{Fence, Pass};
use crate::modes::bell::Bell;
use crate::modes::heartbeat::Hearts;
use crate::modes::recorder::Recorder;
use crate::modes::stop::{MOVE_EVERY, Stop};
use hogstat::FaultKind;
use restarts::{Failure, RestartLimit, Restarts, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tracing::error;

/// What becomes of the process when a worker is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWorkerFailed {
    /// It goes on without, and says so.
    Degrade,
    /// It ends in order.
    Exit,
}

/// What the command line says of workers.
#[derive(Clone, Copy, Debug)]
pub struct Supervision {
    /// How often one may fail.
    pub limit: RestartLimit,
    /// One that does not move for so long is followed by another.
    pub stall_timeout: Duration,
    /// What becomes of the process when one is given up.
    pub on_failed: OnWorkerFailed,
}

/// So many threads of one worker may hang before no more are started: on a disk that never answers each would. The service's watchdog is not fed then.
const HANGING_MAX: usize = 8;

/// A gap between two looks that the supervisor itself has to answer for: this process was stopped, or its machine was. Nobody is blamed for it.
const OWN_GAP: Duration = Duration::from_secs(2);

/// How long its rest is at least: nothing that a worker does or fails to do has it run around in circles.
const REST_MIN: Duration = Duration::from_millis(20);
/// A rest is no longer than this share of the time after which a worker counts as hanging, nor than [`MOVE_EVERY`].
const REST_SHARE: u32 = 50;

/// What a worker is given each time that it is started.
pub struct Post {
    /// Ends it: because the process ends, or because it was relieved. To look at it is to move; other threads are given [`Stop::of_others`].
    pub stop: Stop,
    /// What it acts with.
    pub pass: Pass,
}

/// What a worker does until it is to end. Called anew after each failure, also while a former call hangs; it must rebuild all it needs.
type Work = Arc<dyn Fn(&Post) -> Result<(), String> + Send + Sync>;

/// Called when a worker was relieved, to take from it what its successor needs, or what keeps it in a call that it need not be in. It must not wait.
type OnRelieved = Box<dyn Fn() + Send>;

/// A worker, as its supervisor is told of it.
pub struct Job {
    name: String,
    stop: Stop,
    work: Work,
    on_relieved: OnRelieved,
    is_for_once: bool,
}

impl Job {
    /// A worker called `name` that does `work` until `stop`.
    pub fn new(name: &str, stop: &Stop, work: impl Fn(&Post) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self {
            name: name.to_owned(),
            stop: stop.clone(),
            work: Arc::new(work),
            on_relieved: Box::new(|| ()),
            is_for_once: false,
        }
    }

    /// The same, with something to be done when it is relieved.
    #[must_use]
    pub fn on_relieved(mut self, act: impl Fn() + Send + 'static) -> Self {
        self.on_relieved = Box::new(act);
        self
    }

    /// The same, not to be started anew: whoever wants its work done asks again. Its failures are recorded, and held against nobody.
    #[must_use]
    pub fn for_once(mut self) -> Self {
        self.is_for_once = true;
        self
    }
}

/// Watches over workers. Clones watch over the same.
#[derive(Clone)]
pub struct Supervisor {
    supervision: Supervision,
    recorder: Recorder,
    hearts: Hearts,
    state: Arc<Mutex<State>>,
    /// Rung by each worker that ends.
    bell: Bell,
}

#[derive(Default)]
struct State {
    workers: Vec<Worker>,
    tended: Option<Instant>,
}

/// A worker, and how it fares.
struct Worker {
    job: Job,
    fence: Arc<Fence>,
    restarts: Restarts,
    phase: Phase,
    /// Those that were relieved, and may hang still.
    hanging: Vec<Thread>,
    /// Raised while it moves, pauses, or is not wanted any more: what the watchdog hears.
    well: Arc<AtomicU64>,
}

enum Phase {
    Running(Running),
    /// It failed, and is started anew then.
    Pausing(Instant),
    /// It ended as it should.
    Done,
    /// It failed too often.
    GivenUp,
}

/// A thread of a worker, and how it ended.
type Thread = JoinHandle<Result<(), (Failure, String)>>;

struct Running {
    thread: Thread,
    /// Its work is over: nothing is left to its thread but to end.
    is_over: Arc<AtomicBool>,
    began: Instant,
    /// Counts its moves.
    moves: Arc<AtomicU64>,
    /// How many it had made, and when that was last another number.
    seen: (u64, Instant),
}

impl Running {
    fn is_over(&self) -> bool {
        // Acquire: pairs with the Release of the thread, which has dropped all that it held.
        self.is_over.load(Ordering::Acquire) || self.thread.is_finished()
    }
}

impl Supervisor {
    /// A supervisor of nobody yet. `hearts` hears which of its workers are well.
    #[must_use]
    pub fn new(supervision: Supervision, recorder: &Recorder, hearts: &Hearts) -> Self {
        Self {
            supervision,
            recorder: recorder.clone(),
            hearts: hearts.clone(),
            state: Arc::default(),
            bell: Bell::default(),
        }
    }

    /// Starts a worker.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn start(&self, job: Job) -> std::io::Result<()> {
        let fence = Arc::<Fence>::default();
        let worker = Worker {
            restarts: Restarts::new(self.supervision.limit),
            phase: Phase::Running(run(&job, fence.pass(), Instant::now(), &self.bell)?),
            hanging: Vec::new(),
            well: Arc::default(),
            job,
            fence,
        };
        if !worker.job.is_for_once {
            let well = Arc::clone(&worker.well);
            self.hearts
                .watch(&worker.job.name, move || well.load(Ordering::Relaxed));
        }
        worker.well.fetch_add(1, Ordering::Relaxed);
        self.lock().workers.push(worker);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before the guard goes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after all workers once: starts anew who is due, relieves who does not move. Says whether the process is to end because one was given up.
    #[must_use]
    pub fn tend(&self) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let was_away = state
            .tended
            .is_some_and(|tended| now.saturating_duration_since(tended) > OWN_GAP);
        state.tended = Some(now);
        for worker in &mut state.workers {
            worker.tend(self, now, was_away);
        }
        state
            .workers
            .retain(|worker| !(worker.job.is_for_once && matches!(worker.phase, Phase::Done)));
        self.supervision.on_failed == OnWorkerFailed::Exit
            && state
                .workers
                .iter()
                .any(|worker| matches!(worker.phase, Phase::GivenUp))
    }

    /// Waits until `stop`, but no longer than until there may be something to tend to, and than `longest`. Says whether it is time to end. However
    /// often workers end, one look comes [`REST_MIN`] after the other: each costs as much as there are workers, and peers may come and go as they please.
    #[must_use]
    pub fn rest(&self, stop: &Stop, longest: Duration) -> bool {
        let bell = self.bell.clone();
        let _waking = stop.on_set(move || bell.ring());
        let now = Instant::now();
        let (due, tended) = {
            let state = self.lock();
            let due = state.workers.iter().filter_map(|worker| worker.due(self)).min();
            (due, state.tended)
        };
        let most = (self.supervision.stall_timeout / REST_SHARE).clamp(REST_MIN, MOVE_EVERY);
        let until_due = due.map_or(most, |due| due.saturating_duration_since(now).clamp(REST_MIN, most));
        self.bell.wait(until_due.min(longest));
        let too_early = tended.map_or(Duration::ZERO, |tended| REST_MIN.saturating_sub(tended.elapsed()));
        stop.wait(too_early.min(longest))
    }

    /// The workers that were given up.
    #[must_use]
    pub fn given_up(&self) -> Vec<String> {
        let state = self.lock();
        let given_up = state
            .workers
            .iter()
            .filter(|worker| matches!(worker.phase, Phase::GivenUp));
        given_up.map(|worker| worker.job.name.clone()).collect()
    }

    /// What to add to the words about what this process does.
    #[must_use]
    pub fn in_words(&self) -> String {
        let given_up = self.given_up();
        if given_up.is_empty() {
            String::new()
        } else {
            format!("; degraded: {} failed and is not started anew", given_up.join(", "))
        }
    }

    /// Waits for the workers whose end was asked for, but no longer than until `deadline`: what they hold is safe at any instant, and a thread that hangs is
    /// left behind.
    pub fn end(&self, deadline: Instant) {
        while Instant::now() < deadline {
            let _ = self.tend(); // the process is ending
            let is_over = |worker: &Worker| !worker.job.stop.is_set() || !matches!(worker.phase, Phase::Running(_));
            if self.lock().workers.iter().all(is_over) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for worker in &self.lock().workers {
            if worker.job.stop.is_set() && matches!(worker.phase, Phase::Running(_)) {
                error!("{} did not end, and is left behind", worker.job.name);
            }
        }
    }
}

impl Worker {
    /// When something is to be done about it, if it goes on as it does.
    fn due(&self, supervisor: &Supervisor) -> Option<Instant> {
        match &self.phase {
            Phase::Running(running) => running.seen.1.checked_add(supervisor.supervision.stall_timeout),
            Phase::Pausing(until) => Some(*until),
            Phase::Done | Phase::GivenUp => None,
        }
    }

    fn tend(&mut self, supervisor: &Supervisor, now: Instant, was_away: bool) {
        match &mut self.phase {
            Phase::Running(running) if running.is_over() => {
                let ran = now.saturating_duration_since(running.began);
                let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Done) else {
                    return;
                };
                let ended = running.thread.join().unwrap_or_else(|panic| {
                    let words = format!("panic: {}", words_of(panic.as_ref()));
                    Err((Failure::Panic, words))
                });
                if let Err((failure, words)) = ended {
                    self.failed(supervisor, failure, &words, now, ran);
                }
            }
            Phase::Running(running) => {
                let moves = running.moves.load(Ordering::Relaxed);
                if moves != running.seen.0 || was_away {
                    running.seen = (moves, now);
                    self.well.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                let still = now.saturating_duration_since(running.seen.1);
                if still >= supervisor.supervision.stall_timeout && !self.job.stop.is_set() {
                    self.relieve(supervisor, now, still);
                }
            }
            Phase::Pausing(until) => {
                self.hanging.retain(|thread| !thread.is_finished());
                let may_start = self.hanging.len() < HANGING_MAX;
                if may_start {
                    self.well.fetch_add(1, Ordering::Relaxed);
                }
                if self.job.stop.is_set() {
                    self.phase = Phase::Done;
                } else if may_start && now >= *until {
                    self.start_anew(supervisor, now);
                }
            }
            Phase::Done | Phase::GivenUp => {
                self.well.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// It does not move: whatever it does from now on fails, and another takes its place.
    fn relieve(&mut self, supervisor: &Supervisor, now: Instant, still: Duration) {
        if self.fence.relieve().is_none() {
            return; // it is within an act, so it does move; it is tried again
        }
        (self.job.on_relieved)();
        let words = format!("did not move for {} s", supervisor.supervision.stall_timeout.as_secs());
        if let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Done) {
            self.hanging.push(running.thread);
        }
        self.failed(supervisor, Failure::Stall, &words, now, still);
    }

    fn failed(&mut self, supervisor: &Supervisor, failure: Failure, words: &str, now: Instant, ran: Duration) {
        let (name, recorder) = (&self.job.name, &supervisor.recorder);
        let kind = match failure {
            Failure::Error => FaultKind::Error,
            Failure::Panic => FaultKind::Panic,
            Failure::Stall => FaultKind::Stall,
        };
        // To be relieved is to have been blamed already.
        if self.job.stop.is_set() && failure != Failure::Panic {
            return;
        }
        if self.job.is_for_once {
            error!("{name}: {words}");
            // The name of one that is started for each peer says which; there may be many.
            let object = name.split_once(' ').map_or(name.as_str(), |(work, _)| work);
            recorder.note_fault(kind, object, words);
            return;
        }
        recorder.note_fault(kind, name, words);
        match self.restarts.judge(failure, now, ran, fastrand::f64()) {
            Verdict::Again(pause) => {
                error!("{name} is started anew in {:.1} s: {words}", pause.as_secs_f64());
                self.phase = Phase::Pausing(now + pause);
            }
            Verdict::GiveUp => {
                let RestartLimit { restarts, within } = supervisor.supervision.limit;
                let words = format!(
                    "failed more than {restarts} times within {} s and is not started anew: start this process again once the cause is gone; {words}",
                    within.as_secs_f64()
                );
                error!("{name} {words}");
                recorder.note_fault(FaultKind::GivenUp, name, &words);
                self.phase = Phase::GivenUp;
            }
        }
    }

    fn start_anew(&mut self, supervisor: &Supervisor, now: Instant) {
        match run(&self.job, self.fence.pass(), now, &supervisor.bell) {
            Ok(running) => self.phase = Phase::Running(running),
            Err(error) => {
                let words = format!("its thread cannot be started: {error}");
                self.failed(supervisor, Failure::Error, &words, now, Duration::ZERO);
            }
        }
    }
}

/// Runs `job` once, in a thread. At its end it rings `bell`.
fn run(job: &Job, pass: Pass, now: Instant, bell: &Bell) -> std::io::Result<Running> {
    let moves = Arc::<AtomicU64>::default();
    let post = Post {
        stop: job.stop.counting(&moves).until_relieved(&pass),
        pass,
    };
    let (work, name) = (Arc::clone(&job.work), job.name.clone());
    let (is_over, bell) = (Arc::<AtomicBool>::default(), bell.clone());
    let over = Arc::clone(&is_over);
    let thread = Builder::new()
        .name(job.name.chars().take(15).collect())
        .spawn(move || {
            provoke::this_is(&name);
            let ended = match catch_unwind(AssertUnwindSafe(|| work(&post))) {
                Ok(ended) => ended.map_err(|words| (Failure::Error, words)),
                Err(panic) => Err((Failure::Panic, format!("panic: {}", words_of(panic.as_ref())))),
            };
            drop((work, post));
            over.store(true, Ordering::Release);
            bell.ring();
            ended
        })?;
    Ok(Running {
        thread,
        is_over,
        began: now,
        moves,
        seen: (0, now),
    })
}

/// Waits for threads to end, but no longer than until `deadline`: what they hold is safe at any instant.
pub fn join_all(threads: Vec<JoinHandle<()>>, deadline: Instant) {
    for thread in threads {
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

/// What a panic said.
#[must_use]
pub fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests;
