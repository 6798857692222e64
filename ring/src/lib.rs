//! Log structured records into shared memory, for nanoseconds a record, such that they survive the process.
//!
//! A program opens a [`Group`], takes a [`Writer`] for each of its threads, and logs [`Statement`]s. A writer's ring is a
//! file on tmpfs that the writer fills and a drainer (`hog batchsend`) empties. A record is committed by one
//! store to memory that outlives the process; whatever kills the process, at whatever instruction, a record whose
//! [`Writer::log`] returned is there, whole; and of one whose `log` did not return, either all is there or nothing.
//!
//! ```no_run
//! use hog_ring::{Group, Statement, statement};
//!
//! static STARTED: Statement<(&str, u32)> = statement!("started", "$program started with $workers workers", program, workers);
//!
//! let mut writer = Group::open("web")?.writer()?;
//! writer.log(&STARTED, ("server", 8))?;
//! # Ok::<(), hog_ring::Error>(())
//! ```
//!
//! # Map
//! - For producers: [`Group`], [`Writer`], [`Transaction`], [`Batch`]; [`mod@statement`], [`payload`] and [`types`] say what
//!   is logged, and `#[derive(Value)]` (feature `derive`, on by default) makes values of structs and enums. Below them `claim` finds or makes a ring, and `cursor` keeps a producer's place in it.
//! - For programs that use the crate `tracing`: `tracing::HogLayer` (feature `tracing`).
//! - For drainers: [`RingReader`], [`Doorbell`], and [`mod@record`], which judges copied bytes; [`v2`] reads the queues of the original.
//! - [`layout`] and [`limits`] have the numbers; `docs/FORMATS.md` explains them.
//! - `unsafe` stands in `shm` (mappings) and `sys` (raw calls) alone.
//!
//! # Assumptions
//! 64-bit little-endian Linux, tmpfs, and one writer for each ring, which locks and the owner word see to. A process of the
//! same user, or of the Unix group that rings are shared with ([`ShmGroup`]), that writes into rings against these rules
//! can spoil their records, and by shrinking a ring's file end the process that writes it.

/// The README's programs, which are compiled as this crate's examples are.
#[cfg(all(doctest, feature = "derive", feature = "tracing"))]
#[doc = include_str!("../../README.md")]
struct Readme;

// The derived code and the documents' examples name this crate as its users do.
extern crate self as hog_ring;

mod claim;
mod clock;
mod cursor;
pub mod doorbell;
mod error;
mod fork;
pub mod group;
pub mod header;
pub mod layout;
pub mod limits;
#[doc(hidden)]
pub mod mutant;
mod order;
pub mod owner;
pub mod payload;
pub mod reader;
pub mod record;
mod share;
mod shm;
#[doc(hidden)]
pub mod simulation;
#[doc(hidden)]
pub mod state;
pub mod statement;
mod sys;
#[cfg(feature = "tracing")]
pub mod tracing;
mod transaction;
pub mod types;
pub mod v2;
mod writer;

pub use claim::Recovered;
pub use doorbell::Doorbell;
pub use error::Error;
pub use group::{Group, GroupOptions, Resume, SHM_DIR_DEFAULT, TmpfsError, group_dir, require_tmpfs, ring_files};
pub use header::{BadIdentity, Identity, is_group_name};
pub use owner::{Liveness, OwnerWord, ProcessWatch, boot_id, boottime_ns, process_start_time};
pub use payload::Value;
pub use reader::{Condemnation, OpenError, RingFault, RingReader};
pub use record::{BadRecord, Cut, Header, Kind, Parsed, Walk, cut, parse};
pub use share::{ShmGroup, UnknownShmGroup};
pub use statement::{RuntimeStatement, Statement};
#[doc(hidden)]
pub use sys::unacknowledged;
pub use transaction::{Batch, Transaction};
pub use writer::Writer;
