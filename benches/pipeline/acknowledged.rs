//! Acknowledged: how long after a record was logged its acknowledgement comes, which the receiver sends once the record is on its disk, on a machine
//! that does nothing else; against appending 4 KiB to a file of the same file system and one fdatasync of it.
//!
//! No program sees an acknowledgement, so a relay stands between sender and receiver, which takes the time when it reads one; that adds a thread's wake on the way
//! there. The time begins before the call that logs, and records come one at a time, after pauses in which everybody lies down to sleep.

use super::Outcome;
use super::roles::Role;
use super::scene::Scene;
use super::table::{Row, Sample};
use super::target::Target::{AtMost, RatioAtMost};
use hog::formats::frame::Kind;
use hog::formats::wire;
use hog::os::net::{self, FrameReader, Line, Patience};
use hog_ring::{Statement, statement};
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);

/// Records, one after the other.
const RECORDS: u64 = 300;
/// Of these, the first ones are not counted: rings, streams and files are begun with them.
const UNCOUNTED: u64 = 20;
/// Between two records, at most.
const PAUSE_MAX: Duration = Duration::from_millis(10);
/// The longest that an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An acknowledgement up to this position, and when it came.
type Acknowledged = (u64, Instant);

pub(crate) fn row() -> Row {
    let what = "log call to acknowledgement, --batch-time 0, idle machine";
    Row::new("acknowledged", what, "us", RatioAtMost(3.0), |_| measure())
        .against("appending 4 KiB, and one fdatasync")
        .also("p99_over_sync", AtMost(10.0))
        .rounds_at_most(3)
}

/// What an acknowledgement takes, in us: the median, and besides what one in a hundred takes longer than.
fn measure() -> Outcome<Sample> {
    let scene = Scene::set()?;
    let group = scene.options().open()?;
    let (mut receiver, address) = Role::receiver(&scene)?;
    let (relayed, hears) = relay(address)?;
    let mut sender = Role::prompt_sender(&scene, &relayed)?;
    let mut writer = group.writer()?;
    let file = File::create(scene.path("synced"))?;
    let (mut waits, mut syncs) = (Vec::new(), Vec::new());
    for number in 0..RECORDS {
        std::thread::sleep(PAUSE_MAX.mul_f64(0.5 + fastrand::f64() / 2.0));
        let began = Instant::now();
        writer.log(&LINE, ("a record that somebody waits for", number))?;
        let came = wait_for(&hears, writer.tail())?;
        if sender.is_done()? || receiver.is_done()? {
            return Err("a role ended".into());
        }
        std::thread::sleep(PAUSE_MAX.mul_f64(0.5 + fastrand::f64() / 2.0));
        let synced = append_and_sync(&file, number)?;
        if number >= UNCOUNTED {
            waits.push((came - began).as_secs_f64() * 1e6);
            syncs.push(synced.as_secs_f64() * 1e6);
        }
    }
    drop((sender, receiver));
    waits.sort_by(f64::total_cmp);
    syncs.sort_by(f64::total_cmp);
    let of = |sorted: &[f64], percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    let sync = of(&syncs, 50);
    Ok(Sample {
        hog: of(&waits, 50),
        limit: Some(sync),
        besides: vec![
            ("p99_us", of(&waits, 99)),
            ("p99_over_sync", of(&waits, 99) / sync),
            ("longest_us", of(&waits, 100)),
            ("p99_of_sync_us", of(&syncs, 99)),
        ],
    })
}

fn wait_for(hears: &Receiver<Acknowledged>, position: u64) -> Outcome<Instant> {
    loop {
        let (to, at) = hears.recv_timeout(PATIENCE)?;
        if to >= position {
            return Ok(at);
        }
    }
}

fn append_and_sync(file: &File, number: u64) -> Outcome<Duration> {
    let piece = [0x55; 4096];
    let began = Instant::now();
    file.write_all_at(&piece, number * 4096)?;
    file.sync_data()?;
    Ok(began.elapsed())
}

/// Stands in front of the receiver at `target`: where it listens, and what it sees acknowledged. It ends with its connections.
fn relay(target: String) -> Outcome<(String, Receiver<Acknowledged>)> {
    let listener = net::listen("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let (tells, hears) = channel();
    std::thread::spawn(move || stand_between(&listener, &target, &tells));
    Ok((address, hears))
}

fn stand_between(listener: &TcpListener, target: &str, tells: &Sender<Acknowledged>) -> Option<()> {
    let (near, _) = listener.accept().ok()?;
    let far = net::connect(target).ok()?;
    net::prepare(&near).ok()?;
    net::prepare(&far).ok()?;
    let (reads, writes) = (near.try_clone().ok()?, far.try_clone().ok()?);
    std::thread::spawn(move || pass_on(reads, &writes, None));
    pass_on(far, &near, Some(tells))
}

/// Passes on frames until either side goes away.
fn pass_on(from: TcpStream, to: &TcpStream, tells: Option<&Sender<Acknowledged>>) -> Option<()> {
    let mut reader = FrameReader::new(from);
    let (mut body, mut out) = (Vec::new(), Vec::new());
    loop {
        body.clear();
        out.clear();
        let header = reader.read(&mut body, Patience::of_shipping(), &|| false).ok()?;
        if let (Kind::Ack, Some(tells)) = (header.kind, tells) {
            let at = Instant::now();
            for (_, position) in wire::decode_ack(&body).ok()? {
                tells.send((position, at)).ok()?;
            }
        }
        net::put_frame(&mut out, &header, &body);
        to.send(&out).ok()?;
    }
}
