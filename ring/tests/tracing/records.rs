//! What an event becomes: its statement, its fields, its spans, and in which ring.

use crate::scene::{NO_SPANS, Scene, encoded, fields, head};
use hog_ring::RingReader;
use hog_ring::payload::Value;
use hog_ring::types::Type;
use std::fmt;
use std::sync::Arc;
use tracing::subscriber::with_default;
use tracing::{debug, error, info, info_span, trace, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, registry};

/// A value in a span, with the place of its kind.
fn tagged<V: Value>(kind: u32, value: V) -> Vec<u8> {
    encoded((kind, value))
}

#[derive(Debug)]
struct Failed(Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "outer" } else { "inner" })
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_deref()?)
    }
}

#[test]
fn an_event_is_a_record_of_its_callsite_with_typed_fields() {
    let scene = Scene::new();
    let line = line!() + 4;
    scene.run(|| {
        let failure = Failed(Some(Box::new(Failed(None))));
        let cause: &(dyn std::error::Error + 'static) = &failure;
        warn!(
            truth = true,
            signed = -1_i64,
            unsigned = u64::MAX,
            wide = i128::MIN,
            wider = u128::MAX,
            float = 0.5,
            text = "t",
            cause,
            shown = ?Some(1),
            r#type = 2_u32,
            "message {}",
            7
        );
    });
    let [logged] = scene.only().try_into().unwrap();
    let definition = &logged.definition;
    assert_eq!(definition.name, module_path!());
    assert_eq!((definition.file.as_str(), definition.line), (file!(), line));
    assert!(
        definition.format.starts_with("$0 $2 truth=$3 "),
        "{}",
        definition.format
    );

    let fields = fields(&logged);
    let (level, target, spans) = (fields[0].1, fields[1].1, fields[fields.len() - 1]);
    assert_eq!([fields[0].0, fields[1].0, spans.0], ["level", "target", "spans"]);
    assert!(matches!(level, Type::Variant(cases) if cases.len() == 5 && cases[3].name == "WARN"));
    assert!(matches!(target, Type::Variant(cases) if cases.len() == 1 && cases[0].name == module_path!()));
    let typed = [
        ("message", Type::text()),
        ("truth", Type::bool()),
        ("signed", Type::long()),
        ("unsigned", Type::ulong()),
        ("wide", Type::int128()),
        ("wider", Type::uint128()),
        ("float", Type::double()),
        ("text", Type::text()),
        ("cause", Type::text()),
        ("shown", Type::text()),
        ("type", Type::ulong()),
    ];
    let expected: Vec<(&str, &Type)> = typed.iter().map(|(name, ty)| (*name, ty)).collect();
    assert_eq!(fields[2..fields.len() - 1], expected);

    let numbers = (true, -1i64, u64::MAX, i128::MIN, u128::MAX, 0.5f64);
    let payload = encoded((
        head(3),
        "message 7",
        numbers,
        "t",
        "outer: inner",
        "Some(1)",
        2u64,
        NO_SPANS,
    ));
    assert_eq!(logged.payload, payload);
}

#[test]
fn spans_are_listed_from_the_outermost_with_all_that_was_recorded_in_them() {
    let scene = Scene::new();
    scene.run(|| {
        let outer = info_span!("outer", id = 7, user = tracing::field::Empty);
        let _outer = outer.enter();
        let inner = info_span!("inner");
        inner.in_scope(|| info!("before"));
        outer.record("user", "ada");
        outer.record("user", "bob");
        inner.in_scope(|| info!(parent: &outer, "in the outer alone"));
        inner.in_scope(|| info!("after"));
        info!(parent: None, "in none");
    });
    let payloads: Vec<Vec<u8>> = scene.only().into_iter().map(|logged| logged.payload).collect();
    let outer = |user: Option<&str>| {
        let mut span = encoded(("outer", if user.is_some() { 2u64 } else { 1 }, "id"));
        span.extend(tagged(1, 7i64));
        if let Some(user) = user {
            span.extend(encoded("user"));
            span.extend(tagged(6, user));
        }
        span
    };
    let inner = encoded(("inner", 0u64));
    let event =
        |message: &str, spans: &[Vec<u8>]| [encoded((head(2), message, spans.len() as u64)), spans.concat()].concat();
    assert_eq!(
        payloads,
        [
            event("before", &[outer(None), inner.clone()]),
            event("in the outer alone", &[outer(Some("bob"))]),
            event("after", &[outer(Some("bob")), inner]),
            event("in none", &[]),
        ]
    );
}

#[test]
fn a_callsite_is_one_statement_for_each_shape_of_its_fields() {
    let scene = Scene::new();
    scene.run(|| {
        for number in 0..4u64 {
            let even = (number % 2 == 0).then_some(number);
            info!(number, even, "counted");
        }
    });
    let logged = scene.only();
    let names: Vec<Vec<&str>> = logged
        .iter()
        .map(|logged| fields(logged).iter().map(|(name, _)| *name).collect())
        .collect();
    let both = ["level", "target", "message", "number", "even", "spans"];
    assert_eq!(names[0], both);
    assert_eq!(names[1], ["level", "target", "message", "number", "spans"]);
    assert_eq!((&names[2], &names[3]), (&names[0], &names[1]));
    let ids: Vec<u32> = logged.iter().map(|logged| logged.definition.id).collect();
    assert_eq!(ids, [1, 2, 1, 2]);
}

#[test]
fn names_that_are_taken_get_a_mark_and_given_names_name_the_statement() {
    let scene = Scene::new();
    scene.run(|| {
        info!(name: "served", target: "web::server", level = 1, spans = 2, http.status = 200);
        info!("alone");
    });
    let logged = scene.only();
    let names: Vec<&str> = fields(&logged[0]).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["level", "target", "level_", "spans_", "http.status", "spans"]);
    assert_eq!(logged[0].definition.name, "served");
    assert_eq!(logged[0].definition.format, "$0 $1: level_=$2 spans_=$3 http.status=$4");
    assert_eq!(logged[1].definition.format, "$0 $2");
}

