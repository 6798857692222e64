//! Simulated processes in one thread: for harnesses that replay a run from a seed and kill it between any two steps.
//!
//! With the feature `simulation`, a thread that called [`begin`] is simulated until [`end`]: uuids are drawn from the seed, clocks stand where they are
//! set, owner words name simulated processes, and these live until they are killed. [`point`]s stand between any two steps that
//! others may see; the countdown of [`kill_after`] kills the present process at one of them, and the call unwinds with [`Killed`]. From then on the process writes
//! nothing: what it held is dropped without another word, whichever process is present then. A writer remembers whose it is; whoever
//! simulates drops what a killed process held before another process looks at it, as the kernel takes its locks.
//!
//! Nothing blocks. A drainer's sleep ends at once. A reliable producer that finds its ring full does all that stands before the wait, and then
//! what was given to [`on_wait`] runs in its place (other processes, so that room is made); with nothing given, or when that says `false`, the call ends
//! as a wait that was stopped does ([`Error::Stopped`](crate::Error::Stopped)): nothing of the record is committed, and it may be tried again.
//!
//! Without the feature nothing of this is left in the program. Not for users, so not in the documentation.

use uuid::Uuid;

/// A new uuid that nobody else has.
pub(crate) fn new_uuid() -> Uuid {
    #[cfg(feature = "simulation")]
    if let Some(uuid) = simulated::with(|world| uuid::Builder::from_random_bytes(world.random_bytes()).into_uuid()) {
        return uuid;
    }
    Uuid::new_v4()
}

/// How a wait for room ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "simulation"), allow(dead_code))]
pub(crate) enum Wait {
    /// The kernel ends it: nothing is simulated.
    InKernel,
    /// Others went on; it is worth another look.
    Over,
    /// Nobody will make room.
    InVain,
}

#[cfg(not(feature = "simulation"))]
pub use absent::*;
#[cfg(feature = "simulation")]
pub use simulated::*;

/// What is left of it in programs: nothing.
#[cfg(not(feature = "simulation"))]
mod absent {
    use super::Wait;

    /// A moment at which a simulated process may be killed.
    #[inline(always)]
    pub const fn point() {}

    /// Whether this thread simulates: never.
    #[inline(always)]
    #[must_use]
    pub const fn is_on() -> bool {
        false
    }

    #[inline(always)]
    pub(crate) const fn pid() -> Option<u32> {
        None
    }

    #[inline(always)]
    pub(crate) const fn wait() -> Wait {
        Wait::InKernel
    }

    /// The process that a handle belongs to: this one.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Process;

    impl Process {
        #[inline(always)]
        pub(crate) const fn present() -> Self {
            Self
        }

        #[inline(always)]
        #[allow(clippy::unused_self)]
        pub(crate) const fn is_killed(self) -> bool {
            false
        }
    }
}

#[cfg(feature = "simulation")]
mod simulated {
    use super::Wait;
    use crate::owner::OwnerWord;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use uuid::Uuid;

    /// The pid namespace of simulated processes.
    pub(crate) const NAMESPACE: u64 = u64::MAX - 1;
    /// The start time of simulated processes, with which no other process began.
    const START_TIME: u64 = (1 << 42) - 2;

