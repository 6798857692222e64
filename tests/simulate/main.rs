//! Simulates many runs, each from its seed, and tells the first that fails, as short as it can be made.
//!
//! `cargo test --release --features simulation,mutants --test simulate -- --seeds 100000`, which is `just sim --seeds 100000`. The environment variable
//! `HOG_MUTANT` names a fault that the program shall have.
#![allow(clippy::unwrap_used, clippy::expect_used)] // It is test code.

use clap::Parser;
use hog::simulation::{Failure, Places, cut_power_at_each_sync, run, run_and_shorten};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

#[derive(Parser)]
#[command(
    about = "Simulates hog from seeds: programs, a sender and two receivers, on disks, lines and clocks that fail"
)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads, each with runs of its own
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Run each seed twice, and fail where that does not come to the same bytes on all disks
    #[arg(long)]
    twice: bool,
    /// Cut the power of each host at each of its syncs, in a run of its own each time
    #[arg(long)]
    each_sync: bool,
    /// Do not look for the fewest actions that fail
    #[arg(long)]
    no_shorten: bool,
    /// Tell on stderr what hog says in a failing run, and in all attempts to shorten it
    #[arg(long)]
    verbose: bool,
    /// A tmpfs, for the rings
    #[arg(long, default_value = "/dev/shm")]
    shm_dir: PathBuf,
}

/// What the threads share.
struct Progress {
    next: AtomicU64,
    end: u64,
    runs: AtomicU64,
    has_failed: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::panic::set_hook(Box::new(|_| {})); // a panic is a finding, and told as one
    let progress = Progress {
        next: AtomicU64::new(arguments.from),
        end: arguments.from + arguments.seeds,
        runs: AtomicU64::new(0),
        has_failed: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| simulate(&progress, &arguments));
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let failure = progress.failure.into_inner().unwrap();
    let Some(failure) = failure else {
        let runs = progress.runs.into_inner();
        println!("seeds={} runs={runs} failures=0 seconds={seconds:.1}", arguments.seeds);
        return ExitCode::SUCCESS;
    };
    println!("seed {} fails: {}", failure.seed, failure.words);
    for action in &failure.trace {
        println!("  {action}");
    }
    println!("--from {} --seeds 1 repeats it", failure.seed);
    ExitCode::FAILURE
}

fn simulate(progress: &Progress, arguments: &Arguments) {
    let places = Places::new(&arguments.shm_dir).expect("a directory in shared memory");
    while !progress.has_failed.load(Ordering::Relaxed) {
        let seed = progress.next.fetch_add(1, Ordering::Relaxed);
        if seed >= progress.end {
            return;
        }
        if arguments.each_sync {
            match told(arguments, || cut_power_at_each_sync(seed, &places)) {
                Ok(runs) => drop(progress.runs.fetch_add(runs, Ordering::Relaxed)),
                Err(words) => {
                    progress.has_failed.store(true, Ordering::Relaxed);
                    let trace = Vec::new();
                    *progress.failure.lock().unwrap() = Some(Failure { seed, words, trace });
                }
            }
            continue;
        }
        progress.runs.fetch_add(1, Ordering::Relaxed);
        let mut outcome = run(seed, &places);
        if arguments.twice && outcome.is_ok() && run(seed, &places) != outcome {
            outcome = Err("a second run of it comes to other bytes".to_owned());
        }
        if let Err(words) = outcome
            && !progress.has_failed.swap(true, Ordering::Relaxed)
        {
            let shortened = if arguments.no_shorten {
                let trace = Vec::new();
                Err(Failure {
                    seed,
                    words: words.clone(),
                    trace,
                })
            } else {
                told(arguments, || run_and_shorten(seed, &places))
            };
            let failure = shortened.err().unwrap_or_else(|| Failure {
                seed,
                words: format!("{words}. It did not fail again: something does not follow from the seed"),
                trace: Vec::new(),
            });
            *progress.failure.lock().unwrap() = Some(failure);
        }
    }
}

/// Does `act`, and tells what hog says meanwhile if that was asked for.
fn told<T>(arguments: &Arguments, act: impl FnOnce() -> T) -> T {
    if !arguments.verbose {
        return act();
    }
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_writer(std::io::stderr);
    tracing::subscriber::with_default(subscriber.finish(), act)
}
