//! The command line: every mode, flag, default and its reason. The manual is rendered from this.

use crate::exit::{ExitStatus, Failure};
use crate::formats::codec::Compression;
use crate::modes::batchrecv::BatchrecvOptions;
use crate::modes::batchsend::{self, BatchsendOptions};
use crate::modes::cat::{CatFormat, CatOptions};
use crate::modes::demo::DemoOptions;
use crate::modes::engine::EngineOptions;
use crate::modes::status::{StatusFormat, StatusOptions};
use crate::modes::verify::{VerifyFormat, VerifyOptions};
use crate::modes::{batchrecv, cat, demo, engine, status, store, verify};
use crate::os::net;
use crate::stages::archive::ArchivePattern;
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hog_ring::Resume;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A crash-safe, shared-memory log shipper.
///
/// Applications log records into shared-memory rings; `batchsend` drains the rings into a spool and ships it; `batchrecv` stores what comes.
/// A record whose log call returned is in the receiver's archive exactly once, in order, whatever process is killed, whenever.
#[derive(Debug, Parser)]
#[command(name = "hog", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// Say less: -q only warnings, -qq only errors.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub quiet: u8,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Log each line of files or of stdin as a record
    Engine(EngineArgs),
    /// Drain rings into a spool and ship it
    #[command(alias = "send")]
    Batchsend(BatchsendArgs),
    /// Receive what is shipped and store it
    #[command(alias = "recv")]
    Batchrecv(BatchrecvArgs),
    /// Print the records of archives and spools
    Cat(CatArgs),
    /// Check archives and spools, byte by byte
    Verify(VerifyArgs),
    /// Say what a sender or receiver is doing
    Status(StatusArgs),
    /// Ship a file on this machine, killing sender and receiver on the way, and compare
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct ShmDir {
    /// Where rings are. It must be tmpfs: rings must outlive processes, and cost no disk writes.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    shm_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ResumeArg {
    /// Go on where an earlier run stopped, if there was one
    Auto,
    /// Go on, or refuse to start (exit 4)
    Require,
    /// Begin anew
    Off,
}

#[derive(Debug, Args)]
struct EngineArgs {
    /// The group to log to
    #[arg(short, long, value_parser = group)]
    group: String,
    /// Files, logged one after the other; `-` or none is stdin.
    ///
    /// A file is gone on with where an earlier run stopped, however that ended. Stdin cannot: what a killed engine had read from it and not logged
    /// is gone with it.
    inputs: Vec<PathBuf>,
    /// Name of the ring [default: made of the file's canonical path; rings of stdin are unique]
    #[arg(long)]
    name: Option<String>,
    /// Capacity of a new ring, a power of two. The default holds what a fast program logs in a few milliseconds, in which the drainer comes by several times.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    ring_size: u64,
    /// Drop lines instead of waiting when the ring is full; dropped lines are counted and marked in the stream
    #[arg(long)]
    unreliable: bool,
    /// Whether to go on where an earlier run stopped
    #[arg(long, value_enum, default_value = "auto")]
    resume: ResumeArg,
    #[command(flatten)]
    shm: ShmDir,
}

#[derive(Debug, Args)]
struct BatchsendArgs {
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
}

#[derive(Debug, Args)]
struct BatchrecvArgs {
    /// Where to listen; port 0 takes any. The first line on stdout is the address, once senders may come.
    #[arg(long, value_name = "ADDR:PORT", value_parser = destination)]
    listen: String,
    /// Where archives lie, with $GROUP and, perhaps, $DATE (local, as 2026.11.21) [default: /var/lib/hog/archive/$GROUP/$DATE]
    #[arg(short, long, value_name = "DIR", value_parser = ArchivePattern::new)]
    dir: Option<ArchivePattern>,
    /// Directory of hogstat.db [default: $HOBBES_STORE_DIR, or /var/lib/hog/batchrecv]
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CatArgs {
    /// Segment files, or directories that are looked through for them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// json: one object a line. raw: the lines that an engine logged, as they were.
    #[arg(long, value_enum, default_value = "json")]
    format: CatFormat,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// Segment files, or directories that are looked through for them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: VerifyFormat,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// The store that is asked about [default: $HOBBES_STORE_DIR, or /var/lib/hog/batchsend]
    #[arg(short = 'm', long, value_name = "STORE")]
    store_dir: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: StatusFormat,
    #[command(flatten)]
    shm: ShmDir,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// A file to ship [default: a few MB of lines that are made up]
    file: Option<PathBuf>,
    #[command(flatten)]
    shm: ShmDir,
}

fn group(text: &str) -> Result<String, String> {
    if hog_ring::is_group_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a group is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot".to_owned())
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "expected a size: bytes, or a number with KiB, MiB, GiB, KB, MB or GB".to_owned())?;
    Ok(size.as_u64())
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time: a number with us, ms, s, m, h or d".to_owned())
}

