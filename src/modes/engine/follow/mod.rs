//! `hog engine --follow`: logs files as they grow, many at once, whatever becomes of their names.
//!
//! Each followed name ([`names`]) has a [`track::Track`] with a ring of its own. One thread takes them in turns: a turn looks at the name and at the open
//! file, logs at most one read of it, and never waits for room in a ring, so neither a large file nor a full ring stops the others. Files
//! are polled, soon after they grew and then ever less often: that is right on every file system, and costs little.
//!
//! No file is logged twice: which files have been taken, by device, inode and birth, is known to all tracks ([`Shared::taken`]), and what
//! other rings of the group know is asked before a file is begun ([`elsewhere`]).

pub mod elsewhere;
mod feeding;
mod holding;
pub mod names;
pub mod next;
pub mod reading;
pub mod resume;
pub mod rotated;
pub mod taken;
pub mod track;

use crate::exit::{ExitStatus, Failure, chain};
use crate::limits::FOLLOWED_MAX;
use crate::modes::engine::input::ring_name;
use crate::modes::engine::listing::Listings;
use crate::modes::engine::notes::Keeper;
use crate::modes::engine::state::FileId;
use crate::modes::engine::{EngineOptions, ring, serve};
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use crate::os::process;
use elsewhere::{Elsewhere, Known};
use hog_ring::{Group, Resume};
use names::{Name, Names};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use taken::Taken;
use tracing::warn;
use track::Track;

/// How often names are looked up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of all time, at most one part in so many is spent on looking names up.
const LOOK_PART: u32 = 100;
/// How long the end of a run may try to say what was dropped.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What all tracks share.
pub struct Shared<'a> {
    options: &'a EngineOptions,
    group: Group,
    keeper: Arc<Keeper>,
    taken: Taken,
    /// Names of the rings of all tracks.
    rings: HashSet<String>,
    elsewhere: Elsewhere,
    listings: Listings,
    /// A listing that is not older than this will do at first.
    listed_since: Instant,
    /// What is read goes here.
    buffer: Vec<u8>,
    /// Something was lost or dropped, and that was said.
    is_degraded: bool,
}

impl Shared<'_> {
    fn ask_elsewhere(&mut self, file: &FileId) -> Known {
        let rings = &self.rings;
        let known = self.elsewhere.ask(file, &self.group, &|name| rings.contains(name));
        match known {
            // To begin anew was asked for. What lives is still left alone.
            Known::UpTo(_) | Known::Done if self.options.resume == Resume::Off => Known::No,
            known => known,
        }
    }
}

struct Follow<'a> {
    names: Names,
    tracks: BTreeMap<PathBuf, Track>,
    shared: Shared<'a>,
    tracks_made: usize,
    /// Names that could not be followed, and why: said once.
    refused: BTreeMap<PathBuf, String>,
    look_due: Instant,
    /// How many tracks there are, for others to see.
    followed: Arc<AtomicUsize>,
}

/// Follows all inputs until it is time to end.
///
/// # Errors
/// When the command line makes no sense, or a ring that is there at the start cannot be had.
pub fn run(
    options: &EngineOptions,
    stop: &Stop,
    looks: &Arc<AtomicU64>,
    service: &Service,
) -> Result<ExitStatus, Failure> {
    let names = Names::new(&options.inputs)?;
    if options.name.is_some() && !names.is_one() {
        let words = "--name is for one file: each has a ring of its own";
        return Err(Failure::new(ExitStatus::Usage, words));
    }
    process::raise_open_files();
    let (group, keeper) = options.open(stop, looks, true)?;
    let mut follow = Follow {
        names,
        tracks: BTreeMap::new(),
        shared: Shared {
            options,
            group,
            keeper,
            taken: Taken::default(),
            rings: HashSet::new(),
            elsewhere: Elsewhere::default(),
            listings: Listings::default(),
            listed_since: Instant::now(),
            buffer: Vec::new(),
            is_degraded: false,
        },
        tracks_made: 0,
        refused: BTreeMap::new(),
        look_due: Instant::now(),
        followed: Arc::default(),
    };
    follow.begin(stop)?;
    serve(service, Arc::clone(looks));
    let followed = Arc::clone(&follow.followed);
    service.describe(move || match followed.load(Ordering::Relaxed) {
        1 => "following 1 file".to_owned(),
        files => format!("following {files} files"),
    });
    while !stop.is_set() {
        follow.turn(stop);
        stop.wait(follow.pause());
    }
    Ok(follow.end())
}

