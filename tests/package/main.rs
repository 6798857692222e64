//! The Debian packages: made from the program and the library under test, held against what units and documents say is in
//! them, installed, removed and purged; and the README's first hour, walked with them on a machine that is thrown away.
//!
//! This machine is not touched: dpkg and the packages' scripts work below a tree of their own ([`tree`]), or on that other
//! machine ([`machine`]). Both need root and tools that are not everywhere; where one is missing, the test is skipped with a word.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test: what fails is to be seen where it fails

mod contents;
mod hour;
mod machine;
mod making;
mod readme;
mod tree;
