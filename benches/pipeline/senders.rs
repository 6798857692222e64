//! Senders: how fast one receiver stores what 500 senders ship to it at once, against as many bytes from one sender, and in which memory.
//!
//! The senders are threads of this process that speak the protocol and have their frames ready, compressed with zstd level 1: 500 real ones beside
//! the receiver would measure how 500 processes share two processors. Each is a sender of its own to the receiver: its uuid, connection and stream. They connect
//! and attach first; the time is from the first DATA until the last acknowledgement, which follows the sync. The archive is then verified.

use super::growth::{Axis, Growth, Series};
use super::roles::Role;
use super::scene::{GROUP, Scene};
use super::table::{Row, Sample};
use super::target::Target::{AtMost, RatioAtLeast};
use super::{Outcome, Run};
use hog::formats::body::Attach;
use hog::formats::codec::{Compression, Compressor};
use hog::formats::definitions::Definitions;
use hog::formats::frame::{self, FrameHeader, Kind};
use hog::formats::wire::{self, Hello};
use hog::ids::{OwnerId, StreamId};
use hog::limits::{FRAME_BODY_MAX, WINDOW_BYTES};
use hog::os::net::{self, FrameReader, Line, Patience};
use hog_ring::{RingReader, Statement, record, statement};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::Builder;
use std::time::{Duration, Instant};

static LINE: Statement<(&str, u64)> = statement!("line", "$text $number", text, number);

/// What all senders ship together, before it is compressed.
const SHIPPED_BYTES: u64 = 1000 << 20;
/// Numbers of senders for the plots.
const NUMBERS: [u32; 5] = [1, 8, 64, 256, 500];
/// What was measured for one plot is drawn in the other as well.
static KNOWN: Mutex<Vec<(u32, Received)>> = Mutex::new(Vec::new());
/// Different frames that are shipped, again and again.
const FRAMES: usize = 8;
/// Capacity of the ring that they are made in.
const RING_BYTES: u64 = 32 << 20;
/// What a sender's thread needs.
const STACK_BYTES: usize = 256 << 10;
/// The longest that the receiver may be silent.
const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(60),
    frame: Duration::from_secs(60),
    body_bytes: 4096,
};

/// What came of one shipment.
#[derive(Clone, Copy)]
pub(crate) struct Received {
    /// Before compression.
    pub(crate) mb_per_second: f64,
    /// The receiver's memory at its peak.
    pub(crate) peak_mib: f64,
    /// From the first connection to the last answered ATTACH.
    pub(crate) attaching: Duration,
}

pub(crate) fn row() -> Row {
    let what = "500 senders to one batchrecv, zstd:1";
    Row::new("senders", what, "MB/s", RatioAtLeast(0.8), |_| measure())
        .against("the same bytes from one sender")
        .also("peak_rss_mib", AtMost(256.0))
        .rounds_at_most(3)
}

/// What 500 senders bring a second, against one.
fn measure() -> Outcome<Sample> {
    let frames = Arc::new(Frames::make(Compression::Zstd(1))?);
    let one = receive(&frames, 1)?;
    let many = receive(&frames, 500)?;
    Ok(Sample {
        hog: many.mb_per_second,
        limit: Some(one.mb_per_second),
        besides: vec![
            ("peak_rss_mib", many.peak_mib),
            ("peak_rss_of_one_mib", one.peak_mib),
            ("attaching_ms", many.attaching.as_secs_f64() * 1e3),
        ],
    })
}

/// A plot over the number of senders: how much is stored, or in which memory.
pub(crate) fn growth(name: &'static str, title: &'static str, unit: &'static str) -> Growth {
    let measure: fn(&Run) -> Outcome<Vec<Series>> = match unit {
        "MB/s" => |_| over_number("stored and acknowledged", |received| received.mb_per_second),
        _ => |_| over_number("resident", |received| received.peak_mib),
    };
    Growth {
        name,
        title,
        x: "senders",
        y: Axis {
            name: unit,
            logarithmic: false,
        },
        measure,
    }
}