#[test]
fn each_thread_has_a_ring_that_closes_when_it_ends() {
    let scene = Scene::new();
    let subscriber: Arc<dyn tracing::Subscriber + Send + Sync> = Arc::new(registry().with(scene.layer()));
    // Joined one by one: the end of a scope does not wait for the threads' variables, and so not for their rings, to be dropped.
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let subscriber = Arc::clone(&subscriber);
            let count = move || (0..100_u64).for_each(|number| info!(thread, number));
            std::thread::spawn(move || with_default(subscriber, count))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut threads: Vec<u64> = Vec::new();
    for (ring, logged) in scene.rings().iter().zip(scene.logged()) {
        assert_eq!(RingReader::open(ring).unwrap().owner().pid(), None, "closed");
        let thread = u64::from_le_bytes(logged[0].payload[8..16].try_into().unwrap());
        let expected: Vec<Vec<u8>> = (0..100u64)
            .map(|number| encoded((head(2), thread, number, NO_SPANS)))
            .collect();
        assert_eq!(
            logged.into_iter().map(|logged| logged.payload).collect::<Vec<_>>(),
            expected
        );
        threads.push(thread);
    }
    threads.sort_unstable();
    assert_eq!(threads, [0, 1, 2, 3]);
}

#[test]
fn a_filter_decides_before_the_layer_and_two_layers_do_not_mind_each_other() {
    let (all, few) = (Scene::new(), Scene::new());
    let filtered = few.layer().with_filter(tracing_subscriber::filter::LevelFilter::WARN);
    let subscriber = Registry::default().with(all.layer()).with(filtered);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            with_default(subscriber, || {
                let _span = info_span!("both", n = 1).entered();
                trace!("1");
                debug!("2");
                error!("3");
            });
        });
    });
    assert_eq!(all.only().len(), 3);
    let [error] = few.only().try_into().unwrap();
    let span = [encoded(("both", 1u64, "n")), tagged(1, 1i64)].concat();
    assert_eq!(all.only()[2].payload, [encoded((head(4), "3", 1u64)), span].concat());
    // The filter keeps the span from the second layer, as it keeps all below WARN.
    assert_eq!(error.payload, encoded((head(4), "3", NO_SPANS)));
}
