//! The program `hog`: parses the command line, runs a mode, prints the failure and picks the exit status.

use hog::cli::{Cli, NotRun};
use hog::exit::{ExitStatus, Failure, one_line};
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use tracing::Level;
use tracing_subscriber::fmt::format;

fn main() -> ExitStatus {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::understand(&arguments) {
        Ok(cli) => cli,
        Err(NotRun::Help(text)) => {
            let _ = text.print(); // a closed pipe
            return if text.use_stderr() {
                ExitStatus::Usage
            } else {
                ExitStatus::Done
            };
        }
        Err(NotRun::Refused(words)) => return fail(Failure::new(ExitStatus::Usage, words)),
    };
    let level = match cli.quiet {
        0 => Level::INFO,
        1 => Level::WARN,
        _ => Level::ERROR,
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Names of files and hosts may hold anything: each event stays one line, and cannot drive a terminal.
    let words = format::debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{}", one_line(&format!("{value:?}"))),
        name => write!(writer, "{name}={}", one_line(&format!("{value:?}"))),
    });
    tracing_subscriber::fmt()
        .fmt_fields(words)
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colours)
        .init();
    match cli.run() {
        Ok(status) => status,
        Err(failure) => fail(failure),
    }
}

/// Says why it failed, in one line.
fn fail(Failure { status, message }: Failure) -> ExitStatus {
    let _ = writeln!(std::io::stderr(), "hog: {}", one_line(&message)); // nowhere else to say it
    status
}