/// One point for each number of senders; all are measured for the plot that is asked for first.
fn over_number(name: &str, of: fn(&Received) -> f64) -> Outcome<Vec<Series>> {
    let mut known = KNOWN.lock().map_err(|_| "an earlier plot panicked")?;
    if known.is_empty() {
        let frames = Arc::new(Frames::make(Compression::Zstd(1))?);
        let received = |senders| Ok((senders, receive(&frames, senders)?));
        *known = NUMBERS.into_iter().map(received).collect::<Outcome<_>>()?;
    }
    let points = known
        .iter()
        .map(|(senders, received)| (f64::from(*senders), of(received)));
    Ok(vec![Series {
        name: name.to_owned(),
        points: points.collect(),
    }])
}

/// Frames that are ready but for stream and positions.
struct Frames {
    /// The first of a stream, with its statement's definition, comes first.
    ready: Vec<(FrameHeader, Vec<u8>)>,
}

impl Frames {
    fn make(compression: Compression) -> Outcome<Self> {
        let scene = Scene::set()?;
        let group = scene.options().ring_size(RING_BYTES).open()?;
        let mut writer = group.writer()?;
        let mut number: u64 = 0;
        while writer.tail() < (FRAMES as u64 + 1) * FRAME_BODY_MAX as u64 {
            let text = format!("request {:08x} of user {} served", fastrand::u32(..), fastrand::u16(..));
            writer.log(&LINE, (text.as_str(), number))?;
            number += 1;
        }
        let (reader, mut compressor) = (RingReader::open(&scene.ring()?)?, Compressor::new(compression)?);
        let (mut ready, mut at) = (Vec::new(), 0);
        for number in 0..FRAMES {
            let mut raw = vec![0; FRAME_BODY_MAX];
            reader.copy(at, &mut raw).map_err(|fault| format!("{fault:?}"))?;
            raw.truncate(record::cut(&raw, false, RING_BYTES).len);
            at += raw.len() as u64;
            let mut body = Vec::new();
            let codec = compressor.compress(&raw, &mut body);
            let flags = if number == 0 {
                frame::STATEMENTS | frame::FIRST
            } else {
                0
            };
            let mut header = FrameHeader::plain(Kind::Data, &body).with_flags(flags);
            (header.codec, header.raw_len) = (codec, frame::body_len(&raw));
            ready.push((header, body));
        }
        Ok(Self { ready })
    }

    /// What a sender ships: the first frame, and then the others again and again.
    fn of_one(&self) -> impl Iterator<Item = &(FrameHeader, Vec<u8>)> {
        self.ready.iter().take(1).chain(self.ready[1..].iter().cycle())
    }
}

fn receive(frames: &Arc<Frames>, senders: u32) -> Outcome<Received> {
    let scene = Scene::set()?;
    let (mut receiver, address) = Role::receiver(&scene)?;
    let share = SHIPPED_BYTES / u64::from(senders);
    let barrier = Arc::new(Barrier::new(senders as usize + 1));
    let began = Instant::now();
    let threads: Vec<_> = (0..senders)
        .map(|_| {
            let (frames, barrier, address) = (Arc::clone(frames), Arc::clone(&barrier), address.clone());
            let shipping = move || {
                let attached = attach(&address);
                barrier.wait();
                let ended = attached.and_then(|sender| sender.ship(&frames, share));
                ended.map_err(|error| error.to_string())
            };
            Builder::new().stack_size(STACK_BYTES).spawn(shipping)
        })
        .collect::<Result<_, _>>()?;
    barrier.wait();
    let attached = Instant::now();
    let mut shipped = 0;
    for thread in threads {
        shipped += thread.join().map_err(|_| "a sender panicked")??;
        receiver.look();
    }
    let shipping = attached.elapsed();
    receiver.look();
    if receiver.is_done()? {
        return Err("the receiver ended".into());
    }
    let peak_mib = receiver.peak_kib as f64 / 1024.0;
    drop(receiver);
    verify(&scene)?;
    Ok(Received {
        mb_per_second: shipped as f64 / 1e6 / shipping.as_secs_f64(),
        peak_mib,
        attaching: attached - began,
    })
}

