//! The stages, in the order in which a record meets them: drain, spool, ship, receive, archive.
//!
//! They do not know each other; [`crate::modes`] joins them. Drain, ship and receive decide and do no IO: what they need to know of
//! rings, sockets and the time is an argument. Spool and archive are the two ends of the disk, through [`crate::seglog`].

pub mod archive;
pub mod drain;
pub mod pace;
pub mod receive;
pub mod recovery;
pub mod route;
pub mod ship;
pub mod spool;
