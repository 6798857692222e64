//! How fast hog is, each figure beside what it cannot beat, measured in the same run on the same machine: `just bench`, or
//! `cargo bench --bench pipeline -- [--json FILE] [--rounds N] [--row NAME]... [MEGABYTES | FILE]`.
//!
//! A number alone says little about another machine, and less on a busy one; a ratio to a limit says more. Hence every row is
//! measured in several rounds, in turn with the others, hog and limit one right after the other, and the medians count.
//!
//! It fails when what arrived is not what was shipped, and leaves nothing behind.

mod archive;
mod drain;
mod input;
mod newcomer;
mod record;
mod roles;
mod scene;
mod shipment;
mod table;

use clap::Parser;
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use table::{Row, Sample};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measures one record, the drain, how soon a newcomer is served beside a backlog, and the whole pipeline, each against its limit.
#[derive(Parser)]
#[command(name = "pipeline")]
struct Arguments {
    /// Megabytes of a made-up log to ship, or a file.
    #[arg(default_value = "64")]
    input: String,
    /// Also writes all that was measured to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// How often each row is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measures only this row; may be repeated.
    #[arg(long = "row")]
    rows: Vec<String>,
    /// What cargo says of itself.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let scene = scene::Scene::set()?;
    let input = match arguments.input.parse::<u64>() {
        Ok(megabytes) => {
            let made_up = scene.path("input.log");
            input::make_up(&made_up, megabytes * 1_000_000)?;
            made_up
        }
        Err(_) => PathBuf::from(&arguments.input).canonicalize()?,
    };
    let mut rows = rows();
    if !arguments.rows.is_empty() {
        rows.retain(|row| arguments.rows.iter().any(|name| name == row.name));
    }
    if rows.is_empty() {
        return Err("no row has that name".into());
    }
    for _ in 0..arguments.rounds {
        for row in &mut rows {
            row.samples.push(measure(row.name, &input)?);
        }
    }
    table::print(&rows);
    if let Some(path) = &arguments.json {
        let machine = machine(&scene.path(""), arguments.rounds, fs::metadata(&input)?.len());
        let text = serde_json::to_string_pretty(&table::to_json(&rows, &machine))?;
        fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn rows() -> Vec<Row> {
    let row = |name, unit, limit_is| Row {
        name,
        unit,
        limit_is,
        samples: Vec::new(),
    };
    vec![
        row("record", "ns", "copying its bytes, and asking for the time"),
        row("record_unstamped", "ns", "copying its bytes"),
        row("drain", "us/MB", "writing the bytes with pwritev, 1 MiB at a time"),
        row("newcomer", "ms", "the same beside no backlog"),
        row(
            "end_to_end",
            "us/MB",
            "the slower of zstd level 1, and write with one fdatasync",
        ),
    ]
}

fn measure(row: &str, input: &Path) -> Outcome<Sample> {
    match row {
        "record" => record::measure(true),
        "record_unstamped" => record::measure(false),
        "drain" => drain::measure(),
        "newcomer" => newcomer::measure(),
        _ => shipment::measure(input),
    }
}

/// What a figure depends on, besides hog.
fn machine(directory: &Path, rounds: u32, input_bytes: u64) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "time": jiff::Timestamp::now().round(jiff::Unit::Second).map(|time| time.to_string()).unwrap_or_default(),
        "processor": model.map(|(_, name)| name),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "file_system_type": rustix::fs::statfs(directory).map(|stat| format!("{:#x}", stat.f_type)).unwrap_or_default(),
        "load_average": read("/proc/loadavg").trim(),
        "rounds": rounds,
        "input_bytes": input_bytes,
    })
}
