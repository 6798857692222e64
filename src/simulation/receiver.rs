//! A receiver: its host with a disk, and on it one process after the other, each with the connections it serves.

use super::network::{Arrival, End, Frames};
use super::process::Process;
use crate::formats::frame::{FrameHeader, Kind};
use crate::formats::wire::Hello;
use crate::ids::StreamId;
use crate::modes::batchrecv::acks::AckBox;
use crate::modes::batchrecv::group::{GroupStore, SyncTurn};
use crate::modes::batchrecv::serving::{Frames as FrameSource, Serving};
use crate::modes::recorder::Recorder;
use crate::os::disk::DiskError;
use crate::os::disk::simulated::Disk;
use crate::os::net::{Line, NetError, put_frame};
use crate::stages::archive::{ArchivePattern, Pending};
use std::sync::Arc;

/// A receiver's host.
pub(super) struct Receiver {
    pub(super) disk: Disk,
    pub(super) pattern: ArchivePattern,
    /// It lost power, or its disk failed: then it may have gone back.
    pub(super) had_mishap: bool,
    /// What was acknowledged before the power failed, until a process has looked at its archive.
    acknowledged: Vec<(StreamId, u64)>,
    run: Option<Run>,
}

struct Run {
    process: Process,
    store: Arc<GroupStore>,
    connections: Vec<Connection>,
    tokens: u64,
    /// A sync that has begun, and what it came to once the disk answered.
    syncing: Option<(Pending, Option<Result<(), DiskError>>)>,
}

struct Connection {
    end: End,
    frames: Frames,
    acks: Arc<AckBox>,
    serving: Option<Serving>,
}

impl Receiver {
    pub(super) fn new(disk: Disk) -> Result<Self, String> {
        Ok(Self {
            disk,
            pattern: ArchivePattern::new("/archive/$GROUP/$DATE")?,
            had_mishap: false,
            acknowledged: Vec::new(),
            run: None,
        })
    }

    /// The power fails, when the sender had heard that `acknowledged` was on disk.
    pub(super) fn cut_power(&mut self, acknowledged: Vec<(StreamId, u64)>) {
        self.kill();
        self.had_mishap = true;
        self.disk.cut_power();
        self.acknowledged = acknowledged;
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Starts a process; a disk that refuses has it end at once.
    ///
    /// # Errors
    /// When its archive lacks what was acknowledged.
    pub(super) fn start(&mut self, pid: u32, kill: Option<u64>) -> Result<(), String> {
        let process = Process {
            pid,
            disk: self.disk.clone(),
        };
        let pattern = &self.pattern;
        let opened = process.run(kill, || GroupStore::open(pattern, super::GROUP, Recorder::to_nowhere()));
        if let Some(Ok(store)) = opened {
            let held = store.positions();
            for (stream, position) in std::mem::take(&mut self.acknowledged) {
                if let Some(held) = held.get(&stream).filter(|held| **held < position) {
                    return Err(format!(
                        "stream {stream} was acknowledged up to {position}, and is on disk up to {held}"
                    ));
                }
            }
            self.run = Some(Run {
                process,
                store: Arc::new(store),
                connections: Vec::new(),
                tokens: 0,
                syncing: None,
            });
        }
        Ok(())
    }

    /// Kills the process. Its connections are closed by the kernel.
    pub(super) fn kill(&mut self) {
        if let Some(run) = self.run.take() {
            run.end();
        }
    }

    /// Takes a connection, if anybody listens.
    pub(super) fn accept(&mut self, end: End) -> bool {
        let Some(run) = &mut self.run else { return false };
        run.connections.push(Connection {
            end,
            frames: Frames::default(),
            acks: Arc::default(),
            serving: None,
        });
        true
    }

    pub(super) fn connections(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.connections.len())
    }

