//! Simulated processes in one thread: for harnesses that replay a run from a seed and kill it between any two steps.
//!
//! With the feature `simulation`, a thread that called [`begin`] is simulated until [`end`]: uuids are drawn from the seed, clocks stand where they are
//! set, owner words name simulated processes, and these live until they are killed. [`point`]s stand between any two steps that
//! others may see; the countdown of [`kill_after`] kills the present process at one of them, and the call unwinds with [`Killed`]. From then on the process writes
//! nothing: what it held is dropped without another word. Without the feature nothing of this is left in the program. Not for users, so not in the documentation.

use uuid::Uuid;

/// A new uuid that nobody else has.
pub(crate) fn new_uuid() -> Uuid {
    #[cfg(feature = "simulation")]
    if let Some(uuid) = simulated::with(|world| uuid::Builder::from_random_bytes(world.random_bytes()).into_uuid()) {
        return uuid;
    }
    Uuid::new_v4()
}

/// A moment at which a simulated process may be killed.
#[cfg(not(feature = "simulation"))]
#[inline(always)]
pub const fn point() {}

#[cfg(feature = "simulation")]
pub use simulated::*;

#[cfg(feature = "simulation")]
mod simulated {
    use crate::owner::OwnerWord;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
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

    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
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

    /// Points that were passed since the beginning.
    #[must_use]
    pub fn points_passed() -> u64 {
        with(|world| world.passed).unwrap_or(0)
    }

    /// A moment at which the present process may be killed; it unwinds with [`Killed`] then.
    pub fn point() {
        let killed = with(|world| {
            if world.dead.contains(&world.process) {
                return None; // it unwinds already
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
