//! All rows: what is measured, and what is asked of it. A new one has a file of its own, and its entry here.

use super::table::Row;
use super::target::Target::{AtMost, Machine, RatioAtLeast, RatioAtMost, Watched};
use super::{drain, limits, newcomer, record, shipment};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = log_call();
    rows.extend(pipeline());
    rows.extend(machine());
    rows
}

fn log_call() -> Vec<Row> {
    vec![
        Row::new("record", "log one record with its time", "ns", AtMost(45.0), |_| {
            record::measure(true)
        })
        .against("copying its bytes, and asking for the time"),
        Row::new(
            "record_unstamped",
            "log one record without its time",
            "ns",
            AtMost(12.0),
            |_| record::measure(false),
        )
        .against("copying its bytes"),
    ]
}

fn pipeline() -> Vec<Row> {
    vec![
        Row::new("drain", "drain, ring to spool", "MB/s", RatioAtLeast(0.7), |_| {
            drain::measure()
        })
        .against("writing the bytes with pwritev, 1 MiB at a time"),
        Row::new(
            "newcomer",
            "first record of a new producer, beside a backlog of 1 GB",
            "ms",
            Watched,
            |_| newcomer::measure(),
        )
        .against("the same beside no backlog")
        .rounds_at_most(3),
        Row::new(
            "end_to_end",
            "engine to synced archive, zstd:1",
            "us/MB",
            RatioAtMost(1.5),
            |run| shipment::measure(&run.input),
        )
        .against("the slower of zstd level 1, and write with one fdatasync"),
    ]
}

/// What the machine does: the limits, of which rows have their own where they are judged by them.
fn machine() -> Vec<Row> {
    vec![
        Row::new(
            "memcpy",
            "copying within memory, 64 MiB at a time",
            "MB/s",
            Machine,
            |_| limits::memcpy(),
        ),
        Row::new(
            "ring_to_page_cache",
            "copying what lies in a tmpfs into a file, 1 MiB at a time",
            "MB/s",
            Machine,
            |_| limits::ring_to_page_cache(),
        ),
        Row::new("loopback", "one TCP connection over loopback", "MB/s", Machine, |_| {
            limits::loopback()
        }),
        Row::new(
            "write_and_fdatasync",
            "writing 256 MiB, and one fdatasync",
            "MB/s",
            Machine,
            |_| limits::write_and_sync(),
        ),
        Row::new(
            "fdatasync",
            "fdatasync after 4 KiB were appended",
            "ms",
            Machine,
            |_| limits::sync_of_little(),
        ),
        Row::new(
            "zstd_1",
            "zstd level 1 on one thread, in pieces of 1 MiB",
            "MB/s",
            Machine,
            |run| limits::compress(&run.input),
        ),
        Row::new("zstd_d", "the same taken apart", "MB/s", Machine, |run| {
            limits::decompress(&run.input)
        }),
    ]
}
