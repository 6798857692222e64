//! Which files the tracks of this run have, so that none is logged twice: under its name and under its rotated one, or by the ring that had it first
//! and by the one that took it over.
//!
//! A ring that an earlier run left may tell of a file that another ring has taken over since, and be behind it. Of what rings say before their
//! tracks begin, the furthest place counts; once a track has opened a file, it is that track's, whatever a ring says that is found
//! later.

use crate::modes::engine::state::{FileId, State};
use std::collections::HashMap;

/// What is as good as logged to its end, for the purpose of being further than something else.
const ALL: u64 = u64::MAX;

struct Holder {
    /// `None`: no track of this run.
    track: Option<usize>,
    /// Up to where it was logged, as far as is known; [`ALL`] once nobody else may have it.
    logged: u64,
}

/// The files that are, or were, logged.
#[derive(Default)]
pub struct Taken {
    files: HashMap<u64, Holder>,
}

impl Taken {
    /// Whether somebody has `file`, or had it.
    #[must_use]
    pub fn is_known(&self, file: &FileId) -> bool {
        self.files.contains_key(&file.digest())
    }

    /// Whether `track` is the one to go on with `file`.
    #[must_use]
    pub fn is_of(&self, file: &FileId, track: usize) -> bool {
        self.files
            .get(&file.digest())
            .is_some_and(|holder| holder.track == Some(track))
    }

    /// Takes in what the ring of `track` remembers.
    pub fn register(&mut self, track: usize, state: &State) {
        let marks = state.current.iter().chain(&state.late);
        let marks = marks.map(|mark| (mark.file.digest(), mark.offset));
        for (digest, logged) in marks.chain(state.done.iter().map(|digest| (*digest, ALL))) {
            let claim = Holder {
                track: Some(track),
                logged,
            };
            match self.files.get(&digest) {
                Some(holder) if holder.logged >= logged => {}
                _ => {
                    self.files.insert(digest, claim);
                }
            }
        }
    }

    /// `track` has opened `file`.
    pub fn open(&mut self, file: &FileId, track: usize) {
        let holder = Holder {
            track: Some(track),
            logged: ALL,
        };
        self.files.insert(file.digest(), holder);
    }

    /// `file` was logged by somebody else, to its end.
    pub fn done_elsewhere(&mut self, file: &FileId) {
        let holder = Holder {
            track: None,
            logged: ALL,
        };
        self.files.insert(file.digest(), holder);
    }

    /// `file` may be begun anew.
    pub fn forget(&mut self, file: &FileId) {
        self.files.remove(&file.digest());
    }

    /// Forgets all that `track` has.
    pub fn forget_track(&mut self, track: usize) {
        self.files.retain(|_, holder| holder.track != Some(track));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::engine::state::Mark;

    fn file(inode: u64) -> FileId {
        FileId {
            device: 1,
            inode,
            born: 7,
        }
    }

    fn state(offset: u64) -> State {
        let mark = Mark {
            file: file(1),
            offset,
            fingerprint: 0,
            covered: 0,
        };
        State {
            current: Some(mark),
            ..State::default()
        }
    }

    #[test]
    fn of_rings_that_know_a_file_the_one_that_is_furthest_goes_on_with_it() {
        let done = State {
            done: vec![file(1).digest()],
            ..State::default()
        };
        let mut taken = Taken::default();
        taken.register(1, &state(10));
        taken.register(2, &state(20));
        taken.register(3, &state(20));
        assert!(taken.is_of(&file(1), 2) && !taken.is_of(&file(1), 1) && !taken.is_of(&file(1), 3));
        taken.register(4, &done);
        assert!(taken.is_of(&file(1), 4));
    }

    #[test]
    fn a_file_that_a_track_has_opened_stays_its_own_until_it_is_forgotten() {
        let mut taken = Taken::default();
        taken.register(1, &state(10));
        taken.open(&file(1), 2);
        taken.register(3, &state(1000));
        assert!(taken.is_of(&file(1), 2));
        taken.forget_track(2);
        assert!(!taken.is_known(&file(1)));
        taken.done_elsewhere(&file(1));
        taken.register(1, &state(10));
        assert!(taken.is_known(&file(1)) && !taken.is_of(&file(1), 1));
        taken.forget(&file(1));
        assert!(!taken.is_known(&file(1)));
    }
}
