//! What is known of what earlier sessions left of a group: from hogstat.db, the rings and the spools, as values for
//! [`crate::stages::recovery::plan`].
//!
//! Nothing is changed by looking, except that the last segment of a spool is synced: what recovery builds on must be on the disk.

use crate::exit::{ExitStatus, Failure, chain};
use crate::formats::table::{StreamState, Table};
use crate::ids::StreamId;
use crate::modes::store::database_failure;
use crate::stages::recovery::{Backlog, Facts, Owner, Region, Remembered, RingFound, Spooled};
use crate::stages::spool::SpoolIndex;
use hog_ring::reader::{Liveness, OpenError, RingReader};
use hogstat::{RegionState, Stat};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A spool of the group, as it was opened or is looked at.
pub struct SpoolSeen<'a> {
    /// Its directory.
    pub directory: PathBuf,
    /// Its uuid.
    pub sender: Uuid,
    /// Which segments it has. What its present run wrote is no backlog.
    pub index: &'a SpoolIndex,
    /// What it holds of every stream.
    pub table: &'a Table,
}

/// A ring that was found, with what it says of itself.
struct RingSeen {
    name: String,
    path: String,
    boot: Uuid,
    created: u64,
    found: RingFound,
}

/// What one looks at.
pub struct Look<'a> {
    /// The group.
    pub group: &'a str,
    /// Where its rings are; `None` while that directory is closed to this user.
    pub rings: Option<&'a Path>,
    /// Its spools.
    pub spools: &'a [SpoolSeen<'a>],
    /// What stands in the way, as far as it is known.
    pub obstacles: &'a [String],
    /// The database.
    pub stat: Option<&'a Stat>,
    /// The database knew nothing of these spools: what they hold counts as left by sessions that nobody remembers.
    pub is_rebuilt: bool,
}

impl Look<'_> {
    /// Looks.
    ///
    /// # Errors
    /// When the database or the ring directory cannot be read.
    pub fn facts(&self) -> Result<Facts, Failure> {
        let remembered = match self.stat {
            Some(stat) => stat
                .regions_to_recover(self.group)
                .map_err(|error| database_failure(&error))?,
            None => Vec::new(),
        };
        let mut facts = Facts {
            obstacles: self.obstacles.to_vec(),
            ..Facts::default()
        };
        let mut rings = match self.rings {
            Some(directory) => rings_in(directory, &mut facts)?,
            None => HashMap::new(),
        };
        facts.saw_all_rings &= self.rings.is_some();
        let boots = boots_in_order(remembered.iter().map(|region| region.boot));
        for region in &remembered {
            let stream = StreamId(region.ring);
            let ring = rings.remove(&stream);
            facts.regions.push(Region {
                stream,
                name: region.name.clone(),
                path: ring
                    .as_ref()
                    .map_or_else(|| region.path.clone(), |ring| ring.path.clone()),
                born: (boots.get(&region.boot).copied().unwrap_or(0), region.created),
                remembered: Some((remembered_as(region.state), region.position)),
                ring: ring.map(|ring| ring.found),
                spooled: self.spooled(stream),
            });
        }
        for (stream, ring) in rings {
            facts.regions.push(Region {
                stream,
                name: ring.name,
                path: ring.path,
                born: (boots.get(&ring.boot).copied().unwrap_or(u64::MAX), ring.created),
                remembered: None,
                ring: Some(ring.found),
                spooled: self.spooled(stream),
            });
        }
        if self.is_rebuilt {
            self.add_spooled(&mut facts);
        }
        facts.backlog = self.backlog()?;
        Ok(facts)
    }

    /// Streams that only the spools know.
    fn add_spooled(&self, facts: &mut Facts) {
        let mut known: HashSet<_> = facts.regions.iter().map(|region| region.stream).collect();
        for (stream, held) in self.spools.iter().flat_map(|spool| &spool.table.streams) {
            if known.insert(*stream) {
                facts.regions.push(Region {
                    stream: *stream,
                    name: held.producer.to_string(),
                    path: "its path is not known".to_owned(),
                    born: (0, held.created),
                    remembered: None,
                    ring: None,
                    spooled: self.spooled(*stream),
                });
            }
        }
    }

    /// What the spools hold of a stream, all together.
    fn spooled(&self, stream: StreamId) -> Option<Spooled> {
        let held = self.spools.iter().filter_map(|spool| spool.table.streams.get(&stream));
        held.map(|held| Spooled {
            end: held.end,
            ended: held.state == StreamState::Ended,
        })
        .reduce(|one, other| Spooled {
            end: one.end.max(other.end),
            ended: one.ended || other.ended,
        })
    }

    fn backlog(&self) -> Result<Vec<Backlog>, Failure> {
        let mut backlog = Vec::new();
        for spool in self.spools {
            let mut acked: HashMap<String, HashMap<Uuid, u64>> = HashMap::new();
            if let Some(stat) = self.stat {
                for destination in spool.index.destinations() {
                    let positions = stat.acknowledged(spool.sender, &destination);
                    acked.insert(destination, positions.map_err(|error| database_failure(&error))?);
                }
            }
            let has = |destination: &str, stream: StreamId| {
                let acked = acked.get(destination).and_then(|acked| acked.get(&stream.0));
                acked.copied().unwrap_or(0)
            };
            let mut sessions = HashMap::new();
            for owed in spool.index.backlog(&has) {
                let session = match sessions.entry(owed.epoch) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(unknown) => *unknown.insert(self.session_of(spool, owed.epoch)?),
                };
                backlog.push(Backlog {
                    session,
                    spool: spool.directory.clone(),
                    destination: owed.destination,
                    stream: owed.stream,
                    from: owed.from,
                    to: owed.to,
                });
            }
        }
        Ok(backlog)
    }

    /// The session that opened `spool` for the run `epoch`; 0 if nobody knows.
    fn session_of(&self, spool: &SpoolSeen, epoch: u64) -> Result<i64, Failure> {
        let Some(stat) = self.stat else { return Ok(0) };
        let session = stat.session_of_run(spool.sender, &spool.directory.display().to_string(), epoch);
        let session = session.map_err(|error| database_failure(&error))?;
        Ok(session.map_or(0, hogstat::SessionId::number))
    }
}

