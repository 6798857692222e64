//! A group's archive, shared by its connections and the thread that syncs it.
//!
//! Everything that is appended is appended under one lock, by a connection that is still the one its sender is served by: so WELCOME to a new
//! connection follows the last append of the old one. The syncing thread takes what is pending, syncs outside of the lock, and then lets every
//! connection acknowledge: one sync for all of them.

mod classic;

use crate::exit::chain;
use crate::fence::Pass;
use crate::formats::body::Attach;
use crate::formats::frame::FrameHeader;
use crate::formats::table::{ApplyError, StreamState};
use crate::formats::wire::{Held, Hello, Refuse, RefuseCode};
use crate::ids::{OwnerId, StreamId};
use crate::modes::batchrecv::acks::AckBox;
use crate::modes::hobbes_files::Durability;
use crate::modes::rarely::Rarely;
use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use crate::modes::supervise::{Post, provoke};
use crate::os::clock;
use crate::os::disk::DiskError;
use crate::os::net::Line;
use crate::seglog::batch::FrameBatch;
use crate::seglog::writer::AppendError;
use crate::stages::archive::{Archive, ArchiveError, ArchivePattern, Pending};
use crate::stages::receive::{self, LiveConnection};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{error, info, warn};

/// So many FORGETs of streams that did not end are worth a line each, in a minute.
const FORGOTTEN_MOST: u64 = 100;
/// How often the date is looked at, and a stop is noticed.
const LOOK: Duration = Duration::from_millis(200);

/// A connection as its group knows it.
struct Served {
    live: LiveConnection,
    sender: OwnerId,
    acks: Arc<AckBox>,
    line: Box<dyn Line>,
}

/// The archive of one group, in use.
pub struct GroupStore {
    name: String,
    state: Mutex<State>,
    work: Condvar,
    recorder: Recorder,
    rarely: Rarely,
}

struct State {
    archive: Archive,
    /// By token.
    served: HashMap<u64, Served>,
    /// The connections of the original's senders, by the stream that each is stored as.
    classic: HashMap<StreamId, u64>,
    /// The directory of the new date could not be begun, which was said.
    date_failed: bool,
    finished: bool,
}

/// What a turn of the thread that syncs finds.
pub enum SyncTurn {
    /// This is to be synced; [`GroupStore::end_sync`] hears how that went.
    Due(Pending),
    /// Nothing waits.
    Nothing,
    /// An earlier sync had failed, and the archive went back.
    WentBack,
}

/// Why a connection may not append.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another connection of its sender took over, or the archive fell back.
    #[error("this connection is over: a newer one of its sender is served, or the archive had to go back")]
    Fenced,
    /// The frame does not follow.
    #[error(transparent)]
    Unfit(#[from] ApplyError),
    /// The disk refused.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Durability for GroupStore {
    fn appended(&self) -> u64 {
        self.lock().archive.promises().0
    }

    fn synced(&self) -> u64 {
        self.lock().archive.promises().1
    }

    /// Its own thread syncs what is appended at once.
    fn sync(&self, _pass: &Pass) {}
}

