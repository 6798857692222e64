//! The original's command line: `hog -g G... -p TIME SIZE HOST:PORT...`, `hog -s PORT`, `hog -g G...`.
//!
//! It is translated into a command line of ours, which alone says what is done; so whatever ours refuses is refused here as well, and a person who wants to
//! leave the original's is shown what to write. What it accepts and we do otherwise, or always, is a note: one line each, on stderr.

use super::refusal::without_control_characters;
use super::values::{destination, size};
use super::{Cli, NotRun, refusal};
use crate::limits::BATCH_BYTES_MAX;
use crate::stages::archive::ArchivePattern;
use clap::error::ErrorKind;
use clap::{Args, Parser};
use rustix::fs::{Access, access};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The command line of the original hog
///
/// With -p the records of the groups are shipped (see hog-batchsend(1)), with -s they are received (hog-batchrecv(1)), and with neither they are stored on this
/// host (hog-local(1)). It is understood where the first argument is one of its options. What of it has no meaning here is said on stderr,
/// and the same command line in hog's own words, which offers more.
#[derive(Debug, Parser)]
#[command(
    name = "hog",
    display_name = "hog-classic",
    version,
    max_term_width = 100,
    override_usage = "hog -g <GROUP>... [-p <TIME> <SIZE> <HOST:PORT>...] [-d <DIR>] [-m <DIR>] [-z] [-c] [--no-recovery]\n       \
                      hog -s <PORT> [-d <DIR>] [-m <DIR>] [-z] [-c]"
)]
pub(super) struct ClassicArgs {
    /// The groups to drain
    #[arg(short = 'g', value_name = "GROUP", num_args = 1.., required_unless_present = "port")]
    groups: Vec<String>,
    /// Ship them to HOST:PORT..., each TIME or once there are SIZE bytes
    ///
    /// TIME is a number with us, ms, s, m, h or d, and without any of them of microseconds. SIZE is as 10MB; a batch has at most 8MiB.
    #[arg(short = 'p', value_names = ["TIME", "SIZE", "HOST:PORT"], num_args = 3.., conflicts_with = "port")]
    push: Vec<String>,
    /// Receive at this port of all addresses of IPv4
    #[arg(short = 's', value_name = "PORT", conflicts_with = "groups")]
    port: Option<u16>,
    /// Where archives lie, or the spools of -p
    ///
    /// The default is `./$GROUP/$DATE/data`, as the original has it. A spool outlives the day: for it, `$DATE` is left out.
    #[arg(short = 'd', value_name = "DIR")]
    dir: Option<String>,
    /// Directory of hogstat.db, and of the sockets where programs register
    ///
    /// The default is where programs look: the first of $HOBBES_STORE_DIR, $TMPDIR and $TMP that can be written, or else /var/tmp or /tmp. With -s it is
    /// the one that hog is started in.
    #[arg(short = 'm', value_name = "DIR")]
    store: Option<String>,
    /// Store the archive alone, which is compressed, and no .log files
    ///
    /// Compressed files of the original are not written: their last records read wrongly. With -p it has no meaning.
    #[arg(short = 'z')]
    compress: bool,
    /// Go on with the last .log file, instead of beginning another one
    ///
    /// With -p it has no meaning. Archives are gone on with in any case.
    #[arg(short = 'c')]
    consolidate: bool,
    /// Leave what earlier runs left (-p)
    #[arg(long)]
    no_recovery: bool,
    #[command(flatten)]
    shm: Shm,
}

/// What the original does not have, and its programs do not know.
#[derive(Debug, Args)]
struct Shm {
    /// Where queues and rings are, if not in /dev/shm; it must be tmpfs
    #[arg(long, value_name = "DIR")]
    shm_dir: Option<String>,
}

/// What a command line depends on.
pub(super) struct Surroundings {
    /// The directory that hog is started in.
    pub(super) here: PathBuf,
    /// Where programs look for the socket.
    pub(super) sockets: PathBuf,
}

/// One of our command lines, and what is to be said of it.
#[derive(Debug, PartialEq, Eq)]
struct Translation {
    /// Without the program's name.
    arguments: Vec<String>,
    notes: Vec<String>,
}

