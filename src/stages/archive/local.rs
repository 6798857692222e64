//! The archive of the rings on its own host, drained into it without a network.
//!
//! The archive itself is then the sender of the streams that are attached here first: its owner's uuid, which no spool has, stands in their ATTACH.
//! A stream that a spool attached before stays that spool's, which may still hold frames of it and says FORGET in its own time. So drainer and
//! receiver can take turns with one archive: positions decide what is new, and the last to attach a stream answers for it.

use super::{Archive, ArchiveError, ArchivePattern};
use crate::fence::Pass;
use crate::formats::table::{Stream, StreamState};
use crate::formats::wire::Hello;
use crate::ids::{OwnerId, StreamId};
use crate::os::clock;
use crate::os::disk::DiskError;
use crate::seglog::quarantine::Missing;
use crate::seglog::rewrite::{self, LostRange};
use crate::seglog::writer::AppendError;
use std::collections::HashSet;
use uuid::Uuid;

/// The rings on this host.
pub(super) struct LocalRings {
    rings: HashSet<StreamId>,
    boot: Uuid,
}

impl LocalRings {
    /// Whether nothing can come of `stream` any more: it is ours, has no ring, and has ended or went with the memory of another boot.
    pub(super) fn are_done(&self, owner: OwnerId, id: &StreamId, stream: &Stream) -> bool {
        stream.sender == owner
            && !self.rings.contains(id)
            && (stream.state == StreamState::Ended || stream.boot != self.boot)
    }
}

/// An archive that was read from the disk again.
pub struct Reopened {
    /// The archive.
    pub archive: Archive,
    /// What a failed sync took with it.
    pub lost: Vec<LostRange>,
    /// Places that are damaged, in words.
    pub damages: Vec<String>,
}

/// Opens an archive once more, for a drainer whose predecessor hangs with the one that it had.
pub struct Reopener {
    pattern: ArchivePattern,
    group: String,
}

impl Reopener {
    /// The archive, as it can be read. No segment is begun yet.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reopen(&self) -> Result<Reopened, ArchiveError> {
        let (mut archive, damages) =
            Archive::recover(&self.pattern, &self.group, &clock::local_date(), Missing::ForGood)?;
        archive.log.skip_number(); // a predecessor that hangs may have begun that one
        Ok(Reopened {
            archive,
            lost: Vec::new(),
            damages,
        })
    }
}

impl Archive {
    /// Its group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.log.identity().group
    }

    /// The sender of the streams that are attached here first.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.log.identity().owner
    }

    /// The rings of `streams` are here. What a sender forgot of them, because it did not see their rings, is in the checkpoints again from the
    /// next one on, with its definitions: more will come that begins where they end.
    pub fn hold_again(&mut self, streams: &[StreamId]) {
        let table = self.log.table_mut();
        for id in streams {
            if let Some(stream) = table.streams.get_mut(id)
                && stream.state == StreamState::Forgotten
            {
                stream.state = StreamState::Open;
            }
        }
    }

    /// Stores that this archive is a sender itself now, in this run.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn become_sender(&mut self, start_id: u64, now: u64) -> Result<(), AppendError> {
        let identity = self.log.identity();
        let hello = Hello {
            sender: identity.owner,
            epoch: identity.epoch,
            start_id,
            count: 0,
            group: identity.group.clone(),
        };
        self.enter_sender(&hello, now)
    }

    /// Learns which rings there are, all of them, and which boot this is. From then on the next checkpoint leaves out the streams of which
    /// nothing can come.
    pub fn know_rings(&mut self, rings: HashSet<StreamId>, boot: Uuid) {
        self.local = Some(LocalRings { rings, boot });
    }

    /// After a sync failed: writes what the disk may lack into a new segment, which is on disk when this returns. The rings have given it up, so
    /// nobody could send it again; [`Archive::fall_back`] would lose it. Says what could not be read back, and is marked by GAPs.
    ///
    /// # Errors
    /// When the disk refuses; it may be called again.
    pub fn replace_failed(&mut self) -> Result<Vec<LostRange>, DiskError> {
        if self.has_failed() {
            self.log.rewrite_failed()
        } else {
            Ok(Vec::new())
        }
    }

    /// The same archive for the holder of `pass`, a drainer that is built after one failed: what it holds is read from the disk again. No segment is begun yet.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reopen(&self, pass: &Pass) -> Result<Reopened, ArchiveError> {
        let log = &self.log;
        let lost = match log.active().filter(|active| active.file.has_failed()) {
            Some(failed) => {
                let number = log.next_number();
                rewrite::rewrite(failed, log.identity(), number, log.table(), log.directory(), pass)?
            }
            None => Vec::new(),
        };
        let reopened = self.reopener().reopen()?;
        Ok(Reopened { lost, ..reopened })
    }

    /// What opens this archive once more within this process, whatever becomes of this one.
    #[must_use]
    pub fn reopener(&self) -> Reopener {
        Reopener {
            pattern: self.pattern.clone(),
            group: self.group().to_owned(),
        }
    }

    /// From now on nothing that is appended counts once the holder of `pass` was relieved.
    pub fn guard(&mut self, pass: &Pass) {
        self.log.guard(pass);
    }
}
