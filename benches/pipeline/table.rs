//! What was measured: a row for each thing, with what it cannot beat beside it, as a table and as JSON.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What one round found of one row.
pub(crate) struct Sample {
    /// What hog took, in the row's unit.
    pub(crate) hog: f64,
    /// What the limit took on the same machine, just before or after.
    pub(crate) limit: f64,
    /// What else was seen, with the unit at the end of its name.
    pub(crate) besides: Vec<(&'static str, f64)>,
}

/// A thing that is measured.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Of `hog` and `limit`: less is better.
    pub(crate) unit: &'static str,
    /// What the limit is.
    pub(crate) limit_is: &'static str,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    fn medians(&self) -> (f64, f64) {
        (
            median(self.samples.iter().map(|sample| sample.hog)),
            median(self.samples.iter().map(|sample| sample.limit)),
        )
    }

    /// How many times its limit the thing takes, by the medians of both.
    fn ratio(&self) -> f64 {
        let (hog, limit) = self.medians();
        hog / limit
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

    fn to_json(&self) -> Value {
        let (hog, limit) = self.medians();
        let all = |of: fn(&Sample) -> f64| self.samples.iter().map(of).collect::<Vec<f64>>();
        json!({
            "row": self.name,
            "unit": self.unit,
            "hog": hog,
            "limit": limit,
            "limit_is": self.limit_is,
            "ratio": self.ratio(),
            "besides": self.besides(),
            "rounds": { "hog": all(|sample| sample.hog), "limit": all(|sample| sample.limit) },
        })
    }
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
    println!("{:<16} {:>12} {:>12} {:>7}  limit", "row", "hog", "limit", "ratio");
    for row in rows {
        let (hog, limit) = row.medians();
        let (hog, limit) = (format!("{hog:.2} {}", row.unit), format!("{limit:.2} {}", row.unit));
        println!(
            "{:<16} {hog:>12} {limit:>12} {:>7.2}  {}",
            row.name,
            row.ratio(),
            row.limit_is
        );
    }
    for row in rows {
        for (name, value) in row.besides() {
            println!("{} {name} {value:.1}", row.name);
        }
    }
}

/// All that was measured, with the machine it was measured on.
pub(crate) fn to_json(rows: &[Row], machine: &Value) -> Value {
    json!({
        "hog": env!("CARGO_PKG_VERSION"),
        "machine": machine,
        "rows": rows.iter().map(Row::to_json).collect::<Vec<Value>>(),
    })
}