/// Whether `arguments`, which begin with the program's name, are the original's: what else begins with an option is ours.
pub(super) fn is_classic(arguments: &[OsString]) -> bool {
    let Some(first) = arguments.get(1).and_then(|first| first.to_str()) else {
        return false;
    };
    let letter = first.strip_prefix('-').and_then(|rest| rest.chars().next());
    first == "--no-recovery" || letter.is_some_and(|letter| "gpsdmzc".contains(letter))
}

/// Understands `arguments`, which begin with the program's name.
///
/// # Errors
/// When they ask for help or make no sense.
pub(super) fn understand(arguments: &[OsString]) -> Result<Cli, NotRun> {
    let classic = ClassicArgs::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => NotRun::Help(error),
        _ => {
            // clap repeats an argument as it came, line ends and all: it is asked about one that has none.
            let shown: Vec<OsString> = arguments.iter().map(without_control_characters).collect();
            let again = ClassicArgs::try_parse_from(shown).err();
            NotRun::Refused(refusal::joined_with(
                again.as_ref().unwrap_or(&error),
                "hog -g GROUP --help",
            ))
        }
    })?;
    let surroundings = Surroundings::of_this_process().map_err(NotRun::Refused)?;
    let Translation { arguments, mut notes } = classic.translate(&surroundings).map_err(NotRun::Refused)?;
    let ours: Vec<OsString> = std::iter::once("hog")
        .chain(arguments.iter().map(String::as_str))
        .map(OsString::from)
        .collect();
    let mut cli = Cli::understand(&ours)?;
    notes.push(format!("in its own words, this is: hog {}", shown(&arguments)));
    cli.notes = notes;
    Ok(cli)
}