fn verify(scene: &Scene) -> Outcome<()> {
    let verified = Command::new(env!("CARGO_BIN_EXE_hog"))
        .args(["-qq", "verify"])
        .arg(scene.path("archive"))
        .stdout(Stdio::null())
        .status()?;
    if verified.success() {
        Ok(())
    } else {
        Err("the archive is not sound".into())
    }
}

/// A sender whose stream is attached.
struct Attached {
    stream: StreamId,
    socket: TcpStream,
    reader: FrameReader,
}

/// Connects, says HELLO and ATTACH, and hears the answers.
fn attach(address: &str) -> Outcome<Attached> {
    let socket = net::connect(address)?;
    net::prepare(&socket)?;
    let mut reader = FrameReader::new(socket.try_clone()?);
    let (sender, stream) = (OwnerId::random(), StreamId::random());
    let hello = Hello {
        sender,
        epoch: 1,
        start_id: 1,
        count: 1,
        group: GROUP.to_owned(),
    }
    .encode();
    net::send_frame(&socket, &FrameHeader::plain(Kind::Hello, &hello), &hello)?;
    expect(&mut reader, Kind::Welcome)?;
    let attach = Attach {
        producer: format!("producer of {stream}"),
        created: 1,
        boot: uuid::Uuid::nil(),
        sender,
        definitions: Definitions::default(),
    }
    .encode();
    let header = FrameHeader::plain(Kind::Attach, &attach).of_stream(stream, 0, 0);
    net::send_frame(&socket, &header, &attach)?;
    expect(&mut reader, Kind::Has)?;
    Ok(Attached { stream, socket, reader })
}

fn expect(reader: &mut FrameReader, kind: Kind) -> Outcome<()> {
    let mut body = Vec::new();
    let header = reader.read(&mut body, PATIENCE, &|| false)?;
    if header.kind == kind {
        Ok(())
    } else if header.kind == Kind::Ack {
        expect(reader, kind) // of what was synced before the answer was on its way
    } else {
        Err(format!(
            "expected {kind:?}, found {:?}: {}",
            header.kind,
            String::from_utf8_lossy(&body)
        )
        .into())
    }
}

impl Attached {
    /// Ships at least `share` bytes, as many at once as a real sender, and waits until all is acknowledged. Says how many.
    fn ship(mut self, frames: &Frames, share: u64) -> Outcome<u64> {
        let (mut sent, mut acked) = (0, 0);
        let mut out = Vec::new();
        for (ready, body) in frames.of_one() {
            if sent >= share {
                break;
            }
            let end = sent + u64::from(ready.raw_len);
            out.clear();
            net::put_frame(&mut out, &ready.of_stream(self.stream, sent, end), body);
            while end - acked > WINDOW_BYTES {
                acked = self.acknowledged(acked)?;
            }
            self.socket.send(&out)?;
            sent = end;
        }
        while acked < sent {
            acked = self.acknowledged(acked)?;
        }
        Ok(sent)
    }

    /// Waits for one answer; says up to where everything is acknowledged.
    fn acknowledged(&mut self, acked: u64) -> Outcome<u64> {
        let mut body = Vec::new();
        let header = self.reader.read(&mut body, PATIENCE, &|| false)?;
        match header.kind {
            Kind::Ack => Ok(wire::decode_ack(&body)?.iter().map(|(_, to)| *to).fold(acked, u64::max)),
            Kind::Has => Ok(acked),
            other => Err(format!("a sender was told {other:?}").into()),
        }
    }
}
