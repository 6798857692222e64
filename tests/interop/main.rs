//! hog beside peers that others wrote: applications that log into queues of version 2, original senders, original
//! receivers. The peers are programs in Python in this directory, written from the facts about the original's formats
//! and not from hog's code, so that what both sides misunderstand alike is not taken for right.
//!
//! First the peers are held against captures of the original, and against each other. Where there is no python3 that
//! can play them, each test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "../hog/arrived.rs"]
mod arrived;
mod fregion;
mod from_original;
mod from_producers;
mod journal;
mod moving;
mod peers;
#[allow(dead_code)]
#[path = "../hog/roles.rs"]
mod roles;
#[allow(dead_code)]
#[path = "../hog/scene.rs"]
mod scene;
mod themselves;
mod to_original;
