//! Queues of version 2: what the sender takes to bring what a program of the original left in its queue into the spool, against as many records of
//! the same payload from a ring of a program of ours.
//!
//! As in the row `drain`, the destination is not there, ring and queue were drained once before, the sender stands still while they are filled again, and
//! the time begins with the first that is seen to be taken, which does not count. It ends when all is in the spool: the intake puts what it reads into a ring of
//! its own first, and that has to be drained too. A transaction is a page of records. Rates are in bytes of payload, which is the same
//! on both sides, where what is around it is not; and the records in the spool are counted.

use super::Outcome;
use super::roles::{Role, hog};
use super::scene::{GROUP, Scene};
use super::table::Sample;
use hog::formats::classic::statements::{Commit, Declaration, Quality, Statements};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use hog_ring::v2::layout::PAGE_PAYLOAD;
use hog_ring::v2::producer::Producer;
use hog_ring::v2::{Queue, WaitPolicy};
use hog_ring::{RingReader, Statement, statement};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);
const TEXT: &str = "a line of a log, about as long as lines of logs are: request served, from 10.0.17.4, in 1703 us";

/// Pages of the queue, of 4 KiB.
const SLOTS: u32 = 1 << 15;
/// As many are filled: one is always empty, and the producer waits until it has another one to write.
const PAGES: u32 = SLOTS - 2;
/// Of the ring that takes as many records.
const RING_BYTES: u64 = 256 << 20;
/// A record of the queue: its statement, the length of its text, the text, its number.
const RECORD_BYTES: usize = 4 + PAYLOAD_BYTES;
const PAYLOAD_BYTES: usize = 8 + TEXT.len() + 8;
/// In a page, which a transaction must not fill.
const RECORDS_PER_PAGE: usize = (PAGE_PAYLOAD - 1) / RECORD_BYTES;
/// Filled at once.
const RECORDS: usize = RECORDS_PER_PAGE * PAGES as usize;
/// How often the queue is looked at.
const LOOK: Duration = Duration::from_micros(100);
/// The longest that the sender may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// In MB/s of payload.
pub(crate) fn measure() -> Outcome<Sample> {
    let queue = queue()?;
    let ring = ring()?;
    Ok(Sample {
        hog: queue,
        limit: Some(ring),
        besides: vec![("records", RECORDS as f64)],
    })
}

/// The rate of a queue.
fn queue() -> Outcome<f64> {
    let scene = Scene::set()?;
    let (pid, tid) = (std::process::id(), 1);
    let path = scene.shm_dir().join(format!("{GROUP}.{pid}.{tid}"));
    let mut producer = Producer::create(&path, &metadata()?, SLOTS, WaitPolicy::Futex, true)?;
    let queue = Queue::open(&path)?;
    fill(&mut producer);
    let mut sender = Role::sender(&scene, "127.0.0.1:9")?;
    sender.wait_until_it_serves(&scene)?;
    let _registered = register(&scene, pid, tid)?;
    wait_until(&mut sender, || is_read(&queue))?;
    let ring = RingReader::open(&scene.ring()?)?;
    wait_until(&mut sender, || is_drained(&ring))?;
    sender.pause(true)?;
    fill(&mut producer);
    scene.settle()?;
    let (from, to) = queue.indices()?;
    let left = || -> Outcome<u32> { Ok((to + SLOTS - queue.indices()?.0) % SLOTS) };
    if left()? != PAGES {
        return Err(format!("from page {from} to {to} of the queue are not {PAGES} pages").into());
    }
    sender.pause(false)?;
    wait_until(&mut sender, || Ok(left()? < PAGES))?;
    let (pages, began) = (left()?, Instant::now());
    wait_until(&mut sender, || Ok(is_read(&queue)? && is_drained(&ring)?))?;
    let took = began.elapsed();
    drop(sender);
    count(&scene)?;
    Ok(rate(pages as usize * RECORDS_PER_PAGE, took))
}

