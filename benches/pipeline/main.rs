//! How fast hog is, each figure beside what it cannot beat, measured in the same run on the same machine, and beside what is asked of it:
//! `just bench`, or `cargo bench --bench pipeline -- [OPTIONS] [MEGABYTES | FILE]`.
//!
//! A number alone says little about another machine, and less on a busy one; a ratio to a limit says more. Hence every row is
//! measured in several rounds, in turn with the others, hog and limit one right after the other, and the medians count.
//!
//! A row that cannot be measured, or finds that what arrived is not what was logged, says so and fails the run at its end; the others are
//! measured. A target that is missed fails nothing: the table says it. Nothing is left behind but what was asked for.

mod acknowledged;
mod archive;
mod backlog;
mod bare;
mod crowd;
mod drain;
mod drain_v2;
mod engine;
mod growth;
mod input;
mod latency;
mod limits;
mod machine;
mod neighbours;
mod newcomer;
mod page;
mod plot;
mod record;
mod roles;
mod rows;
mod scene;
mod senders;
mod sessions;
mod shipment;
mod stored;
mod table;
mod target;

use clap::Parser;
use growth::Growth;
use machine::Machine;
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use table::Row;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measures hog, each figure against its limit and its target.
#[derive(Parser)]
#[command(name = "pipeline")]
struct Arguments {
    /// Megabytes of a made-up log to ship, or a file.
    #[arg(default_value = "64")]
    input: String,
    /// Also writes all that was measured to this file, or to one in this directory, named after the day and the machine.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Also measures how cost grows, and draws it into this directory.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Also puts the table into this page, between its markers, if all rows were measured.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// How often each row is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measures only this row; may be repeated. Then only plots that are named are drawn.
    #[arg(long = "row", value_name = "NAME")]
    rows: Vec<String>,
    /// Draws only this plot; may be repeated. Then only rows that are named are measured.
    #[arg(long = "plot", value_name = "NAME")]
    only_plots: Vec<String>,
    /// Also measures what takes more than 20 GB of the disk, where there seems to be no room for it.
    #[arg(long)]
    large: bool,
    /// What cargo says of itself.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What every measurement is given.
pub(crate) struct Run {
    /// Lines of a log.
    pub(crate) input: PathBuf,
    /// Whether the disk may be filled without a look at its room.
    pub(crate) large: bool,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let scene = scene::Scene::set()?;
    let machine = Machine::look(&scene.path(""));
    let run = Run {
        input: input(&arguments.input, &scene)?,
        large: arguments.large,
    };
    let (mut rows, growths) = chosen(&arguments)?;
    for round in 0..arguments.rounds {
        for row in &mut rows {
            row.go(round, &run);
        }
    }
    table::print(&rows);
    println!("{}", machine.line());
    let (plots, mut failures) = measure_growth(&growths, &arguments, &run, &machine)?;
    if let Some(path) = &arguments.json {
        let path = if path.is_dir() {
            path.join(machine.file_name())
        } else {
            path.clone()
        };
        let written = json!({
            "hog": env!("CARGO_PKG_VERSION"),
            "machine": machine.to_json(),
            "rounds": arguments.rounds,
            "input_bytes": fs::metadata(&run.input)?.len(),
            "rows": table::to_json(&rows),
            "growth": plots,
        });
        let text = serde_json::to_string_pretty(&written)? + "\n";
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = arguments.page.as_deref().filter(|_| is_whole(&arguments)) {
        let rounds = arguments.rounds;
        let table = format!(
            "{}\nMedians of {rounds} rounds: {}.",
            table::to_markdown(&rows)?,
            machine.line()
        );
        page::rewrite(path, &table)?;
    }
    failures.extend(rows.iter().filter(|row| row.failure.is_some()).map(|row| row.name));
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("could not be measured: {}", failures.join(", ")).into())
    }
}

/// Whether nothing is left out.
fn is_whole(arguments: &Arguments) -> bool {
    arguments.rows.is_empty() && arguments.only_plots.is_empty()
}

/// What is to be measured. A name that nothing has is an error.
fn chosen(arguments: &Arguments) -> Outcome<(Vec<Row>, Vec<Growth>)> {
    let (mut rows, mut growths) = (rows::rows(), growth::growths());
    let known = |name: &&String| {
        rows.iter().any(|row| row.name == **name) || growths.iter().any(|growth| growth.name == **name)
    };
    if let Some(name) = arguments
        .rows
        .iter()
        .chain(&arguments.only_plots)
        .find(|name| !known(name))
    {
        return Err(format!("no row and no plot has the name {name}").into());
    }
    if !is_whole(arguments) {
        rows.retain(|row| arguments.rows.iter().any(|name| name == row.name));
        growths.retain(|growth| arguments.only_plots.iter().any(|name| name == growth.name));
    }
    Ok((rows, growths))
}

/// The lines that are shipped: made up, unless there is a file.
fn input(argument: &str, scene: &scene::Scene) -> Outcome<PathBuf> {
    let Ok(megabytes) = argument.parse::<u64>() else {
        return Ok(Path::new(argument).canonicalize()?);
    };
    let made_up = scene.path("input.log");
    input::make_up(&made_up, megabytes * 1_000_000)?;
    Ok(made_up)
}

/// Measures and draws; gives what was measured, and the names of those that could not be.
fn measure_growth(
    growths: &[Growth],
    arguments: &Arguments,
    run: &Run,
    machine: &Machine,
) -> Outcome<(Vec<Value>, Vec<&'static str>)> {
    let (mut plots, mut failures) = (Vec::new(), Vec::new());
    let Some(directory) = &arguments.plots else {
        return Ok((plots, failures));
    };
    fs::create_dir_all(directory)?;
    for growth in growths {
        let path = directory.join(growth.name).with_extension("svg");
        let drawn = (growth.measure)(run).and_then(|series| {
            plots.push(growth::to_json(growth, &series));
            plot::draw(&path, growth, &series, &machine.line())
        });
        if let Err(error) = drawn {
            eprintln!("{}: {error}", growth.name);
            failures.push(growth.name);
        }
    }
    Ok((plots, failures))
}
