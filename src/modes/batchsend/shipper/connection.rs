//! One connection of a shipper, from WELCOME to its end.

use super::outlet::Outlet;
use super::{Ended, Said, Shipper};
use crate::formats::body::{Attach, Gap, GapReason};
use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::wire;
use crate::ids::StreamId;
use crate::limits::{PING_AFTER, SILENCE_MAX};
use crate::modes::batchsend::cursor::{Cursor, SpoolFrame};
use crate::modes::bell::Bell;
use crate::modes::stop::MOVE_EVERY;
use crate::modes::supervise::provoke;
use crate::os::clock;
use crate::os::net::{Line, NetError};
use crate::stages::ship::{Outgoing, Parcel, Ship, Verdict};
use crossbeam::channel::Receiver;
use crossbeam::select;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;
use tracing::warn;

/// What a turn of a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There may be more to do at once.
    More,
    /// There is nothing to do before the receiver says something, the spool has grown beyond so many bytes appended, or time has passed.
    Wait {
        /// What was appended to the spool when it was looked at.
        seen: u64,
    },
    /// All that was to be brought is there, or it is time to stop.
    Done,
}

/// A HAS that was asked for.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    stream: StreamId,
    /// Since when the receiver could answer.
    since: Instant,
    /// With so many loads the question leaves.
    load: u64,
}

/// One connection, after WELCOME.
pub struct Connection<S> {
    shipper: S,
    outlet: Outlet,
    ship: Ship,
    cursor: Cursor,
    parcel: Parcel,
    /// The frame at which the cursor stands and that could not be sent yet.
    pending: Option<SpoolFrame>,
    /// The HAS that is awaited.
    awaited: Option<Awaited>,
    /// When the first frame came into the parcel.
    began: Option<Instant>,
    /// The stretch of the spool that the parcel's frames of it begin in.
    stretch: Option<Stretch>,
    /// The parcel has all that begins in its stretch.
    is_full: bool,
    sent_at: Instant,
    /// Deletions of segments at the last look for streams to forget.
    deletions: Option<u64>,
    /// Streams that were taken up when the cursor last began at the start.
    rewinds: u64,
    /// The same of the legs before this one.
    rewinds_before: u64,
    /// Something was acknowledged.
    progress: bool,
}

impl<S: Deref<Target = Shipper>> Connection<S> {
    /// A connection that was welcomed.
    ///
    /// # Errors
    /// When older spools have something to bring first, or there is no memory to compress with.
    pub fn new(shipper: S, line: Box<dyn Line>, ship: Ship) -> Result<Self, Ended> {
        // Before the cursor: what is taken up after this is noticed.
        let (rewinds, rewinds_before) = (shipper.index.rewinds(), shipper.rewinds_before());
        if !shipper.are_those_before_done() {
            return Err(Ended::OlderFirst);
        }
        let cursor = cursor_of(&shipper)?;
        let options = &shipper.options;
        let outlet = Outlet::new(line.into(), options.compression, &options.pressed)?;
        Ok(Self {
            shipper,
            outlet,
            ship,
            rewinds,
            rewinds_before,
            cursor,
            parcel: Parcel::default(),
            pending: None,
            awaited: None,
            began: None,
            stretch: None,
            is_full: false,
            sent_at: clock::moment(),
            deletions: None,
            progress: false,
        })
    }

    /// Whether the receiver has acknowledged anything.
    #[must_use]
    pub fn has_progressed(&self) -> bool {
        self.progress
    }

    /// Ends the connection, for whoever else reads from it as well.
    pub fn shut_down(&self) {
        self.outlet.hang_up();
    }

    /// The receiver has less of a stream than it acknowledged: its archive was lost, or is an older one. What the spool still has is sent again, and a GAP
    /// stands for the rest.
    fn believe(&self, stream: StreamId, position: u64) {
        let destination = &self.shipper.options.destination;
        let index = &self.shipper.index;
        // What an earlier connection was told is older than what a later one was.
        let retracted = self.shipper.pass.act(|| index.retract(destination, stream, position));
        if let Ok(Some(acked)) = retracted {
            let words = format!(
                "{destination} has stream {stream} up to position {position}, though it acknowledged it up to {acked}: its archive was lost, \
                 or restored from an older one"
            );
            warn!("group {}: {words}", self.shipper.options.group);
            self.shipper.recorder.fault(destination, &words);
        }
    }

