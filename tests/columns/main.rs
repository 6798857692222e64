//! `hog export` with real files: tables read back by pyarrow, which is not hog's code, and exports that are killed.
//!
//! pyarrow is looked for in `$HOG_PYTHON`, or else in `python3`; where it is missing a test says so and passes, unless `CI` is set: `.ci/run` puts it
//! there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "../hog/arrived.rs"]
mod arrived;
mod kills;
mod logged;
mod readers;
#[allow(dead_code)]
#[path = "../hog/roles.rs"]
mod roles;
#[allow(dead_code)]
#[path = "../hog/scene.rs"]
mod scene;
