//! Queues of version 2: every order in which a reader's acts, a producer's steps and kills of both can follow one another, and the real thing.
//!
//! Without the feature `mutants` this program also builds itself with it, and runs itself with each mutant, which must make the model fail.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Everything here is test code.

mod model;
#[cfg(not(feature = "mutants"))]
mod mutants;
mod queue;
