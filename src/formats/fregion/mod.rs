//! The original's `.log` files ("fregion", raw mode): pure functions between values and bytes, no IO.
//!
//! A file is a run of pages. An environment in it binds names to typed places; a statement's records are a series, a chain of batches of slots; and a
//! series `log` or `transactions` says in which order records of all statements came. `docs/FORMATS.md` says what hog writes of the format, and how it
//! uses the freedom that the format leaves.

#[cfg(test)]
pub(crate) mod check;
pub mod commit;
pub mod damage;
pub mod environment;
pub mod fresh;
pub mod geometry;
pub mod heap;
pub mod kind;
pub mod naming;
pub mod pages;
pub mod recording;
pub mod series;
pub mod source;
pub mod state;
pub mod store;
pub mod stored;
pub mod values;
