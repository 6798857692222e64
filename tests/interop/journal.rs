//! What a peer said that it logged, held against what arrived.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The whole lines of a file of JSON. A line that its writer was killed in is none.
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).unwrap_or_default();
    json_of(&bytes)
}

/// The whole lines of some JSON.
pub(crate) fn json_of(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// What became of the transactions of one queue, as far as its writer could say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logged {
    /// They must have arrived, each once.
    pub(crate) published: BTreeSet<u64>,
    /// The writer was killed before it could say: they may have arrived.
    pub(crate) in_doubt: BTreeSet<u64>,
    /// What those of a journal with values hold.
    pub(crate) records: BTreeMap<u64, Value>,
}

/// The journal of a producer, by queue.
pub(crate) fn logged(journal: &Path) -> BTreeMap<String, Logged> {
    let mut queues: BTreeMap<String, Logged> = BTreeMap::new();
    for line in json_lines(journal) {
        let queue = queues.entry(line["queue"].as_str().unwrap().to_owned()).or_default();
        let number = line["transaction"].as_u64().unwrap();
        match line["state"].as_str().unwrap() {
            "publishing" => {
                queue.in_doubt.insert(number);
                if line["records"].is_array() {
                    queue.records.insert(number, line["records"].clone());
                }
            }
            "published" => {
                queue.in_doubt.remove(&number);
                queue.published.insert(number);
            }
            "rolled back" | "dropped" => {
                queue.in_doubt.remove(&number);
            }
            other => panic!("a journal says {other:?}"),
        }
    }
    queues
}

/// The text that the peers log.
fn text_of(number: u64, place: u64, length: usize) -> String {
    format!("{number}.{place} ").chars().cycle().take(length).collect()
}

/// The transactions of each queue in their order of arrival, from the values of numbered records; each must be whole,
/// its records in order and nothing between them.
pub(crate) fn arrived<'a>(values: impl Iterator<Item = &'a Value>) -> BTreeMap<String, Vec<u64>> {
    let mut queues: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut open: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for value in values {
        let number_of = |name: &str| value[name].as_u64().unwrap();
        let queue = value["queue"].as_str().unwrap().to_owned();
        let (number, place, of) = (number_of("transaction"), number_of("place"), number_of("of"));
        let text = value["text"].as_str().unwrap();
        assert!(
            text == text_of(number, place, text.len()),
            "{queue}: another text in {number}.{place}"
        );
        let expected = open.remove(&queue);
        assert_eq!(
            (number, place),
            expected.unwrap_or((number, 0)),
            "{queue}: a record out of its place"
        );
        if place + 1 < of {
            open.insert(queue, (number, place + 1));
        } else {
            queues.entry(queue).or_default().push(number);
        }
    }
    assert!(open.is_empty(), "transactions that are not whole: {open:?}");
    queues
}

/// That what arrived is what was published: each transaction once, in order, and of the others none but, perhaps, those in doubt.
pub(crate) fn assert_arrived_once(logged: &BTreeMap<String, Logged>, arrived: &BTreeMap<String, Vec<u64>>) {
    let strangers: Vec<_> = arrived.keys().filter(|queue| !logged.contains_key(*queue)).collect();
    assert!(strangers.is_empty(), "nobody logged into {strangers:?}");
    for (
        queue,
        Logged {
            published, in_doubt, ..
        },
    ) in logged
    {
        let found = arrived.get(queue).map_or(&[][..], Vec::as_slice);
        let once: BTreeSet<u64> = found.iter().copied().collect();
        let lost: Vec<_> = published.difference(&once).collect();
        assert!(lost.is_empty(), "{queue}: lost {lost:?}");
        assert_eq!(once.len(), found.len(), "{queue}: something is doubled");
        assert!(found.is_sorted(), "{queue}: out of order");
        let made_up: Vec<_> = once
            .iter()
            .filter(|one| !published.contains(one) && !in_doubt.contains(one))
            .collect();
        assert!(made_up.is_empty(), "{queue}: never published: {made_up:?}");
    }
}
