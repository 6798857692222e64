//! What `-h` and `--help` say: short help fits a screen, long help gives each default with its reason.

use clap::{Arg, Command, CommandFactory};
use hog::cli::Cli;

/// A terminal of a size that few go below.
const COLUMNS: usize = 80;
const LINES: usize = 40;

/// hog itself and every mode, complete.
fn commands() -> Vec<Command> {
    let mut hog = Cli::command().term_width(COLUMNS);
    hog.build();
    let modes: Vec<Command> = hog.get_subcommands().cloned().collect();
    std::iter::once(hog).chain(modes).collect()
}

/// Every argument but clap's own, and where it is.
fn arguments() -> Vec<(String, Arg)> {
    let mut all = Vec::new();
    for command in commands() {
        let own = command
            .get_arguments()
            .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()));
        all.extend(own.map(|argument| (format!("{} {}", command.get_name(), argument), argument.clone())));
    }
    all
}

/// The paragraphs of long help.
fn paragraphs(argument: &Arg) -> Vec<String> {
    let words = argument.get_long_help().map(ToString::to_string).unwrap_or_default();
    words.split("\n\n").map(str::to_owned).collect()
}

#[test]
fn short_help_of_every_mode_fits_a_screen() {
    for mut command in commands() {
        let help = command.render_help().to_string();
        let lines = help.lines().count();
        assert!(
            lines <= LINES,
            "`hog {} -h` has {lines} lines of {LINES}:\n{help}",
            command.get_name()
        );
        for line in help.lines() {
            assert!(
                line.chars().count() <= COLUMNS,
                "`hog {} -h`: {line}",
                command.get_name()
            );
        }
    }
}

#[test]
fn the_first_line_of_every_argument_is_short() {
    for (name, argument) in arguments() {
        let help = argument
            .get_help()
            .unwrap_or_else(|| panic!("{name} has no help"))
            .to_string();
        assert!(
            help.chars().count() <= 72 && !help.contains('\n'),
            "{name}: its first line is one, of 72 characters at most, before an empty one: {help}"
        );
    }
}

#[test]
fn long_help_gives_each_default_and_its_reason() {
    for (name, argument) in arguments() {
        if argument.is_required_set() || !argument.get_action().takes_values() {
            continue;
        }
        let paragraphs = paragraphs(&argument);
        let reason = paragraphs
            .iter()
            .skip(1)
            .find(|paragraph| paragraph.starts_with("The default"));
        let reason = reason.unwrap_or_else(|| {
            panic!("{name}: its long help has no paragraph \"The default ...\", which gives the reason for it: {paragraphs:?}")
        });
        assert!(
            reason.split_whitespace().count() >= 5,
            "{name}: this gives no reason: {reason}"
        );
    }
}

#[test]
fn every_value_that_an_argument_takes_is_explained() {
    for (name, argument) in arguments() {
        if !argument.get_action().takes_values() {
            continue; // clap has true and false for a flag
        }
        for value in argument.get_possible_values() {
            assert!(value.get_help().is_some(), "{name}: what is {}?", value.get_name());
        }
    }
}
