//! `hog cat`: its flags, their defaults and reasons.

use super::values::{moment, stream};
use crate::exit::{ExitStatus, Failure};
use crate::ids::StreamId;
use crate::modes::cat::{self, CatFormat, CatOptions};
use crate::modes::selection::Selection;
use clap::{Args, ColorChoice, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct CatArgs {
    /// Segment files, directories of them, or the original's .log files
    ///
    /// Files of the original's recorder (fregion, raw mode) are known by their first bytes, whatever they are called, and read only if they are named
    /// themselves, in a command of their own.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How to print records
    ///
    /// Text is for eyes: what could end a line or drive a terminal is escaped, and times are local. A time behind `~` is that of draining, of a record
    /// without a time of its own.
    ///
    /// The default is for whoever types the command. Programs read json, whose members are documented; raw gives an engine's input back.
    #[arg(long, value_enum, default_value = "text")]
    format: CatFormat,
    /// Go on with what is appended
    ///
    /// New segments, dates and groups below the directories are found within a fraction of a second. It ends with
    /// status 0 on SIGINT and SIGTERM, and when whoever reads the output closes it.
    #[arg(short, long)]
    follow: bool,
    /// Only records of this stream; may be repeated
    ///
    /// A stream is all that one ring ever carried; `hog verify` lists them.
    ///
    /// The default is every stream, for most readers want all of a log.
    #[arg(long, value_name = "UUID", value_parser = stream)]
    stream: Vec<StreamId>,
    /// Only records of this source; may be repeated
    ///
    /// A source is the name of a producer's ring, as `hog verify` shows it; of lines that an engine logged also the canonical path of their file, or `-`
    /// for stdin.
    ///
    /// The default is every source, for most readers want all of a log.
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Only records of this moment or later
    ///
    /// A moment is RFC 3339 (2026-11-21T10:00:00Z), a local date (2026-11-21) with or without a time ('2026-11-21 10:00'), or how long ago it was
    /// (90s, 2h, 3d). A record without time counts as logged when it was drained from its ring.
    ///
    /// Segments that were finished more than an hour before are not read: the clocks of all hosts should agree within that.
    ///
    /// The default is the beginning: what is in the archive is worth reading.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    since: Option<u64>,
    /// Only records before this moment
    ///
    /// Everything is read for it: what was logged long ago may have arrived late.
    ///
    /// The default is the end: what is in the archive is worth reading.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    until: Option<u64>,
    /// Whether text has colours
    ///
    /// The default, auto, has them on a terminal alone, and heeds the variables NO_COLOR, CLICOLOR and CLICOLOR_FORCE.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

/// Whether text has colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    /// On a terminal that shows them
    Auto,
    /// Wherever it goes
    Always,
    /// Nowhere
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

impl CatArgs {
    pub(super) fn run(self) -> Result<ExitStatus, Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(Failure::new(
                ExitStatus::Usage,
                "--since names a later moment than --until",
            ));
        }
        cat::run(&CatOptions {
            paths: self.paths,
            format: self.format,
            color: self.color.into(),
            selection: Selection {
                groups: Vec::new(),
                streams: self.stream,
                sources: self.source,
                since: self.since,
                until: self.until,
            },
            follow: self.follow,
        })
    }
}
