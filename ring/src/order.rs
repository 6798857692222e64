//! The memory orderings on which a ring rests, each where two sides meet: publication, room, and the waking of who sleeps.
//!
//! Everything else in the ring is ordered by these. They stand here, and not where they are used, so that the models below (`cargo test`) run these very
//! functions, on words whose every possible behaviour a model checker (loom) goes through; and so that each ordering can be weakened
//! there, to see that the models notice ([`Orders`]).
//!
//! - **Publication** ([`publish`], [`published`]): what was written before `tail = P` is there for whoever sees P.
//! - **Room** ([`give`], [`given`]): what was read before `head = P` may be overwritten by whoever sees P.
//! - **Waking** ([`announce`], [`is_announced`], [`wake`]): one side says that it is about to sleep, fences, and looks once more for what it waits for; the other
//!   brings that, fences, and looks for the announcement. One of them sees the other: nobody sleeps while what it waits for is there. A producer
//!   waits so for room, and the drainer for records. (It costs a fence, so most publications look for a sleeping drainer without one, and
//!   may miss it; that costs one poll.)

use crate::simulation::point;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A word of shared memory; in a model, of the checker's.
pub(crate) trait Word<T> {
    fn load(&self, order: Ordering) -> T;
    fn store(&self, value: T, order: Ordering);
    fn swap(&self, value: T, order: Ordering) -> T;
    fn fetch_add(&self, value: T, order: Ordering) -> T;
    fn fetch_max(&self, value: T, order: Ordering) -> T;
    /// A fence in the same memory.
    fn fence(order: Ordering);
}

macro_rules! word {
    ($atomic:ty, $number:ty, $fence:path) => {
        impl Word<$number> for $atomic {
            #[inline(always)]
            fn load(&self, order: Ordering) -> $number {
                <$atomic>::load(self, order)
            }

            #[inline(always)]
            fn store(&self, value: $number, order: Ordering) {
                <$atomic>::store(self, value, order);
            }

            #[inline(always)]
            fn swap(&self, value: $number, order: Ordering) -> $number {
                <$atomic>::swap(self, value, order)
            }

            #[inline(always)]
            fn fetch_add(&self, value: $number, order: Ordering) -> $number {
                <$atomic>::fetch_add(self, value, order)
            }

            #[inline(always)]
            fn fetch_max(&self, value: $number, order: Ordering) -> $number {
                <$atomic>::fetch_max(self, value, order)
            }

            #[inline(always)]
            fn fence(order: Ordering) {
                $fence(order);
            }
        }
    };
}

word!(AtomicU32, u32, std::sync::atomic::fence);
word!(AtomicU64, u64, std::sync::atomic::fence);

/// The orderings that matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    /// The store of `tail`.
    publish: Ordering,
    /// The load of `tail`.
    published: Ordering,
    /// The store of `head`.
    give: Ordering,
    /// The load of `head`.
    given: Ordering,
    /// The fence between the announcement and the last look.
    sleeper: Ordering,
    /// The fence between what is brought and the look for an announcement.
    waker: Ordering,
}

/// Those in use.
pub(crate) const ORDERS: Orders = Orders {
    publish: Ordering::Release,
    published: Ordering::Acquire,
    give: Ordering::Release,
    given: Ordering::Acquire,
    sleeper: Ordering::SeqCst,
    waker: Ordering::SeqCst,
};

/// Publishes everything below `position`: the commit. Pairs with [`published`].
#[inline(always)]
pub(crate) fn publish(tail: &impl Word<u64>, position: u64, orders: Orders) {
    tail.store(position, orders.publish);
}

/// Up to where everything is published, and may be read.
#[inline(always)]
pub(crate) fn published(tail: &impl Word<u64>, orders: Orders) -> u64 {
    tail.load(orders.published)
}

/// Gives the room below `position` back, which is read no more. Never goes backwards. Pairs with [`given`].
#[inline(always)]
pub(crate) fn give(head: &impl Word<u64>, position: u64, orders: Orders) {
    head.fetch_max(position, orders.give);
}

/// Up to where the room was given back, and may be written to.
#[inline(always)]
pub(crate) fn given(head: &impl Word<u64>, orders: Orders) -> u64 {
    head.load(orders.given)
}

/// Says, in `flag`, that this side is about to sleep on `word`, unless it finds what it waits for once more. What `word` must still be for it to sleep.
#[inline]
pub(crate) fn announce<W: Word<u32>>(flag: &W, word: &W, orders: Orders) -> u32 {
    // The word before the flag: whoever sees the flag raises the word, which ends the sleep at once.
    let before = word.load(Ordering::Acquire);
    flag.store(1, Ordering::Relaxed);
    point();
    W::fence(orders.sleeper);
    before
}

/// Whether the other side sleeps, or is about to and may have missed what was just brought.
#[inline(always)]
pub(crate) fn is_announced<W: Word<u32>>(flag: &W, orders: Orders) -> bool {
    W::fence(orders.waker);
    flag.load(Ordering::Relaxed) != 0
}

/// Takes the announcement back and raises the word. `true`: the kernel is to wake who sleeps on it. One of many wakers gets that.
pub(crate) fn wake<W: Word<u32>>(flag: &W, word: &W) -> bool {
    if flag.swap(0, Ordering::AcqRel) == 0 {
        return false;
    }
    point();
    word.fetch_add(1, Ordering::Release);
    true
}

#[cfg(test)]
mod models;
