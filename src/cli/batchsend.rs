//! `hog batchsend`: its flags, their defaults and reasons.

use super::values::{destination, group, size, time, without_repeats};
use super::{ShmDir, ShmSharing};
use crate::exit::{ExitStatus, Failure};
use crate::formats::codec::Compression;
use crate::limits;
use crate::modes::batchsend::{self, BatchsendOptions};
use crate::modes::store;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct BatchsendArgs {
    /// A group to drain; may be repeated
    #[arg(short, long = "group", value_name = "GROUP", required = true, value_parser = group)]
    groups: Vec<String>,
    /// A destination, HOST:PORT; may be repeated. Each gets everything; one that is down delays no other.
    #[arg(long = "to", value_name = "HOST:PORT", required = true, value_parser = destination)]
    to: Vec<String>,
    /// Directory of the spools: one below it for each group, or wherever $GROUP stands in it [default: /var/lib/hog/spool]
    #[arg(short, long, value_name = "SPOOL")]
    dir: Option<String>,
    /// Directory of hogstat.db [default: $HOBBES_STORE_DIR, or /var/lib/hog/batchsend]
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    /// A batch leaves at the latest this long after its first record was drained. Longer batches compress better.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    batch_time: Duration,
    /// A batch leaves when it has this many bytes
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    batch_size: u64,
    /// Compression on the wire and in the archive: zstd:LEVEL, lz4 or none. Level 1 is faster than most networks.
    #[arg(long, value_name = "CODEC", default_value = "zstd:1")]
    compress: Compression,
    /// How often the spool is synced: what loss of power can cost this host. A killed process costs nothing, whatever this is.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    sync: Duration,
    /// End once everything found at the start is drained and acknowledged
    #[arg(long)]
    drain_and_exit: bool,
    #[command(flatten)]
    shm: ShmDir,
    #[command(flatten)]
    sharing: ShmSharing,
}

impl BatchsendArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        let usage = |words: &str| Failure::new(ExitStatus::Usage, words);
        batchsend::run(&BatchsendOptions {
            groups: without_repeats(self.groups),
            destinations: without_repeats(self.to),
            spool: self.dir.unwrap_or_else(batchsend::default_spool),
            store: self.store_dir.unwrap_or_else(|| store::default_store("batchsend")),
            shm_dir: self.shm.shm_dir,
            shm_group: self.sharing.shm_group,
            batch_time: self.batch_time,
            batch_bytes: usize::try_from(self.batch_size)
                .ok()
                .filter(|size| (1..=limits::WINDOW_BYTES).contains(&(*size as u64)))
                .ok_or_else(|| usage("--batch-size is 1 byte to 8 MiB"))?,
            compression: self.compress,
            sync: self.sync,
            drain_and_exit: self.drain_and_exit,
        })
    }
}
