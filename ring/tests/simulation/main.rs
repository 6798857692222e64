//! Rings in a simulated world: producers, heirs and drainers that are killed at each point between two steps.
//!
//! Without the feature `simulation` this program builds itself with it, and with the mutants, and runs that: first unharmed, then with each
//! mutant, which must make it fail. With the feature it has the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Everything here is test code.

#[cfg(feature = "simulation")]
mod drainers;
#[cfg(feature = "simulation")]
#[path = "../ring/model.rs"]
mod model;
#[cfg(not(feature = "simulation"))]
mod mutants;
#[cfg(feature = "simulation")]
mod processes;
#[cfg(feature = "simulation")]
mod producers;
#[cfg(feature = "simulation")]
#[allow(dead_code)] // There is more in it than is needed here.
#[path = "../ring/scene.rs"]
mod scene;
#[cfg(feature = "simulation")]
mod sequences;
#[cfg(feature = "simulation")]
mod waits;