fn remembered_as(state: RegionState) -> Remembered {
    match state {
        RegionState::Kept => Remembered::Kept,
        RegionState::Lost => Remembered::Lost,
        RegionState::Abandoned => Remembered::Abandoned,
        RegionState::Open | RegionState::Adopted | RegionState::Ended => Remembered::Open,
    }
}

/// Numbers boots in the order in which they come; the one that runs is the last.
fn boots_in_order(boots: impl Iterator<Item = Uuid>) -> HashMap<Uuid, u64> {
    let mut order = HashMap::new();
    for boot in boots {
        let next = order.len() as u64;
        order.entry(boot).or_insert(next);
    }
    if let Ok(now) = hog_ring::boot_id() {
        order.insert(now, u64::MAX);
    }
    order
}

fn rings_in(directory: &Path, facts: &mut Facts) -> Result<HashMap<StreamId, RingSeen>, Failure> {
    facts.saw_all_rings = true;
    let paths = match hog_ring::ring_files(directory) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            facts.saw_all_rings = false;
            facts
                .obstacles
                .push(format!("{} cannot be read: {error}", directory.display()));
            return Ok(HashMap::new());
        }
        paths => paths.map_err(|error| {
            Failure::new(
                ExitStatus::Failed,
                format!("cannot list {}: {error}", directory.display()),
            )
        })?,
    };
    let mut rings = HashMap::new();
    for path in paths {
        match RingReader::open(&path) {
            Ok(mut ring) => {
                let seen = ring_seen(&mut ring);
                rings.insert(StreamId(ring.identity().uuid), seen);
            }
            Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                facts.saw_all_rings &= !matches!(error, OpenError::Io { .. });
                facts.obstacles.push(format!("{}: {}", path.display(), chain(&error)));
            }
        }
    }
    Ok(rings)
}

fn ring_seen(ring: &mut RingReader) -> RingSeen {
    let owner = match ring.liveness() {
        Liveness::Living => Owner::Living,
        Liveness::Retired => Owner::Retired,
        Liveness::Dead | Liveness::Closed => Owner::Gone,
    };
    // After the owner: what a dead one published is all there will be.
    let head = ring.sound_head().unwrap_or(0);
    let tail = ring.tail(head).unwrap_or(head);
    let identity = ring.identity();
    RingSeen {
        name: identity.name.clone(),
        path: ring.path().display().to_string(),
        boot: identity.boot,
        created: identity.created.max(ring.adopted()),
        found: RingFound {
            owner,
            adoptable: ring.is_adoptable(),
            tail,
        },
    }
}