impl Follow<'_> {
    /// Takes the rings of all names that there are. What they know must be known before the first file is begun.
    fn begin(&mut self, stop: &Stop) -> Result<(), Failure> {
        let resume = self.shared.options.resume;
        for name in self.new_names() {
            let track = self.track(name, resume).map_err(|error| ring::failure(&error))?;
            self.tracks.insert(track.name.path.clone(), track);
        }
        self.shared.listed_since = Instant::now();
        for track in self.tracks.values_mut() {
            if stop.is_set() {
                break;
            }
            track.go_on(&mut self.shared);
        }
        self.shared.listings.clear();
        Ok(())
    }

    fn track(&mut self, name: Name, resume: Resume) -> Result<Track, hog_ring::Error> {
        let asked = self.shared.options.name.clone();
        let ring_name = asked.unwrap_or_else(|| ring_name(&name.path));
        let mut track = Track::new(self.tracks_made, name, ring_name);
        self.tracks_made += 1;
        self.shared.rings.insert(track.ring_name.clone());
        track.take_ring(&mut self.shared, resume)?;
        Ok(track)
    }

    /// The names that have no track yet; the files that changed first come first.
    fn new_names(&mut self) -> Vec<Name> {
        let began = Instant::now();
        let found = self.names.look();
        let mut new: Vec<Name> = found
            .into_iter()
            .filter(|name| !self.tracks.contains_key(&name.path))
            .collect();
        new.sort_by_cached_key(|name| {
            let changed = name.path.metadata().and_then(|metadata| metadata.modified());
            changed.unwrap_or(SystemTime::UNIX_EPOCH)
        });
        let room = FOLLOWED_MAX.saturating_sub(self.tracks.len());
        if new.len() > room {
            let words = format!(
                "{} files more than the {FOLLOWED_MAX} that are followed at once",
                new.len() - room
            );
            self.refuse(PathBuf::new(), words);
            new.truncate(room);
        }
        self.look_due = Instant::now() + LOOK_EVERY.max(began.elapsed() * LOOK_PART);
        new
    }

    fn refuse(&mut self, path: PathBuf, words: String) {
        if self.refused.get(&path) != Some(&words) {
            warn!("{words}");
            self.refused.insert(path, words);
        }
    }

    /// Looks up names, if it is time for that, and gives each track that is due its turn.
    fn turn(&mut self, stop: &Stop) {
        if Instant::now() >= self.look_due {
            self.look();
        }
        self.followed.store(self.tracks.len(), Ordering::Relaxed); // a number to be shown
        for track in self.tracks.values_mut() {
            let now = Instant::now();
            if track.due <= now {
                track.turn(&mut self.shared, now);
            }
            if stop.is_set() {
                break;
            }
        }
    }

    /// Takes up names that are new, and gives up those of which nothing is left.
    fn look(&mut self) {
        self.shared.listed_since = Instant::now();
        for name in self.new_names() {
            let path = name.path.clone();
            match self.track(name, Resume::Auto) {
                Ok(mut track) => {
                    self.refused.remove(&path);
                    track.go_on(&mut self.shared);
                    self.tracks.insert(path, track);
                }
                Err(error) => self.refuse(path, chain(&error)),
            }
        }
        self.shared.listings.clear();
        let seen: HashSet<u64> = self.tracks.values().filter_map(Track::shown).collect();
        let now = Instant::now();
        let over: Vec<PathBuf> = self
            .tracks
            .iter_mut()
            .filter_map(|(path, track)| track.is_over(&seen, now).then(|| path.clone()))
            .collect();
        for path in over {
            if let Some(track) = self.tracks.remove(&path) {
                self.shared.rings.remove(&track.ring_name);
                track.retire(&mut self.shared);
            }
        }
    }

    /// Until something is due.
    fn pause(&self) -> Duration {
        let due = self.tracks.values().map(|track| track.due).min();
        let due = due.map_or(self.look_due, |due| due.min(self.look_due));
        due.saturating_duration_since(Instant::now())
    }

    fn end(mut self) -> ExitStatus {
        let deadline = Instant::now() + LAST_WORDS;
        for (_, track) in std::mem::take(&mut self.tracks) {
            track.end(&mut self.shared, deadline);
        }
        self.shared.keeper.finish();
        if self.shared.is_degraded {
            ExitStatus::Degraded
        } else {
            ExitStatus::Done
        }
    }
}
