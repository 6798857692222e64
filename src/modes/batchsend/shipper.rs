//! A shipper: carries a spool of one group to one destination, over one connection at a time. A [`Route`] has several follow each other.
//!
//! It owns nothing durable. Each connection begins with what the receiver says it has, walks the spool from its first segment that is still needed, and
//! sends what is missing. A destination that is down is tried again and again, with growing, jittered pauses; it delays no other.

pub mod connection;
mod outlet;
mod press;
mod pressed;
mod route;
mod turns;

pub use pressed::Pressed;
pub use route::Route;

use crate::fence::Pass;
use crate::formats::codec::Compress;
use crate::formats::frame::{self, FrameHeader, Kind};
use crate::formats::lock_record::SpoolIdentity;
use crate::formats::wire::{self, Held, Hello, Refuse};
use crate::ids::StreamId;
use crate::limits::{POSITION_MAX, WELCOME_MAX, WELCOME_STREAMS_MAX};
use crate::modes::batchsend::Refused;
use crate::modes::batchsend::classic::{self, Broken};
use crate::modes::batchsend::peer::{self, Peer};
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::os::clock;
use crate::os::net::{self, FrameReader, Line, LineUntil, NetError, Patience};
use crate::seglog::reader::SegmentError;
use crate::stages::ship::Ship;
use crate::stages::spool::{SpoolIndex, Watch};
use connection::Connection;
use crossbeam::channel::{Receiver, Sender, bounded};
use hog_ring::mutant;
use hogstat::{FaultKind, SenderStatus};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tracing::{info, warn};

