//! The program as its users run it: real processes, real rings, real sockets, and what `hog cat` says arrived.
//!
//! One crate, so that the program is linked into it once. Each test has directories, rings and ports of its own
//! (`scene`) and leaves nothing behind. Inputs and moments are drawn from a seed that a failing test prints;
//! `HOG_TEST_SEED=N` draws them again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_disk;
mod arrived;
mod backlog;
mod bad_input;
mod chaos;
mod classic;
mod classic_command_line;
mod contract;
mod crowd;
mod database;
mod ended;
mod events;
mod export_hobbes;
mod failing_disk;
mod faults;
mod file_limit;
mod follow;
mod follow_growth;
mod follow_kill;
mod follow_places;
mod follow_rotation;
mod groups;
mod handover;
mod help;
mod identity;
mod kill;
mod languages;
mod life;
mod local;
mod local_disk;
mod moments;
mod order;
mod original;
mod producers;
mod proxy;
mod quarantine;
mod recovery;
mod refusals;
mod restarts;
mod roles;
mod room;
mod scene;
mod senders;
mod services;
mod sharing;
mod ship;
mod small_disk;
mod spoilt;
mod supervision;
mod syscalls;
mod tidying;
mod v2;
