//! The way out of a connection: what it is given is compressed, sealed and sent, in that order.
//!
//! A thread does so, beside whoever reads the spool: compressing takes longer than all the rest of shipping. It has no say in what is sent. At most
//! [`WAITING`] loads wait for it, which bounds memory; whoever brings another one waits as long as the line takes for one, which
//! [`Line`] bounds. It ends with the line, or when nobody brings anything any more. In a simulation there is one thread, and what is brought is sent at once.

use super::pressed::{Body, Found, Pressed, Recipe, User};
use crate::formats::codec::{Compress, Compression, Compressor};
use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::os::clock;
use crate::os::net::{self, Line};
use crate::stages::ship::Outgoing;
use crate::stages::ship::choice::Chooser;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

/// So many loads wait while one is compressed.
const WAITING: usize = 2;
/// Bytes of short frames that are gathered for one write.
const WRITE_BYTES: usize = 256 * 1024;
/// A body from this length on is not copied behind its header.
const LONG: usize = 16 * 1024;

/// Frames that are sent one behind the other.
struct Load {
    frames: Vec<Outgoing>,
    is_compressed: bool,
}

/// The way out.
pub(super) struct Outlet {
    line: Arc<dyn Line>,
    way: Way,
}

enum Way {
    /// Compressed and sent by a thread.
    Beside(Beside),
    /// By whoever brings it; the last that was.
    AtOnce(Press, Option<Vec<Outgoing>>),
    /// It is over.
    Closed,
}

struct Beside {
    loads: Sender<Load>,
    /// How many loads were brought.
    brought: u64,
    /// How many of them left.
    left: Arc<AtomicU64>,
    sent: Receiver<Vec<Outgoing>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Outlet {
    /// Over `line`. Bodies that were compressed for others, or may be wanted by them, are in `pressed`.
    ///
    /// # Errors
    /// When there is no memory to compress with, or no thread.
    pub(super) fn new(line: Arc<dyn Line>, compress: Compress, pressed: &Arc<Pressed>) -> io::Result<Self> {
        let chooser = Chooser::new(compress);
        let compression = chooser.next();
        let press = Press {
            line: Arc::clone(&line),
            compression,
            chooser,
            compressor: Compressor::new(compression)?,
            pressed: User::of(pressed),
            out: Vec::new(),
        };
        let way = if hog_ring::simulation::is_on() {
            Way::AtOnce(press, None)
        } else {
            Way::Beside(Beside::start(press)?)
        };
        Ok(Self { line, way })
    }

    /// Sends `frames`, their bodies compressed where that makes them smaller.
    ///
    /// # Errors
    /// When the line failed, perhaps at what was brought before.
    pub(super) fn put_compressed(&mut self, frames: Vec<Outgoing>) -> io::Result<()> {
        self.put(Load {
            frames,
            is_compressed: true,
        })
    }

    /// Sends `frames` as they are.
    ///
    /// # Errors
    /// As [`Outlet::put_compressed`].
    pub(super) fn put_plain(&mut self, frames: Vec<Outgoing>) -> io::Result<()> {
        self.put(Load {
            frames,
            is_compressed: false,
        })
    }

    fn put(&mut self, load: Load) -> io::Result<()> {
        match &mut self.way {
            Way::Beside(beside) => {
                beside.brought += 1;
                match beside.loads.send(load) {
                    Ok(()) => Ok(()),
                    Err(_) => self.finish().and(Err(io::ErrorKind::BrokenPipe.into())),
                }
            }
            Way::AtOnce(press, sent) => {
                press.send(&load)?;
                *sent = Some(load.frames);
                Ok(())
            }
            Way::Closed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// What was sent, for its memory.
    pub(super) fn sent(&mut self) -> Option<Vec<Outgoing>> {
        match &mut self.way {
            Way::Beside(beside) => beside.sent.try_recv().ok(),
            Way::AtOnce(_, sent) => sent.take(),
            Way::Closed => None,
        }
    }

    /// How many loads were brought so far; 0 where each leaves at once.
    pub(super) fn brought(&self) -> u64 {
        match &self.way {
            Way::Beside(beside) => beside.brought,
            Way::AtOnce(..) | Way::Closed => 0,
        }
    }

    /// Whether so many of them left, which is in their order.
    pub(super) fn has_sent(&self, brought: u64) -> bool {
        match &self.way {
            Way::Beside(beside) => beside.left.load(Ordering::Relaxed) >= brought,
            Way::AtOnce(..) | Way::Closed => true,
        }
    }

    /// Waits until all is sent that was brought; nothing can be brought after that.
    ///
    /// # Errors
    /// When the line failed.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.way, Way::Closed) {
            Way::Beside(beside) => beside.finish().unwrap_or_else(|panic| {
                self.hang_up(); // whoever hears the receiver ends as well
                resume_unwind(panic) // to whoever watches over the shipper
            }),
            Way::AtOnce(..) | Way::Closed => Ok(()),
        }
    }

    /// Ends the connection.
    pub(super) fn hang_up(&self) {
        self.line.hang_up();
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if let Way::Beside(beside) = std::mem::replace(&mut self.way, Way::Closed) {
            self.line.hang_up(); // what waits is not sent any more
            drop((beside.loads, beside.sent));
            let _ = beside.thread.join(); // its failure is this connection's, which is over
        }
    }
}

impl Beside {
    fn start(mut press: Press) -> io::Result<Self> {
        let (loads, brought) = bounded::<Load>(WAITING);
        let (gives_back, sent) = bounded(WAITING + 2);
        let left = Arc::<AtomicU64>::default();
        let leaves = Arc::clone(&left);
        let thread = Builder::new().name("compress".to_owned()).spawn(move || {
            for load in brought {
                press.send(&load)?;
                leaves.fetch_add(1, Ordering::Relaxed); // a number alone: no data hangs on it
                let _ = gives_back.try_send(load.frames); // memory that is not wanted back is freed
            }
            Ok(())
        })?;
        Ok(Self {
            loads,
            brought: 0,
            left,
            sent,
            thread,
        })
    }

