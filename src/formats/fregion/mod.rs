//! The original's `.log` files ("fregion", raw mode): pure functions between values and bytes, no IO.
//!
//! A file is a run of pages. An environment in it binds names to typed places; a statement's records are a series, a chain of batches of slots; and a
//! series `log` or `transactions` says in which order records of all statements came. `docs/FORMATS.md` says what hog writes of the format, and how it
//! uses the freedom that the format leaves.

pub mod damage;
pub mod environment;
pub mod kind;
pub mod pages;
pub mod recording;
pub mod series;
pub mod source;
pub mod stored;
pub mod values;
