//! Events through a real subscriber, and what their rings hold.

#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used)]

mod losses;
mod records;
mod scene;