    /// Ships until the connection fails or it is time to stop.
    pub(super) fn run(&mut self, hears: &Receiver<Said>) -> Result<(), Ended> {
        self.begin();
        let over = Bell::default();
        let rope = over.clone();
        let _waking = self.shipper.stop.on_set(move || rope.ring());
        loop {
            while let Ok(said) = hears.try_recv() {
                self.hear(said)?;
            }
            match self.turn()? {
                Turn::More => {}
                Turn::Wait { seen } => self.wait(hears, &over, seen)?,
                Turn::Done => return Ok(self.outlet.finish()?),
            }
        }
    }

    /// Takes what WELCOME said for what the receiver has.
    pub fn begin(&mut self) {
        for stream in self.ship.streams().collect::<Vec<_>>() {
            self.believe(stream, self.ship.has(stream));
        }
    }

    /// Where it stands, for reports.
    #[must_use]
    pub fn state_in_words(&self) -> String {
        format!(
            "segment {}, {} bytes in flight, {} in the parcel, awaiting {:?}",
            self.cursor.number(),
            self.ship.in_flight(),
            self.parcel.raw_bytes(),
            self.awaited.map(|awaited| awaited.stream)
        )
    }

    /// One turn: sends what is due, and waits for nothing but the line.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn turn(&mut self) -> Result<Turn, Ended> {
        if self.shipper.stop.is_set() {
            return Ok(Turn::Done);
        }
        if self.cursor.let_go() {
            self.pending = None;
        }
        self.rewind_if_asked()?;
        self.forget()?;
        if self.shipper.is_done() {
            return Ok(Turn::Done);
        }
        let seen = self.shipper.index.appended();
        let more = self.fill()?;
        let has_all = !more && self.is_open() && self.shipper.index.is_at_rest(seen);
        let due = self
            .began
            .is_some_and(|began| has_all || clock::since(began) >= self.shipper.options.batch_time);
        if !self.parcel.is_empty()
            && (due || self.is_full || self.parcel.raw_bytes() >= self.shipper.options.batch_bytes)
        {
            self.send_parcel()?;
        }
        if clock::since(self.sent_at) >= PING_AFTER {
            self.put(FrameHeader::plain(Kind::Ping, &[]), Vec::new())?;
        }
        Ok(if more { Turn::More } else { Turn::Wait { seen } })
    }

    /// Whether more may be sent before the receiver says something.
    fn is_open(&self) -> bool {
        self.awaited.is_none() && self.ship.has_room()
    }

    /// Waits for the receiver, for the spool to grow, until the parcel is due, or `over` says that it is time to stop.
    fn wait(&mut self, hears: &Receiver<Said>, over: &Bell, seen: u64) -> Result<(), Ended> {
        if let Some(awaited) = &mut self.awaited
            && !self.outlet.has_sent(awaited.load)
        {
            awaited.since = clock::moment(); // the question waits behind what a slow line takes first
        }
        let options = &self.shipper.options;
        let mut timeout = PING_AFTER.saturating_sub(clock::since(self.sent_at)).min(MOVE_EVERY);
        if let Some(began) = self.began {
            timeout = timeout.min(options.batch_time.saturating_sub(clock::since(began)));
        }
        if self.is_open() {
            let wanted = seen + options.batch_bytes.saturating_sub(self.parcel.raw_bytes()).max(1) as u64;
            // With an empty parcel the first byte counts, for it starts the clock; after that only a whole batch does.
            let wanted = if self.parcel.is_empty() { seen + 1 } else { wanted };
            self.shipper.watch.arm(wanted);
            let index = &self.shipper.index;
            if index.appended() >= wanted || (!self.parcel.is_empty() && index.is_at_rest(seen)) {
                return Ok(());
            }
        }
        select! {
            recv(hears) -> said => match said {
                Ok(said) => self.hear(said),
                Err(_) => Err(NetError::Closed.into()),
            },
            recv(self.shipper.bell) -> _ => Ok(()),
            recv(over.rung()) -> _ => Ok(()),
            default(timeout) => self.check_silence(),
        }
    }

    fn check_silence(&self) -> Result<(), Ended> {
        match self.awaited {
            Some(awaited) if clock::since(awaited.since) > SILENCE_MAX => Err(NetError::Silent(SILENCE_MAX).into()),
            _ => Ok(()),
        }
    }

    /// Takes in what the receiver says.
    ///
    /// # Errors
    /// When it says that the connection is over.
    pub fn hear(&mut self, said: Said) -> Result<(), Ended> {
        match said {
            Said::Acked(acked) => {
                let in_flight = self.ship.in_flight();
                let counts = |(stream, position)| Some((stream, self.ship.on_ack(stream, position)?));
                let acked: Vec<_> = acked.into_iter().filter_map(counts).collect();
                self.progress |= !acked.is_empty();
                if let Some(awaited) = &mut self.awaited
                    && self.ship.in_flight() < in_flight
                {
                    awaited.since = clock::moment(); // the question stands behind what is in flight, which only gets less meanwhile
                }
                let (index, options) = (&self.shipper.index, &self.shipper.options);
                self.shipper
                    .pass
                    .act(|| index.acknowledge(&options.destination, &acked))
                    .map_err(|_| NetError::Stopped)?;
                index.delete_delivered();
            }
            Said::Has(stream, position) => {
                if self.awaited.is_none_or(|awaited| awaited.stream != stream) {
                    let words = format!("it says what it has of stream {stream}, which nobody asked for");
                    return Err(Ended::Protocol(words));
                }
                self.awaited = None;
                self.ship.on_has(stream, position);
                self.believe(stream, position);
            }
            Said::Over(ended) => return Err(ended),
        }
        Ok(())
    }

    /// Tells the receiver which of its streams have nothing left here.
    fn forget(&mut self) -> Result<(), Ended> {
        let deletions = self.shipper.index.durable_deletions();
        if self.deletions == Some(deletions) || !self.shipper.index.knows_rings() {
            return Ok(());
        }
        self.deletions = Some(deletions);
        let forgotten = self.shipper.index.forgettable(self.ship.streams());
        for streams in forgotten.chunks(wire::PER_FRAME) {
            let body = wire::encode_forget(streams);
            self.put(FrameHeader::plain(Kind::Forget, &body), body)?;
            for stream in streams {
                self.ship.forgot(*stream);
            }
        }
        Ok(())
    }

    /// Puts frames into the parcel; says whether there may be more at once.
    fn fill(&mut self) -> Result<bool, Ended> {
        while !self.is_full && self.parcel.raw_bytes() < self.shipper.options.batch_bytes {
            if !self.is_open() {
                return Ok(false);
            }
            let next = match self.pending.take() {
                Some(frame) => Some(frame),
                None => {
                    let ship = &self.ship;
                    self.cursor.next_frame(&|stream| ship.has(stream))?
                }
            };
            let Some(frame) = next else { return Ok(false) };
            self.take(frame)?;
        }
        Ok(true)
    }

    fn take(&mut self, frame: SpoolFrame) -> Result<(), Ended> {
        let header = *frame.header();
        match self.ship.judge(&header) {
            Verdict::Skip => self.cursor.passed(&frame)?,
            // What is missing may just have been taken up, further up in the spool.
            Verdict::Ask | Verdict::Hole { .. } if self.rewind_if_asked()? => {}
            Verdict::Ask => {
                self.send_parcel()?;
                let (attach, body) = self.attach(header.stream, self.first_held(&header));
                self.put(attach, body)?;
                self.awaited = Some(Awaited {
                    stream: header.stream,
                    since: clock::moment(),
                    load: self.outlet.brought(),
                });
                self.pending = Some(frame);
            }
            Verdict::Hole { from } => {
                self.add_gap(header.stream, from, header.start)?;
                self.pending = Some(frame);
            }
            Verdict::Send { .. } if header.kind == Kind::Gap && header.start < self.ship.has(header.stream) => {
                self.add_rest_of_gap(&frame)?;
                self.cursor.passed(&frame)?;
            }
            Verdict::Send { attach } => {
                let stretch = Stretch::of(&self.cursor, &frame, self.shipper.options.batch_bytes);
                if !self.parcel.takes(&header) || self.stretch.is_some_and(|other| other != stretch) {
                    self.send_parcel()?;
                }
                if attach {
                    let (attach, body) = self.attach(header.stream, header.start);
                    self.add(&attach, &body)?;
                    self.ship.attached(header.stream);
                }
                let (mut sound, mut gap) = (true, None);
                let cursor = &mut self.cursor;
                self.parcel
                    .add(&header, |raw| {
                        let from = raw.len();
                        sound = cursor.raw(&frame, raw)?;
                        if header.kind == Kind::Gap {
                            gap = Gap::decode(&raw[from..]).ok();
                        }
                        if sound {
                            Ok(())
                        } else {
                            Err(Ended::Protocol("damaged".to_owned()))
                        }
                    })
                    .or_else(|error| if sound { Err(error) } else { Ok(()) })?;
                if sound {
                    self.began.get_or_insert_with(clock::moment);
                    if gap.is_some_and(|gap| gap.reason == GapReason::SpoolDamaged) {
                        self.report_missing(header.stream, self.ship.has(header.stream), header.end);
                    }
                    self.ship.sent(&header);
                    self.cursor.passed(&frame)?;
                    self.stretch = Some(stretch);
                    self.is_full = stretch.ends_in(&frame);
                } else {
                    self.add_gap(
                        header.stream,
                        header.start.max(self.ship.has(header.stream)),
                        header.end,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// From where the receiver is to hold a stream that it does not know: from the beginning if it once had some of it and lost that. A GAP stands then for
    /// what lies before `header`.
    fn first_held(&self, header: &FrameHeader) -> u64 {
        let destination = &self.shipper.options.destination;
        if self.shipper.index.has_acknowledged(destination, header.stream) {
            0
        } else {
            header.start
        }
    }

    /// Goes back to the start of the spool when a stream was taken up that had been left. What was sent is passed over.
    fn rewind_if_asked(&mut self) -> Result<bool, Ended> {
        if self.shipper.rewinds_before() != self.rewinds_before {
            return Err(Ended::OlderFirst);
        }
        let rewinds = self.shipper.index.rewinds();
        let is_asked = rewinds != self.rewinds;
        if is_asked {
            self.rewinds = rewinds;
            self.pending = None;
            self.cursor = cursor_of(&self.shipper)?;
        }
        Ok(is_asked)
    }

    fn attach(&self, stream: StreamId, position: u64) -> (FrameHeader, Vec<u8>) {
        let known = self.cursor.table().streams.get(&stream);
        let attach = Attach {
            producer: known.map_or_else(String::new, |known| known.producer.to_string()),
            created: known.map_or(0, |known| known.created),
            boot: known.map_or_else(uuid::Uuid::nil, |known| known.boot),
            sender: self.shipper.options.identity.sender,
            definitions: known
                .map(|known| known.definitions.as_ref().clone())
                .unwrap_or_default(),
        };
        let body = attach.encode();
        (
            FrameHeader::plain(Kind::Attach, &body).of_stream(stream, position, position),
            body,
        )
    }

    /// Nobody has `from..to` of the stream any more: the receiver is told, and so is the operator.
    fn add_gap(&mut self, stream: StreamId, from: u64, to: u64) -> Result<(), Ended> {
        self.report_missing(stream, from, to);
        let body = Gap::because(GapReason::SpoolDamaged).encode();
        let mut header = FrameHeader::plain(Kind::Gap, &body).of_stream(stream, from, to);
        header.time = clock::now_ns();
        let (attach, attach_body) = self.attach(stream, from);
        self.add(&attach, &attach_body)?;
        self.add(&header, &body)?;
        self.ship.sent(&header);
        Ok(())
    }

    /// Of a GAP the receiver has the first positions, from before their records were dropped. How much is in the rest nobody counted.
    fn add_rest_of_gap(&mut self, frame: &SpoolFrame) -> Result<(), Ended> {
        let FrameHeader { stream, end, .. } = *frame.header();
        let mut raw = Vec::new();
        let sound = self.cursor.raw(frame, &mut raw)?;
        let reason = match Gap::decode(&raw) {
            Ok(gap) if sound => gap.reason,
            _ => GapReason::SpoolDamaged,
        };
        if reason == GapReason::SpoolDamaged {
            self.report_missing(stream, self.ship.has(stream), end);
        }
        let body = Gap::because(reason).encode();
        let mut header = FrameHeader::plain(Kind::Gap, &body).of_stream(stream, self.ship.has(stream), end);
        header.time = frame.header().time;
        let (attach, attach_body) = self.attach(stream, header.start);
        self.add(&attach, &attach_body)?;
        self.add(&header, &body)?;
        self.ship.sent(&header);
        Ok(())
    }

    fn report_missing(&self, stream: StreamId, from: u64, to: u64) {
        let words = format!(
            "positions {from} to {to} are in no spool any more and missing at {}",
            self.shipper.options.destination
        );
        warn!("stream {stream}: {words}");
        self.shipper.recorder.loss(&format!("stream {stream}"), &words);
    }

    fn add(&mut self, header: &FrameHeader, body: &[u8]) -> Result<(), Ended> {
        self.began.get_or_insert_with(clock::moment);
        self.parcel.add(header, |raw| {
            raw.extend_from_slice(body);
            Ok(())
        })
    }

    fn send_parcel(&mut self) -> Result<(), Ended> {
        provoke::here();
        let frames = self.parcel.take();
        (self.began, self.stretch, self.is_full) = (None, None, false);
        self.hand_over(|outlet| outlet.put_compressed(frames))
    }

    /// Sends one frame as it is, behind what was sent before.
    fn put(&mut self, header: FrameHeader, raw: Vec<u8>) -> Result<(), Ended> {
        self.hand_over(|outlet| outlet.put_plain(vec![Outgoing { header, raw }]))
    }

    fn hand_over(&mut self, put: impl FnOnce(&mut Outlet) -> io::Result<()>) -> Result<(), Ended> {
        put(&mut self.outlet)?;
        while let Some(sent) = self.outlet.sent() {
            self.parcel.reuse(sent);
        }
        self.sent_at = clock::moment();
        Ok(())
    }
}

/// A stretch of the spool, as long as a batch. A parcel has frames of one stretch alone, and leaves when it has the last of them: so shippers that came
/// from different places, or sent a part of a stretch because time had passed, soon cut their parcels alike, and one compresses for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    segment: u64,
    number: u64,
    bytes: u64,
}

impl Stretch {
    fn of(cursor: &Cursor, frame: &SpoolFrame, batch_bytes: usize) -> Self {
        let bytes = (batch_bytes as u64).max(1);
        Self {
            segment: cursor.number(),
            number: frame.found.offset / bytes,
            bytes,
        }
    }

    /// Whether the next frame begins behind it.
    fn ends_in(self, frame: &SpoolFrame) -> bool {
        frame.found.end() / self.bytes != self.number
    }
}

fn cursor_of(shipper: &Shipper) -> Result<Cursor, Ended> {
    let up_to = shipper.options.up_to.unwrap_or(u64::MAX);
    let destination = &shipper.options.destination;
    let (index, recorder) = (Arc::clone(&shipper.index), shipper.recorder.clone());
    Ok(Cursor::at_start(index, destination, up_to, recorder)?)
}
