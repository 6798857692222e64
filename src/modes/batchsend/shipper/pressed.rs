//! Bodies that were compressed for one destination, for the others that are sent the same frames.
//!
//! Shippers of a spool cut their parcels alike, so they mostly want the same bodies at about the same time. Whoever comes first compresses. Whoever comes
//! meanwhile waits for that, [`PATIENCE`] at most, and then does it itself; whoever comes later finds it, or does it itself. So nobody depends on
//! another one: who fails leaves nothing behind but his work. A body is known by what it is made of (stream, positions, and the checksum
//! of those bytes) and how it is compressed, so that it is never taken for another one. Memory is bounded: what nobody came for goes, the oldest first.

use crate::formats::codec::Compression;
use crate::formats::frame::Codec;
use crate::ids::StreamId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So long a body that is being compressed is waited for: many times what a frame takes.
const PATIENCE: Duration = Duration::from_millis(100);
/// So many bytes of bodies are kept for others.
const KEPT_BYTES: usize = 16 << 20;
/// And so many bodies.
const KEPT: usize = 64;

/// What a body is made of, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recipe {
    pub(super) stream: StreamId,
    pub(super) start: u64,
    pub(super) end: u64,
    /// CRC of the raw body.
    pub(super) raw_crc: u32,
    pub(super) compression: Compression,
}

/// A body, compressed.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) codec: Codec,
    /// CRC of `bytes`.
    pub(super) crc: u32,
    /// Nothing where compressing does not make it smaller.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Body {
    fn len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }
}

/// The bodies that the shippers of a spool share.
#[derive(Default)]
pub struct Pressed {
    state: Mutex<State>,
    made: Condvar,
}

#[derive(Default)]
struct State {
    /// Connections that are sent bodies from here.
    users: usize,
    places: HashMap<Recipe, Place>,
    /// Those that were made, the oldest first; some may have gone since.
    order: VecDeque<Recipe>,
    bytes: usize,
}

enum Place {
    Making,
    Made {
        body: Arc<Body>,
        /// How many others have not come for it.
        awaited_by: usize,
    },
}

/// A connection that takes part.
pub(super) struct User(Arc<Pressed>);

/// What there is of a body.
pub(super) enum Found {
    /// The body.
    Made(Arc<Body>),
    /// Nothing: the claimant makes it for all.
    Claimed(Claim),
    /// Nothing that could be waited for, or nobody to share with.
    Alone,
}

/// The promise to make a body. Dropped, it is taken back.
pub(super) struct Claim {
    pressed: Arc<Pressed>,
    recipe: Recipe,
}

impl Pressed {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before the guard goes, so a panic elsewhere leaves it sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl User {
    pub(super) fn of(pressed: &Arc<Pressed>) -> Self {
        pressed.lock().users += 1;
        Self(Arc::clone(pressed))
    }

    /// The body that `recipe` gives, if another one made it; or who is to make it.
    pub(super) fn find(&self, recipe: Recipe) -> Found {
        let state = self.0.lock();
        if state.users < 2 {
            return Found::Alone;
        }
        let is_being_made = |state: &mut State| matches!(state.places.get(&recipe), Some(Place::Making));
        let waited = self.0.made.wait_timeout_while(state, PATIENCE, is_being_made);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.places.get_mut(&recipe) {
            None => {
                state.places.insert(recipe, Place::Making);
                let pressed = Arc::clone(&self.0);
                Found::Claimed(Claim { pressed, recipe })
            }
            Some(Place::Making) => Found::Alone,
            Some(Place::Made { body, awaited_by }) => {
                let body = Arc::clone(body);
                *awaited_by = awaited_by.saturating_sub(1);
                if *awaited_by == 0 {
                    state.forget(&recipe);
                }
                Found::Made(body)
            }
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.users -= 1;
        if state.users < 2 {
            state.places.retain(|_, place| matches!(place, Place::Making));
            state.order.clear();
            state.bytes = 0;
        }
    }
}

impl Claim {
    /// Here it is.
    pub(super) fn made(self, body: Body) {
        let mut state = self.pressed.lock();
        let awaited_by = state.users.saturating_sub(1);
        if awaited_by > 0 {
            state.bytes += body.len();
            state.order.push_back(self.recipe);
            let body = Arc::new(body);
            state.places.insert(self.recipe, Place::Made { body, awaited_by });
            state.make_room();
        }
        // The claim goes, and wakes who waits.
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.pressed.lock();
        if matches!(state.places.get(&self.recipe), Some(Place::Making)) {
            state.places.remove(&self.recipe);
        }
        drop(state);
        self.pressed.made.notify_all();
    }
}

impl State {
    /// Lets a body go that was made. One that is being made, perhaps once more, stays with its claimant.
    fn forget(&mut self, recipe: &Recipe) {
        if let Some(Place::Made { body, .. }) = self.places.get(recipe) {
            self.bytes -= body.len();
            self.places.remove(recipe);
        }
    }

