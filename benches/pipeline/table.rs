//! What was measured: a row for each thing, with what it cannot beat beside it and what is asked of it, as a table for the terminal, as
//! one for a page, and as JSON.

use super::target::Target;
use super::{Outcome, Run};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// See [`Sample`].
pub(crate) const BARE: &str = "bare";

/// What one round found of one row.
pub(crate) struct Sample {
    /// What hog took or reached, in the row's unit; in a row of the machine's, what that did.
    pub(crate) hog: f64,
    /// What the limit did on the same machine, just before or after. None where the target is a bound by itself.
    pub(crate) limit: Option<f64>,
    /// What else was seen, with the unit at the end of its name. [`BARE`] is what the same takes, or reaches, done with what it cannot do without and nothing else, in the row's
    /// unit; that of another one has its name behind that.
    pub(crate) besides: Vec<(&'static str, f64)>,
}

/// Measures once.
pub(crate) type Measure = Box<dyn FnMut(&Run) -> Outcome<Sample>>;

/// A thing that is measured.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it is, in words.
    pub(crate) what: &'static str,
    /// Of `hog` and `limit`.
    pub(crate) unit: &'static str,
    /// What the limit is; empty where there is none.
    pub(crate) limit_is: &'static str,
    pub(crate) target: Target,
    /// What is asked of what else is seen.
    also: Vec<(&'static str, Target)>,
    /// The most rounds that it is worth; the others are left out.
    rounds_max: u32,
    pub(crate) measure: Measure,
    pub(crate) samples: Vec<Sample>,
    /// Why it could not be measured.
    pub(crate) failure: Option<String>,
}

impl Row {
    pub(crate) fn new(
        name: &'static str,
        what: &'static str,
        unit: &'static str,
        target: Target,
        measure: impl FnMut(&Run) -> Outcome<Sample> + 'static,
    ) -> Self {
        Self {
            name,
            what,
            unit,
            limit_is: "",
            target,
            also: Vec::new(),
            rounds_max: u32::MAX,
            measure: Box::new(measure),
            samples: Vec::new(),
            failure: None,
        }
    }

    /// Says what its limit is.
    pub(crate) fn against(mut self, limit_is: &'static str) -> Self {
        self.limit_is = limit_is;
        self
    }

    /// Asks something of what else is seen under this name.
    pub(crate) fn also(mut self, besides: &'static str, target: Target) -> Self {
        self.also.push((besides, target));
        self
    }

    /// Measures it no more often than this.
    pub(crate) fn rounds_at_most(mut self, rounds: u32) -> Self {
        self.rounds_max = rounds;
        self
    }

    /// Measures it in the round of this number, counted from 0. Once it failed it is left alone.
    pub(crate) fn go(&mut self, round: u32, run: &Run) {
        if round >= self.rounds_max || self.failure.is_some() {
            return;
        }
        match (self.measure)(run) {
            Ok(sample) => self.samples.push(sample),
            Err(error) => {
                eprintln!("{}: {error}", self.name);
                self.failure = Some(error.to_string());
            }
        }
    }

