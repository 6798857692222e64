//! Rings from outside: what a writer logs is what a reader gets, whatever happens to either.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Everything here is test code.

mod adoption;
mod alone;
mod formats;
mod fragments;
mod kill;
mod life;
mod model;
mod round_trip;
mod scene;
mod sequences;
mod shared;
mod stress;
mod transactions;
mod unreliable;