/// A command line as a shell takes it.
fn shown(arguments: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    let quoted = arguments.iter().map(|word| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

impl Surroundings {
    fn of_this_process() -> Result<Self, String> {
        let here = std::env::current_dir()
            .map_err(|error| format!("the directory that hog is started in cannot be found: {error}"))?;
        let named = ["HOBBES_STORE_DIR", "TMPDIR", "TMP"].map(std::env::var_os);
        let sockets = sockets_of(named.into_iter().flatten().collect(), |directory| {
            access(directory, Access::WRITE_OK).is_ok()
        });
        Ok(Self { here, sockets })
    }
}

/// Where programs look for the socket, by the rule of the original's library.
fn sockets_of(named: Vec<OsString>, can_be_written: impl Fn(&Path) -> bool) -> PathBuf {
    let named = named.into_iter().filter(|name| !name.is_empty()).map(PathBuf::from);
    let mut places = named.chain([PathBuf::from("/var/tmp")]);
    places
        .find(|place| can_be_written(place))
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

impl ClassicArgs {
    fn translate(&self, around: &Surroundings) -> Result<Translation, String> {
        let mut notes = Vec::new();
        let ships = !self.push.is_empty();
        if self.compress {
            let words = match ships {
                true => "-z changes nothing with -p: what is shipped is compressed in any case",
                false => "-z: there are archives, which are compressed, and no .log files",
            };
            notes.push(words.to_owned());
        }
        if self.consolidate && (ships || self.compress) {
            notes.push("-c changes nothing: it is about .log files, and there are none".to_owned());
        }
        if self.no_recovery && self.push.is_empty() {
            notes.push("--no-recovery changes nothing without -p".to_owned());
        }
        let mut arguments = match (self.port, &self.push[..]) {
            (Some(port), _) => vec!["batchrecv".to_owned(), "--listen".to_owned(), format!("0.0.0.0:{port}")],
            (None, [time, bytes, to @ ..]) => self.batchsend((time, bytes), to, &mut notes)?,
            (None, _) => vec!["local".to_owned()],
        };
        for group in &self.groups {
            arguments.extend(["--group".to_owned(), group.clone()]);
        }
        if !ships && !self.compress {
            arguments.extend(["--format".to_owned(), "hobbes".to_owned()]);
            arguments.extend(self.consolidate.then(|| "--consolidate".to_owned()));
        }
        self.add_places(around, &mut arguments, &mut notes)?;
        if let Some(shm_dir) = &self.shm.shm_dir {
            if self.port.is_some() {
                return Err("--shm-dir has no meaning with -s; try 'hog -g GROUP --help'".to_owned());
            }
            arguments.extend(["--shm-dir".to_owned(), shm_dir.clone()]);
        }
        Ok(Translation { arguments, notes })
    }

    fn batchsend(
        &self,
        (time, bytes): (&str, &str),
        to: &[String],
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, String> {
        let is_number = time.bytes().all(|byte| byte.is_ascii_digit());
        let time = if is_number {
            format!("{time}us")
        } else {
            time.to_owned()
        };
        super::values::time(&time).map_err(|expected| format!("-p {time}: {expected}"))?;
        let most = BATCH_BYTES_MAX;
        let wanted = size(bytes).map_err(|expected| format!("-p {time} {bytes}: {expected}"))?;
        let taken = wanted.clamp(1, most);
        if wanted > most {
            notes.push(format!("a batch has at most 8MiB: that is taken for the {bytes} of -p"));
        }
        let mut arguments = vec!["batchsend".to_owned()];
        arguments.extend(["--batch-time".to_owned(), time]);
        arguments.extend(["--batch-size".to_owned(), taken.to_string()]);
        for to in to {
            destination(to).map_err(|expected| format!("-p ... {to}: {expected}"))?;
            let to = if to.contains("://") {
                to.clone()
            } else {
                format!("either://{to}")
            };
            arguments.extend(["--to".to_owned(), to]);
        }
        if self.no_recovery {
            arguments.push("--no-recovery".to_owned());
        }
        Ok(arguments)
    }

    /// Adds where things lie: the archive or the spools, the store, and the sockets.
    fn add_places(
        &self,
        around: &Surroundings,
        arguments: &mut Vec<String>,
        notes: &mut Vec<String>,
    ) -> Result<(), String> {
        let named = self.dir.as_deref().unwrap_or("./$GROUP/$DATE/data");
        let serves_programs = self.port.is_none();
        let mut store = match &self.store {
            Some(store) => absolute(around, store)?,
            None if serves_programs => absolute(around, &text(&around.sockets)?)?,
            None => text(&around.here)?,
        };
        let dir = if self.push.is_empty() {
            let dir = absolute(around, named)?;
            if !dir.contains('$') {
                notes.push(format!(
                    "-d has no variable: archives are in {}/$GROUP/$DATE",
                    dir.trim_end_matches('/')
                ));
            }
            let base = ArchivePattern::new(&dir)?.base();
            if base.components().eq(Path::new(&store).components()) {
                let inside = Path::new(&store).join("hogstat");
                let sockets = std::mem::replace(&mut store, text(&inside)?);
                notes.push(format!("hogstat.db is in {store}, apart from the archives"));
                if serves_programs {
                    arguments.extend(["--socket-dir".to_owned(), sockets]);
                }
            }
            dir
        } else {
            let without = without_date(named);
            if without != named && self.dir.is_some() {
                notes.push("a spool outlives the day: $DATE is left out of -d".to_owned());
            }
            absolute(around, &without)?
        };
        arguments.extend(["--dir".to_owned(), dir, "--store-dir".to_owned(), store]);
        Ok(())
    }
}

/// `named`, from where hog is started.
fn absolute(around: &Surroundings, named: &str) -> Result<String, String> {
    if named.is_empty() {
        return Err("a directory has no name; the one that hog is started in is `.`".to_owned());
    }
    text(&around.here.join(named).components().collect::<PathBuf>())
}

fn text(path: &Path) -> Result<String, String> {
    let refused = || {
        format!(
            "{} is no UTF-8, and so no directory for this command line",
            path.display()
        )
    };
    path.to_str().map(str::to_owned).ok_or_else(refused)
}

/// A directory without its dates.
fn without_date(named: &str) -> String {
    let parts = named.split('/').filter(|part| *part != "$DATE");
    parts.collect::<Vec<_>>().join("/").replace("$DATE", "")
}

#[cfg(test)]
mod tests;