    /// Carries up to `most` bytes to the connection `which`, and has it served.
    pub(super) fn carry(&mut self, which: usize, most: usize, kill: Option<u64>) -> Result<(), String> {
        self.act(kill, |run| {
            let count = run.connections.len();
            if count == 0 {
                return Ok(());
            }
            let (store, tokens) = (&run.store, &mut run.tokens);
            let connection = &mut run.connections[which % count];
            let is_over = match connection.end.carry(most) {
                Arrival::HungUp => true,
                Arrival::Bytes(bytes) => {
                    connection.frames.push(&bytes);
                    connection.serve(store, tokens)?
                }
            };
            if is_over {
                let connection = run.connections.remove(which % count);
                connection.hang_up();
            }
            Ok(())
        })
    }

    /// The connection `which` sends what it has to tell.
    pub(super) fn answer(&mut self, which: usize, kill: Option<u64>) -> Result<(), String> {
        self.act(kill, |run| {
            let count = run.connections.len();
            if count > 0 {
                let connection = &run.connections[which % count];
                let mut out = Vec::new();
                connection.acks.take(&mut out);
                if !out.is_empty() && connection.end.send(&out).is_err() {
                    run.connections.remove(which % count).hang_up();
                }
            }
            Ok(())
        })
    }

    /// One step of the thread that syncs: what is due is taken, or synced, or acknowledged.
    pub(super) fn sync(&mut self, kill: Option<u64>) -> Result<(), String> {
        self.act(kill, |run| {
            match run.syncing.take() {
                Some((pending, None)) => {
                    let synced = pending.sync();
                    run.syncing = Some((pending, Some(synced)));
                }
                Some((pending, Some(synced))) => drop(run.store.end_sync(&pending, synced)),
                None => {
                    if let Ok(SyncTurn::Due(pending)) = run.store.begin_sync() {
                        run.syncing = Some((pending, None));
                    }
                }
            }
            Ok(())
        })
    }

    /// Something that the process does; when it is killed in it, it is gone.
    fn act(&mut self, kill: Option<u64>, act: impl FnOnce(&mut Run) -> Result<(), String>) -> Result<(), String> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        let process = run.process.clone();
        match process.run(kill, || act(&mut run)) {
            Some(result) => {
                self.run = Some(run);
                result
            }
            None => {
                run.end();
                Ok(())
            }
        }
    }
}

impl Run {
    fn end(self) {
        self.process.kill();
        for connection in &self.connections {
            connection.end.hang_up();
        }
    }
}

/// A frame that is there.
struct OneFrame<'a>(FrameHeader, &'a [u8]);

impl FrameSource for OneFrame<'_> {
    fn header(&mut self) -> Result<FrameHeader, NetError> {
        Ok(self.0)
    }

    fn body(&mut self, _header: &FrameHeader, body: &mut Vec<u8>) -> Result<(), NetError> {
        body.extend_from_slice(self.1);
        Ok(())
    }
}

impl Connection {
    /// Serves all whole frames. Says whether the connection is over.
    fn serve(&mut self, store: &Arc<GroupStore>, tokens: &mut u64) -> Result<bool, String> {
        while let Some((header, body)) = self.frames.next_frame() {
            let Some(serving) = &mut self.serving else {
                if header.kind != Kind::Hello {
                    return Err(format!("a sender began with {:?}", header.kind));
                }
                let Ok((_, Some(hello))) = Hello::decode(&body) else {
                    return Err("HELLO cannot be understood".to_owned());
                };
                *tokens += 1;
                let line = Box::new(self.end.clone());
                match Serving::begin(Arc::clone(store), Arc::default(), &hello, *tokens, &self.acks, line) {
                    Ok((serving, welcome)) => {
                        if self.end.send(&welcome).is_err() {
                            return Ok(true);
                        }
                        self.serving = Some(serving);
                    }
                    // A connection of a run that is over arrives late; a run that is not over hears of it itself.
                    Err(refuse) => {
                        let body = refuse.encode();
                        let mut bytes = Vec::new();
                        put_frame(&mut bytes, &FrameHeader::plain(Kind::Refuse, &body), &body);
                        let _ = self.end.send(&bytes); // it may be gone
                        return Ok(true);
                    }
                }
                continue;
            };
            if serving.step(&mut OneFrame(header, &body)).is_err() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn hang_up(&self) {
        if let Some(serving) = &self.serving {
            serving.end();
        }
        self.end.hang_up();
    }
}
