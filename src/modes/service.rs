//! What a service manager is told (systemd, `Type=notify`): that this process serves, what it does, that its data path moves, and
//! that it ends. Without `NOTIFY_SOCKET` in the environment nobody is told anything.
//!
//! A thread of its own does the telling, so that a manager that does not listen holds up nothing but that thread. It sends the watchdog a word
//! only when [`heartbeat`] says so: it knows nothing of being well by itself.

use super::bell::Bell;
use super::heartbeat::{Hearts, Verdict, Watchdog, look_every};
use super::stop::Stop;
use super::supervise;
use sd_notify::NotifyState;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// How often the words about what the process does are made anew.
const WORDS_EVERY: Duration = Duration::from_secs(5);
/// How long the last words may take.
const END_WITHIN: Duration = Duration::from_millis(500);

/// Says in a line what the process does.
type Words = Box<dyn Fn() -> String + Send>;

#[derive(Default)]
struct Shared {
    hearts: Hearts,
    /// It serves.
    is_ready: AtomicBool,
    words: Mutex<Option<Words>>,
    /// The mode is over, whether or not it was asked to end.
    is_over: AtomicBool,
    /// Rung when there is anything to tell.
    bell: Bell,
}

/// This process as its service manager sees it. Dropped, it tells that the process ends.
pub struct Service {
    shared: Arc<Shared>,
    thread: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts telling, if there is a manager to be told; ends it once `stop` is set.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(stop: &Stop) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut thread = Vec::new();
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            let mut teller = Teller::new(Arc::clone(&shared), stop.clone(), sd_notify::watchdog_enabled());
            thread.push(Builder::new().name("service".into()).spawn(move || teller.run())?);
        }
        Ok(Self { shared, thread })
    }

    /// Whose moves the watchdog hears of.
    #[must_use]
    pub fn hearts(&self) -> &Hearts {
        &self.shared.hearts
    }

    /// From now on `words` say what the process does; they are asked for now and then.
    pub fn describe(&self, words: impl Fn() -> String + Send + 'static) {
        *self.shared.words.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(words));
        self.shared.bell.ring();
    }

    /// It serves. Said again, nothing happens.
    pub fn is_ready(&self) {
        // A flag alone: no data hangs on it.
        if !self.shared.is_ready.swap(true, Ordering::Relaxed) {
            self.shared.bell.ring();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.bell.ring();
        supervise::join_all(std::mem::take(&mut self.thread), Instant::now() + END_WITHIN);
    }
}

/// The thread that tells.
struct Teller {
    shared: Arc<Shared>,
    stop: Stop,
    watchdog: Watchdog,
    /// The watchdog bites after that long without a word.
    period: Option<Duration>,
    fed: Instant,
    has_warned: bool,
    look_due: Instant,
    words_due: Instant,
    words: String,
}

impl Teller {
    fn new(shared: Arc<Shared>, stop: Stop, period: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            shared,
            stop,
            watchdog: Watchdog::default(),
            period,
            fed: now,
            has_warned: false,
            look_due: now,
            words_due: now,
            words: String::new(),
        }
    }

    fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        let _waking = self.stop.on_set(move || shared.bell.ring());
        let mut said_ready = false;
        while !self.stop.is_set() && !self.shared.is_over.load(Ordering::Relaxed) {
            if !said_ready && self.shared.is_ready.load(Ordering::Relaxed) {
                said_ready = true;
                tell(&[NotifyState::Ready]);
            }
            self.feed();
            self.describe();
            self.shared.bell.wait(self.pause());
        }
        tell(&[NotifyState::Stopping]);
    }

    /// Until something is due that nobody rings for.
    fn pause(&self) -> Duration {
        let due = match self.period {
            Some(_) => self.words_due.min(self.look_due),
            None => self.words_due,
        };
        due.saturating_duration_since(Instant::now())
    }

    /// Tells the watchdog that all is well, if it is.
    fn feed(&mut self) {
        let Some(period) = self.period.filter(|_| Instant::now() >= self.look_due) else {
            return;
        };
        let now = Instant::now();
        self.look_due = now + look_every(period);
        match self.watchdog.judge(&self.shared.hearts.counts()) {
            Verdict::Feed => {
                tell(&[NotifyState::Watchdog]);
                (self.fed, self.has_warned) = (now, false);
            }
            Verdict::Wait(still) if !self.has_warned && now - self.fed > period / 2 => {
                self.has_warned = true;
                let names: Vec<_> = still.iter().map(|&place| self.shared.hearts.name(place)).collect();
                error!(
                    "{} did not move for {} s: the service manager will end this process",
                    names.join(", "),
                    (now - self.fed).as_secs()
                );
            }
            Verdict::Wait(_) => {}
        }
    }

    /// Tells what the process does, if that is something else than before.
    fn describe(&mut self) {
        // The first ones are told at once.
        if Instant::now() < self.words_due && !self.words.is_empty() {
            return;
        }
        self.words_due = Instant::now() + WORDS_EVERY;
        let words = self.shared.words.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(words) = words.as_ref().map(|words| words().replace('\n', " ")) else {
            return;
        };
        if words != self.words {
            tell(&[NotifyState::Status(&words)]);
            self.words = words;
        }
    }
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("the service manager could not be told: {error}");
    }
}
