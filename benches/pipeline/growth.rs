//! How cost grows: series of points, each measured once in a run, and drawn as one plot. A new plot has its points in a file of its own,
//! and its entry here.

use super::senders;
use super::{Outcome, Run, backlog, crowd, drain, record};
use serde_json::{Value, json};

/// An axis of a plot.
pub(crate) struct Axis {
    /// What it is, with its unit.
    pub(crate) name: &'static str,
    /// Whether a step multiplies.
    pub(crate) logarithmic: bool,
}

/// Points that belong together, in the order of their first coordinate.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot. Its first axis is logarithmic, with a tick at each point measured.
pub(crate) struct Growth {
    /// Also of its file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: Axis,
    pub(crate) measure: fn(&Run) -> Outcome<Vec<Series>>,
}

/// All plots.
pub(crate) fn growths() -> Vec<Growth> {
    vec![
        Growth {
            name: "backlog",
            title: "A sender that is started again, over what is in its spool",
            x: "backlog, MiB",
            y: Axis {
                name: "ms, or MiB",
                logarithmic: false,
            },
            measure: backlog::growth,
        },
        Growth {
            name: "record_size",
            title: "One log call, over the size of its record",
            x: "payload, bytes",
            y: Axis {
                name: "ns",
                logarithmic: true,
            },
            measure: record::over_record_size,
        },
        Growth {
            name: "drained_size",
            title: "Drain, ring to spool, over the size of records",
            x: "payload, bytes",
            y: Axis {
                name: "MB/s",
                logarithmic: false,
            },
            measure: drain::over_record_size,
        },
        senders::growth(
            "senders",
            "One receiver, as many bytes from more and more senders",
            "MB/s",
        ),
        senders::growth(
            "senders_memory",
            "Memory of a receiver over the number of its senders",
            "peak MiB",
        ),
        Growth {
            name: "rings",
            title: "A sender that drains full rings, with 96 MiB together",
            x: "rings",
            y: Axis {
                name: "MB/s",
                logarithmic: false,
            },
            measure: crowd::drained_by_rings,
        },
        Growth {
            name: "idle_rings",
            title: "A sender that looks after rings in which nothing happens",
            x: "rings",
            y: Axis {
                name: "% of a processor",
                logarithmic: false,
            },
            measure: crowd::idle_by_rings,
        },
    ]
}

/// What was measured for a plot.
pub(crate) fn to_json(growth: &Growth, series: &[Series]) -> Value {
    let series = series
        .iter()
        .map(|series| json!({ "name": series.name, "points": series.points }));
    json!({ "plot": growth.name, "x": growth.x, "y": growth.y.name, "series": series.collect::<Vec<Value>>() })
}
