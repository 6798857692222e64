//! One spool on its way to an original receiver: walks its frames, fills the lanes of its streams, and delivers what is due.

use super::Went;
use super::lane::{Lane, Segment};
use super::link::{Broken, Link};
use super::note::Note;
use crate::exit::chain;
use crate::fence::Pass;
use crate::formats::body::{Gap, GapReason};
use crate::formats::frame::Kind;
use crate::ids::StreamId;
use crate::limits::CLASSIC_LINKS_MAX;
use crate::modes::batchsend::cursor::{Cursor, SpoolFrame};
use crate::modes::batchsend::shipper::ShipperOptions;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::{Post, provoke};
use crate::os::clock;
use crate::os::net::NetError;
use crate::stages::spool::{SpoolIndex, Watch};
use crossbeam::channel::Receiver;
use hogstat::{FaultKind, SenderStatus};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// One spool, and where its shipping stands.
pub(super) struct Leg {
    options: ShipperOptions,
    index: Arc<SpoolIndex>,
    recorder: Recorder,
    stop: Stop,
    pass: Pass,
    watch: Arc<Watch>,
    bell: Receiver<()>,
    note: Note,
    cursor: Option<Cursor>,
    /// Streams that were taken up when the cursor last began at the start.
    rewinds: u64,
    lanes: BTreeMap<StreamId, Lane>,
    /// Segments in the order in which they go, and whether the receiver answered for the first.
    ready: VecDeque<Segment>,
    is_answered: bool,
    /// Connections, the one that was used last at the end.
    links: Vec<(StreamId, Link)>,
    /// When the first frame came that is not sent.
    began: Option<Instant>,
    /// The streams that frames came of since, in their order.
    order: Vec<StreamId>,
    /// What was appended to the spool when it was read last.
    seen: u64,
    /// Deletions of segments at the last look for streams to forget.
    deletions: u64,
    /// What was said in words; the rest is only counted.
    said: HashSet<String>,
    pause: Duration,
    /// The receiver was said to be away.
    is_down: bool,
    is_up: bool,
}

impl Leg {
    /// The spool, as far as it is known to be with the receiver.
    pub(super) fn open(
        options: &ShipperOptions,
        index: &Arc<SpoolIndex>,
        recorder: &Recorder,
        post: &Post,
    ) -> Result<Self, String> {
        let destination = &options.destination;
        let generation = post.pass.generation();
        let opened = Note::open(&options.directory, destination, generation).map_err(|error| chain(&error))?;
        let (note, damages) = opened;
        for damage in damages {
            let path = damage.path.display().to_string();
            let words = format!(
                "{}: what {destination} had answered for may be sent again",
                damage.words
            );
            warn!("{path}: {words}");
            recorder.fault(&path, &words);
        }
        let (watch, bell) = index.watch();
        let leg = Self {
            options: options.clone(),
            index: Arc::clone(index),
            recorder: recorder.clone(),
            stop: post.stop.clone(),
            pass: post.pass.clone(),
            watch,
            bell,
            note,
            cursor: None,
            rewinds: 0,
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            is_answered: false,
            links: Vec::new(),
            began: None,
            order: Vec::new(),
            seen: 0,
            deletions: 0,
            said: HashSet::new(),
            pause: PAUSE_MIN,
            is_down: false,
            is_up: false,
        };
        let answered: Vec<_> = leg
            .note
            .streams()
            .map(|(stream, known)| (stream, known.answered))
            .collect();
        leg.acknowledge(&answered);
        Ok(leg)
    }

    /// Takes over what `earlier`, an older spool of the group, brought.
    pub(super) fn know(&mut self, earlier: &Self) {
        for (stream, progress) in earlier.note.streams() {
            if self
                .note
                .progress(stream)
                .is_none_or(|known| known.answered < progress.answered)
            {
                self.note.pass(stream, progress.answered);
                self.acknowledge(&[(stream, progress.answered)]);
            }
        }
    }

    /// One turn: sends what is due, or waits until something may be, `look` at most. After a failure it waits a while. Nothing more is to be done here once
    /// the receiver speaks our protocol.
    pub(super) fn go_on(&mut self, look: Duration) -> Went {
        match self.turn() {
            Ok(true) => {}
            Ok(false) => self.wait(look),
            Err(Broken::SpeaksOurs) => return Went::SpeaksOurs,
            Err(broken) => self.fail(&broken),
        }
        Went::Over
    }

