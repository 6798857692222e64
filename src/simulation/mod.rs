//! Simulation: programs, a sender and its receivers run as hog's own code, one step after the other in one thread, on simulated disks, lines and clocks.
//!
//! A run follows from its seed. It is a list of actions, in which processes are killed between any two of their steps, lines cut, disks made to
//! fail, hosts robbed of their power; after it nothing fails any more, everything comes to rest, and each archive must hold what each program logged, exactly
//! once and in order. What is simulated is what the doors of [`crate::os`] and the producers' library ask of the kernel. The rings are real ones, in real
//! shared memory.
//!
//! A run that fails is shortened to the fewest actions that still fail, and told.

mod action;
mod check;
mod history;
mod network;
mod process;
mod program;
mod receiver;
mod sender;
mod world;

use action::Action;
use hog_ring::simulation;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use world::World;

/// The group of all that is logged.
const GROUP: &str = "simulated";

/// How often a failing run is tried again, in part, to shorten it.
const SHORTENINGS_MAX: usize = 2000;

/// Directories of real memory that a thread's runs use, one after the other.
#[derive(Debug)]
pub struct Places {
    root: tempfile::TempDir,
}

impl Places {
    /// Directories of their own, below `shm`, which must be a tmpfs.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(shm: &Path) -> io::Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("hog-test-simulation-")
            .tempdir_in(shm)?;
        for name in ["shm", "scratch"] {
            std::fs::create_dir(root.path().join(name))?;
        }
        Ok(Self { root })
    }

    fn of(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was wrong.
    pub words: String,
    /// The actions that led to it, the fewest that were found, in words.
    pub trace: Vec<String>,
}

/// Runs what follows from `seed`. Gives a checksum of all disks, which follows from it too.
///
/// # Errors
/// What was wrong, in words.
pub fn run(seed: u64, places: &Places) -> Result<u32, String> {
    run_actions(seed, &action::actions(seed), places)
}

/// Runs what follows from `seed`, and shortens it if it fails.
///
/// # Errors
/// The failure.
pub fn run_and_shorten(seed: u64, places: &Places) -> Result<(), Failure> {
    let mut actions = action::actions(seed);
    let Err(mut words) = run_actions(seed, &actions, places) else {
        return Ok(());
    };
    let mut tries = 0;
    let mut piece = actions.len() / 2;
    while piece > 0 && tries < SHORTENINGS_MAX {
        let mut from = 0;
        let mut has_shortened = false;
        while from < actions.len() && tries < SHORTENINGS_MAX {
            let mut fewer = actions.clone();
            fewer.drain(from..(from + piece).min(actions.len()));
            tries += 1;
            match run_actions(seed, &fewer, places) {
                Err(still) => (actions, words, has_shortened) = (fewer, still, true),
                Ok(_) => from += piece,
            }
        }
        if !has_shortened || piece > 1 {
            piece /= 2;
        }
    }
    // Once more, for whoever listens to what is said meanwhile.
    tracing::info!("the fewest actions of seed {seed} that fail:");
    if let Err(still) = run_actions(seed, &actions, places) {
        words = still;
    }
    Err(Failure {
        seed,
        words,
        trace: actions.iter().map(|action| format!("{action:?}")).collect(),
    })
}

/// Runs what follows from `seed`, without the kills and mishaps in it, again and again: with the power of each host failing at each of its syncs, before what that
/// covers is on disk and after. Says how many runs that were.
///
/// # Errors
/// What was wrong, and where the power failed, in words.
pub fn cut_power_at_each_sync(seed: u64, places: &Places) -> Result<u64, String> {
    let actions: Vec<_> = action::actions(seed).into_iter().filter_map(Action::in_peace).collect();
    let mut syncs = Vec::new();
    run_with(seed, &actions, places, |_| (), |world| syncs = world.syncs())?;
    let mut runs = 1;
    for (host, syncs) in syncs.iter().enumerate() {
        for (sync, is_done) in (0..*syncs).flat_map(|sync| [(sync, false), (sync, true)]) {
            let cut = |world: &World| world.cut_power_at(host, sync, is_done);
            run_with(seed, &actions, places, cut, |_| ()).map_err(|words| {
                let when = if is_done { "after" } else { "before" };
                format!("the power of host {host} fails {when} its sync {sync}: {words}")
            })?;
            runs += 1;
        }
    }
    Ok(runs)
}

fn run_actions(seed: u64, actions: &[Action], places: &Places) -> Result<u32, String> {
    run_with(seed, actions, places, |_| (), |_| ())
}

/// Runs `actions` in a world of `seed`; `prepare` is called before them, and `look` at the end.
fn run_with(
    seed: u64,
    actions: &[Action],
    places: &Places,
    prepare: impl FnOnce(&World),
    look: impl FnOnce(&World),
) -> Result<u32, String> {
    let (shm, scratch) = (places.of("shm"), places.of("scratch"));
    empty(&shm).map_err(|error| format!("{} cannot be emptied: {error}", shm.display()))?;
    fastrand::seed(seed);
    simulation::begin(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, &shm, &scratch)?;
        prepare(&world);
        for action in actions {
            tracing::info!("-- {action:?}");
            world.act(action)?;
        }
        tracing::info!("-- nothing fails any more");
        world.come_to_rest()?;
        look(&world);
        world.check()?;
        Ok(world.digest())
    }));
    crate::os::disk::simulated::use_disk(None);
    crate::os::clock::simulated::set(None);
    simulation::end();
    outcome.unwrap_or_else(|panic| Err(format!("panic: {}", words_of(panic.as_ref()))))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

/// Deletes all that is in a real directory.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
