//! The exit statuses, each with one cause. This enum is their only home: the manual is rendered from it.

use std::process::{ExitCode, Termination};

/// Why a run of hog ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Everything asked for was done.
    Done = 0,
    /// It failed, for the reason on stderr.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// Somebody else holds the lock, or the role that is asked about does not run.
    Locked = 3,
    /// Data is damaged, or something could not be recovered.
    Integrity = 4,
    /// Done, but something was lost, dropped or set aside, or a worker was given up.
    Degraded = 5,
    /// Refused, because going on would put data at risk.
    Unsafe = 6,
}

impl ExitStatus {
    /// All statuses, in order.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Locked,
        Self::Integrity,
        Self::Degraded,
        Self::Unsafe,
    ];

    /// What the manual says of it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed; the reason is on standard error",
            Self::Usage => "the command line does not make sense",
            Self::Locked => "another process holds what this one needs (its pid is named), or the role is not running",
            Self::Integrity => "data is damaged, or something could not be recovered",
            Self::Degraded => "done, but something was lost, dropped or set aside, or a worker was given up",
            Self::Unsafe => "refused: going on would put data at risk",
        }
    }
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// An error that has reached the top: what to print, and the status to end with.
#[derive(Debug)]
pub struct Failure {
    /// The status to exit with.
    pub status: ExitStatus,
    /// One line for stderr.
    pub message: String,
}

impl Failure {
    /// A failure of `status` with the words `message`.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// Status 1 with an error and all its causes as the words.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self::new(ExitStatus::Failed, chain(error))
    }
}

/// An error and its causes in one line, joined by colons.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !words.ends_with(&next) {
            words.push_str(": ");
            words.push_str(&next);
        }
        cause = error.source();
    }
    words
}

/// `words` without line ends and other control characters, which names of files may have: they are written as Rust writes them.
#[must_use]
pub fn one_line(words: &str) -> String {
    let shown = |character: char| {
        if character.is_control() {
            character.escape_default().to_string()
        } else {
            character.to_string()
        }
    };
    words.chars().map(shown).collect()
}
