//! The judge: reads an archive once, record by record, and holds it against what was logged.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a source has logged in a run: at least so many records, or exactly so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    /// Records whose call returned.
    pub(crate) count: u64,
    /// Nothing more was logged.
    pub(crate) is_all: bool,
}

/// What every source has logged, by source and run.
pub(crate) type AllLogged = HashMap<(String, u64), Logged>;

/// What is wrong with an archive.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) records: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) out_of_order: u64,
    /// The first few, in words.
    pub(crate) words: Vec<String>,
}

/// So many faults are told in words.
const WORDS: usize = 20;

impl Verdict {
    /// Adds another archive's.
    pub(crate) fn add(&mut self, other: &Verdict) {
        self.records += other.records;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.words.extend(other.words.iter().cloned());
    }

    fn say(&mut self, words: String) {
        if self.words.len() < WORDS {
            self.words.push(words);
        }
    }
}

/// The part of `hog cat --format json` that counts here.
#[derive(Deserialize)]
struct Record<'a> {
    stream: &'a str,
    #[serde(borrow)]
    text: std::borrow::Cow<'a, str>,
    /// No newline follows: an engine came to the end of its file while a line was being written. The rest is the stream's next record.
    #[serde(default)]
    continued: bool,
}

/// How far a source has been read.
#[derive(Default)]
struct Place {
    run: u64,
    next: u64,
    /// Numbers of this run that were passed over.
    missing: Vec<std::ops::Range<u64>>,
}

/// Reads the archive in `directory`.
pub(crate) fn judge(hog: &Path, directory: &Path, logged: &AllLogged) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut places: HashMap<String, Place> = HashMap::new();
    let mut cat = Command::new(hog)
        .args(["cat", "--format", "json"])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .context("start hog cat")?;
    let mut lines = BufReader::with_capacity(1 << 20, cat.stdout.take().context("its output")?);
    let mut line = Vec::new();
    let mut begun: HashMap<String, String> = HashMap::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let record: Record = serde_json::from_slice(&line)?;
        let mut text = begun.remove(record.stream).unwrap_or_default();
        text.push_str(&record.text);
        if record.continued {
            begun.insert(record.stream.to_owned(), text);
            line.clear();
            continue;
        }
        let mut words = text.split(' ');
        let (Some(source), Some(Ok(run)), Some(Ok(number))) =
            (words.next(), words.next().map(str::parse), words.next().map(str::parse))
        else {
            bail!("a record that nobody logged: {text}");
        };
        if !places.contains_key(source) {
            places.insert(source.to_owned(), Place::default());
        }
        if let Some(place) = places.get_mut(source) {
            read(source, run, number, place, logged, &mut verdict);
        }
        line.clear();
    }
    let status = cat.wait()?;
    if !status.success() {
        bail!("hog cat {} ended with {status}", directory.display());
    }
    for (source, place) in &places {
        end_run(source, place, logged, &mut verdict);
    }
    for (source, run) in logged.keys().filter(|(source, run)| {
        // Runs behind the last that was seen.
        logged[&(source.clone(), *run)].count > 0 && places.get(source).is_none_or(|place| place.run < *run)
    }) {
        let count = logged[&(source.clone(), *run)].count;
        verdict.lost += count;
        verdict.say(format!(
            "{}: run {run} of {source} is not there: {count} records",
            directory.display()
        ));
    }
    Ok(verdict)
}

fn read(source: &str, run: u64, number: u64, place: &mut Place, logged: &AllLogged, verdict: &mut Verdict) {
    verdict.records += 1;
    if run > place.run {
        end_run(source, place, logged, verdict);
        for between in place.run + 1..run {
            let count = logged
                .get(&(source.to_owned(), between))
                .map_or(0, |logged| logged.count);
            if count > 0 {
                verdict.lost += count;
                verdict.say(format!("run {between} of {source} is missing: {count} records"));
            }
        }
        *place = Place {
            run,
            ..Place::default()
        };
    } else if run < place.run {
        verdict.out_of_order += 1;
        verdict.say(format!("{source}: run {run} comes after run {}", place.run));
        return;
    }
    if number == place.next {
        place.next += 1;
    } else if number > place.next {
        verdict.lost += number - place.next;
        verdict.say(format!("{source} run {run}: {} to {number} are missing", place.next));
        place.missing.push(place.next..number);
        place.next = number + 1;
    } else if let Some(at) = place.missing.iter().position(|missing| missing.contains(&number)) {
        let missing = place.missing.swap_remove(at);
        place.missing.extend([missing.start..number, number + 1..missing.end]);
        place.missing.retain(|missing| !missing.is_empty());
        verdict.lost -= 1;
        verdict.out_of_order += 1;
        verdict.say(format!("{source} run {run}: {number} comes late"));
    } else {
        verdict.doubled += 1;
        verdict.say(format!("{source} run {run}: {number} is there again"));
    }
}

/// All that `source` logged in this run must have come.
fn end_run(source: &str, place: &Place, logged: &AllLogged, verdict: &mut Verdict) {
    let Some(logged) = logged.get(&(source.to_owned(), place.run)) else {
        if place.next > 0 {
            verdict.say(format!("{source}: run {} was never begun", place.run));
            verdict.doubled += place.next;
        }
        return;
    };
    if place.next < logged.count {
        verdict.lost += logged.count - place.next;
        verdict.say(format!(
            "{source} run {}: ends at {} of {}",
            place.run, place.next, logged.count
        ));
    }
    if logged.is_all && place.next > logged.count {
        verdict.doubled += place.next - logged.count;
        verdict.say(format!(
            "{source} run {}: {} of {}",
            place.run, place.next, logged.count
        ));
    }
}