    fn fail(&mut self, broken: &Broken) {
        if self.stop.is_set() {
            return;
        }
        let (group, destination) = (&self.options.group, &self.options.destination);
        // It is read from its start again, and lanes know what they have. Nothing holds a segment open meanwhile, whose room may be wanted.
        self.cursor = None;
        if let Broken::Answer(_) = broken {
            self.recorder
                .note_fault(FaultKind::Peer, destination, &broken.to_string());
        }
        if !self.is_down {
            warn!("group {group}: {destination} does not take what it is sent: {broken}");
            self.recorder.sender_state(group, destination, SenderStatus::Suspended);
            (self.is_down, self.is_up) = (true, false);
        }
        // Half to once the pause, so that many senders do not come back in step.
        let _ = self.stop.wait(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn wait(&self, look: Duration) {
        self.watch.arm(self.seen + 1);
        if self.index.appended() > self.seen {
            return;
        }
        let due = self
            .began
            .map(|began| self.options.batch_time.saturating_sub(clock::since(began)));
        let _ = self.bell.recv_timeout(due.map_or(look, |due| due.min(look))); // the time is up
    }

    /// Says whether there may be more to do at once.
    fn turn(&mut self) -> Result<bool, Broken> {
        while let Some(segment) = self.ready.pop_front() {
            self.deliver_or_keep(segment)?;
            if self.stop.is_set() {
                return Ok(false);
            }
        }
        self.forget();
        self.seen = self.index.appended();
        let is_at_end = !self.fill()?;
        let is_full = self.waiting_bytes() >= self.options.batch_bytes;
        let is_due = self
            .began
            .is_some_and(|began| clock::since(began) >= self.options.batch_time);
        if is_full || is_due {
            self.seal(is_at_end);
        }
        Ok(!self.ready.is_empty() || !is_at_end)
    }

    /// Makes segments of what waits, in the order in which it came. What was on its way before is not whole before all of it was read; at the end of the
    /// spool (`whatever`) there is no more of it.
    fn seal(&mut self, whatever: bool) {
        self.began = None;
        for stream in std::mem::take(&mut self.order) {
            let Some(lane) = self.lanes.get_mut(&stream) else {
                continue;
            };
            lane.seal(whatever);
            self.ready.extend(lane.take_sealed());
            if lane.is_in_doubt() {
                self.order.push(stream);
                self.began.get_or_insert_with(clock::moment);
            }
        }
    }

    fn waiting_bytes(&self) -> usize {
        self.lanes.values().map(Lane::waiting_bytes).sum()
    }

    /// Reads frames until there are enough, or no more: false then.
    fn fill(&mut self) -> Result<bool, Broken> {
        while self.ready.is_empty() && (self.waiting_bytes() < self.options.batch_bytes || self.is_in_doubt()) {
            if self.stop.is_set() {
                return Ok(true);
            }
            self.rewind_if_asked()?;
            let Some(cursor) = &mut self.cursor else { continue };
            cursor.let_go();
            let (lanes, note) = (&self.lanes, &self.note);
            let has = |stream: StreamId| match lanes.get(&stream) {
                Some(lane) => lane.taken(),
                None => note.progress(stream).map_or(0, |known| known.answered),
            };
            let Some(frame) = cursor.next_frame(&has)? else {
                return Ok(false);
            };
            if self.index.rewinds() != self.rewinds {
                continue; // what is missing in front of it may just have been taken up
            }
            if frame.header().end > has(frame.header().stream) {
                self.take(&frame)?;
            }
            if let Some(cursor) = &mut self.cursor {
                cursor.passed(&frame)?;
            }
        }
        Ok(true)
    }

    /// Whether a stream of which something may have been sent waits for the rest of that.
    fn is_in_doubt(&self) -> bool {
        self.lanes.values().any(Lane::is_in_doubt)
    }

    fn rewind_if_asked(&mut self) -> Result<(), Broken> {
        let rewinds = self.index.rewinds();
        if self.cursor.is_none() || rewinds != self.rewinds {
            self.rewinds = rewinds;
            let up_to = self.options.up_to.unwrap_or(u64::MAX);
            let (index, recorder) = (Arc::clone(&self.index), self.recorder.clone());
            self.cursor = Some(Cursor::at_start(index, &self.options.destination, up_to, recorder)?);
        }
        Ok(())
    }

    /// Takes a frame into the lane of its stream.
    fn take(&mut self, frame: &SpoolFrame) -> Result<(), Broken> {
        let header = *frame.header();
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        let mut raw = Vec::new();
        let is_sound = cursor.raw(frame, &mut raw)?;
        let known = cursor.table().streams.get(&header.stream);
        let definitions = known.map(|known| Arc::clone(&known.definitions)).unwrap_or_default();
        let progress = self.note.progress(header.stream);
        let lane = self.lanes.entry(header.stream).or_insert_with(|| {
            let start = progress.map_or(header.start, |known| known.answered);
            let until = progress.map(|known| known.in_flight).filter(|until| *until > start);
            Lane::new(
                header.stream,
                self.options.batch_bytes,
                start,
                until,
                definitions.iter(),
            )
        });
        let mut missing = None;
        if header.start > lane.taken() {
            missing = Some((lane.taken(), header.start));
            lane.skip(header.start);
        }
        if lane.was_interrupted() {
            lane.learn(definitions.iter());
        }
        match header.kind {
            Kind::Data if is_sound => lane.data(&header, &raw),
            Kind::End => lane.finish(header.end),
            Kind::Gap => {
                let is_reported = Gap::decode(&raw).is_ok_and(|gap| gap.reason != GapReason::SpoolDamaged);
                missing = missing.or((!is_reported).then_some((header.start, header.end)));
                lane.skip(header.end);
            }
            _ => {
                missing = Some((header.start, header.end));
                lane.skip(header.end);
            }
        }
        self.ready.extend(lane.take_sealed());
        if !self.order.contains(&header.stream) {
            self.order.push(header.stream);
        }
        for (omission, records) in lane.take_omitted() {
            let (object, words) = (format!("stream {}", header.stream), omission.words());
            self.recorder.note_faults(FaultKind::Loss, &object, &words, records);
            if self.said.len() < 10_000 && self.said.insert(format!("{object}: {words}")) {
                warn!("group {}: {object}: {words}", self.options.group);
            }
        }
        if let Some((from, to)) = missing {
            let destination = &self.options.destination;
            let words = format!("positions {from} to {to} are in no spool any more and missing at {destination}");
            warn!("stream {}: {words}", header.stream);
            self.recorder.loss(&format!("stream {}", header.stream), &words);
        }
        self.began.get_or_insert_with(clock::moment);
        Ok(())
    }

    fn deliver_or_keep(&mut self, segment: Segment) -> Result<(), Broken> {
        let delivered = self.deliver(&segment);
        if delivered.is_err() {
            self.ready.push_front(segment);
        } else {
            self.is_answered = false;
        }
        delivered
    }

    fn deliver(&mut self, segment: &Segment) -> Result<(), Broken> {
        let Segment { stream, start, end, .. } = *segment;
        if !segment.raw.is_empty() && !self.is_answered {
            provoke::here();
            let link = self.link_for(segment)?;
            // From here on the receiver may have it.
            self.note.send(stream, start, end)?;
            if !self.pass.is_current() {
                return Err(NetError::Stopped.into());
            }
            let cursor = &mut self.cursor;
            link.deliver(&segment.raw, &self.stop, || {
                // What it holds open may have been deleted, and its room be wanted.
                cursor.as_mut().map(Cursor::let_go);
            })?;
            self.links.push((stream, link));
            self.is_answered = true;
            self.tell_that_it_takes();
        }
        // Also where there was nothing to send: what is deleted for that must not be missed later.
        self.note.answered(stream, end)?;
        self.acknowledge(&[(stream, end)]);
        self.index.delete_delivered();
        if segment.is_last {
            self.lanes.remove(&stream);
            self.links.retain(|(of, _)| *of != stream);
        }
        Ok(())
    }

    /// A connection for the segment: that of its stream, if it began with all that is needed, or a new one.
    fn link_for(&mut self, segment: &Segment) -> Result<Link, Broken> {
        let place = self.links.iter().position(|(stream, _)| *stream == segment.stream);
        if let Some(place) = place {
            let (_, link) = self.links.remove(place);
            if link.is_good_for(&segment.init) {
                return Ok(link);
            }
        }
        if self.links.len() >= CLASSIC_LINKS_MAX {
            self.links.remove(0);
        }
        let ShipperOptions { group, destination, .. } = &self.options;
        Link::connect(destination, group, &segment.init, &self.stop)
    }

    /// An original that accepts connections and nothing else is no receiver yet.
    fn tell_that_it_takes(&mut self) {
        self.pause = PAUSE_MIN;
        if !self.is_up {
            let ShipperOptions { group, destination, .. } = &self.options;
            info!("group {group}: {destination} takes what it is sent");
            self.recorder.sender_state(group, destination, SenderStatus::Started);
            (self.is_down, self.is_up) = (false, true);
        }
    }

    fn acknowledge(&self, answered: &[(StreamId, u64)]) {
        // Whoever was relieved says nothing more; its successor has read what it noted.
        let _ = self
            .pass
            .act(|| self.index.acknowledge(&self.options.destination, answered));
    }

    /// Forgets streams that are nowhere any more.
    fn forget(&mut self) {
        let deletions = self.index.durable_deletions();
        if deletions == self.deletions || !self.index.knows_rings() {
            return;
        }
        self.deletions = deletions;
        let forgotten = self.index.forgettable(self.note.streams().map(|(stream, _)| stream));
        for stream in &forgotten {
            self.lanes.remove(stream);
            self.links.retain(|(of, _)| of != stream);
        }
        self.note.forget(&forgotten);
    }
}