impl GroupStore {
    /// Opens the archive of `name`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(pattern: &ArchivePattern, name: &str, recorder: Recorder) -> Result<Self, ArchiveError> {
        let (archive, damages) = Archive::open(pattern, name, &clock::local_date())?;
        for damage in damages {
            warn!("archive of group {name}: {damage}");
            recorder.loss(&format!("archive of group {name}"), &damage);
        }
        let state = State {
            archive,
            served: HashMap::new(),
            classic: HashMap::new(),
            date_failed: false,
            finished: false,
        };
        let group = Self {
            name: name.to_owned(),
            state: Mutex::new(state),
            work: Condvar::new(),
            recorder,
            rarely: Rarely::default(),
        };
        group.end_classic(&mut group.lock()); // those of an earlier process
        Ok(group)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The archive's table and log change together or not at all, so a panic elsewhere leaves them sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to serve a connection, the only one of its sender from now on, and says what is held of that sender's streams. `line` is hung up when that is over.
    ///
    /// # Errors
    /// What to answer instead of WELCOME.
    pub fn welcome(
        &self,
        hello: &Hello,
        token: u64,
        acks: &Arc<AckBox>,
        line: Box<dyn Line>,
    ) -> Result<Vec<Held>, Refuse> {
        let cannot = |words: String| Refuse {
            code: RefuseCode::Storage,
            words,
        };
        let mut state = self.lock();
        if state.finished {
            return Err(cannot("the receiver is ending".to_owned()));
        }
        let known = state.archive.table().senders.get(&hello.sender).copied();
        let old = state
            .served
            .values()
            .find(|served| served.sender == hello.sender)
            .map(|served| served.live);
        receive::judge_hello(hello, known.as_ref(), old.as_ref())?;
        if let Some(old) = old
            && let Some(fenced) = state.served.remove(&old.token)
        {
            fenced.end();
        }
        let held = self
            .noting_failure(state.archive.welcome(hello, clock::now_ns()))
            .map_err(|error| cannot(format!("cannot store who the sender is: {}", chain(&error))))?;
        let live = LiveConnection {
            epoch: hello.epoch,
            count: hello.count,
            token,
        };
        state.served.insert(
            token,
            Served {
                live,
                sender: hello.sender,
                acks: Arc::clone(acks),
                line,
            },
        );
        // WELCOME says what was appended; an acknowledgement of it follows the next sync.
        for held in &held {
            state.archive.promise(token, held.stream);
        }
        let active = state.archive.active().cloned();
        drop(state);
        // Who the sender is must be on disk before it is welcomed; others go on appending meanwhile.
        let synced = active.map_or(Ok(0), |active| active.sync());
        self.work.notify_one();
        synced.map_err(|error| cannot(format!("cannot store who the sender is: {}", chain(&error))))?;
        Ok(held)
    }

    /// Passes `result` on. After a failed sync the syncing thread must take the archive back, so it is woken.
    fn noting_failure<T>(&self, result: Result<T, AppendError>) -> Result<T, AppendError> {
        if result.is_err() {
            self.work.notify_one();
        }
        result
    }

    /// The connection is over.
    pub fn leave(&self, token: u64) {
        if let Some(served) = self.lock().served.remove(&token) {
            served.end();
        }
    }

