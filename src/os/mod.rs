//! The doors to the kernel: one to the disk, one to locks, one to the clock, one to the net. (Maps of rings are
//! behind [`hog_ring`].) Nothing else in hog opens a file for writing, reads a clock or makes a socket.

pub mod clock;
pub mod disk;
pub mod lock;
pub mod net;
pub mod process;