    /// How the thread ended, once it has.
    fn finish(self) -> std::thread::Result<io::Result<()>> {
        drop((self.loads, self.sent));
        self.thread.join()
    }
}

/// Compresses, seals and sends.
struct Press {
    line: Arc<dyn Line>,
    chooser: Chooser,
    compression: Compression,
    compressor: Compressor,
    pressed: User,
    /// Frames that are to be sent with those behind them.
    out: Vec<u8>,
}

impl Press {
    fn send(&mut self, load: &Load) -> io::Result<()> {
        if self.compression != self.chooser.next() {
            self.compression = self.chooser.next();
            self.compressor = Compressor::new(self.compression)?;
        }
        let began = clock::moment();
        self.send_frames(load)?;
        let raw_bytes = load.frames.iter().map(|frame| frame.raw.len() as u64).sum();
        self.chooser.took(raw_bytes, clock::since(began));
        Ok(())
    }

    fn send_frames(&mut self, load: &Load) -> io::Result<()> {
        for frame in &load.frames {
            if load.is_compressed {
                self.send_compressed(frame)?;
            } else {
                self.send_body(&frame.header, &frame.raw)?;
            }
        }
        self.flush()
    }

    fn send_compressed(&mut self, frame: &Outgoing) -> io::Result<()> {
        let mut claim = None;
        // What is short is compressed sooner than looked for.
        if frame.header.kind == Kind::Data && frame.raw.len() >= LONG && self.compression != Compression::None {
            match self.pressed.find(recipe(&frame.header, self.compression)) {
                Found::Made(body) => {
                    let bytes = body.bytes.as_ref().unwrap_or(&frame.raw);
                    return self.send_body(&stored(&frame.header, body.codec, body.crc, bytes), bytes);
                }
                Found::Claimed(claimed) => claim = Some(claimed),
                Found::Alone => {}
            }
        }
        let (codec, bytes) = self.compressor.squeeze(&frame.raw).unzip();
        let codec = codec.unwrap_or(Codec::None);
        let crc = bytes.map_or(frame.header.body_crc, frame::body_crc);
        if let Some(claim) = claim {
            let bytes = bytes.map(<[u8]>::to_vec);
            claim.made(Body { codec, crc, bytes });
        }
        let bytes = bytes.unwrap_or(&frame.raw);
        let header = stored(&frame.header, codec, crc, bytes);
        send_body(self.line.as_ref(), &mut self.out, &header, bytes)
    }

