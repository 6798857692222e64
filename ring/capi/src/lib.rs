//! Logging from C: the crate `hog-ring` behind functions, numbers and opaque pointers.
//!
//! The header `include/hog.h` is made of this source by cbindgen, comments and all, and a test holds the two together.
//! So what stands in the comments of public items is written for those who read C.
//!
//! What every function keeps to:
//! - No panic leaves it: it becomes [`outcome::HOG_ERR_INTERNAL`].
//! - It answers a null pointer, a text that is not UTF-8, a type that there is none of, and calls in the wrong order with a
//!   number; the words are in `hog_last_error`, of which each thread has its own.
//! - What cannot be seen from a pointer is the caller's to keep: that it is one that this library gave out, or memory as
//!   large as was said; and that a writer is used by one thread at a time. Each `unsafe` block rests on that, and says so.
//!
//! | file | what is there |
//! |---|---|
//! | [`outcome`] | statuses, the words of the last error, the way out of every function |
//! | [`pointer`] | references and texts from what C handed over |
//! | [`value`] | fields, tagged values, and their payload |
//! | [`statement`], [`group`], [`writer`] | the functions |
#![allow(unsafe_code)]
// Types are named as C has them, so that this source and the header read alike.
#![allow(non_camel_case_types)]

pub mod group;
pub mod outcome;
mod pointer;
pub mod statement;
pub mod value;
pub mod writer;

/// What the header says of threads: groups and statements are for any number at the same time, a writer for one after the
/// other.
const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    const fn handed_over<T: Send>() {}
    shared_by_threads::<hog_ring::Group>();
    shared_by_threads::<group::hog_group>();
    shared_by_threads::<statement::hog_statement>();
    handed_over::<hog_ring::Writer>();
    handed_over::<hog_ring::Transaction<'static>>();
};
