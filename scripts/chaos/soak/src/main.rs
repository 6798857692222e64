//! Soak: everything is killed at random while logs are shipped, and at the end every record of every archive is accounted for.
//!
//! Three parts that know nothing of each other: `cast` are the processes, each of which can be killed and started again as it was; `network` stands
//! between sender and receivers; `judge` reads what arrived. This file is the play: a clock, and a source of chance that decides who dies when.
//! The record is always the same: `SOURCE RUN NUMBER`, where NUMBER counts from 0 within a run of a source. So the archive itself
//! says what is missing, doubled or out of order; what each source says it logged, in a file that outlives it, says what must be there
//! at least.

mod cast;
mod judge;
mod network;
mod producer;

use anyhow::{Context, Result};
use cast::Cast;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Kills everything at random while logs are shipped, and compares.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long to kill, in minutes
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// The seed of all choices
    #[arg(long)]
    seed: Option<u64>,
    /// The program under test
    #[arg(long)]
    hog: Option<PathBuf>,
    /// Be a producer, as told
    #[arg(long, hide = true, num_args = 4)]
    producer: Option<Vec<String>>,
}

/// Between two kills, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 50..700;
/// How long a process that was killed stays away, in milliseconds.
const AWAY_MS: std::ops::Range<u64> = 0..150;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let played = match &arguments.producer {
        Some(role) => producer::play(role).map(|()| true),
        None => play(&arguments),
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(arguments: &Arguments) -> Result<bool> {
    let hog = arguments.hog.clone().context("name the program with --hog")?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("soak: seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut cast = Cast::begin(&hog, &mut chance)?;
    let mut kills = 0;
    while Instant::now() < until {
        cast.work_for(Duration::from_millis(chance.u64(PAUSE_MS)))?;
        let victims = victims(&mut chance, cast.len());
        kills += cast.kill(&victims)?;
        cast.work_for(Duration::from_millis(chance.u64(AWAY_MS)))?;
        cast.start(&victims)?;
    }
    eprintln!("soak: {kills} kills; shipping the rest");
    let logged = cast.finish()?;
    let mut verdict = judge::Verdict::default();
    for archive in cast.archives() {
        verdict.add(&judge::judge(&hog, archive, &logged)?);
    }
    for words in &verdict.words {
        eprintln!("soak: {words}");
    }
    println!(
        "kills={kills} records={} lost={} doubled={} out_of_order={} seconds={:.1}",
        verdict.records / 2,
        verdict.lost,
        verdict.doubled,
        verdict.out_of_order,
        began.elapsed().as_secs_f64()
    );
    let is_good = verdict.lost + verdict.doubled + verdict.out_of_order == 0;
    if !is_good {
        eprintln!("soak: seed {seed}; what is left lies in {}", cast.keep().display());
    }
    Ok(is_good)
}

/// Who dies: mostly one, sometimes two, now and then all.
fn victims(chance: &mut fastrand::Rng, of: usize) -> Vec<usize> {
    let count = match chance.u32(..10) {
        0..=6 => 1,
        7..=8 => 2,
        _ => of,
    };
    let mut all: Vec<_> = (0..of).collect();
    chance.shuffle(&mut all);
    all.truncate(count);
    all
}
