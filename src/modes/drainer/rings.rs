//! The rings of a group as the drainer holds them, and the scan of the directory that finds them.

use crate::ids::StreamId;
use hog_ring::owner::OwnerWord;
use hog_ring::reader::{Liveness, OpenError, RingReader};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A ring that is being drained.
pub struct RingHandle {
    /// The mapped ring.
    pub reader: RingReader,
    /// Position up to which it is in the log, or in the batch that goes there next.
    pub drained: u64,
    /// Age of the life at `drained`.
    pub born: u64,
    /// The log has its ATTACH.
    pub attached: bool,
    /// END is in the batch, or in the log.
    pub ending: bool,
    /// END is in the log: the file goes as soon as it can.
    pub ended: bool,
    /// It could not be deleted, and that was said.
    pub unlink_failed: bool,
    /// It cannot be trusted any more.
    pub condemned: bool,
    /// How often something stood in it that is no record.
    pub bad_records: u64,
    /// The dead or gone owner after which it is kept for an heir.
    pub kept: Option<OwnerWord>,
    /// The owner word that was dealt with: there is nothing to be done about it while it is the same, unless that owner dies.
    pub settled: Option<OwnerWord>,
    /// It has had a living owner since it was found: it need not be ended before all is said to be drained.
    pub seen_living: bool,
}

impl RingHandle {
    /// The ring's stream.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        StreamId(self.reader.identity().uuid)
    }

    /// The tail as it is now, or what was drained if it makes no sense.
    #[must_use]
    pub fn tail_hint(&self) -> u64 {
        self.reader.tail(self.drained).unwrap_or(self.drained)
    }

    /// Whether its producer is gone, as far as is known without asking the kernel. An heir may come at any time.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.ending || self.kept.is_some() || self.reader.owner() == OwnerWord::CLOSED
    }
}

/// What a scan found.
pub enum Found {
    /// A ring that was not known.
    Ring(Box<RingHandle>),
    /// A file that is called a ring and cannot be drained; said once for each file.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        words: String,
    },
}

/// The rings of one group.
pub struct RingSet {
    directory: PathBuf,
    /// Device and inode of the directory when its lock was taken.
    identity: Option<(u64, u64)>,
    rings: BTreeMap<StreamId, RingHandle>,
    /// Files (device and inode) that were looked at: the stream of a ring, or nothing for one that can never be drained.
    seen: HashMap<(u64, u64), Option<StreamId>>,
    /// Files that could not be opened at the last scan, and the directory itself. They are tried again, and reported once.
    refused: HashSet<(u64, u64)>,
    /// Streams of rings that are not touched while their producers do not live.
    left: HashSet<StreamId>,
    /// Such rings.
    waiting: BTreeMap<StreamId, RingHandle>,
}

impl RingSet {
    /// The rings in `directory`; none is known before the first scan.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            identity: identity_of(directory),
            rings: BTreeMap::new(),
            seen: HashMap::new(),
            refused: HashSet::new(),
            left: HashSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Leaves the rings of these streams untouched, and finds them only once their producers live.
    #[must_use]
    pub fn leaving(mut self, left: HashSet<StreamId>) -> Self {
        self.left = left;
        self
    }