/// So many frames of the receiver may wait to be heard: each may have a MiB.
const SAID_WAITING: usize = 16;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a shipper is told.
#[derive(Clone)]
pub struct ShipperOptions {
    /// The group.
    pub group: String,
    /// `HOST:PORT`.
    pub destination: String,
    /// The spool's directory.
    pub directory: PathBuf,
    /// The spool's uuid and run.
    pub identity: SpoolIdentity,
    /// It is done once the destination has what the runs up to this one spooled; without this it never is.
    pub up_to: Option<u64>,
    /// The random number of this run.
    pub start_id: u64,
    /// Counts the connections of this run, over all destinations.
    pub connections: Arc<AtomicU64>,
    /// How bodies are compressed.
    pub compression: Compress,
    /// Bodies that were compressed for other destinations of this spool.
    pub pressed: Arc<Pressed>,
    /// A batch leaves with this many raw bytes.
    pub batch_bytes: usize,
    /// A batch leaves this long after its first frame was ready.
    pub batch_time: Duration,
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum Ended {
    /// There was none.
    #[error("{0}")]
    Connect(std::io::Error),
    /// The receiver went away, or what came from it is nothing.
    #[error("{0}")]
    Net(#[from] NetError),
    /// The line failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// In so many words.
    #[error("the receiver refused: {}", .0.words)]
    Refused(Refuse),
    /// What came makes no sense.
    #[error("the receiver does not speak hog's protocol: {0}")]
    Protocol(String),
    /// A segment could not be read.
    #[error("{0}")]
    Spool(#[from] SegmentError),
    /// Something of an older spool was taken up.
    #[error("an older spool has more for it")]
    OlderFirst,
    /// It was asked, and is a receiver of the original.
    #[error("it is a receiver of the original")]
    Original,
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Connect(error) => Self::Connect(error),
            Broken::Io(error) => Self::Io(error),
            Broken::Net(error) => Self::Net(error),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// What the receiver says.
pub enum Said {
    /// What it has on its disk.
    Acked(Vec<(StreamId, u64)>),
    /// Up to where it has a stream.
    Has(StreamId, u64),
    /// Nothing more.
    Over(Ended),
}

/// Gathers WELCOME, which may be many frames.
#[derive(Default)]
pub struct Welcome {
    held: Vec<Held>,
}

impl Welcome {
    /// Takes in one frame; gives the connection once WELCOME is whole.
    ///
    /// # Errors
    /// When the receiver refuses, or says anything else.
    pub fn take(&mut self, header: &FrameHeader, body: &[u8]) -> Result<Option<Ship>, Ended> {
        match header.kind {
            Kind::Welcome => {
                let held = wire::decode_welcome(body).map_err(|error| Ended::Protocol(error.to_string()))?;
                // Frames without end that name nothing would be read for ever.
                let is_last = header.has(frame::LAST);
                if held.iter().any(|held| held.position > POSITION_MAX) || (held.is_empty() && !is_last) {
                    return Err(Ended::Protocol("WELCOME makes no sense".to_owned()));
                }
                self.held.extend(held);
                if self.held.len() > WELCOME_STREAMS_MAX {
                    return Err(Ended::Protocol(format!(
                        "WELCOME names more than {WELCOME_STREAMS_MAX} streams"
                    )));
                }
                Ok(is_last.then(|| Ship::welcomed(&self.held)))
            }
            Kind::Refuse => Err(refused(body)),
            other => Err(Ended::Protocol(format!("expected WELCOME, found {other:?}"))),
        }
    }
}

/// A shipper. [`Shipper::run`] is its life.
pub struct Shipper {
    options: ShipperOptions,
    index: Arc<SpoolIndex>,
    /// What must be delivered first: spools, and the last run in each.
    before: Vec<(Arc<SpoolIndex>, u64)>,
    watch: Arc<Watch>,
    bell: Receiver<()>,
    recorder: Recorder,
    stop: Stop,
    /// Told when the receiver refuses this sender for good.
    on_fatal: Sender<Refused>,
    was_refused: AtomicBool,
    /// The destination may be either kind, and was found to be a receiver of the original.
    met_an_original: AtomicBool,
    /// What is called a receiver here broke the rules of the protocol, and has acknowledged nothing since.
    breaks_rules: AtomicBool,
    /// With which what this does counts.
    pass: Pass,
    call: Arc<Call>,
}

/// The connection of a shipper, for whoever relieves it to hang up.
#[derive(Default)]
pub struct Call {
    stream: Mutex<Option<TcpStream>>,
}

impl Call {
    fn begin(&self, stream: TcpStream) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }

    /// Lets go of it.
    fn end(&self) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Ends it, whoever is in the middle of what.
    pub fn hang_up(&self) {
        if let Some(stream) = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take() {
            stream.hang_up();
        }
    }
}

impl Shipper {
    /// A shipper of what `index` knows.
    #[must_use]
    pub fn new(
        options: ShipperOptions,
        index: Arc<SpoolIndex>,
        recorder: Recorder,
        stop: Stop,
        on_fatal: Sender<Refused>,
    ) -> Self {
        let (watch, bell) = index.watch();
        Self {
            options,
            index,
            before: Vec::new(),
            watch,
            bell,
            recorder,
            stop,
            on_fatal,
            was_refused: AtomicBool::new(false),
            met_an_original: AtomicBool::new(false),
            breaks_rules: AtomicBool::new(false),
            pass: Pass::default(),
            call: Arc::default(),
        }
    }

    /// The same, for the holder of `pass`: once that one was relieved, nothing that it hears counts. `call` has its connection.
    #[must_use]
    pub fn guarded_by(mut self, pass: &Pass, call: &Arc<Call>) -> Self {
        self.pass = pass.clone();
        self.call = Arc::clone(call);
        self
    }

    /// Whether the destination has all that this one is to bring.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let destination = &self.options.destination;
        self.options
            .up_to
            .is_some_and(|run| self.index.has_delivered(destination, run))
    }

    fn are_those_before_done(&self) -> bool {
        let destination = &self.options.destination;
        mutant::on("gap-over-older-backlog")
            || self
                .before
                .iter()
                .all(|(index, run)| index.has_delivered(destination, *run))
    }

    /// Counts streams that were taken up in the spools that come first.
    fn rewinds_before(&self) -> u64 {
        self.before.iter().map(|(index, _)| index.rewinds()).sum()
    }

    /// Ships until all is brought, something older is to be brought first, or it is time to stop. Says each change of state once.
    ///
    /// # Errors
    /// When a context cannot be made.
    pub fn run(&self) -> Result<(), String> {
        let ShipperOptions { group, destination, .. } = self.options.clone();
        let mut pause = PAUSE_MIN;
        let mut said_down = false;
        while !self.stop.is_set() && !self.is_done() && self.are_those_before_done() {
            let (mut welcomed, mut progress) = (false, false);
            let ended = self.connect_and_ship(&mut welcomed, &mut progress);
            if progress {
                pause = PAUSE_MIN;
                self.breaks_rules.store(false, Ordering::Relaxed);
            }
            let ended = match ended {
                Ok(()) | Err(Ended::OlderFirst) => break,
                Err(Ended::Original) => {
                    self.met_an_original.store(true, Ordering::Relaxed); // for this thread
                    break;
                }
                Err(ended) => ended,
            };
            // What welcomes us and then breaks the rules, again and again, is reported once.
            if welcomed && !self.breaks_rules.load(Ordering::Relaxed) {
                said_down = false;
            }
            if let Ended::Protocol(words) = &ended {
                self.breaks_rules.store(true, Ordering::Relaxed);
                self.recorder.note_fault(FaultKind::Peer, &destination, words);
            }
            if let Ended::Refused(refuse) = &ended
                && refuse.code.is_final()
            {
                if !self.pass.is_current() {
                    return Ok(()); // it was refused because its successor is served
                }
                self.recorder.fault(&destination, &refuse.words);
                let words = format!("{destination} refuses this spool of group {group}: {}", refuse.words);
                let directory = self.options.directory.clone();
                let refused = Refused {
                    group,
                    directory,
                    words,
                };
                self.was_refused.store(true, Ordering::Relaxed); // for this thread, which ends its route
                let _ = self.on_fatal.send(refused); // the process is ending
                return Ok(());
            }
            if !said_down && !self.stop.is_set() {
                warn!("group {group}: {destination} is not reachable: {ended}");
                self.recorder
                    .sender_state(&group, &destination, SenderStatus::Suspended);
                said_down = true;
            }
            // Half to once the pause, so that many senders do not come back in step.
            if self.stop.wait(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) {
                break;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// What the next connection begins with.
    #[must_use]
    pub fn next_hello(&self) -> Hello {
        Hello {
            sender: self.options.identity.sender,
            epoch: self.options.identity.epoch,
            start_id: self.options.start_id,
            count: self.options.connections.fetch_add(1, Ordering::SeqCst) + 1,
            group: self.options.group.clone(),
        }
    }

    /// Says through `welcomed` whether the receiver took it, and through `progress` whether anything was acknowledged.
    fn connect_and_ship(&self, welcomed: &mut bool, progress: &mut bool) -> Result<(), Ended> {
        let stream = net::connect(peer::address_of(&self.options.destination)).map_err(Ended::Connect)?;
        net::prepare(&stream)?;
        // Whoever was relieved meanwhile gets no further: its successor is to be served.
        let handle = stream.try_clone()?;
        self.pass
            .act(|| self.call.begin(handle))
            .map_err(|_| NetError::Stopped)?;
        if peer::of(&self.options.destination) == Peer::Either
            && classic::ask(&stream, &self.options.group, &self.stop)? == Peer::Original
        {
            // Some originals wait for ever, and busily, on a connection that ends in order.
            let _ = net::end_by_reset(&stream, true); // it may be gone already
            self.call.end();
            return Err(Ended::Original);
        }
        let hello = self.next_hello().encode();
        net::send_frame(&stream, &FrameHeader::plain(Kind::Hello, &hello), &hello)?;
        let (mut reader, heard) = (FrameReader::new(stream.try_clone()?), stream.try_clone()?);
        let ship = self.read_welcome(&mut reader)?;
        *welcomed = true;
        if !self.breaks_rules.load(Ordering::Relaxed) {
            let (group, destination) = (&self.options.group, &self.options.destination);
            info!("group {group}: connected to {destination}");
            self.recorder.sender_state(group, destination, SenderStatus::Started);
        }
        let (said, hears) = bounded(SAID_WAITING);
        let stop = self.stop.of_others();
        let listener = std::thread::Builder::new().name("listener".into()).spawn(move || {
            listen(reader, &said, &stop);
            // A receiver that hung up may still hold its end open and read nothing: what is being sent to it would wait for that.
            let _ = heard.shutdown(Shutdown::Both); // it may be gone already
        })?;
        let stop = self.stop.clone();
        let line = LineUntil {
            stream,
            stop: move || stop.is_set(),
        };
        let mut connection = Connection::new(self, Box::new(line), ship)?;
        let ended = connection.run(&hears).map_err(|ended| first_reason(ended, &hears));
        *progress = connection.has_progressed();
        connection.shut_down(); // ends the listener as well
        drop(hears);
        let _ = listener.join();
        ended
    }

    fn read_welcome(&self, reader: &mut FrameReader) -> Result<Ship, Ended> {
        let (mut welcome, mut body) = (Welcome::default(), Vec::new());
        let began = clock::moment();
        loop {
            body.clear();
            if clock::moment().saturating_duration_since(began) > WELCOME_MAX {
                return Err(NetError::Slow(WELCOME_MAX).into());
            }
            let header = reader.read(&mut body, Patience::of_welcome(), &|| self.stop.is_set())?;
            if let Some(ship) = welcome.take(&header, &body)? {
                return Ok(ship);
            }
        }
    }
}

fn refused(body: &[u8]) -> Ended {
    match Refuse::decode(body) {
        Ok(refuse) => Ended::Refused(refuse),
        Err(error) => Ended::Protocol(error.to_string()),
    }
}

/// Why a connection ended: whoever sends learns only that it did, and whoever listens may have been told the reason.
fn first_reason(ended: Ended, hears: &Receiver<Said>) -> Ended {
    let reason = hears.try_iter().find_map(|said| match said {
        Said::Over(reason) => Some(reason),
        _ => None,
    });
    match (ended, reason) {
        (Ended::Io(_), Some(reason)) => reason,
        (ended, _) => ended,
    }
}

/// Reads what the receiver says until the connection ends.
fn listen(mut reader: FrameReader, said: &Sender<Said>, stop: &Stop) {
    let mut body = Vec::new();
    loop {
        body.clear();
        let heard = match reader.read(&mut body, Patience::of_shipping(), &|| stop.is_set()) {
            Ok(header) => understand(&header, &body).unwrap_or_else(Said::Over),
            Err(error) => Said::Over(error.into()),
        };
        let over = matches!(heard, Said::Over(_));
        if said.send(heard).is_err() || over {
            return;
        }
    }
}

/// What a frame of the receiver says, after WELCOME.
///
/// # Errors
/// When a receiver never says that.
pub fn understand(header: &FrameHeader, body: &[u8]) -> Result<Said, Ended> {
    match header.kind {
        Kind::Ack => wire::decode_ack(body)
            .map(Said::Acked)
            .map_err(|error| Ended::Protocol(error.to_string())),
        Kind::Has => Ok(Said::Has(header.stream, header.start)),
        Kind::Refuse => Err(refused(body)),
        other => Err(Ended::Protocol(format!("a receiver never sends {other:?}"))),
    }
}
