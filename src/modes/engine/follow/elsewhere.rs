//! What the other rings of the group know of files: those of other engines, and those of runs that followed other names.
//!
//! Before a file that this run does not know is begun, they are asked, so that one file is not logged twice under two names. A living
//! engine's file is left to it; where a dead one stopped is where its file is gone on with. Hints, read once for many files: two engines
//! of one group that find a file at the same moment under two names cannot see each other.

use crate::modes::engine::state::{FileId, Mark, State};
use hog_ring::{Group, Liveness, OwnerWord, RingReader, ring_files};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long an answer is good for, at least.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// Of all time, at most one part in so many is spent on asking.
const ASK_PART: u32 = 100;

/// What another ring knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    No,
    /// A living engine logs it, or has logged it.
    Living,
    /// It was logged up to here, by nobody who lives.
    UpTo(Mark),
    /// It was logged.
    Done,
}

/// What the other rings know.
#[derive(Default)]
pub struct Elsewhere {
    marks: HashMap<u64, Known>,
    good_until: Option<Instant>,
}

impl Elsewhere {
    /// What other rings know of `file`. `ours` are the names of the rings that this run has.
    pub fn ask(&mut self, file: &FileId, group: &Group, ours: &dyn Fn(&str) -> bool) -> Known {
        let now = Instant::now();
        if self.good_until.is_none_or(|until| now >= until) {
            self.marks = read_all(group, ours);
            self.good_until = Some(now + GOOD_FOR.max(now.elapsed() * ASK_PART));
        }
        self.marks.get(&file.digest()).copied().unwrap_or(Known::No)
    }
}

fn read_all(group: &Group, ours: &dyn Fn(&str) -> bool) -> HashMap<u64, Known> {
    let mut all = HashMap::new();
    for path in ring_files(group.directory()).unwrap_or_default() {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| ours(&name)) {
            continue;
        }
        let Ok(mut ring) = RingReader::open(&path) else {
            continue;
        };
        if !ring.identity().named || ring.owner() == OwnerWord::RETIRED || ring.is_condemned() {
            continue;
        }
        if let Some(state) = ring.state().and_then(|state| State::decode(&state)) {
            note(&mut all, &state, ring.liveness() == Liveness::Living);
        }
    }
    all
}

/// Adds what one ring knows. A living engine's word counts for more than a dead one's, a later place for more than an earlier one.
fn note(all: &mut HashMap<u64, Known>, state: &State, is_living: bool) {
    let marks = state.current.iter().chain(&state.late);
    let known = marks.map(|mark| (mark.file.digest(), Known::UpTo(*mark)));
    let done: HashSet<u64> = state.done.iter().copied().collect();
    for (digest, known) in known.chain(done.into_iter().map(|digest| (digest, Known::Done))) {
        let known = if is_living { Known::Living } else { known };
        let entry = all.entry(digest).or_insert(Known::No);
        *entry = match (*entry, known) {
            (Known::Living, _) | (_, Known::Living) => Known::Living,
            (Known::UpTo(one), Known::UpTo(other)) if one.offset > other.offset => Known::UpTo(one),
            // Who has it behind it took it over, if another ring tells of a place in it.
            (Known::Done, _) => Known::Done,
            (_, other) => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: u64) -> Mark {
        Mark {
            file: FileId {
                device: 1,
                inode: 2,
                born: 3,
            },
            offset,
            fingerprint: 0,
            covered: 0,
        }
    }

    fn state(offset: u64) -> State {
        State {
            current: Some(mark(offset)),
            ..State::default()
        }
    }

    #[test]
    fn the_furthest_place_counts_and_a_living_engine_s_word_before_all() {
        let digest = mark(0).file.digest();
        let done = State {
            done: vec![digest],
            ..State::default()
        };
        let mut all = HashMap::new();
        note(&mut all, &done, false);
        assert_eq!(all[&digest], Known::Done);
        note(&mut all, &state(10), false);
        note(&mut all, &state(5), false);
        note(&mut all, &done, false);
        assert_eq!(all[&digest], Known::Done);
        all.clear();
        note(&mut all, &state(10), false);
        note(&mut all, &state(5), false);
        assert_eq!(all[&digest], Known::UpTo(mark(10)));
        note(&mut all, &state(1), true);
        note(&mut all, &state(20), false);
        assert_eq!(all[&digest], Known::Living);
    }
}
