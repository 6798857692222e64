//! The ring: log calls of several kinds and sizes, transactions, a reader's copy, the making of a writer.
//!
//! Nobody drains while a call is measured: a ring that is half full is given back unread.

use divan::{Bencher, black_box, counter::BytesCount};
use hog_ring::{Group, GroupOptions, RingReader, Statement, Writer, ring_files, statement};
use std::time::{Duration, Instant};
use tempfile::TempDir;

static UNIT: Statement<()> = statement!("unit", "nothing to say");
static NUMBER: Statement<(u64,)> = statement!("number", "$number", number);
static TEXT: Statement<(&str,)> = statement!("text", "$text", text);
static SERVED: Statement<(&str, u64, f64)> = statement!("served", "$path gave $status in $ms ms", path, status, ms);
static LIST: Statement<(&[u32],)> = statement!("list", "$items", items);

const RING_BYTES: u64 = 8 << 20;
/// Several times what the counter's clock takes to know its rate.
const WARMING: Duration = Duration::from_millis(20);
/// With its length 48 bytes.
const PATH: &str = "/a/path/that/is/forty/bytes/long/in.html";

/// A ring that is never full.
struct Scene {
    writer: Writer,
    reader: RingReader,
    group: Group,
    _directory: TempDir,
}

#[derive(Clone, Copy, Debug)]
enum Clock {
    None,
    Counter,
    Kernel,
}

impl Scene {
    fn set(clock: Clock) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("hog-bench-")
            .tempdir_in("/dev/shm")
            .unwrap_or_else(|error| panic!("/dev/shm: {error}"));
        let options = GroupOptions::new("bench")
            .shm_dir(directory.path())
            .ring_size(RING_BYTES);
        let options = match clock {
            Clock::None => options.timestamps(false),
            Clock::Counter => options,
            Clock::Kernel => options.kernel_clock(true),
        };
        let opened = || -> Result<_, Box<dyn std::error::Error>> {
            let group = options.open()?;
            let writer = group.writer()?;
            let ring = ring_files(group.directory())?.pop().ok_or("there is no ring")?;
            let reader = RingReader::open(&ring)?;
            Ok((group, writer, reader))
        };
        let (group, writer, reader) = opened().unwrap_or_else(|error| panic!("no ring: {error}"));
        Self {
            writer,
            reader,
            group,
            _directory: directory,
        }
    }

    /// Measures a call, with what gives the ring back now and then.
    ///
    /// What is called in the first moments is not measured: the first call defines its statement, by how long that takes the number of calls in a sample would be
    /// chosen; and the counter's clock asks the kernel until it knows the counter's rate.
    fn bench(mut self, bencher: Bencher, mut call: impl FnMut(&mut Writer) -> Result<(), hog_ring::Error>) {
        let (mut given, began) = (0, Instant::now());
        while began.elapsed() < WARMING {
            if let Err(error) = call(&mut self.writer) {
                panic!("log: {error}");
            }
            given = self.writer.tail();
            self.reader.advance(given);
        }
        bencher.bench_local(|| {
            if self.writer.tail() - given > RING_BYTES / 2 {
                given = self.writer.tail();
                self.reader.advance(given);
            }
            call(&mut self.writer)
        });
    }
}

#[divan::bench(args = [Clock::None, Clock::Counter, Clock::Kernel])]
fn log_64_bytes(bencher: Bencher, clock: Clock) {
    Scene::set(clock).bench(bencher, |writer| writer.log(&SERVED, (PATH, black_box(200), 0.7)));
}

#[divan::bench]
fn log_unit(bencher: Bencher) {
    Scene::set(Clock::None).bench(bencher, |writer| writer.log(&UNIT, ()));
}

#[divan::bench]
fn log_number(bencher: Bencher) {
    Scene::set(Clock::None).bench(bencher, |writer| writer.log(&NUMBER, (black_box(7),)));
}

#[divan::bench]
fn log_ten_numbers_as_a_list(bencher: Bencher) {
    let items = [7; 10];
    Scene::set(Clock::None).bench(bencher, |writer| writer.log(&LIST, (black_box(&items[..]),)));
}

#[divan::bench(args = [16, 64, 256, 1024, 4096, 16_384, 65_536])]
fn log_text(bencher: Bencher, bytes: usize) {
    let text = "t".repeat(bytes - 8);
    Scene::set(Clock::None).bench(bencher, |writer| writer.log(&TEXT, (black_box(text.as_str()),)));
}

#[divan::bench(args = [1, 10, 100])]
fn transaction_of(bencher: Bencher, records: u64) {
    Scene::set(Clock::None).bench(bencher, |writer| {
        let mut transaction = writer.transaction();
        for number in 0..records {
            transaction.log(&NUMBER, (number,))?;
        }
        transaction.commit()
    });
}

#[divan::bench(args = [10, 100])]
fn batch_of(bencher: Bencher, records: u64) {
    Scene::set(Clock::None).bench(bencher, |writer| {
        let mut batch = writer.batch();
        for number in 0..records {
            batch.log(&NUMBER, (number,))?;
        }
        batch.commit()
    });
}

#[divan::bench(args = [4096, 65_536, 1 << 20])]
fn reader_copies(bencher: Bencher, bytes: usize) {
    let mut scene = Scene::set(Clock::None);
    while scene.writer.tail() < bytes as u64 {
        if let Err(error) = scene.writer.log(&SERVED, (PATH, 200, 0.7)) {
            panic!("log: {error}");
        }
    }
    let mut copy = vec![0; bytes];
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| scene.reader.copy(0, black_box(&mut copy)));
}

/// Few times: nobody deletes these rings before the end.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn writer_is_made_and_closed(bencher: Bencher) {
    let scene = Scene::set(Clock::None);
    bencher.bench_local(|| scene.group.writer().map(Writer::retire));
}