    fn send_body(&mut self, header: &FrameHeader, body: &[u8]) -> io::Result<()> {
        send_body(self.line.as_ref(), &mut self.out, header, body)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.line.send(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }
}

fn recipe(header: &FrameHeader, compression: Compression) -> Recipe {
    Recipe {
        stream: header.stream,
        start: header.start,
        end: header.end,
        raw_crc: header.body_crc,
        compression,
    }
}

/// `header`, for `bytes` as they are stored.
fn stored(header: &FrameHeader, codec: Codec, body_crc: u32, bytes: &[u8]) -> FrameHeader {
    FrameHeader {
        codec,
        body_len: frame::body_len(bytes),
        body_crc,
        ..*header
    }
}

/// Sends a frame behind those in `out`, or leaves it there.
fn send_body(line: &dyn Line, out: &mut Vec<u8>, header: &FrameHeader, body: &[u8]) -> io::Result<()> {
    if body.len() >= LONG {
        net::put_frame(out, header, &[]);
        line.send_both(out, body)?;
        out.clear();
    } else {
        net::put_frame(out, header, body);
        if out.len() >= WRITE_BYTES {
            line.send(out)?;
            out.clear();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::codec::Decompressor;
    use crate::ids::StreamId;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Keeps what is sent, until it fails.
    #[derive(Default)]
    struct Kept {
        bytes: Mutex<Vec<u8>>,
        fails: AtomicBool,
    }

    impl Line for Kept {
        fn send(&self, bytes: &[u8]) -> io::Result<()> {
            if self.fails.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            self.bytes.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        }

        fn hang_up(&self) {
            self.fails.store(true, Ordering::SeqCst);
        }
    }

    /// The raw bodies of what was sent, and how each came.
    fn bodies(mut bytes: &[u8]) -> Vec<(Codec, Vec<u8>)> {
        let mut decompressor = Decompressor::new().unwrap();
        let mut bodies = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk() {
            let header = FrameHeader::open(header, net::WIRE_SALT).unwrap();
            let (body, rest) = rest.split_at(header.body_len as usize);
            header.check_body(body).unwrap();
            bodies.push((header.codec, decompressor.raw(&header, body).unwrap().to_vec()));
            bytes = rest;
        }
        bodies
    }

    /// Takes nothing before it is told to.
    struct Slow(Mutex<Receiver<()>>);

    impl Line for Slow {
        fn send(&self, _bytes: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().recv().map_err(io::Error::other)
        }

        fn hang_up(&self) {}
    }

    fn frame(start: u64, raw: Vec<u8>) -> Outgoing {
        let end = start + raw.len() as u64;
        let header = FrameHeader::plain(Kind::Data, &raw).of_stream(StreamId::NIL, start, end);
        Outgoing { header, raw }
    }

    fn outlet(line: &Arc<Kept>, pressed: &Arc<Pressed>) -> Outlet {
        let compress = Compress::Always(Compression::Zstd(1));
        Outlet::new(Arc::clone(line) as Arc<dyn Line>, compress, pressed).unwrap()
    }

    #[test]
    fn what_is_brought_leaves_in_its_order_compressed_where_that_was_asked_for() {
        let line = Arc::<Kept>::default();
        let mut outlet = outlet(&line, &Arc::default());
        let mut expected = Vec::new();
        for number in 0..20_u8 {
            let raw = vec![number; 8 << (number % 14)];
            let frames = vec![frame(8, raw.clone()), frame(8, vec![number; 8])];
            let is_compressed = number % 3 > 0;
            if is_compressed {
                outlet.put_compressed(frames).unwrap();
            } else {
                outlet.put_plain(frames).unwrap();
            }
            let codec = if is_compressed && raw.len() > 64 {
                Codec::Zstd
            } else {
                Codec::None
            };
            expected.extend([(codec, raw), (Codec::None, vec![number; 8])]);
        }
        outlet.finish().unwrap();
        let sent = bodies(&line.bytes.lock().unwrap());
        assert_eq!(sent.len(), expected.len());
        for ((codec, raw), (wanted, body)) in sent.into_iter().zip(expected) {
            assert_eq!(raw, body);
            assert!(
                codec == wanted || body.len() <= 64,
                "{} bytes came as {codec:?}",
                body.len()
            );
        }
    }

    #[test]
    fn two_that_are_sent_the_same_get_the_same_bytes() {
        let (lines, pressed) = ([Arc::<Kept>::default(), Arc::default()], Arc::default());
        let mut outlets: Vec<_> = lines.iter().map(|line| outlet(line, &pressed)).collect();
        for number in 0..20 {
            let raw: Vec<u8> = (0..LONG as u64)
                .map(|at| (at * at / (number + 3)).to_le_bytes()[0])
                .collect();
            for outlet in &mut outlets {
                outlet
                    .put_compressed(vec![frame(number * LONG as u64, raw.clone())])
                    .unwrap();
            }
        }
        for outlet in &mut outlets {
            outlet.finish().unwrap();
        }
        let sent = lines[0].bytes.lock().unwrap().clone();
        assert_eq!(bodies(&sent).len(), 20);
        assert_eq!(sent, *lines[1].bytes.lock().unwrap());
    }

    #[test]
    fn what_was_brought_has_left_once_a_slow_line_took_it_and_all_before_it() {
        let (take, takes) = bounded(8);
        let compress = Compress::Always(Compression::None);
        let line = Arc::new(Slow(Mutex::new(takes)));
        let mut outlet = Outlet::new(line, compress, &Arc::default()).unwrap();
        let loads = [0, 1].map(|_| {
            outlet.put_plain(vec![frame(8, vec![0; 8])]).unwrap();
            outlet.brought()
        });
        let has_sent = |outlet: &Outlet| loads.map(|load| outlet.has_sent(load));
        let wait = |outlet: &mut Outlet| {
            while outlet.sent().is_none() {
                std::thread::yield_now();
            }
        };
        assert_eq!(has_sent(&outlet), [false, false]);
        take.send(()).unwrap();
        wait(&mut outlet);
        assert_eq!(has_sent(&outlet), [true, false]);
        outlet.put_plain(vec![frame(8, vec![0; 8])]).unwrap(); // what comes later delays nothing
        take.send(()).unwrap();
        wait(&mut outlet);
        assert_eq!(has_sent(&outlet), [true, true]);
        take.send(()).unwrap();
        outlet.finish().unwrap();
    }

    /// Panics when it is to send.
    #[derive(Default)]
    struct Panics {
        is_hung_up: AtomicBool,
    }

    impl Line for Panics {
        fn send(&self, _bytes: &[u8]) -> io::Result<()> {
            panic!("on purpose");
        }

        fn hang_up(&self) {
            self.is_hung_up.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_panic_of_who_compresses_is_the_shippers_and_ends_the_connection() {
        let line = Arc::<Panics>::default();
        let compress = Compress::Always(Compression::Zstd(1));
        let mut outlet = Outlet::new(Arc::clone(&line) as Arc<dyn Line>, compress, &Arc::default()).unwrap();
        outlet.put_plain(vec![frame(8, vec![0; 8])]).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| outlet.finish())).is_err());
        assert!(line.is_hung_up.load(Ordering::SeqCst));
    }

    #[test]
    fn a_line_that_failed_is_told_to_whoever_brings_more_or_finishes() {
        let line = Arc::<Kept>::default();
        let mut failing = outlet(&line, &Arc::default());
        line.hang_up();
        let told = (0..2 + WAITING + 2).find_map(|_| failing.put_plain(vec![frame(8, vec![0; 8])]).err());
        let told = told.or_else(|| failing.finish().err()).unwrap();
        assert_eq!(told.kind(), io::ErrorKind::ConnectionReset);
        assert!(failing.put_plain(Vec::new()).is_err());
    }
}
