//! The command line: every mode, flag, default and its reason. The manual is rendered from this.
//!
//! A mode's flags are in the file of its name; what several have in common is here. Nothing is done here: a command line that
//! makes sense becomes the options of a mode.
//!
//! An argument's first line is all that short help has, and fits a screen with the others; the rest is for long help and the manual, and
//! has a paragraph "The default ..." with the reason. Tests hold every argument to that.

mod batchrecv;
mod batchsend;
mod cat;
mod classic;
mod demo;
mod engine;
mod export;
mod faults;
mod gc;
mod hobbes_files;
mod local;
mod recover;
mod refusal;
mod status;
mod supervision;
mod sync_with;
mod values;
mod verify;

use crate::exit::{ExitStatus, Failure};
use crate::modes::store;
use crate::stages::archive::ArchivePattern;
use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory, Parser, Subcommand};
use hog_ring::ShmGroup;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tracing::info;

/// A crash-safe, shared-memory log shipper
///
/// Applications log records into shared-memory rings; `batchsend` drains the rings into a spool and ships it; `batchrecv` stores what comes.
/// A record whose log call returned is in the receiver's archive exactly once, in order, whatever process is killed, whenever.
#[derive(Debug, Parser)]
#[command(name = "hog", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// Say less: -q only warnings, -qq only errors
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub quiet: u8,
    #[command(subcommand)]
    mode: Mode,
    /// What is said before it is run.
    #[arg(skip)]
    notes: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Log each line of files or of stdin as a record
    Engine(engine::EngineArgs),
    /// Drain rings into a spool and ship it
    #[command(alias = "send")]
    Batchsend(batchsend::BatchsendArgs),
    /// Receive what is shipped and store it
    #[command(alias = "recv")]
    Batchrecv(batchrecv::BatchrecvArgs),
    /// Drain rings straight into an archive on this host
    Local(local::LocalArgs),
    /// Print the records of archives and spools
    Cat(cat::CatArgs),
    /// Write archives as Parquet, Arrow, CSV, JSON lines or `.log` files
    Export(export::ExportArgs),
    /// Check archives and spools, byte by byte
    Verify(verify::VerifyArgs),
    /// Say what a sender or receiver is doing
    Status(status::StatusArgs),
    /// Say what went wrong, with what, since when and how often
    Faults(faults::FaultsArgs),
    /// Say what earlier runs left and a sender would do with it, or settle it by hand
    #[command(override_usage = "hog recover [OPTIONS] <--dry-run|--abandon|--forget|--new-identity>")]
    Recover(recover::RecoverArgs),
    /// Take away what nobody will come for
    Gc(gc::GcArgs),
    /// Ship a file on this machine, killing sender and receiver on the way, and compare
    Demo(demo::DemoArgs),
}

#[derive(Debug, Args)]
struct ShmDir {
    /// Where rings are; it must be tmpfs
    ///
    /// Rings must outlive processes, and cost no disk writes: what is not tmpfs is refused (exit 6). Programs that log and the process that drains
    /// must name the same directory; the rings of a group are in `hog/GROUP` below it.
    ///
    /// The default is where Linux has a tmpfs without anybody's doing.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    shm_dir: PathBuf,
}

#[derive(Debug, Args)]
struct ShmSharing {
    /// Unix group, by name or number, that shares the rings
    ///
    /// The directory of the rings gets mode 2770 and this group, each ring 0660. So a sender drains what programs of other users log,
    /// if all of them are members and say this. Members can spoil each other's rings: have a group for it alone.
    ///
    /// The default is that rings are their user's alone, for whoever can write a ring can write anything into it.
    #[arg(long, value_name = "NAME", value_parser = values::shm_group)]
    shm_group: Option<ShmGroup>,
}

/// A command line that asks for nothing that can be done.
#[derive(Debug)]
pub enum NotRun {
    /// It asks for help or the version, or names nothing at all: clap has the text, and knows where it belongs.
    Help(clap::Error),
    /// It makes no sense: one line, for stderr.
    Refused(String),
}

impl Cli {
    /// Understands the command line `arguments`, which begins with the program's name.
    ///
    /// # Errors
    /// When it asks for help or makes no sense; see [`NotRun`].
    pub fn understand(arguments: &[OsString]) -> Result<Self, NotRun> {
        if classic::is_classic(arguments) {
            return classic::understand(arguments);
        }
        Self::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => NotRun::Help(error),
            _ => NotRun::Refused(refusal::in_one_line(&error, arguments)),
        })
    }

    /// Does what was asked for.
    ///
    /// # Errors
    /// What to print, and the status to end with.
    pub fn run(self) -> Result<ExitStatus, Failure> {
        for note in &self.notes {
            info!("{note}");
        }
        match self.mode {
            Mode::Engine(args) => args.run(),
            Mode::Batchsend(args) => args.run(),
            Mode::Batchrecv(args) => args.run(),
            Mode::Local(args) => args.run(),
            Mode::Cat(args) => args.run(),
            Mode::Export(args) => args.run(),
            Mode::Verify(args) => args.run(),
            Mode::Status(args) => args.run(),
            Mode::Faults(args) => args.run(),
            Mode::Recover(args) => args.run(),
            Mode::Gc(args) => args.run(),
            Mode::Demo(args) => args.run(),
        }
    }
}

/// The definition of the original's command line, which is not among the modes.
#[must_use]
pub fn classic_command() -> Command {
    classic::ClassicArgs::command()
}

#[derive(Debug, Args)]
struct SocketDir {
    /// Where programs of the original register, if not in the store
    ///
    /// They look for hstore.GROUP.sk in their $HOBBES_STORE_DIR, $TMPDIR or $TMP, or else in /var/tmp. So one directory can serve several senders, each of
    /// which needs a store of its own.
    ///
    /// The default is the store, as the original has it.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    socket_dir: Option<PathBuf>,
}

/// Where archives lie when nothing is said of it.
fn default_archive() -> Result<ArchivePattern, Failure> {
    let directory = Path::new(store::STATE_DIRECTORY).join("archive");
    ArchivePattern::new(&directory.display().to_string()).map_err(|words| Failure::new(ExitStatus::Usage, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_original_s_mode_names_are_understood() {
        assert!(Cli::try_parse_from(["hog", "send", "-g", "a", "--to", "b:1"]).is_ok());
        assert!(Cli::try_parse_from(["hog", "recv", "--listen", "b:1"]).is_ok());
        assert!(Cli::try_parse_from(["hog", "send", "-g", "a", "--to", "b"]).is_err());
        assert!(Cli::try_parse_from(["hog", "send", "-g", ".a", "--to", "b:1"]).is_err());
    }
}
