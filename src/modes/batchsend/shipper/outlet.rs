//! The way out of a connection: what it is given is compressed, sealed and sent, in that order.
//!
//! Threads do so, beside whoever reads the spool: compressing takes longer than all the rest of shipping. They compress side by side, as many as there are
//! processors, up to [`PRESSES_MAX`], and send in [`turns`](super::turns). They have no say in what is sent. At most
//! [`WAITING`] loads wait for them, which bounds memory; whoever brings another one waits as long as the line takes for one, which
//! [`Line`] bounds. They end with the line, or when nobody brings anything any more. In a simulation there is one thread, and what is brought is sent at once.

use super::press::{Load, Press, Unsent};
use super::pressed::{Pressed, User};
use super::turns::Turns;
use crate::formats::codec::{Compress, Compression};
use crate::os::net::Line;
use crate::stages::ship::Outgoing;
use crate::stages::ship::choice::Chooser;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle, available_parallelism};

/// So many threads compress for a connection at most.
const PRESSES_MAX: u32 = 4;
/// So many loads wait while others are compressed.
const WAITING: usize = 2;
/// The way out.
pub(super) struct Outlet {
    line: Arc<dyn Line>,
    turns: Arc<Turns>,
    /// How many loads were brought.
    brought: u64,
    way: Way,
}

enum Way {
    /// Compressed and sent by threads.
    Beside(Beside),
    /// By whoever brings it; the last that was.
    AtOnce(Press, Option<Vec<Outgoing>>),
    /// It is over.
    Closed,
}