    fn hog(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.hog))
    }

    fn limit(&self) -> Option<f64> {
        let limits: Vec<f64> = self.samples.iter().filter_map(|sample| sample.limit).collect();
        (!limits.is_empty()).then(|| median(limits.into_iter()))
    }

    /// hog's figure as a multiple of the limit's, by the medians of both.
    fn ratio(&self) -> Option<f64> {
        self.limit().map(|limit| self.hog() / limit)
    }

    fn besides(&self) -> BTreeMap<&'static str, f64> {
        let names = self
            .samples
            .iter()
            .flat_map(|sample| sample.besides.iter().map(|(name, _)| *name));
        let of = |name| {
            self.samples
                .iter()
                .flat_map(move |sample| sample.besides.iter().filter(move |(other, _)| *other == name))
        };
        names
            .map(|name| (name, median(of(name).map(|(_, value)| *value))))
            .collect()
    }

    /// All that it is judged by: itself, and what is asked besides.
    fn lines(&self) -> Vec<Line> {
        let met = |target: Target, figure, ratio| target.met(figure, ratio).map(|met| met && self.failure.is_none());
        let (hog, ratio) = (self.hog(), self.ratio());
        let besides = self.besides();
        let bare = |name: &str, unit| besides.get(name).map_or("-".to_owned(), |bare| in_unit(*bare, unit));
        let mut lines = vec![Line {
            name: self.name.to_owned(),
            what: self.what.to_owned(),
            hog: in_unit(hog, self.unit),
            limit: self.limit().map_or("-".to_owned(), |limit| in_unit(limit, self.unit)),
            ratio: ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            bare: bare(BARE, self.unit),
            target: self.target,
            met: met(self.target, hog, ratio),
        }];
        lines.extend(self.also.iter().map(|(name, target)| {
            let figure = besides.get(name).copied().unwrap_or(f64::NAN);
            Line {
                name: format!("  {name}"),
                what: format!("the same: `{name}`"),
                hog: in_unit(figure, ""),
                limit: "-".to_owned(),
                ratio: "-".to_owned(),
                bare: bare(&format!("{BARE}_{name}"), ""),
                target: *target,
                met: met(*target, figure, None),
            }
        }));
        lines
    }

    fn to_json(&self) -> Value {
        let besides = self.besides();
        let also = self.also.iter().map(|(name, target)| {
            let figure = besides.get(name).copied().unwrap_or(f64::NAN);
            json!({ "name": name, "target": target.to_string(), "met": target.met(figure, None) })
        });
        let (hog, ratio) = (self.hog(), self.ratio());
        json!({
            "row": self.name,
            "what": self.what,
            "unit": self.unit,
            "hog": hog,
            "limit": self.limit(),
            "limit_is": self.limit_is,
            "ratio": ratio,
            "target": self.target.to_string(),
            "met": self.target.met(hog, ratio),
            "also": also.collect::<Vec<Value>>(),
            "besides": besides,
            "rounds": {
                "hog": self.samples.iter().map(|sample| sample.hog).collect::<Vec<f64>>(),
                "limit": self.samples.iter().filter_map(|sample| sample.limit).collect::<Vec<f64>>(),
            },
            "failure": self.failure,
        })
    }
}

/// A line of a table.
struct Line {
    name: String,
    what: String,
    hog: String,
    limit: String,
    ratio: String,
    bare: String,
    target: Target,
    met: Option<bool>,
}

impl Line {
    fn met(&self) -> &'static str {
        match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        }
    }
}

/// With three digits that mean something.
fn in_unit(figure: f64, unit: &str) -> String {
    let digits = match figure.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{figure:.digits$} {unit}").trim_end().to_owned()
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// The rows as a table, and below it what else was seen.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:<20} {:>14} {:>14} {:>6} {:>12}  {:<10} {:<4} limit",
        "row", "hog", "limit", "ratio", "bare", "target", "met"
    );
    for row in rows {
        for line in row.lines() {
            let limit_is = if line.name == row.name { row.limit_is } else { "" };
            let text = format!(
                "{:<20} {:>14} {:>14} {:>6} {:>12}  {:<10} {:<4} {limit_is}",
                line.name,
                line.hog,
                line.limit,
                line.ratio,
                line.bare,
                line.target,
                line.met()
            );
            println!("{}", text.trim_end());
        }
    }
    for row in rows {
        for (name, value) in row.besides() {
            println!("{} {name} {value:.1}", row.name);
        }
    }
}

/// The rows as two tables in Markdown: what hog does, and what the machine does.
pub(crate) fn to_markdown(rows: &[Row]) -> Result<String, std::fmt::Error> {
    let mut text =
        String::from("| row | what | hog | limit | ratio | bare | target | met |\n|---|---|--:|--:|--:|--:|---|---|\n");
    let is_machine = |row: &&Row| matches!(row.target, Target::Machine);
    for row in rows.iter().filter(|row| !is_machine(row)) {
        for line in row.lines() {
            let (name, met) = (line.name.trim(), line.met());
            let met = if met == "NO" { "**NO**" } else { met };
            writeln!(
                text,
                "| `{name}` | {} | {} | {} | {} | {} | {} | {met} |",
                line.what, line.hog, line.limit, line.ratio, line.bare, line.target
            )?;
        }
    }
    text.push_str("\n| row | what the machine does | |\n|---|---|--:|\n");
    for row in rows.iter().filter(is_machine) {
        writeln!(
            text,
            "| `{}` | {} | {} |",
            row.name,
            row.what,
            in_unit(row.hog(), row.unit)
        )?;
    }
    Ok(text)
}

/// All that was measured.
pub(crate) fn to_json(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(Row::to_json).collect()
}
