//! The program `hog`: parses the command line, runs a mode, prints the failure and picks the exit status.

use clap::Parser;
use hog::cli::Cli;
use hog::exit::{ExitStatus, Failure};
use std::io::{IsTerminal, Write};
use tracing::Level;

fn main() -> ExitStatus {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() {
                ExitStatus::Usage
            } else {
                ExitStatus::Done
            };
            let _ = error.print(); // a closed pipe
            return status;
        }
    };
    let level = match cli.quiet {
        0 => Level::INFO,
        1 => Level::WARN,
        _ => Level::ERROR,
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colours)
        .init();
    match cli.run() {
        Ok(status) => status,
        Err(Failure { status, message }) => {
            let _ = writeln!(std::io::stderr(), "hog: {message}"); // nowhere else to say it
            status
        }
    }
}
