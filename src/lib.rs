//! hog: a crash-safe, shared-memory log shipper for Linux.
//!
//! This crate is the program's inside; producers link [`hog_ring`] instead. `ARCHITECTURE.md` has the map: [`modes`] run
//! [`stages`], these stand on [`seglog`], that on [`formats`] and [`os`], and all on [`limits`], [`ids`] and [`exit`].
//!
//! # Formats
#![doc = include_str!("../docs/FORMATS.md")]

pub mod cli;
pub mod exit;
pub mod formats;
pub mod ids;
pub mod limits;
pub mod modes;
pub mod os;
pub mod seglog;
pub mod stages;
