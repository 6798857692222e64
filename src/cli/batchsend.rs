//! `hog batchsend`: its flags, their defaults and reasons.

use super::supervision::SupervisionArgs;
use super::sync_with::SyncWithArgs;
use super::values::{destination, group, size, time, without_repeats};
use super::{ShmDir, ShmSharing, SocketDir};
use crate::exit::{ExitStatus, Failure};
use crate::formats::codec::Compress;
use crate::limits;
use crate::modes::batchsend::{self, BatchsendOptions};
use crate::modes::store;
use crate::stages::recovery::Policy;
use crate::stages::spool::room::OnFull;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFullArg {
    /// Let them wait, and then their producers
    Block,
    /// Give them the place of the oldest, which are lost to the destinations that lack them, counted and marked by a GAP
    DropOldest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RecoverArg {
    /// Recover what can be recovered, report the rest as lost, and go on
    Auto,
    /// Refuse to start, and touch nothing, while anything cannot be recovered (exit 4)
    Require,
    /// Leave it for a later run, untouched
    Off,
}

#[derive(Debug, Args)]
pub(super) struct BatchsendArgs {
    /// A group to drain; may be repeated
    #[arg(short, long = "group", value_name = "GROUP", required = true, value_parser = group)]
    groups: Vec<String>,
    /// A destination; may be repeated
    ///
    /// Each gets everything, at its own pace: one that is down delays no other. All addresses of a name are tried. A destination is known by this text:
    /// what an earlier run owes it is sent once it is named alike.
    ///
    /// With `hobbes://` in front it is a receiver of the original system, which has no positions: what is on its way when either side is killed is sent
    /// again, as the same bytes. Records of types that it cannot store are left out, and counted.
    ///
    /// With `either://` in front it is one or the other, which each connection finds out without harm; it may be replaced by the other at any time.
    #[arg(long = "to", value_name = "HOST:PORT", required = true, value_parser = destination)]
    to: Vec<String>,
    /// Directory of the spools
    ///
    /// Each group has one in it, named after the group; or its name stands wherever `$GROUP` does.
    ///
    /// The default, /var/lib/hog/spool, is on disk, where the backlog of a receiver that is down has room and outlives a reboot.
    #[arg(short, long, value_name = "SPOOL")]
    dir: Option<String>,
    /// Directory of hogstat.db, and of the sockets of the original's programs
    ///
    /// Nothing in it is on the way of a record: it says which ring, spool and destination belong to whom, and what went wrong. One process has it at a time.
    ///
    /// Programs that log through the original's library look for hstore.GROUP.sk in their $HOBBES_STORE_DIR, $TMPDIR or $TMP, or else in /var/tmp: name that directory to serve
    /// them. A socket's path has at most 107 bytes.
    ///
    /// The default is $HOBBES_STORE_DIR where that is set, as the original has it, and otherwise /var/lib/hog/batchsend, beside the spool.
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    /// How long a record may wait for others to leave with
    ///
    /// A batch leaves at the latest this long after its first record was drained, with --drain-and-exit after 100 ms, and at once when all who logged are gone: nobody could add to
    /// it.
    ///
    /// The default is a delay that nobody notices who reads logs, and long enough for batches that compress well. Longer ones compress better.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    batch_time: Duration,
    /// How many bytes make a batch leave at once
    ///
    /// From 1 byte to 8MiB, before compression.
    ///
    /// The default is what a frame holds at most: more would leave as several, and gain nothing.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    batch_size: u64,
    /// Compression of what is shipped: zstd:LEVEL, lz4, none or auto
    ///
    /// The receiver stores what comes as it comes, so its archive has the same compression.
    ///
    /// With `auto` each destination gets zstd:1, lz4 or none, whichever takes the least time to compress and send together: the others are tried now and then
    /// while much is shipped, for about 8 MiB, and one that takes a fifth less is kept to. On a network that is faster than zstd, archives grow for it.
    ///
    /// The default compresses logs to a fraction of their size and is faster than most networks. A higher level takes more of the processor for
    /// little; lz4 takes less of it.
    #[arg(long, value_name = "CODEC", default_value = "zstd:1")]
    compress: Compress,
    /// How often the spool is synced to disk
    ///
    /// This much can be lost when this host loses power, and was not shipped by then. A killed process costs nothing, whatever this is.
    ///
    /// The default costs a disk little. Rings are memory, and lost with the power anyway: a shorter time saves only what was drained.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    sync: Duration,
    /// Bytes that the spool of a group may take
    ///
    /// At least 8MiB, of which 4 MiB and a little are kept aside to have room when there is none. A warning comes at 80 % of it. Segments are 64 MiB
    /// long, or an eighth of this where that is less, and go as a whole.
    ///
    /// The default is 80 % of the file system, in equal parts for the groups: a disk serves others too, and those who fill it wholly are found out last.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    spool_max: Option<u64>,
    /// What to do with records when the spool is full
    ///
    /// Or its disk. Either way destinations get, meanwhile, all that they can take.
    ///
    /// The default loses nothing: records wait in their rings, then producers wait, until destinations acknowledge.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "block")]
    on_full: OnFullArg,
    /// How long segments stay that were delivered
    ///
    /// Counted from when the last record of a segment was drained. They give way when there is no room for new records.
    ///
    /// The default keeps none: all that they hold is in the archives of the receivers.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    retain: Duration,
    /// What to do with what earlier runs left
    ///
    /// That is rings whose programs are gone, and what is in the spool and some destination lacks. With `off` both stay as they are, byte for byte, and
    /// a later run delivers them late; only what living programs log goes on, from where it was left. Until then the room of what was left is not freed.
    /// With `require` the sender does not start while anything is lost for good; `hog recover` says what, and `--abandon` there records the loss.
    ///
    /// The default recovers all that can be, oldest first, beside what is logged meanwhile, and reports what cannot.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    recover: RecoverArg,
    /// The same as --recover off
    #[arg(long, conflicts_with = "recover")]
    no_recovery: bool,
    /// End once all found at the start is acknowledged
    ///
    /// Every ring found is drained to where it ended then; programs that go on logging do not hold it up.
    #[arg(long)]
    drain_and_exit: bool,
    #[command(flatten)]
    sockets: SocketDir,
    #[command(flatten)]
    shm: ShmDir,
    #[command(flatten)]
    sharing: ShmSharing,
    #[command(flatten)]
    sync_with: SyncWithArgs,
    #[command(flatten)]
    supervision: SupervisionArgs,
}

impl BatchsendArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        self.sync_with.choose();
        let usage = |words: &str| Failure::new(ExitStatus::Usage, words);
        let store = self.store_dir.unwrap_or_else(|| store::default_store("batchsend"));
        batchsend::run(&BatchsendOptions {
            groups: without_repeats(self.groups),
            destinations: without_repeats(self.to),
            spool: self.dir.unwrap_or_else(batchsend::default_spool),
            sockets: self.sockets.socket_dir.unwrap_or_else(|| store.clone()),
            store,
            shm_dir: self.shm.shm_dir,
            shm_group: self.sharing.shm_group,
            batch_time: self.batch_time,
            batch_bytes: usize::try_from(self.batch_size)
                .ok()
                .filter(|size| (1..=limits::BATCH_BYTES_MAX).contains(&(*size as u64)))
                .ok_or_else(|| usage("--batch-size is 1 byte to 8 MiB"))?,
            compression: self.compress,
            sync: self.sync,
            spool_max: match self.spool_max {
                Some(max) if max < limits::SPOOL_MIN => return Err(usage("--spool-max is at least 8 MiB")),
                max => max,
            },
            on_full: match self.on_full {
                OnFullArg::Block => OnFull::Block,
                OnFullArg::DropOldest => OnFull::DropOldest,
            },
            retain: self.retain,
            recover: match self.recover {
                _ if self.no_recovery => Policy::Off,
                RecoverArg::Auto => Policy::Auto,
                RecoverArg::Require => Policy::Require,
                RecoverArg::Off => Policy::Off,
            },
            drain_and_exit: self.drain_and_exit,
            supervision: self.supervision.supervision()?,
        })
    }
}
