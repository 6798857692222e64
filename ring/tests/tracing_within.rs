//! Events that other events cause, and events at a thread's very end: with a global subscriber, as programs have it, which
//! needs a process of its own.

#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used)]

use hog_ring::tracing::HogLayer;
use hog_ring::{GroupOptions, Kind, RingReader, Walk, ring_files};
use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use tracing::{info, info_span};
use tracing_subscriber::layer::SubscriberExt;

/// Tells of being formatted.
struct Talkative;

impl fmt::Debug for Talkative {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("within");
        formatter.write_str("shown")
    }
}

/// Logs itself whenever it is shown.
struct Endless;

impl fmt::Debug for Endless {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _span = info_span!("deeper", value = ?Endless).entered();
        info!(value = ?Endless, "deep");
        formatter.write_str("endless")
    }
}

/// Tells of being dropped.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        info!("last");
    }
}

thread_local! {
    static FIRST_MADE: Last = const { Last };
    static LAST_MADE: Last = const { Last };
}

/// The payloads of a ring, as text with everything else in it.
fn texts(ring: &Path) -> Vec<String> {
    let reader = RingReader::open(ring).unwrap();
    let mut bytes = vec![0; usize::try_from(reader.tail(0).unwrap()).unwrap()];
    reader.copy(0, &mut bytes).unwrap();
    let records = Walk::new(&bytes).map(Result::unwrap);
    records
        .filter(|(_, header, _)| header.kind == Kind::Record)
        .map(|(_, _, payload)| String::from_utf8_lossy(payload).into_owned())
        .collect()
}

#[test]
fn events_within_events_and_at_the_end_of_a_thread_are_logged() {
    let shm = tempfile::Builder::new()
        .prefix("hog-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let options = GroupOptions::new("g").shm_dir(shm.path()).ring_size(64 << 10);
    let group = options.open().unwrap();
    let layer = HogLayer::new(group.clone());
    let lost = layer.lost();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();

    std::thread::spawn(|| {
        // Variables of a thread are dropped in the order in which they were made, or in the reverse: either way one of these
        // two is dropped when the thread's writers are gone.
        FIRST_MADE.with(|_| {});
        info!(value = ?Talkative, "around");
        LAST_MADE.with(|_| {});
    })
    .join()
    .unwrap();

    assert_eq!(lost.load(Ordering::Relaxed), 0);
    assert_four_events(group.directory());

    // What would go on for ever ends, and the events that are not too deep are there.
    std::thread::spawn(|| info!(value = ?Endless, "deep")).join().unwrap();
    let deep = rings(group.directory()).concat();
    let deep = deep.iter().filter(|text| text.contains("deep")).count() as u64;
    assert!(deep > 1 && lost.load(Ordering::Relaxed) > 0, "{deep}");
}

fn rings(directory: &Path) -> Vec<Vec<String>> {
    ring_files(directory).unwrap().iter().map(|ring| texts(ring)).collect()
}

fn assert_four_events(directory: &Path) {
    let mut rings = rings(directory);
    rings.sort_by_key(Vec::len);
    let all: Vec<&String> = rings.iter().flatten().collect();
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all.iter().filter(|text| text.contains("last")).count(), 2);
    let logged = &rings[rings.len() - 1];
    let place = |word: &str| logged.iter().position(|text| text.contains(word)).unwrap();
    assert!(place("within") < place("around"));
    assert!(logged[place("around")].contains("shown"));
}
