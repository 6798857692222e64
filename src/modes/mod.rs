//! The modes: threads, loops and shutdown around the stages.

pub mod archive_reader;
pub mod batchrecv;
pub mod batchsend;
pub mod cat;
pub mod demo;
pub mod drainer;
pub mod engine;
pub mod export;
pub mod faults;
pub mod gc;
pub mod heartbeat;
pub mod hobbes_files;
pub mod hobbes_reader;
pub mod intake;
pub mod local;
pub mod preflight;
pub mod rarely;
pub mod recorder;
pub mod recover;
pub mod selection;
pub mod service;
pub mod status;
pub mod stop;
pub mod store;
pub mod supervise;
pub mod verify;