    /// What a call unwinds with whose process is killed in it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Killed {
        /// The simulated process.
        pub pid: u32,
    }

    /// What a thread unwinds with that hangs.
    struct Hangs;

    #[derive(Debug)]
    pub(super) struct World {
        random: u64,
        boottime: u64,
        boot: Uuid,
        process: u32,
        dead: BTreeSet<u32>,
        countdown: Option<u64>,
        passed: u64,
    }

    /// What others do while a process waits; whether they made it worth another look.
    type Meanwhile = Box<dyn FnMut() -> bool>;

    /// What others do at a point at which a process stalls.
    type Interruption = Box<dyn FnOnce()>;

    thread_local! {
        static INTERRUPTION: RefCell<Option<(u64, Interruption)>> = const { RefCell::new(None) };
        static HANGS: Cell<bool> = const { Cell::new(false) };
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
        static MEANWHILE: RefCell<Option<Meanwhile>> = const { RefCell::new(None) };
    }

    /// What `act` says of the simulated world; `None` where nothing is simulated.
    pub(super) fn with<T>(act: impl FnOnce(&mut World) -> T) -> Option<T> {
        WORLD.with_borrow_mut(|world| world.as_mut().map(act))
    }

    impl World {
        /// The generator splitmix64, by Steele, Lea and Flood (2014).
        fn random(&mut self) -> u64 {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        pub(super) fn random_bytes(&mut self) -> [u8; 16] {
            (u128::from(self.random()) << 64 | u128::from(self.random())).to_le_bytes()
        }
    }

    /// Simulates from now on in this thread, as process 1. All that is random follows from `seed`.
    pub fn begin(seed: u64) {
        let mut world = World {
            random: seed,
            boottime: 1,
            boot: Uuid::nil(),
            process: 1,
            dead: BTreeSet::new(),
            countdown: None,
            passed: 0,
        };
        world.boot = uuid::Builder::from_random_bytes(world.random_bytes()).into_uuid();
        WORLD.set(Some(world));
    }

    /// Simulates no longer in this thread.
    pub fn end() {
        WORLD.set(None);
        MEANWHILE.set(None);
        INTERRUPTION.set(None);
    }

    /// Whether this thread simulates.
    #[must_use]
    pub fn is_on() -> bool {
        with(|_| ()).is_some()
    }

    /// A uuid that follows from the seed; `None` where nothing is simulated.
    #[must_use]
    pub fn random_uuid() -> Option<Uuid> {
        with(|world| uuid::Builder::from_random_bytes(world.random_bytes()).into_uuid())
    }

    /// Sets the time since boot, in nanoseconds, which is also what records get for the time.
    pub fn set_boottime_ns(ns: u64) {
        with(|world| world.boottime = ns);
    }

    /// Boots anew: rings made before are lost memory.
    pub fn set_boot(boot: Uuid) {
        with(|world| world.boot = boot);
    }

    /// What this thread does from now on, the living process `pid` does.
    pub fn become_process(pid: u32) {
        with(|world| world.process = pid);
    }

    /// Kills a process wherever it is.
    pub fn kill_process(pid: u32) {
        with(|world| world.dead.insert(pid));
    }

    /// Whether the present process was killed: it must not write any more.
    #[must_use]
    pub fn is_killed() -> bool {
        with(|world| world.dead.contains(&world.process)).unwrap_or(false)
    }

    /// Kills the process that passes the `points`th point from now, counted from 0; `None` kills nobody.
    pub fn kill_after(points: Option<u64>) {
        with(|world| world.countdown = points);
    }

    /// Kills the present process here; it unwinds with [`Killed`].
    pub fn kill_here() {
        let killed = with(|world| world.dead.insert(world.process).then_some(world.process));
        if let Some(pid) = killed.flatten() {
            std::panic::resume_unwind(Box::new(Killed { pid }));
        }
    }

    /// Has `act` run when the `points`th point from now is passed, counted from 0, within whatever call passes it: that call stalls meanwhile, and goes on
    /// after it as if nothing had happened.
    pub fn interrupt_after(points: u64, act: Box<dyn FnOnce()>) {
        INTERRUPTION.set(Some((points, act)));
    }

    /// Forgets what was given to [`interrupt_after`] and has not run.
    pub fn cancel_interruption() {
        INTERRUPTION.set(None);
    }

    fn interrupt() {
        let due = INTERRUPTION.with_borrow_mut(|place| match place {
            Some((0, _)) => place.take(),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        });
        if let Some((_, act)) = due {
            act();
        }
    }

    /// Does `act`, whose first write to a file hangs: the thread that does it never gets further, and the write ends when the disk likes. `None`: it hangs.
    pub fn with_hanging_write<T>(act: impl FnOnce() -> T) -> Option<T> {
        HANGS.set(true);
        let done = catch_unwind(AssertUnwindSafe(act));
        HANGS.set(false);
        match done {
            Ok(value) => Some(value),
            Err(payload) if payload.is::<Hangs>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Whether the write that comes here is to hang, which it does by [`hang`].
    #[must_use]
    pub fn is_to_hang() -> bool {
        HANGS.take()
    }

    /// The present thread gets no further.
    pub fn hang() -> ! {
        resume_unwind(Box::new(Hangs))
    }

    /// Points that were passed since the beginning.
    #[must_use]
    pub fn points_passed() -> u64 {
        with(|world| world.passed).unwrap_or(0)
    }

    /// What happens while a process waits for room, in place of the wait: other processes go on, and the present one is set again after that. It
    /// has to catch the [`Killed`] of those, and says whether the waiting one shall look again. With `None`, waiting is in vain.
    pub fn on_wait(meanwhile: Option<Box<dyn FnMut() -> bool>>) {
        MEANWHILE.set(meanwhile);
    }

    /// The present process waits.
    pub(crate) fn wait() -> Wait {
        let Some(waiting) = pid() else { return Wait::InKernel };
        // Taken out, for what it does may wait too.
        let Some(mut meanwhile) = MEANWHILE.take() else {
            return Wait::InVain;
        };
        let look_again = meanwhile();
        MEANWHILE.with_borrow_mut(|place| {
            place.get_or_insert(meanwhile);
        });
        become_process(waiting);
        if is_killed() {
            std::panic::resume_unwind(Box::new(Killed { pid: waiting }));
        }
        if look_again { Wait::Over } else { Wait::InVain }
    }

    /// The process that a handle belongs to.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Process(Option<u32>);

    impl Process {
        pub(crate) fn present() -> Self {
            Self(pid())
        }

        pub(crate) fn is_killed(self) -> bool {
            let dead = |pid| with(|world| world.dead.contains(&pid));
            self.0.and_then(dead).unwrap_or(false)
        }
    }

    /// The present process, where processes are simulated.
    #[must_use]
    pub fn pid() -> Option<u32> {
        with(|world| world.process)
    }

    /// A moment at which the present process may be killed; it unwinds with [`Killed`] then. Not while it unwinds already, for whatever reason.
    pub fn point() {
        if std::thread::panicking() {
            return;
        }
        let killed = with(|world| {
            if world.dead.contains(&world.process) {
                return None; // what it held is being dropped
            }
            world.passed += 1;
            match world.countdown.as_mut()? {
                0 => {
                    world.countdown = None;
                    world.dead.insert(world.process);
                    Some(world.process)
                }
                left => {
                    *left -= 1;
                    None
                }
            }
        });
        if let Some(pid) = killed.flatten() {
            std::panic::resume_unwind(Box::new(Killed { pid }));
        }
        interrupt();
    }

    pub(crate) fn boottime_ns() -> Option<u64> {
        with(|world| world.boottime)
    }

    pub(crate) fn boot_id() -> Option<Uuid> {
        with(|world| world.boot)
    }

    /// The owner word of the present process.
    pub(crate) fn owner() -> Option<OwnerWord> {
        with(|world| OwnerWord::of(world.process, START_TIME))
    }

    /// Whether the simulated process `pid` has ended; `None` for one that is not simulated.
    pub(crate) fn has_ended(pid: u32, namespace: u64) -> Option<bool> {
        if namespace != NAMESPACE {
            return None;
        }
        with(|world| world.dead.contains(&pid))
    }
}
