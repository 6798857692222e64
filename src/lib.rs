//! hog: a crash-safe, shared-memory log shipper for Linux.
//!
//! This crate is the program's inside; producers link [`hog_ring`] instead. `ARCHITECTURE.md` has the map: [`modes`] run
//! [`stages`], these stand on [`seglog`], that on [`formats`] and [`os`], and all on [`limits`], [`ids`],
//! [`fence`] and [`exit`].
//!
//! # Formats
#![doc = include_str!("../docs/FORMATS.md")]

// A worker that panics is caught and started anew (modes/supervise.rs). Where a panic aborts, it would take all other workers with it.
#[cfg(panic = "abort")]
compile_error!("hog is to be built with panic = \"unwind\": its workers are caught and started anew when they panic");

pub mod cli;
pub mod exit;
pub mod fence;
pub mod formats;
pub mod ids;
pub mod limits;
pub mod modes;
pub mod os;
pub mod seglog;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod stages;
