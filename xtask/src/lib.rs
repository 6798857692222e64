//! The manual pages and completions of hog, rendered from what they describe: the command line's definition
//! ([`hog::cli`]), the exit statuses ([`hog::exit`]) and `docs/FORMATS.md`.
//!
//! They are kept in the repository, so that whoever installs or packages hog needs nothing but the files; a test fails
//! when they are not what would be rendered now.

pub mod completions;
pub mod generated;
pub mod markdown;
pub mod pages;
pub mod surroundings;