    fn serving(&self, token: u64) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        if state.served.contains_key(&token) && !state.finished {
            Ok(state)
        } else {
            Err(StoreError::Fenced)
        }
    }

    /// Stores ATTACH; says up to where the stream is held.
    ///
    /// # Errors
    /// When the connection is over or the disk refuses.
    pub fn attach(&self, token: u64, header: &FrameHeader, attach: &Attach) -> Result<u64, StoreError> {
        let mut state = self.serving(token)?;
        let position = self.noting_failure(state.archive.attach(header, attach))?;
        // Perhaps all of it is here already, and nothing will follow.
        state.archive.promise(token, header.stream);
        self.work.notify_one();
        Ok(position)
    }

    /// Stores the one frame in `batch` if it carries its stream on, and promises an acknowledgement. When only its end is new, `rest` is asked for a
    /// batch of that, from a position on.
    ///
    /// # Errors
    /// When the connection is over, the frame does not follow, or the disk refuses.
    pub fn store(
        &self,
        token: u64,
        header: &FrameHeader,
        batch: &mut FrameBatch,
        rest: &mut dyn FnMut(&FrameBatch, u64) -> Result<FrameBatch, ApplyError>,
    ) -> Result<(), StoreError> {
        let mut state = self.serving(token)?;
        match receive::judge_frame(state.archive.judge(header))? {
            receive::Verdict::Drop => {}
            receive::Verdict::Store => self.noting_failure(state.archive.append(batch))?,
            receive::Verdict::StoreFrom(position) => {
                self.noting_failure(state.archive.append(&mut rest(batch, position)?))?;
            }
        }
        state.archive.promise(token, header.stream);
        self.work.notify_one();
        Ok(())
    }

    /// The sender has nothing left of `streams`.
    ///
    /// # Errors
    /// When the connection is over or the disk refuses.
    pub fn forget(&self, token: u64, streams: &[StreamId]) -> Result<(), StoreError> {
        let mut state = self.serving(token)?;
        let Some(sender) = state.served.get(&token).map(|served| served.sender) else {
            return Err(StoreError::Fenced);
        };
        let unfinished = state.archive.forget(sender, streams);
        let unfinished = self.noting_failure(unfinished)?;
        if let Some((stream, position)) = unfinished.first() {
            // One frame may name thousands, and who sends it may be anybody.
            let others = match unfinished.len() - 1 {
                0 => String::new(),
                others => format!("; and the same of {others} others"),
            };
            let words = format!(
                "its sender has nothing left of it, and no END came: whatever it had from position {position} on is lost{others}"
            );
            let now = clock::moment();
            for (kind, times) in self.rarely.due(now) {
                warn!("group {}: {times} more streams were {kind}", self.name);
            }
            if self.rarely.is_to_be_said("forgotten without END", FORGOTTEN_MOST, now) {
                warn!("group {}: stream {stream}: {words}", self.name);
                self.recorder.loss(&format!("stream {stream}"), &words);
            }
        }
        self.work.notify_one();
        Ok(())
    }

    /// Up to where each stream is held that was not forgotten, as far as it was appended.
    #[must_use]
    pub fn positions(&self) -> HashMap<StreamId, u64> {
        let state = self.lock();
        let streams = state.archive.table().streams.iter();
        let held = streams.filter(|(_, stream)| stream.state != StreamState::Forgotten);
        held.map(|(id, stream)| (*id, stream.end)).collect()
    }

    /// Syncs whatever is pending, again and again, until it is time to stop; turns to a new date at midnight. A sync in which a predecessor hangs counts as
    /// failed.
    ///
    /// # Errors
    /// When the archive can neither be synced nor go back.
    pub fn sync_until(&self, post: &Post) -> Result<(), String> {
        let stop = &post.stop;
        if post.pass.has_predecessor()
            && let Some(active) = self.lock().archive.active()
        {
            active.file.give_up_hanging_sync();
        }
        loop {
            self.wait_for_work(stop);
            if !post.pass.is_current() {
                return Ok(()); // a successor does it
            }
            match self.begin_sync()? {
                SyncTurn::Due(pending) => {
                    let synced = pending.sync_as(&post.pass);
                    provoke::here();
                    self.end_sync_as(&post.pass, &pending, synced)?;
                }
                SyncTurn::WentBack => {}
                SyncTurn::Nothing if stop.is_set() => return Ok(()),
                SyncTurn::Nothing => {}
            }
        }
    }

    fn wait_for_work(&self, stop: &Stop) {
        let state = self.lock();
        if !state.archive.has_pending() && !state.archive.has_failed() && !stop.is_set() {
            drop(
                self.work
                    .wait_timeout(state, LOOK)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Takes what is to be synced now: outside of the lock, so that others go on appending meanwhile.
    ///
    /// # Errors
    /// When a sync failed and the archive cannot go back.
    pub fn begin_sync(&self) -> Result<SyncTurn, String> {
        let mut state = self.lock();
        self.turn_to_date(&mut state);
        if state.archive.has_failed() {
            self.fall_back(&mut state, "a sync failed")?;
            return Ok(SyncTurn::WentBack);
        }
        if !state.archive.has_pending() {
            return Ok(SyncTurn::Nothing);
        }
        Ok(SyncTurn::Due(state.archive.take_pending()))
    }

    /// Acknowledges what a sync has covered, or goes back to what is on disk when it failed.
    ///
    /// # Errors
    /// When the archive cannot go back.
    pub fn end_sync(&self, pending: &Pending, synced: Result<(), DiskError>) -> Result<(), String> {
        self.end_sync_as(&Pass::default(), pending, synced)
    }

    /// The same, for a worker that may have been relieved meanwhile: what it says then, good or bad, is not heard.
    fn end_sync_as(&self, pass: &Pass, pending: &Pending, synced: Result<(), DiskError>) -> Result<(), String> {
        let mut state = self.lock();
        if let Err(failure) = synced {
            if !pass.is_current() {
                return Ok(()); // its successor went back, or will
            }
            return self.fall_back(&mut state, &chain(&failure));
        }
        let acknowledged = pass.act(|| {
            state.archive.synced(pending);
            for (token, acked) in &pending.acks {
                if let Some(served) = state.served.get(token) {
                    served.acks.acknowledge(acked);
                }
            }
        });
        acknowledged.map_err(|relieved| chain(&relieved))
    }

    fn turn_to_date(&self, state: &mut State) {
        let turned = state.archive.turn_to(&clock::local_date());
        let said = std::mem::replace(&mut state.date_failed, turned.is_err());
        if let Err(error) = turned
            && !said
        {
            warn!(
                "group {}: cannot begin the directory of the new date: {}",
                self.name,
                chain(&error)
            );
        }
    }

    /// A sync failed: nothing that was not synced before counts, and everybody starts again at WELCOME.
    fn fall_back(&self, state: &mut State, words: &str) -> Result<(), String> {
        error!(
            "group {}: {words}: going back to what is known to be on disk",
            self.name
        );
        self.recorder.fault(&format!("archive of group {}", self.name), words);
        for (_, served) in state.served.drain() {
            served.end();
        }
        state.archive.fall_back().map_err(|error| chain(&error))?;
        self.end_classic(state);
        info!("group {}: goes on in a new segment", self.name);
        Ok(())
    }

    /// Finishes the archive; nothing is appended after that.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&self) -> Result<(), AppendError> {
        let mut state = self.lock();
        state.finished = true;
        for (_, served) in state.served.drain() {
            served.end();
        }
        self.end_classic(&mut state);
        state.archive.finish()
    }
}

impl Served {
    fn end(&self) {
        self.acks.close();
        self.line.hang_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;

    struct NoLine;

    impl Line for NoLine {
        fn send(&self, _bytes: &[u8]) -> std::io::Result<()> {
            Ok(())
        }

        fn hang_up(&self) {}
    }

    #[test]
    fn a_sync_that_ends_after_its_worker_was_relieved_acknowledges_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let pattern = ArchivePattern::new(&directory.path().display().to_string()).unwrap();
        let group = GroupStore::open(&pattern, "web", Recorder::to_nowhere()).unwrap();
        let hello = Hello {
            sender: OwnerId::random(),
            epoch: 1,
            start_id: 1,
            count: 1,
            group: "web".to_owned(),
        };
        let acks = Arc::new(AckBox::default());
        group.welcome(&hello, 1, &acks, Box::new(NoLine)).unwrap();
        let attach = Attach {
            producer: "a".to_owned(),
            created: 1,
            boot: uuid::Uuid::nil(),
            sender: hello.sender,
            definitions: crate::formats::definitions::Definitions::default(),
        };
        let header = FrameHeader::plain(crate::formats::frame::Kind::Attach, &attach.encode());
        let header = header.of_stream(StreamId::random(), 8, 8);
        let fence = Arc::<Fence>::default();
        let heard = |pass: &Pass| {
            group.attach(1, &header, &attach).unwrap();
            let SyncTurn::Due(pending) = group.begin_sync().unwrap() else {
                panic!("nothing is to be synced");
            };
            let ended = group.end_sync_as(pass, &pending, Ok(()));
            let mut said = Vec::new();
            acks.take(&mut said);
            (ended.is_ok(), !said.is_empty())
        };
        let first = fence.pass();
        assert_eq!(heard(&first), (true, true));
        let second = fence.relieve().unwrap();
        assert_eq!((heard(&first), heard(&second)), ((false, false), (true, true)));
    }
}