fn destination(text: &str) -> Result<String, String> {
    net::host_and_port(text).map(|_| text.to_owned())
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// What to print, and the status to end with.
    pub fn run(self) -> Result<ExitStatus, Failure> {
        match self.mode {
            Mode::Engine(args) => engine::run(&args.try_into()?),
            Mode::Batchsend(args) => batchsend::run(&args.try_into()?),
            Mode::Batchrecv(args) => batchrecv::run(&args.try_into()?),
            Mode::Cat(args) => cat::run(&CatOptions {
                paths: args.paths,
                format: args.format,
            }),
            Mode::Verify(args) => verify::run(&VerifyOptions {
                paths: args.paths,
                format: args.format,
            }),
            Mode::Status(args) => status::run(&StatusOptions {
                store: args.store_dir.unwrap_or_else(|| store::default_store("batchsend")),
                shm_dir: args.shm.shm_dir,
                format: args.format,
            }),
            Mode::Demo(args) => demo::run(&DemoOptions {
                file: args.file,
                shm_dir: args.shm.shm_dir,
            }),
        }
    }
}

impl TryFrom<EngineArgs> for EngineOptions {
    type Error = Failure;

    fn try_from(args: EngineArgs) -> Result<Self, Failure> {
        Ok(Self {
            group: args.group,
            inputs: args.inputs,
            name: args.name,
            ring_size: args.ring_size,
            unreliable: args.unreliable,
            resume: match args.resume {
                ResumeArg::Auto => Resume::Auto,
                ResumeArg::Require => Resume::Require,
                ResumeArg::Off => Resume::Off,
            },
            shm_dir: args.shm.shm_dir,
        })
    }
}

impl TryFrom<BatchsendArgs> for BatchsendOptions {
    type Error = Failure;

    fn try_from(args: BatchsendArgs) -> Result<Self, Failure> {
        let usage = |words: &str| Failure::new(ExitStatus::Usage, words);
        Ok(Self {
            groups: without_repeats(args.groups),
            destinations: without_repeats(args.to),
            spool: args.dir.unwrap_or_else(batchsend::default_spool),
            store: args.store_dir.unwrap_or_else(|| store::default_store("batchsend")),
            shm_dir: args.shm.shm_dir,
            batch_time: args.batch_time,
            batch_bytes: usize::try_from(args.batch_size)
                .ok()
                .filter(|size| (1..=crate::limits::WINDOW_BYTES).contains(&(*size as u64)))
                .ok_or_else(|| usage("--batch-size is 1 byte to 8 MiB"))?,
            compression: args.compress,
            sync: args.sync,
            drain_and_exit: args.drain_and_exit,
        })
    }
}

impl TryFrom<BatchrecvArgs> for BatchrecvOptions {
    type Error = Failure;

    fn try_from(args: BatchrecvArgs) -> Result<Self, Failure> {
        let default = || {
            let directory = Path::new(store::STATE_DIRECTORY).join("archive");
            ArchivePattern::new(&directory.display().to_string())
        };
        let pattern = args
            .dir
            .map_or_else(default, Ok)
            .map_err(|words| Failure::new(ExitStatus::Usage, words))?;
        let store = args.store_dir.unwrap_or_else(|| store::default_store("batchrecv"));
        Ok(Self {
            listen: args.listen,
            pattern,
            store,
        })
    }
}

fn without_repeats(all: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::with_capacity(all.len());
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_times_have_the_documented_units() {
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("512"), Ok(512));
        assert!(size("much").is_err() && size("1 parsec").is_err());
        assert_eq!(time("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(time("2d"), Ok(Duration::from_secs(172_800)));
        assert!(time("soon").is_err() && time("5").is_err());
    }

    #[test]
    fn the_original_s_mode_names_are_understood() {
        assert!(Cli::try_parse_from(["hog", "send", "-g", "a", "--to", "b:1"]).is_ok());
        assert!(Cli::try_parse_from(["hog", "recv", "--listen", "b:1"]).is_ok());
        assert!(Cli::try_parse_from(["hog", "send", "-g", "a", "--to", "b"]).is_err());
        assert!(Cli::try_parse_from(["hog", "send", "-g", ".a", "--to", "b:1"]).is_err());
    }
}
