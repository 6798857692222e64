//! A group of a test's own, and what the rings in it hold.

use hog_ring::payload::{Output, Value};
use hog_ring::statement::Definition;
use hog_ring::tracing::HogLayer;
use hog_ring::types::Type;
use hog_ring::{GroupOptions, Kind, RingReader, Walk, ring_files};
use std::collections::HashMap;
use std::path::PathBuf;
use tempfile::TempDir;
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

pub(crate) struct Scene {
    pub(crate) shm: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let shm = tempfile::Builder::new().prefix("hog-test-").tempdir_in("/dev/shm");
        Scene { shm: shm.unwrap() }
    }

    pub(crate) fn options(&self) -> GroupOptions {
        GroupOptions::new("g").shm_dir(self.shm.path()).ring_size(64 << 10)
    }

    pub(crate) fn layer(&self) -> HogLayer {
        HogLayer::new(self.options().open().unwrap())
    }

    /// Runs `program` in a thread of its own that logs its events.
    pub(crate) fn run(&self, program: impl FnOnce() + Send) {
        let subscriber = registry().with(self.layer());
        std::thread::scope(|scope| {
            scope.spawn(|| with_default(subscriber, program)).join().unwrap();
        });
    }

    pub(crate) fn rings(&self) -> Vec<PathBuf> {
        let mut rings = ring_files(&hog_ring::group_dir(self.shm.path(), "g")).unwrap();
        rings.sort();
        rings
    }

    /// The records of each ring.
    pub(crate) fn logged(&self) -> Vec<Vec<Logged>> {
        self.rings()
            .iter()
            .map(|ring| logged_in(&RingReader::open(ring).unwrap()))
            .collect()
    }

    /// The records of the only ring.
    pub(crate) fn only(&self) -> Vec<Logged> {
        let [only] = self.logged().try_into().unwrap();
        only
    }
}

/// A record and its statement.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) definition: Definition,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn logged_in(reader: &RingReader) -> Vec<Logged> {
    let mut bytes = vec![0; usize::try_from(reader.tail(0).unwrap()).unwrap()];
    reader.copy(0, &mut bytes).unwrap();
    let mut definitions = HashMap::new();
    let mut found = Vec::new();
    for item in Walk::new(&bytes) {
        let (_, header, payload) = item.unwrap();
        match header.kind {
            Kind::Stmt => drop(definitions.insert(header.statement, Definition::decode(payload).unwrap())),
            Kind::Record => found.push(Logged {
                definition: definitions[&header.statement].clone(),
                payload: payload.to_vec(),
            }),
            other => panic!("{other:?}"),
        }
    }
    found
}

pub(crate) fn encoded<V: Value>(value: V) -> Vec<u8> {
    let mut bytes = vec![0; value.encoded_len()];
    value.encode(&mut Output::new(&mut bytes));
    bytes
}

/// The fields of a record's type, by their names.
pub(crate) fn fields(logged: &Logged) -> Vec<(&str, &Type)> {
    let Type::Record(fields) = &logged.definition.payload_type else {
        panic!("{logged:?}")
    };
    fields.iter().map(|field| (field.name.as_str(), &field.holds)).collect()
}

/// What a record begins with: the number of its level, and the only one of its target.
pub(crate) fn head(level: u32) -> (u32, u32) {
    (level, 0)
}

/// How an event ends that is in no span.
pub(crate) const NO_SPANS: u64 = 0;
