//! All rows: what is measured, and what is asked of it. A new one has a file of its own, and its entry here.

use super::record::Stamp;
use super::stored::Stored;
use super::table::Row;
use super::target::Target::{AtLeast, AtMost, Machine, RatioAtLeast, RatioAtMost, Watched};
use super::{acknowledged, senders};
use super::{
    backlog, crowd, drain, drain_v2, engine, latency, limits, neighbours, newcomer, record, sessions, shipment,
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = log_call();
    rows.extend(pipeline());
    rows.extend(restarts());
    rows.extend(reading());
    rows.extend([acknowledged::row(), senders::row()]);
    rows.extend(machine());
    rows
}

fn log_call() -> Vec<Row> {
    const COPYING: &str = "storing its bytes where another thread copies them out";
    vec![
        Row::new(
            "record",
            "log one record of 64 bytes with the kernel's time, beside a lazy drainer",
            "ns",
            AtMost(45.0),
            |_| record::measure(Stamp::Kernel),
        )
        .against(COPYING),
        Row::new(
            "record_counter",
            "log one record of 64 bytes with the time by the processor's counter, beside a lazy drainer",
            "ns",
            AtMost(25.0),
            |_| record::measure(Stamp::Counter),
        )
        .against(COPYING)
        .also("alone_ns", AtMost(25.0)),
        Row::new(
            "record_unstamped",
            "log one record of 64 bytes without its time, beside a lazy drainer",
            "ns",
            AtMost(12.0),
            |_| record::measure(Stamp::None),
        )
        .against(COPYING)
        .also("alone_ns", AtMost(12.0)),
        Row::new(
            "record_while_draining",
            "the call that one in a thousand takes longer than, while a sender drains to its spool",
            "us",
            AtMost(2.0),
            |_| latency::measure(),
        ),
    ]
}

fn pipeline() -> Vec<Row> {
    let mut long = None;
    vec![
        Row::new("drain", "drain, ring to spool", "MB/s", RatioAtLeast(0.7), |_| {
            drain::measure()
        })
        .against("writing the bytes with pwritev, 1 MiB at a time"),
        Row::new(
            "drain_v2",
            "drain of a queue of version 2, queue to spool, in bytes of payload",
            "MB/s",
            RatioAtLeast(0.8),
            |_| drain_v2::measure(),
        )
        .against("draining a ring with as many records")
        .rounds_at_most(3),
        Row::new(
            "engine",
            "engine reading a file of lines, while a sender drains to its spool",
            "MB/s",
            AtLeast(1000.0),
            move |run| engine::measure(run, &mut long),
        )
        .against("reading the file and finding its newlines, on one thread")
        .rounds_at_most(3),
        Row::new(
            "idle_rings",
            "batchsend with 1,000 idle rings, share of a processor",
            "%",
            AtMost(1.0),
            |_| crowd::idle(),
        )
        .rounds_at_most(3),
        Row::new(
            "active_rings",
            "drain of 100 full rings",
            "MB/s",
            RatioAtLeast(0.9),
            |_| crowd::active(),
        )
        .against("draining one ring with as many bytes"),
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
        .against("zstd level 1 on one thread"),
        Row::new(
            "end_to_end_plain",
            "the same with --compress none",
            "us/MB",
            RatioAtMost(2.5),
            |run| shipment::measure_plain(&run.input),
        )
        .against("write with one fdatasync")
        .also("cpu_s_per_gb", AtMost(1.5)),
        Row::new(
            "two_destinations",
            "engine to two synced archives, zstd:1",
            "us/MB",
            RatioAtMost(1.25),
            neighbours::two_destinations,
        )
        .against("the same with one destination")
        .rounds_at_most(3),
        Row::new(
            "beside_panics",
            "one destination, while the shipper to another one panics in a loop",
            "MB/s",
            RatioAtLeast(0.95),
            neighbours::beside_one_that_panics,
        )
        .against("the same with one destination")
        .rounds_at_most(3),
    ]
}

fn restarts() -> Vec<Row> {
    let (mut backlog, mut past) = (None, None);
    vec![
        Row::new(
            "restart",
            "first frame shipped after a restart with a backlog of 10 GiB",
            "ms",
            AtMost(1000.0),
            move |run| backlog::measure(run, &mut backlog),
        )
        .also("peak_rss_mib", AtMost(64.0))
        .rounds_at_most(3),
        Row::new(
            "past_sessions",
            "first record drained by a sender with 100,000 sessions in its hogstat.db",
            "ms",
            AtMost(200.0),
            move |_| sessions::measure(&mut past),
        )
        .against("the same with a fresh hogstat.db")
        .also("recover_dry_run_ms", AtMost(200.0)),
    ]
}

fn reading() -> Vec<Row> {
    const DECOMPRESSING: &str = "taking the same text apart in process, as one frame of zstd level 1";
    let stored = Stored::default();
    let cat = |name, what, format: &'static str, target| {
        let stored = stored.clone();
        Row::new(name, what, "MB/s", target, move |run| stored.cat(&run.input, format)).against(DECOMPRESSING)
    };
    let mut rows = vec![
        cat(
            "cat_raw",
            "`hog cat --format raw` of an archive",
            "raw",
            RatioAtLeast(0.7),
        ),
        cat(
            "cat_text",
            "`hog cat --format text`, of log text",
            "text",
            AtLeast(200.0),
        ),
        cat(
            "cat_json",
            "`hog cat --format json`, of log text",
            "json",
            AtLeast(200.0),
        ),
    ];
    rows.push(Row::new(
        "export_parquet",
        "`hog export --format parquet`, of log text",
        "MB/s",
        AtLeast(100.0),
        move |run| stored.export(&run.input),
    ));
    rows
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