    /// Lets the oldest go until bounds are kept, and what has gone already out of the order.
    fn make_room(&mut self) {
        while let Some(oldest) = self.order.front().copied() {
            let is_there = matches!(self.places.get(&oldest), Some(Place::Made { .. }));
            if is_there && self.bytes <= KEPT_BYTES && self.order.len() <= KEPT {
                return;
            }
            self.forget(&oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(start: u64) -> Recipe {
        Recipe {
            stream: StreamId::NIL,
            start,
            end: start + 8,
            raw_crc: 1,
            compression: Compression::Zstd(1),
        }
    }

    fn body(len: usize) -> Body {
        Body {
            codec: Codec::Zstd,
            crc: 7,
            bytes: Some(vec![0; len]),
        }
    }

    fn is_empty(pressed: &Pressed) -> bool {
        let state = pressed.lock();
        state.bytes == 0 && state.places.is_empty()
    }

    fn make(user: &User, start: u64, len: usize) {
        let Found::Claimed(claim) = user.find(recipe(start)) else {
            panic!("it is there already, or there is nobody else");
        };
        claim.made(body(len));
    }

    #[test]
    fn what_one_made_the_others_find_and_then_it_goes() {
        let pressed = Arc::<Pressed>::default();
        let users: Vec<_> = (0..3).map(|_| User::of(&pressed)).collect();
        make(&users[0], 8, 100);
        for user in &users[1..] {
            assert!(matches!(user.find(recipe(8)), Found::Made(body) if body.crc == 7));
        }
        assert!(is_empty(&pressed));
    }

    #[test]
    fn a_body_of_other_bytes_or_another_codec_is_another_one() {
        let pressed = Arc::<Pressed>::default();
        let users = [User::of(&pressed), User::of(&pressed)];
        make(&users[0], 8, 100);
        let others = [
            Recipe {
                raw_crc: 2,
                ..recipe(8)
            },
            Recipe { end: 24, ..recipe(8) },
            Recipe {
                compression: Compression::Lz4,
                ..recipe(8)
            },
        ];
        for other in others {
            assert!(matches!(users[1].find(other), Found::Claimed(_)));
        }
    }

    #[test]
    fn one_alone_keeps_nothing() {
        let pressed = Arc::<Pressed>::default();
        let user = User::of(&pressed);
        assert!(matches!(user.find(recipe(8)), Found::Alone));
        let other = User::of(&pressed);
        make(&user, 8, 100);
        drop(other);
        assert!(is_empty(&pressed));
    }

    #[test]
    fn who_panics_while_others_wait_for_its_body_leaves_it_to_them() {
        let pressed = Arc::<Pressed>::default();
        let (one, other) = (User::of(&pressed), User::of(&pressed));
        let claimed = one.find(recipe(8));
        assert!(matches!(claimed, Found::Claimed(_)));
        let waits = std::thread::spawn(move || matches!(other.find(recipe(8)), Found::Claimed(_) | Found::Alone));
        let panics = std::thread::spawn(move || {
            let _claimed = claimed;
            panic!("on purpose");
        });
        assert!(panics.join().is_err());
        assert!(waits.join().unwrap());
        assert!(is_empty(&pressed));
    }

    #[test]
    fn what_is_made_once_more_stays_claimed_when_its_former_place_goes() {
        let pressed = Arc::<Pressed>::default();
        let users = [User::of(&pressed), User::of(&pressed)];
        make(&users[0], 8, 100);
        assert!(matches!(users[1].find(recipe(8)), Found::Made(_)));
        // Its destination came back, and is sent the same once more.
        let Found::Claimed(claim) = users[1].find(recipe(8)) else {
            panic!("all had come for it");
        };
        make(&users[0], 16, 100);
        assert!(
            matches!(users[0].find(recipe(8)), Found::Alone),
            "somebody makes it already"
        );
        claim.made(body(100));
        let state = pressed.lock();
        assert_eq!((state.bytes, state.places.len()), (200, 2));
    }

    #[test]
    fn nobody_waits_for_ever_for_one_that_hangs() {
        let pressed = Arc::<Pressed>::default();
        let (hangs, other) = (User::of(&pressed), User::of(&pressed));
        let _claim = hangs.find(recipe(8));
        assert!(matches!(other.find(recipe(8)), Found::Alone));
    }

    #[test]
    fn what_nobody_comes_for_is_bounded() {
        let pressed = Arc::<Pressed>::default();
        let users = [User::of(&pressed), User::of(&pressed)];
        for number in 0..100 {
            make(&users[0], 8 * number, 1 << 20);
            let state = pressed.lock();
            assert!(state.bytes <= KEPT_BYTES && state.order.len() <= KEPT);
            assert_eq!(state.bytes, state.places.len() << 20);
        }
        assert!(matches!(users[1].find(recipe(0)), Found::Claimed(_)));
        assert!(matches!(users[1].find(recipe(8 * 99)), Found::Made(_)));
    }
}