struct Beside {
    loads: Sender<(u64, Load)>,
    sent: Receiver<Vec<Outgoing>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Outlet {
    /// Over `line`. Bodies that were compressed for others, or may be wanted by them, are in `pressed`.
    ///
    /// # Errors
    /// When there is no memory to compress with, or no thread.
    pub(super) fn new(line: Arc<dyn Line>, compress: Compress, pressed: &Arc<Pressed>) -> io::Result<Self> {
        let presses = match compress {
            _ if hog_ring::simulation::is_on() => 1,
            Compress::Always(Compression::None) => 1, // there is nothing to do side by side
            _ => available_parallelism().map_or(1, |processors| {
                u32::try_from(processors.get()).map_or(PRESSES_MAX, |processors| processors.min(PRESSES_MAX))
            }),
        };
        Self::with_presses(line, compress, pressed, presses)
    }

    fn with_presses(line: Arc<dyn Line>, compress: Compress, pressed: &Arc<Pressed>, presses: u32) -> io::Result<Self> {
        let chooser = Arc::new(Mutex::new(Chooser::new(compress)));
        let pressed = Arc::new(User::of(pressed));
        let press = || Press::new(Arc::clone(&line), &chooser, &pressed, presses);
        let turns = Arc::<Turns>::default();
        let way = if hog_ring::simulation::is_on() {
            Way::AtOnce(press()?, None)
        } else {
            let presses = (0..presses).map(|_| press()).collect::<io::Result<_>>()?;
            Way::Beside(Beside::start(presses, &turns)?)
        };
        Ok(Self {
            line,
            turns,
            brought: 0,
            way,
        })
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
        let number = self.brought;
        self.brought += 1;
        match &mut self.way {
            Way::Beside(beside) => {
                let is_over = self.turns.passed().is_none();
                if is_over || beside.loads.send((number, load)).is_err() {
                    return self.finish().and(Err(io::ErrorKind::BrokenPipe.into()));
                }
                Ok(())
            }
            Way::AtOnce(press, sent) => {
                press.send(&load, self.turns.of(number)).map_err(Unsent::into_error)?;
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

    /// How many loads were brought so far.
    pub(super) fn brought(&self) -> u64 {
        self.brought
    }

    /// Whether so many of them left, which is in their order.
    pub(super) fn has_sent(&self, brought: u64) -> bool {
        self.turns.passed().is_none_or(|left| left >= brought)
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
            let _ = beside.finish(); // its failure is this connection's, which is over
        }
    }
}

impl Beside {
    fn start(presses: Vec<Press>, turns: &Arc<Turns>) -> io::Result<Self> {
        let (loads, brought) = bounded::<(u64, Load)>(WAITING);
        let (gives_back, sent) = bounded(WAITING + presses.len() + 1);
        let threads = presses.into_iter().map(|mut press| {
            let (brought, gives_back, turns) = (brought.clone(), gives_back.clone(), Arc::clone(turns));
            Builder::new().name("compress".to_owned()).spawn(move || {
                for (number, load) in brought {
                    match press.send(&load, turns.of(number)) {
                        Ok(()) => {}
                        Err(Unsent::AfterOthers) => return Ok(()), // who failed tells
                        Err(Unsent::Failed(error)) => return Err(error),
                    }
                    let _ = gives_back.try_send(load.frames); // memory that is not wanted back is freed
                }
                Ok(())
            })
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self { loads, sent, threads })
    }

    /// How the threads ended, once they have.
    fn finish(self) -> std::thread::Result<io::Result<()>> {
        drop((self.loads, self.sent));
        let ended: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        ended.into_iter().collect::<Result<io::Result<()>, _>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::codec::Decompressor;
    use crate::formats::frame::{Codec, FrameHeader, Kind};
    use crate::ids::StreamId;
    use crate::modes::batchsend::shipper::press::{LONG, recipe};
    use crate::modes::batchsend::shipper::pressed::Found;
    use crate::os::net;
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

    /// An outlet with two threads, however many processors there are.
    fn outlet(line: Arc<dyn Line>, pressed: &Arc<Pressed>) -> Outlet {
        let compress = Compress::Always(Compression::Zstd(1));
        Outlet::with_presses(line, compress, pressed, 2).unwrap()
    }

    #[test]
    fn what_is_brought_leaves_in_its_order_compressed_where_that_was_asked_for() {
        let line = Arc::<Kept>::default();
        let mut outlet = outlet(Arc::clone(&line) as Arc<dyn Line>, &Arc::default());
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
        let mut outlets: Vec<_> = lines
            .iter()
            .map(|line| outlet(Arc::clone(line) as Arc<dyn Line>, &pressed))
            .collect();
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

    #[test]
    fn while_one_is_on_the_line_the_next_is_compressed() {
        let (take, takes) = bounded(8);
        let pressed = Arc::default();
        let mut outlet = outlet(Arc::new(Slow(Mutex::new(takes))), &pressed);
        let frames = [0, LONG as u64].map(|start| frame(start, vec![7; LONG]));
        let next = recipe(&frames[1].header, Compression::Zstd(1));
        let other = User::of(&pressed);
        for frame in frames {
            outlet.put_compressed(vec![frame]).unwrap();
        }
        // The line has taken nothing yet, of either.
        while !matches!(other.find(next), Found::Made(_)) {
            std::thread::yield_now();
        }
        take.send(()).unwrap();
        take.send(()).unwrap();
        outlet.finish().unwrap();
    }

    #[test]
    fn what_does_not_compress_waits_for_its_turn_rather_than_in_memory() {
        let line = Arc::<Kept>::default();
        let mut outlet = outlet(Arc::clone(&line) as Arc<dyn Line>, &Arc::default());
        let mut chance = fastrand::Rng::with_seed(1);
        let raws: Vec<Vec<u8>> = (0..24)
            .map(|_| std::iter::repeat_with(|| chance.u8(..)).take(400 << 10).collect())
            .collect();
        for load in raws.chunks(6) {
            let frames = load.iter().map(|raw| frame(8, raw.clone())).collect();
            outlet.put_compressed(frames).unwrap();
        }
        outlet.finish().unwrap();
        let sent = bodies(&line.bytes.lock().unwrap());
        assert!(sent.into_iter().eq(raws.into_iter().map(|raw| (Codec::None, raw))));
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
        let mut outlet = outlet(Arc::clone(&line) as Arc<dyn Line>, &Arc::default());
        outlet.put_plain(vec![frame(8, vec![0; 8])]).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| outlet.finish())).is_err());
        assert!(line.is_hung_up.load(Ordering::SeqCst));
    }

    #[test]
    fn a_line_that_failed_is_told_to_whoever_brings_more_or_finishes() {
        let line = Arc::<Kept>::default();
        let mut failing = outlet(Arc::clone(&line) as Arc<dyn Line>, &Arc::default());
        line.hang_up();
        let told = (0..2 + WAITING + 2).find_map(|_| failing.put_plain(vec![frame(8, vec![0; 8])]).err());
        let told = told.or_else(|| failing.finish().err()).unwrap();
        assert_eq!(told.kind(), io::ErrorKind::ConnectionReset);
        assert!(failing.put_plain(Vec::new()).is_err());
    }
}
