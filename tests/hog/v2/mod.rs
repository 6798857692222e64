//! Programs of the original (version 2), whose queues `batchsend` and `local` take in.

mod golden;
mod hostile;
mod killed;
mod life;
pub(crate) mod producer;
mod taken;