    /// The streams of all rings that are there, also of those that are left.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.rings.keys().chain(self.waiting.keys()).copied()
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All rings.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &RingHandle)> {
        self.rings.iter().map(|(stream, ring)| (*stream, ring))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rings.len()
    }

    /// The streams of all rings, once round: those behind `last` come first.
    pub fn streams_after(&self, last: StreamId) -> impl Iterator<Item = StreamId> {
        let behind = self.rings.range((Bound::Excluded(last), Bound::Unbounded));
        behind.chain(self.rings.range(..=last)).map(|(stream, _)| *stream)
    }

    /// One ring.
    #[must_use]
    pub fn get(&self, stream: StreamId) -> Option<&RingHandle> {
        self.rings.get(&stream)
    }

    /// One ring, to change it.
    pub fn get_mut(&mut self, stream: StreamId) -> Option<&mut RingHandle> {
        self.rings.get_mut(&stream)
    }

    /// Whether every file that is called a ring is one that is drained. While it is not, nobody knows which streams may go on.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        self.refused.is_empty() && self.seen.values().all(Option::is_some)
    }

    /// Takes a ring in.
    pub fn insert(&mut self, ring: RingHandle) {
        self.rings.insert(ring.stream(), ring);
    }

    /// Gives a ring up.
    pub fn remove(&mut self, stream: StreamId) -> Option<RingHandle> {
        self.rings.remove(&stream)
    }

    /// Looks through the directory for files that were not there before. While this user may not do that, the rings that are known
    /// go on.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn scan(&mut self) -> io::Result<Vec<Found>> {
        // The lock is on a file in the directory that was there at the start. In another one somebody else may hold it.
        if self.identity != identity_of(&self.directory) {
            let words = format!(
                "{} was removed, and perhaps made anew, while its lock was held: start again",
                self.directory.display()
            );
            return Err(io::Error::other(words));
        }
        let paths = match hog_ring::ring_files(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(self.closed(&error)),
            paths => paths?,
        };
        let mut found = self.adopted_since();
        let mut present = HashSet::new();
        let mut refused = HashSet::new();
        for path in paths {
            let Ok(metadata) = std::fs::symlink_metadata(&path) else {
                continue;
            }; // renamed or unlinked meanwhile
            let file = (metadata.dev(), metadata.ino());
            present.insert(file);
            if let Some(known) = self.seen.get(&file) {
                // A retired ring whose name was wanted is called by its uuid now.
                let Some(stream) = *known else { continue };
                let ring = self.rings.get_mut(&stream).or(self.waiting.get_mut(&stream));
                if let Some(ring) = ring.filter(|ring| ring.reader.path() != path) {
                    ring.reader.set_path(path);
                }
                continue;
            }
            match RingReader::open(&path) {
                Ok(reader) => {
                    let stream = StreamId(reader.identity().uuid);
                    self.seen.insert(file, Some(stream));
                    let ring = handle(reader);
                    if self.rings.contains_key(&stream) || self.waiting.contains_key(&stream) {
                        let words = "another ring has the same uuid: is this a copy?".to_owned();
                        found.push(Found::Unreadable { path, words });
                    } else if self.left.contains(&stream) && !ring.seen_living {
                        self.waiting.insert(stream, ring);
                    } else {
                        found.push(Found::Ring(Box::new(ring)));
                    }
                }
                Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let is_for_good = matches!(error, OpenError::NotARing { .. } | OpenError::OtherBoot { .. });
                    if is_for_good {
                        self.seen.insert(file, None);
                    } else {
                        refused.insert(file);
                    }
                    if is_for_good || !self.refused.contains(&file) {
                        let words = words_of(&error);
                        found.push(Found::Unreadable { path, words });
                    }
                }
            }
        }
        self.refused = refused;
        // An inode that went may come back as another ring.
        self.seen.retain(|file, _| present.contains(file));
        let seen = &self.seen;
        self.waiting
            .retain(|stream, _| seen.values().any(|known| *known == Some(*stream)));
        Ok(found)
    }

    /// The rings that were left and whose producers live now.
    fn adopted_since(&mut self) -> Vec<Found> {
        let lives = |ring: &mut RingHandle| matches!(ring.reader.liveness(), Liveness::Living);
        let living: Vec<_> = self
            .waiting
            .iter_mut()
            .filter_map(|(stream, ring)| lives(ring).then_some(*stream))
            .collect();
        living
            .into_iter()
            .filter_map(|stream| self.waiting.remove(&stream))
            .map(|mut ring| {
                ring.seen_living = true;
                Found::Ring(Box::new(ring))
            })
            .collect()
    }

    /// The directory cannot be read any more.
    fn closed(&mut self, error: &io::Error) -> Vec<Found> {
        let is_news = self.identity.is_some_and(|directory| self.refused.insert(directory));
        let found = Found::Unreadable {
            path: self.directory.clone(),
            words: error.to_string(),
        };
        if is_news { vec![found] } else { Vec::new() }
    }
}

fn words_of(error: &OpenError) -> String {
    let words = crate::exit::chain(error);
    match error {
        OpenError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            format!("{words}: its producer must share it (--shm-group) or be of this user")
        }
        _ => words,
    }
}

fn identity_of(directory: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(directory)
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}

fn handle(mut reader: RingReader) -> RingHandle {
    let seen_living = matches!(reader.liveness(), Liveness::Living);
    RingHandle {
        reader,
        drained: 0,
        born: 0,
        attached: false,
        ending: false,
        ended: false,
        unlink_failed: false,
        condemned: false,
        bad_records: 0,
        kept: None,
        settled: None,
        seen_living,
    }
}