/// The rate of a ring.
fn ring() -> Outcome<f64> {
    let scene = Scene::set()?;
    let group = scene.options().ring_size(RING_BYTES).open()?;
    let mut writer = group.writer()?;
    let mut fill = || -> Outcome<u64> {
        for number in 0..RECORDS as u64 {
            writer.log(&LINE, (TEXT, number))?;
        }
        Ok(writer.tail())
    };
    let first = fill()?;
    let ring = RingReader::open(&scene.ring()?)?;
    let mut sender = Role::sender(&scene, "127.0.0.1:9")?;
    wait_until(&mut sender, || Ok(ring.head() >= first))?;
    sender.pause(true)?;
    let from = ring.head();
    let to = fill()?;
    scene.settle()?;
    sender.pause(false)?;
    wait_until(&mut sender, || Ok(ring.head() > from))?;
    let (seen, began) = (ring.head(), Instant::now());
    wait_until(&mut sender, || Ok(ring.head() >= to))?;
    let took = began.elapsed();
    drop(sender);
    count(&scene)?;
    let share = (to - seen) as f64 / (to - from) as f64;
    Ok(rate(RECORDS, took) * share)
}

fn rate(records: usize, time: Duration) -> f64 {
    (records * PAYLOAD_BYTES) as f64 / 1e6 / time.as_secs_f64()
}

/// What a program of the original declares that logs the same statement.
fn metadata() -> Outcome<Vec<u8>> {
    let line = Definition {
        id: 0,
        name: "line".to_owned(),
        flags: 1,
        format: "$0 $1".to_owned(),
        file: file!().to_owned(),
        line: line!(),
        payload_type: Type::tuple([Type::text(), Type::long()]),
    };
    let declaration = Declaration {
        quality: Quality::Reliable,
        commit: Commit::Manual,
        statements: Statements::new(vec![line])?,
    };
    let mut metadata = Vec::new();
    declaration.encode_queue(&mut metadata);
    Ok(metadata)
}

/// Fills the queue: its pages with records, each page a transaction.
fn fill(producer: &mut Producer) {
    let mut number: u64 = 0;
    let mut page = Vec::with_capacity(PAGE_PAYLOAD);
    for _ in 0..PAGES {
        page.clear();
        for _ in 0..RECORDS_PER_PAGE {
            page.extend_from_slice(&0_u32.to_le_bytes()); // the statement
            page.extend_from_slice(&(TEXT.len() as u64).to_le_bytes());
            page.extend_from_slice(TEXT.as_bytes());
            page.extend_from_slice(&number.to_le_bytes());
            number += 1;
        }
        producer.write(&page);
        producer.commit();
    }
}

/// Says as a program of the original does that a thread of this process has a queue. It is there as long as it is connected.
fn register(scene: &Scene, pid: u32, tid: u32) -> Outcome<UnixStream> {
    let mut socket = UnixStream::connect(scene.intake())?;
    socket.write_all(&[0, 0, 2, 0])?; // the version
    let words = [u64::from(pid).to_le_bytes(), u64::from(tid).to_le_bytes()];
    socket.write_all(&[&[0], words.as_flattened()].concat())?;
    Ok(socket)
}

fn is_read(queue: &Queue) -> Outcome<bool> {
    let (read, published) = queue.indices()?;
    Ok(read == published)
}

fn is_drained(ring: &RingReader) -> Outcome<bool> {
    let head = ring.head();
    Ok(head == ring.tail(head).map_err(|fault| format!("{fault:?}"))?)
}

fn wait_until(sender: &mut Role, mut reached: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    let gives_up = Instant::now() + PATIENCE;
    while !reached()? {
        if sender.is_done()? || Instant::now() > gives_up {
            return Err("the sender came to a halt".into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// That the spool has what was filled, twice, and nothing else.
fn count(scene: &Scene) -> Outcome<()> {
    let mut cat = hog(&["-qq", "cat", "--format", "text"])
        .arg(scene.path("spool"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut text = BufReader::with_capacity(1 << 17, cat.stdout.take().ok_or("cat has no stdout")?);
    let mut found = 0;
    loop {
        let read = text.fill_buf()?;
        if read.is_empty() {
            break;
        }
        let len = read.len();
        found += memchr::memchr_iter(b'\n', read).count();
        text.consume(len);
    }
    if !cat.wait()?.success() || found != 2 * RECORDS {
        return Err(format!("{found} records are in the spool, where {} were logged", 2 * RECORDS).into());
    }
    Ok(())
}
