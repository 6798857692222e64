//! What is said of a command line that makes no sense: one line, with the reason, what may have been meant, and where to read on.
//!
//! clap's own words go over several lines and repeat the usage; who has mistyped a flag, or reads the log of a unit that does not start, is
//! better served by one.

use super::Cli;
use crate::exit;
use clap::{CommandFactory, Parser};
use std::ffi::OsString;

/// `error` in one line, for the command line `arguments`, which begins with the program's name.
pub(super) fn in_one_line(error: &clap::Error, arguments: &[OsString]) -> String {
    // clap repeats an argument as it came, line ends and all: it is asked about one that has none.
    let shown: Vec<OsString> = arguments.iter().map(without_control_characters).collect();
    let again = Cli::try_parse_from(shown).err();
    joined_with(
        again.as_ref().unwrap_or(error),
        &format!("{} --help", program(arguments)),
    )
}

/// `error` in one line that ends with where to read on.
pub(super) fn joined_with(error: &clap::Error, help: &str) -> String {
    let text = error.render().to_string();
    let mut words = String::new();
    for paragraph in text.trim().split("\n\n") {
        let paragraph = paragraph.trim();
        if paragraph.starts_with("Usage:") || paragraph.starts_with("For more information") {
            continue;
        }
        if let Some(reason) = paragraph.strip_prefix("error: ") {
            words.push_str(&joined(reason));
        } else {
            for tip in paragraph.lines() {
                words.push_str("; ");
                words.push_str(tip.trim().trim_start_matches("tip: "));
            }
        }
    }
    format!("{words}; try '{help}'")
}

pub(super) fn without_control_characters(argument: &OsString) -> OsString {
    argument
        .to_str()
        .map_or_else(|| argument.clone(), |text| exit::one_line(text).into())
}

/// The lines of `paragraph` as one: what the first announces with a colon is a list.
fn joined(paragraph: &str) -> String {
    let mut lines = paragraph.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let rest: Vec<&str> = lines.collect();
    let between = if first.ends_with(':') { ", " } else { " " };
    format!("{first} {}", rest.join(between)).trim_end().to_owned()
}

/// `hog`, and the mode if the command line names one.
fn program(arguments: &[OsString]) -> String {
    let hog = Cli::command();
    let mode = arguments
        .iter()
        .skip(1)
        .find_map(|argument| hog.find_subcommand(argument));
    mode.map_or_else(|| "hog".to_owned(), |mode| format!("hog {}", mode.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &[&str]) -> String {
        let arguments: Vec<OsString> = std::iter::once(&"hog").chain(line).map(OsString::from).collect();
        in_one_line(&Cli::try_parse_from(&arguments).unwrap_err(), &arguments)
    }

    #[test]
    fn a_flag_that_is_like_another_is_answered_with_that() {
        assert_eq!(
            said(&["batchsend", "--drian-and-exit"]),
            "unexpected argument '--drian-and-exit' found; a similar argument exists: '--drain-and-exit'; try 'hog batchsend --help'"
        );
    }

    #[test]
    fn what_is_missing_is_listed() {
        assert_eq!(
            said(&["send"]),
            "the following required arguments were not provided: --group <GROUP>, --to <HOST:PORT>; try 'hog batchsend --help'"
        );
    }

    #[test]
    fn a_value_that_is_none_is_answered_with_what_is_expected() {
        assert_eq!(
            said(&["engine", "-g", "../web"]),
            "invalid value '../web' for '--group <GROUP>': a group is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot; \
             try 'hog engine --help'"
        );
        assert_eq!(
            said(&["engine", "-g", "a", "--resume", "of"]),
            "invalid value 'of' for '--resume <RESUME>' [possible values: auto, require, off]; a similar value exists: 'off'; \
             try 'hog engine --help'"
        );
    }

    #[test]
    fn a_mode_that_is_none_is_answered_with_those_like_it() {
        assert_eq!(
            said(&["verfy"]),
            "unrecognized subcommand 'verfy'; a similar subcommand exists: 'verify'; try 'hog --help'"
        );
    }
}
